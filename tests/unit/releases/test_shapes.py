"""Objects of manifests: what is looked at later is as it should be, or the manifest is refused."""

from __future__ import annotations

import pytest

from releases.errors import ReleaseError
from releases.prepare import parsed


def manifest(kind: str, rest: str = "") -> bytes:
    return f"{{apiVersion: v1, kind: {kind}, metadata: {{name: one}}{rest}}}".encode()


@pytest.mark.parametrize(
    "content",
    [
        b"{kind: ConfigMap}",
        b"{kind: ConfigMap, metadata: }",
        b"{kind: ConfigMap, metadata: []}",
        b"{kind: ConfigMap, metadata: {name: 1}}",
        b"{kind: [], metadata: {name: one}}",
        b"text",
        b"[" * 9000 + b"]" * 9000,
    ],
    ids=["no metadata", "null", "list", "number", "kind", "text", "deep"],
)
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ReleaseError, match="manifest of x holds something that is not an object; get it"):
        parsed("x", content)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (manifest("CustomResourceDefinition"), "spec"),
        (manifest("CustomResourceDefinition", ", spec: {}"), r"spec\.versions"),
        (manifest("CustomResourceDefinition", ", spec: {versions: [v1]}"), r"spec\.versions\.0"),
        (manifest("ClusterRole", ", rules: [pods]"), r"rules\.0"),
        (manifest("Role", ", rules: [{verbs: [get], resources: 1}]"), r"rules\.0\.resources"),
        (manifest("Role", ", rules: [{verbs: [{}]}]"), r"rules\.0\.verbs\.0"),
        (manifest("ClusterRole", ", aggregationRule: []"), "aggregationRule"),
        (manifest("Deployment", ", spec: {template: }"), r"spec\.template"),
        (manifest("Pod", ", spec: {containers: [null]}"), r"spec\.containers\.0"),
        (manifest("Pod", ", spec: {containers: [{env: [a]}]}"), r"spec\.containers\.0\.env\.0"),
        (manifest("Pod", ", spec: {volumes: [{image: {reference: }}]}"), r"spec\.volumes\.0\.image\.refer"),
        (
            manifest("CronJob", ", spec: {jobTemplate: {spec: {template: {spec: {initContainers: [1]}}}}}"),
            r"spec\.jobTemplate\.spec\.template\.spec\.initContainers\.0",
        ),
        (manifest("ConfigMap", ", data: text"), "data"),
    ],
)
def test_a_part_that_is_looked_at_and_is_not_as_it_should_be_is_named(content: bytes, place: str) -> None:
    with pytest.raises(ReleaseError, match=f" one, whose {place}.* is missing or not what the API has there"):
        parsed("x", content)


@pytest.mark.parametrize("value", ["2020-01-01", "{1: a}", "[" * 2000 + "]" * 2000])
def test_what_could_not_be_written_as_json_is_refused(value: str) -> None:
    with pytest.raises(ReleaseError, match="ConfigMap one, which has a date without quotes, a key that is"):
        parsed("x", manifest("ConfigMap", f", more: {value}"))


@pytest.mark.parametrize(
    "content",
    [
        manifest("ClusterRole", ", rules: "),
        manifest("Pod", ", spec: {containers: [{name: a, env: }], initContainers: , volumes: [{name: v}]}"),
        manifest("Anything", ", spec: [1, null, {rules: 1}]"),
    ],
)
def test_nothing_where_the_api_allows_it_and_anything_that_is_not_looked_at_are_taken(content: bytes) -> None:
    assert len(parsed("x", content)) == 1
