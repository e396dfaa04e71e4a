"""Reading a stack's configuration, from its file and from the engine."""

import contextlib
import json
from functools import partial
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from releases.bundle import write_bundle
from releases.fetch import Published
from stacks.loader import load, read_stack_file
from stacks.other_stacks import StackOutputs, StackReferenceError
from stacks.problems import SettingsError
from stacks.sections import Section
from stacks.settings import EnvironmentSettings, known_keys
from stacks.validation import validated
from tests.support.recording import CREDENTIAL, start_engine
from tests.support.tekton import config_maps

PROJECT = Path(__file__).parents[3]
KCP = {"kubeconfig": {"path": "kcp.yaml"}}
CLUSTER = {"kubeconfig": {"path": "a.yaml"}}


def write(folder: Path, config: dict[str, Any]) -> Path:
    path = folder / "Pulumi.test.yaml"
    keys = {key if ":" in key else f"pipeline-service:{key}": value for key, value in config.items()}
    path.write_text(yaml.safe_dump({"config": keys}))
    return path


def refused(folder: Path, config: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_stack_file(write(folder, config))
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("Pulumi.test.yaml", "", "it has no settings"),
        ("Pulumi.test.yaml", "config:\n", "it has no settings"),
        ("Pulumi.test.yaml", "config: [", "expected the node content"),
        ("Pulumi.test.yaml", "config: {a: 1}\nconfig: {b: 2}\n", 'the key "config" stands twice, line 2'),
        ("Pulumi.test.yaml", "config: {a: \udcff}", "it is not text"),
        ("settings.yaml", "config: {}", "a stack file's name has the form"),
        ("Pulumi.test.yaml", None, "there is no such file"),
    ],
)
def test_an_unusable_file_is_refused_in_a_line(name: str, text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text, errors="surrogateescape")
    with pytest.raises(SettingsError) as caught:
        read_stack_file(path)
    [line] = str(caught.value).splitlines()
    assert line.startswith(f"{path}: {why}")


def test_a_tenant_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.test.yaml"
    path.write_text("config:\n  pipeline-service:tenants:\n    demo: {cluster: a}\n    demo: {cluster: b}\n")
    with pytest.raises(SettingsError, match='the key "demo" stands twice'):
        read_stack_file(path)


def test_the_errors_are_run_errors_so_that_the_engine_prints_no_traceback() -> None:
    assert issubclass(SettingsError, pulumi.RunError)


def test_keys_of_other_projects_are_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, {"kcp": KCP, "pulumi:disable-default-providers": ["kubernetes"]})
    assert read_stack_file(path).kcp.parent == "root"


def test_every_field_has_a_title_and_a_description() -> None:
    sections = Section.__subclasses__()
    assert EnvironmentSettings in sections
    bare = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.title or not field.description
    ]
    assert bare == []


def test_known_keys_cover_every_section() -> None:
    known = known_keys()
    assert known["tenants.*.quota"] == ("cpu", "memory", "pipelineRuns", "pods", "storage")
    assert known["computeClusters.*.kubeconfig"] == ("environment", "output", "path", "secret", "stack")
    assert known["tenants.*.external.binders"] == ("groups", "users")
    assert known["gateway.tls"] == ("issuer", "secret")
    assert known["gitops.credentials"] == ("secret",)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries({}, optional=dict.fromkeys(known_keys()[""], ANYTHING))
ENTRIES = {
    "pools": ("capacity", "overcommit"),
    "computeClusters": known_keys()["computeClusters.*"],
    "tenants": known_keys()["tenants.*"],
    "gateway": ("clusters", "host", "exposure", "tls"),
}


@given(
    NEARLY,
    st.sampled_from(sorted(ENTRIES)).flatmap(
        lambda key: st.tuples(
            st.just(key),
            st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRIES[key], ANYTHING)),
        )
    ),
    st.sets(st.sampled_from(sorted(known_keys()[""])), max_size=2),
)
def test_whatever_stands_there_is_accepted_or_refused_but_never_crashes(
    sections: dict[str, Any], entry: tuple[str, dict[str, Any]], secrets: set[str]
) -> None:
    key, fields = entry
    values = {"kcp": KCP, **sections, key: fields if key == "gateway" else {"a": fields, "b": CLUSTER}}
    with contextlib.suppress(SettingsError):
        validated(values, secrets)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with one cluster's credentials and releases."""
    monkeypatch.chdir(tmp_path)
    kubeconfig = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": "https://host:1/clusters/root"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "hunter2"}}],
    }
    for name in ("kcp.yaml", "a.yaml"):
        (tmp_path / name).write_text(json.dumps(kubeconfig))
    (tmp_path / "releases").mkdir()
    tekton = config_maps()
    (tmp_path / "releases/tekton-pipelines-v1.6.0.yaml").write_text(yaml.safe_dump_all(tekton))
    (tmp_path / "releases/api-syncagent-crds-v0.7.0.yaml").write_text(yaml.safe_dump_all(tekton[:1]))
    return tmp_path


