"""How kcp is started in the embedded environment."""

from pathlib import Path

from local.kcp import Kcp
from local.toolchain.build import Toolchain


def test_users_tokens_are_known_where_there_are_some_and_a_change_starts_it_anew(tmp_path: Path) -> None:
    kcp = Kcp(
        owner="o",
        folder=tmp_path,
        address="127.0.0.1",
        host=None,
        toolchain=Toolchain(folders={"kcp": tmp_path}),
        port=6443,
        etcd_ports=(1, 2),
    )
    without = kcp.daemon()
    assert not [one for one in without.command if one.startswith("--token")]
    kcp.tokens.write_text("secret,alice,alice\n")
    first = kcp.daemon()
    assert f"--token-auth-file={kcp.tokens}" in first.command
    digest = first.digest
    kcp.tokens.write_text("another,alice,alice\n")
    assert len({without.digest, digest, kcp.daemon().digest}) == 3
