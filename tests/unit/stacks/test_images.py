"""What the settings of images refer to is read and checked, and reaches every pod, ours and tenants'."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.image_repository import PULL_SECRET
from local.pki import Authority
from releases.catalog import PYTHON_IMAGE, TEKTON_TRIGGERS, TEKTON_TRIGGERS_INTERCEPTORS
from releases.contents import Contents
from stacks.image_sources import read_images
from stacks.loader import LoadedEnvironment, load
from stacks.mapping_releases import adaptation
from stacks.problems import SettingsError
from tests.support.recording import CONTENTS, REGISTRY_PASSWORD, Recorder, environment, record, start_engine
from tests.support.tekton import config_maps

DIGEST = "sha256:" + "a1" * 32
MIRRORS = {
    "ghcr.io": "m.example/ghcr",
    "docker.io": "m.example/hub",
    "cgr.dev": "m.example/cgr",
}
TENANTS: dict[str, dict[str, Any]] = {
    "t": {"cluster": "a"},
    "x": {"cluster": "b", "external": {"path": "root:org:x", "binders": {"users": ["erin"]}}},
}


def composed(**images: object) -> Recorder:
    settings = environment(
        {"a": {}, "b": {}, "o": {"distribution": "openshift"}}, TENANTS, imageRepository=images
    )
    return record(settings)[0]


def images_of(recorder: Recorder) -> dict[str, str]:
    agent = recorder.named("a-agent").inputs["spec"]["template"]["spec"]
    job = recorder.named("a-retention-job").inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return {name: pod["containers"][0]["image"] for name, pod in (("agent", agent), ("prune", job))}


def test_our_own_pods_come_from_the_mirrors() -> None:
    assert images_of(composed(mirrors=MIRRORS)) == {
        "agent": "m.example/ghcr/kcp-dev/api-syncagent:v0.7.0",
        "prune": "m.example/hub/library/python:3.11-slim-bookworm",
    }
    assert images_of(composed()) == {
        "agent": "ghcr.io/kcp-dev/api-syncagent:v0.7.0",
        "prune": "docker.io/library/python:3.11-slim-bookworm",
    }


@pytest.mark.parametrize("alias", ["index.docker.io", "registry-1.docker.io"])
def test_a_mirror_of_docker_is_used_by_whichever_name_it_is_given(alias: str) -> None:
    recorder = composed(mirrors={alias: "m.example/hub", f"{alias}/other": "m.example/other"})
    assert images_of(recorder)["prune"] == "m.example/hub/library/python:3.11-slim-bookworm"
    settings = environment({}, imageRepository={"mirrors": {alias: "m.example/hub"}})
    assert settings.image_repository.mirrors == {"docker.io": "m.example/hub"}


def test_settings_of_images_reach_the_releases() -> None:
    def digest(recorder: Recorder) -> str:
        found: str = recorder.named("a-tekton-pipelines-apply").inputs["environment"]["UNIT_SHA256"]
        return found

    plain = digest(composed())
    changed = [
        digest(composed(mirrors=MIRRORS)),
        digest(composed(mirrors=MIRRORS, offline=True)),
        digest(composed(pullSecret={"secret": "credentials"})),
    ]
    assert len({plain, *changed}) == 4
    assert digest(composed(mirrors=dict(reversed(MIRRORS.items())))) == changed[0]


@pytest.mark.parametrize("enabled", [False, True])
def test_releases_that_share_a_namespace_share_its_pull_secret(
    monkeypatch: pytest.MonkeyPatch, *, enabled: bool
) -> None:
    # Where the real ones lie.
    for name in (TEKTON_TRIGGERS, TEKTON_TRIGGERS_INTERCEPTORS):
        monkeypatch.setitem(CONTENTS, name, Contents(pod_namespaces=("tekton-pipelines",)))
    settings = environment(
        {"a": {}, "b": {}},
        tekton={"triggers": {"enabled": enabled}},
        imageRepository={"pullSecret": {"secret": "credentials"}},
    )
    made = [
        (one.name.partition("-")[0], one.inputs["metadata"]["namespace"])
        for one in record(settings)[0].of_type("kubernetes:core/v1:Secret")
        if one.inputs["metadata"]["name"] == PULL_SECRET
    ]
    assert len(made) == len(set(made))
    assert ("a", "tekton-pipelines") in made


def test_the_pull_secret_is_in_each_namespace_where_pods_run_and_nowhere_in_plain() -> None:
    recorder = composed(pullSecret={"secret": "credentials"})
    secrets = [
        one
        for one in recorder.of_type("kubernetes:core/v1:Secret")
        if one.inputs["metadata"]["name"] == PULL_SECRET
    ]
    places = {one.name: one.inputs["metadata"]["namespace"] for one in secrets}
    assert places | {"t.a.default-pull-secret": "", "x.b.default-pull-secret": ""} == {
        **{f"{cluster}-syncer-pull-secret": "pipeline-service-syncer" for cluster in "abo"},
        **{f"{cluster}-retention-pull-secret": "pipeline-service-retention" for cluster in "abo"},
        **{
            f"{cluster}-tekton-pipelines-{namespace}-pull-secret": namespace
            for cluster in "ab"
            for namespace in ("tekton-pipelines", "tekton-pipelines-resolvers")
        },
        "t.a.default-pull-secret": "",
        "x.b.default-pull-secret": "",
    }
    for one in secrets:
        assert one.inputs["type"] == "kubernetes.io/dockerconfigjson"
        document = json.loads(base64.b64decode(one.inputs["data"][".dockerconfigjson"]))
        assert document == {"auths": {"registry.example.com": {"auth": REGISTRY_PASSWORD}}}
        assert "data" in one.secret_inputs, one.urn
    encoded = base64.b64encode(REGISTRY_PASSWORD.encode()).decode()[:16]
    for one in recorder.registrations.values():
        plain = json.dumps({key: value for key, value in one.inputs.items() if key not in one.secret_inputs})
        assert REGISTRY_PASSWORD not in plain
        assert encoded not in plain, one.urn


def test_pods_and_accounts_name_the_pull_secret() -> None:
    recorder = composed(pullSecret={"secret": "credentials"})
    named = [{"name": PULL_SECRET}]
    assert recorder.named("a-agent").inputs["spec"]["template"]["spec"]["imagePullSecrets"] == named
    job = recorder.named("a-retention-job").inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert job["imagePullSecrets"] == named
    for account in ("t.a.default-account", "x.b.default-account"):
        assert recorder.named(account).inputs["imagePullSecrets"] == named
    assert "imagePullSecrets" not in composed().named("t.a.default-account").inputs


def test_a_releases_pull_secret_comes_between_its_apply_and_its_wait() -> None:
    recorder = composed(pullSecret={"secret": "credentials"})
    apply = recorder.named("a-tekton-pipelines-apply").urn
    ready = recorder.named("a-tekton-pipelines-ready")
    for namespace in ("tekton-pipelines", "tekton-pipelines-resolvers"):
        secret = recorder.named(f"a-tekton-pipelines-{namespace}-pull-secret")
        assert apply in recorder.reaches(secret.urn)
        assert secret.urn in ready.dependencies


def policy_text(recorder: Recorder, cluster: str) -> str:
    return json.dumps(recorder.named(f"{cluster}-images").inputs["spec"])


def test_tenants_pods_are_held_to_the_allowed_registries_and_tekton_is_let_through() -> None:
    recorder = composed(mirrors=MIRRORS, allowedRegistries=["registry.example.com"])
    plain, openshift = policy_text(recorder, "a"), policy_text(recorder, "o")
    for allowed in (
        "registry.example.com",
        "ghcr.io/tekton/entrypoint",
        "m.example/ghcr/tekton/entrypoint",
    ):
        assert f'\\"{allowed}\\"' in plain
    assert "ghcr.io/tekton/controller" not in plain
    assert "registry.redhat.io/openshift-pipelines" not in plain
    assert "registry.redhat.io/openshift-pipelines" in openshift
    assert recorder.named("a-images-binding").inputs["spec"]["policyName"] == "pipeline-service-images"


def test_without_allowed_registries_and_pull_secret_there_is_no_policy() -> None:
    names = {one.name for one in composed(mirrors=MIRRORS).registrations.values()}
    assert not {name for name in names if name.endswith(("-images", "-pull-secret"))}


def test_with_a_pull_secret_alone_a_policy_keeps_it_from_tenants_pods() -> None:
    recorder = composed(pullSecret={"secret": "credentials"})
    spec = recorder.named("a-images").inputs["spec"]
    assert [PULL_SECRET in one["expression"] for one in spec["validations"]] == [True]
    assert spec["variables"] == []


def test_with_a_pull_secret_a_policy_keeps_it_from_tektons_resolvers() -> None:
    recorder = composed(pullSecret={"secret": "credentials"})
    for cluster in "abo":
        spec = recorder.named(f"{cluster}-resolutions").inputs["spec"]
        assert spec["failurePolicy"] == "Fail"
        constraints = spec["matchConstraints"]
        assert constraints["resourceRules"] == [
            {
                "apiGroups": ["resolution.tekton.dev"],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["resolutionrequests"],
            }
        ]
        pods = recorder.named(f"{cluster}-images").inputs["spec"]["matchConstraints"]
        assert constraints["namespaceSelector"] == pods["namespaceSelector"]
        [validation] = spec["validations"]
        assert f"== '{PULL_SECRET}'" in validation["expression"]
        bound = recorder.named(f"{cluster}-resolutions-binding").inputs["spec"]
        assert bound == {
            "policyName": recorder.named(f"{cluster}-resolutions").inputs["metadata"]["name"],
            "validationActions": ["Deny"],
        }


def test_without_a_pull_secret_resolvers_are_left_alone() -> None:
    recorder = composed(allowedRegistries=["registry.example.com"])
    assert not [one.name for one in recorder.registrations.values() if "resolutions" in one.name]


# -- what settings refer to --------------------------------------------------------------------------------


def pod(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "tekton-pipelines"},
        "spec": {"template": {"spec": {"containers": [{"name": "a", "image": image}]}}},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one cluster's credentials and releases, Tekton's with a pod."""
    monkeypatch.chdir(tmp_path)
    kubeconfig = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://host:1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "made-up"}}],
    }
    for name in ("kcp.yaml", "a.yaml"):
        (tmp_path / name).write_text(json.dumps(kubeconfig))
    maps = config_maps()
    (tmp_path / "releases").mkdir()
    tekton = [*maps, pod("quay.io/tekton/controller:v1")]
    (tmp_path / "releases/tekton-pipelines-v1.6.0.yaml").write_text(yaml.safe_dump_all(tekton))
    (tmp_path / "releases/api-syncagent-crds-v0.7.0.yaml").write_text(yaml.safe_dump_all(maps[:1]))
    return tmp_path


