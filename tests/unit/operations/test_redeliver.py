"""Redelivery against a real provider's server: what was lost is sent again, once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from local.git_provider.hooks import Hook as ProviderHook
from local.git_provider.hooks import Kind
from local.git_provider.provider import GitProvider, RateLimit
from local.git_provider.repository import Repository
from local.git_provider.server import served
from operations.deliveries import Attempt, Event, Outcome, read_attempts
from operations.errors import OperationError
from operations.provider_api import AppKey, ProviderApi, Token
from operations.provider_hooks import Hook, Provider, app_hook, provider_of, repository_hooks
from operations.redeliver import Also, Result, Row, Wish, read_since, redeliver
from tests.support.receiver import receiver

URL = "https://git.example.com/demo/app"
HOUR = timedelta(hours=1)


class Clock:
    """A clock that only goes when it is told to, or somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.slept: list[float] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """What goes on while somebody sleeps; it is done by the end of it."""

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.meanwhile()
        self.now += timedelta(seconds=seconds)


class Scene:
    """A provider with a repository and its hook, and what asks it."""

    def __init__(self, provider: GitProvider, clock: Clock) -> None:
        self.provider, self.clock = provider, clock
        self.repository: Repository = provider.add_repository(URL)
        self.token = provider.add_token(self.repository)
        self.pushes = 0

    def hook(self, url: str, kind: Kind = Kind.GITHUB) -> ProviderHook:
        return self.provider.add_hook(self.repository, f"{url}/tenants/demo", "s3cret", kind)

    def push(self, hook: ProviderHook, seconds: float = 0) -> str:
        """Push, some time after the push before, and return the event's id."""
        self.clock.now += timedelta(seconds=seconds)
        self.pushes += 1
        _, delivery = self.provider.push(hook, self.repository, {"file": str(self.pushes)})
        return delivery.guid

    def api(
        self, path: str = "/api/v3", *, patience: float = 300.0, skew: timedelta = timedelta()
    ) -> ProviderApi:
        return ProviderApi(
            base=self.provider.api + path,
            credential=Token(value=self.token),
            patience=patience,
            clock=lambda: self.clock() + skew,
            sleep=self.clock.sleep,
        )

    def hooks(self, gateway: str, kind: Provider = Provider.GITHUB) -> list[Hook]:
        path = "/api/v3" if kind is Provider.GITHUB else "/api/v4"
        return repository_hooks(self.api(path), kind, URL, gateway)

    def run(self, gateway: str, kind: Provider = Provider.GITHUB, **wish: object) -> list[Row]:
        given: dict[str, object] = {"since": HOUR, "wait": 10.0, "sleep": self.clock.sleep, **wish}
        return redeliver(self.hooks(gateway, kind), Wish(**given))  # type: ignore[arg-type]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    clock = Clock()
    provider = GitProvider(tmp_path / "git", clock=clock)
    clock.meanwhile = provider.sender.finish
    with served(provider):
        yield Scene(provider, clock)
    assert provider.unknown == []


def test_what_was_lost_is_sent_again_once_and_a_second_run_does_nothing(scene: Scene) -> None:
    with receiver(202, 503, 503, 202) as gateway:
        hook = scene.hook(gateway.url)
        scene.push(hook)
        lost = [scene.push(hook, 10), scene.push(hook, 10)]

        rows = scene.run(gateway.url)
        assert [(row.event.guid, row.result) for row in rows] == [(guid, Result.DELIVERED) for guid in lost]
        assert not any(row.remains for row in rows)
        assert gateway.guids()[3:] == lost

        assert scene.run(gateway.url) == []
        assert len(gateway.received) == 5


def test_an_attempt_that_fails_again_remains_and_is_sent_again_by_the_next_run(scene: Scene) -> None:
    with receiver(503, 503, 202) as gateway:
        guid = scene.push(scene.hook(gateway.url))
        rows = scene.run(gateway.url)
        assert [(row.event.guid, row.result) for row in rows] == [(guid, Result.FAILED)]
        assert any(row.remains for row in rows)
        assert [row.result for row in scene.run(gateway.url)] == [Result.DELIVERED]
        assert gateway.guids() == [guid] * 3


