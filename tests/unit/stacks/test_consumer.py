"""What a layered product reads of an environment."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stacks.consumer import Environment, StackReferenceError, read_environment
from stacks.outputs import GatewayOutputs, exported
from tests.support import contract as example
from tests.support.other_stacks import OtherStacks, secret, start

ROOT = Path(__file__).parents[3]
STACK = "acme/pipeline-service/production"
SECRET = "made-up-credential"
OUTPUTS = example.outputs()


def contract() -> dict[str, Any]:
    return exported(OUTPUTS) | {"credentials": secret({"events": SECRET})}


def read(outputs: dict[str, Any]) -> Environment:
    start(OtherStacks({STACK: outputs}))
    return read_environment(STACK)


def refused(outputs: dict[str, Any]) -> str:
    with pytest.raises(StackReferenceError) as caught:
        read(outputs)
    return str(caught.value)


def test_what_one_program_exports_the_other_reads() -> None:
    environment = read(contract())
    assert environment.outputs == OUTPUTS
    assert environment.tenant("team-a").url == f"{example.URL}/clusters/{example.PATH}"
    assert environment.compute_cluster("east").api_export.name == "east"


def test_credentials_stay_secret() -> None:
    environment = read(contract())
    assert SECRET not in repr(environment)

    async def secrecy_and_value() -> tuple[bool, object]:
        return await environment.credentials.is_secret(), await environment.credentials.future()

    found = asyncio.get_event_loop().run_until_complete(secrecy_and_value())
    assert found == (True, {"events": SECRET})


def test_what_a_newer_program_of_the_same_version_adds_is_left_aside() -> None:
    outputs = contract()
    outputs["added"] = {"later": True}
    outputs["kcp"]["added"] = "later"
    outputs["computeClusters"]["east"] |= {"added": "later", "state": "a-state-of-tomorrow"}
    outputs["tenants"]["team-a"]["added"] = "later"
    environment = read(outputs)
    assert environment.tenant("team-a") == OUTPUTS.tenants["team-a"]
    assert environment.outputs.kcp == OUTPUTS.kcp
    assert environment.compute_cluster("east").state == "a-state-of-tomorrow"


def test_what_this_program_writes_has_no_room_for_a_mistyped_key() -> None:
    with pytest.raises(ValueError, match="evnetsUrl"):
        GatewayOutputs.model_validate({"evnetsUrl": "https://gateway"})


@pytest.mark.parametrize(
    ("version", "mend"),
    [
        (2, "install the package of the release that environment runs"),
        (0, "deploy that environment with a newer program, or install the package of the release it runs"),
    ],
)
def test_another_schema_version_is_refused_with_both_versions_and_a_mend(version: int, mend: str) -> None:
    # Nothing else is looked at: all of it may be different there.
    line = refused({"schemaVersion": version, "tenants": "of another shape"})
    assert line == f'stack "{STACK}": it exports schema version {version}, and this package reads 1; {mend}'


@pytest.mark.parametrize("outputs", [{"bucket": "archive"}, {"schemaVersion": "one", "bucket": "archive"}])
def test_a_stack_of_something_else_is_refused_with_what_it_exports(outputs: dict[str, Any]) -> None:
    line = refused(outputs)
    assert "it is no environment of Pipeline Service: it exports no schemaVersion" in line
    assert "bucket" in line
    assert "archive" not in line


def test_outputs_of_another_shape_are_refused_by_place_and_not_shown() -> None:
    outputs = contract()
    outputs["tenants"]["team-a"]["cluster"] = [SECRET]
    del outputs["kcp"]
    line = refused(outputs)
    assert "(wrong or missing: kcp, tenants.team-a.cluster)" in line
    assert SECRET not in line


def test_an_unknown_entry_is_refused_with_those_there_are() -> None:
    environment = read(contract())
    with pytest.raises(StackReferenceError, match=r'it has no tenant "team-x"; did you mean "team-a"\?'):
        environment.tenant("team-x")
    with pytest.raises(StackReferenceError, match='compute cluster "north"; compute clusters: east'):
        environment.compute_cluster("north")


def test_the_consumer_needs_nothing_that_is_not_installed_with_it() -> None:
    # Only `stacks` is (pyproject.toml): a product may have a folder `components` of its own.
    program = (
        "import sys, stacks.consumer;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}"
        " & {'components', 'local', 'operations', 'releases', 'units', 'pulumi_kubernetes'}))"
    )
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == ""
