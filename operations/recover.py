"""Making a stack usable after its update was interrupted, however hard.

In this order, since each step is safe only after the one before: the lock of a dead engine is identified,
what that engine left running ends, the lock is lifted, and what its state holds open is settled. Nothing is
guessed: where a check can't be made, it says so and stops, having changed nothing that it was not sure of.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from operations import locks, lookup, orphans, pending
from operations.errors import OperationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from operations.pulumi_cli import PulumiCli


def recover(
    pulumi: PulumiCli,
    say: Callable[[str], None],
    *,
    grace: float = 30.0,
    find: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any] | None] | None = None,
) -> None:
    """Make a stack usable; a second run finds nothing to do.

    Parameters
    ----------
    pulumi
        The stack.
    say
        Takes one line for each thing done.
    grace
        Seconds that processes of a dead engine get to finish by themselves.
    find
        The live object of a resource of the state, given the resource and its provider's inputs. Default:
        `kubectl`.

    Raises
    ------
    OperationError
        When an update is running, or a check can't be made.
    """
    stale = _stale_locks(pulumi, say)
    left = orphans.find_orphans(pulumi.root)
    orphans.end(left, say, grace=grace)
    for lock in stale:
        lock.path.unlink(missing_ok=True)
        say(f"lock lifted: its engine is dead ({lock})")
    settled = _settle(pulumi, say, find or (lambda res, prov: lookup.find_live(res, prov, root=pulumi.root)))
    if not (stale or left or settled):
        say("nothing to recover")


def _stale_locks(pulumi: PulumiCli, say: Callable[[str], None]) -> list[locks.Lock]:
    """Return the locks of dead engines.

    Raises
    ------
    OperationError
        When an engine that holds a lock may be alive.
    """
    backend = pulumi.backend_url()
    folder = locks.lock_folder(backend, project=pulumi.project, stack=pulumi.stack)
    if folder is None:
        # Such a backend refuses the state's import, the only write below, while an update holds the stack.
        say(f"backend {backend} holds no files; its locks are left to `pulumi cancel --stack {pulumi.stack}`")
        return []
    hostname = platform.node()
    found = locks.read_locks(folder)
    for lock in found:
        if not locks.is_stale(lock, hostname=hostname):
            where = (
                "that process runs" if lock.hostname == hostname else "that host can't be looked at from here"
            )
            raise OperationError(
                f"stack {pulumi.stack}: locked by {lock}, and {where}; "
                "wait for it, or stop it and run this again "
                f"(certain that it is gone: `pulumi cancel --stack {pulumi.stack}`)",
            )
    return found


def _settle(
    pulumi: PulumiCli,
    say: Callable[[str], None],
    find: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any] | None],
) -> bool:
    """Settle what the state holds open; return whether there was anything."""
    checkpoint = pulumi.export()
    if not pending.operations(checkpoint):
        return False
    shown: list[dict[str, Any]] = []

    def live(resource: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if not shown:  # only now, so that a state without pending creates is never decrypted
            shown.append(pulumi.export(show_secrets=True))
        return find(resource, lookup.provider_inputs(shown[0], resource))

    decisions = pending.decide(checkpoint, live)
    if pulumi.export() != checkpoint:
        raise OperationError(
            f"stack {pulumi.stack}: its state changed meanwhile; run this again when no update runs"
        )
    pulumi.import_state(pending.settle(checkpoint, decisions))
    for decision in decisions:
        say(str(decision))
    return True