def loaded(images: dict[str, Any], credentials: object = None) -> LoadedEnvironment:
    config = {
        "kcp": {"kubeconfig": {"path": "kcp.yaml"}},
        "computeClusters": {"a": {"kubeconfig": {"path": "a.yaml"}}},
        "releases": {"directory": "releases"},
        "imageRepository": images,
    }
    if credentials is not None:
        config["credentials"] = credentials
    values = {
        f"pipeline-service:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    secrets = [] if credentials is None else ["pipeline-service:credentials"]
    pulumi.runtime.set_all_config(values, secrets)
    start_engine(preview=True)
    return load()


def refusal(images: dict[str, Any], credentials: object = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(images, credentials)
    return str(caught.value).splitlines()


def test_a_release_is_prepared_with_mirrors_and_digests(project: Path) -> None:
    (project / "digests.yaml").write_text(f"quay.io/tekton/controller:v1: {DIGEST}\n")
    made = loaded({"mirrors": {"quay.io": "m.example/quay"}, "digests": {"path": "digests.yaml"}})
    release = made.release("a", "tekton-pipelines")
    assert f"m.example/quay/tekton/controller:v1@{DIGEST}" in (project / release.manifest).read_text()
    assert release.contents.images == ("quay.io/tekton/controller:v1",)
    assert release.contents.pod_namespaces == ("tekton-pipelines",)


def test_what_a_release_holds_is_known_again_without_parsing_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaded({"mirrors": MIRRORS}).release("a", "tekton-pipelines")
    beside = project / first.manifest.with_suffix(".contents.json")
    monkeypatch.setattr("releases.prepare.parsed", lambda *_: pytest.fail("parsed again"))
    assert loaded({"mirrors": MIRRORS}).release("a", "tekton-pipelines") == first
    monkeypatch.undo()
    monkeypatch.chdir(project)
    for broken in ("", "[]", '{"other": 1}'):
        beside.write_text(broken)
        assert loaded({"mirrors": MIRRORS}).release("a", "tekton-pipelines") == first
        assert json.loads(beside.read_text())["images"] == ["quay.io/tekton/controller:v1"]


def test_offline_every_image_without_a_mirror_is_refused_by_name(project: Path) -> None:
    assert project.is_dir()
    assert refusal({"offline": True, "mirrors": MIRRORS}) == [
        (
            "pipeline-service:imageRepository.mirrors: imageRepository.offline is true, and no mirror serves"
            " quay.io/tekton/controller:v1; put it into a registry that the clusters reach,"
            " and add quay.io: REGISTRY"
        )
    ]
    made = loaded({"offline": True, "mirrors": {**MIRRORS, "quay.io/tekton": "m.example/tekton"}})
    text = (project / made.release("a", "tekton-pipelines").manifest).read_text()
    for resolver in ("git", "http", "hub", "bundles"):
        assert f'"enable-{resolver}-resolver":"false"' in text


def test_a_mirror_without_a_path_has_no_name_for_a_single_image(project: Path) -> None:
    assert project.is_dir()
    assert refusal({"mirrors": {"quay.io/tekton/controller": "m.example"}}) == [
        (
            "pipeline-service:imageRepository.mirrors: quay.io/tekton/controller is the whole name of an"
            " image, and m.example a registry alone, in which it has none; name the image there, such as"
            " m.example/tekton/controller"
        )
    ]


def test_offline_no_resolver_reaches_out_whatever_is_on() -> None:
    on = {"http": {"enabled": True}, "git": {"enabled": True}}
    settings = environment({"a": {}}, imageRepository={"offline": True}, tekton={"resolvers": on})
    images, _ = read_images(settings.image_repository, Path("/nowhere"), {})
    flags = adaptation(settings, "a", "tekton-pipelines", images).config_maps["resolvers-feature-flags"]
    for resolver in ("git", "http", "hub", "bundles"):
        assert flags[f"enable-{resolver}-resolver"] == "false"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no such file"),
        ("[a]", "it is not a mapping"),
        ("a: [", "it is not YAML"),
        ("a: b: c", "it is not YAML"),
        (f"ghcr.io/Team: {DIGEST}", "is not the name of an image"),
        ("ghcr.io/team:v1: sha256:12", "is not an image's name with its digest"),
        (f'"ghcr.io/team:v1@{DIGEST}": {DIGEST}', "is not an image's name with its digest"),
        (f"busybox: {DIGEST}\ndocker.io/library/busybox:latest: sha256:{'0' * 64}", "it has two digests"),
    ],
)
def test_a_bad_file_of_digests_is_refused_with_its_key(project: Path, text: str | None, why: str) -> None:
    if text is not None:
        (project / "digests.yaml").write_text(text)
    [line] = refusal({"digests": {"path": "digests.yaml"}})
    assert line.startswith('pipeline-service:imageRepository.digests.path: "digests.yaml":')
    assert why in line


