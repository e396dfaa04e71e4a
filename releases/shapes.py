"""The parts of a manifest's objects that are looked at: checked where a manifest is read, and so once.

All else of an object may be whatever JSON has.
"""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, alias_generator=to_camel)


class _Metadata(_Part):
    name: str = Field(min_length=1)
    namespace: str | None = None


class _Object(_Part):
    kind: str = Field(min_length=1)
    metadata: _Metadata


class _Rule(_Part):
    verbs: list[str] | None = None
    api_groups: list[str] | None = None
    resources: list[str] | None = None
    resource_names: list[str] | None = None
    urls: list[str] | None = Field(default=None, alias="nonResourceURLs")


class _Aggregation(_Part):
    cluster_role_selectors: list[JsonValue] | None = None


class _Role(_Part):
    rules: list[_Rule] | None = None
    aggregation_rule: _Aggregation | None = None


class _Version(_Part):
    name: str


class _Versions(_Part):
    versions: list[_Version]


class _Definition(_Part):
    spec: _Versions


class _Container(_Part):
    env: list[dict[str, JsonValue]] | None = None


class _Image(_Part):
    reference: str = ""


class _Volume(_Part):
    image: _Image | None = None


class _Containers(_Part):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    ephemeral_containers: list[_Container] | None = None
    steps: list[_Container] | None = None
    sidecars: list[_Container] | None = None
    step_template: _Container | None = None
    volumes: list[_Volume] | None = None
    image_pull_secrets: list[dict[str, JsonValue]] | None = None


class _Pod(_Part):
    spec: _Containers


class _Template(_Part):
    template: _Pod


class _Workload(_Part):
    spec: _Template


class _Job(_Part):
    job_template: _Workload


class _CronJob(_Part):
    spec: _Job


class _ConfigMap(_Part):
    data: dict[str, JsonValue] | None = None


_SHAPES: Final[dict[str, type[_Part]]] = {
    "ClusterRole": _Role,
    "Role": _Role,
    "CustomResourceDefinition": _Definition,
    "ConfigMap": _ConfigMap,
    "Pod": _Pod,
    "PodTemplate": _Template,
    "Task": _Pod,
    "CronJob": _CronJob,
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), _Workload
    ),
}
_JSON: Final = TypeAdapter(dict[str, JsonValue])


def misshapen(document: object) -> str | None:
    """Tell what is wrong with a document of a manifest; None where it is an object as it should be.

    Parameters
    ----------
    document
        The document.
    """
    try:
        found = _Object.model_validate(document)
    except ValidationError:
        return "something that is not an object"
    named = f"{found.kind} {found.metadata.name}"
    try:
        _JSON.validate_python(document)
    except ValidationError:
        return f"{named}, which has a date without quotes, a key that is no text, or parts that lie too deep"
    try:
        _SHAPES.get(found.kind, _Part).model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        return f"{named}, whose {place} is missing or not what the API has there"
    return None
