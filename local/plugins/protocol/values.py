"""Property values on the wire and in memory.

The engine sends properties as a protobuf ``Struct``. A value that is not known yet is a string with a fixed
UUID, a secret is an object with a signature key, every number is a float (source:
sdk/go/common/resource/plugin/rpc.go of pulumi v3.224.0). In memory they are plain Python values, with
`UNKNOWN` and `Secret` for the first two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from google.protobuf import struct_pb2

from local.plugins.protocol.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Value: TypeAlias = Any
"""None, bool, int, float, str, `Secret`, `UNKNOWN`, or a list or a str-keyed dict of these."""

Properties: TypeAlias = dict[str, Value]
"""The properties of a resource."""

SIGNATURE_KEY: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a type tag, not a credential)
_OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_REFUSED: Final = {
    "c44067f5952c0a294b673a41bacd8c17": "an asset",
    "0def7320c3a5731c473e5ecbe6d01bc7": "an archive",
    "5cf8f73096256a8f31e491e813e4eb8e": "a resource reference",
}
UNKNOWN_STRING: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_EXACT_INTEGERS: Final = 2**53
"""Beyond this a float no longer tells neighbouring integers apart, so it stays a float."""


class Unknown:
    """The type of `UNKNOWN`: a value that exists only after an update."""

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        """Stay the one instance, so that identity holds in copies."""
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that the engine must encrypt and hide.

    Attributes
    ----------
    value : Value
        The value itself.
    """

    value: Value

    def __repr__(self) -> str:
        return "Secret(...)"


def decode(struct: struct_pb2.Struct) -> Properties:
    """Turn a protobuf ``Struct`` into properties.

    Parameters
    ----------
    struct : google.protobuf.struct_pb2.Struct
        As the engine sends it.

    Returns
    -------
    Properties
        With `Secret` and `UNKNOWN` in place of their encodings and integral floats as integers.

    Raises
    ------
    ProviderError
        Where a value is an asset, an archive or a resource reference.
    """
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Value:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < _EXACT_INTEGERS else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode(item) for item in value.list_value.values]
        case "struct_value":
            return _decode_object(value.struct_value)
        case _:
            return None


def _decode_object(struct: struct_pb2.Struct) -> Value:
    signature = struct.fields[SIGNATURE_KEY].string_value if SIGNATURE_KEY in struct.fields else ""
    if not signature:
        return decode(struct)
    if signature in _REFUSED:
        raise ProviderError(f"a property is {_REFUSED[signature]}, which the stand-in plugins do not support")
    inner = _decode(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
    if signature == _OUTPUT and not struct.fields["secret"].bool_value:
        return inner
    return inner if isinstance(inner, Secret) else Secret(inner)


def encode(properties: Mapping[str, Value]) -> struct_pb2.Struct:
    """Turn properties into a protobuf ``Struct``.

    Parameters
    ----------
    properties : Mapping[str, Value]
        Values of the kinds that `Value` names.

    Returns
    -------
    google.protobuf.struct_pb2.Struct
        As the engine expects it.
    """
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _encode(value, struct.fields[key])
    return struct


def _encode(value: Value, into: struct_pb2.Value) -> None:  # noqa: C901 (one case for each kind of value)
    match value:
        case None:
            into.null_value = struct_pb2.NULL_VALUE
        case bool():
            into.bool_value = value
        case int() | float():
            into.number_value = value
        case str():
            into.string_value = value
        case Unknown():
            into.string_value = UNKNOWN_STRING
        case Secret():
            into.struct_value.fields[SIGNATURE_KEY].string_value = _SECRET
            _encode(value.value, into.struct_value.fields["value"])
        case list():
            into.list_value.SetInParent()
            for item in value:
                _encode(item, into.list_value.values.add())
        case dict():
            into.struct_value.SetInParent()
            for key, item in value.items():
                _encode(item, into.struct_value.fields[key])
        case _:
            raise TypeError(f"a {type(value).__name__} is not a property value")


def reveal(value: Value) -> Value:
    """Return a copy without `Secret` wrappers.

    Parameters
    ----------
    value : Value
        Any value.

    Returns
    -------
    Value
        A deep copy whose containers may be changed without touching the original.
    """
    match value:
        case Secret():
            return reveal(value.value)
        case dict():
            return {key: reveal(item) for key, item in value.items()}
        case list():
            return [reveal(item) for item in value]
        case _:
            return value


def walk(value: Value) -> Iterator[Value]:
    """Yield a value and everything inside it, secrets included.

    Parameters
    ----------
    value : Value
        Any value.

    Yields
    ------
    Value
        Each node, parents first.
    """
    yield value
    match value:
        case Secret():
            yield from walk(value.value)
        case dict():
            for item in value.values():
                yield from walk(item)
        case list():
            for item in value:
                yield from walk(item)


def has_unknown(value: Value) -> bool:
    """Tell whether a value is, or contains, `UNKNOWN`."""
    return any(node is UNKNOWN for node in walk(value))


def has_secret(value: Value) -> bool:
    """Tell whether a value is, or contains, a `Secret`."""
    return any(isinstance(node, Secret) for node in walk(value))


def secret_strings(value: Value) -> set[str]:
    """Collect the text of every secret in a value.

    Parameters
    ----------
    value : Value
        Any value.

    Returns
    -------
    set of str
        Every string inside a `Secret`, keys excluded.
    """
    return {
        leaf
        for node in walk(value)
        if isinstance(node, Secret)
        for leaf in walk(node.value)
        if isinstance(leaf, str)
    }
