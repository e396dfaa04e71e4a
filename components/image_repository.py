"""What lets pods pull images, and what keeps tenants' pods to those of allowed registries."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.names import labels
from releases.image_names import DEFAULT_REGISTRY, ImageNameError, canonical, longest, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pulumi

    from components.kubernetes_object import Manifest

PULL_SECRET: Final = "pipeline-service-pull"  # noqa: S105 -- the name of a Secret
"""Secret, in each namespace where our pods or tenants' run, with which images are pulled."""

POLICY: Final = "pipeline-service-images"

RESOLUTION_POLICY: Final = "pipeline-service-resolution-requests"

TENANT: Final = "pipeline-service/tenant"
"""Label of tenants' namespaces."""

_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")

_API_VERSION: Final = "admissionregistration.k8s.io/v1"

_IDENTIFIER: Final = re.compile("sha[0-9]+:")
"""By an identifier (sha256:…) a runtime finds whatever image the node holds, wherever it came from."""

_OF_TENANTS: Final[Manifest] = {"matchExpressions": [{"key": TENANT, "operator": "Exists"}]}


def pull_secret(namespace: str, config: pulumi.Input[str], component: str, **more: str) -> Manifest:
    """Make the Secret with which images are pulled.

    Parameters
    ----------
    namespace
        Its namespace.
    config
        The credentials: a `.docker/config.json`, base64.
    component
        Which part of the service it belongs to.
    **more
        Further labels of the prefix `pipeline-service/`.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL_SECRET, "namespace": namespace, "labels": labels(component, **more)},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": config},
    }


def pulls_with(config: pulumi.Input[str] | None) -> Manifest:
    """Make what lets a pod, or a ServiceAccount's pods, use the Secret: a part of either; or nothing.

    Parameters
    ----------
    config
        The credentials; None where images are pulled without.
    """
    return {} if config is None else {"imagePullSecrets": [{"name": PULL_SECRET}]}


@dataclass(frozen=True, kw_only=True)
class ImagePolicy:
    """Which images tenants' pods may use.

    Attributes
    ----------
    allowed
        Beginnings of images' names: a registry, or a registry and a path. None: all.
    injected
        Repositories, whatever the tag or digest, that Tekton puts into tenants' pods by itself.
    keeps_secret
        Whether tenants' pods, and what Tekton fetches for tenants, are kept from reading the Secret with
        which images are pulled.
    """

    allowed: tuple[str, ...] = ()
    injected: tuple[str, ...] = ()
    keeps_secret: bool = False

    def __bool__(self) -> bool:
        return bool(self.allowed) or self.keeps_secret

    def allows(self, image: str) -> bool:
        """Tell whether tenants' pods may use an image: what `policy` says to a cluster in CEL.

        Parameters
        ----------
        image
            Its name, as a pod has it.
        """
        if not self.allowed:
            return True
        try:
            repository = parse(image).repository
        except ImageNameError:
            return False
        if _IDENTIFIER.match(image):
            return False
        return repository in self.injected or longest(_canonical(self.allowed), repository) is not None


def policy(images: ImagePolicy) -> Manifest:
    """Make the policy that tenants' pods are held to, whoever makes them.

    An image is read as container runtimes read it: without a registry it is docker.io's. What already runs
    may be changed otherwise, for Tekton writes to the pods of running tasks; so only an image that a change
    brings is looked at.

    Parameters
    ----------
    images
        Which images they may use.
    """
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": POLICY, "labels": labels("images")},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": _OF_TENANTS,
                "resourceRules": [
                    {
                        "apiGroups": [""],
                        "apiVersions": ["v1"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["pods", "pods/ephemeralcontainers"],
                    }
                ],
            },
            "variables": [
                {"name": name, "expression": expression} for name, expression in _variables(images).items()
            ],
            "validations": _validations(images),
        },
    }


def policy_binding() -> Manifest:
    """Make the binding that puts the policy into force."""
    return _binding(POLICY)


def resolution_policy() -> Manifest:
    """Make the policy by which Tekton's resolvers don't read the Secret with which images are pulled.

    No pod of a tenant's is in it: a run names a Secret of its namespace, and a resolver sends what that
    holds to the address that the run names (`gitToken`, `token` and `http-password-secret` in
    pkg/resolution/resolver/{git,http}/resolver.go of Tekton Pipelines v1.6.0).
    """
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": RESOLUTION_POLICY, "labels": labels("images")},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": _OF_TENANTS,
                "resourceRules": [
                    {
                        "apiGroups": ["resolution.tekton.dev"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["resolutionrequests"],
                    }
                ],
            },
            "validations": [
                {
                    "expression": _KEEPS_SECRET_FROM_RESOLVERS,
                    "message": f"Secret {PULL_SECRET} is there to pull images, and may not be a resolver's",
                    "reason": "Forbidden",
                }
            ],
        },
    }


def resolution_policy_binding() -> Manifest:
    """Make the binding that puts the policy of what resolvers read into force."""
    return _binding(RESOLUTION_POLICY)


def _binding(name: str) -> Manifest:
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": labels("images")},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }


def _images(pod: str) -> str:
    containers = [
        f"(has({pod}.spec.{kind}) ? {pod}.spec.{kind}.map(c, has(c.image) ? c.image : '') : [])"
        for kind in _CONTAINERS
    ]
    volumes = (
        f"(has({pod}.spec.volumes) ? {pod}.spec.volumes.filter(v, has(v.image) && has(v.image.reference))"
        ".map(v, v.image.reference) : [])"
    )
    return " + ".join((*containers, volumes))


def _variables(images: ImagePolicy) -> dict[str, str]:
    if not images.allowed:
        return {}
    before = "(request.operation == 'UPDATE' && oldObject != null)"
    return {
        "before": f"{before} ? {_images('oldObject')} : []",
        "brought": f"({_images('object')}).filter(image, !(image in variables.before))",
        "prefixes": json.dumps([f"{prefix}/" for prefix in _canonical(images.allowed)]),
        "repositories": json.dumps(_canonical({*images.allowed, *images.injected})),
        "refused": (
            f"variables.brought.filter(image, image.matches('^{_IDENTIFIER.pattern}') || !("
            f"[{_FULL_NAME}].exists(name,"
            " variables.prefixes.exists(prefix, name.startsWith(prefix))"
            " || name.split('@')[0] in variables.repositories"
            " || name.split('@')[0].matches('/[^/]*:[^/]*$')"
            " && name.split('@')[0].substring(0, name.split('@')[0].lastIndexOf(':'))"
            " in variables.repositories"
            ")))"
        ),
    }


_FIRST: Final = "image.split('/')[0]"
_HAS_REGISTRY: Final = f"image.contains('/') && ({_FIRST}.matches('[.:A-Z]') || {_FIRST} == 'localhost')"
_FULL_NAME: Final = (
    f"!({_HAS_REGISTRY})"
    f" ? (image.contains('/') ? '{DEFAULT_REGISTRY}/' + image : '{DEFAULT_REGISTRY}/library/' + image)"
    f" : ({_FIRST} in ['{DEFAULT_REGISTRY}', 'index.{DEFAULT_REGISTRY}', 'registry-1.{DEFAULT_REGISTRY}']"
    f" ? (image.split('/').size() == 2 ? '{DEFAULT_REGISTRY}/library/' : '{DEFAULT_REGISTRY}/')"
    " + image.substring(image.indexOf('/') + 1)"
    " : image)"
)
"""CEL: an image's name with its registry, as `releases.image_names.parse` reads it."""


