from __future__ import annotations

import base64
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest

from local.plugins.kubernetes.kubeconfig import connect, parse_kubeconfig
from local.plugins.kubernetes.settings import Settings, check_settings, replacing_settings
from local.plugins.protocol.errors import ProviderError, UnsupportedError
from local.plugins.protocol.values import UNKNOWN, Secret
from tests.support.apiserver import Authority, render_kubeconfig

if TYPE_CHECKING:
    from pathlib import Path

SERVER = "https://127.0.0.1:6443"


def document(
    server: str = SERVER, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team-a"}},
            {"name": "two", "context": {"cluster": "missing", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {"token": "t"}}],
    }


def test_kubeconfig_is_read_from_text_and_from_a_file(tmp_path: Path) -> None:
    text = json.dumps(document())
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    for given in (text, str(path)):
        connection = connect(parse_kubeconfig(given))
        assert connection.server == SERVER
        assert connection.token == "t"
        assert connection.namespace == "team-a"


def test_certificates_are_loaded_from_data_and_from_files_beside_the_kubeconfig(tmp_path: Path) -> None:
    authority = Authority()
    certificate, key = authority.issue("alice")
    inline = connect(parse_kubeconfig(render_kubeconfig(SERVER, authority.pem, certificate, key)))
    for name, content in (("ca.crt", authority.pem), ("alice.crt", certificate), ("alice.key", key)):
        (tmp_path / name).write_bytes(content)
    user = {"client-certificate": "alice.crt", "client-key": "alice.key"}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(document(user=user, cluster={"certificate-authority": "ca.crt"})))
    for connection in (inline, connect(parse_kubeconfig(str(path)))):
        assert connection.tls is not None
        assert connection.tls.verify_mode == ssl.CERT_REQUIRED
        assert "test-authority" in str(connection.tls.get_ca_certs())


def test_a_wrong_key_is_an_error_and_is_not_quoted() -> None:
    authority = Authority()
    certificate, _ = authority.issue("alice")
    _, other_key = authority.issue("bob")
    with pytest.raises(ProviderError, match="certificates cannot be used") as caught:
        connect(parse_kubeconfig(render_kubeconfig(SERVER, authority.pem, certificate, other_key)))
    assert base64.b64encode(other_key).decode()[:20] not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("/no/such/kubeconfig", "there is no such file"),
        ("just-a-word", "no such file"),
        ("- a\n- list: [\n", "not YAML"),
        ("[1, 2]\n", "not a mapping"),
        ("clusters: 5\n", "clusters is not a list"),
        ("clusters: [{cluster: {}}]\n", "clusters is not a list of entries with a name"),
    ],
)
def test_what_is_no_kubeconfig_is_refused_with_the_reason(given: str, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        parse_kubeconfig(given)


def test_broken_kubeconfig_is_not_quoted() -> None:
    with pytest.raises(ProviderError) as caught:
        parse_kubeconfig("users:\n- user: {token: swordfish-token\n  x: [\n")
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "context", "message"),
    [
        (document(), "three", "no context 'three': it has one, two"),
        (document(), "two", "names no cluster with a server"),
        (document(server=""), "", "names no cluster with a server"),
        ({**document(), "users": []}, "", "names user 'u'"),
        (
            document(cluster={"certificate-authority-data": "%%%"}),
            "",
            "certificate-authority-data is not base64",
        ),
        (document(cluster={"certificate-authority": "/no/ca"}), "", "certificate-authority cannot be read"),
    ],
)
def test_incomplete_kubeconfig_is_refused_with_the_reason(
    config: dict[str, Any], context: str, message: str
) -> None:
    with pytest.raises(ProviderError, match=message):
        connect(parse_kubeconfig(json.dumps(config)), context=context)


@pytest.mark.parametrize("plugin", ["exec", "auth-provider"])
def test_credential_plugins_are_refused_by_name(plugin: str) -> None:
    with pytest.raises(UnsupportedError, match=plugin):
        connect(parse_kubeconfig(json.dumps(document(user={plugin: {"command": "x"}}))))


def variables(**config: str) -> dict[str, str]:
    return {f"kubernetes:config:{key}": value for key, value in config.items()}


def test_flags_come_from_the_configuration_before_the_environment() -> None:
    environment = {"PULUMI_K8S_DELETE_UNREACHABLE": "true", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE": "true"}
    settings = Settings.from_variables(variables(deleteUnreachable="false"), environment)
    assert settings.delete_unreachable is False
    assert settings.skip_update_unreachable is True
    assert Settings.from_variables({}, {}) == Settings()


def test_client_side_apply_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="enableServerSideApply"):
        Settings.from_variables(variables(enableServerSideApply="false"), {})


@pytest.mark.parametrize(
    ("inputs", "failing"),
    [
        ({"kubeconfig": json.dumps(document()), "clusterIdentifier": "a"}, set()),
        ({"kubeconfig": Secret(json.dumps(document()))}, set()),
        ({"kubeconfig": UNKNOWN}, set()),
        ({"kubeconfig": "/no/such/kubeconfig"}, {"kubeconfig"}),
        ({"renderYamlToDirectory": "out"}, {"renderYamlToDirectory"}),
        ({"renderYamlToDirectory": ""}, set()),
        ({"kubeConfig": "x"}, {"kubeConfig"}),
    ],
)
def test_provider_inputs_that_are_wrong_are_named(inputs: dict[str, Any], failing: set[str]) -> None:
    assert set(check_settings(inputs)) == failing


def moved(server: str) -> dict[str, Any]:
    return {"kubeconfig": json.dumps(document(server=server))}


@pytest.mark.parametrize(
    ("old", "new", "replacing"),
    [
        (moved("https://a"), moved("https://b"), ["kubeconfig"]),
        (moved("https://a"), {"kubeconfig": json.dumps(document("https://a", {"token": "new"}))}, []),
        (
            {**moved("https://a"), "clusterIdentifier": "x"},
            {**moved("https://b"), "clusterIdentifier": "x"},
            [],
        ),
        (
            {**moved("https://a"), "clusterIdentifier": "x"},
            {**moved("https://a"), "clusterIdentifier": "y"},
            ["clusterIdentifier"],
        ),
        (moved("https://a"), {**moved("https://a"), "clusterIdentifier": "y"}, []),
        (moved("https://a"), {"kubeconfig": UNKNOWN}, ["kubeconfig"]),
        (
            {**moved("https://a"), "clusterIdentifier": "x"},
            {"kubeconfig": UNKNOWN, "clusterIdentifier": "x"},
            [],
        ),
    ],
)
def test_only_another_cluster_replaces_what_a_provider_manages(
    old: dict[str, Any], new: dict[str, Any], replacing: list[str]
) -> None:
    changed, found = replacing_settings(old, new)
    assert found == replacing
    assert changed
