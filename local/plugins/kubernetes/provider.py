"""The provider: from the engine's calls to operations on objects."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from local.plugins.install import PLUGIN_VERSIONS
from local.plugins.kubernetes import operations
from local.plugins.kubernetes.changes import changes
from local.plugins.kubernetes.client import ApiError, UnreachableError
from local.plugins.kubernetes.cluster import Cluster, NoSuchKindError
from local.plugins.kubernetes.kinds import kind_from_type, refuse_unsupported, resource_type
from local.plugins.kubernetes.naming import ensure_name
from local.plugins.kubernetes.objects import (
    FIELD_MANAGER,
    INITIAL_API_VERSION,
    PATCH_FIELD_MANAGER,
    SERVER_METADATA,
    Object,
    annotation,
    checkpoint,
    kind_of,
    metadata,
    name_of,
    namespace_of,
    normalise,
    observed_inputs,
    parse_checkpoint,
    parse_id,
    resource_id,
    to_object,
    to_properties,
)
from local.plugins.kubernetes.settings import Settings, check_settings, replacing_settings
from local.plugins.kubernetes.waiting import NotReadyError, await_ready, not_ready_now
from local.plugins.protocol.differences import diff_response
from local.plugins.protocol.engine import Reporter
from local.plugins.protocol.errors import InitializationError, ProviderError, redact
from local.plugins.protocol.paths import parse_path
from local.plugins.protocol.provider import Provider
from local.plugins.protocol.values import (
    UNKNOWN,
    Properties,
    decode,
    encode,
    has_unknown,
    reveal,
    secret_strings,
)

if TYPE_CHECKING:
    from local.plugins.protocol.engine import Engine
    from local.plugins.protocol.lifetime import Lifetime

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


class KubernetesProvider(Provider):
    """The stand-in for pulumi-resource-kubernetes."""

    name: ClassVar[str] = "kubernetes"
    version: ClassVar[str] = PLUGIN_VERSIONS["kubernetes"]

    def __init__(self, engine: Engine, lifetime: Lifetime) -> None:
        super().__init__(engine, lifetime)
        self._settings = Settings()
        self._lock = threading.Lock()
        self._cluster: Cluster | None = None

    def check_config(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Verify the Provider's inputs."""
        failures = check_settings(decode(request.news))
        return provider_pb2.CheckResponse(
            inputs=request.news,
            failures=[
                provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in failures.items()
            ],
        )

    def diff_config(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Tell whether a changed Provider replaces all it manages."""
        old = decode(request.old_inputs if request.old_inputs.fields else request.olds)
        changed, replacing = replacing_settings(old, decode(request.news))
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed, replaces=replacing)

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        """Take the Provider's inputs; nothing is connected to yet."""
        self._settings = Settings.from_variables(request.variables)
        return super().configure(request)

    @property
    def _api(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster(self._settings, self.lifetime)
            return self._cluster

    def _reporter(self, urn: str, *properties: Properties) -> Reporter:
        return Reporter(self.engine, urn, {text for item in properties for text in secret_strings(item)})

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Complete the inputs: normal form, name, namespace."""
        old, given = decode(request.olds), decode(request.news)
        token = resource_type(request.urn)
        refuse_unsupported(token, reveal(given))
        if self._settings.skip_update_unreachable and self._api.unreachable(patient=False):
            self._reporter(request.urn).warning(
                "the API server is unreachable and skipUpdateUnreachable is set: the resource stays as it is"
            )
            return provider_pb2.CheckResponse(inputs=request.olds)
        inputs = normalise(to_object(given))
        kind = kind_from_type(token)
        inputs.setdefault("apiVersion", kind.api_version)
        inputs.setdefault("kind", kind.kind)
        ensure_name(inputs, to_object(old), request)
        named = inputs["metadata"]
        default = self._api.default_namespace
        if default and named is not UNKNOWN and not named.get("namespace") and self._is_namespaced(inputs):
            named["namespace"] = default
        return provider_pb2.CheckResponse(inputs=encode(to_properties(inputs, given)))

    def _is_namespaced(self, obj: Object) -> bool:
        """Tell whether objects of a kind lie in namespaces; where that cannot be known yet, most do."""
        served = self._api.scope(kind_of(obj))
        return served is None or served.namespaced

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Compare the state with new inputs."""
        old_inputs, live = parse_checkpoint(decode(request.olds))
        new = to_object(decode(request.news))
        kind = kind_of(new) if new.get("kind") else kind_from_type(resource_type(request.urn))
        served = self._api.scope(kind)
        # Where the API server cannot tell now, it did when the object was made.
        namespaced = served.namespaced if served else bool(namespace_of(live))
        result = changes(
            normalise(old_inputs),
            live,
            normalise(new),
            settings=self._settings,
            namespaced=namespaced,
            ignored=[parse_path(text) for text in request.ignoreChanges],
        )
        return diff_response(result.found, result.replacing, delete_before_replace=result.delete_first)

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        """Create an object and wait until it is ready; in a preview, ask what it would become."""
        given = decode(request.properties)
        inputs = to_object(given)
        operation = _Operation(
            inputs=inputs,
            given=given,
            manager=annotation(inputs, PATCH_FIELD_MANAGER) or operations.new_field_manager(),
            initial_api_version=kind_of(inputs).api_version,
            reporter=self._reporter(request.urn, given),
        )
        if request.preview:
            return self._preview_create(operation, provider_pb2.CreateResponse(properties=request.properties))
        self._require_reachable()
        try:
            live = operations.create(self._api, self._creation(operation), operation.reporter)
        except ProviderError as error:
            raise operation.failed("create", error) from error
        live = self._await(operation, live, request.timeout)
        return provider_pb2.CreateResponse(id=resource_id(live), properties=encode(operation.state(live)))

    def _preview_create(
        self, operation: _Operation, unchanged: provider_pb2.CreateResponse
    ) -> provider_pb2.CreateResponse:
        if not self._can_preview(operation.inputs):
            return unchanged
        try:
            live = operations.create(self._api, self._creation(operation, dry_run=True), operation.reporter)
        except (operations.PreviewImpossibleError, UnreachableError, NoSuchKindError):
            return unchanged
        except ProviderError as error:
            raise operation.failed("create", error) from error
        return provider_pb2.CreateResponse(properties=encode(operation.state(_foreseeable(live))))

    def _creation(self, operation: _Operation, *, dry_run: bool = False) -> operations.Creation:
        return operations.Creation(
            obj=operation.inputs,
            upsert_as=operation.manager if self._settings.upsert else "",
            force=self._settings.patch_force,
            dry_run=dry_run,
        )

    def _can_preview(self, inputs: Object) -> bool:
        """Tell whether the API server can be asked what an operation would do."""
        return not has_unknown(inputs) and self._api.scope(kind_of(inputs)) is not None

    def _await(self, operation: _Operation, live: Object, requested: float) -> Object:
        try:
            return await_ready(
                self._api,
                operation.inputs,
                live,
                requested=requested,
                reporter=operation.reporter,
                lifetime=self.lifetime,
            )
        except NotReadyError as error:
            raise InitializationError(
                redact(f"the object exists, but: {error}", operation.reporter.secrets),
                resource_id=resource_id(live),
                properties=operation.state(error.live),
            ) from error

    def _require_reachable(self) -> None:
        error = self._api.unreachable(patient=True)
        if error is not None:
            raise ProviderError(f"configured Kubernetes cluster is unreachable: {error}") from error

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        """Look at an object: for a refresh, or for an import, which has no inputs yet."""
        state, given = decode(request.properties), decode(request.inputs)
        reporter = self._reporter(request.urn, given)
        gone = provider_pb2.ReadResponse(id="")
        settings = self._settings
        patient = not (settings.delete_unreachable or settings.skip_update_unreachable)
        error = self._api.unreachable(patient=patient)
        if error is not None:
            reporter.warning(f"configured Kubernetes cluster is unreachable: {error}")
            if settings.delete_unreachable:
                reporter.info("deleteUnreachable is set: the resource is dropped from the state")
                return gone
            if settings.skip_update_unreachable:
                return provider_pb2.ReadResponse(
                    id=request.id, properties=request.properties, inputs=request.inputs
                )
            raise ProviderError(f"the resource cannot be read: {error}") from error
        inputs = normalise(to_object(given))
        old_live = parse_checkpoint(state)[1]
        kind = next(
            (kind_of(obj) for obj in (inputs, old_live) if obj.get("kind") and obj.get("apiVersion")),
            kind_from_type(resource_type(request.urn)),
        )
        namespace, name = parse_id(request.id)
        try:
            live = self._api.get(kind, namespace, name)
        except (ApiError, NoSuchKindError) as failure:
            if _is_gone(failure):
                return gone
            subject = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": request.id}}
            raise _failed("read", subject, failure, reporter) from failure
        imported = not inputs.get("kind")
        inputs = _importable(live) if imported else observed_inputs(live, inputs)
        manager = state.get(FIELD_MANAGER) or operations.new_field_manager()
        initial = state.get(INITIAL_API_VERSION) or kind.api_version
        properties = checkpoint(inputs, live, given, initial_api_version=initial, field_manager=manager)
        shown = to_properties(inputs, given)
        missing = "" if imported else not_ready_now(self._api, inputs, live)
        if missing:
            raise InitializationError(
                redact(f"{kind} {request.id}: {missing}", reporter.secrets),
                resource_id=request.id,
                properties=properties,
                inputs=shown,
            )
        return provider_pb2.ReadResponse(id=request.id, properties=encode(properties), inputs=encode(shown))

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        """Change an object and wait until it is ready; in a preview, ask what it would become."""
        state, given = decode(request.olds), decode(request.news)
        inputs = normalise(to_object(given))
        predecessor = state.get(FIELD_MANAGER) or operations.new_field_manager()
        operation = _Operation(
            inputs=inputs,
            given=given,
            manager=annotation(inputs, PATCH_FIELD_MANAGER) or predecessor,
            initial_api_version=state.get(INITIAL_API_VERSION) or kind_of(inputs).api_version,
            reporter=self._reporter(request.urn, state, given),
        )
        unchanged = provider_pb2.UpdateResponse(properties=request.news)
        if not request.preview:
            self._require_reachable()
        elif not self._can_preview(inputs):
            return unchanged
        change = operations.Update(
            inputs=inputs,
            live_name=name_of(parse_checkpoint(state)[1]),
            field_manager=operation.manager,
            predecessor=predecessor,
            ignored=[parse_path(text) for text in request.ignoreChanges],
            force=self._settings.patch_force,
            dry_run=request.preview,
        )
        try:
            live = operations.update(self._api, change, operation.reporter)
        except ProviderError as error:
            unforeseeable = isinstance(error, UnreachableError) or (
                isinstance(error, ApiError) and error.forbidden
            )
            if request.preview and unforeseeable:
                return unchanged
            raise operation.failed("update", error) from error
        if not request.preview:
            live = self._await(operation, live, request.timeout)
        return provider_pb2.UpdateResponse(properties=encode(operation.state(live)))

    def delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        """Delete an object and wait until it is gone."""
        state = decode(request.properties)
        reporter = self._reporter(request.urn, state)
        error = self._api.unreachable(patient=True)
        if error is not None:
            if self._settings.delete_unreachable:
                reporter.warning(f"deleteUnreachable is set: dropped from the state, not deleted: {error}")
                return empty_pb2.Empty()
            raise ProviderError(
                f"configured Kubernetes cluster is unreachable: {error}; where it is lost for ever, set"
                " deleteUnreachable on its Provider"
            ) from error
        inputs, live = parse_checkpoint(state)
        namespace, name = parse_id(request.id)
        live["metadata"] = {**metadata(live), "name": name, **({"namespace": namespace} if namespace else {})}
        try:
            operations.delete(
                self._api, inputs, live, requested=request.timeout, reporter=reporter, lifetime=self.lifetime
            )
        except ProviderError as failure:
            raise _failed("delete", live, failure, reporter) from failure
        return empty_pb2.Empty()


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """One creation or update: what it applies, and how its outcome is told."""

    inputs: Object
    given: Properties
    manager: str
    initial_api_version: str
    reporter: Reporter

    def state(self, live: Object) -> Properties:
        """Return the state that the engine keeps."""
        return checkpoint(
            self.inputs,
            live,
            self.given,
            initial_api_version=self.initial_api_version,
            field_manager=self.manager,
        )

    def failed(self, operation: str, error: ProviderError) -> ProviderError:
        """Return an error that names the object, without secrets that the API server may have quoted."""
        return _failed(operation, self.inputs, error, self.reporter)


def _failed(operation: str, obj: Object, error: ProviderError, reporter: Reporter) -> ProviderError:
    message = redact(str(error), reporter.secrets)
    subject = f"{kind_of(obj)} {resource_id(obj)}"
    return ProviderError(message if subject in message else f"cannot {operation} {subject}: {message}")


def _is_gone(error: ApiError | NoSuchKindError) -> bool:
    """Tell whether a failed read means that the object is not there, rather than that it cannot be seen."""
    cause = error.__cause__ if isinstance(error, NoSuchKindError) else error
    return not isinstance(cause, ApiError) or cause.not_found


def _foreseeable(live: Object) -> Object:
    """Return a dry run's answer without what the real run makes anew."""
    kept = {key: value for key, value in metadata(live).items() if key not in SERVER_METADATA}
    anew = {key: UNKNOWN for key in ("uid", "creationTimestamp", "resourceVersion") if key in metadata(live)}
    # An empty status would be taken for the real one by the program.
    return {**{key: value for key, value in live.items() if key != "status"}, "metadata": {**kept, **anew}}


def _importable(live: Object) -> Object:
    """Return what of a live object can be an input: all but the status and what only the server sets."""
    result = {key: value for key, value in live.items() if key != "status"}
    kept = {key: value for key, value in metadata(live).items() if key not in SERVER_METADATA}
    dropped = (LAST_APPLIED, "deployment.kubernetes.io/revision")
    annotations = {
        key: value for key, value in (kept.pop("annotations", None) or {}).items() if key not in dropped
    }
    result["metadata"] = {**kept, **({"annotations": annotations} if annotations else {})}
    return result
