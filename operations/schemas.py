"""JSON Schemas of the stack file and of the outputs, made from the models themselves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from stacks.outputs import SCHEMA_VERSION, EnvironmentOutputs
from stacks.problems import PROJECT
from stacks.settings import EnvironmentSettings

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic_core.core_schema import DictSchema

FOLDER: Final = "docs/schemas"
"""Folder of the schemas, in the project's folder."""

MEND: Final = "run .venv/bin/python -m operations schema"
"""What to do about an outdated schema."""

_DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest dialect that editors' YAML language server knows."""

_TEXT: Final = {"type": "string"}


class _Draft7(GenerateJsonSchema):
    """Writes what pydantic writes, as the older dialect says it."""

    def dict_schema(self, schema: DictSchema) -> JsonSchemaValue:
        # With patternProperties alone an entry whose name is wrong would be accepted, whatever it holds.
        made = super().dict_schema(schema)
        for pattern, values in made.pop("patternProperties", {}).items():
            made["additionalProperties"] = values
            made["propertyNames"] = {"pattern": pattern, **made.get("propertyNames", {})}
        return made


def schemas() -> dict[str, str]:
    """Make the schemas.

    Returns
    -------
    dict of str to str
        The text of each, by the name of its file.
    """
    made = {"stack.schema.json": _stack_schema(), "outputs.schema.json": _outputs_schema()}
    return {name: json.dumps(_referring(schema), indent=2) + "\n" for name, schema in made.items()}


def outdated(project: Path) -> list[Path]:
    """Find the schemas that are not what the models say.

    Parameters
    ----------
    project
        The project's folder.

    Returns
    -------
    list of Path
        Files that are missing or differ.
    """
    files = {project / FOLDER / name: text for name, text in schemas().items()}
    return [path for path, text in files.items() if not path.is_file() or path.read_text() != text]


def write(project: Path) -> list[Path]:
    """Write the schemas anew.

    Parameters
    ----------
    project
        The project's folder.

    Returns
    -------
    list of Path
        Files that were changed.
    """
    changed = outdated(project)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(schemas()[path.name])
    return changed


def _stack_schema() -> dict[str, Any]:
    settings = EnvironmentSettings.model_json_schema(schema_generator=_Draft7)
    keys = {f"{PROJECT}:{key}": schema for key, schema in settings["properties"].items()}
    names = "|".join(settings["properties"])
    encrypted = {
        "type": "object",
        "title": "Secret",
        "description": "An encrypted value that a setting refers to: pulumi config set --secret KEY.",
        "properties": {"secure": _TEXT},
        "required": ["secure"],
        "additionalProperties": False,
    }
    providers = {
        "type": "array",
        "title": "Packages without default providers",
        "description": "List kubernetes: no object may end up on whatever cluster a kubeconfig names.",
        "items": _TEXT,
    }
    return {
        "$schema": _DIALECT,
        "title": "Stack file of Pipeline Service",
        "description": "One environment: Pulumi.<stack>.yaml. docs/configuration.md explains every key.",
        "type": "object",
        "required": ["config"],
        "properties": {
            "config": {
                "type": "object",
                "description": f"Settings, each key with its namespace: {PROJECT}:tenants.",
                "required": [f"{PROJECT}:{key}" for key in settings["required"]],
                "properties": {"pulumi:disable-default-providers": providers, **keys},
                "patternProperties": {f"^{PROJECT}:(?!({names})$)": encrypted},
                "propertyNames": {"pattern": ":"},
            },
            "secretsprovider": {**_TEXT, "description": "What encrypts secrets, such as awskms://…"},
            "encryptedkey": {**_TEXT, "description": "Written by pulumi, with a key service."},
            "encryptionsalt": {**_TEXT, "description": "Written by pulumi, with a passphrase."},
            "environment": {"description": "Environments of Pulumi ESC."},
        },
        "$defs": settings["$defs"],
    }


def _outputs_schema() -> dict[str, Any]:
    outputs = EnvironmentOutputs.model_json_schema(mode="serialization", schema_generator=_Draft7)
    outputs["properties"]["schemaVersion"]["const"] = SCHEMA_VERSION
    outputs["properties"]["credentials"] = {
        "type": "object",
        "title": "Credentials",
        "description": "Secret. Credentials for layered products.",
    }
    return {
        "$schema": _DIALECT,
        "title": "Outputs of Pipeline Service",
        "description": "What a stack exports. docs/outputs.md explains it.",
        "type": "object",
        "required": list(outputs["properties"]),
        "properties": _open(outputs["properties"]),
        "$defs": _open(outputs["$defs"]),
    }


def _open(schema: Any) -> Any:  # noqa: ANN401 -- any part of a schema
    """Let objects have more keys: the contract grows, and who reads it must not mind."""
    match schema:
        case dict():
            return {
                key: _open(value)
                for key, value in schema.items()
                if (key, value) != ("additionalProperties", False)
            }
        case list():
            return [_open(value) for value in schema]
    return schema


def _referring(schema: Any) -> Any:  # noqa: ANN401 -- any part of a schema
    """Put each `$ref` by itself: this dialect ignores what stands beside one, a description for example."""
    match schema:
        case {"$ref": reference, **rest} if rest:
            return {"allOf": [{"$ref": reference}], **_referring(rest)}
        case dict():
            return {key: _referring(value) for key, value in schema.items()}
        case list():
            return [_referring(value) for value in schema]
    return schema
