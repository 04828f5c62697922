"""Keys, tokens and addresses: what opens, and everything that does not."""

import base64
import hashlib
import hmac
import json
import time

import jwt
import msgspec
import pytest
from pydantic import SecretStr

from runtime.errors import Misconfigured, Poison
from runtime.settings import Settings
from schemas.keys import decode_key, encode_key
from sinks.gateway.security.credentials import Shown, in_headers, in_message, in_query
from sinks.gateway.security.denied import Denied
from sinks.gateway.security.doorkeeper import ANONYMOUS, Doorkeeper
from sinks.gateway.security.families import Families
from sinks.gateway.security.keys import KeyTable, hash_text, make_key
from sinks.gateway.security.roles import Role
from sinks.gateway.security.tokens import AUDIENCE, ISSUER, Tokens, parse_signing_keys

NOW_S = 1_700_000_000.0
NOW_MS = int(NOW_S * 1_000)
OLD, NEW = "o" * 32, "n" * 32


def settings(**fields) -> Settings:
    return Settings(_env_file=None, **fields)


def table_with(*keys) -> KeyTable:
    table = KeyTable()
    for key in keys:
        table.take(key.id.encode(), encode_key(key))
    return table


def keeper(table=None, tokens=None, **fields) -> Doorkeeper:
    return Doorkeeper(
        settings(**fields), table or KeyTable(), tokens or Tokens({}, 900, 3600), Families()
    )


# -- keys


