"""Settings: what they mean beyond their texts."""

import string
from collections.abc import Iterator, Mapping
from decimal import Decimal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Strict, TypeAdapter

from components.names import tenant_namespace
from stacks import quota_checks
from stacks.notices import notices
from stacks.problems import Problem, shown
from stacks.quota_checks import Dimension
from stacks.secrecy import looks_secret
from stacks.secret_checks import references
from stacks.sections import Section
from stacks.settings import EnvironmentSettings
from stacks.tenant_settings import TenantSettings
from stacks.vocabulary import NamespaceName, WorkspacePath, amount, repository_identity

KCP = {"kubeconfig": {"path": "kcp.yaml"}}
CLUSTER = {"kubeconfig": {"path": "a.yaml"}}

TEXTS = st.text(alphabet=string.ascii_lowercase + string.digits + "-:", min_size=1, max_size=80)


def valid(adapter: TypeAdapter[str], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValueError:
        return False
    return True


PATHS = TEXTS.filter(lambda text: valid(TypeAdapter(WorkspacePath), text))
NAMESPACES = TEXTS.filter(lambda text: valid(TypeAdapter(NamespaceName), text))


@given(PATHS, NAMESPACES)
def test_every_valid_name_gives_a_legal_namespace_on_the_cluster(path: str, namespace: str) -> None:
    name = tenant_namespace(path, namespace)
    assert len(name) <= 63
    assert name[0].isalnum()
    assert name[-1].isalnum()
    assert set(name) <= {*string.ascii_lowercase, *string.digits, "-"}


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("8", "8"),
        ("500m", "0.5"),
        (".5", "0.5"),
        ("1.5k", "1500"),
        ("2M", "2e6"),
        ("3G", "3e9"),
        ("1T", "1e12"),
        ("1P", "1e15"),
        ("1E", "1e18"),
        ("1Ki", "1024"),
        ("16Gi", "17179869184"),
        ("1Ei", "1152921504606846976"),
    ],
)
def test_quantities_are_read_as_kubernetes_reads_them(quantity: str, value: str) -> None:
    assert amount(quantity) == Decimal(value)


@pytest.mark.parametrize("text", ["", "-1", "1 Gi", "1gi", "1e3", "Gi", "1.", "٣", "1" * 13])
def test_what_is_no_quantity_is_not_read(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        amount(text)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        ("8", Dimension.CPU, "8"),
        ("100", Dimension.CPU, "100"),
        ("0.25", Dimension.CPU, "0.25"),
        ("0.001", Dimension.CPU, "0.01"),
        ("50", Dimension.PODS, "50"),
        ("17179869184", Dimension.MEMORY, "16Gi"),
        ("1610612736", Dimension.MEMORY, "1.5Gi"),
        ("536870912", Dimension.MEMORY, "512Mi"),
        ("0", Dimension.MEMORY, "0Mi"),
    ],
)
def test_amounts_are_written_as_in_a_stack_file(value: str, dimension: Dimension, text: str) -> None:
    assert quota_checks.written(Decimal(value), dimension) == text


def pool(
    capacity: Mapping[str, object], *tenants: Mapping[str, object], overcommit: float = 1
) -> list[Problem]:
    sections = {
        "pools": {"default": {"capacity": capacity, "overcommit": overcommit}},
        "computeClusters": {"a": CLUSTER},
        "tenants": {f"t{place}": {"cluster": "a", **tenant} for place, tenant in enumerate(tenants)},
    }
    return list(quota_checks.check(sections))


def test_quotas_may_reach_the_capacity_and_not_go_beyond() -> None:
    assert pool({"cpu": "16", "memory": "32Gi", "pods": 100}, {}, {}) == []
    assert [one.key for one in pool({"cpu": "15999m", "memory": "32Gi", "pods": 99}, {}, {})] == [
        "pipeline-service:pools.default.capacity.cpu",
        "pipeline-service:pools.default.capacity.pods",
    ]


def test_a_quota_counts_once_for_each_namespace() -> None:
    tenant = {"quota": {"cpu": "3"}, "namespaces": ["ci", "cd"]}
    assert pool({"cpu": "6"}, tenant) == []
    assert len(pool({"cpu": "5"}, tenant)) == 1


