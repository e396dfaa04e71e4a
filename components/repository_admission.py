"""What tenants' Repository objects are held to: admission policies, on their cluster and in their workspace.

Pipelines as Code serves a whole cluster: an event goes to the oldest Repository with its URL, `/incoming` to
the last one with its name, whatever their namespaces (v0.37.0, pkg/matcher), and a run that carries its marks
is one of its own. What each rule is for: docs/adr/0011-pipelines-as-code.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from components.access import REPOSITORY_GROUP
from components.names import PART_OF, SYNCER_GROUP, TENANT, labels
from releases.pipelines_as_code import CONTROLLER, WATCHER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.kubernetes_object import Manifest
    from components.pipelines_as_code import RepositoryRules

REPOSITORIES: Final = "pipeline-service/repositories"
"""Annotation of a tenant's namespaces: its repositories, host and path of each, by spaces."""

_API_VERSION: Final = "admissionregistration.k8s.io/v1"
_REPOSITORY_POLICY: Final = "pipeline-service-repositories"
_RUN_POLICY: Final = "pipeline-service-repository-runs"

STATE: Final = f"{REPOSITORY_GROUP}/state"
"""Label and annotation of every run that Pipelines as Code made, and of no other in tenants' namespaces."""

_MARKS: Final = (STATE, f"{REPOSITORY_GROUP}/execution-order")
"""Labels and annotations by which Pipelines as Code finds the runs that it made."""

_SHOWN: Final = 10
"""Repositories that a refusal lists at most: a message has room for 5 KiB."""

_URL: Final = r"'^https://[^/?#@\\\\\\s]+(/[^/?#@\\\\\\s]+)+/*$'"
_PROVIDER: Final = r"'^https://[^/?#@\\\\\\s]+(/[^?#@\\\\\\s]*)?$'"

_ANNOTATED: Final = (
    "has(namespaceObject.metadata.annotations)"
    f" && '{REPOSITORIES}' in namespaceObject.metadata.annotations"
    f" ? namespaceObject.metadata.annotations['{REPOSITORIES}'].split(' ') : []"
)
_TENANT_OF: Final = (
    f"has(namespaceObject.metadata.labels) && '{TENANT}' in namespaceObject.metadata.labels"
    f" ? namespaceObject.metadata.labels['{TENANT}'] : ''"
)


def policies(rules: RepositoryRules | None, *, workspace: bool = False) -> dict[str, Manifest]:
    """Make the policies and what puts them into force.

    Parameters
    ----------
    rules
        What is asked for; None: no policy.
    workspace
        Whether they are for a tenant's workspace in kcp, where users see a refusal at once, instead of its
        cluster, where nothing gets past it.
    """
    if rules is None:
        return {}
    if workspace:
        # Nothing there is Pipelines as Code's, and its namespace isn't either.
        made = {
            "repositories": _policy(_REPOSITORY_POLICY, "repositories", _validations(rules)),
            "repository-runs": _policy(_RUN_POLICY, "pipelineruns", (_marks_rule(()),)),
        }
    else:
        made = {"repositories": _repository_policy(rules), "repository-runs": _run_policy(rules)}
    return made | {f"{part}-binding": _binding(policy) for part, policy in made.items()}


def _repository_policy(rules: RepositoryRules) -> Manifest:
    return _policy(
        _REPOSITORY_POLICY,
        "repositories",
        _validations(rules),
        # There lies what the operators of the service set for all.
        conditions={"not-the-services-own": f"request.namespace != '{rules.namespace}'"},
    )


def _run_policy(rules: RepositoryRules) -> Manifest:
    accounts = [f"system:serviceaccount:{rules.namespace}:{account}" for account in (CONTROLLER, WATCHER)]
    rules_of_runs = (_marks_rule(accounts), _run_of_own_rule(accounts), _no_copy_rule(), _managed_rule())
    policy = _policy(_RUN_POLICY, "pipelineruns", rules_of_runs)
    policy["spec"]["matchConstraints"]["namespaceSelector"] = {
        "matchExpressions": [{"key": TENANT, "operator": "Exists"}]
    }
    return policy


