"""Settings through a real engine: it hands over what the stack file says, from wherever it is started."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.pulumi_project import ROOT, PulumiProject

SECRET = "made-up-token"
PROGRAM = """
from stacks.loader import load, read_stack_file

environment = load()
pulumi.export("same", environment.settings == read_stack_file(Path("Pulumi.test.yaml")))
pulumi.export("servers", {name: one.server for name, one in environment.kubeconfigs.items()})
"""


def kubeconfig(server: str) -> dict[str, Any]:
    return {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": SECRET}}],
    }


@pytest.fixture
def project(tmp_path: Path) -> PulumiProject:
    project = PulumiProject(tmp_path / "project")
    project.environment["PYTHONPATH"] = str(ROOT)
    # The keys of the settings are those of this project.
    (project.directory / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    project.run("stack", "rm", "--yes", "--preserve-config", "organization/stand-ins/test")
    project.run("stack", "init", "test")
    project.write(PROGRAM)
    return project


def configure(project: PulumiProject, config: dict[str, Any]) -> None:
    """Write settings beside what the CLI keeps in the stack file: the salt of the passphrase."""
    path = project.directory / "Pulumi.test.yaml"
    document = yaml.safe_load(path.read_text())
    document["config"] = {f"pipeline-service:{key}": value for key, value in config.items()}
    path.write_text(yaml.safe_dump(document))


def committed(stack: str) -> dict[str, Any]:
    config = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {
        key.removeprefix("pipeline-service:"): value
        for key, value in config.items()
        if key.startswith("pipeline-service:")
    }


def outputs(project: PulumiProject) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("stack", "output", "--json", "--show-secrets"))
    return found


def test_the_engine_hands_over_what_the_stack_file_says(project: PulumiProject) -> None:
    config = committed("production")
    # Another stack's output and the releases are other tests' matter: no cluster, and so no release.
    config["kcp"]["kubeconfig"] = {"path": "kcp.kubeconfig"}
    for needs_clusters in ("computeClusters", "tenants"):
        del config[needs_clusters]
    config["gateway"]["clusters"] = []
    configure(project, config)
    (project.directory / "kcp.kubeconfig").write_text(json.dumps(kubeconfig("https://kcp")))
    printed = project.up()
    assert outputs(project) == {"same": True, "servers": {"kcp": "https://kcp"}}
    assert "pipeline-service:monitoring: checked, but not acted on by this version" in printed


def test_a_path_is_relative_to_the_project_wherever_pulumi_is_started(
    project: PulumiProject, tmp_path: Path
) -> None:
    configure(project, {"kcp": {"kubeconfig": {"path": "secrets/kcp.kubeconfig"}}})
    (project.directory / "secrets").mkdir()
    (project.directory / "secrets/kcp.kubeconfig").write_text(json.dumps(kubeconfig("https://kcp")))
    below = project.directory / "docs"
    below.mkdir()
    for folder, more in ((below, ()), (tmp_path, ("--cwd", str(project.directory)))):
        done = subprocess.run(
            ["pulumi", *more, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "test"],
            cwd=folder,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert outputs(project)["servers"] == {"kcp": "https://kcp"}
        assert not (folder / ".run").exists()


def test_a_secret_and_a_variable_give_kubeconfigs_and_are_not_shown(project: PulumiProject) -> None:
    configure(project, {"kcp": {"kubeconfig": {"secret": "kcpKubeconfig"}}})
    text = json.dumps(kubeconfig("https://kcp"))
    project.run("config", "set", "--secret", "kcpKubeconfig", text)
    assert SECRET not in project.up()
    assert outputs(project)["servers"] == {"kcp": "https://kcp"}

    configure(project, {"kcp": {"kubeconfig": {"environment": "KCP_KUBECONFIG"}}})
    refused = project.up(fails=True)
    assert 'kcp.kubeconfig.environment: "KCP_KUBECONFIG": the environment variable is not set' in refused
    project.environment["KCP_KUBECONFIG"] = json.dumps(kubeconfig("https://other"))
    assert SECRET not in project.up()
    assert outputs(project)["servers"] == {"kcp": "https://other"}


def test_bad_settings_are_told_all_at_once_without_a_traceback(project: PulumiProject) -> None:
    configure(
        project,
        {
            "kcp": {"kubeconfig": {"path": "kcp.kubeconfig"}, "parnt": "root"},
            "tenants": {"team-a": {"cluster": "east-1"}},
        },
    )
    refused = project.up(fails=True)
    assert 'pipeline-service:kcp.parnt: unknown key; did you mean "parent"?' in refused
    assert 'pipeline-service:tenants.team-a.cluster: "east-1": there is no such compute cluster' in refused
    assert "Traceback" not in refused