def test_an_empty_file_of_digests_pins_nothing(project: Path) -> None:
    (project / "digests.yaml").write_text("# none yet\n")
    assert loaded({"digests": {"path": "digests.yaml"}}).images.rules.digests == {}


def test_images_that_the_file_of_digests_lacks_are_told(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", warned.append)
    lock = [f"ghcr.io/kcp-dev/api-syncagent:v0.7.0: {DIGEST}", f"quay.io/tekton/controller:v1: {DIGEST}"]
    (project / "digests.yaml").write_text("\n".join(lock))
    loaded({"digests": {"path": "digests.yaml"}})
    [told] = [line for line in warned if "imageRepository" in line]
    assert told == (
        'pipeline-service:imageRepository.digests.path: "digests.yaml": it has no digest of'
        f" {PYTHON_IMAGE}: what runs is what a registry"
        " has under the name; make it anew: .venv/bin/python -m operations images lock --stack STACK"
    )
    # What the release pins itself is no one else's to pin.
    manifest = project / "releases/tekton-pipelines-v1.6.0.yaml"
    manifest.write_text(manifest.read_text().replace("controller:v1", f"controller:v2@{DIGEST}"))
    (project / "digests.yaml").write_text("\n".join([lock[0], f"{PYTHON_IMAGE}: {DIGEST}"]))
    warned.clear()
    loaded({"digests": {"path": "digests.yaml"}})
    loaded({})
    assert [line for line in warned if "imageRepository" in line] == []
    # An upgrade brings a name that the file hasn't.
    manifest.write_text(manifest.read_text().replace(f"controller:v2@{DIGEST}", "controller:v3"))
    loaded({"digests": {"path": "digests.yaml"}})
    [told] = [line for line in warned if "imageRepository" in line]
    assert "it has no digest of quay.io/tekton/controller:v3: " in told


def test_a_digest_that_differs_from_the_releases_own_is_told_with_its_key(project: Path) -> None:
    other = "sha256:" + "0" * 64
    release = project / "releases/tekton-pipelines-v1.6.0.yaml"
    release.write_text(release.read_text().replace("controller:v1", f"controller:v1@{DIGEST}"))
    (project / "digests.yaml").write_text(f"quay.io/tekton/controller:v1: {other}\n")
    [line] = refusal({"digests": {"path": "digests.yaml"}})
    assert line.startswith("pipeline-service:imageRepository.digests: quay.io/tekton/controller:v1 is")


AUTH = {"auth": "aHVudGVyMg=="}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("hunter2", "is not the JSON of a .docker/config.json"),
        ('{"auths": {"r.example": {"auth": "aHVudGVyMg=="}}', "is not the JSON"),
        ('["aHVudGVyMg=="]', "is not the JSON"),
        ({"auth": "aHVudGVyMg=="}, "names no registry under auths"),
        ({"auths": {}, "credsStore": "hunter2"}, "names no registry under auths"),
        ({"auths": ["aHVudGVyMg=="]}, "names no registry under auths"),
        ({"auths": {"r.example": {}, "s.example": AUTH}}, "without a credential"),
        ({"auths": {"r.example": "aHVudGVyMg=="}}, "without a credential"),
    ],
)
def test_a_pull_secret_that_is_none_is_refused_and_not_shown(project: Path, value: object, why: str) -> None:
    assert project.is_dir()
    [line] = refusal({"pullSecret": {"secret": "credentials"}}, value)
    assert line.startswith('pipeline-service:imageRepository.pullSecret.secret: "credentials": the value of')
    assert why in line
    assert "hunter2" not in line
    assert "aHVudGVyMg" not in line


