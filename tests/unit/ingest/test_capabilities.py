import pytest

from ingest.exchanges import EXCHANGES
from schemas.capabilities import CAPABILITIES


def test_every_exchange_is_in_the_table_and_no_other() -> None:
    assert set(CAPABILITIES) == set(EXCHANGES)


@pytest.mark.parametrize("exchange", EXCHANGES.values(), ids=lambda exchange: exchange.name)
def test_the_table_says_what_the_exchange_declares(exchange) -> None:
    declared = {
        channel: {
            **{poll.kind: "http" for poll in market.polls},
            **{subscription.kind: "ws" for subscription in market.subscriptions},
        }
        for channel, market in exchange.markets.items()
    }
    assert {channel: dict(kinds) for channel, kinds in CAPABILITIES[exchange.name].items()} == (
        declared
    )