def test_what_was_refused_or_may_have_been_taken_is_listed_and_sent_only_when_asked(scene: Scene) -> None:
    with receiver(404, 504, 413, 202) as gateway:
        hook = scene.hook(gateway.url)
        unknown, slow, large = scene.push(hook), scene.push(hook), scene.push(hook)
        rows = scene.run(gateway.url)
        assert [(row.event.guid, row.event.outcome, row.result) for row in rows] == [
            (unknown, Outcome.REFUSED, Result.NOT_SENT),
            (slow, Outcome.UNSURE, Result.NOT_SENT),
            (large, Outcome.REFUSED, Result.NOT_SENT),
        ]
        assert [row.remains for row in rows] == [False, True, False]
        assert len(gateway.received) == 3

        rows = scene.run(gateway.url, also=frozenset({Also.REFUSED}))
        assert [row.result for row in rows] == [Result.DELIVERED, Result.NOT_SENT, Result.DELIVERED]
        rows = scene.run(gateway.url, also=frozenset({Also.UNSURE}))
        assert [row.result for row in rows] == [Result.DELIVERED]
        assert gateway.guids()[3:] == [unknown, large, slow]


def test_a_dry_run_sends_nothing_and_says_what_it_would_send(scene: Scene) -> None:
    with receiver(503) as gateway:
        scene.push(scene.hook(gateway.url))
        rows = scene.run(gateway.url, dry_run=True)
        assert [row.result for row in rows] == [Result.WOULD_SEND]
        assert any(row.remains for row in rows)
        assert len(gateway.received) == 1
    assert not [one for one in scene.provider.asked if one.method == "POST"]


def test_the_window_holds_what_is_just_within_it_by_the_providers_clock(scene: Scene) -> None:
    with receiver(503, 503, 503, 202) as gateway:
        hook = scene.hook(gateway.url)
        before = scene.push(hook)
        edge, within = scene.push(hook, 1), scene.push(hook, 1)
        scene.clock.now += HOUR - timedelta(seconds=1)  # edge lies exactly an hour back
        for skew in (timedelta(hours=5), timedelta(hours=-5)):
            api = scene.api(skew=skew)
            hooks = repository_hooks(api, Provider.GITHUB, URL, gateway.url)
            rows = redeliver(hooks, Wish(since=HOUR, dry_run=True))
            assert [row.event.guid for row in rows] == [edge, within]
        rows = redeliver(scene.hooks(gateway.url), Wish(since=scene.clock.now - 2 * HOUR, dry_run=True))
        assert [row.event.guid for row in rows] == [before, edge, within]


def test_an_event_that_once_got_through_is_never_sent_again_however_long_ago(scene: Scene) -> None:
    with receiver(202, 503) as gateway:
        hook = scene.hook(gateway.url)
        scene.push(hook)
        for _ in range(150):  # more than a page, all delivered long before the window
            hook.deliveries.insert(0, hook.deliveries[0])
        scene.clock.now += 3 * HOUR
        first = hook.deliveries[-1]
        scene.provider.sender.resend(hook, first)  # somebody had it sent again by hand, and that failed
        assert scene.run(gateway.url) == []
        assert len(gateway.received) == 2


def test_a_failure_whose_first_attempt_is_no_longer_listed_is_left_to_people(scene: Scene) -> None:
    with receiver(202, 503) as gateway:
        hook = scene.hook(gateway.url)
        scene.push(hook)
        scene.provider.sender.resend(hook, hook.deliveries[0])
        del hook.deliveries[-1]  # the provider keeps a few days
        [row] = scene.run(gateway.url)
        assert (row.result, row.remains) == (Result.NOT_SENT, True)
        assert "no longer listed" in row.why
        assert len(gateway.received) == 2


def test_more_lost_events_than_a_page_holds_are_found_and_each_is_sent_once(scene: Scene) -> None:
    with receiver(503) as gateway:
        hook = scene.hook(gateway.url)
        commit = scene.repository.commit({"file": "x"}, "Change")
        announce = scene.provider.announce
        lost = [announce(hook, scene.repository, commit).guid for _ in range(120)]
        gateway.answers = [202]
        rows = scene.run(gateway.url)
        assert [row.event.guid for row in rows] == lost
        assert {row.result for row in rows} == {Result.DELIVERED}
        assert gateway.guids()[120:] == lost


@pytest.mark.parametrize(("told", "seconds"), [(True, 90), (False, 60)])
def test_a_limit_of_requests_is_waited_for_if_that_is_soon_enough(
    scene: Scene, *, told: bool, seconds: int
) -> None:
    with receiver(503, 202) as gateway:
        scene.push(scene.hook(gateway.url))
        reset = scene.clock.now + timedelta(seconds=90)
        scene.provider.limit = RateLimit(left=1, reset=reset, told=told)
        assert [row.result for row in scene.run(gateway.url)] == [Result.DELIVERED]
        assert seconds <= max(scene.clock.slept) < seconds + 5
        assert len(gateway.received) == 2

    scene.provider.limit = RateLimit(left=0, reset=scene.clock.now + HOUR)
    with pytest.raises(OperationError, match=r"limit of requests is reached for 36\d\d s more"):
        scene.run(gateway.url)


