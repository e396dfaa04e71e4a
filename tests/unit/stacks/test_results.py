"""What the settings of Tekton Results become: its release, the Secrets beside it, and its reader."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from components.names import RESULTS_NAMESPACE, tenant_namespace
from components.results_manifests import READER, SERVER, annotation_policies
from local.pki import Authority, Identity, KeyPair
from releases.catalog import TEKTON_RESULTS
from releases.errors import ReleaseError
from releases.transform import transform
from stacks import mapping_results
from stacks.mapping_releases import adaptation
from stacks.results_sources import ResultsSources, read_results
from tests.support import results
from tests.support.recording import CREDENTIAL, environment, loaded, record
from tests.support.results import PLACE, RESULTS

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.settings import EnvironmentSettings

AUTHORITY = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
TENANTS = {"t": {"cluster": "a"}, "u": {"cluster": "b"}}


def settings(place: dict[str, Any] | None = None, **more: object) -> EnvironmentSettings:
    return environment(
        {"a": {"results": {**PLACE, **(place or {})}}, "b": {"results": {**PLACE, "host": "b.example.com"}}},
        TENANTS,
        tekton={"results": {**RESULTS, **more}},
    )


def container(made: dict[tuple[str, str], dict[str, Any]], name: str) -> dict[str, Any]:
    pod = made["Deployment", f"tekton-results-{name}"]["spec"]["template"]["spec"]
    found: dict[str, Any] = pod["containers"][0]
    return found


def variables(made: dict[tuple[str, str], dict[str, Any]], name: str) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(made, name)["env"] if "value" in one}


def test_the_database_is_reached_by_tls_and_nobody_is_impersonated() -> None:
    made = results.installed(adaptation(settings(), "a", TEKTON_RESULTS))
    for name in ("api", "retention-policy-agent"):
        found = variables(made, name)
        assert found["DB_HOST"] == "postgresql.databases.svc"
        assert (found["DB_SSLMODE"], found["DB_SSLROOTCERT"]) == (
            "verify-full",
            "/etc/ssl/certs/ca-certificates.crt",
        )
    found = variables(made, "api")
    assert (found["AUTH_DISABLE"], found["AUTH_IMPERSONATE"], found["LOGS_API"]) == ("false",) * 3


def test_an_authority_of_ones_own_is_mounted_where_it_is_named() -> None:
    place = {"database": {**PLACE["database"], "certificateAuthority": AUTHORITY}}
    made = results.installed(adaptation(settings(place), "a", TEKTON_RESULTS))
    for name in ("api", "retention-policy-agent"):
        mount = container(made, name)["volumeMounts"][-1]
        assert variables(made, name)["DB_SSLROOTCERT"] == f"{mount['mountPath']}/ca.crt"
        pod = made["Deployment", f"tekton-results-{name}"]["spec"]["template"]["spec"]
        assert [one["name"] for one in pod["volumes"]] == ["tls", mount["name"]]


def test_nothing_of_it_ever_deletes_a_run() -> None:
    made = results.installed(adaptation(settings(), "a", TEKTON_RESULTS))
    arguments = container(made, "watcher")["args"]
    assert arguments[arguments.index("-completed_run_grace_period") + 1] == "0"
    # Nor holds one that is deleted longer than it takes to store it.
    assert arguments[arguments.index("-forward_buffer") + 1] == "0"
    rules = made["ClusterRole", "tekton-results-watcher"]["rules"]
    assert [rule["verbs"] for rule in rules] == [["get", "patch"], ["get", "delete"]]


def test_a_run_that_is_recorded_keeps_nobody_waiting() -> None:
    made = results.installed(adaptation(settings(), "a", TEKTON_RESULTS))
    found, arguments = variables(made, "api"), container(made, "watcher")["args"]
    assert (found["K8S_QPS"], found["K8S_BURST"]) == ("100", "200")
    assert [arguments[arguments.index(flag) + 1] for flag in ("-qps", "-burst")] == ["100", "200"]


def test_a_release_without_the_watchers_role_is_not_known() -> None:
    others = [one for one in results.published() if one["kind"] != "ClusterRole"]
    with pytest.raises(ReleaseError, match="no ClusterRole tekton-results-watcher"):
        transform(TEKTON_RESULTS, others, adaptation(settings(), "a", TEKTON_RESULTS))


def test_logs_are_kept_in_a_volume_that_one_pod_has_at_a_time() -> None:
    without = results.installed(adaptation(settings(), "a", TEKTON_RESULTS))
    assert "-logs_api" not in container(without, "watcher")["args"]
    assert not [kind for kind, _ in without if kind == "PersistentVolumeClaim"]
    made = results.installed(
        adaptation(settings(logs={"size": "10Gi", "storageClass": "fast"}), "a", TEKTON_RESULTS)
    )
    claim = made["PersistentVolumeClaim", "tekton-results-logs"]["spec"]
    assert (claim["storageClassName"], claim["resources"]) == ("fast", {"requests": {"storage": "10Gi"}})
    api = made["Deployment", "tekton-results-api"]["spec"]
    assert api["strategy"] == {"type": "Recreate"}
    assert api["template"]["spec"]["securityContext"]["fsGroup"] == 65532
    found = variables(made, "api")
    assert found["LOGS_API"] == "true"
    assert container(made, "api")["volumeMounts"][-1]["mountPath"] == found["LOGS_PATH"]
    assert "-logs_api" in container(made, "watcher")["args"]


def test_how_long_it_is_kept_is_said() -> None:
    made = results.installed(adaptation(settings(retentionDays=7), "a", TEKTON_RESULTS))
    data = made["ConfigMap", "tekton-results-config-results-retention-policy"]["data"]
    assert data == {"runAt": "5 5 * * 0", "defaultRetention": "7"}


def test_each_annotation_that_says_where_a_run_is_recorded_is_held_to_its_namespace() -> None:
    policy, binding = annotation_policies()
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    told = " ".join(one["expression"] for one in policy["spec"]["validations"])
    for annotation in ("result", "record", "log", "eventlist"):
        assert f"annotations['results.tekton.dev/{annotation}'].startsWith(object.metadata.namespace" in told


def test_a_tenants_namespace_lets_the_reader_in_and_no_other_does() -> None:
    recorder, outputs = record(settings())
    bindings = [
        one
        for one in recorder.registrations.values()
        if one.type.endswith("Binding") and "results-reader" in json.dumps(one.inputs)
    ]
    path = outputs.tenants["t"].workspace
    of_t = [
        one for one in bindings if one.inputs["metadata"]["namespace"] == tenant_namespace(path, "default")
    ]
    assert len(bindings) == len(TENANTS)
    assert {one.inputs["kind"] for one in bindings} == {"RoleBinding"}
    (binding,) = of_t
    assert binding.inputs["roleRef"]["name"] == READER
    assert binding.inputs["subjects"] == [
        {"kind": "ServiceAccount", "name": "reader", "namespace": RESULTS_NAMESPACE}
    ]
    (rights,) = [one for one in recorder.registrations.values() if one.name == "a-results-role"]
    assert {verb for rule in rights.inputs["rules"] for verb in rule["verbs"]} == {"get", "list"}


def test_the_secrets_are_secret_and_there_before_its_pods_are_waited_for() -> None:
    recorder, _ = record(settings())
    ready = recorder.named("a-tekton-results-ready")
    for name, key in (("database", "POSTGRES_PASSWORD"), ("server-tls", "tls.key")):
        secret = recorder.named(f"a-tekton-results-{name}")
        assert key in secret.inputs["stringData"]
        assert "stringData" in secret.secret_inputs
        assert secret.urn in ready.dependencies
    assert recorder.named("a-tekton-results-database").inputs["stringData"]["POSTGRES_PASSWORD"] == CREDENTIAL
    let_go = json.loads(recorder.named("a-tekton-results-apply").inputs["environment"]["UNIT_LET_GO"])
    assert {one["finalizer"] for one in let_go} == {
        "results.tekton.dev/pipelinerun",
        "results.tekton.dev/taskrun",
    }


def test_the_reader_knows_kcp_and_starts_anew_with_another_certificate() -> None:
    of = loaded(settings())
    one = mapping_results.reader(of, "a", None, after=())  # type: ignore[arg-type]
    assert base64.b64decode(str(one.files["kcp-url"])).decode() == "https://kcp:6443"
    assert one.files["kcp-ca.crt"] == "Q0E="
    other = replace(of, results=ResultsSources(tls=("another", "key"), server_tls=None))
    assert mapping_results.reader(other, "a", None, after=()).pods != one.pods  # type: ignore[arg-type]
    assert one.pods.secret_digest
    assert one.pods.secret_digest not in repr(one.pods)


def test_outputs_say_where_users_read() -> None:
    _, outputs = record(settings({"port": 8443}))
    assert outputs.compute_clusters["a"].results_url == "https://results.example.com:8443"
    assert outputs.compute_clusters["b"].results_url == "https://b.example.com"
    path = outputs.tenants["t"].workspace
    assert outputs.tenants["t"].results_url == f"https://results.example.com:8443/clusters/{path}"


def test_without_results_nothing_of_it_is_there() -> None:
    recorder, outputs = record(settings(enabled=False))
    assert outputs.tenants["t"].results_url is None
    assert not [one for one in recorder.registrations.values() if "results" in one.name]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyPair]:
    folder: Path = tmp_path_factory.mktemp("pki")
    authority = Authority(folder)
    names = {"front": ("*.example.com",), "server": (SERVER,), "other": ("other.test",)}
    return {name: authority.issue(name, Identity(common_name=name, names=of)) for name, of in names.items()}


def pem(pair: KeyPair) -> str:
    return pair.certificate.read_text() + pair.key.read_text()


def test_certificates_are_taken_apart(pairs: dict[str, KeyPair]) -> None:
    values = {"front": pem(pairs["front"]), "server": pem(pairs["server"]), "password": "s3cret"}
    sources, problems = read_results(settings(), values)
    assert problems == []
    assert sources.tls == (pairs["front"].certificate.read_text(), pairs["front"].key.read_text())
    assert "PRIVATE" not in repr(sources)


def test_what_can_not_be_used_is_told_and_not_shown(pairs: dict[str, KeyPair]) -> None:
    values = {"front": pem(pairs["other"]), "server": "no PEM", "password": "two words"}
    _, problems = read_results(settings(), values)
    said = {one.key.rpartition(":")[2]: f"{one.why}; {one.mend}" for one in problems}
    assert set(said) == {
        "computeClusters.a.results.database.password.secret",
        "computeClusters.b.results.database.password.secret",
        "tekton.results.tls.secret",
        "tekton.results.serverTls.secret",
    }
    assert "has not the name b.example.com" in said["tekton.results.tls.secret"]
    assert "holds no private key" in said["tekton.results.serverTls.secret"]
    told = " ".join(str(one) for one in problems)
    assert "two words" not in told
    assert "PRIVATE KEY" not in told


def test_what_is_not_enabled_is_not_read() -> None:
    assert read_results(settings(enabled=False), {}) == (ResultsSources(), [])
