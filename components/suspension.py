"""The suspension of tenants on a compute cluster: an admission policy that refuses new runs.

It takes the namespaces that carry a label, so that one policy serves all tenants and nothing of it changes
when one is suspended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from components.names import SUSPENDED, labels

if TYPE_CHECKING:
    from components.kubernetes_object import Manifest

_API_VERSION: Final = "admissionregistration.k8s.io/v1"
_NAME: Final = "pipeline-service-suspension"
_STARTS_NOTHING: Final = (
    "oldObject != null && !("
    "has(oldObject.spec.status) && oldObject.spec.status != ''"
    " && (!has(object.spec.status) || object.spec.status == ''))"
)


def suspension_policy() -> Manifest:
    """Make the policy that refuses PipelineRuns, whoever makes them: the syncer, or what takes Git events.

    Nor may a pending one be let go, or one that was cancelled and hasn't ended yet: both would start
    (docs/adr/0011-pipelines-as-code.md: its queue). TaskRuns are let through, so that a run that has started
    can finish.
    """
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _NAME, "labels": labels("suspension")},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {SUSPENDED: "true"}},
                "resourceRules": [
                    {
                        "apiGroups": ["tekton.dev"],
                        "apiVersions": ["*"],
                        "operations": ["CREATE", "UPDATE"],
                        "resources": ["pipelineruns"],
                    }
                ],
            },
            "validations": [
                {
                    "expression": _STARTS_NOTHING,
                    "message": "the tenant is suspended, and no run starts",
                    "reason": "Forbidden",
                }
            ],
        },
    }


def suspension_binding() -> Manifest:
    """Make the binding that puts the policy into force."""
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": _NAME, "labels": labels("suspension")},
        "spec": {"policyName": _NAME, "validationActions": ["Deny"]},
    }
