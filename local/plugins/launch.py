"""Entry point of a plugin's process: ``launch.py (kubernetes|command) [flags] ENGINE_ADDRESS``.

Run by the launchers that `local.plugins.install` writes, as a file and isolated (``python -I``), so that
neither the working directory nor the environment of the engine decides which modules are found.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


def main() -> None:
    """Serve the plugin named by the first argument."""
    parent = os.getppid()  # first: the engine may die while the modules below are loaded
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    plugin, address = sys.argv[1], sys.argv[-1]
    if plugin not in ("kubernetes", "command") or ":" not in address:
        sys.exit(
            f"usage: {sys.argv[0]} (kubernetes|command) [flags] ENGINE_ADDRESS; run by the Pulumi engine"
        )

    _skip_init("pulumi", "pulumi.runtime")
    from local.plugins.protocol.server import serve  # noqa: PLC0415 (needs the path above)

    if plugin == "kubernetes":
        from local.plugins.kubernetes.provider import KubernetesProvider  # noqa: PLC0415

        serve(KubernetesProvider, address, parent)
    else:
        from local.plugins.command.provider import CommandProvider  # noqa: PLC0415

        serve(CommandProvider, address, parent)


def _skip_init(*packages: str) -> None:
    """Let modules of packages be imported without the packages' own `__init__`.

    The protocol's generated modules lie in the SDK, whose import would be a third of a plugin's start.
    """
    for package in packages:
        spec = find_spec(package)
        if spec is None or spec.submodule_search_locations is None:
            sys.exit(f"{sys.argv[0]}: the package {package} is not installed")
        bare = ModuleType(package)
        bare.__path__ = list(spec.submodule_search_locations)
        sys.modules[package] = bare


if __name__ == "__main__":
    main()
