"""What Argo CD may do on a cluster, made from what it delivers there: pure functions over manifests.

Kubernetes lets nobody create a role with rights that he doesn't hold, so Argo CD holds what the delivered
roles hold. The alternative, the verb `escalate`, would make it everybody's master: docs/adr/0007-argocd.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from components.access import RBAC, READ, Rule, rule
from components.names import SYNCER_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from components.kubernetes_object import Manifest

_WRITE: Final = ("create", "patch", "update", "delete")

_ADMISSION: Final = "admissionregistration.k8s.io"
_DEFINITIONS: Final = "apiextensions.k8s.io"

_PLURALS: Final[Mapping[tuple[str, str], str]] = {
    ("", "ConfigMap"): "configmaps",
    ("", "LimitRange"): "limitranges",
    ("", "Namespace"): "namespaces",
    ("", "PersistentVolumeClaim"): "persistentvolumeclaims",
    ("", "ResourceQuota"): "resourcequotas",
    ("", "Service"): "services",
    ("", "ServiceAccount"): "serviceaccounts",
    ("apps", "DaemonSet"): "daemonsets",
    ("apps", "Deployment"): "deployments",
    ("apps", "StatefulSet"): "statefulsets",
    ("autoscaling", "HorizontalPodAutoscaler"): "horizontalpodautoscalers",
    ("batch", "CronJob"): "cronjobs",
    ("batch", "Job"): "jobs",
    ("cert-manager.io", "Certificate"): "certificates",
    ("gateway.networking.k8s.io", "HTTPRoute"): "httproutes",
    ("monitoring.coreos.com", "PodMonitor"): "podmonitors",
    ("monitoring.coreos.com", "PrometheusRule"): "prometheusrules",
    ("monitoring.coreos.com", "ServiceMonitor"): "servicemonitors",
    ("networking.k8s.io", "Ingress"): "ingresses",
    ("networking.k8s.io", "NetworkPolicy"): "networkpolicies",
    ("operator.tekton.dev", "TektonConfig"): "tektonconfigs",
    ("operators.coreos.com", "Subscription"): "subscriptions",
    ("policy", "PodDisruptionBudget"): "poddisruptionbudgets",
    ("route.openshift.io", "Route"): "routes",
    (SYNCER_GROUP, "PublishedResource"): "publishedresources",
    (RBAC, "ClusterRole"): "clusterroles",
    (RBAC, "ClusterRoleBinding"): "clusterrolebindings",
    (RBAC, "Role"): "roles",
    (RBAC, "RoleBinding"): "rolebindings",
    (_ADMISSION, "MutatingWebhookConfiguration"): "mutatingwebhookconfigurations",
    (_ADMISSION, "ValidatingAdmissionPolicy"): "validatingadmissionpolicies",
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): "validatingadmissionpolicybindings",
    (_ADMISSION, "ValidatingWebhookConfiguration"): "validatingwebhookconfigurations",
    (_DEFINITIONS, "CustomResourceDefinition"): "customresourcedefinitions",
}
"""Resources by group and kind: of Kubernetes, and of those whose definitions others bring to a cluster."""

NEVER_DELIVERED: Final = ("CustomRun", "PipelineRun", "Pod", "Secret", "TaskRun")
"""Kinds that Argo CD neither delivers nor watches; what is wanted of them comes another way."""

_NEVER_DELETED: Final = ("CustomResourceDefinition",)
"""Kinds of which it deletes none: with a definition go all objects of its kind, tenants' among them."""


class ContentError(ValueError):
    """What is delivered holds something whose rights can't be told."""


@dataclass(frozen=True, order=True, kw_only=True)
class Delivered:
    """A kind that is delivered.

    Attributes
    ----------
    group
        Its API group; an empty text for the core group.
    kind
        Its name.
    resource
        Its name in URLs.
    namespaced
        Whether its objects lie in namespaces.
    """

    group: str
    kind: str
    resource: str
    namespaced: bool


