"""What the configurations of our HAProxys have in common."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from components.gateway_answers import ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.gateway_answers import Answer

FOLDER: Final = "/etc/haproxy"
"""Where the pods of an HAProxy have its configuration."""

CONFIGURATION: Final = "haproxy.cfg"

CONNECTIONS: Final = 256
"""Events that a pod takes at once; others wait in the kernel's queue, which costs no memory of the pod's."""

METRICS_PORT: Final = 8404
"""Where health and metrics are told."""

HEALTH_PATH: Final = "/healthz"

HEADER_LIMIT: Final = 16 * 1024
"""Bytes that the headers of a request may have: HAProxy itself takes as much as its buffer holds."""

DRAIN_SECONDS: Final = 75
"""How long events that were taken may still last when a pod ends: a little more than any is waited for."""

ANSWER_SECONDS: Final = 60
"""How long a listener may take to answer. It does so before it works; who is slower is broken."""

_OWN_CONNECTIONS: Final = 32
"""Connections beside events': probes and metrics."""

NUMBERED: Final = "http-after-response set-header X-Request-ID %[unique-id]"
"""Rule by which every answer has the request's number, under which the log has it."""

RESOLVING: Final = "resolvers names init-addr none"
"""Of a server known by name: its address may change, and need not be known when HAProxy starts."""

RESOLVERS: Final = """\
resolvers names
    parse-resolv-conf
    accepted_payload_size 4096
    hold valid 10s"""


def global_section(*, buffer: int, more: tuple[str, ...] = ()) -> str:
    """Write the section `global`.

    Parameters
    ----------
    buffer
        Bytes of a buffer.
    more
        Further lines.
    """
    further = "".join(f"\n    {line}" for line in more)
    return f"""\
global
    log stdout len 8192 format raw local0
    maxconn {CONNECTIONS + _OWN_CONNECTIONS}
    # A container doesn't show how much of its node's processors is its own.
    nbthread 2
    hard-stop-after {DRAIN_SECONDS}s
    tune.bufsize {buffer}
    tune.maxrewrite 8192
    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
    ssl-default-server-options ssl-min-ver TLSv1.3{further}"""


def defaults(log: Mapping[str, str]) -> str:
    """Write the section `defaults`.

    Parameters
    ----------
    log
        Further fields of a line of the log, in HAProxy's log format: what others sent goes through `json`,
        and no body, no query and no secret is among them.
    """
    lines = [
        "defaults",
        "    mode http",
        "    log global",
        "    option dontlognull",
        # An event, a connection: none is on its way on a connection that an end closes as idle.
        "    option httpclose",
        # Else one connection of HTTP/2 would be a hundred events at once, and the limits count connections.
        "    option disable-h2-upgrade",
        "    timeout http-request 5s",
        "    timeout client 30s",
        "    timeout connect 1500ms",
        f"    timeout server {ANSWER_SECONDS}s",
        "    timeout queue 5s",
        # Tried again only where nothing was sent: Pipelines as Code works on whatever it got.
        "    retries 3",
        "    retry-on conn-failure",
        "    unique-id-format %[uuid()]",
        f"    log-format {_log_format(log)}",
        *(f"    http-error {_content(one)}" for one in ERRORS),
    ]
    return "\n".join(lines)


def metrics(bind: str) -> str:
    """Write the frontend that tells health and metrics.

    Parameters
    ----------
    bind
        Address and port.
    """
    return f"""\
frontend metrics
    bind {bind}
    http-request set-log-level silent
    monitor-uri {HEALTH_PATH}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    http-request return status 404"""


def server_address(host: str, port: int) -> str:
    """Write where a server is, as HAProxy's `server` has it.

    Parameters
    ----------
    host
        Address, or DNS name.
    port
        Port.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"{host}:{port} {RESOLVING}"
    literal = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 -- of IP
    return f"{literal}:{port}"


def returned(answer: Answer) -> str:
    """Write the rule that gives an answer.

    Parameters
    ----------
    answer
        The answer.
    """
    headers = "".join(f' hdr {name} "{value}"' for name, value in answer.headers)
    return f"return {_content(answer)}{headers}"


def _content(answer: Answer) -> str:
    # As in a shell, a quotation mark ends the text, and stands escaped before the next begins.
    quoted = answer.reason.replace("'", r"'\''")
    body = f'{{"error":"{answer.name}","reason":"{quoted}","requestId":"%[unique-id]"}}'
    return f"status {answer.status} content-type application/json lf-string '{body}'"


_LOG: Final[Mapping[str, str]] = {
    "time": "%[date,utime(%Y-%m-%dT%H:%M:%S)]Z",
    "requestId": "%ID",
    "source": "%ci",
    "method": "%HM",
    "path": "%[var(txn.path),json(utf8s)]",
    "backend": "%b",
    "end": "%tsc",
    "retries": "%rc",
}
_LOG_NUMBERS: Final[Mapping[str, str]] = {
    "status": "%ST",
    "bytesReceived": "%U",
    "millisecondsWaited": "%Tw",
    "millisecondsConnecting": "%Tc",
    "millisecondsAnswering": "%Tr",
    "milliseconds": "%Ta",
}


def _log_format(more: Mapping[str, str]) -> str:
    texts = [f'"{name}":"{value}"' for name, value in {**_LOG, **more}.items()]
    numbers = [f'"{name}":{value}' for name, value in _LOG_NUMBERS.items()]
    return f"'{{{','.join([*texts, *numbers])}}}'"
