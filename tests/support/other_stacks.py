"""An engine that only knows what other stacks export."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Never

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.settings import SETTINGS, set_root_resource

if TYPE_CHECKING:
    from collections.abc import Mapping


class OtherStacks(mocks.Mocks):
    """Stacks by name, each with its outputs; `refusal` is what the engine says of any stack."""

    def __init__(self, stacks: Mapping[str, Mapping[str, Any]], *, refusal: str | None = None) -> None:
        self.stacks = stacks
        self.refusal = refusal

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        assert args.token == "pulumi:pulumi:readStackOutputs"
        name = args.args["name"]
        if self.refusal or name not in self.stacks:
            reason = self.refusal or f'unknown stack "{name}"'
            message = f"invocation of {args.token} returned an error: {reason}"
            raise RuntimeError(message)
        outputs = dict(self.stacks[name])
        secret_names = sorted(key for key, value in outputs.items() if rpc.is_rpc_secret(value))
        return {"name": name, "outputs": outputs, "secretOutputNames": secret_names}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> Never:
        message = f"no resource is made: {args.name}"
        raise AssertionError(message)


def secret(value: object) -> dict[str, object]:
    """Mark an output as secret, as the engine's protocol does."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


def start(stacks: OtherStacks) -> None:
    """Let the program that follows read `stacks`."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    set_root_resource(None)  # type: ignore[arg-type]
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    pulumi.runtime.set_mocks(stacks, project="product", stack="test")
