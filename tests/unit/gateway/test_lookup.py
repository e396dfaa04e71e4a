"""The lookup in the running gateway against a model in Python, on made-up documents and URLs."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from components.gateway_config import Listener, Routing, TenantRoute
from stacks.vocabulary import repository_identity
from tests.support.haproxy import FakeListener, RunningGateway, github, places, running

if TYPE_CHECKING:
    from collections.abc import Iterator

PATHS = ("team/app", "team/app.git.x", "team/app-2", "other/app", "a/b/c/d", "t~_./x-._~")
KNOWN = {repository_identity(f"https://git.example.com/{path}"): path.split("/")[0] for path in PATHS}
TENANTS = {
    owner: tuple(sorted(url for url, one in KNOWN.items() if one == owner)) for owner in set(KNOWN.values())
}
NAMES = {owner: f"tenant-{number}" for number, owner in enumerate(sorted(TENANTS))}


@pytest.fixture(scope="module")
def listeners() -> Iterator[dict[str, FakeListener]]:
    """One for each tenant."""
    made = {name: FakeListener() for name in NAMES.values()}
    with ExitStack() as stack:
        for one in made.values():
            stack.enter_context(one.running())
        yield made


@pytest.fixture(scope="module")
def gateway(
    listeners: dict[str, FakeListener], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    routing = Routing(
        listeners={name: Listener(host="127.0.0.1", port=one.port) for name, one in listeners.items()},
        tenants={
            NAMES[owner]: TenantRoute(cluster=NAMES[owner], repositories=urls)
            for owner, urls in TENANTS.items()
        },
        body_limit=64 * 1024,
        events_per_source=1_000_000,
        events_per_repository=1_000_000,
        places=places(tmp_path_factory.mktemp("gateway")),
    )
    with running(routing) as one:
        yield one


URLS = st.builds(
    "{}{}{}/{}{}{}".format,
    st.sampled_from(["https://", "HTTPS://", "http://", "", "https:///"]),
    st.sampled_from(["git.example.com", "GIT.example.com", "git.example.org", "git.example.com.evil"]),
    st.sampled_from(["", ":443", ":0443", ":8443", ":4430"]),
    st.sampled_from([*PATHS, "team/APP", "team", "team/app/x", "nobody/app", "team//app"]),
    st.sampled_from(["", ".git", ".git.git", ".GIT", "x.git"]),
    st.sampled_from(["", "/", "//", "/.git"]),
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | URLS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["repository", "html_url", "x", 'a"b', "é\\"]), inner, max_size=3)
    ),
    max_leaves=8,
)
BEFORE = st.dictionaries(st.sampled_from(["head", "commits", "html_url", "x.y", "repo"]), VALUES, max_size=3)


def model(url: str) -> str | None:
    """Tell whose a URL is, as the settings would have it."""
    owner = KNOWN.get(repository_identity(url))
    return None if owner is None else NAMES[owner]


@given(url=URLS, before=BEFORE, after=BEFORE, ascii_only=st.booleans(), indent=st.sampled_from([None, 1]))
@example(url="https://git.example.com/team/app", before={}, after={}, ascii_only=True, indent=None)
@example(
    url="https://git.example.com/team/app",
    before={"head": {"repository": {"html_url": "https://x/y/z"}}},
    after={},
    ascii_only=True,
    indent=None,
)
def test_whoever_the_model_says_gets_the_event(  # noqa: PLR0913, PLR0917 -- fixtures, and what is made up
    gateway: RunningGateway,
    listeners: dict[str, FakeListener],
    url: str,
    before: dict[str, Any],
    after: dict[str, Any],
    ascii_only: bool,  # noqa: FBT001 -- made up
    indent: int | None,
) -> None:
    repository = {"id": 1, "owner": {"html_url": "https://git.example.com/other/app"}, "html_url": url}
    document = {**before, "repository": repository, **{f"z{key}": value for key, value in after.items()}}
    had = {name: len(one.delivered) for name, one in listeners.items()}
    body = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()
    answer = gateway.send("/", body, github())
    got = [name for name, one in listeners.items() for _ in one.delivered[had[name] :]]
    whose = model(url)
    assert (answer.status, got) == ((404, []) if whose is None else (202, [whose])), answer.body