def delivered_kinds(content: Iterable[Manifest]) -> list[Delivered]:
    """List the kinds that are delivered, without those that never are.

    Parameters
    ----------
    content
        The objects.

    Raises
    ------
    ContentError
        The resource of a kind isn't known.
    """
    objects = list(content)
    plurals = {**_PLURALS, **dict(_defined(objects))}
    found = set()
    for manifest in objects:
        group, kind = _group(manifest["apiVersion"]), manifest["kind"]
        if kind in NEVER_DELIVERED:
            continue
        if (group, kind) not in plurals:
            raise ContentError(
                f"{kind} {manifest['metadata']['name']}: the resource of this kind, of group {group or 'v1'},"
                " is not known; add it to the table in components/argocd_rights.py"
            )
        found.add(
            Delivered(
                group=group,
                kind=kind,
                resource=plurals[group, kind],
                namespaced="namespace" in manifest["metadata"],
            )
        )
    return sorted(found)


def sync_rules(content: Iterable[Manifest]) -> list[Rule]:
    """Make the rules by which the content can be applied, compared, healed and pruned.

    They are: to read and write the delivered kinds; what the delivered roles allow; and to bind the roles
    that are bound but not delivered.

    Parameters
    ----------
    content
        The objects that are delivered.
    """
    objects = list(content)
    own = [
        rule(
            one.group,
            (one.resource,),
            (*READ, *(verb for verb in _WRITE if verb != "delete" or one.kind not in _NEVER_DELETED)),
        )
        for one in delivered_kinds(objects)
    ]
    handed_on = {json.dumps(one, sort_keys=True): one for one in _role_rules(objects)}
    return [*own, *(handed_on[key] for key in sorted(handed_on)), *_bind_rules(objects)]


def read_rules(content: Iterable[Manifest]) -> list[Rule]:
    """Make the rules by which the content, and no more, can be looked at.

    Parameters
    ----------
    content
        The objects that are delivered.
    """
    return [rule(one.group, (one.resource,), ("get",)) for one in delivered_kinds(content)]


def handed_on(content: Iterable[Manifest]) -> dict[str, list[str]]:
    """List the resources, by group, that Argo CD may write only because it hands that right on.

    Parameters
    ----------
    content
        The objects that are delivered.
    """
    objects = list(content)
    delivered = {(one.group, one.resource) for one in delivered_kinds(objects)}
    found: dict[str, set[str]] = {}
    for one in _role_rules(objects):
        if set(one["verbs"]) <= set(READ):
            continue
        for group in one.get("apiGroups", ()):
            for resource in one.get("resources", ()):
                if (group, resource) not in delivered:
                    found.setdefault(group, set()).add(resource)
    return {group: sorted(resources) for group, resources in sorted(found.items())}


def namespaces(content: Iterable[Manifest]) -> list[str]:
    """List the namespaces that the content lies in.

    Parameters
    ----------
    content
        The objects that are delivered.
    """
    return sorted({manifest["metadata"].get("namespace", "") for manifest in content} - {""})


def _group(api_version: str) -> str:
    return api_version.rpartition("/")[0]


def _defined(objects: Iterable[Manifest]) -> Iterator[tuple[tuple[str, str], str]]:
    for manifest in objects:
        if manifest["kind"] == "CustomResourceDefinition":
            spec = manifest["spec"]
            yield (spec["group"], spec["names"]["kind"]), spec["names"]["plural"]


def _role_rules(objects: Iterable[Manifest]) -> Iterator[dict[str, Any]]:
    for manifest in objects:
        if manifest["kind"] not in ("ClusterRole", "Role"):
            continue
        if manifest.get("aggregationRule"):
            # Whoever makes one must hold everything.
            raise ContentError(
                f"ClusterRole {manifest['metadata']['name']} aggregates others: deliver it directly"
            )
        yield from manifest.get("rules") or ()


def _bind_rules(objects: Sequence[Manifest]) -> list[Rule]:
    """Make the rules to bind roles that aren't delivered: their rights, known to nobody here, aren't held."""
    delivered = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in objects
        if manifest["kind"] in ("ClusterRole", "Role")
    }
    bound = {
        (manifest["roleRef"]["kind"], manifest["roleRef"]["name"])
        for manifest in objects
        if manifest["kind"] in ("ClusterRoleBinding", "RoleBinding")
    }
    resources = {"ClusterRole": "clusterroles", "Role": "roles"}
    return [rule(RBAC, (resources[kind],), ("bind",), (name,)) for kind, name in sorted(bound - delivered)]
