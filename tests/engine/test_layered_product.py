"""The example of a layered product on a real engine and API server, and what it says where it can't work."""

import copy
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stacks.outputs import exported
from tests.support.apiserver import ControlPlane, control_plane, require_binaries
from tests.support.contract import outputs
from tests.support.pulumi_project import ROOT, PulumiProject
from tests.support.waiting import until

EXAMPLE = ROOT / "examples" / "layered-product"
SECRET = "made-up-credential-of-the-environment"
ENVIRONMENT = "organization/stand-ins/test"
NOBODY = "https://127.0.0.1:1"

EXPORT_THE_CONTRACT = """
from stacks.outputs import EnvironmentOutputs, export

export(EnvironmentOutputs.model_validate(values))
"""
EXPORT_ANYTHING = """
for name, value in values.items():
    pulumi.export(name, pulumi.Output.secret(value) if name == "credentials" else value)
"""
SHOW_WHAT_IS_READ = """
from stacks.consumer import read_environment

environment = read_environment(values["environment"])
pulumi.export("schemaVersion", repr(environment.outputs.schema_version))
pulumi.export("tenant", repr(environment.tenant("team-a")))
pulumi.export("credentials", environment.credentials)
"""


def contract(url: str = NOBODY) -> dict[str, Any]:
    return exported(outputs(url))


def stack_of_an_environment(folder: Path) -> PulumiProject:
    project = PulumiProject(folder / "environment")
    # As `pip install` of the package would: `stacks` can be imported, whatever folder a program lies in.
    project.environment["PYTHONPATH"] = str(ROOT)
    return project


def beside(environment: PulumiProject, folder: Path) -> PulumiProject:
    """Return another project, whose stacks lie in the same backend as the environment's."""
    project = PulumiProject(folder)
    project.environment = dict(environment.environment)
    (folder / "Pulumi.yaml").write_text("name: product\nruntime: python\n")
    project.run("stack", "init", "test")
    return project


@pytest.fixture
def environment(tmp_path: Path) -> PulumiProject:
    return stack_of_an_environment(tmp_path)


@pytest.fixture
def product(environment: PulumiProject, tmp_path: Path) -> PulumiProject:
    """The example as it is committed, with the interpreter of these tests in the place of its `venv`."""
    project = PulumiProject(tmp_path / "product")
    (project.directory / "Pulumi.test.yaml").unlink()
    project.environment = dict(environment.environment)
    shutil.copytree(EXAMPLE, project.directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("venv"))
    (project.directory / "venv").symlink_to(sys.prefix)
    project.run("stack", "init", "test")
    project.run("config", "set", "environment", ENVIRONMENT)
    project.run("config", "set", "tenant", "team-a")
    project.run("config", "set", "--secret", "kubeconfig", "{}")
    return project


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    require_binaries("pulumi")
    with control_plane(tmp_path_factory.mktemp("plane")) as running:
        for kind in ("Task", "Pipeline"):
            running.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition(kind))
            path = f"/apis/tekton.dev/v1/{kind.lower()}s"
            until(lambda path=path: running.request("GET", path)[0] == 200, "served")  # type: ignore[misc]
        running.create("/api/v1/namespaces", {"metadata": {"name": "builds"}})
        yield running


def definition(kind: str) -> dict[str, Any]:
    names = {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.lower()}s.tekton.dev"},
        "spec": {"group": "tekton.dev", "names": names, "scope": "Namespaced", "versions": [version]},
    }


def refusal(project: PulumiProject) -> str:
    """Return the one line in which a preview is refused."""
    output = project.run("preview", fails=True)
    assert "Traceback" not in output
    # Under "Diagnostics:"; above it, the engine shows its progress.
    errors = [line.strip() for line in output.splitlines() if line.strip().startswith("error: ")]
    assert len(errors) == 2, output
    assert errors[1].endswith("program exited with non-zero exit code: 1")
    assert errors[0].startswith(f'error: stack "{ENVIRONMENT}": ')
    return errors[0]


