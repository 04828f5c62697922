"""OKX's public/instruments to instruments, and its 24h tickers to how busy each one is."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from msgspec import DecodeError, Raw, Struct, json

from ingest.exchanges.base import Instrument
from ingest.exchanges.okx.rows import is_spot
from runtime.errors import Poison
from schemas.numbers import fixed, scale_of, text

LIVE = "live"


class _Instrument(Struct):
    instId: str  # noqa: N815 - the venue's names
    state: str
    tickSz: str  # noqa: N815
    lotSz: str  # noqa: N815
    baseCcy: str = ""  # noqa: N815
    quoteCcy: str = ""  # noqa: N815
    """Both are empty on swaps."""
    uly: str = ""
    instFamily: str = ""  # noqa: N815
    """Not there before 2022."""
    settleCcy: str = ""  # noqa: N815
    ctType: str = ""  # noqa: N815
    ctVal: str = ""  # noqa: N815
    ctMult: str = ""  # noqa: N815
    ctValCcy: str = ""  # noqa: N815


class _Ticker(Struct):
    instId: str  # noqa: N815
    last: str = ""
    volCcy24h: str = ""  # noqa: N815


class _Body(Struct):
    code: str
    data: list[Raw] = []
    msg: str = ""


_decode_body = json.Decoder(_Body).decode
_decode_instrument = json.Decoder(_Instrument).decode
_decode_ticker = json.Decoder(_Ticker).decode


def spot_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read the answers about SPOT; what is live is streamed."""
    return _instruments(bodies, _spot)


def swap_instruments(bodies: Sequence[bytes]) -> list[Instrument]:
    """Read the answers about SWAP; the linear ones that are live are streamed."""
    return _instruments(bodies, _swap)


def turnovers(body: bytes) -> dict[str, float]:
    """Read market/tickers into the turnover of 24 h in the quote coin."""
    found: dict[str, float] = {}
    for row in _rows(body):
        try:
            ticker = _decode_ticker(row)
            volume = float(ticker.volCcy24h or 0)
            is_quote = is_spot(ticker.instId)
            found[ticker.instId] = volume if is_quote else volume * float(ticker.last or 0)
        except ValueError:  # one symbol without a readable ticker is not a busy one
            continue
    return found


def _rows(body: bytes) -> list[Raw]:
    try:
        answer = _decode_body(body)
    except (DecodeError, UnicodeDecodeError, RecursionError) as e:
        raise Poison(f"not an answer of OKX: {e}", payload=body) from e
    if answer.code != "0":
        raise Poison(f"OKX refused: {answer.msg} (code {answer.code})"[:300], payload=body)
    return answer.data


def _instruments(
    bodies: Sequence[bytes], read: Callable[[_Instrument], Instrument]
) -> list[Instrument]:
    found: list[Instrument] = []
    for body in bodies:
        rows, before = _rows(body), len(found)
        for row in rows:
            try:
                found.append(read(_decode_instrument(row)))
            except ValueError:  # a listing half made has empty steps: left out until it has them
                continue
        if rows and len(found) == before:
            raise Poison("not one instrument of OKX can be read", payload=body)
    return found


def _spot(told: _Instrument) -> Instrument:
    return Instrument(
        symbol=told.instId,
        unified=f"{told.baseCcy}/{told.quoteCcy}",
        status=told.state,
        is_streamed=told.state == LIVE,
        price_scale=scale_of(told.tickSz),
        qty_scale=scale_of(told.lotSz),
        tick=told.tickSz,
        step=told.lotSz,
    )


def _swap(told: _Instrument) -> Instrument:
    base, _, quote = (told.uly or told.instFamily).partition("-")
    # A contract of an inverse swap is worth dollars: no fixed number of base coins.
    is_linear = told.ctType == "linear" and told.ctValCcy == base
    size = _product(told.ctVal, told.ctMult) if is_linear else "1"
    return Instrument(
        symbol=told.instId,
        unified=f"{base}/{quote}:{told.settleCcy}",
        status=told.state,
        is_streamed=told.state == LIVE and is_linear,
        price_scale=scale_of(told.tickSz),
        qty_scale=scale_of(_product(told.lotSz, size)),
        tick=told.tickSz,
        step=told.lotSz,
        contract_size=size,
    )


def _product(a: str, b: str) -> str:
    """Multiply two decimal texts exactly; the text has no zeros at its end."""
    scale_a, scale_b = scale_of(a), scale_of(b)
    product = text(fixed(a, scale_a) * fixed(b, scale_b), scale_a + scale_b)
    return f"{Decimal(product).normalize():f}"
