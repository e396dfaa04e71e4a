"""The JSON Schemas agree with the models, and help an editor."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from typer.testing import CliRunner

from operations import schemas
from operations.__main__ import app
from stacks.outputs import exported
from tests.support import contract

PROJECT = Path(__file__).parents[3]
MODELINE = "# yaml-language-server: $schema=docs/schemas/stack.schema.json"
STACK_FILES = sorted(PROJECT.glob("Pulumi.*.yaml"))
STACK = Draft7Validator(json.loads(schemas.schemas()["stack.schema.json"]))
OUTPUTS = Draft7Validator(json.loads(schemas.schemas()["outputs.schema.json"]))
KCP = {"kubeconfig": {"secret": "kcpKubeconfig"}}
SECRET = {"pipeline-service:kcpKubeconfig": {"secure": "AAABAO=="}}


def stack(**sections: Any) -> dict[str, Any]:  # noqa: ANN401 -- settings are of any kind
    keys = {f"pipeline-service:{name}": section for name, section in {"kcp": KCP, **sections}.items()}
    return {"config": {"pulumi:disable-default-providers": ["kubernetes"], **keys, **SECRET}}


def outputs() -> dict[str, Any]:
    return {**exported(contract.outputs()), "credentials": {}}


def parts(schema: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 -- any part of a schema
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from parts(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from parts(value)


def test_the_committed_schemas_are_what_the_models_say() -> None:
    assert [str(path) for path in schemas.outdated(PROJECT)] == [], schemas.MEND


def test_what_was_written_is_not_outdated_and_is_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operations.__main__._ROOT", tmp_path)
    assert len(schemas.outdated(tmp_path)) == len(schemas.schemas())
    first, second = (CliRunner().invoke(app, ["schema"]) for _ in range(2))
    assert first.stdout.splitlines() == [f"{schemas.FOLDER}/{name}: written" for name in schemas.schemas()]
    assert (second.exit_code, second.stdout) == (0, "")
    assert schemas.outdated(tmp_path) == []


def test_the_schemas_are_the_same_in_every_process() -> None:
    script = "import json; from operations.schemas import schemas; print(json.dumps(schemas()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, check=True)
    assert json.loads(done.stdout) == schemas.schemas()


@pytest.mark.parametrize("validator", [STACK, OUTPUTS], ids=["stack", "outputs"])
def test_a_schema_is_one_that_editors_understand(validator: Draft7Validator) -> None:
    schema = validator.schema
    assert isinstance(schema, dict)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    Draft7Validator.check_schema(schema)
    for part in parts(schema):
        # What stands beside a $ref is ignored in this dialect, and so would the descriptions be.
        assert "$ref" not in part or len(part) == 1


def test_an_editor_can_explain_every_setting() -> None:
    schema = json.loads(schemas.schemas()["stack.schema.json"])
    objects = {"": schema["properties"]["config"], **schema["$defs"]}
    for name, definition in objects.items():
        for key, setting in definition.get("properties", {}).items():
            target = (
                schema["$defs"][setting["allOf"][0]["$ref"].rpartition("/")[2]] if "allOf" in setting else {}
            )
            explained = {**target, **setting}
            assert explained.get("description"), f"{name}.{key}"
            assert explained.get("title"), f"{name}.{key}"


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_committed_stack_file_fits_the_schema(path: Path) -> None:
    assert [error.message for error in STACK.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize("path", STACK_FILES, ids=lambda path: path.name)
def test_a_committed_stack_file_tells_editors_of_its_schema(path: Path) -> None:
    assert path.read_text().splitlines()[0] == MODELINE


def test_what_others_put_into_a_stack_file_is_accepted() -> None:
    document = stack(
        computeClusters={"east-1": {"kubeconfig": {"stack": "org/infra/prod", "output": "east"}}}
    )
    document["config"]["aws:region"] = "eu-central-1"
    document |= {"secretsprovider": "awskms://alias/x", "encryptedkey": "AbC=", "environment": ["prod"]}
    assert STACK.is_valid(document)


CLUSTER = {"kubeconfig": {"path": "east.kubeconfig"}}
BAD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no settings": {"config": {}},
    "a key without namespace": {"config": {**stack()["config"], "tenants": {}}},
    "an unknown section": stack(tenant={}),
    "a secret in plain text": stack(eastKubeconfig="apiVersion: v1"),
    "snake case": stack(compute_clusters={}),
    "an unknown key": stack(computeClusters={"east": {**CLUSTER, "stat": "active"}}),
    "an unknown state": stack(computeClusters={"east": {**CLUSTER, "state": "asleep"}}),
    "a list of tenants": stack(tenants=[]),
    "a bad name": stack(computeClusters={"East_1": CLUSTER}),
    "a long name": stack(computeClusters={"e" * 41: CLUSTER}),
    "the name of kcp": stack(computeClusters={"kcp": CLUSTER}),
    "two sources of a kubeconfig": stack(kcp={"kubeconfig": {"path": "a", "secret": "b"}}),
    "no source of a kubeconfig": stack(kcp={"kubeconfig": {}}),
    "a stack without output": stack(kcp={"kubeconfig": {"stack": "org/infra/prod"}}),
    "an output without stack": stack(kcp={"kubeconfig": {"path": "a", "output": "kcp"}}),
    "a number for a quantity": stack(tenants={"team": {"cluster": "east", "quota": {"cpu": 8}}}),
    "a bad quantity": stack(tenants={"team": {"cluster": "east", "quota": {"memory": "16GB"}}}),
    "no cluster": stack(tenants={"team": {}}),
    "a namespace of the platform": stack(tenants={"team": {"cluster": "east", "namespaces": ["kube-x"]}}),
    "the namespace of kcp's quota": stack(tenants={"team": {"cluster": "east", "namespaces": ["admin"]}}),
    "no namespace": stack(tenants={"team": {"cluster": "east", "namespaces": []}}),
    "everybody": stack(
        tenants={"team": {"cluster": "east", "access": {"admins": {"groups": ["system:authenticated"]}}}}
    ),
    "a repository with a password": stack(
        tenants={"team": {"cluster": "east", "repositories": ["https://a:b@git.example.com/team/app"]}}
    ),
}


@pytest.mark.parametrize("document", BAD.values(), ids=BAD.keys())
def test_an_editor_marks_what_is_wrong(document: dict[str, Any]) -> None:
    assert not STACK.is_valid(document)


@pytest.mark.parametrize(
    "namespace", ["admins", "kube", "kubeflow", "default"], ids=lambda namespace: f"namespace {namespace}"
)
def test_an_editor_marks_no_name_that_only_resembles_a_reserved_one(namespace: str) -> None:
    assert STACK.is_valid(stack(tenants={"team": {"cluster": "kcp-1", "namespaces": [namespace]}}))


def test_the_outputs_of_an_environment_fit_their_schema() -> None:
    assert [error.message for error in OUTPUTS.iter_errors(outputs())] == []


def test_outputs_may_have_more_than_the_schema_knows() -> None:
    more = outputs()
    more["later"] = more["kcp"]["later"] = more["tenants"]["team-a"]["later"] = 1
    assert OUTPUTS.is_valid(more)


@pytest.mark.parametrize("group", sorted(outputs()))
def test_every_group_of_the_outputs_is_there(group: str) -> None:
    less = outputs()
    del less[group]
    assert not OUTPUTS.is_valid(less)


def test_outputs_of_another_schema_version_are_refused() -> None:
    assert not OUTPUTS.is_valid({**outputs(), "schemaVersion": 2})
