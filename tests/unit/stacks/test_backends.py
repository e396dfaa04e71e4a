"""What keeps a stack's state, and who is warned of it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.backends import Secrets, backend_url, elsewhere, secrets_provider, state_warnings
from stacks.settings import EnvironmentSettings

LOCAL = {"path": ".local/kcp/admin.kubeconfig"}
KMS = {"secretsprovider": "awskms://alias/pipelines?region=eu-central-1", "encryptedkey": "AbC="}
PASSWORD = "hunter2"
FALLBACK = {"PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true"}


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))


def settings(kcp: dict[str, str] = LOCAL, **clusters: dict[str, str]) -> EnvironmentSettings:
    return EnvironmentSettings.model_validate(
        {
            "kcp": {"kubeconfig": kcp},
            "computeClusters": {name: {"kubeconfig": source} for name, source in clusters.items()},
        }
    )


def warned(folder: Path, url: str | None, stack_file: dict[str, Any], of: EnvironmentSettings) -> list[str]:
    path = folder / "Pulumi.test.yaml"
    path.write_text(yaml.safe_dump(stack_file))
    variables = {} if url is None else {"PULUMI_BACKEND_URL": url}
    return [
        line.partition(":")[0]
        for line in state_warnings(of, project=folder, stack_file=path, variables=variables)
    ]


REMOTE = settings({"secret": "kcpKubeconfig"})


@pytest.mark.parametrize(
    ("url", "stack_file", "expected"),
    [
        ("file:///srv/state", {}, ["state", "secrets"]),
        ("file:///srv/state", KMS, ["state"]),
        ("s3://bucket", {}, ["secrets"]),
        ("s3://bucket", KMS, []),
        ("s3://bucket", {"secretsprovider": "passphrase"}, ["secrets"]),
        ("https://api.pulumi.com", {}, []),
        ("https://api.pulumi.com", {"secretsprovider": "default"}, []),
        ("https://api.pulumi.com", {"encryptionsalt": "v1:abc"}, ["secrets"]),
        ("https://api.pulumi.com", {"secretsprovider": "passphrase"}, ["secrets"]),
        (None, {}, []),
        (None, {"encryptionsalt": "v1:abc"}, ["secrets"]),
    ],
)
def test_a_state_in_a_folder_and_a_passphrase_are_warned_of(
    tmp_path: Path, url: str | None, stack_file: dict[str, Any], expected: list[str]
) -> None:
    assert warned(tmp_path, url, stack_file, REMOTE) == expected


def test_a_local_environment_is_warned_of_nothing(tmp_path: Path) -> None:
    of = settings(a={"path": ".local/a/kubeconfig"}, b={"path": "./.local/b/kubeconfig"})
    assert elsewhere(of) == []
    assert warned(tmp_path, "file:///srv/state", {"encryptionsalt": "v1:abc"}, of) == []


@pytest.mark.parametrize(
    "source",
    [
        {"path": "secrets/a"},
        {"path": "/etc/.local/a"},
        {"path": ".local-b/a"},
        {"path": ".local/../secrets/a"},
        {"path": ".local/b/../../secrets/a"},
        {"secret": "a"},
        {"environment": "A"},
        {"stack": "org/infra/prod", "output": "a"},
    ],
    ids=str,
)
def test_one_cluster_elsewhere_makes_an_environment_more_than_local(
    tmp_path: Path, source: dict[str, str]
) -> None:
    of = settings(a={"path": ".local/a/kubeconfig"}, b=source)
    assert elsewhere(of) == ["pipeline-service:computeClusters.b.kubeconfig"]
    assert warned(tmp_path, "file:///srv/state", {}, of) == ["state", "secrets"]


def test_a_warning_shows_neither_the_backends_address_nor_the_salt(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text(yaml.safe_dump({"encryptionsalt": "v1:abc"}))
    for url in (f"postgres://sre:{PASSWORD}@db/state", "file:///srv/state"):
        lines = state_warnings(
            REMOTE, project=tmp_path, stack_file=path, variables={"PULUMI_BACKEND_URL": url}
        )
        assert lines
        assert not any(word in "".join(lines) for word in (PASSWORD, "v1:abc", "/srv/state"))
        assert all("docs/state.md" in line for line in lines)


def test_the_first_backend_that_is_named_is_used(tmp_path: Path) -> None:
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    variables = {"PULUMI_HOME": str(home)}
    assert backend_url(project, variables) is None
    (home / "credentials.json").write_text(
        json.dumps({"current": "gs://login", "accessTokens": {"gs://login": PASSWORD}})
    )
    assert backend_url(project, variables) == "gs://login"
    (project / "Pulumi.yaml").write_text("name: x\nbackend: {url: 's3://project'}\n")
    assert backend_url(project, variables) == "s3://project"
    assert backend_url(project, {**variables, "PULUMI_BACKEND_URL": "file://."}) == "file://."


@pytest.mark.parametrize("url", ["https://[::1", "https", "://", "s3:"])
def test_a_backend_that_is_no_url_is_left_to_the_cli(tmp_path: Path, url: str) -> None:
    assert warned(tmp_path, url, KMS, REMOTE) == []


def test_a_folder_of_credentials_of_its_own_comes_before_the_home(tmp_path: Path) -> None:
    for name in ("home", "credentials"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "credentials.json").write_text(json.dumps({"current": f"s3://{name}"}))
    variables = {
        "PULUMI_HOME": str(tmp_path / "home"),
        "PULUMI_CREDENTIALS_PATH": str(tmp_path / "credentials"),
    }
    assert backend_url(tmp_path, variables) == "s3://credentials"


@pytest.mark.parametrize("text", ["{", "[]", "", '{"current": ""}'])
def test_credentials_that_the_cli_would_refuse_name_no_backend(tmp_path: Path, text: str) -> None:
    (tmp_path / "credentials.json").write_text(text)
    assert backend_url(tmp_path, {"PULUMI_HOME": str(tmp_path)}) is None


def test_what_encrypts_is_unknown_where_the_state_alone_can_tell(tmp_path: Path) -> None:
    missing = tmp_path / "Pulumi.test.yaml"
    assert secrets_provider(missing, "s3://bucket", {}) is Secrets.PASSPHRASE
    assert secrets_provider(missing, "s3://bucket", FALLBACK) is None
    assert secrets_provider(missing, None, {}) is None
