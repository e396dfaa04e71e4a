"""Certificates are kept while they fit and made anew when they don't."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from local.pki import Authority, Identity, kubeconfig


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_second_look_keeps_authority_and_certificates(tmp_path: Path) -> None:
    identity = Identity(common_name="alice")
    first = Authority(tmp_path / "pki").issue("alice", identity)
    serial = certificate(first.certificate).serial_number
    again = Authority(tmp_path / "pki").issue("alice", identity)
    assert certificate(again.certificate).serial_number == serial


def test_a_changed_identity_gets_a_new_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    before = certificate(authority.issue("alice", Identity(common_name="alice")).certificate)
    after = certificate(
        authority.issue("alice", Identity(common_name="alice", groups=("leads",))).certificate
    )
    assert before.serial_number != after.serial_number
    assert [a.value for a in after.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["leads"]


def test_certificates_of_a_lost_authority_are_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    identity = Identity(common_name="alice")
    old = certificate(Authority(folder).issue("alice", identity).certificate)
    (folder / "ca.key").unlink()
    new = certificate(Authority(folder).issue("alice", identity).certificate)
    assert new.serial_number != old.serial_number


def test_private_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.issue("alice", Identity(common_name="alice"))
    authority.signing_key("tokens")
    keys = list((tmp_path / "pki").glob("*.key"))
    assert len(keys) == 3
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_a_client_certificate_can_not_pose_as_a_server(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "pki").issue("alice", Identity(common_name="alice"))
    usage = certificate(pair.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH not in usage


def test_a_server_is_known_by_its_names_and_addresses(tmp_path: Path) -> None:
    identity = Identity(common_name="api", names=("10.0.0.1", "kubernetes.default"))
    pair = Authority(tmp_path / "pki").issue("api", identity)
    names = (
        certificate(pair.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1"]


def test_a_kubeconfig_holds_all_it_needs(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    pair = authority.issue("alice", Identity(common_name="alice"))
    ca = authority.pair.certificate.read_bytes()
    document = yaml.safe_load(
        kubeconfig(server="https://10.0.0.1:6443", authority=ca, user="alice", credential=pair.credential)
    )
    assert document["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:6443"
    user = document["users"][0]["user"]
    files = tmp_path / "chain.pem"
    files.write_bytes(
        base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"])
    )
    ssl.create_default_context().load_cert_chain(files)
