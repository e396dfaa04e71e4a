"""`python -m operations validate`: what it says of good and bad stack files, and what it needs for that."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from components.names import tenant_namespace
from operations.__main__ import app

PROJECT = Path(__file__).parents[3]
BAD_STACKS = PROJECT / "tests" / "data" / "bad-stacks"
SECONDS = 2.0
SALT = "v1:c2FsdA==:v1:secret"
CIPHER = "AAABANvErySecret"

ENVIRONMENT: dict[str, Any] = {
    "kcp": {"kubeconfig": {"path": "kcp.kubeconfig"}, "parent": "root:org"},
    "kubeconfigOfWest": {"secure": CIPHER},
    "pools": {
        "gpu": {
            "description": "with accelerators",
            "capacity": {"cpu": "8", "memory": "40Gi"},
            "overcommit": 2.0,
        }
    },
    "computeClusters": {
        "east-1": {"kubeconfig": {"environment": "EAST_KUBECONFIG"}},
        "west-1": {
            "kubeconfig": {"secret": "kubeconfigOfWest"},
            "pool": "gpu",
            "state": "cordoned",
            "homeOf": ["team-b", "team-c"],
        },
    },
    "tenants": {
        "team-a": {"cluster": "east-1", "workspace": "a", "quota": {"cpu": "500m", "memory": "512Mi"}},
        "team-b": {
            "cluster": "west-1",
            "namespaces": ["default", "nightly"],
            "quota": {"cpu": "1500m", "memory": "4Gi", "pods": 7},
        },
        "team-c": {
            "cluster": "west-1",
            "external": {"path": "root:other:team-c", "binders": {"users": ["carol"]}},
            "quota": {"cpu": "4", "memory": "1Gi", "pods": 5},
        },
    },
}


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "nobody"))
    for name in (
        "PULUMI_BACKEND_URL",
        "PULUMI_CREDENTIALS_PATH",
        "EAST_KUBECONFIG",
        "COLUMNS",
        "FORCE_COLOR",
        "TTY_COMPATIBLE",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    write(folder, "good", ENVIRONMENT)
    write(folder, "bad", {"tenants": {"team-a": {"cluster": "east-1"}, "team-b": {"quota": {"cpu": "8"}}}})
    return folder


def write(folder: Path, stack: str, sections: dict[str, Any], **top: str) -> None:
    config = {f"pipeline-service:{key}": value for key, value in sections.items()}
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config, **top}))


def run(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["validate", f"--project={project}", *arguments])


def report(project: Path, stack: str = "good") -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run(project, f"--stack={stack}", "--json").stdout)["stacks"][0]
    return facts


def environment(project: Path) -> dict[str, Any]:
    facts: dict[str, Any] = report(project)["environment"]
    return facts


def test_quotas_are_summed_up_over_all_namespaces_and_held_against_the_pools_limit(project: Path) -> None:
    pools = {pool["name"]: pool for pool in environment(project)["pools"]}
    assert pools["default"] == {
        "name": "default",
        "description": "",
        "clusters": ["east-1"],
        "tenants": 1,
        "promised": {"cpu": "0.5", "memory": "512Mi", "pods": 50, "storage": "20Gi"},
        "limit": {"cpu": None, "memory": None, "pods": None, "storage": None},
    }
    assert pools["gpu"] == {
        "name": "gpu",
        "description": "with accelerators",
        "clusters": ["west-1"],
        "tenants": 2,
        "promised": {"cpu": "7", "memory": "9Gi", "pods": 19, "storage": "60Gi"},
        "limit": {"cpu": "16", "memory": "80Gi", "pods": None, "storage": None},
    }


def test_a_cluster_is_shown_with_its_state_and_its_own_tenants(project: Path) -> None:
    write(
        project,
        "good",
        {
            **ENVIRONMENT,
            "computeClusters": {
                **ENVIRONMENT["computeClusters"],
                "west-2": {
                    "kubeconfig": {"environment": "WEST"},
                    "pool": "gpu",
                    "distribution": "openshift",
                },
            },
        },
    )
    clusters = {cluster["name"]: cluster for cluster in environment(project)["clusters"]}
    assert list(clusters) == ["east-1", "west-1", "west-2"]
    assert clusters["west-1"] == {
        "name": "west-1",
        "pool": "gpu",
        "state": "cordoned",
        "distribution": "kubernetes",
        "tenants": ["team-b", "team-c"],
        "promised": {"cpu": "7", "memory": "9Gi", "pods": 19, "storage": "60Gi"},
    }
    assert clusters["west-2"]["tenants"] == []
    assert clusters["west-2"]["distribution"] == "openshift"
    assert clusters["west-2"]["promised"]["cpu"] == "0"


def test_a_tenant_is_shown_where_it_would_be(project: Path) -> None:
    ours, theirs = "root:org:pipeline-service:tenants", "root:other:team-c"
    facts = {tenant.pop("name"): tenant for tenant in environment(project)["tenants"]}
    assert facts == {
        "team-a": {
            "workspace": f"{ours}:a",
            "external": False,
            "cluster": "east-1",
            "namespaces": {"default": tenant_namespace(f"{ours}:a", "default")},
        },
        "team-b": {
            "workspace": f"{ours}:team-b",
            "external": False,
            "cluster": "west-1",
            "namespaces": {name: tenant_namespace(f"{ours}:team-b", name) for name in ("default", "nightly")},
        },
        "team-c": {
            "workspace": theirs,
            "external": True,
            "cluster": "west-1",
            "namespaces": {"default": tenant_namespace(theirs, "default")},
        },
    }


@pytest.mark.parametrize("columns", [None, "20", "60", "200"])
def test_no_name_is_cut_short_or_folded(
    project: Path, monkeypatch: pytest.MonkeyPatch, columns: str | None
) -> None:
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TTY_COMPATIBLE", "1")
    facts = environment(project)
    out = run(project, "--stack=good").stdout
    assert ("─" * 30 in out) is (columns not in ("20", "60")), "a table where it fits, a list where not"
    for tenant in facts["tenants"]:
        for name in (tenant["workspace"], tenant["cluster"], *tenant["namespaces"].values()):
            assert name in out
    for cluster in facts["clusters"]:
        assert cluster["name"] in out


def test_every_problem_is_one_line_with_key_and_mend(project: Path) -> None:
    done = run(project, "--stack=bad")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    problems = report(project, "bad")["problems"]
    assert lines[0] == f"Pulumi.bad.yaml: {len(problems)} problems"
    assert len(lines) == len(problems) + 1
    for problem, line in zip(problems, lines[1:], strict=True):
        assert line.startswith(f"  {problem['key']}:")
        assert line.endswith(problem["mend"])
    assert {problem["key"] for problem in problems} >= {
        "pipeline-service:kcp",
        "pipeline-service:tenants.team-b.cluster",
    }


def test_a_bad_stack_has_no_table(project: Path) -> None:
    assert report(project, "bad")["environment"] is None
    assert "Tenants" not in run(project, "--stack=bad").stdout


def test_a_good_stack_succeeds_although_it_is_warned_of(project: Path) -> None:
    done = run(project, "--stack=good")
    assert done.exit_code == 0
    assert report(project)["warnings"]


def test_what_is_not_here_is_warned_of_until_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, "good", {**ENVIRONMENT, "releases": {"directory": "manifests"}})
    keys = [line.split(": ")[0] for line in report(project)["warnings"]]
    assert keys == [
        "pipeline-service:kcp.kubeconfig.path",
        "pipeline-service:computeClusters.east-1.kubeconfig.environment",
        "pipeline-service:releases.directory",
    ]
    (project / "kcp.kubeconfig").touch()
    (project / "manifests").mkdir()
    monkeypatch.setenv("EAST_KUBECONFIG", "text")
    assert report(project)["warnings"] == []


def test_a_passphrase_and_a_state_in_a_folder_are_warned_of(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///srv/state")
    write(project, "good", ENVIRONMENT, encryptionsalt=SALT)
    lines = report(project)["warnings"]
    assert [line.partition(":")[0] for line in lines][:2] == ["state", "secrets"]
    assert all(f"  warning: {line}" in run(project, "--stack=good").stdout for line in lines)


def test_what_this_version_does_not_act_on_is_told(project: Path) -> None:
    write(project, "good", {**ENVIRONMENT, "monitoring": {"enabled": True}})
    (line,) = report(project)["notices"]
    assert line.startswith("pipeline-service:monitoring:")
    assert f"  notice: {line}" in run(project, "--stack=good").stdout


def test_what_is_open_and_what_links_nowhere_is_told(project: Path) -> None:
    given = {
        "pipelinesAsCode": {"enabled": True},
        "gateway": {"clusters": ["east-1"], "host": "events.example.com"},
    }
    write(project, "good", {**ENVIRONMENT, **given})
    lines = report(project)["notices"]
    assert [line.partition(": ")[0].partition(":")[2] for line in lines] == [
        "gateway.tls",
        "pipelinesAsCode.console",
    ]


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_no_secret_is_shown(project: Path, form: tuple[str, ...]) -> None:
    write(project, "good", ENVIRONMENT, encryptionsalt=SALT)
    write(project, "bad", {**ENVIRONMENT, "kcp": {"secure": CIPHER}}, encryptionsalt=SALT)
    out = run(project, "--stack=good", "--stack=bad", *form).output
    assert CIPHER not in out
    assert SALT not in out


def test_several_stacks_are_told_apart_and_one_bad_one_fails(project: Path) -> None:
    done = run(project, "--stack=good", "--stack=bad", "--json")
    assert done.exit_code == 1
    assert [stack["file"] for stack in json.loads(done.stdout)["stacks"]] == [
        "Pulumi.good.yaml",
        "Pulumi.bad.yaml",
    ]


def test_all_are_all_stack_files_of_the_project(project: Path) -> None:
    stacks = json.loads(run(project, "--all", "--json").stdout)["stacks"]
    assert [stack["file"] for stack in stacks] == ["Pulumi.bad.yaml", "Pulumi.good.yaml"]


def test_a_stack_may_be_named_in_full(project: Path) -> None:
    assert report(project, "organization/pipeline-service/good")["file"] == "Pulumi.good.yaml"


def test_a_key_without_namespace_is_the_projects_as_the_engine_has_it(project: Path) -> None:
    (project / "Pulumi.short.yaml").write_text(yaml.safe_dump({"config": ENVIRONMENT | {"aws:region": "x"}}))
    assert {**report(project, "short"), "file": ""} == {**report(project), "file": ""}


def test_the_project_is_found_from_a_folder_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = project / "docs" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert CliRunner().invoke(app, ["validate", "--stack=good"]).exit_code == 0


@pytest.mark.parametrize("arguments", [(), ("--all", "--stack=good")], ids=["nothing", "both"])
def test_what_to_check_must_be_said_once(project: Path, arguments: tuple[str, ...]) -> None:
    done = run(project, *arguments)
    assert done.exit_code == 2
    assert "--stack NAME or --all" in done.stderr


def test_a_folder_without_project_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "--all")
    assert done.exit_code == 2
    assert "Pulumi.yaml" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("path", ["a" * 5000, "b/" * 3000, "~nosuchuser/x", "~"], ids=lambda path: path[:9])
def test_a_path_that_no_file_can_have_is_warned_of_as_one_that_is_not_here(project: Path, path: str) -> None:
    sections = {"kcp": {"kubeconfig": {"path": path}}, "releases": {"directory": f"{path}/x"}}
    write(project, "good", sections)
    assert [line.split(": ")[0] for line in report(project)["warnings"]] == [
        "pipeline-service:kcp.kubeconfig.path",
        "pipeline-service:releases.directory",
    ]


@pytest.mark.parametrize("folder", ["a" * 5000, "b/" * 3000], ids=len)
def test_a_project_that_no_folder_can_be_is_refused_in_a_line(folder: str) -> None:
    done = run(Path(folder), "--all")
    assert done.exit_code == 2
    assert done.stderr == "validate: --project: File name too long; name a folder that can be read\n"


def test_a_variable_of_blanks_alone_is_not_set(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EAST_KUBECONFIG", " \n")
    assert any(".east-1.kubeconfig.environment" in line for line in report(project)["warnings"])


def test_a_stack_without_file_is_a_problem_that_says_how_to_make_one(project: Path) -> None:
    done = run(project, "--stack=none")
    assert done.exit_code == 1
    assert "pulumi stack init" in done.stdout


def test_fifty_bad_files_take_no_engine_no_cluster_and_less_than_two_seconds(tmp_path: Path) -> None:
    for path in BAD_STACKS.glob("Pulumi.*.yaml"):
        shutil.copy(path, tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    files = sorted(path.name for path in tmp_path.glob("Pulumi.*.yaml"))
    assert len(files) >= 30
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "operations",
            "validate",
            "--all",
            "--json",
            f"--project={tmp_path}",
        ],
        cwd=PROJECT,
        env={"PATH": "", "HOME": str(tmp_path), "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 1
    stacks = json.loads(done.stdout)["stacks"]
    assert [stack["file"] for stack in stacks] == files
    assert all(problem["key"] and problem["mend"] for stack in stacks for problem in stack["problems"])
    assert all(stack["problems"] for stack in stacks)
    # Seconds of processor time: a busy machine makes nothing wrong.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < SECONDS
    assert "pulumi_kubernetes" not in done.stderr
