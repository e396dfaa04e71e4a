"""What becomes of a tenant's entry in a stack file: each function gives the file as it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from operations import stack_file
from operations.errors import OperationError
from stacks.problems import nearest
from stacks.tenant_settings import QuotaSettings
from stacks.yaml_text import parse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from operations.stack_file import KeyPath, StackFile

_ENTRY: Final = 3
"""Length of the path of a tenant's entry, which stays whatever is taken out of it."""


class Role(StrEnum):
    """What somebody may be to a tenant."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    VIEWER = "viewer"
    BINDER = "binder"

    @property
    def keys(self) -> tuple[str, ...]:
        """Where in the entry those who have it stand."""
        return ("external", "binders") if self is Role.BINDER else ("access", f"{self}s")


@dataclass(frozen=True, kw_only=True)
class Who:
    """People and service accounts.

    Attributes
    ----------
    users
        Names of users.
    groups
        Names of groups.
    service_accounts
        Service accounts of the tenant's workspace, as namespace/name.
    """

    users: Sequence[str] = ()
    groups: Sequence[str] = ()
    service_accounts: Sequence[str] = ()

    def by_key(self) -> dict[str, list[str]]:
        """List those that are named, each once, by their key in the settings."""
        given = {"users": self.users, "groups": self.groups, "serviceAccounts": self.service_accounts}
        return {key: list(dict.fromkeys(names)) for key, names in given.items() if names}


@dataclass(frozen=True, kw_only=True)
class NewTenant:
    """What a new tenant's entry says.

    Attributes
    ----------
    cluster
        Name of its cluster.
    external
        Path of its workspace where someone else owns it.
    roles
        Who has which role.
    namespaces
        Namespaces of its workspace; none means the default.
    quota
        Its quota as KEY=VALUE; what it doesn't name has its default.
    repositories
        URLs of its Git repositories.
    """

    cluster: str
    external: str | None = None
    roles: Mapping[Role, Who] = field(default_factory=dict)
    namespaces: Sequence[str] = ()
    quota: Sequence[str] = ()
    repositories: Sequence[str] = ()

    def entry(self) -> dict[str, Any]:
        """Write the entry.

        Raises
        ------
        OperationError
            What is given can't be written as an entry.
        """
        made: dict[str, Any] = {"cluster": self.cluster}
        if self.external is not None:
            made["external"] = {"path": self.external}
        for role, who in self.roles.items():
            if named := who.by_key():
                if role is Role.BINDER and self.external is None:
                    raise OperationError(
                        "binders are of an external tenant; give --external PATH beside --binder-user and"
                        " --binder-group, or leave these out"
                    )
                section, key = role.keys
                made.setdefault(section, {})[key] = named
        if self.namespaces:
            made["namespaces"] = list(self.namespaces)
        if self.quota:
            made["quota"] = _quota(self.quota)
        if self.repositories:
            made["repositories"] = list(self.repositories)
        return made


def add(file: StackFile, name: str, tenant: NewTenant) -> StackFile:
    """Add an entry after the others.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.
    tenant
        What its entry says.

    Raises
    ------
    OperationError
        There is a tenant of this name, or what is given can't be written as an entry.
    SettingsError
        The entry, or what it makes of the environment, is wrong.
    """
    if name in file.settings.tenants:
        raise OperationError(
            f'tenant "{name}": it exists already; give another name, or change its entry:'
            f" .venv/bin/python -m operations tenant show {name} --stack {file.stack}"
        )
    path = (*file.section("tenants"), name)
    return file.edited(stack_file.put(file.text, path, tenant.entry(), block=True))


def grant(file: StackFile, name: str, role: Role, who: Who) -> StackFile:
    """Give a role to those who don't have it.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.
    role
        The role.
    who
        Who gets it.

    Raises
    ------
    OperationError
        There is no such tenant, or nobody is named.
    SettingsError
        Somebody can't have this role.
    """
    place, entry = _entry(file, name)
    _fits(file, name, role)
    text = file.text
    for key, subjects in _named(who).items():
        present = _role(entry, role).get(key) or []
        for subject in subjects:
            if subject not in present:
                text = stack_file.append(text, (*place, *role.keys, key), subject)
    return file.edited(text)


def revoke(file: StackFile, name: str, role: Role, who: Who) -> StackFile:
    """Take a role from those who have it.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.
    role
        The role.
    who
        Who loses it.

    Raises
    ------
    OperationError
        There is no such tenant, nobody is named, or somebody doesn't have the role.
    SettingsError
        The tenant can't do without.
    """
    place, entry = _entry(file, name)
    _fits(file, name, role)
    present = {key: list(subjects or []) for key, subjects in _role(entry, role).items()}
    text = file.text
    for key, subjects in _named(who).items():
        for subject in subjects:
            if subject not in present.get(key, []):
                raise OperationError(
                    f'tenant "{name}": {_KINDS[key]} "{subject}" has no role {role}; '
                    f"{_described(entry, role)}"
                )
            while subject in present[key]:  # written twice, it would keep the role
                position = present[key].index(subject)
                del present[key][position]
                text = stack_file.remove(text, (*place, *role.keys, key, position), keep=_ENTRY)
    if role is Role.BINDER and not any(present.values()):
        raise OperationError(
            f'tenant "{name}": nobody could bind the cluster\'s API in its workspace any more; grant somebody'
            " else first, or retire the tenant"
        )
    return file.edited(text)


def suspend(file: StackFile, name: str, *, stop: bool) -> StackFile:
    """Suspend a tenant.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.
    stop
        Whether running work is stopped; else the entry's `onSuspension` decides.

    Raises
    ------
    OperationError
        There is no such tenant.
    """
    place, _ = _entry(file, name)
    text = stack_file.put(file.text, (*place, "suspended"), value=True)
    if stop:
        text = stack_file.put(text, (*place, "onSuspension"), "stop")
    return file.edited(text)


def resume(file: StackFile, name: str) -> StackFile:
    """Lift a tenant's suspension. What becomes of running work at the next one stays as it is.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.

    Raises
    ------
    OperationError
        There is no such tenant, or it isn't suspended but retired or active.
    """
    place, entry = _entry(file, name)
    if "retired" in entry:
        raise OperationError(
            f'tenant "{name}": it is retired; to keep it after all, take `retired` out of its entry by hand'
        )
    if not entry.get("suspended"):
        raise OperationError(f'tenant "{name}": it is not suspended; nothing was changed')
    return file.edited(stack_file.remove(file.text, (*place, "suspended"), keep=_ENTRY))


def retire(file: StackFile, name: str, export: str | None) -> StackFile:
    """Record that a tenant leaves.

    Parameters
    ----------
    file
        The stack file.
    name
        Name of the tenant.
    export
        Digest of the file with its objects; None for an external tenant.

    Raises
    ------
    OperationError
        There is no such tenant.
    """
    place, entry = _entry(file, name)
    text = file.text
    if "retired" in entry:
        text = stack_file.remove(text, (*place, "retired"), keep=_ENTRY)
    retired = {} if export is None else {"export": export}
    return file.edited(stack_file.put(text, (*place, "retired"), retired))


def check_name(file: StackFile, name: str) -> None:
    """See that there is a tenant of a name.

    Parameters
    ----------
    file
        The stack file.
    name
        The name.

    Raises
    ------
    OperationError
        There is none.
    """
    if name not in file.settings.tenants:
        known = nearest(name, file.settings.tenants, what="tenants")
        raise OperationError(f'tenant "{name}": there is none in {file.path.name}; {known}')


_KINDS: Final = {"users": "user", "groups": "group", "serviceAccounts": "service account"}


def _entry(file: StackFile, name: str) -> tuple[KeyPath, dict[str, Any]]:
    """Find a tenant's entry: its place, and what stands there."""
    check_name(file, name)
    section = file.section("tenants")
    entry: dict[str, Any] = parse(file.text)[section[0]][section[1]][name]
    return (*section, name), entry