_Rule = tuple[dict[str, str], dict[str, str]]
"""Variables by name, and a validation that uses them."""


def _identity(url: str) -> dict[str, str]:
    """Reduce a URL as `stacks.vocabulary.repository_identity` does; of what is none, `identity` is empty."""
    return {
        "url": url,
        "bare": f"variables.url.lowerAscii().matches({_URL}) ? variables.url.lowerAscii().substring(8) : ''",
        "trimmed": "variables.bare.find('^.*[^/]')",
        "plain": (
            "variables.trimmed.endsWith('.git')"
            " ? variables.trimmed.substring(0, size(variables.trimmed) - 4) : variables.trimmed"
        ),
        "identity": (
            "variables.plain.matches('^[^/:]*:0*443/')"
            " ? variables.plain.find('^[^/:]*') + variables.plain.find('/.*$') : variables.plain"
        ),
        "own": _ANNOTATED,
        "tenant": _TENANT_OF,
    }


def _validations(rules: RepositoryRules) -> tuple[_Rule, ...]:
    return (
        _own_url_rule(),
        _provider_rule(rules.provider_urls),
        _signed_rule(),
        *(() if rules.unsigned_gitea else (_gitea_rule(),)),
        _scope_rule(),
        _incoming_rule(),
        _name_rule(),
        _secrets_rule(),
        *(() if rules.concurrency_limit is None else (_concurrency_rule(rules.concurrency_limit),)),
    )


def _own_url_rule() -> _Rule:
    listed = (
        "size(variables.own) == 0 ? 'it has none'"
        f" : size(variables.own) > {_SHOWN} ? string(size(variables.own)) + ' others'"
        " : variables.own.join(', ')"
    )
    return _identity("has(object.spec.url) ? object.spec.url : ''"), _validation(
        "variables.identity != '' && variables.identity in variables.own",
        "'spec.url \"' + variables.url + '\" is none of the repositories of tenant \"' + variables.tenant"
        f" + '\" (' + ({listed}) + '): correct it, as https://HOST/OWNER/NAME, or have it added to the"
        " repositories of the tenant in the settings'",
        "spec.url is none of the tenant's repositories",
    )


def _provider_rule(urls: Sequence[str]) -> _Rule:
    variables = {
        "provider": (
            "has(object.spec.git_provider) && has(object.spec.git_provider.url)"
            " ? object.spec.git_provider.url : ''"
        ),
        "host": "variables.identity.split('/')[0]",
        "providerHost": (
            f"variables.provider.lowerAscii().matches({_PROVIDER})"
            " ? variables.provider.lowerAscii().substring(8).split('/')[0] : ''"
        ),
    }
    return variables, _validation(
        "variables.provider == '' || (variables.host != ''"
        " && variables.providerHost in [variables.host, variables.host + ':443', 'api.' + variables.host])"
        f" || {json.dumps(list(urls))}.exists(one, variables.provider == one"
        " || variables.provider.startsWith(one + '/'))",
        "'spec.git_provider.url \"' + variables.provider + '\" is not on the host of the repository: write"
        " https://' + variables.host + ' or https://api.' + variables.host + ', or leave it out; another host"
        " has to be among pipelinesAsCode.providerUrls in the settings'",
        "spec.git_provider.url is neither on the host of the repository, nor in pipelinesAsCode.providerUrls"
        " in the settings",
    )


