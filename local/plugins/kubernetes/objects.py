"""Kubernetes objects as plain dicts: identity, annotations, and what the checkpoint keeps."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.plugins.protocol.values import UNKNOWN, Properties, Secret, Value, has_secret, reveal

if TYPE_CHECKING:
    from collections.abc import Mapping

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object as its JSON form, without `Secret` wrappers."""

AUTONAMED: Final = "pulumi.com/autonamed"
DELETION_POLICY: Final = "pulumi.com/deletionPropagationPolicy"
PATCH_FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
PATCH_FORCE: Final = "pulumi.com/patchForce"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
TIMEOUT_SECONDS: Final = "pulumi.com/timeoutSeconds"
WAIT_FOR: Final = "pulumi.com/waitFor"

INPUTS: Final = "__inputs"
INITIAL_API_VERSION: Final = "__initialApiVersion"
FIELD_MANAGER: Final = "__fieldManager"

SERVER_METADATA: Final = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Metadata that only an API server sets, never an input."""

_UNDERSCORED: Final = {
    f"x_kubernetes_{name.replace('-', '_')}": f"x-kubernetes-{name}"
    for name in (
        "embedded-resource",
        "int-or-string",
        "list-map-keys",
        "list-type",
        "map-type",
        "preserve-unknown-fields",
        "validations",
    )
}
"""Fields of a CRD's schema whose names no SDK can spell as Kubernetes does."""
_DASHED: Final = {dashed: underscored for underscored, dashed in _UNDERSCORED.items()}


@dataclass(frozen=True, slots=True)
class Kind:
    """Group, version and kind of an object.

    Attributes
    ----------
    api_version : str
        For example ``apps/v1`` or ``v1``.
    kind : str
        For example ``Deployment``.
    """

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group, empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """The version within the group."""
        return self.api_version.rpartition("/")[2]

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind}"


SECRET: Final = Kind("v1", "Secret")
CUSTOM_RESOURCE_DEFINITION: Final = "CustomResourceDefinition"


def kind_of(obj: Mapping[str, Value]) -> Kind:
    """Return an object's kind, parts of it empty where the object does not name them."""
    return Kind(_text(obj.get("apiVersion")), _text(obj.get("kind")))


def metadata(obj: Mapping[str, Value]) -> Mapping[str, Value]:
    """Return an object's metadata, empty where it has none or it is unknown."""
    found = obj.get("metadata")
    return found if isinstance(found, dict) else {}


def name_of(obj: Mapping[str, Value]) -> str:
    """Return an object's name, empty where it has none or it is unknown."""
    return _text(metadata(obj).get("name"))


def namespace_of(obj: Mapping[str, Value]) -> str:
    """Return an object's namespace, empty where it has none or it is unknown."""
    return _text(metadata(obj).get("namespace"))


def annotation(obj: Mapping[str, Value], key: str) -> str:
    """Return an annotation's value, empty where it is missing or unknown."""
    annotations = metadata(obj).get("annotations")
    return _text(annotations.get(key)) if isinstance(annotations, dict) else ""


def is_annotated(obj: Mapping[str, Value], key: str) -> bool:
    """Tell whether an annotation is ``"true"``."""
    return annotation(obj, key) == "true"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else ""


