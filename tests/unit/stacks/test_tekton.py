"""What the settings of Tekton become in its releases."""

import base64
import itertools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from components.tenant_network import METADATA
from releases.catalog import TEKTON_CHAINS, TEKTON_PIPELINES
from releases.transform import SIGNING_SECRET, transform
from stacks.mapping_releases import adaptation
from stacks.mapping_tekton import config_maps
from stacks.signing import read_signing_key
from stacks.tekton_settings import ChainsSettings, TektonSettings
from tests.support.recording import SIGNING_KEY, environment, record
from tests.support.tekton import CONFIG_MAPS, controller
from tests.support.tekton import config_maps as published


def installed(**settings: object) -> dict[str, dict[str, Any]]:
    """Transform the made-up release by settings, and give its objects by name."""
    of = environment({"a": {}}, tekton=settings)
    made = transform(TEKTON_PIPELINES, [*published(), controller()], adaptation(of, "a", TEKTON_PIPELINES))
    return {one["metadata"]["name"]: one for one in made}


def test_every_config_map_that_is_set_is_one_of_the_release() -> None:
    # That one is set by the settings of images.
    assert set(config_maps(TektonSettings())) == set(CONFIG_MAPS) - {"config-registry-cert"}


def test_by_default_no_tenant_reaches_anothers_pipelines_or_any_url() -> None:
    made = installed()
    flags = made["resolvers-feature-flags"]["data"]
    assert flags["enable-cluster-resolver"] == flags["enable-http-resolver"] == "false"
    assert flags["enable-git-resolver"] == flags["enable-hub-resolver"] == "true"
    cluster = made["cluster-resolver-config"]["data"]
    assert (cluster["allowed-namespaces"], cluster["blocked-namespaces"]) == ("", "*")


def test_the_cluster_resolver_reads_from_the_named_namespaces_alone() -> None:
    made = installed(resolvers={"cluster": {"enabled": True, "namespaces": ["z", "a", "z"]}})
    assert made["resolvers-feature-flags"]["data"]["enable-cluster-resolver"] == "true"
    assert made["cluster-resolver-config"]["data"] == {"allowed-namespaces": "a,z", "blocked-namespaces": "*"}


def test_no_token_of_ours_is_lent_to_tenants_fetches() -> None:
    git = installed()["git-resolver-config"]["data"]
    assert not [key for key in git if "token" in key]


def test_no_events_of_tenants_are_sent_anywhere() -> None:
    made = installed()
    assert made["feature-flags"]["data"]["send-cloudevents-for-runs"] == "false"
    assert "default-cloud-events-sink" not in made["config-defaults"]["data"]


def test_what_must_hold_holds_whatever_the_settings_say() -> None:
    made = installed(features={"readOnlyRootFilesystem": True})
    assert made["feature-flags"]["data"]["set-security-context"] == "true"
    assert made["config-defaults"]["data"]["default-service-account"] == "pipeline"


def test_defaults_reach_tekton_in_its_own_units() -> None:
    made = installed(
        defaultTimeoutMinutes=90,
        defaults={"cpuRequest": "50m", "memoryLimit": "1Gi", "imagePullBackOffMinutes": 5},
        resolvers={"timeoutSeconds": 30},
    )["config-defaults"]["data"]
    assert made["default-timeout-minutes"] == "90"
    assert made["default-imagepullbackoff-timeout"] == "5m"
    assert made["default-maximum-resolution-timeout"] == "30s"
    assert json.loads(made["default-container-resource-requirements"]) == {
        "default": {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}}
    }
    assert json.loads(made["default-pod-template"]) == {"automountServiceAccountToken": False}


def test_without_settings_the_controller_is_as_it_was_published() -> None:
    assert installed()["tekton-pipelines-controller"] == controller()


def test_the_controllers_pods_share_the_runs_and_start_anew_where_the_shares_change() -> None:
    made = installed(controller={"replicas": 3, "threads": 8, "requestsPerSecond": 50, "burst": 101})
    assert made["config-leader-election-controller"]["data"]["buckets"] == "3"
    spec = made["tekton-pipelines-controller"]["spec"]
    assert spec["replicas"] == 3
    assert spec["template"]["metadata"]["annotations"] == {"pipeline-service/shares": "3"}
    # Tekton doubles both (cmd/controller/main.go).
    assert spec["template"]["spec"]["containers"][0]["args"][2:] == [
        *("-threads-per-controller", "8"),
        *("-kube-api-qps", "25"),
        *("-kube-api-burst", "50"),
    ]