def _signed_rule() -> _Rule:
    # Of GitLab, an event without a token is taken where no secret is named (pkg/provider/gitlab/gitlab.go).
    # Bitbucket Cloud has no signatures: it is known by its addresses.
    return {}, _validation(
        "!has(object.spec.git_provider) || !has(object.spec.git_provider.secret)"
        " || has(object.spec.git_provider.webhook_secret)"
        " || (has(object.spec.git_provider.type) && object.spec.git_provider.type == 'bitbucket-cloud')",
        None,
        "without a secret nobody knows where an event comes from: write spec.git_provider.webhook_secret",
    )


def _gitea_rule() -> _Rule:
    return {}, _validation(
        "!has(object.spec.git_provider) || !has(object.spec.git_provider.type)"
        " || object.spec.git_provider.type != 'gitea'",
        None,
        "Pipelines as Code checks no signature of events of gitea: they are taken only where the settings"
        " say pipelinesAsCode.acceptUnsignedGitea",
    )


def _scope_rule() -> _Rule:
    return {}, _validation(
        "!has(object.spec.settings) || !has(object.spec.settings.github_app_token_scope_repos)"
        " || size(object.spec.settings.github_app_token_scope_repos) == 0",
        None,
        "spec.settings.github_app_token_scope_repos is refused, since a run's token is for its own repository"
        " alone: take it out, and give the run a token of your own for others",
    )


def _incoming_rule() -> _Rule:
    return {"incoming": "has(object.spec.incoming) && size(object.spec.incoming) > 0"}, _validation(
        "!variables.incoming || (has(object.spec.git_provider) && has(object.spec.git_provider.type)"
        " && object.spec.git_provider.type != '')",
        None,
        "spec.incoming needs a token of your own: write spec.git_provider with type and secret",
    )


def _name_rule() -> _Rule:
    return {}, _validation(
        "object.metadata.name.startsWith(variables.tenant + '.')"
        " || !(variables.incoming || object.metadata.name.contains('.'))",
        "'a Repository with spec.incoming, and only such a one, is named for its tenant, since it is found by"
        " its name alone: name it \"' + variables.tenant + '.NAME\"'",
        "the name is not one of the tenant's",
    )


def _secrets_rule() -> _Rule:
    provider = "object.spec.git_provider"
    parameters = "object.spec.params.filter(one, has(one.secret_ref)).map(one, one.secret_ref.name)"
    variables = {
        "secrets": " + ".join(
            [
                *(
                    f"(has({provider}) && has({provider}.{key}) ? [{provider}.{key}.name] : [])"
                    for key in ("secret", "webhook_secret")
                ),
                "(variables.incoming ? object.spec.incoming.map(one, one.secret.name) : [])",
                f"(has(object.spec.params) ? {parameters} : [])",
            ]
        )
    }
    return variables, _validation(
        f"variables.secrets.all(one, !one.startsWith('{PART_OF}'))",
        None,
        f"a Secret whose name begins with {PART_OF} is the service's on the cluster: name it otherwise",
    )


def _concurrency_rule(limit: int) -> _Rule:
    return {}, _validation(
        f"has(object.spec.concurrency_limit) && object.spec.concurrency_limit <= {limit}",
        None,
        f"spec.concurrency_limit, the most runs at a time, is needed, and is {limit} at most: write it",
    )


def _marks_rule(accounts: Sequence[str]) -> _Rule:
    def same(where: str) -> str:
        return (
            f"{json.dumps(_MARKS)}.all(one, (one in variables.{where} ? variables.{where}[one] : '')"
            f" == (one in variables.{where}Before ? variables.{where}Before[one] : ''))"
        )

    variables = {"ours": f"request.userInfo.username in {json.dumps(list(accounts))}"}
    for where in ("labels", "annotations"):
        variables[where] = f"has(object.metadata.{where}) ? object.metadata.{where} : {{}}"
        variables[f"{where}Before"] = (
            f"oldObject != null && has(oldObject.metadata.{where}) ? oldObject.metadata.{where} : {{}}"
        )
    # Of a run that is its own, nobody else changes what it goes by.
    kept = (
        f"!('{STATE}' in variables.annotationsBefore)"
        " || variables.annotationsBefore.all(one, !one.startsWith('" + REPOSITORY_GROUP + "/')"
        " || (one in variables.annotations"
        " && variables.annotations[one] == variables.annotationsBefore[one]))"
        " && variables.annotations.all(one, !one.startsWith('" + REPOSITORY_GROUP + "/')"
        " || one in variables.annotationsBefore)"
    )
    return variables, _validation(
        f"variables.ours || ({same('labels')} && {same('annotations')} && ({kept}))",
        None,
        f"only Pipelines as Code marks runs as its own, by labels and annotations of {REPOSITORY_GROUP}/:"
        f" take {' and '.join(one.rpartition('/')[2] for one in _MARKS)} off, and leave its runs as they are",
    )