def _validations(images: ImagePolicy) -> list[Manifest]:
    validations: list[Manifest] = []
    if images.allowed:
        allowed = ", ".join(sorted(set(images.allowed)))
        validations.append(
            {
                "expression": "variables.refused.size() == 0",
                "messageExpression": (
                    "'image ' + variables.refused.join(', ')"
                    f" + ' may not be used here; allowed are images of {allowed}'"
                ),
                "reason": "Forbidden",
            }
        )
    if images.keeps_secret:
        validations.append(
            {
                "expression": _KEEPS_SECRET,
                "message": f"Secret {PULL_SECRET} is there to pull images, and may not be read by a pod",
                "reason": "Forbidden",
            }
        )
    return validations


_NOT_MOUNTED: Final = (
    "!(has(object.spec.volumes) && object.spec.volumes.exists(v,"
    f" has(v.secret) && has(v.secret.secretName) && v.secret.secretName == '{PULL_SECRET}'"
    " || has(v.projected) && has(v.projected.sources) && v.projected.sources.exists(s,"
    f" has(s.secret) && has(s.secret.name) && s.secret.name == '{PULL_SECRET}')))"
)
_NO_VARIABLE: Final = tuple(
    f"!(has(object.spec.{kind}) && object.spec.{kind}.exists(c,"
    " has(c.env) && c.env.exists(e, has(e.valueFrom) && has(e.valueFrom.secretKeyRef)"
    f" && has(e.valueFrom.secretKeyRef.name) && e.valueFrom.secretKeyRef.name == '{PULL_SECRET}')"
    " || has(c.envFrom) && c.envFrom.exists(e, has(e.secretRef)"
    f" && has(e.secretRef.name) && e.secretRef.name == '{PULL_SECRET}')))"
    for kind in _CONTAINERS
)
_KEEPS_SECRET: Final = " && ".join((_NOT_MOUNTED, *_NO_VARIABLE))

_PARAMETERS: Final = "dyn(object.spec.params)"
_KEEPS_SECRET_FROM_RESOLVERS: Final = (
    "!has(object.spec) || !has(object.spec.params)"
    # What is there already can still be changed otherwise, and so be taken away.
    " || request.operation == 'UPDATE' && has(oldObject.spec) && has(oldObject.spec.params)"
    f" && {_PARAMETERS} == dyn(oldObject.spec.params)"
    # A list of names and values, or (v1alpha1) a mapping. The resolver bundles alone has a parameter
    # `secret`, and pulls with it: what it holds for a registry goes to that registry.
    f" || !(type({_PARAMETERS}) == list"
    f" ? {_PARAMETERS}.exists(p, p.name != 'secret' && dyn(p.value) == '{PULL_SECRET}')"
    f" : {_PARAMETERS}.exists(name, name != 'secret' && {_PARAMETERS}[name] == '{PULL_SECRET}'))"
)
"""CEL: no parameter of a ResolutionRequest names the Secret, whichever parameter it is."""


def _canonical(prefixes: Iterable[str]) -> list[str]:
    """Write docker.io by its one name, each prefix once, in an order that doesn't depend on the settings'."""
    return sorted({canonical(prefix) for prefix in prefixes})