def resource_id(obj: Object) -> str:
    """Return an object's id in the state: ``namespace/name``, or ``name`` where it has no namespace."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def parse_id(identifier: str) -> tuple[str, str]:
    """Split an id into namespace (empty where there is none) and name."""
    namespace, _, name = identifier.rpartition("/")
    return namespace, name


def timeout_seconds(obj: Mapping[str, Value], requested: float, default: float) -> float:
    """Return how long to wait for an object.

    Parameters
    ----------
    obj : Mapping[str, Value]
        Whose annotation ``pulumi.com/timeoutSeconds`` counts.
    requested : float
        The resource option ``custom_timeouts``, in seconds; 0 where not given. It goes before the annotation.
    default : float
        In seconds.

    Returns
    -------
    float
        In seconds.
    """
    annotated = annotation(obj, TIMEOUT_SECONDS)
    return requested or (float(annotated) if annotated.isdecimal() else default)


def to_object(properties: Mapping[str, Value]) -> Object:
    """Turn properties into the object they describe: secrets revealed, names spelt as Kubernetes does."""
    revealed: Object = _rename(reveal(dict(properties)), _UNDERSCORED)
    return revealed


def to_properties(obj: Object, given: Mapping[str, Value]) -> Properties:
    """Turn an object into properties: names spelt as the SDKs do, secrets marked.

    Parameters
    ----------
    obj : Object
        Inputs or a live object; not changed.
    given : Mapping[str, Value]
        The inputs as the engine sent them; they tell what is secret.

    Returns
    -------
    Properties
        A copy.
    """
    properties: Properties = _rename(reveal(obj), _DASHED)
    mark_secrets(properties, given)
    return properties


def _rename(value: Value, names: Mapping[str, str]) -> Value:
    match value:
        case dict():
            return {names.get(key, key): _rename(item, names) for key, item in value.items()}
        case list():
            return [_rename(item, names) for item in value]
        case _:
            return value


def normalise(obj: Object) -> Object:
    """Bring inputs into the form in which an API server returns them, so that equal ones do not differ.

    Parameters
    ----------
    obj : Object
        Inputs; not changed.

    Returns
    -------
    Object
        Without metadata that only the server sets; for a Secret with ``stringData`` moved, encoded, into
        ``data``.
    """
    result = dict(obj)
    if isinstance(obj.get("metadata"), dict):
        result["metadata"] = {
            key: value
            for key, value in obj["metadata"].items()
            if key not in SERVER_METADATA and value not in (None, {}, [])
        }
    if kind_of(obj) == SECRET and isinstance(obj.get("stringData"), dict):
        del result["stringData"]
        data = result.get("data")
        result["data"] = {
            **(data if isinstance(data, dict) else {}),
            **{key: _base64(value) for key, value in obj["stringData"].items()},
        }
    return result


def _base64(value: Value) -> Value:
    return UNKNOWN if value is UNKNOWN else base64.b64encode(str(value).encode()).decode()


_ABSENT: Final = object()


def observed_inputs(live: Object, inputs: Object) -> Object:
    """Return what became of the inputs in a live object: its values, in the inputs' shape.

    Parameters
    ----------
    live : Object
        The object as the API server returned it.
    inputs : Object
        The inputs it was made from.

    Returns
    -------
    Object
        The live value of each input. An input that the live object lacks is left out, so that it counts as a
        difference, unless it is empty (``false``, ``0``, ``""``, ``[]``, ``{}``): servers drop those.
    """
    observed: Object = _observe(live, inputs)
    return observed


def _observe(live: Value, wanted: Value) -> Value:
    if isinstance(live, dict) and isinstance(wanted, dict):
        result = {}
        for key, item in wanted.items():
            if key in live:
                result[key] = _observe(live[key], item)
            elif not item and item is not UNKNOWN:
                result[key] = item
        return result
    if isinstance(live, list) and isinstance(wanted, list):
        # Items beyond the inputs' were added by others; an item that is gone shortens the list.
        return [_observe(item, shape) for item, shape in zip(live, wanted, strict=False)]
    return live


def mark_secrets(outputs: Properties, inputs: Mapping[str, Value]) -> None:
    """Mark as secret what is secret in the inputs, and the data of every Secret.

    Parameters
    ----------
    outputs : Properties
        Changed in place. Where an input array holds a secret the whole output array becomes one, since a
        server may reorder it.
    inputs : Mapping[str, Value]
        With `Secret` wrappers.
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if outputs.get(key) is not None and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
    for key, value in inputs.items():
        output = outputs.get(key, _ABSENT)
        if output is _ABSENT or isinstance(output, Secret):
            continue
        if isinstance(output, dict) and isinstance(value, dict):
            mark_secrets(output, value)
        elif has_secret(value):
            outputs[key] = Secret(output)


def checkpoint(
    inputs: Object,
    live: Object,
    given: Mapping[str, Value],
    *,
    initial_api_version: str,
    field_manager: str,
) -> Properties:
    """Make the state that the engine keeps of an object.

    Parameters
    ----------
    inputs : Object
        What was applied.
    live : Object
        What the API server returned.
    given : Mapping[str, Value]
        The inputs as the engine sent them; they tell what is secret.
    initial_api_version : str
        The ``apiVersion`` the object was created with.
    field_manager : str
        Who applies its fields.

    Returns
    -------
    Properties
        The live object with the inputs under ``__inputs``.
    """
    outputs = to_properties(live, given)
    # It repeats every field, would grow each state, and shows nothing of use in a preview.
    if isinstance(outputs.get("metadata"), dict):
        outputs["metadata"].pop("managedFields", None)
    last_applied = "kubectl.kubernetes.io/last-applied-configuration"
    annotations = metadata(outputs).get("annotations")
    if kind_of(live) == SECRET and isinstance(annotations, dict) and last_applied in annotations:
        annotations[last_applied] = Secret(annotations[last_applied])  # kubectl keeps the data here in plain
    outputs[INPUTS] = to_properties(inputs, given)
    outputs[INITIAL_API_VERSION] = initial_api_version
    outputs[FIELD_MANAGER] = field_manager
    return outputs


def parse_checkpoint(state: Mapping[str, Value]) -> tuple[Object, Object]:
    """Take a state apart.

    Parameters
    ----------
    state : Mapping[str, Value]
        As `checkpoint` made it.

    Returns
    -------
    tuple of (Object, Object)
        The inputs and the live object.
    """
    live = to_object(state)
    inputs = live.pop(INPUTS, {})
    for key in (INITIAL_API_VERSION, FIELD_MANAGER):
        live.pop(key, None)
    return inputs, live


def wait_expressions(obj: Object) -> list[str]:
    """Return the expressions of the annotation ``pulumi.com/waitFor``: one, or a JSON array of them."""
    text = annotation(obj, WAIT_FOR)
    if text.startswith("["):
        parsed = json.loads(text)
        return [str(item) for item in parsed]
    return [text] if text else []
