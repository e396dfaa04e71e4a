"""The credentials with which operations ask kcp and clusters, and how kubectl gets them."""

import json
from pathlib import Path
from typing import Any

import pytest

from operations.api_servers import ApiServers
from operations.errors import OperationError
from stacks.settings import EnvironmentSettings

PULUMI = """\
#!/bin/sh
echo "$*" >> {folder}/commands
cat {folder}/answer
"""
KUBECTL = """\
#!/bin/sh
echo "$*" > {folder}/commands
for argument in "$@"; do
  case "$argument" in --kubeconfig=*)
    file="${{argument#--kubeconfig=}}"
    cp "$file" {folder}/seen
    stat -c %a "$file" > {folder}/mode ;;
  esac
done
{then}
"""


def kubeconfig(token: str, server: str = "https://kcp:6443") -> dict[str, Any]:
    return {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def servers(folder: Path, **reference: str) -> ApiServers:
    settings = {
        "kcp": {"kubeconfig": reference},
        "computeClusters": {"east": {"kubeconfig": {"path": "east.kubeconfig"}}},
    }
    return ApiServers(project=folder, stack="dev", settings=EnvironmentSettings.model_validate(settings))


def token(asked: ApiServers) -> object:
    return asked.workspace("root:a").kubeconfig.user["token"]


def test_the_credential_of_the_last_up_goes_before_the_settings_source(folder: Path) -> None:
    (folder / "kcp.kubeconfig").write_text(json.dumps(kubeconfig("settings")))
    assert token(servers(folder, path="kcp.kubeconfig")) == "settings"
    last = folder / ".run" / "dev" / "kubeconfigs"
    last.mkdir(parents=True)
    (last / "kcp.kubeconfig").write_text(json.dumps(kubeconfig("last")))
    assert token(servers(folder, path="kcp.kubeconfig")) == "last"


def test_every_source_that_settings_may_name_is_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(folder, "pulumi", PULUMI.format(folder=folder))
    monkeypatch.setenv("KCP", json.dumps(kubeconfig("environment")))
    assert token(servers(folder, environment="KCP")) == "environment"
    (folder / "answer").write_text(json.dumps(kubeconfig("secret")))
    assert token(servers(folder, secret="kcpKubeconfig")) == "secret"
    (folder / "answer").write_text(json.dumps(kubeconfig("object")))
    assert token(servers(folder, stack="org/infra/prod", output="kcp")) == "object"
    (folder / "answer").write_text(json.dumps(json.dumps(kubeconfig("text"))))
    assert token(servers(folder, stack="org/infra/prod", output="kcp")) == "text"
    options = "--non-interactive --color never"
    assert (folder / "commands").read_text().splitlines()[:2] == [
        f"config get kcpKubeconfig --stack dev {options}",
        f"stack output kcp --stack org/infra/prod --show-secrets --json {options}",
    ]


def test_kubectl_gets_a_private_file_of_the_workspace_that_goes_with_it(folder: Path) -> None:
    (folder / "kcp.kubeconfig").write_text(json.dumps(kubeconfig("t0ken", "https://kcp/clusters/root")))
    program(folder, "kubectl", KUBECTL.format(folder=folder, then="echo '{\"items\": []}'"))
    assert servers(folder, path="kcp.kubeconfig").workspace("root:a").objects("secrets") == []
    seen = json.loads((folder / "seen").read_text())
    assert seen["clusters"][0]["cluster"]["server"] == "https://kcp/clusters/root:a"
    assert (folder / "mode").read_text() == "600\n"
    command = (folder / "commands").read_text()
    assert "t0ken" not in command
    path = next(one for one in command.split() if one.startswith("--kubeconfig=")).partition("=")[2]
    assert not Path(path).exists()


def test_what_kubectl_refuses_is_told_in_one_line_with_the_servers_name(folder: Path) -> None:
    (folder / "east.kubeconfig").write_text(json.dumps(kubeconfig("t")))
    program(folder, "kubectl", KUBECTL.format(folder=folder, then="echo 'no\n  way' >&2; exit 1"))
    with pytest.raises(OperationError, match=r"^cluster east: kubectl get failed \(no way\); mend that"):
        servers(folder, path="x").cluster("east").objects("pods")


@pytest.mark.parametrize(
    ("printed", "said"),
    [
        ("E1126 06:00:00.1 7 memcache.go:265] x\nE1126 06:00:00.2 7 memcache.go:265] x\nrefused", "refused"),
        ("E1126 06:00:00.1 7 memcache.go:265] x", "E1126 06:00:00.1 7 memcache.go:265] x"),
        ("", "exit 1"),
    ],
)
def test_of_what_kubectl_logs_on_its_way_nothing_is_told_unless_it_says_nothing_else(
    folder: Path, printed: str, said: str
) -> None:
    (folder / "east.kubeconfig").write_text(json.dumps(kubeconfig("t")))
    (folder / "printed").write_text(printed)
    program(folder, "kubectl", KUBECTL.format(folder=folder, then=f"cat {folder}/printed >&2; exit 1"))
    with pytest.raises(OperationError) as caught:
        servers(folder, path="x").cluster("east").objects("pods")
    assert str(caught.value).startswith(f"cluster east: kubectl get failed ({said}); mend that")


def test_a_kubeconfig_that_is_none_is_told_by_its_target_and_not_shown(folder: Path) -> None:
    (folder / "kcp.kubeconfig").write_text("token: t0ken")
    with pytest.raises(
        OperationError, match=r"^kcp \(kcp\.kubeconfig\): the kubeconfig has no cur"
    ) as caught:
        servers(folder, path="kcp.kubeconfig").workspace("root:a")
    assert "t0ken" not in str(caught.value)
    last = folder / ".run" / "dev" / "kubeconfigs" / "kcp.kubeconfig"
    last.parent.mkdir(parents=True)
    last.touch()
    with pytest.raises(OperationError, match=r"^kcp \(\.run/dev/kubeconfigs/kcp\.kubeconfig\): .* is empty"):
        servers(folder, path="kcp.kubeconfig").workspace("root:a")
