"""The word that settings of images are made of: the beginning of images' names."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from releases.image_names import is_registry
from stacks.problems import refuse
from stacks.vocabulary import HOST_LABEL

_PORT_MAX: Final = 65_535

_PORT: Final = r":[0-9]{1,5}"
_PATH: Final = r"(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
_PREFIX: Final = re.compile(rf"{HOST_LABEL}(\.{HOST_LABEL})*({_PORT})?{_PATH}")
_WITH_REGISTRY: Final = rf"((localhost|{HOST_LABEL}(\.{HOST_LABEL})+)({_PORT})?|{HOST_LABEL}{_PORT}){_PATH}"
"""The same, where its first part is a registry: for editors."""


def _image_prefix(value: str) -> str:
    if not _PREFIX.fullmatch(value):
        refuse(
            "not a registry with an optional path",
            "write it without scheme, tag or last slash, such as registry.example.com/mirror",
        )
    first = value.partition("/")[0]
    if not is_registry(first):
        refuse(
            f"without a dot or a port {first} is no registry to container runtimes, but a path of docker.io",
            f"write the registry's whole name, such as {first}.example.com or {first}:5000; what is Docker's"
            " begins with docker.io/, and an image of one word with docker.io/library/",
        )
    _, colon, port = first.partition(":")
    if colon and not 1 <= int(port) <= _PORT_MAX:
        refuse(f"there is no port {port}", f"use one of 1 to {_PORT_MAX}")
    return value


ImagePrefix = Annotated[
    str,
    AfterValidator(_image_prefix),
    WithJsonSchema(
        {"type": "string", "pattern": f"^({_WITH_REGISTRY})$", "examples": ["registry.example.com/mirror"]}
    ),
]
