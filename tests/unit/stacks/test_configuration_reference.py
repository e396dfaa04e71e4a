"""docs/configuration.md against the model."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from stacks.notices import notices
from stacks.settings import EnvironmentSettings, known_keys

TEXT = (Path(__file__).parents[3] / "docs/configuration.md").read_text()
SECTIONS = {
    match[1]: match[2] for match in re.finditer(r"^## (\w+).*\n((?:(?!## ).*\n?)*)", TEXT, re.MULTILINE)
}
PLACES = {
    place: keys
    for place, keys in known_keys().items()
    # Kubeconfigs have a section of their own.
    if place and "kubeconfig" not in place
}


def row(section: str, key: str) -> str | None:
    """Find the table's row of a key: `a.b`, or `.b` after it, or with its one key below, as `a.b.c`."""
    name = re.escape(key)
    last = re.escape(f".{key.rpartition('.')[2]}")
    found = re.search(rf"^\| [^|]*`({name}(\.\w+)?|{last})`.*$", SECTIONS[section], re.MULTILINE)
    return found[0] if found else None


@pytest.mark.parametrize("place", PLACES)
def test_the_reference_has_a_row_for_every_key(place: str) -> None:
    section, _, below = place.replace(".*", "").partition(".")
    # Where a secret may be a file as well, the section about secrets says so.
    secrets = {"secret", "path"} if set(PLACES[place]) == {"secret", "path"} else {"secret", "issuer"}
    missing = [
        key
        for key in PLACES[place]
        # References to secrets, and subjects, are told in the row of what has them.
        if key not in {*secrets, "users", "groups", "serviceAccounts"}
        and row(section, f"{below}.{key}" if below else key) is None
    ]
    assert missing == []


def test_the_reference_names_what_is_not_acted_on_yet_and_nothing_else() -> None:
    paragraph = re.search(r"^\*\*Not acted on yet\.\*\*(?:.+\n)+", TEXT, re.MULTILINE)
    assert paragraph
    named = set(re.findall(r"`(\w+)`", paragraph[0])) - {"validate"}
    everything = EnvironmentSettings.model_validate(
        {
            "kcp": {"kubeconfig": {"path": "kcp"}, "parent": "root:org"},
            "pools": {"gpu": {}},
            "computeClusters": {"a": {"kubeconfig": {"path": "a"}}},
            "tenants": {"t": {"cluster": "a", "repositories": ["https://git.example.com/team/app"]}},
            "syncer": {"replicas": 2},
            "tekton": {"defaultTimeoutMinutes": 30},
            "pipelinesAsCode": {"enabled": True},
            "argocd": {"enabled": True},
            "gateway": {"host": "events.example.com"},
            "gitops": {"repository": "https://git.example.com/team/clusters"},
            "imageRepository": {"offline": True},
            "monitoring": {"enabled": True},
            "releases": {"directory": "releases"},
            "deletionProtection": False,
        }
    )
    assert everything.model_fields_set == EnvironmentSettings.model_fields.keys()
    told = {line.partition(": ")[0].rpartition(":")[2].rpartition(".")[2] for line in notices(everything)}
    assert named == told


def defaults(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        default = None if field.is_required() else field.default
        if isinstance(default, BaseModel):
            found |= defaults(type(default), f"{key}.")
        elif isinstance(default, bool | int | float | str) and default != "":
            found[key] = default
    return found


def written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


MODELS = [
    (field.alias or name, model)
    for name, field in EnvironmentSettings.model_fields.items()
    for model in (field.annotation, *get_args(field.annotation))
    if isinstance(model, type) and issubclass(model, BaseModel)
]


@pytest.mark.parametrize(("section", "model"), MODELS, ids=[section for section, _ in MODELS])
def test_the_reference_states_every_default(section: str, model: type[BaseModel]) -> None:
    stated = {key: (row(section, key) or "||").split("|")[2] for key in defaults(model)}
    wrong = {
        key: value
        for key, value in defaults(model).items()
        if f"`{written(value)}`" not in stated[key].replace('"', "")
    }
    assert wrong == {}
