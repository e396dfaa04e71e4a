"""The API server of a compute cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pulumi_kubernetes import Provider

if TYPE_CHECKING:
    from components.delivery import Delivery


class ClusterProvider(Provider):  # type: ignore[misc]  # the SDK has no types
    """The API server of a compute cluster, with how objects get there.

    Parameters
    ----------
    name
        Name in the stack's state.
    delivery
        Who applies what runs on it.
    **settings
        What Pulumi's Provider takes.
    """

    def __init__(self, name: str, *, delivery: Delivery, **settings: Any) -> None:  # noqa: ANN401 -- as Provider's
        super().__init__(name, **settings)
        self.delivery = delivery
