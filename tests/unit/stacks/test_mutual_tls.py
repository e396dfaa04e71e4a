"""The certificates between clusters: what is made is accepted, and each thing that is wrong is told."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from operations.gateway_certificates import make_bundle
from stacks.mutual_tls import BundleError, read_bundle

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOCK = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----\n", re.DOTALL)


def blocks(bundle: str) -> list[str]:
    """Authority; gateways' certificate, key; listeners' certificate, key."""
    return BLOCK.findall(bundle)


def test_a_bundle_that_was_made_is_accepted_in_any_order() -> None:
    bundle = make_bundle(["events.example.com"], days=30, now=NOW)
    read = read_bundle("".join(reversed(blocks(bundle))), ["events.example.com"], NOW)
    authority, gateway, gateway_key, listener, listener_key = blocks(bundle)
    assert read.authority == authority
    assert read.gateway == gateway + gateway_key
    assert read.listener == listener + listener_key
    assert read.expires == NOW + timedelta(days=30)


@pytest.mark.parametrize(("days", "soon"), [(29, True), (31, False)])
def test_the_end_is_told_thirty_days_before(days: int, soon: bool) -> None:  # noqa: FBT001 -- a case
    assert read_bundle(make_bundle(days=days, now=NOW), now=NOW).ends_soon(NOW) is soon


def test_each_bundle_has_keys_of_its_own_and_none_of_its_authority() -> None:
    one, other = make_bundle(now=NOW), make_bundle(now=NOW)
    assert not set(blocks(one)) & set(blocks(other))
    authority = x509.load_pem_x509_certificate(blocks(one)[0].encode())
    read = read_bundle(one, now=NOW)
    for leaf in (read.gateway, read.listener):
        assert x509.load_pem_x509_certificate(leaf.encode()).public_key() != authority.public_key()
    assert one.count("PRIVATE KEY-----") == 4


def wrong(kept: str = "01234", *, bundle: str | None = None) -> str:
    parts = blocks(bundle or make_bundle(now=NOW))
    return "".join(parts[int(place)] for place in kept)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no certificate, or a broken one"),
        ("text", "no certificate, or a broken one"),
        (wrong("1234"), "no certificate of an authority"),
        (wrong("034"), "0 certificates of gateways"),
        (wrong("012"), "0 certificates of events listeners"),
        (wrong("0134"), "no private key of the certificate of gateways"),
        (wrong("0123"), "no private key of the certificate of events listeners"),
        (wrong("011234"), "2 certificates of gateways"),
        (wrong("0") + wrong("1234"), "made by none of its authorities"),
        (make_bundle(days=1, now=NOW - timedelta(days=2)), "and not today"),
        (make_bundle(now=NOW + timedelta(days=2)), "and not today"),
        (
            make_bundle(now=NOW).replace("BEGIN PRIVATE KEY-----\n", "BEGIN PRIVATE KEY-----\nAAAA\n"),
            "a private key that is broken",
        ),
    ],
)
def test_what_is_wrong_with_a_bundle_is_told_without_its_content(text: str, why: str) -> None:
    with pytest.raises(BundleError, match=why) as caught:
        read_bundle(text, now=NOW)
    assert "BEGIN" not in str(caught.value)


def test_a_routes_name_must_be_in_the_certificate() -> None:
    with pytest.raises(BundleError, match=r"has not the name events\.example\.com"):
        read_bundle(make_bundle(now=NOW), ["events.example.com"], NOW)