def test_a_key_is_found_by_its_text_and_its_record_holds_no_secret():
    text, key = make_key("desk", "viewer", NOW_MS)
    table = table_with(key)
    assert table.find(text) == key
    assert decode_key(encode_key(key)) == key
    assert text[len("fib_") + 13 :].encode() not in encode_key(key)
    assert len({make_key("x", "viewer", NOW_MS)[0] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    "wrong",
    ["", "fib_", "x", "fib_0123456789ab_" + "a" * 43, "fib_../../etc_" + "a" * 43, "é" * 60],
)
def test_a_wrong_key_is_not_found(wrong):
    _, key = make_key("desk", "viewer", NOW_MS)
    assert table_with(key).find(wrong) is None


def test_the_secret_of_one_key_does_not_open_another():
    (one, a), (two, b) = make_key("a", "viewer", NOW_MS), make_key("b", "admin", NOW_MS)
    mixed = two[: len("fib_") + 13] + one[len("fib_") + 13 :]
    assert mixed.startswith(f"fib_{b.id}_")
    assert table_with(a, b).find(mixed) is None


def test_expired_and_revoked_keys_are_refused_with_a_reason():
    text, key = make_key("desk", "viewer", NOW_MS, NOW_MS + 1_000)
    assert keeper(table_with(key)).identify(Shown(text), NOW_S).role is Role.VIEWER
    with pytest.raises(Denied, match="revoked or has expired"):
        keeper(table_with(key)).identify(Shown(text), NOW_S + 1)
    revoked = msgspec.structs.replace(key, expires_ms=None, revoked_ms=NOW_MS)
    with pytest.raises(Denied, match="revoked") as denied:
        keeper(table_with(revoked)).identify(Shown(text), NOW_S)
    assert denied.value.status == 401
    assert "www-authenticate" in denied.value.headers


def test_a_record_about_another_key_and_one_that_is_none_are_poison():
    _, key = make_key("desk", "viewer", NOW_MS)
    for record in (encode_key(key), b"{}", b"\xff", b'{"id":"other","role":"root"}'):
        with pytest.raises(Poison):
            KeyTable().take(b"other", record)


# -- who calls


def test_without_keys_only_a_loopback_gateway_is_open_and_a_revoked_key_closes_it_for_good():
    assert keeper().is_open
    assert not keeper(websocket_host="192.0.2.1").is_open
    assert not keeper(gateway_anonymous_role="viewer").is_open
    _, key = make_key("desk", "admin", NOW_MS)
    dead = msgspec.structs.replace(key, revoked_ms=1)
    assert not keeper(table_with(dead)).is_open


def test_the_admin_of_the_settings_is_known_by_the_hash_of_its_key():
    text, _ = make_key("-", "admin", NOW_MS)
    known = keeper(gateway_admin_key_hash=hash_text(text)).identify(Shown(text), NOW_S)
    assert (known.name, known.role) == ("bootstrap", Role.ADMIN)
    with pytest.raises(Denied):
        keeper(gateway_admin_key_hash=hash_text(text + "x")).identify(Shown(text), NOW_S)
    with pytest.raises(Denied):  # the hash is no key
        keeper(gateway_admin_key_hash=hash_text(text)).identify(Shown(hash_text(text)), NOW_S)


def test_user_and_key_of_the_settings_open_together_only():
    known = {"wss_auth_user": "admin", "wss_auth_key": SecretStr("your.secret.key")}
    door = keeper(**known)
    assert door.identify(Shown("your.secret.key", "admin"), NOW_S).role is Role.VIEWER
    for wrong in (("your.secret.key", "root"), ("your.secret.key", None), ("other", "admin")):
        with pytest.raises(Denied):
            door.identify(Shown(*wrong), NOW_S)


def test_nothing_shown_is_nobody_or_a_reader_where_the_settings_say_so():
    assert keeper().identify(None, NOW_S) is None
    assert keeper(gateway_anonymous_role="viewer").identify(None, NOW_S) == ANONYMOUS
    with pytest.raises(Denied):  # wrong is not the same as nothing
        keeper(gateway_anonymous_role="viewer").identify(Shown("wrong"), NOW_S)


def basic(text: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_every_way_to_show_a_key_is_read():
    assert in_headers({"authorization": "Bearer abc"}) == Shown("abc")
    assert in_headers({"x-api-key": "abc", "x-auth-user": "u"}) == Shown("abc", "u")
    assert in_headers(basic("user:a:b")) == Shown("a:b", "user")
    assert in_query(b"stats=false&user=admin&key=abc") == Shown("abc", "admin")
    assert in_query(b"token=abc") == Shown("abc")
    assert in_message('{"action":"auth","user":"admin","key":"abc"}') == Shown("abc", "admin")
    assert in_headers({}) is in_query(b"stats=false") is in_message('{"action":"ping"}') is None


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic /w==", "Digest x", "abc"])
def test_an_unreadable_header_is_a_wrong_key_not_a_missing_one(header):
    assert in_headers({"authorization": header}).secret == ""


@pytest.mark.parametrize("text", ["", "[" * 3_000, '{"action":7}', "null", "x" * 5_000, b"\xff"])
def test_a_first_message_that_signs_nobody_in_is_none(text):
    assert in_message(text) is None


# -- tokens


def tokens(**signing) -> Tokens:
    return Tokens(signing or {"k1": OLD}, 900, 3_600)


def forged(header: dict, claims: dict, secret: str | None) -> str:
    def part(value: dict) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    head = part(header) + b"." + part(claims)
    sign = b"" if secret is None else hmac.new(secret.encode(), head, hashlib.sha256).digest()
    return (head + b"." + base64.urlsafe_b64encode(sign).rstrip(b"=")).decode()


def claims(**changes) -> dict:
    now = int(time.time())
    fields = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "a", "role": "admin", "use": "access", "jti": "1",
        "fam": "f", "num": 0,
        "iat": now, "nbf": now, "exp": now + 60,
    }  # fmt: skip
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


HEAD = {"alg": "HS256", "typ": "JWT", "kid": "k1"}


def test_a_token_signed_by_hand_with_the_right_key_is_read():
    assert tokens().read(forged(HEAD, claims(), OLD), "access").key_id == "a"


@pytest.mark.parametrize(
    "text",
    [
        forged({**HEAD, "alg": "none"}, claims(), None),
        forged({**HEAD, "alg": "None"}, claims(), OLD),
        forged({**HEAD, "alg": "HS512"}, claims(), OLD),
        forged({**HEAD, "alg": "RS256"}, claims(), OLD),
        forged(HEAD, claims(), NEW),
        forged(HEAD, claims(), None),
        forged(HEAD, claims(), ""),
        forged({**HEAD, "kid": "k2"}, claims(), OLD),
        forged({**HEAD, "kid": "../../dev/null"}, claims(), ""),
        forged({**HEAD, "kid": ["k1"]}, claims(), OLD),
        forged({"alg": "HS256"}, claims(), OLD),
        forged(HEAD, claims(exp=int(time.time()) - 60), OLD),
        forged(HEAD, claims(nbf=int(time.time()) + 600), OLD),
        forged(HEAD, claims(iat=int(time.time()) + 600), OLD),
        forged(HEAD, claims(iss="other"), OLD),
        forged(HEAD, claims(aud="other"), OLD),
        forged(HEAD, claims(use="refresh"), OLD),
        forged(HEAD, claims(role="root"), OLD),
        forged(HEAD, claims(sub=7), OLD),
        *(forged(HEAD, claims(**{name: None}), OLD) for name in ("exp", "nbf", "iat", "jti")),
        *(forged(HEAD, claims(**{name: None}), OLD) for name in ("iss", "aud", "sub", "use")),
        *(forged(HEAD, claims(**{name: None}), OLD) for name in ("role", "fam", "num")),
        "a.b.c",
        "..",
        "é.é.é",
    ],
)
def test_a_forged_stale_or_foreign_token_is_refused(text):
    with pytest.raises(Denied) as denied:
        tokens().read(text, "access")
    assert denied.value.status == 401


def test_rotation_verifies_both_keys_signs_with_the_first_and_forgets_the_last():
    before = tokens(k1=OLD).issue("a", "viewer", int(time.time()))
    both = tokens(k2=NEW, k1=OLD)
    assert both.read(before.access_token, "access").key_id == "a"
    fresh = both.issue("a", "viewer", int(time.time()))
    assert jwt.get_unverified_header(fresh.access_token)["kid"] == "k2"
    after = tokens(k2=NEW)
    assert after.read(fresh.refresh_token, "refresh").key_id == "a"
    with pytest.raises(Denied, match="not known"):
        after.read(before.access_token, "access")


def test_a_token_ends_with_its_key_and_never_has_more_rights_than_it():
    now_s = time.time()
    text, key = make_key("desk", "operator", NOW_MS)
    issuer = tokens()
    door = keeper(table_with(key), issuer)
    pair = door.tokens_for(door.identify(Shown(text), now_s), now_s)
    known = door.identify(Shown(pair.access_token), now_s)
    assert (known.role, known.key_id) == (Role.OPERATOR, key.id)
    assert "expired" in door.ended(known, now_s + 901)
    with pytest.raises(Denied, match="no access token"):
        door.identify(Shown(pair.refresh_token), now_s)
    with pytest.raises(Denied, match="no refresh token"):
        door.refreshed(pair.access_token, now_s)
    assert not door.use(pair.refresh_token, "call", now_s).ended
    assert door.refreshed(pair.refresh_token, now_s).access_token != pair.access_token
    with pytest.raises(Denied, match="makes no tokens"):
        door.tokens_for(known, now_s)
    stolen = issuer.issue(key.id, "admin", int(now_s))
    assert door.identify(Shown(stolen.access_token), now_s).role is Role.OPERATOR
    dead = keeper(table_with(msgspec.structs.replace(key, revoked_ms=1)), issuer)
    assert "revoked" in dead.ended(known, now_s)
    for read in (
        lambda: dead.identify(Shown(pair.access_token), now_s),
        lambda: dead.use(pair.refresh_token, "call", now_s),
        lambda: dead.refreshed(pair.refresh_token, now_s),
        lambda: keeper(KeyTable(), issuer).identify(Shown(pair.access_token), now_s),
    ):
        with pytest.raises(Denied):
            read()


@pytest.mark.parametrize("text", ["k1", "k1:short", f":{OLD}", f"k1:{OLD},k1:{NEW}"])
def test_bad_signing_keys_are_told_without_quoting_them(text):
    with pytest.raises(Misconfigured) as told:
        parse_signing_keys(text)
    assert "short" not in str(told.value)
    assert OLD not in str(told.value)


def test_without_signing_keys_there_are_no_tokens():
    with pytest.raises(Denied, match="GATEWAY_JWT_KEYS"):
        Tokens({}, 900, 3_600).issue("a", "viewer", 1)
