"""One API server, or one workspace of kcp: what it serves, and the operations on its objects."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from local.plugins.kubernetes.client import ApiError, Client, Request, UnreachableError
from local.plugins.kubernetes.kubeconfig import connect, environment_kubeconfig, parse_kubeconfig
from local.plugins.protocol.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.plugins.kubernetes.objects import Kind, Object
    from local.plugins.kubernetes.settings import Settings
    from local.plugins.protocol.lifetime import Lifetime

STARTING_SECONDS: Final = 30.0
"""How long a change waits for an API server that refuses connections: it may just be starting."""
UNREACHABLE_REMEMBERED_SECONDS: Final = 15.0
"""For so long an unreachable API server is not tried again: many resources ask about the same one."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 4.0

Result = TypeVar("Result")

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"


class NoSuchKindError(ProviderError):
    """The API server serves no such kind, or does not say (yet)."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(
            f"the API server does not serve {kind}: {why};"
            " is its CustomResourceDefinition, or in kcp its APIBinding, there?"
        )


@dataclass(frozen=True, slots=True)
class Resource:
    """How an API server serves a kind.

    Attributes
    ----------
    prefix : str
        Path of the group and version, for example ``/apis/apps/v1``.
    plural : str
        For example ``deployments``.
    namespaced : bool
        Whether its objects lie in namespaces.
    """

    prefix: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """Return the path of an object, or of all of them where no name is given."""
        scope = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        return f"{self.prefix}{scope}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Cluster:
    """An API server.

    Parameters
    ----------
    settings : Settings
        The provider's configuration.
    lifetime : Lifetime
        Tells when to give up.
    """

    def __init__(self, settings: Settings, lifetime: Lifetime) -> None:
        config = parse_kubeconfig(settings.kubeconfig or environment_kubeconfig())
        connection = connect(config, context=settings.context, cluster=settings.cluster)
        self.default_namespace: Final = settings.namespace or connection.namespace
        self.client: Final = Client(connection)
        self._patient: Final = not (settings.skip_update_unreachable or settings.delete_unreachable)
        self._lifetime: Final = lifetime
        self._lock: Final = threading.Lock()
        self._resources: dict[Kind, Resource] = {}
        self._reachable = False
        self._unreachable: tuple[float, UnreachableError] | None = None

    def unreachable(self, *, patient: bool) -> UnreachableError | None:
        """Find out whether the API server can be talked to.

        Parameters
        ----------
        patient : bool
            Whether to give it `STARTING_SECONDS`, unless the configuration says how to treat an unreachable
            one.

        Returns
        -------
        UnreachableError or None
            Why not, or None where it can.
        """
        with self._lock:  # one probe serves all that ask at once
            if self._reachable:
                return None
            if self._unreachable and time.monotonic() < self._unreachable[0]:
                return self._unreachable[1]
            try:
                self.retry(self._probe, lambda error: _may_be_starting(error) and patient and self._patient)
            except UnreachableError as error:
                self._unreachable = (time.monotonic() + UNREACHABLE_REMEMBERED_SECONDS, error)
                return error
            self._reachable = True
            return None

    def _probe(self) -> None:
        try:
            self.client.send(Request(method="GET", path="/version"))
        except ApiError as error:
            if error.status in (502, 503, 504):
                raise UnreachableError(f"{self.client.server} answers {error.status}: {error}") from error
            # Any other answer shows that it is there; a kcp workspace that does not exist yet answers 403.

    def retry(
        self,
        operation: Callable[[], Result],
        worth_it: Callable[[Exception], bool],
        *,
        seconds: float = STARTING_SECONDS,
        report: Callable[[str], None] | None = None,
    ) -> Result:
        """Repeat an operation while its failure may pass.

        Parameters
        ----------
        operation : Callable
            What to do.
        worth_it : Callable
            Tells of an error whether another try makes sense.
        seconds : float, optional
            For how long.
        report : Callable, optional
            Takes a message before each new try.

        Returns
        -------
        Result
            What the operation returns.
        """
        deadline = time.monotonic() + seconds
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return operation()
            except ProviderError as error:
                if not worth_it(error) or time.monotonic() + pause > deadline:
                    raise
                if report is not None:
                    report(f"trying again: {error}")
            if not self._lifetime.sleep(pause):
                raise ProviderError("cancelled")
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def resource(self, kind: Kind) -> Resource:
        """Find out how a kind is served.

        Parameters
        ----------
        kind : Kind
            The kind.

        Returns
        -------
        Resource
            From the API server's discovery; remembered, since a served kind does not change its scope.

        Raises
        ------
        NoSuchKindError
            Where it is not served.
        """
        if kind in self._resources:
            return self._resources[kind]
        prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        try:
            document = self.client.send(Request(method="GET", path=prefix))
        except ApiError as error:
            # kcp answers 403 for a workspace that does not exist, or whose rules are not in force yet.
            if error.not_found or (error.forbidden and self.client.is_kcp_workspace):
                raise NoSuchKindError(kind, f"{self.client.server}{prefix}: {error}") from error
            raise
        for item in document.get("resources") or []:
            if "/" not in item["name"]:
                self._resources[type(kind)(kind.api_version, item["kind"])] = Resource(
                    prefix, item["name"], bool(item["namespaced"])
                )
        if kind not in self._resources:
            raise NoSuchKindError(kind, f"{self.client.server}{prefix} has other kinds only")
        return self._resources[kind]

    def scope(self, kind: Kind) -> Resource | None:
        """Find out how a kind is served, as far as that can be known now.

        Parameters
        ----------
        kind : Kind
            The kind.

        Returns
        -------
        Resource or None
            None where it is not served yet or the API server cannot be reached.
        """
        if kind not in self._resources and self.unreachable(patient=False):
            return None
        try:
            return self.resource(kind)
        except (NoSuchKindError, UnreachableError):
            return None

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object."""
        path = self.resource(kind).path(namespace or "default", name)
        return self.retry(lambda: self.client.send(Request(method="GET", path=path)), _may_be_starting)

    def select(self, kind: Kind, namespace: str, label_selector: str) -> list[Object]:
        """Return the objects with given labels."""
        query = {"labelSelector": label_selector}
        path = self.resource(kind).path(namespace)
        document = self.client.send(Request(method="GET", path=path, query=query))
        return list(document.get("items") or [])

    def create(self, kind: Kind, namespace: str, obj: Object, *, field_manager: str, dry_run: bool) -> Object:
        """Create an object; one that exists is an error."""
        path = self.resource(kind).path(namespace or "default")
        query = _query(field_manager, dry_run=dry_run)
        return self.client.send(Request(method="POST", path=path, query=query, body=obj))

    def replace(
        self, kind: Kind, namespace: str, obj: Object, *, field_manager: str, dry_run: bool
    ) -> Object:
        """Put an object in place of the one of its name and ``resourceVersion``."""
        path = self.resource(kind).path(namespace or "default", obj["metadata"]["name"])
        query = _query(field_manager, dry_run=dry_run)
        return self.client.send(Request(method="PUT", path=path, query=query, body=obj))

    def apply(  # noqa: PLR0913 (what a server-side apply consists of)
        self, kind: Kind, namespace: str, obj: Object, *, field_manager: str, force: bool, dry_run: bool
    ) -> Object:
        """Apply an object on the server; a field that another manager owns is an error unless forced."""
        path = self.resource(kind).path(namespace or "default", obj["metadata"]["name"])
        query = {**_query(field_manager, dry_run=dry_run), "force": str(force).lower()}
        return self.client.send(Request(method="PATCH", path=path, query=query, body=obj, content_type=APPLY))

    def patch(self, kind: Kind, namespace: str, name: str, operations: list[Mapping[str, Any]]) -> Object:
        """Change an object by JSON Patch."""
        path = self.resource(kind).path(namespace or "default", name)
        return self.client.send(Request(method="PATCH", path=path, body=operations, content_type=JSON_PATCH))

    def delete(self, kind: Kind, namespace: str, name: str, policy: str) -> Object:
        """Ask for an object's deletion; it may still be there afterwards."""
        path = self.resource(kind).path(namespace or "default", name)
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy}
        return self.client.send(Request(method="DELETE", path=path, body=body))


def _query(field_manager: str, *, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": field_manager, **({"dryRun": "All"} if dry_run else {})}


def _may_be_starting(error: Exception) -> bool:
    """Tell whether a read, or a request that was never sent, is worth another try."""
    if isinstance(error, UnreachableError):
        return error.starting
    return isinstance(error, ApiError) and error.status in (429, 502, 503, 504)


def never_taken(error: Exception) -> bool:
    """Tell whether a change failed for a passing reason and was surely not made."""
    return _may_be_starting(error) and not (isinstance(error, UnreachableError) and error.sent)