def _run_of_own_rule(accounts: Sequence[str]) -> _Rule:
    source = f"{REPOSITORY_GROUP}/repo-url"
    variables = _identity(f"'{source}' in variables.annotations ? variables.annotations['{source}'] : ''")
    return variables, _validation(
        "!variables.ours || request.operation != 'CREATE'"
        " || (variables.identity != '' && variables.identity in variables.own)",
        "'the repository \"' + variables.url + '\" is no longer one of tenant \"' + variables.tenant"
        " + '\": delete the Repository object, or have it added to the tenant in the settings'",
        f"the repository is none of the tenant's (its Repository of {accounts[0].split(':')[2]})",
    )


def _no_copy_rule() -> _Rule:
    # What stands in Git names its labels, and a run of a workspace may bear the name of one that is there. By
    # these labels the agent finds its copy of a run anywhere on the cluster, and whoever cancels or counts
    # runs tells by them whose they are.
    return {}, _validation(
        f"!('{STATE}' in variables.labelsBefore || variables.ours && request.operation == 'CREATE')"
        f" || variables.labels.all(one, !one.startsWith('{SYNCER_GROUP}/') || one in variables.labelsBefore)",
        None,
        f"a run by a Git event is no copy of the syncer's: take the labels of {SYNCER_GROUP}/ off the run in"
        " Git, or name the one in the workspace otherwise",
    )


def _managed_rule() -> _Rule:
    return {}, _validation(
        "!variables.ours || request.operation != 'CREATE' || !has(object.spec.managedBy)",
        None,
        "spec.managedBy keeps Tekton from the run, so that nobody would ever end it: take it out",
    )


def _validation(expression: str, told: str | None, message: str) -> dict[str, str]:
    """Make a validation; `told` is an expression that makes a better message."""
    made = {"expression": expression, "message": message, "reason": "Forbidden"}
    return made if told is None else {**made, "messageExpression": told}


def _policy(
    name: str, resource: str, rules: Sequence[_Rule], conditions: dict[str, str] | None = None
) -> Manifest:
    variables: dict[str, str] = {}
    for needed, _ in rules:
        variables |= needed
    group = REPOSITORY_GROUP if resource == "repositories" else "tekton.dev"
    unless: dict[str, str] = {
        # What goes needs its finalizers taken off, and what isn't changed was taken once.
        "not-deleted": "!has(object.metadata.deletionTimestamp)",
        **(
            {"changed": "oldObject == null || object.spec != oldObject.spec"}
            if resource == "repositories"
            else {}
        ),
        **(conditions or {}),
    }
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {
                    "apiGroups": [group],
                    "apiVersions": ["*"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                }
            ],
        },
        "matchConditions": [{"name": one, "expression": text} for one, text in unless.items()],
        "variables": [{"name": one, "expression": text} for one, text in variables.items()],
        "validations": [validation for _, validation in rules],
    }
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name, "labels": labels("pipelines-as-code")},
        "spec": spec,
    }


def _binding(policy: Manifest) -> Manifest:
    name = policy["metadata"]["name"]
    return {
        "apiVersion": _API_VERSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": labels("pipelines-as-code")},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