def test_the_example_is_put_into_each_namespace_of_the_tenant(
    environment: PulumiProject, product: PulumiProject, plane: ControlPlane
) -> None:
    environment.write(EXPORT_THE_CONTRACT, contract(plane.server))
    environment.up()
    assert json.loads(environment.run("stack", "output", "--json"))["credentials"] == "[secret]"
    # The credential names another address: the product goes where the environment's outputs say.
    credential = plane.kubeconfig().replace(plane.server, NOBODY)
    product.run("config", "set", "--secret", "kubeconfig", credential)

    created = {name for name, step in product.preview().items() if step["op"] == "create"}
    assert {"builds-greet", "builds-greeting", "default-greet", "default-greeting"} <= created
    try:
        product.up()
        for namespace in ("builds", "default"):
            at = f"/apis/tekton.dev/v1/namespaces/{namespace}"
            assert plane.get(f"{at}/pipelines/greeting")["spec"]["tasks"][0]["taskRef"] == {"name": "greet"}
            assert plane.exists(f"{at}/tasks/greet")
        outputs = product.outputs()
        assert outputs["server"] == plane.server
        assert outputs["runsOn"] == {
            "cluster": "east",
            "state": "active",
            "releases": {"tekton-pipelines": "v1.6.0"},
        }
        assert outputs["run"]["spec"]["pipelineRef"] == {"name": "greeting"}
        assert product.changes() == {}
    finally:
        product.destroy()
    assert not plane.exists("/apis/tekton.dev/v1/namespaces/builds/pipelines/greeting")


def test_values_arrive_typed_and_credentials_as_a_secret(environment: PulumiProject, tmp_path: Path) -> None:
    values = contract() | {"credentials": {"events": SECRET}, "addedLater": {"by": "a newer program"}}
    values["tenants"]["team-a"]["addedLater"] = "too"
    environment.write(EXPORT_ANYTHING, values)
    environment.up()
    reader = beside(environment, tmp_path / "reader")
    reader.write(SHOW_WHAT_IS_READ, {"environment": ENVIRONMENT})
    assert SECRET not in reader.up()

    outputs = reader.outputs()
    assert outputs["schemaVersion"] == "1"
    assert outputs["tenant"].startswith("TenantOutputs(workspace='root:pipeline-service:tenants:team-a'")
    assert "addedLater" not in outputs["tenant"]
    assert outputs["credentials"] == {"events": SECRET}
    assert json.loads(reader.run("stack", "output", "--json"))["credentials"] == "[secret]"
    assert SECRET not in reader.export()


def test_an_environment_with_another_passphrase_is_read_without_its_credentials(
    environment: PulumiProject, tmp_path: Path
) -> None:
    environment.write(EXPORT_ANYTHING, contract() | {"credentials": {"events": SECRET}})
    environment.up()
    reader = PulumiProject(tmp_path / "reader")
    backend = environment.environment["PULUMI_BACKEND_URL"]
    reader.environment |= {
        "PULUMI_BACKEND_URL": backend,
        "PULUMI_CONFIG_PASSPHRASE": "another-passphrase",
        "PYTHONPATH": str(ROOT),
    }
    (reader.directory / "Pulumi.yaml").write_text("name: product\nruntime: python\n")
    (reader.directory / "Pulumi.test.yaml").unlink()
    reader.run("stack", "init", "test")
    reader.write(SHOW_WHAT_IS_READ, {"environment": ENVIRONMENT})
    reader.up()
    assert reader.outputs()["tenant"].startswith("TenantOutputs(")
    assert reader.outputs()["credentials"] == {}


def test_another_schema_version_is_refused_with_both_versions(
    environment: PulumiProject, product: PulumiProject
) -> None:
    environment.write(EXPORT_ANYTHING, contract() | {"schemaVersion": 2})
    environment.up()
    line = refusal(product)
    assert "it exports schema version 2, and this package reads 1" in line
    assert "install the package of the release that environment runs" in line


def test_a_stack_that_is_not_deployed_yet_is_refused(product: PulumiProject) -> None:
    line = refusal(product)
    assert "it exports nothing: it is not deployed yet, or was destroyed; deploy it first: pulumi up" in line


def test_a_destroyed_stack_is_refused(environment: PulumiProject, product: PulumiProject) -> None:
    environment.write(EXPORT_THE_CONTRACT, contract())
    environment.up()
    environment.destroy()
    assert "it exports nothing: it is not deployed yet, or was destroyed" in refusal(product)


def test_an_unknown_stack_is_refused(environment: PulumiProject, product: PulumiProject) -> None:
    environment.run("stack", "rm", "test", "--yes")
    assert "there is no such stack in this backend; name it organization/project/stack" in refusal(product)


def test_a_stack_of_something_else_is_refused(environment: PulumiProject, product: PulumiProject) -> None:
    environment.write(EXPORT_ANYTHING, {"bucket": "archive"})
    environment.up()
    line = refusal(product)
    assert "it is no environment of Pipeline Service: it exports no schemaVersion" in line
    assert "this one exports: bucket" in line


def test_an_unknown_tenant_is_refused_with_those_there_are(
    environment: PulumiProject, product: PulumiProject
) -> None:
    values = copy.deepcopy(contract())
    values["tenants"]["team-b"] = values["tenants"].pop("team-a")
    environment.write(EXPORT_THE_CONTRACT, values)
    environment.up()
    assert 'it has no tenant "team-a"; did you mean "team-b"? (tenants: team-b)' in refusal(product)
