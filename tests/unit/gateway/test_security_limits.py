"""Where calls come from, how often and how many they may be, and settings that cannot be meant."""

from ipaddress import ip_address

import pytest
from pydantic import SecretStr

from runtime.errors import Misconfigured
from runtime.settings import Settings
from sinks.gateway.security.addresses import (
    client_address,
    is_loopback,
    is_within,
    limited_as,
    parse_address,
    parse_networks,
)
from sinks.gateway.security.buckets import Buckets
from sinks.gateway.security.denied import Denied
from sinks.gateway.security.policy import read_policy, read_tls
from sinks.gateway.security.seats import Seats


def settings(**fields) -> Settings:
    return Settings(_env_file=None, **fields)


# -- addresses


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["10.0.0.1"], "203.0.113.9"),  # nobody trusts the peer
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # the left was made up
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7"], "198.51.100.7"),  # in two headers, too
        ("10.0.0.1", ["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["198.51.100.7, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["9.9.9.9," * 500 + "198.51.100.7"], "198.51.100.7"),
    ],
)
def test_only_what_trusted_proxies_say_of_the_caller_is_believed(peer, headers, client):
    proxies = parse_networks("X", ["10.0.0.0/8"])
    assert client_address(ip_address(peer), headers, proxies) == ip_address(client)


def test_networks_hold_addresses_and_a_bad_one_names_its_setting():
    allowed = parse_networks("X", ["192.0.2.0/24", "2001:db8::/32"])
    assert is_within(parse_address("::ffff:192.0.2.7"), allowed)
    assert is_within(parse_address("2001:db8::1"), allowed)
    assert not is_within(parse_address("192.0.3.1"), allowed)
    for bad in ("192.0.2.1/24", "everybody", ""):
        with pytest.raises(Misconfigured, match="STREAMER_GATEWAY_ALLOWED_NETWORKS"):
            read_policy(settings(gateway_allowed_networks=(bad,)))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:9500", "localhost:9500", "[::1]:1", "::1"]
)
def test_names_of_this_machine(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "192.0.2.1",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "192.0.2.1:80",
        "::",
        "[::1].evil",
        "[::1]x",
        "[::1]:a",
        "127.0.0.1:x",
        "localhost:evil",
        "[127.0.0.1",
        "[]",
    ],
)
def test_names_of_other_machines(host):
    assert not is_loopback(host)


def test_one_customer_of_ipv6_is_limited_as_one():
    assert limited_as(parse_address("2001:db8::1")) == limited_as(parse_address("2001:db8::2"))
    assert limited_as(parse_address("192.0.2.1")) != limited_as(parse_address("192.0.2.2"))


# -- limits


def test_a_bucket_lets_a_burst_through_then_its_rate_and_says_when_to_return():
    buckets = Buckets()
    taken = [buckets.take("a", 10, 1.0, 100.0) for _ in range(21)]
    assert taken[:20] == [0.0] * 20
    assert taken[20] == pytest.approx(0.1)
    assert buckets.take("b", 10, 1.0, 100.0) == 0.0
    assert buckets.take("a", 10, 1.0, 100.15) == 0.0
    assert buckets.take("a", 10, 1.0, 100.15) > 0
    assert buckets.take("a", 10, 1.0, 50.0) > 0  # a clock that goes back earns nothing


def test_buckets_are_bounded(monkeypatch):
    monkeypatch.setattr("sinks.gateway.security.buckets.BUCKETS_MAX", 10)
    buckets = Buckets()
    for name in range(100):
        buckets.take(str(name), 10, 1.0, 1.0)
    assert len(buckets._held) == 10


def test_seats_are_given_back_and_too_many_are_told():
    seats = Seats({"all": 9, "address": 2, "key": 9})
    with seats.taken("address", "a"), seats.taken("address", "a"):
        with seats.taken("address", "b"):
            pass
        with pytest.raises(Denied) as denied, seats.taken("address", "a"):
            pass
        assert (denied.value.status, denied.value.headers["retry-after"]) == (429, "5")
    with seats.taken("address", "a"):
        assert seats.count("address", "a") == 1
    assert seats.count("address", "a") == 0


# -- settings


@pytest.mark.parametrize(
    ("fields", "setting"),
    [
        ({"wss_auth_user": "admin"}, "STREAMER_WSS_AUTH_KEY"),
        ({"wss_auth_key": SecretStr("12345678")}, "STREAMER_WSS_AUTH_KEY"),
        ({"gateway_cors_origins": ("*",)}, "STREAMER_GATEWAY_CORS_ORIGINS"),
        ({"gateway_cors_origins": ("https://a.example/",)}, "STREAMER_GATEWAY_CORS_ORIGINS"),
        ({"gateway_trusted_proxies": ("x",)}, "STREAMER_GATEWAY_TRUSTED_PROXIES"),
    ],
)
def test_bad_settings_are_named(fields, setting):
    with pytest.raises(Misconfigured, match=setting):
        read_policy(settings(**fields))


def test_a_certificate_that_cannot_be_loaded_is_named(tmp_path):
    bad = tmp_path / "cert.pem"
    bad.write_text("no certificate")
    with pytest.raises(Misconfigured, match="STREAMER_GATEWAY_TLS_KEY"):
        read_tls(settings(gateway_tls_cert=bad))
    with pytest.raises(Misconfigured, match="STREAMER_GATEWAY_TLS_CERT"):
        read_tls(settings(gateway_tls_cert=bad, gateway_tls_key=bad))
    assert read_tls(settings()) is None
