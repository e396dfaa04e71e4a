"""What is refused, and how it is said."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacks.loader import load, read_stack_file
from stacks.problems import SettingsError
from stacks.settings import EnvironmentSettings, Section, known_keys
from tests.support.recording import start_engine

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


BAD: dict[str, tuple[dict[str, Any], str, str]] = {
    "unknown section": ({"kcp": KCP, "tenant": {}}, "pipeline-service:tenant:", 'did you mean "tenants"?'),
    "unknown key of a cluster": (
        {"kcp": KCP, "computeClusters": {"a": {**CLUSTER, "stat": "active"}}},
        "pipeline-service:computeClusters.a.stat:",
        'did you mean "state"?',
    ),
    "unknown key of a quota": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "quota": {"pipelineruns": 1}}},
        },
        "pipeline-service:tenants.t.quota.pipelineruns:",
        'did you mean "pipelineRuns"?',
    ),
    "snake case": (
        {"kcp": KCP, "compute_clusters": {}},
        "pipeline-service:compute_clusters:",
        "computeClusters",
    ),
    "bad name of a cluster": (
        {"kcp": KCP, "computeClusters": {"Local_A": CLUSTER}},
        "pipeline-service:computeClusters.Local_A:",
        "lower-case letters",
    ),
    "reserved name of a cluster": (
        {"kcp": KCP, "computeClusters": {"kcp": CLUSTER}},
        "pipeline-service:computeClusters.kcp:",
        "use another than",
    ),
    "long name of a tenant": (
        {"kcp": KCP, "computeClusters": {"a": CLUSTER}, "tenants": {"t" * 41: {"cluster": "a"}}},
        f"pipeline-service:tenants.{'t' * 41}:",
        "use 40 at most",
    ),
    "tenant on a cluster that is not there": (
        {"kcp": KCP, "computeClusters": {"local-a": CLUSTER}, "tenants": {"t": {"cluster": "local-z"}}},
        'pipeline-service:tenants.t.cluster: "local-z":',
        'did you mean "local-a"?',
    ),
    "two tenants with one workspace": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"one": {"cluster": "a"}, "two": {"cluster": "a", "workspace": "one"}},
        },
        'pipeline-service:tenants.two.workspace: "one":',
        "a workspace of its own",
    ),
    "a namespace of the platform": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "namespaces": ["kube-system"]}},
        },
        "pipeline-service:tenants.t.namespaces.0:",
        "doesn't begin with",
    ),
    "the namespace of kcp's quota": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "namespaces": ["admin"]}},
        },
        "pipeline-service:tenants.t.namespaces.0:",
        "use another name",
    ),
    "a namespace twice": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "namespaces": ["x", "x"]}},
        },
        "pipeline-service:tenants.t.namespaces:",
        "name each once",
    ),
    "everybody as a group": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "access": {"admins": {"groups": ["system:authenticated"]}}}},
        },
        "pipeline-service:tenants.t.access.admins.groups.0:",
        "name the users or groups themselves",
    ),
    "number for a quantity": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "quota": {"cpu": 8}}},
        },
        "pipeline-service:tenants.t.quota.cpu: 8:",
        "write it in quotes",
    ),
    "text for a number": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "quota": {"pipelineRuns": "10"}}},
        },
        'pipeline-service:tenants.t.quota.pipelineRuns: "10":',
        "write digits without quotes",
    ),
    "zero": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "quota": {"pods": 0}}},
        },
        "pipeline-service:tenants.t.quota.pods: 0:",
        "use 1 or more",
    ),
    "bad quantity": (
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "quota": {"memory": "16 gigabytes"}}},
        },
        "pipeline-service:tenants.t.quota.memory:",
        "a number with a unit",
    ),
    "a list of tenants": (
        {"kcp": KCP, "tenants": [{"name": "t"}]},
        "pipeline-service:tenants: a list:",
        "write keys and values",
    ),
    "text for a section": ({"kcp": "root"}, 'pipeline-service:kcp: "root":', "write keys and values"),
    "unknown state": (
        {"kcp": KCP, "computeClusters": {"a": {**CLUSTER, "state": "dead"}}},
        'pipeline-service:computeClusters.a.state: "dead":',
        "'unreachable'",
    ),
    "openshift": (
        {"kcp": KCP, "computeClusters": {"a": {**CLUSTER, "distribution": "openshift"}}},
        "pipeline-service:computeClusters.a.distribution:",
        "distribution kubernetes",
    ),
    "no kcp": ({"computeClusters": {}}, "pipeline-service:kcp:", "add it"),
    "no kubeconfig": (
        {"kcp": KCP, "computeClusters": {"a": {}}},
        "pipeline-service:computeClusters.a.kubeconfig:",
        "add it",
    ),
    "two sources of a kubeconfig": (
        {"kcp": {"kubeconfig": {"path": "x", "secret": "y"}}, "y": {"secure": "v1:x"}},
        "pipeline-service:kcp.kubeconfig:",
        "either path or secret",
    ),
    "a plain secret": (
        {"kcp": {"kubeconfig": {"secret": "kcpKubeconfig"}}, "kcpKubeconfig": "apiVersion: v1"},
        "pipeline-service:kcpKubeconfig:",
        "pulumi config set --secret kcpKubeconfig",
    ),
    "a secret that is not set": (
        {"kcp": {"kubeconfig": {"secret": "kcpKubeconfig"}}},
        "pipeline-service:kcpKubeconfig:",
        "pulumi config set --secret kcpKubeconfig",
    ),
    "a secret nobody refers to": (
        {"kcp": KCP, "tenantss": {"secure": "v1:x"}},
        "pipeline-service:tenantss:",
        'did you mean "tenants"?',
    ),
    "a bad workspace path": (
        {"kcp": {**KCP, "parent": "root/team"}},
        'pipeline-service:kcp.parent: "root/team":',
        "joined by colons",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_refused_in_a_line_with_key_and_mend(case: str, tmp_path: Path) -> None:
    config, key, mend = BAD[case]
    lines = refused(tmp_path, config)
    matching = [line for line in lines if line.startswith(key)]
    assert len(matching) == 1, lines
    assert mend in matching[0]


def test_all_errors_are_told_at_once(tmp_path: Path) -> None:
    lines = refused(
        tmp_path,
        {
            "kcp": {**KCP, "parnt": "root"},
            "computeClusters": {"a": CLUSTER, "B!": CLUSTER},
            "tenants": {
                "t": {"cluster": "z"},
                "u": {"cluster": "a", "workspace": "t"},
                "v": {"cluster": "y", "quota": {"pods": "many"}},
            },
        },
    )
    keys = [line.split(": ")[0] for line in lines]
    assert keys == [
        "pipeline-service:computeClusters.B!",
        "pipeline-service:kcp.parnt",
        "pipeline-service:tenants.t.cluster",
        "pipeline-service:tenants.u.workspace",
        "pipeline-service:tenants.v.cluster",
        "pipeline-service:tenants.v.quota.pods",
    ]


def test_a_kubeconfig_pasted_where_a_reference_belongs_is_not_shown(tmp_path: Path) -> None:
    pasted = "apiVersion: v1\nusers: [{name: x, user: {token: hunter2}}]\n"
    lines = refused(tmp_path, {"kcp": {"kubeconfig": pasted}})
    assert "hunter2" not in "\n".join(lines)
    lines = refused(tmp_path, {"kcp": {"kubeconfig": {"path": pasted}}})
    assert "hunter2" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("Pulumi.test.yaml", "", "it has no settings"),
        ("Pulumi.test.yaml", "config:\n", "it has no settings"),
        ("Pulumi.test.yaml", "config: [", "expected the node content"),
        ("Pulumi.test.yaml", "config: {a: 1}\nconfig: {b: 2}\n", 'the key "config" stands twice'),
        ("settings.yaml", "config: {}", "a stack file's name has the form"),
        ("Pulumi.test.yaml", None, "there is no such file"),
    ],
)
def test_an_unusable_file_is_refused_in_a_line(name: str, text: str | None, why: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
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
    assert known["tenants.*.quota"] == ("cpu", "memory", "pipelineRuns", "pods")
    assert known["computeClusters.*.kubeconfig"] == ("path", "secret")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    )
)
def test_whatever_stands_there_is_accepted_or_refused_but_never_crashes(value: object) -> None:
    from stacks.loader import _validated  # noqa: PLC0415

    for key in ("kcp", "computeClusters", "tenants", "releases", "deletionProtection", "x"):
        with contextlib.suppress(SettingsError):
            _validated({"kcp": KCP, key: value}, set())


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
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "tekton-pipelines"}}
    tekton = [
        {**config_map, "metadata": {"name": name}, "data": {}}
        for name in ("config-defaults", "feature-flags")
    ]
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


def test_a_kubeconfig_can_be_a_secret_of_the_configuration(project: Path) -> None:
    text = (project / "kcp.yaml").read_text()
    config = {**FULL, "kcp": {"kubeconfig": {"secret": "kcpKubeconfig"}}, "kcpKubeconfig": text}
    engine(config, preview=True, secrets=("kcpKubeconfig",))
    assert load().kubeconfigs["kcp"].kcp_url == "https://host:1"
    engine(config, preview=True)
    with pytest.raises(SettingsError, match="whose value is not a secret"):
        load()


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


def test_a_scalar_that_the_engine_hands_over_as_text_is_understood(project: Path) -> None:
    assert project.is_dir()
    engine({**FULL, "deletionProtection": "false"}, preview=True)
    assert load().settings.deletion_protection is False


def test_an_unchanged_release_is_not_parsed_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert project.is_dir()
    engine(FULL, preview=True)
    first = load().releases

    def fail(*_: object, **__: object) -> None:
        pytest.fail("parsed again")

    monkeypatch.setattr("yaml.load_all", fail)
    assert load().releases == first
