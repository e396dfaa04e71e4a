"""A PostgreSQL on this machine, from the files of the embedded clusters' image, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from local.busybox import static_busybox
from local.image_parts import Sources
from local.layout import default_layout
from local.packages import unpacked
from local.postgresql import postgresql_image
from tests.support.postgresql import OWNER, SECRETS, script

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.oci import ImageSpec
    from local.pki import KeyPair

_USER = 65534
_START_SECONDS = 120
_READY = "database system is ready to accept connections"


def _lay_out(image: ImageSpec, root: Path) -> None:
    for path in image.directories:
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, file in image.files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.source, bytes):
            target.write_bytes(file.source)
        else:
            shutil.copyfile(file.source, target)
        target.chmod(file.mode)
    for path, link in image.symlinks.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(link)


@contextmanager
def postgresql_here(root: Path, password: str, tls: KeyPair, port: int) -> Iterator[None]:
    """Run it on loopback until the block ends; needs root, as it may not run as root itself."""

    def packages(name: str) -> list[Path]:
        return unpacked(name, default_layout().packages)

    sources = Sources(program=lambda _, name: Path(name), packages=packages, busybox=static_busybox(packages))
    _lay_out(postgresql_image(sources), root)
    for name, text in (
        ("password", password),
        ("tls.crt", tls.certificate.read_text()),
        ("tls.key", tls.key.read_text()),
    ):
        file = root / SECRETS.lstrip("/") / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        os.chown(file, 0, _USER)
        file.chmod(0o440)
    (root / "data").mkdir()
    os.chown(root / "data", _USER, _USER)
    (root / "dev" / "shm").mkdir(parents=True)
    (root / "dev" / "shm").chmod(0o1777)
    os.mknod(root / "dev" / "null", 0o666 | 0o020000, os.makedev(1, 3))
    os.mknod(root / "dev" / "urandom", 0o666 | 0o020000, os.makedev(1, 9))
    for device in ("null", "urandom"):
        (root / "dev" / device).chmod(0o666)
    log = root / "log"
    command = ["chroot", f"--userspec={_USER}:{_USER}", str(root), "/bin/sh", "-c", script("127.0.0.1", port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={"OWNER": OWNER, "PATH": os.environ["PATH"]}
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while _READY not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)
