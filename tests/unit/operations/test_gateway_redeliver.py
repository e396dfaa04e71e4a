"""The command `gateway redeliver`: which hooks it asks, by which credential, and how it ends."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from typer.testing import CliRunner, Result

from local.git_provider.hooks import Hook
from local.git_provider.provider import GitProvider
from local.git_provider.repository import Repository
from local.git_provider.server import served
from operations.__main__ import app
from operations.provider_api import ProviderApi
from operations.pulumi_cli import PulumiCli
from operations.redeliver import alone
from tests.support.receiver import Receiver, receiver

URL = "https://git.example.com/demo/app"
STACK_FILE = """\
config:
  pipeline-service:kcp:
    kubeconfig: {path: kcp}
  pipeline-service:computeClusters:
    local-a:
      kubeconfig: {path: local-a}
  pipeline-service:tenants:
    demo:
      cluster: local-a
      access:
        developers: {users: [alice]}
      repositories: [https://git.example.com/demo/app]
    bare:
      cluster: local-a
      access:
        developers: {users: [alice]}
    public:
      cluster: local-a
      access:
        developers: {users: [alice]}
      repositories: [https://github.com/public/app]
    several:
      cluster: local-a
      access:
        developers: {users: [alice]}
      repositories: [https://github.com/several/app, https://git.example.com/several/app]
"""
APP = """\
  pipeline-service:pipelinesAsCode:
    enabled: true
    githubApp:
      id: 7
      apiUrl: https://api.example.com
      privateKey: {path: key.pem}
      webhookSecret: {path: webhook}
"""


class Stage:
    """A project, its provider and its gateway."""

    def __init__(self, folder: Path, provider: GitProvider, gateway: Receiver) -> None:
        self.folder, self.provider, self.gateway = folder, provider, gateway
        self.repository: Repository = provider.add_repository(URL)
        self.token = provider.add_token(self.repository)
        self.hook: Hook = provider.add_hook(self.repository, f"{gateway.url}/tenants/demo", "s3cret")

    def push(self) -> str:
        return self.provider.push(self.hook, self.repository, {"file": str(len(self.hook.deliveries))})[
            1
        ].guid

    def run(self, options: str, **variables: str) -> Result:
        where = f"gateway redeliver --stack dev --project {self.folder} --since 1h --wait 10 {options}"
        return CliRunner().invoke(app, shlex.split(where), env={"GITHUB_TOKEN": None, **variables})


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    (tmp_path / "Pulumi.dev.yaml").write_text(STACK_FILE)
    provider = GitProvider(tmp_path / "git")
    with served(provider), receiver() as gateway:
        output: Callable[..., str] = lambda *_: json.dumps({"url": gateway.url})  # noqa: E731
        monkeypatch.setattr(PulumiCli, "output_of", output)
        yield Stage(tmp_path, provider, gateway)


def github(stage: Stage) -> str:
    return f"--tenant demo --provider github --api-url {stage.provider.api}/api/v3"


def test_it_ends_with_3_while_something_is_lost_and_with_0_once_it_is_delivered(stage: Stage) -> None:
    stage.gateway.answers = [503]
    guid = stage.push()
    done = stage.run(f"{github(stage)} --dry-run", GITHUB_TOKEN=stage.token)
    assert (done.exit_code, "would be sent again" in done.output) == (3, True), done.output
    done = stage.run(f"{github(stage)} --wait 4", GITHUB_TOKEN=stage.token)
    assert (done.exit_code, "sent again, failed again" in done.output) == (3, True), done.output

    stage.gateway.answers = [202]
    done = stage.run(f"{github(stage)} --json", GITHUB_TOKEN=stage.token)
    assert done.exit_code == 0, done.output
    [event] = json.loads(done.stdout)["events"]
    assert (event["id"], event["result"], event["attempts"]) == (guid, "delivered", 3)

    done = stage.run(github(stage), GITHUB_TOKEN=stage.token)
    assert (done.exit_code, done.output.strip()) == (0, "every event since then was delivered")
    assert stage.gateway.guids() == [guid] * 3
    assert stage.token not in done.output


def test_what_is_refused_is_listed_and_is_no_reason_to_alarm(stage: Stage) -> None:
    stage.gateway.answers = [404]
    stage.push()
    done = stage.run(github(stage), GITHUB_TOKEN=stage.token)
    assert done.exit_code == 0
    assert "it was refused: once the cause is mended, --also refused sends it again" in done.output
    stage.gateway.answers = [202]
    assert stage.run(f"{github(stage)} --also refused", GITHUB_TOKEN=stage.token).exit_code == 0
    assert len(stage.gateway.received) == 2


def test_two_runs_at_once_do_not_send_an_event_twice(stage: Stage) -> None:
    stage.gateway.answers = [503, 202]
    guid = stage.push()
    with alone(stage.folder / ".run" / "dev"):
        refused = stage.run(github(stage), GITHUB_TOKEN=stage.token)
        assert (refused.exit_code, "another run for stack dev is at work" in refused.output) == (1, True)
        assert stage.gateway.guids() == [guid]
        assert stage.run(f"{github(stage)} --dry-run", GITHUB_TOKEN=stage.token).exit_code == 3
    assert stage.run(github(stage), GITHUB_TOKEN=stage.token).exit_code == 0
    assert stage.gateway.guids() == [guid] * 2


def test_the_apps_hook_is_asked_with_the_key_of_the_settings(stage: Stage) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (stage.folder / "key.pem").write_bytes(pem)
    stack_file = stage.folder / "Pulumi.dev.yaml"
    stack_file.write_text(STACK_FILE + APP)
    made = stage.provider.add_app(7, key.public_key(), f"{stage.gateway.url}/", "s3cret")
    made.installations[70] = {stage.repository.full_name}
    stage.gateway.answers = [503, 202]
    stage.provider.push(made.hook, stage.repository, {"a": "b"})

    # The settings take https alone, which this provider on loopback doesn't speak.
    base = ProviderApi

    def at_the_provider(**given: object) -> object:
        assert given.pop("base") == "https://api.example.com"
        return base(base=f"{stage.provider.api}/api/v3", **given)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("operations.gateway_commands.ProviderApi", at_the_provider)
        done = stage.run("--app")
    assert done.exit_code == 0, done.output
    assert "App 7" in done.output
    assert [event.path for event in stage.gateway.received] == ["/", "/"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "nothing is chosen; give --app, or --tenant NAME"),
        ("--app", "the stack has no GitHub App"),
        ("--tenant dmeo", 'there is no tenant "dmeo"; did you mean'),
        ("--tenant bare", "tenant bare has no repositories"),
        ("--tenant demo", "it doesn't say what git.example.com is; give --provider"),
        ("--tenant demo --provider gitea", "gitea has no API"),
        ("--tenant demo --provider github", "GITHUB_TOKEN: this environment variable is not set"),
        (
            "--tenant demo --provider gitlab --token-variable MINE",
            "MINE: this environment variable is not set",
        ),
        # What is said of a server of one's own never leads a public one's token, or a token to it, astray.
        ("--tenant public --provider gitlab", "repositories are at github.com"),
        ("--tenant public --api-url https://evil.example.com", "repositories are at github.com"),
        ("--tenant several --provider gitlab", "GITHUB_TOKEN: this environment variable is not set"),
        ("--tenant several --token-variable MINE", "a token is for one host"),
        ("--tenant demo --tenant public --token-variable MINE", "a token is for one host"),
        ("--tenant demo --since soon", "--since soon: neither a length of time nor a time"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_code_1(stage: Stage, options: str, words: str) -> None:
    done = stage.run(options)
    assert done.exit_code == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_wrong_token_is_told_and_not_shown(stage: Stage) -> None:
    done = stage.run(github(stage), GITHUB_TOKEN="very-secret")
    assert done.exit_code == 1
    assert "the credential is refused" in done.stderr
    assert "very-secret" not in done.output


def test_a_stack_without_a_gateway_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PulumiCli, "output_of", lambda *_: json.dumps({"url": None}))
    assert "has no gateway" in stage.run(github(stage), GITHUB_TOKEN=stage.token).stderr
