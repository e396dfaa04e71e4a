"""The words that settings about Git providers and what is shown there are made of: constrained types."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from stacks.problems import refuse

_PROVIDER_URL: Final = re.compile(
    r"(https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?|http://[a-z0-9-]+\.[a-z0-9-]+\.svc(\.cluster\.local)?)"
    r"(:\d{1,5})?(/[A-Za-z0-9._~-]+)*"
)
_CONSOLE_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[^\s\"'<>]*( \w+ [^\s\"'<>]*)*)?")
_DISPLAY_NAME: Final = re.compile(r"[^\s\x00-\x1f]([^\x00-\x1f]{0,58}[^\s\x00-\x1f])?")


def _provider_url(value: str) -> str:
    if not _PROVIDER_URL.fullmatch(value):
        refuse(
            "not the URL of an API",
            "write https://HOST or https://HOST/PATH, the host in lower case, without user, query or"
            " fragment; http:// only for a Service of the cluster: http://NAME.NAMESPACE.svc",
        )
    return value


def _console_url(value: str) -> str:
    if not _CONSOLE_URL.fullmatch(value):
        refuse(
            "not a console's URL",
            "write https://HOST and a path, in which {{ namespace }}, {{ pr }} and the like may stand",
        )
    return value


def _display_name(value: str) -> str:
    if not _DISPLAY_NAME.fullmatch(value):
        refuse("not a name to show", "write 60 printable characters at most, without spaces around")
    return value


def _text(pattern: re.Pattern[str], example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern.pattern})$", "examples": [example]})


ProviderUrl = Annotated[
    str, AfterValidator(_provider_url), _text(_PROVIDER_URL, "https://git.example.com/api/v3")
]
ConsoleUrl = Annotated[
    str,
    AfterValidator(_console_url),
    _text(_CONSOLE_URL, "https://console.example.com/ns/{{ namespace }}/runs/{{ pr }}"),
]
DisplayName = Annotated[str, AfterValidator(_display_name), _text(_DISPLAY_NAME, "Pipeline Service")]
