"""A third-party release on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pulumi

from components.unit import ClusterUnitArgs, UnitArgs, register_unit

if TYPE_CHECKING:
    from releases.prepare import PreparedRelease

WAIT_SECONDS: Final = 600
"""How long a release's workloads may take to become available, image pulls included."""


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs(ClusterUnitArgs):
    """What a Release needs.

    Attributes
    ----------
    release
        What is installed.
    """

    release: PreparedRelease


class Release(pulumi.ComponentResource):
    """A release on a cluster: applied, then waited for.

    Whoever needs the release to work depends on this component, and so on both of its commands.

    Parameters
    ----------
    name
        Name of the compute cluster and of the release.
    args
        What it needs.
    opts
        Pulumi's options.
    """

    def __init__(self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("pipeline-service:release:Release", name, None, opts)
        register_unit(
            name,
            UnitArgs(
                unit=args.release.name,
                version=args.release.version,
                sha256=args.release.sha256,
                kubeconfig=args.kubeconfig,
                manifest_file=str(args.release.manifest),
                incarnation=args.incarnation,
                wait_seconds=WAIT_SECONDS,
                state=args.state,
            ),
            parent=self,
            depends_on=args.after,
        )
        self.register_outputs({"version": args.release.version})
