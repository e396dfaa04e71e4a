"""A product on Pipeline Service: a shared Task and Pipeline in each namespace of a tenant's workspace."""

import json

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from stacks.consumer import read_environment

config = pulumi.Config()
environment = read_environment(config.require("environment"))
tenant = environment.tenant(config.require("tenant"))


def at_workspace(kubeconfig: str) -> str:
    """Let a kubeconfig for kcp address the tenant's workspace."""
    document = yaml.safe_load(kubeconfig)
    for cluster in document["clusters"]:
        cluster["cluster"]["server"] = tenant.url
    return json.dumps(document)


workspace = kubernetes.Provider(
    "workspace",
    kubeconfig=config.require_secret("kubeconfig").apply(at_workspace),
    # The workspace stays the same one when kcp's address or the credential changes.
    cluster_identifier=f"workspace:{tenant.workspace}",
    enable_server_side_apply=True,
)
options = pulumi.ResourceOptions(provider=workspace)

cluster = environment.compute_cluster(tenant.cluster)
bound: list[pulumi.Resource] = []
if config.get_bool("bind"):
    # An external tenant's workspace is its owner's, and so is the binding, with what the agent asks for.
    binding = kubernetes.apiextensions.CustomResource(
        "binding",
        api_version="apis.kcp.io/v1alpha2",
        kind="APIBinding",
        metadata={
            "name": "pipelines",
            # Bound is said of an export as well whose agent has not published its API yet.
            "annotations": {
                "pulumi.com/waitFor": json.dumps(
                    [
                        f'jsonpath={{.status.boundResources[?(@.resource=="{kind}")].resource}}={kind}'
                        for kind in cluster.api_export.resources
                    ]
                )
            },
        },
        spec={
            "reference": {"export": {"path": cluster.api_export.path, "name": cluster.api_export.name}},
            "permissionClaims": [
                {
                    "group": claim.group,
                    "resource": claim.resource,
                    "verbs": ["*"],
                    "selector": {"matchAll": True},
                    "state": "Accepted",
                }
                for claim in cluster.api_export.permission_claims
            ],
        },
        opts=options,
    )
    bound.append(binding)

# The outputs are plain values, known in a preview: they may decide what is made.
for namespace in sorted(tenant.namespaces):
    task = kubernetes.apiextensions.CustomResource(
        f"{namespace}-greet",
        api_version="tekton.dev/v1",
        kind="Task",
        metadata={"name": "greet", "namespace": namespace},
        spec={
            "params": [{"name": "whom", "type": "string", "default": "world"}],
            "steps": [
                {
                    "name": "greet",
                    "image": "docker.io/library/busybox:1.36",
                    "command": ["echo"],
                    "args": ["Hello, $(params.whom)"],
                }
            ],
        },
        opts=pulumi.ResourceOptions(provider=workspace, depends_on=bound),
    )
    kubernetes.apiextensions.CustomResource(
        f"{namespace}-greeting",
        api_version="tekton.dev/v1",
        kind="Pipeline",
        metadata={"name": "greeting", "namespace": namespace},
        spec={
            "params": [{"name": "whom", "type": "string", "default": "world"}],
            "tasks": [
                {
                    "name": "greet",
                    "taskRef": {"name": "greet"},
                    "params": [{"name": "whom", "value": "$(params.whom)"}],
                }
            ],
        },
        opts=pulumi.ResourceOptions(provider=workspace, depends_on=[task]),
    )

# How to start it: `pulumi stack output run | kubectl --server URL create --namespace NAMESPACE -f -`
pulumi.export(
    "run",
    {
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {"generateName": "greeting-"},
        "spec": {
            "pipelineRef": {"name": "greeting"},
            "params": [{"name": "whom", "value": config.require("tenant")}],
        },
    },
)
pulumi.export("server", tenant.url)
pulumi.export("namespaces", sorted(tenant.namespaces))
# Where it will run: a product may hold back while its cluster takes nothing new.
pulumi.export("runsOn", {"cluster": tenant.cluster, "state": cluster.state, "releases": cluster.releases})