def test_overcommit_multiplies_the_capacity() -> None:
    assert pool({"cpu": "10"}, {}, {}, overcommit=1.6) == []
    [problem] = pool({"cpu": "10"}, {}, {}, overcommit=1.5)
    assert problem.mend.endswith("overcommit: 1.6")


def test_a_capacity_of_nothing_is_a_limit_that_no_overcommit_lifts() -> None:
    [problem] = pool({"cpu": "0"}, {})
    assert "overcommit" not in problem.mend
    [problem] = pool({"cpu": "79m"}, {})
    assert "overcommit" not in problem.mend
    [problem] = pool({"cpu": "80m"}, {})
    assert problem.mend.endswith("overcommit: 100")


def test_what_lies_on_a_cluster_that_is_gone_is_promised_no_more() -> None:
    sections = {
        "pools": {"default": {"capacity": {"cpu": "10"}}},
        "computeClusters": {"a": CLUSTER, "b": {**CLUSTER, "state": "gone"}},
        "tenants": {name: {"cluster": name} for name in ("a", "b")},
    }
    assert quota_checks.demands(sections)["default"][Dimension.CPU] == {"a": Decimal(8)}
    assert list(quota_checks.check(sections)) == []


def test_the_same_reference_is_named_whatever_the_order_of_the_file() -> None:
    clusters = {name: {"kubeconfig": {"secret": "key"}} for name in ("west", "east", "north")}
    for order in (clusters, dict(reversed(clusters.items()))):
        values = {"computeClusters": order, "kcp": {"kubeconfig": {"secret": "key"}}}
        assert references(values) == {"key": "pipeline-service:computeClusters.east.kubeconfig.secret"}


def test_the_biggest_tenants_of_a_pool_are_named_first() -> None:
    sizes = ("1", "4", "2", "8", "500m")
    [problem] = pool({"cpu": "10"}, *({"quota": {"cpu": size}} for size in sizes))
    assert "add up to 15.5 (t3 8, t1 4, t2 2 and 2 more)" in problem.why


def test_an_entry_that_is_wrong_elsewhere_still_counts() -> None:
    [problem] = pool({"cpu": "10"}, {"quota": {"cpu": "16", "pods": "many"}, "unknown": 1})
    assert "add up to 16" in problem.why


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/Team/App",
        "https://GIT.example.com/team/app/",
        "https://git.example.com/team/app.git",
        "HTTPS://git.example.com/team/app.git/",
        "https://git.example.com:443/team/app",
    ],
)
def test_the_ways_to_write_a_repository_are_one_repository(url: str) -> None:
    assert repository_identity(url) == "git.example.com/team/app"


def test_the_path_of_a_tenant_is_its_own_or_the_owners() -> None:
    settings = EnvironmentSettings.model_validate(
        {
            "kcp": {**KCP, "parent": "root:org"},
            "computeClusters": {"a": CLUSTER},
            "tenants": {
                "one": {"cluster": "a"},
                "two": {"cluster": "a", "workspace": "second"},
                "three": {
                    "cluster": "a",
                    "external": {"path": "root:theirs:three", "binders": {"users": ["carol"]}},
                },
            },
        }
    )
    assert {name: settings.tenant_path(name) for name in settings.tenants} == {
        "one": "root:org:pipeline-service:tenants:one",
        "two": "root:org:pipeline-service:tenants:second",
        "three": "root:theirs:three",
    }


def test_what_is_not_given_gets_no_notice() -> None:
    settings = EnvironmentSettings.model_validate({"kcp": KCP, "argocd": {}, "gateway": {"replicas": 2}})
    assert notices(settings) == []


def test_each_part_that_is_given_and_not_there_yet_gets_a_notice() -> None:
    settings = EnvironmentSettings.model_validate(
        {
            "kcp": KCP,
            "computeClusters": {"a": CLUSTER},
            "tenants": {"t": {"cluster": "a", "repositories": ["https://git.example.com/team/app"]}},
            "tekton": {"defaultTimeoutMinutes": 30},
            "argocd": {"enabled": True},
            "gateway": {"host": "events.example.com"},
            "gitops": {"repository": "https://git.example.com/team/clusters"},
            "imageRepository": {"mirrors": {"ghcr.io": "registry.example.com"}},
            "monitoring": {"enabled": True},
            "syncer": {"replicas": 2},
            "pools": {"gpu": {}},
        }
    )
    assert [line.partition(": ")[0] for line in notices(settings)] == [
        f"pipeline-service:{key}"
        for key in (
            "monitoring",
            "tenants.*.repositories",
        )
    ]


KUBECONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "https://host"}}],
    "contexts": [],
    "users": [{"name": "u", "user": {"token": "made-up"}}],
}


@pytest.mark.parametrize(
    "value",
    [
        KUBECONFIG,
        yaml.safe_dump(KUBECONFIG),
        yaml.safe_dump(KUBECONFIG, default_flow_style=True),
        '{"users":[{"name":"u","user":{"client-key-data":"x"}}]}',
        "-----BEGIN EC PRIVATE KEY-----\nMHc=\n",
        "https://bot:hunter2@git.example.com/team/app",
        "postgres://:hunter2@db",
        "ghp_" + "a" * 36,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2ln",
        {"auths": {"registry.example.com": {"auth": "x"}}},
        '{"auths": {}}',
        "postgres://u:p#hunter2@db",
    ],
)
def test_what_looks_like_a_credential_is_not_shown(value: object) -> None:
    assert looks_secret(value)
    assert shown(value) == "what looks like a credential"


@pytest.mark.parametrize(
    "value",
    [
        "https://git.example.com:8443/team/app",
        "registry.example.com:5000/mirror",
        "users of the gpu pool: ask for a token",
        "For GPU users: ask for a token: see wiki",
        "users: ask for a token: see wiki",
        "https://dex.example.com:5556#alice@example.com",
        {"auths": {"cluster": "east-1", "access": {"admins": {"users": ["alice"]}}}},
        {name: {"cluster": "east-1"} for name in ("users", "clusters", "contexts")},
        {"users": ["alice"], "groups": ["team-a"]},
        {"clusters": ["east-1"]},
        "-----BEGIN CERTIFICATE-----",
        8,
        None,
    ],
)
def test_plain_settings_dont_look_like_credentials(value: object) -> None:
    assert not looks_secret(value)


def tenant(**more: object) -> TenantSettings:
    return TenantSettings.model_validate({"cluster": "a", **more})


EXPORTED = {"export": "0" * 64}


@pytest.mark.parametrize(
    ("given", "inactive", "stopped"),
    [
        ({}, False, False),
        ({"onSuspension": "stop"}, False, False),
        ({"suspended": True}, True, False),
        ({"suspended": True, "onSuspension": "stop"}, True, True),
        ({"retired": EXPORTED}, True, True),
        ({"retired": EXPORTED, "suspended": False, "onSuspension": "finish"}, True, True),
    ],
)
def test_a_retired_tenant_is_suspended_and_stopped_whatever_else_its_entry_says(
    given: Mapping[str, object], *, inactive: bool, stopped: bool
) -> None:
    settings = tenant(**given)
    assert (settings.inactive, settings.stopped) == (inactive, stopped)


@pytest.mark.parametrize(("stored", "kept"), [(500, 100), (200, 100), (120, 60), (3, 1), (2, 1), (1, 0)])
def test_finished_runs_never_take_the_room_of_new_ones(stored: int, kept: int) -> None:
    assert tenant(quota={"pipelineRuns": stored}).kept_runs == kept


def test_an_external_tenants_kept_runs_are_held_to_no_quota_of_stored_ones() -> None:
    external = {"path": "root:org:team", "binders": {"users": ["erin"]}}
    assert tenant(external=external, retention={"runs": 150}).kept_runs == 150


def sections(model: type[Section] = Section) -> Iterator[type[Section]]:
    for one in model.__subclasses__():
        yield one
        yield from sections(one)


@pytest.mark.parametrize("model", sorted(set(sections()), key=str))
def test_every_flag_takes_true_and_false_alone(model: type[Section]) -> None:
    # What the checks compare with `is True` is what stands in the stack file.
    lax = [
        name
        for name, field in model.model_fields.items()
        if field.annotation is bool and Strict(strict=True) not in field.metadata
    ]
    assert lax == []


@pytest.mark.parametrize("text", ["true", "false"])
def test_a_flag_at_the_top_may_be_the_text_that_pulumi_writes(text: str) -> None:
    values = {"kcp": KCP, "deletionProtection": text}
    assert EnvironmentSettings.model_validate(values).deletion_protection is (text == "true")
