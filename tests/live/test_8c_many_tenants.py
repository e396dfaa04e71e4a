"""Many tenants come, stay and go by one `up` each: a real kcp and cluster, whose nodes are simulated.

It prints what each took: run it with `--capture=no`.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest

from bench.measure import Command, Sample, run
from local.processes import owned
from tests.support.checkout import Checkout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_VARIABLE: Final = "PIPELINE_SERVICE_TEST_TENANTS"
TENANTS: Final = int(os.environ.get(_VARIABLE, "0"))

pytestmark = [
    pytest.mark.skipif(
        TENANTS < 2, reason=f"takes many minutes: set {_VARIABLE} to how many tenants, such as 100"
    ),
    pytest.mark.timeout(7200),
]

UP = ("up", "--yes", "--skip-preview")
PREVIEW = ("preview", "--expect-no-changes")
HOME = "root:pipeline-service:tenants"


class Site(Checkout):
    """A checkout whose environment has one cluster with simulated nodes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"NODES": "simulated"})
        self.configure(lambda config: config["pipeline-service:computeClusters"].pop("local-b"))

    def tenants(self, number: int) -> list[str]:
        """Let the stack have so many tenants, all like the first; return their names."""
        names = ["demo", *(f"t{place:03}" for place in range(1, number))]

        def change(config: dict[str, Any]) -> None:
            entry = config["pipeline-service:tenants"]["demo"]
            config["pipeline-service:tenants"] = {name: dict(entry) for name in names}

        self.configure(change)
        return names

    def pulumi(self, what: str, *arguments: str) -> Sample:
        """Run the engine, which must succeed; tell what it took."""
        command = ("pulumi", *arguments, "--stack=dev", "--non-interactive", "--color=never")
        took = run(Command(arguments=command, folder=self.folder, environment=self.variables), memory=True)
        parts = ", ".join(f"{name} {held:.0f}" for name, held in took.programs.items())
        sys.stdout.write(
            f"{what}: {took.seconds:.0f} s, {took.processor:.0f} s of processor,"
            f" {took.mebibytes:.0f} MiB ({parts})\n"
        )
        return took

    def kubectl(self, context: str, *arguments: str) -> str:
        return self.run("kubectl", f"--context={context}", *arguments)

    def objects(self, path: str, *arguments: str) -> list[dict[str, Any]]:
        """List objects of a workspace."""
        address = self.kubectl("kcp", "config", "view", "--minify", "--output=jsonpath={..server}")
        server = f"--server={address.partition('/clusters/')[0]}/clusters/{path}"
        listed = self.kubectl("kcp", server, "get", *arguments, "--output=json")
        items: list[dict[str, Any]] = json.loads(listed)["items"]
        return items


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("many"))
    try:
        made.local("up")
        made.use_shell()
        yield made
    finally:
        down = made.local("down")
    assert owned(made.layout.identity) == {}, down
    assert not made.layout.local.exists()


def workspaces(site: Site) -> Mapping[str, str]:
    """The tenants' workspaces and their phases."""
    found = site.objects(HOME, "workspaces")
    return {one["metadata"]["name"]: one["status"]["phase"] for one in found}


def test_many_tenants_come_stay_and_go_by_one_up_each(site: Site) -> None:
    one = site.pulumi("1 tenant, unchanged preview", *PREVIEW)

    names = site.tenants(TENANTS)
    site.pulumi(f"{TENANTS} tenants, up", *UP)
    assert workspaces(site) == dict.fromkeys(names, "Ready")
    many = site.pulumi(f"{TENANTS} tenants, unchanged preview", *PREVIEW)
    more = TENANTS - 1
    sys.stdout.write(
        f"each: {(many.processor - one.processor) / more * 1000:.0f} ms of processor,"
        f" {(many.mebibytes - one.mebibytes) / more:.2f} MiB\n"
    )
    for name in (names[1], names[-1]):
        bindings = {one["metadata"]["name"]: one for one in site.objects(f"{HOME}:{name}", "apibindings")}
        bound = bindings["pipelines"]["status"]["boundResources"]
        assert {"pipelineruns", "tasks"} <= {one["resource"] for one in bound}

    site.tenants(1)
    site.pulumi(f"{more} tenants removed, up", *UP)
    assert workspaces(site) == {"demo": "Ready"}
    namespaces = site.kubectl("local-a", "get", "namespaces", "--output=name")
    assert re.findall(r"namespace/t\d{3}-", namespaces) == []
    site.pulumi("1 tenant again, unchanged preview", *PREVIEW)
