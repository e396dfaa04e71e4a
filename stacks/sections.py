"""What sections of the settings have in common: the base model, and parts that several of them use."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from stacks.problems import refuse
from stacks.vocabulary import FilePath, SecretKey, SubjectName


class Section(BaseModel):
    """A part of the settings: immutable, camelCase in YAML, without room for a mistyped key."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class SecretReference(Section):
    """A secret key of the stack's configuration: the settings name it, and never hold its value."""

    secret: SecretKey = Field(
        title="Secret configuration key",
        description="Key of this stack's configuration that holds it: pulumi config set --secret KEY.",
    )


class SecretSource(Section):
    """Where a secret is: a secret key of the stack's configuration, or a file that nobody commits."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": [source]} for source in ("secret", "path")]}
    )

    secret: SecretKey | None = Field(
        default=None,
        title="Secret configuration key",
        description="Key of this stack's configuration that holds it: pulumi config set --secret KEY.",
    )
    path: FilePath | None = Field(
        default=None,
        title="File",
        description="Path of a file that holds it, relative to the project's folder, for local stacks.",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.secret is None) == (self.path is None):
            refuse("one source of the secret is needed", "give either secret or path")
        return self


class SubjectsSettings(Section):
    """Who has a role."""

    users: tuple[SubjectName, ...] = Field(
        default=(), title="Users", description="Names of users, as kcp's identity provider gives them."
    )
    groups: tuple[SubjectName, ...] = Field(
        default=(), title="Groups", description="Names of groups, as kcp's identity provider gives them."
    )


class GroupsSettings(Section):
    """Which groups have a role."""

    groups: tuple[SubjectName, ...] = Field(
        default=(), title="Groups", description="Names of groups, as the identity provider gives them."
    )
