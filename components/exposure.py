"""What leads to a gateway, to an events listener, and to the reader of results."""

from __future__ import annotations

from enum import StrEnum


class Exposure(StrEnum):
    """How the gateway is reached from outside its cluster."""

    SERVICE = "service"
    NODE_PORT = "nodePort"
    CLUSTER_IP = "clusterIP"
    INGRESS = "ingress"
    HTTP_ROUTE = "httpRoute"
    ROUTE = "route"

    @property
    def ends_tls(self) -> bool:
        """Whether what makes it reachable ends TLS, and not the gateway itself."""
        return self in (Exposure.INGRESS, Exposure.HTTP_ROUTE, Exposure.ROUTE)


class ResultsExposure(StrEnum):
    """How the reader of results is reached from outside its cluster."""

    SERVICE = "service"
    NODE_PORT = "nodePort"
    CLUSTER_IP = "clusterIP"


class EventsExposure(StrEnum):
    """How an events listener is reached from other clusters."""

    SERVICE = "service"
    NODE_PORT = "nodePort"
    ROUTE = "route"