def test_the_controllers_memory_is_set_beside_what_stands_there() -> None:
    made = installed(controller={"memoryRequest": "256Mi", "memoryLimit": "1Gi", "cpuRequest": "200m"})
    [container] = made["tekton-pipelines-controller"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "200m", "memory": "256Mi"},
        "limits": {"memory": "1Gi"},
    }


@pytest.mark.parametrize("blocked", [[], ["10.0.0.0/8"]])
def test_resolvers_reach_no_metadata_service_and_no_blocked_network(blocked: list[str]) -> None:
    policy = installed(resolvers={"blockedNetworks": blocked})["resolvers"]
    assert policy["spec"]["policyTypes"] == ["Egress"]
    blocks = [
        place["ipBlock"]
        for rule in policy["spec"]["egress"]
        for place in rule.get("to", ())
        if "ipBlock" in place
    ]
    whole = {block["cidr"]: block["except"] for block in blocks if "except" in block}
    closed = {4: list(blocked), 6: []}
    for network in METADATA:
        closed[network.version].append(str(network))
    assert {cidr: sorted(out) for cidr, out in whole.items()} == {
        "0.0.0.0/0": sorted(closed[4]),
        "::/0": sorted(closed[6]),
    }
    # A rule without addresses would reach the metadata service on port 80, and a blocked one on any.
    ports = [rule["ports"] for rule in policy["spec"]["egress"] if "to" not in rule]
    assert [[one["port"] for one in some] for some in ports] == ([] if blocked else [[443, 6443]])


def test_offline_no_resolver_that_reaches_out_is_on() -> None:
    mirrors = {"ghcr.io": "m.example/ghcr"}
    of = environment({"a": {}}, imageRepository={"offline": True, "mirrors": mirrors})
    flags = adaptation(of, "a", TEKTON_PIPELINES).config_maps["resolvers-feature-flags"]
    assert set(flags.values()) == {"false"}


def test_settings_of_tekton_leave_other_releases_alone() -> None:
    other = environment({"a": {}}, tekton={"features": {"apiFields": "alpha"}})
    assert adaptation(other, "a", "api-syncagent-crds") == adaptation(
        environment({"a": {}}), "a", "api-syncagent-crds"
    )


def chains_release() -> list[dict[str, Any]]:
    of = {"namespace": "tekton-chains"}
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {**of, "name": SIGNING_SECRET}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**of, "name": "chains-config"}},
    ]


def test_the_releases_own_empty_signing_secret_is_not_installed() -> None:
    of = environment({"a": {}}, tekton={"chains": {"enabled": True, "signingKey": {"secret": "k"}}})
    made = transform(TEKTON_CHAINS, chains_release(), adaptation(of, "a", TEKTON_CHAINS))
    assert [one["kind"] for one in made] == ["ConfigMap"]


@pytest.mark.parametrize(
    ("repository", "storage", "images"),
    [(None, "tekton", ""), ("registry.example.com/signed", "tekton,oci", "oci")],
)
def test_chains_signs_both_kinds_and_tells_no_public_log(
    repository: str | None, storage: str, images: str
) -> None:
    chains = {"enabled": True, "signingKey": {"secret": "k"}, "ociRepository": repository}
    of = environment({"a": {}}, tekton={"chains": chains})
    data = adaptation(of, "a", TEKTON_CHAINS).config_maps["chains-config"]
    assert data["artifacts.taskrun.storage"] == data["artifacts.pipelinerun.storage"] == storage
    assert data["artifacts.oci.storage"] == images
    assert data.get("storage.oci.repository") == repository
    assert data["transparency.enabled"] == "false"


