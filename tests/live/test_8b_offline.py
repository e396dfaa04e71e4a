"""A cluster that reaches one registry alone, which asks for a password and has an authority of its own.

The registry is filled from a bundle, which also holds the manifests. No image is imported into the cluster's
node: what runs there was pulled from that registry, by the mirrors, digests and pull secret of the stack.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from components.names import tenant_namespace
from local.images import BUSYBOX_IMAGE
from local.processes import owned, wait_until
from releases.catalog import PYTHON_IMAGE
from tests.support.checkout import Checkout
from tests.support.live import TENANT_WORKSPACE
from tests.support.on_demand import ON_DEMAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

# The first test brings the whole site up.
pytestmark = [ON_DEMAND, pytest.mark.timeout(2400)]

HOME = tenant_namespace(TENANT_WORKSPACE, "default")
SOURCES = ("cgr.dev", "docker.io", "ghcr.io", "mcr.microsoft.com")
WINDOWS_REGISTRY = "mcr.microsoft.com"
WINDOWS = f"--without={WINDOWS_REGISTRY}"
"""Tekton's image for Windows, which no pod uses."""


class Site(Checkout):
    """A checkout whose environment pulls all images."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, {"IMAGES": "registry"})
        self.configure(lambda config: config["pipeline-service:computeClusters"].pop("local-b"))

    def set(self, section: str, value: Mapping[str, Any]) -> None:
        self.configure(lambda config: config.update({f"pipeline-service:{section}": value}))

    def operations(self, *arguments: str, check: bool = True) -> str:
        return self.run(sys.executable, "-m", "operations", *arguments, check=check)

    def access(self, address: str) -> tuple[str, str]:
        """Give the options by which skopeo, and what runs it, gets into the registry."""
        registry = self.layout.registry
        return f"--authfile={registry / 'config.json'}", f"--cert-dir={registry / 'certs.d' / address}"

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run("kubectl", "--context=local-a", *arguments, stdin=stdin)

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.kubectl("get", *arguments, "--output=json"))["items"]
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str]]:
    made = Site(tmp_path_factory.mktemp("offline"))
    try:
        made.local("up", "--without-stack")
        made.use_shell()
        credentials = made.layout.registry / "config.json"
        [address] = json.loads(credentials.read_text())["auths"]
        bundle = carry_over(made, address)
        mirrors = {source: f"{address}/{source}" for source in SOURCES}
        section: dict[str, Any] = {
            "mirrors": mirrors,
            "allowedRegistries": [address],
            "certificateAuthority": {"path": ".local/registry/pki/ca.crt"},
            "offline": True,
        }
        made.set("releases", {"bundle": bundle})
        made.set("imageRepository", section)
        made.operations(
            "images", "lock", "--stack=dev", WINDOWS, "--out=images.lock.yaml", *made.access(address)
        )
        section |= {
            "digests": {"path": "images.lock.yaml"},
            "pullSecret": {"secret": "registryCredentials"},
        }
        made.set("imageRepository", section)
        made.run("pulumi", "config", "set", "--secret", "registryCredentials", stdin=credentials.read_text())
        made.local("up")
        yield made, address
    finally:
        down = made.local("down")
    assert owned(made.layout.identity) == {}, down
    assert not made.layout.local.exists()


def carry_over(made: Site, address: str) -> str:
    """Fill an empty registry from a bundle, by the steps of docs/images.md; give the bundle's file.

    The registry that the images are saved from is the same one, before it is emptied.
    """
    listed = "listed.tar.gz"
    made.operations("releases", "bundle", "--stack=dev", f"--out={listed}")
    with tarfile.open(made.folder / listed) as archive:
        content = archive.extractfile("images.txt")
        assert content is not None
        images = [name for name in content.read().decode().split() if not name.startswith(WINDOWS_REGISTRY)]
    saved = made.folder / "saved"
    saved.mkdir()
    authfile, certificates = made.access(address)
    copy = ("skopeo", "--insecure-policy", "copy", authfile, f"--src-{certificates[2:]}")
    for number, image in enumerate(images):
        made.run(*copy, f"docker://{address}/{image}", f"oci-archive:{saved / str(number)}.tar:{image}")
    bundle = "bundle.tar.gz"
    made.operations("releases", "bundle", "--stack=dev", f"--images={saved}", WINDOWS, f"--out={bundle}")

    shutil.rmtree(made.layout.registry / "data" / "docker")
    shutil.rmtree(saved)
    lock = ("images", "lock", "--stack=dev", WINDOWS, "--out=none.yaml", *made.access(address))
    made.set("imageRepository", {"mirrors": {source: f"{address}/{source}" for source in SOURCES}})
    assert "manifest unknown" in made.operations(*lock, check=False), "the registry is not empty"

    # Of the lock it can say nothing here: what the environment builds itself is not what was published.
    assert "bundle's index" not in made.operations("releases", "verify", bundle, check=False)
    made.operations("images", "push", f"--from={bundle}", f"--to={address}", *made.access(address))
    return bundle


def test_the_demo_runs_and_all_that_runs_is_of_the_registry_and_pinned(site: tuple[Site, str]) -> None:
    made, address = site
    assert "Succeeded" in made.local("demo")
    pods = made.objects("pods", "--all-namespaces")
    images = {
        container["image"]
        for pod in pods
        for container in (*pod["spec"]["containers"], *pod["spec"].get("initContainers", ()))
    }
    assert len(images) > 5
    assert {image for image in images if not image.startswith(f"{address}/")} == set()
    # But for the node's own, and what the tenant names.
    by_tag = {image for image in images if "@sha256:" not in image}
    assert {image.removeprefix(f"{address}/").partition(":")[0] for image in by_tag} == {
        "registry.k8s.io/coredns/coredns",
        BUSYBOX_IMAGE.partition(":")[0],
    }


def test_a_tenants_pod_from_elsewhere_is_refused_and_tekton_says_why(site: tuple[Site, str]) -> None:
    made, address = site
    assert run_to_its_end(made, "elsewhere", {"image": BUSYBOX_IMAGE, "script": "true"}) == (
        "PodCreationFailed",
        f"image {BUSYBOX_IMAGE} may not be used here; allowed are images of {address}",
    )


def test_tekton_asks_the_registry_what_an_image_starts(site: tuple[Site, str]) -> None:
    made, address = site
    # Without a command, Tekton has to look into the image: with the authority and the pull secret.
    step = {"image": f"{address}/{BUSYBOX_IMAGE}", "args": ["-c", "true"]}
    assert run_to_its_end(made, "lookup", step)[0] == "Succeeded"


def run_to_its_end(made: Site, name: str, step: dict[str, Any]) -> tuple[str, str]:
    """Run a task of one step; give the reason of its end, and the part of its message on images."""
    spec = {"serviceAccountName": "pipeline", "taskSpec": {"steps": [{"name": "a", **step}]}}
    run = {"apiVersion": "tekton.dev/v1", "kind": "TaskRun", "metadata": {"name": name}, "spec": spec}
    made.kubectl("create", f"--namespace={HOME}", "--filename=-", stdin=json.dumps(run))

    def condition() -> dict[str, Any]:
        [found] = [one for one in made.objects("taskruns", f"--namespace={HOME}") if named(one) == name]
        return next(iter(found.get("status", {}).get("conditions", ())), {})

    assert wait_until(lambda: condition().get("status") in {"True", "False"}, seconds=120), condition()
    message = condition()["message"].partition("denied request: ")[2].partition(". Maybe")[0]
    return condition()["reason"], message


def named(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["name"])


def test_without_the_pull_secret_nothing_is_pulled(site: tuple[Site, str]) -> None:
    made, address = site
    # Nobody else has pulled it here: retention's job runs every ten minutes, with the digest in its name.
    image = f"{address}/{PYTHON_IMAGE}"
    pod = {"containers": [{"name": "a", "image": image, "imagePullPolicy": "Always", "command": ["true"]}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger"}, "spec": pod}
    made.kubectl("create", "--namespace=default", "--filename=-", stdin=json.dumps(body))

    def refused() -> bool:
        [found] = [one for one in made.objects("pods", "--namespace=default") if named(one) == "stranger"]
        return "401 Unauthorized" in json.dumps(found.get("status", {}))

    assert wait_until(refused, seconds=60)


def test_a_preview_is_unchanged_and_shows_no_password(site: tuple[Site, str]) -> None:
    made, _ = site
    [entry] = json.loads((made.layout.registry / "config.json").read_text())["auths"].values()
    preview = made.run("pulumi", "preview", "--non-interactive", "--color=never", "--diff")
    assert re.search(r"Resources:\s+\d+ unchanged\s*$", preview), preview
    plain = made.run("pulumi", "stack", "export") + preview
    assert entry["auth"] not in plain
