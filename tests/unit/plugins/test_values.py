from __future__ import annotations

import pytest
from google.protobuf import struct_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from local.plugins.protocol.errors import ProviderError, UnsupportedError, redact
from local.plugins.protocol.values import (
    SIGNATURE_KEY,
    UNKNOWN,
    Secret,
    Value,
    decode,
    encode,
    has_secret,
    has_unknown,
    reveal,
    secret_strings,
)

KEYS = st.text(max_size=8)  # a signature key is much longer
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.integers(-(10**6), 10**6).map(lambda number: number + 0.5)
    | st.text(max_size=20)
    | st.just(UNKNOWN)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | inner.map(lambda value: value if isinstance(value, Secret) else Secret(value))
    ),
    max_leaves=20,
)


@settings(max_examples=50)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_the_engine_sends_survives_the_way_through_the_plugin(properties: dict[str, Value]) -> None:
    assert decode(encode(properties)) == properties


@settings(max_examples=50)
@given(VALUES)
def test_revealed_values_hold_no_secret_and_lose_nothing_else(value: Value) -> None:
    assert not has_secret(reveal(value))
    assert has_unknown(reveal(value)) == has_unknown(value)


@pytest.mark.parametrize("number", [1.0, 0.0, -3.0])
def test_integral_numbers_arrive_as_integers(number: float) -> None:
    struct = struct_pb2.Struct()
    struct.update({"replicas": number})
    assert type(decode(struct)["replicas"]) is int


@pytest.mark.parametrize(
    "identifier", ["04da6b54-80e4-46f7-96ec-b56ff0331ba9", "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"]
)
def test_every_kind_of_unknown_is_recognised(identifier: str) -> None:
    struct = struct_pb2.Struct()
    struct.update({"value": identifier})
    assert decode(struct) == {"value": UNKNOWN}


def test_output_values_become_secrets_and_unknowns() -> None:
    struct = struct_pb2.Struct()
    struct.update(
        {
            "unknown": {SIGNATURE_KEY: "d0e6a833031e9bbcd3f4e8bde6ca49a4"},
            "secret": {SIGNATURE_KEY: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "value": "x", "secret": True},
            "plain": {SIGNATURE_KEY: "d0e6a833031e9bbcd3f4e8bde6ca49a4", "value": "x"},
        }
    )
    assert decode(struct) == {"unknown": UNKNOWN, "secret": Secret("x"), "plain": "x"}


def test_assets_are_refused_by_name() -> None:
    struct = struct_pb2.Struct()
    struct.update({"file": {SIGNATURE_KEY: "c44067f5952c0a294b673a41bacd8c17", "text": "x"}})
    with pytest.raises(ProviderError, match="an asset"):
        decode(struct)


def test_a_secret_never_shows_in_its_representation() -> None:
    assert "swordfish" not in repr({"password": Secret("swordfish")})


def test_secret_strings_are_found_at_any_depth() -> None:
    value = {"a": Secret({"b": ["one", 2]}), "c": [Secret("three")], "d": "public"}
    assert secret_strings(value) == {"one", "three"}


@pytest.mark.parametrize(
    ("message", "secrets", "expected"),
    [
        ("the password is swordfish.", {"swordfish"}, "the password is [secret]."),
        ("swordfish-and-more", {"swordfish", "swordfish-and-more"}, "[secret]"),
        ("line-two stands alone", {"line-one\nline-two\n"}, "[secret] stands alone"),
        ("8 of 8", {"8"}, "8 of 8"),
    ],
)
def test_messages_are_blotted_out(message: str, secrets: set[str], expected: str) -> None:
    assert redact(message, secrets) == expected


def test_a_refusal_names_what_and_the_mend() -> None:
    assert str(UnsupportedError("resource type x:y:Z", "command")) == (
        "resource type x:y:Z is not supported by the stand-in for pulumi-resource-command (local/plugins):"
        " use the official plugin (PLUGINS=official)"
    )