def engine(config: dict[str, Any], *, preview: bool, secrets: tuple[str, ...] = ()) -> None:
    values = {
        f"pipeline-service:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    pulumi.runtime.set_all_config(values, [f"pipeline-service:{key}" for key in secrets])
    start_engine(preview=preview)


FILES = {
    "release.yaml": "tekton-pipelines-v1.6.0.yaml",
    "syncagent.kcp.io_publishedresources.yaml": "api-syncagent-crds-v0.7.0.yaml",
}
"""Where they are published: the end of the address."""

FULL = {"kcp": KCP, "computeClusters": {"a": CLUSTER}, "releases": {"directory": "releases"}}


def test_kubeconfigs_are_written_for_their_owner_alone_and_only_outside_previews(project: Path) -> None:
    engine(FULL, preview=True)
    load()
    assert not (project / ".run/dev/kubeconfigs").exists()
    engine(FULL, preview=False)
    load()
    for name in ("kcp", "a"):
        file = project / f".run/dev/kubeconfigs/{name}.kubeconfig"
        assert file.stat().st_mode & 0o777 == 0o600
        assert json.loads(file.read_text())["users"][0]["user"] == {"token": "hunter2"}
    server = json.loads((project / ".run/dev/kubeconfigs/kcp.kubeconfig").read_text())["clusters"][0][
        "cluster"
    ]
    assert server["server"] == "https://host:1"


def test_what_tenants_share_is_written_in_previews_too(project: Path) -> None:
    engine({**FULL, "tenants": {"t": {"cluster": "a"}, "u": {"cluster": "a"}}}, preview=True)
    shared = load().shared
    assert shared["t"].file is not None
    assert shared["t"] == shared["u"]
    file = project / shared["t"].file
    assert file.read_text() == shared["t"].text
    assert [one.name for one in file.parent.glob("tenants-*")] == [file.name]


def test_a_kubeconfig_can_be_a_secret_of_the_configuration(project: Path) -> None:
    text = (project / "kcp.yaml").read_text()
    config = {**FULL, "kcp": {"kubeconfig": {"secret": "kcpKubeconfig"}}, "kcpKubeconfig": text}
    engine(config, preview=True, secrets=("kcpKubeconfig",))
    assert load().kubeconfigs["kcp"].kcp_url == "https://host:1"
    engine(config, preview=True)
    with pytest.raises(SettingsError, match="whose value is not a secret"):
        load()


def test_a_kubeconfig_can_be_in_an_environment_variable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {**FULL, "kcp": {"kubeconfig": {"environment": "KCP_KUBECONFIG"}}}
    engine(config, preview=True)
    key = 'pipeline-service:kcp.kubeconfig.environment: "KCP_KUBECONFIG": the environment variable is '
    for value, state in ((None, "not set"), ("", "empty"), (" \n", "empty")):
        if value is None:
            monkeypatch.delenv("KCP_KUBECONFIG", raising=False)
        else:
            monkeypatch.setenv("KCP_KUBECONFIG", value)
        with pytest.raises(SettingsError) as caught:
            load()
        assert str(caught.value).startswith(f"{key}{state}")
        assert 'export KCP_KUBECONFIG="$(cat' in str(caught.value)
    monkeypatch.setenv("KCP_KUBECONFIG", (project / "kcp.yaml").read_text())
    assert load().kcp.kcp_url == "https://host:1"


@pytest.mark.parametrize("as_text", [True, False], ids=["text", "mapping"])
def test_a_kubeconfig_can_be_an_output_of_another_stack(
    project: Path, monkeypatch: pytest.MonkeyPatch, *, as_text: bool
) -> None:
    text = (project / "kcp.yaml").read_text()
    read: list[str] = []

    def outputs(stack: str) -> StackOutputs:
        read.append(stack)
        return StackOutputs(stack, {"kcp": text if as_text else json.loads(text)}, frozenset({"kcp"}))

    monkeypatch.setattr("stacks.kubeconfig_sources.read_stack_outputs", outputs)
    reference = {"kubeconfig": {"stack": "organization/infra/production", "output": "kcp"}}
    engine({**FULL, "kcp": reference, "computeClusters": {"a": reference}}, preview=True)
    assert {one.kcp_url for one in load().kubeconfigs.values()} == {"https://host:1"}
    assert read == ["organization/infra/production"], "a state is read once"


def test_an_output_that_is_not_there_is_told_with_its_key(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.is_dir()
    monkeypatch.setattr(
        "stacks.kubeconfig_sources.read_stack_outputs",
        lambda stack: StackOutputs(stack, {"kcpKubeconfig": CREDENTIAL}, frozenset({"kcpKubeconfig"})),
    )
    reference = {"kubeconfig": {"stack": "organization/infra/production", "output": "kcpKubeconfi"}}
    engine({**FULL, "kcp": reference}, preview=True)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(
        'pipeline-service:kcp.kubeconfig.output: "kcpKubeconfi": it has no output'
    )
    assert 'did you mean "kcpKubeconfig"?' in str(caught.value)
    assert CREDENTIAL not in str(caught.value)


def test_a_stack_that_cant_be_read_is_told_for_each_kubeconfig(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.is_dir()

    def refuse(stack: str) -> StackOutputs:
        raise StackReferenceError(stack, "there is no such stack", "name it rightly")

    monkeypatch.setattr("stacks.kubeconfig_sources.read_stack_outputs", refuse)
    reference = {"kubeconfig": {"stack": "organization/infra/production", "output": "kcp"}}
    engine({**FULL, "kcp": reference, "computeClusters": {"a": reference}}, preview=True)
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).splitlines() == [
        f'pipeline-service:{place}.kubeconfig.stack: "organization/infra/production":'
        " there is no such stack; name it rightly"
        for place in ("computeClusters.a", "kcp")
    ]


def test_relative_paths_are_found_from_any_working_directory(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    engine(FULL, preview=False)
    environment = load(project)
    assert environment.kcp.kcp_url == "https://host:1"
    assert (project / environment.kubeconfig_file("a")).is_file()
    assert list(elsewhere.iterdir()) == []


def test_a_section_that_is_secret_is_refused_and_not_shown(project: Path) -> None:
    assert project.is_dir()
    config = {**FULL, "tenants": {"team-a": {"cluster": "a", "workspace": "Hunter2"}}}
    engine(config, preview=True, secrets=("tenants",))
    with pytest.raises(SettingsError) as caught:
        load()
    [line] = str(caught.value).splitlines()
    assert line.startswith("pipeline-service:tenants: a section is not a secret")
    assert "Hunter2" not in line


def test_what_is_not_acted_on_yet_is_warned_of_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.is_dir()
    warned: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", warned.append)
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://state")
    engine({**FULL, "monitoring": {"enabled": True}, "tekton": {"defaultTimeoutMinutes": 60}}, preview=True)
    load()
    assert [line for line in warned if "not acted on" in line] == [
        "pipeline-service:monitoring: checked, but not acted on by this version: no ServiceMonitor is made"
    ]


def test_unreadable_kubeconfigs_and_releases_are_told_together(project: Path) -> None:
    (project / "a.yaml").unlink()
    (project / "kcp.yaml").write_text("current-context: nowhere\n")
    (project / "releases/tekton-pipelines-v1.6.0.yaml").unlink()
    engine(FULL, preview=True)
    with pytest.raises(SettingsError) as caught:
        load()
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        'pipeline-service:computeClusters.a.kubeconfig.path: "a.yaml": the kubeconfig file doesn\'t'
    )
    assert lines[1].startswith('pipeline-service:kcp.kubeconfig.path: "kcp.yaml":')
    assert lines[2].startswith(
        'pipeline-service:releases.directory: "releases": the manifest of tekton-pipelines'
    )


def test_what_is_wrong_with_a_release_is_told_once_however_many_clusters_get_it(project: Path) -> None:
    (project / "releases/tekton-pipelines-v1.6.0.yaml").unlink()
    (project / "b.yaml").write_text((project / "a.yaml").read_text().replace("host:1", "host:2"))
    clusters = {"a": CLUSTER, "b": {"kubeconfig": {"path": "b.yaml"}}}
    engine({**FULL, "computeClusters": clusters}, preview=True)
    with pytest.raises(SettingsError) as caught:
        load()
    assert len([line for line in str(caught.value).splitlines() if "tekton-pipelines" in line]) == 1


@pytest.mark.parametrize("key", sorted(known_keys()[""]))
def test_a_section_with_nothing_in_it_counts_as_not_given_in_the_file_and_for_the_engine(
    project: Path, key: str
) -> None:
    without = {name: value for name, value in FULL.items() if name != key}

    def of_the_file(more: dict[str, Any]) -> str:
        path = write(project, {**without, **more})
        try:
            return repr(read_stack_file(path))
        except SettingsError as error:
            return str(error)

    def of_the_engine(more: dict[str, Any]) -> str:
        engine({**without, **more}, preview=True)
        try:
            return repr(load().settings)
        except SettingsError as error:
            return str(error)

    assert of_the_file({key: None}) == of_the_file({key: ""}) == of_the_file({})
    # For what stands as null in the file, the engine has an empty text.
    assert of_the_engine({key: ""}) == of_the_engine({})


def test_a_scalar_that_the_engine_hands_over_as_text_is_understood(project: Path) -> None:
    assert project.is_dir()
    engine({**FULL, "deletionProtection": "false"}, preview=True)
    assert load().settings.deletion_protection is False


def test_an_unchanged_release_is_not_parsed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.is_dir()
    engine(FULL, preview=True)
    first = load().prepared

    def fail(*_: object, **__: object) -> None:
        pytest.fail("parsed again")

    monkeypatch.setattr("yaml.load_all", fail)
    assert load().prepared == first


@pytest.mark.parametrize("clusters", [{}, {"a": CLUSTER}])
def test_a_place_that_cant_be_written_is_told(project: Path, clusters: dict[str, Any]) -> None:
    (project / ".run").write_text("a file")
    engine({"kcp": KCP, "computeClusters": clusters, "releases": FULL["releases"]}, preview=False)
    with pytest.raises(SettingsError) as caught:
        load()
    [line] = set(str(caught.value).splitlines())
    assert line.startswith(".run/dev/")
    assert "it can't be read or written (Not a directory); correct what stands there or above" in line


def test_an_unchanged_preview_reaches_for_no_network(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(url: str) -> bytes:
        asked.append(url)
        return (project / "releases" / FILES[url.rpartition("/")[2]]).read_bytes()

    lock = project / "lock.yaml"
    monkeypatch.setattr("stacks.loader.Published", partial(Published, lock_file=lock, download=download))
    without = {key: value for key, value in FULL.items() if key != "releases"}
    warned: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", warned.append)
    engine(without, preview=True)
    first = load().prepared
    assert len(asked) == len(FILES)
    told = [line for line in warned if line.endswith("; commit releases/lock.yaml")]
    assert sorted(line.partition(":")[0] for line in told) == sorted(
        file.removesuffix(".yaml").replace("-v", " v") for file in FILES.values()
    )

    def fail(*_: object) -> None:
        pytest.fail("reached for the network")

    monkeypatch.setattr("stacks.loader.Published", partial(Published, lock_file=lock))
    monkeypatch.setattr("socket.socket.connect", fail)
    monkeypatch.setattr("socket.getaddrinfo", fail)
    engine(without, preview=True)
    assert load().prepared == first


def test_manifests_come_from_a_bundle_and_what_is_wrong_with_it_is_told_of_its_key(project: Path) -> None:
    engine(FULL, preview=True)
    first = load().prepared
    manifests = {file: (project / "releases" / file).read_bytes() for file in FILES.values()}
    write_bundle(project / "b.tar.gz", manifests=manifests, images=(), archives={})
    bundled = {**FULL, "releases": {"bundle": "b.tar.gz"}}
    engine(bundled, preview=True)
    assert load().prepared == first

    (project / "b.tar.gz").write_bytes((project / "b.tar.gz").read_bytes()[:100])
    engine(bundled, preview=True)
    with pytest.raises(SettingsError) as caught:
        load()
    [line] = set(str(caught.value).splitlines())
    assert line.startswith('pipeline-service:releases.bundle: "b.tar.gz": b.tar.gz is not a whole bundle')