def _fits(file: StackFile, name: str, role: Role) -> None:
    external = file.settings.tenants[name].external is not None
    if external == (role is Role.BINDER):
        return
    if external:
        raise OperationError(
            f'tenant "{name}": its workspace ({file.settings.tenant_path(name)}) is external, and its owner'
            f" gives the roles there; here is only {Role.BINDER}: who may bind the cluster's API"
        )
    raise OperationError(
        f'tenant "{name}": its workspace is made here, and so is its binding; '
        f"use {Role.ADMIN}, {Role.DEVELOPER} or {Role.VIEWER}"
    )


def _role(entry: Mapping[str, Any], role: Role) -> Mapping[str, Any]:
    section, key = role.keys
    return (entry.get(section) or {}).get(key) or {}


def _named(who: Who) -> dict[str, list[str]]:
    named = who.by_key()
    if not named:
        raise OperationError("nobody is named; give --user, --group or --service-account")
    return named


def _described(entry: Mapping[str, Any], role: Role) -> str:
    """Say who has a role, and who has another one."""
    roles = (
        [role] if role is Role.BINDER else [role, *(one for one in Role if one not in (role, Role.BINDER))]
    )
    parts = []
    for one in roles:
        who = [
            f"{_KINDS[key]} {subject}"
            for key, subjects in _role(entry, one).items()
            for subject in subjects or []
        ]
        parts.append(f"{one}: {', '.join(who) or 'nobody'}")
    return "; ".join(parts)


def _quota(given: Sequence[str]) -> dict[str, int | str]:
    counted = {one.alias for one in QuotaSettings.model_fields.values() if one.annotation is int}
    quota: dict[str, int | str] = {}
    for one in given:
        key, separator, value = one.partition("=")
        if not separator:
            raise OperationError(f'--quota "{one}": not KEY=VALUE; write it like cpu=8 or memory=16Gi')
        if key in quota:
            raise OperationError(f'--quota "{one}": {key} is given twice; give it once')
        quota[key] = int(value) if key in counted and value.isdecimal() else value
    return quota