@pytest.mark.parametrize(("code", "also"), [(503, frozenset[Also]()), (404, frozenset({Also.REFUSED}))])
def test_one_event_that_cannot_be_sent_remains_and_does_not_keep_the_others(
    scene: Scene, code: int, also: frozenset[Also]
) -> None:
    with receiver(code, code, 202) as gateway:
        hook = scene.hook(gateway.url)
        scene.push(hook)
        second = scene.push(hook, 1)
        [listed] = scene.hooks(gateway.url)

        class Stumbling(Hook):
            def send(self, attempt: Attempt) -> None:
                wrong = type(attempt)(**{**vars(attempt), "number": 999_999})
                super().send(attempt if attempt.guid == second else wrong)

        wish = Wish(since=HOUR, also=also, wait=10, sleep=scene.clock.sleep)
        rows = redeliver([Stumbling(**vars(listed))], wish)
        assert [row.result for row in rows] == [Result.UNSENDABLE, Result.DELIVERED]
        assert "not there" in rows[0].why
        assert [row.remains for row in rows] == [True, False]
        assert gateway.guids()[2:] == [second]


def test_an_answer_that_does_not_come_in_time_is_told(scene: Scene) -> None:
    with receiver(503) as gateway:
        hook = scene.hook(gateway.url)
        scene.push(hook)
        scene.provider.sender.resend_later = lambda *_: None  # type: ignore[method-assign]
        [row] = scene.run(gateway.url, wait=4.0)
        assert (row.result, row.remains) == (Result.PENDING, True)


@pytest.fixture
def app_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.mark.parametrize("skew", [timedelta(), timedelta(hours=2), timedelta(hours=-2)])
def test_an_apps_hook_is_asked_with_a_token_of_its_key_also_by_a_wrong_clock(
    scene: Scene, app_key: rsa.RSAPrivateKey, skew: timedelta
) -> None:
    pem = app_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    with receiver(503, 202) as gateway:
        app = scene.provider.add_app(7, app_key.public_key(), f"{gateway.url}/", "s3cret")
        app.installations[70] = {scene.repository.full_name}
        scene.push(app.hook)
        api = ProviderApi(
            base=f"{scene.provider.api}/api/v3",
            credential=AppKey.read(7, pem, "the App's key"),
            clock=lambda: scene.clock() + skew,
            sleep=scene.clock.sleep,
        )
        rows = redeliver([app_hook(api, 7)], Wish(since=HOUR, wait=10, sleep=scene.clock.sleep))
        assert [(row.hook, row.result) for row in rows] == [("App 7", Result.DELIVERED)]
        assert [event.path for event in gateway.received] == ["/", "/"]

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    wrong = ProviderApi(
        base=f"{scene.provider.api}/api/v3", credential=AppKey(app=7, key=other), clock=scene.clock
    )
    with pytest.raises(OperationError, match="credential is refused"):
        redeliver([app_hook(wrong, 7)], Wish(since=HOUR))


def test_at_gitlab_an_event_is_resent_at_the_pace_that_it_allows(scene: Scene) -> None:
    with receiver(503) as gateway:
        hook = scene.hook(gateway.url, Kind.GITLAB)
        lost = [scene.push(hook, 1) for _ in range(7)]
        gateway.answers = [202]
        rows = scene.run(gateway.url, Provider.GITLAB)
        assert [(row.event.guid, row.result) for row in rows] == [(guid, Result.DELIVERED) for guid in lost]
        assert max(scene.clock.slept) >= 60  # five a minute
        assert [one.headers["Idempotency-Key"] for one in gateway.received[7:]] == lost
        assert scene.run(gateway.url, Provider.GITLAB) == []


def test_the_token_is_in_no_error_and_goes_to_no_other_address(scene: Scene) -> None:
    hidden = "very-secret"
    api = ProviderApi(base=f"{scene.provider.api}/api/v3", credential=Token(value=hidden), clock=scene.clock)
    with pytest.raises(OperationError) as caught:
        repository_hooks(api, Provider.GITHUB, URL, "https://gateway.example.com")
    assert hidden not in str(caught.value)
    assert hidden not in repr(api)
    with pytest.raises(OperationError, match="must not go there unencrypted"):
        ProviderApi(base="http://git.example.com/api/v3", credential=Token(value=hidden))


def test_hooks_that_lead_elsewhere_are_left_alone(scene: Scene) -> None:
    with receiver(503) as gateway, receiver(503) as elsewhere:
        scene.push(scene.hook(elsewhere.url))
        with pytest.raises(OperationError, match="no webhook there leads to"):
            scene.hooks(gateway.url)
        mine = scene.hook(gateway.url)
        assert [hook.name for hook in scene.hooks(gateway.url)] == [f"demo/app hook {mine.number}"]


