"""What sections of the settings have in common: the base model, and parts that several of them use."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from stacks.vocabulary import SecretKey, SubjectName


class Section(BaseModel):
    """A part of the settings: immutable, camelCase in YAML, without room for a mistyped key."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class SecretReference(Section):
    """A secret key of the stack's configuration: the settings name it, and never hold its value."""

    secret: SecretKey = Field(
        title="Secret configuration key",
        description="Key of this stack's configuration that holds it: pulumi config set --secret KEY.",
    )


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