@pytest.mark.parametrize("as_text", [True, False])
def test_a_pull_secret_is_read_as_text_and_as_the_engine_hands_it_over(
    project: Path, *, as_text: bool
) -> None:
    assert project.is_dir()
    document = {"credsStore": "x", "auths": {"s.example": AUTH, "r.example": AUTH}}
    made = loaded(
        {"pullSecret": {"secret": "credentials"}}, f" {json.dumps(document)}\n" if as_text else document
    )
    assert json.loads(str(made.images.pull_secret)) == {"auths": {"r.example": AUTH, "s.example": AUTH}}
    assert "aHVudGVyMg" not in repr(made)


def authority_pem(folder: Path) -> str:
    return Authority(folder).pair.certificate.read_text()


def test_the_authority_of_the_registries_reaches_tekton(project: Path) -> None:
    pem = authority_pem(project / "pki")
    (project / "ca.crt").write_text(f"# whose it is\n{pem}")
    made = loaded({"certificateAuthority": {"path": "ca.crt"}})
    text = (project / made.release("a", "tekton-pipelines").manifest).read_text()
    assert json.dumps({"cert": pem}, separators=(",", ":")) in text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "there is no such file"),
        ("hunter2", "it holds no certificate"),
        ("key", "it holds a private key"),
    ],
)
def test_a_bad_authority_is_refused_with_its_key(project: Path, text: str | None, why: str) -> None:
    if text == "key":
        text = authority_pem(project / "pki") + (project / "pki/ca.key").read_text()
    if text is not None:
        (project / "ca.crt").write_text(text)
    [line] = refusal({"certificateAuthority": {"path": "ca.crt"}})
    assert line.startswith('pipeline-service:imageRepository.certificateAuthority.path: "ca.crt":')
    assert why in line


@pytest.mark.parametrize("key", ["certificateAuthority", "digests"])
def test_a_folder_where_a_file_must_stand_is_told(tmp_path: Path, key: str) -> None:
    of = environment({}, imageRepository={key: {"path": "folder"}}).image_repository
    (tmp_path / "folder").mkdir()
    [problem] = read_images(of, tmp_path, {})[1]
    assert str(problem).startswith(
        f'pipeline-service:imageRepository.{key}.path: "folder": it is a folder; name'
    )


def test_nothing_is_read_where_nothing_is_said() -> None:
    settings = environment({}).image_repository
    images, problems = read_images(settings, Path("/nowhere"), {})
    assert problems == []
    assert images.pull_secret is None
    assert not any((images.rules.mirrors, images.rules.digests, images.rules.pull_secret))