CHAINS = {"enabled": True, "signingKey": {"secret": "k"}}


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *, form: str = "PKCS8", password: str = ""
) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        getattr(serialization.PrivateFormat, form),
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption(),
    ).decode()


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_signing_key_is_given_to_chains_in_the_one_form_it_reads(form: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    read, problems = read_signing_key(ChainsSettings.model_validate(CHAINS), {"k": pem(key, form=form)})
    assert not problems
    assert read is not None
    assert read.private == pem(key)
    signature = key.sign(b"made", ec.ECDSA(hashes.SHA256()))
    public = serialization.load_pem_public_key(read.public.encode())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(signature, b"made", ec.ECDSA(hashes.SHA256()))
    assert read.private not in repr(read)


def of_an_unknown_curve() -> str:
    """A key that says it is of ANSI's prime192v3, which the library that reads it doesn't know."""
    p256, prime192v3 = (bytes.fromhex(f"06082a8648ce3d03010{last}") for last in "73")
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    text = base64.encodebytes(key.replace(p256, prime192v3)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("hunter2", "is not a private key as PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1()), password="hunter2"), "with a password"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "P-256, P-384 or P-521"),
        (of_an_unknown_curve(), "P-256, P-384 or P-521"),
        (pem(rsa.generate_private_key(65537, 2048)), "is not an EC private key"),
    ],
    ids=["text", "password", "curve", "unknown-curve", "rsa"],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_what_chains_cant_sign_with_is_refused_and_not_shown(value: str, why: str, *, enabled: bool) -> None:
    settings = ChainsSettings.model_validate({**CHAINS, "enabled": enabled})
    read, [problem] = read_signing_key(settings, {"k": value})
    assert read is None
    assert why in problem.why
    assert "openssl genpkey" in problem.mend
    assert value.splitlines()[-1] not in str(problem)


def test_a_key_that_waits_for_chains_is_not_handed_out() -> None:
    settings = ChainsSettings.model_validate({**CHAINS, "enabled": False})
    assert read_signing_key(settings, {"k": pem(ec.generate_private_key(ec.SECP256R1()))}) == (None, [])


def test_triggers_and_chains_come_after_pipelines_on_every_cluster_and_before_the_syncer() -> None:
    settings = environment({"a": {}, "b": {}}, tekton={"triggers": {"enabled": True}, "chains": CHAINS})
    recorder, outputs = record(settings)
    order = ("pipelines", "triggers", "triggers-interceptors", "chains")
    for cluster in ("a", "b"):
        names = [f"{cluster}-tekton-{part}" for part in order]
        for one, other in itertools.pairwise(names):
            assert recorder.named(f"{one}-ready").urn in recorder.reaches(
                recorder.named(f"{other}-apply").urn
            )
        assert recorder.named(f"{names[-1]}-ready").urn in recorder.reaches(
            recorder.named(f"{cluster}-agent").urn
        )
    assert set(outputs.compute_clusters["a"].releases) >= {f"tekton-{part}" for part in order}


def test_the_signing_key_is_secret_and_lies_in_the_release_before_its_pods_are_waited_for() -> None:
    recorder, outputs = record(environment({"a": {}}, tekton={"chains": CHAINS}))
    secret = recorder.named("a-tekton-chains-signing-key")
    assert secret.inputs["stringData"] == {"x509.pem": SIGNING_KEY.private}
    assert "stringData" in secret.secret_inputs
    assert secret.inputs["metadata"]["namespace"] == "tekton-chains"
    assert recorder.named("a-tekton-chains-apply").urn in secret.dependencies
    assert secret.urn in recorder.named("a-tekton-chains-ready").dependencies
    assert outputs.signing.public_key == SIGNING_KEY.public
    plain = json.dumps([one.inputs for one in recorder.registrations.values() if one is not secret])
    assert SIGNING_KEY.private not in plain


def test_without_chains_nothing_of_it_is_there() -> None:
    recorder, outputs = record(environment({"a": {}}, tekton={"chains": {**CHAINS, "enabled": False}}))
    assert outputs.signing.public_key is None
    assert not [one for one in recorder.registrations.values() if "chains" in one.name]


def test_when_chains_goes_it_lets_go_of_every_run() -> None:
    recorder, _ = record(environment({"a": {}}, tekton={"chains": CHAINS}))
    let_go = json.loads(recorder.named("a-tekton-chains-apply").inputs["environment"]["UNIT_LET_GO"])
    assert {one["resource"] for one in let_go} == {"pipelineruns.tekton.dev", "taskruns.tekton.dev"}
    pipelines = recorder.named("a-tekton-pipelines-apply").inputs["environment"]
    assert "UNIT_LET_GO" not in pipelines