@pytest.mark.parametrize(
    ("repository", "given", "api_url", "expected"),
    [
        ("https://github.com/a/b", None, None, (Provider.GITHUB, "https://api.github.com")),
        ("https://gitlab.com/a/b/c", None, None, (Provider.GITLAB, "https://gitlab.com/api/v4")),
        (
            "https://ghe.example.com/a/b",
            Provider.GITHUB,
            None,
            (Provider.GITHUB, "https://ghe.example.com/api/v3"),
        ),
        (
            "https://gl.example.com/a/b",
            Provider.GITLAB,
            None,
            (Provider.GITLAB, "https://gl.example.com/api/v4"),
        ),
        ("https://git.example.com/a/b", Provider.GITHUB, "https://x/api", (Provider.GITHUB, "https://x/api")),
    ],
)
def test_the_api_follows_from_the_repositorys_host_or_is_given(
    repository: str, given: Provider | None, api_url: str | None, expected: tuple[Provider, str]
) -> None:
    assert provider_of(repository, given, api_url) == expected


@pytest.mark.parametrize(
    ("repository", "given", "words"),
    [
        ("https://git.example.com/a/b", None, "give --provider"),
        ("https://codeberg.org/a/b", None, "gitea has no API"),
        ("https://bitbucket.org/a/b", None, "bitbucket-cloud has no API"),
        ("https://bb.example.com/a/b", Provider.BITBUCKET_DATACENTER, "bitbucket-datacenter has no API"),
    ],
)
def test_a_provider_without_such_an_api_is_refused_by_name(
    repository: str, given: Provider | None, words: str
) -> None:
    with pytest.raises(OperationError, match=words):
        provider_of(repository, given, None)


@pytest.mark.parametrize(
    ("code", "status", "outcome"),
    [
        (202, "OK", Outcome.DELIVERED),
        (200, "OK", Outcome.DELIVERED),
        (503, "Invalid HTTP Response: 503", Outcome.LOST),
        (429, "Invalid HTTP Response: 429", Outcome.LOST),
        (502, "failed to connect", Outcome.LOST),
        (None, "failed to connect to host", Outcome.LOST),
        (502, "Invalid HTTP Response: 502", Outcome.UNSURE),
        (504, "timed out", Outcome.UNSURE),
        (500, "Invalid HTTP Response: 500", Outcome.UNSURE),
        (None, "connection reset", Outcome.UNSURE),
        (301, "Invalid HTTP Response: 301", Outcome.REFUSED),
        (401, "Invalid HTTP Response: 401", Outcome.REFUSED),
        (404, "Invalid HTTP Response: 404", Outcome.REFUSED),
        (413, "Invalid HTTP Response: 413", Outcome.REFUSED),
        (415, "Invalid HTTP Response: 415", Outcome.REFUSED),
    ],
)
def test_what_an_answer_means(code: int | None, status: str, outcome: Outcome) -> None:
    assert attempt(1, code=code, status=status).outcome is outcome


def attempt(
    number: int, *, guid: str = "e", code: int | None = 503, status: str = "", first: bool = True
) -> Attempt:
    return Attempt(
        number=number,
        guid=guid,
        event="push",
        at=datetime(2026, 1, 31, 12, number, tzinfo=UTC),
        first=first,
        code=code,
        status=status,
    )


def test_one_doubtful_attempt_makes_an_event_doubtful_whatever_came_later() -> None:
    attempts = (attempt(3, first=False), attempt(2, code=504, first=False), attempt(1))
    assert Event(guid="e", attempts=attempts, whole=True).outcome is Outcome.UNSURE
    attempts = (attempt(3, first=False), attempt(2, code=202, first=False), attempt(1, code=504))
    assert Event(guid="e", attempts=attempts, whole=True).outcome is Outcome.DELIVERED


def test_no_page_is_read_that_is_not_needed() -> None:
    def pages() -> Iterator[list[Attempt]]:
        yield [attempt(9), attempt(8, guid="f", code=202)]
        yield [attempt(2, guid="g")]
        pytest.fail("read on")

    start = datetime(2026, 1, 31, 12, 5, tzinfo=UTC)
    assert [one.guid for one in read_attempts(pages(), start)] == ["e"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90m", timedelta(minutes=90)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_since_is_a_length_of_time_or_a_time(text: str, expected: timedelta | datetime) -> None:
    assert read_since(text) == expected


@pytest.mark.parametrize("text", ["", "2", "0h", "2 h", "-1h", "yesterday", "2w"])
def test_any_other_since_is_refused(text: str) -> None:
    with pytest.raises(OperationError, match="--since"):
        read_since(text)
