"""What somebody changed or deleted behind the program's back comes back, and nothing else is touched."""

from __future__ import annotations

import json

from tests.support.live import kubectl, pulumi, resources

SYNCER = ("deployment/api-syncagent", "--namespace=pipeline-service-syncer")


def test_drifted_and_deleted_objects_are_restored() -> None:
    outputs = json.loads(pulumi("stack", "output", "--json").out)
    namespace = outputs["tenants"]["demo"]["namespaces"]["default"]
    before = resources()
    kubectl("local-b", "scale", *SYNCER, "--replicas=0")
    (quota,) = (
        name
        for name in kubectl(
            "local-a", "get", "resourcequota", "-oname", f"--namespace={namespace}"
        ).out.split()
    )
    kubectl("local-a", "delete", quota, f"--namespace={namespace}")

    pulumi("up", "--yes", "--refresh", "--skip-preview")

    assert kubectl("local-b", "get", *SYNCER, "--output=jsonpath={.spec.replicas}").out == "1"
    kubectl("local-a", "get", quota, f"--namespace={namespace}")
    assert resources().keys() == before.keys()
    pulumi("preview", "--expect-no-changes")
