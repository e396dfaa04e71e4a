"""The command line of the releases."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from operations.__main__ import app
from operations.images import images_of
from releases import fetch, lock
from releases.bundle import read_bundle, write_bundle
from releases.catalog import find
from releases.lock import sha256
from stacks.loader import read_stack_file
from tests.support.tekton import config_maps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CRDS = "api-syncagent-crds-v0.7.0"
TEKTON = "tekton-pipelines-v1.6.0"
NEWER = "tekton-pipelines-v1.9.0"
SYNCER_IMAGE = "ghcr.io/kcp-dev/api-syncagent:v0.7.0"
MANIFEST = b"{apiVersion: v1, kind: ConfigMap, metadata: {name: one}}"
INTERRUPTED = 130
PYTHON_IMAGE = "docker.io/library/python:3.11-slim-bookworm"


def pod(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "controller", "namespace": "tekton"},
        "spec": {"containers": [{"image": image, "args": ["-nop-image", f"{image}-nop"]}]},
    }


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a stack of one cluster, a folder of manifests, and a lock of its own."""
    folder = tmp_path / "project"
    (folder / "manifests").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: pipeline-service\nruntime: python\n")
    (folder / "Pulumi.dev.yaml").write_text("""config:
  pipeline-service:kcp: {kubeconfig: {environment: KCP_KUBECONFIG}}
  pipeline-service:computeClusters: {a: {kubeconfig: {environment: A_KUBECONFIG}}}
  pipeline-service:releases: {directory: manifests}
""")
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "tekton"}}
    for name, objects in (
        (CRDS, [config]),
        (TEKTON, [pod("ghcr.io/tekton:1"), config, *config_maps()]),
        (NEWER, [pod("ghcr.io/tekton:2"), *config_maps()]),
    ):
        (folder / f"manifests/{name}.yaml").write_text(yaml.safe_dump_all(objects))
    monkeypatch.chdir(folder)
    for module in (fetch, lock):
        monkeypatch.setattr(module, "LOCK_FILE", tmp_path / "lock.yaml")
    monkeypatch.setattr(lock.read_lock, "__defaults__", (tmp_path / "lock.yaml",))
    return folder


def run(*arguments: str, exit_code: int = 0) -> str:
    result = CliRunner().invoke(app, ["releases", *arguments])
    assert result.exit_code == exit_code, result.output
    return result.output


def write_lock(tmp_path: Path, **digests: str) -> None:
    (tmp_path / "lock.yaml").write_text(yaml.safe_dump(digests))


def test_a_bundle_holds_what_the_stacks_clusters_get_and_all_images_that_need(project: Path) -> None:
    text = run("bundle", "--stack", "dev", "--out", "b.tar.gz", "--with", "tekton-pipelines=v1.9.0")
    assert text == "b.tar.gz: 3 manifests, 0 archives of 6 images needed\n"
    made = read_bundle(project / "b.tar.gz")
    assert set(made.manifests) == {f"{name}.yaml" for name in (CRDS, TEKTON, NEWER)}
    assert set(made.images) == {
        SYNCER_IMAGE,
        PYTHON_IMAGE,
        *(f"ghcr.io/tekton:{number}{part}" for number in (1, 2) for part in ("", "-nop")),
    }


def test_a_stack_that_takes_manifests_from_its_bundle_makes_the_same_bundle(project: Path) -> None:
    run("bundle", "--stack", "dev", "--out", "b.tar.gz")
    file = project / "Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("directory: manifests", "bundle: b.tar.gz"))
    (project / f"manifests/{TEKTON}.yaml").unlink()
    run("bundle", "--stack", "dev", "--out", "c.tar.gz")
    assert (project / "c.tar.gz").read_bytes() == (project / "b.tar.gz").read_bytes()


def test_a_bundle_and_a_lock_need_what_is_left_of_a_release_and_nothing_else(project: Path) -> None:
    maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"argocd-{name}"}, "data": {}}
        for name in ("cm", "rbac-cm", "cmd-params-cm", "tls-certs-cm")
    ]
    workloads = [
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": f"argocd-{name}"},
            "spec": {"template": {"metadata": {}, "spec": pod(f"ghcr.io/argocd-{name}:1")["spec"]}},
        }
        for kind, name in (
            ("StatefulSet", "application-controller"),
            ("Deployment", "server"),
            ("Deployment", "repo-server"),
            ("Deployment", "dex-server"),
        )
    ]
    version = find("argo-cd").version
    file = project / f"manifests/argo-cd-{version}.yaml"
    file.write_text(yaml.safe_dump_all([*maps, *workloads]))
    stack = project / "Pulumi.dev.yaml"
    stack.write_text(f"{stack.read_text()}  pipeline-service:argocd: {{enabled: true}}\n")
    run("bundle", "--stack", "dev", "--out", "b.tar.gz")
    made = read_bundle(project / "b.tar.gz").images
    assert "ghcr.io/argocd-server:1" in made
    assert [image for image in made if "dex" in image] == []
    settings = read_stack_file(stack)
    assert list(made) == images_of(settings, project, "dev")


def archive(path: Path, *images: str) -> None:
    """Write the archive of images, as containerd does."""
    index = {"manifests": [{"annotations": {"io.containerd.image.name": image}} for image in images]}
    content = json.dumps(index).encode()
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as made:
        info = tarfile.TarInfo("index.json")
        info.size = len(content)
        made.addfile(info, io.BytesIO(content))


def test_a_bundle_takes_the_archives_of_its_images_and_no_others(project: Path) -> None:
    images = project / "images"
    archive(images / "agent.tar", SYNCER_IMAGE)
    archive(images / "python.tar", PYTHON_IMAGE.removeprefix("docker.io/library/"))
    archive(images / "tekton.tar", "ghcr.io/tekton:1")
    archive(images / "other.tar", "ghcr.io/other:1")
    text = run("bundle", "--stack", "dev", "--out", "b.tar.gz", "--images", "images", exit_code=1)
    assert "images has no archive of ghcr.io/tekton:1-nop; put them there, or name by --without" in text
    assert not (project / "b.tar.gz").exists()
    run(
        "bundle",
        "--stack",
        "dev",
        "--out",
        "b.tar.gz",
        "--images",
        "images",
        "--without",
        "ghcr.io/tekton:1-n",
    )
    assert set(read_bundle(project / "b.tar.gz").archives) == {"agent.tar", "python.tar", "tekton.tar"}


@pytest.mark.parametrize("signalled", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_bundle_that_is_interrupted_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, signalled: signal.Signals
) -> None:
    found: list[str] = []

    def interrupted(*_: object, **__: object) -> None:
        found.extend(one.name for one in project.glob(".b.tar.gz.*"))
        os.kill(os.getpid(), signalled)

    before = signal.getsignal(signalled)
    monkeypatch.setattr("tarfile.TarFile.addfile", interrupted)
    run("bundle", "--stack", "dev", "--out", "b.tar.gz", exit_code=INTERRUPTED)
    assert found
    assert not [*project.glob("*b.tar.gz*")]
    assert signal.getsignal(signalled) == before


def test_a_bundle_takes_no_archive_that_could_not_be_pushed(project: Path) -> None:
    archive(project / "images/own.tar", SYNCER_IMAGE, PYTHON_IMAGE)
    text = run("bundle", "--stack", "dev", "--out", "b.tar.gz", "--images", "images", exit_code=1)
    assert "own.tar holds 2 images, and is to hold one; make it by: skopeo copy" in text
    assert not (project / "b.tar.gz").exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--stack", "dev", "--out", "b.zip"), "a bundle's name ends in .tar.gz"),
        (("--stack", "dev", "--out", "b.tar.gz", "--with", "tekton-pipelines"), "write NAME=VERSION"),
        (("--stack", "dev", "--out", "b.tar.gz", "--with", "argo-cd=v0"), "argo-cd v0 is not supported"),
        (("--stack", "none", "--out", "b.tar.gz"), "there is no such file"),
        (("--stack", "dev", "--out", "dir.tar.gz"), "--out dir.tar.gz: it is a folder; name a file in it"),
        (("--stack", "dev", "--out", "Pulumi.yaml/b.tar.gz"), "Pulumi.yaml: it can't be read or written (F"),
        (("--stack", "dev", "--out", "/proc/b.tar.gz"), "it can't be read or written (No such file or dir"),
        (("--stack", "dev", "--out", "b.tar.gz", "--images", "none"), "none is not a folder"),
        (
            ("--stack", "dev", "--out", "b.tar.gz", "--images", "none", "--without", ""),
            '--without "": every name begins so; give the beginning of those to leave out',
        ),
    ],
)
def test_a_bundle_that_cant_be_made_is_told_and_nothing_is_written(
    project: Path, arguments: tuple[str, ...], why: str
) -> None:
    (project / "dir.tar.gz").mkdir()
    assert why in run("bundle", *arguments, exit_code=1)
    assert not [*project.glob("b.*")]


def test_what_differs_from_the_lock_is_named_and_ends_with_3(project: Path, tmp_path: Path) -> None:
    content = (project / f"manifests/{TEKTON}.yaml").read_bytes()
    write_lock(tmp_path, **{TEKTON: sha256(content)})
    text = run("verify", "manifests", exit_code=4)
    assert f"{TEKTON}.yaml: as locked" in text
    assert f"{CRDS}.yaml: not in the lock" in text
    run("bundle", "--stack", "dev", "--out", "b.tar.gz")
    assert f"{TEKTON}.yaml: as locked" in run("verify", "b.tar.gz", exit_code=4)

    (project / f"manifests/{TEKTON}.yaml").write_bytes(content + b"# tampered\n")
    assert f"{TEKTON}.yaml: differs: it has sha256" in run("verify", "manifests", exit_code=3)
    run("bundle", "--stack", "dev", "--out", "b.tar.gz")
    assert f"{TEKTON}.yaml: differs: it has sha256" in run("verify", "b.tar.gz", exit_code=3)


def test_a_bundle_that_is_not_whole_ends_with_3_and_one_that_is_not_there_with_1(project: Path) -> None:
    run("bundle", "--stack", "dev", "--out", "b.tar.gz")
    content = (project / "b.tar.gz").read_bytes()
    for broken in (b"", b"no archive", content[: len(content) // 2]):
        (project / "b.tar.gz").write_bytes(broken)
        assert "b.tar.gz is not a whole bundle" in run("verify", "b.tar.gz", exit_code=3)
        assert "b.tar.gz is not a whole bundle" in run("diff", "b.tar.gz", "b.tar.gz", exit_code=1)
    (project / "b.tar.gz").unlink()
    assert "verify: b.tar.gz is not there; correct" in run("verify", "b.tar.gz", exit_code=1)
    assert "verify: none is not there; correct" in run("verify", "none", exit_code=1)


def test_a_place_without_a_manifest_is_no_success(project: Path) -> None:
    assert "nothing was fetched from URLs here yet" in run("verify", exit_code=1)
    (project / "empty").mkdir()
    assert "holds no release's manifest" in run("verify", "empty", exit_code=1)


def test_locking_fetches_every_supported_version_and_tells_what_it_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path
) -> None:
    asked = []

    def download(url: str) -> bytes:
        asked.append(url)
        if "v1.9.0" in url:
            raise OSError("no network")
        return MANIFEST

    real = fetch.Published

    def published(*, cache: Path, report: Callable[[str], None]) -> fetch.Published:
        return real(cache=cache, lock_file=tmp_path / "lock.yaml", report=report, download=download)

    monkeypatch.setattr("operations.releases_commands.Published", published)
    text = run("lock", "tekton-pipelines", exit_code=1)
    assert f"tekton-pipelines v1.6.0: recorded sha256 {sha256(MANIFEST)}; commit releases/lock.yaml" in text
    assert "tekton-pipelines v1.9.0 can't be fetched" in text
    assert yaml.safe_load((tmp_path / "lock.yaml").read_text()) == {TEKTON: sha256(MANIFEST)}
    assert len(asked) == 2
    assert f"{TEKTON}.yaml: as locked" in run("verify")
    assert "tekton-pipelines v1.6.0: as locked" in run("lock", "tekton-pipelines", exit_code=1)
    (project / f".run/releases/{TEKTON}.yaml").write_text("tampered")
    assert f"{TEKTON}.yaml: differs" in run("verify", exit_code=3)


def test_a_place_that_is_taken_by_something_else_is_told(project: Path) -> None:
    (project / ".run").write_text("a file")
    text = run("bundle", "--stack", "dev", "--out", "b.tar.gz", exit_code=1)
    assert ".run/dev/manifests: it can't be read or written (Not a directory)" in text


@pytest.mark.usefixtures("project")
def test_two_versions_are_compared_as_markdown_and_as_json() -> None:
    text = run("diff", "v1.6.0", "v1.9.0", "--from", "manifests")
    assert text.startswith("### tekton-pipelines: v1.6.0 to v1.9.0\n")
    assert "- ConfigMap tekton/one" in text
    [found] = json.loads(run("diff", "v1.6.0", "v1.9.0", "--from", "manifests", "--json"))["releases"]
    assert found["imagesAdded"] == ["ghcr.io/tekton:2", "ghcr.io/tekton:2-nop"]


def test_files_and_bundles_are_compared_with_each_other_and_with_versions(project: Path) -> None:
    run("bundle", "--stack", "dev", "--out", "old.tar.gz")
    file = project / "Pulumi.dev.yaml"
    file.write_text(
        file.read_text().replace("manifests}", "manifests, versions: {tekton-pipelines: v1.9.0}}")
    )
    run("bundle", "--stack", "dev", "--out", "new.tar.gz")
    titles = [line for line in run("diff", "old.tar.gz", "new.tar.gz").splitlines() if line.startswith("#")]
    assert titles == ["### api-syncagent-crds: v0.7.0 to v0.7.0", "### tekton-pipelines: v1.6.0 to v1.9.0"]
    name = ("--release", "tekton-pipelines")
    expected = run("diff", "old.tar.gz", "new.tar.gz", *name)
    assert run("diff", "old.tar.gz", "v1.9.0", *name, "--from", "new.tar.gz") == expected
    files = run("diff", f"manifests/{TEKTON}.yaml", f"manifests/{NEWER}.yaml")
    assert files.splitlines()[1:] == expected.splitlines()[1:]


def test_of_two_bundles_a_release_that_only_one_has_is_compared_too(project: Path) -> None:
    files = {f"{TEKTON}.yaml": MANIFEST, "argo-cd-v3.2.0.yaml": MANIFEST}
    for name, held in (("one.tar.gz", [f"{TEKTON}.yaml"]), ("two.tar.gz", list(files))):
        write_bundle(project / name, manifests={file: files[file] for file in held}, images=(), archives={})
    assert "### argo-cd: nothing to v3.2.0" in run("diff", "one.tar.gz", "two.tar.gz").splitlines()
    assert "### argo-cd: v3.2.0 to nothing" in run("diff", "two.tar.gz", "one.tar.gz").splitlines()
    assert "argo-cd" not in run("diff", "one.tar.gz", "two.tar.gz", "--release", "tekton-pipelines")


@pytest.mark.usefixtures("project")
def test_a_comparison_of_what_is_not_clear_or_not_there_is_refused() -> None:
    run("bundle", "--stack", "dev", "--out", "b.tar.gz", "--with", "tekton-pipelines=v1.9.0")
    assert "diff v1.6.0 v1.9.0 --from b.tar.gz" in run("diff", "b.tar.gz", "b.tar.gz", exit_code=1)
    assert "tekton-pipelines v3 is not supported" in run(
        "diff", "v1.6.0", "v3", "--from", "manifests", exit_code=1
    )
    file = f"manifests/{TEKTON}.yaml"
    two = ("--release", "argo-cd", "--release", "tekton-chains")
    assert "give one --release" in run("diff", file, "v1", *two, exit_code=1)
    for name in ("none.tar.gz", "none.yaml", "manifests/none"):
        assert f"{name} is not there; correct the path" in run("diff", file, name, exit_code=1)
    versions = ("v1.6.0", "v1.9.0", "--from", "none")
    assert "diff: none is not there; correct the path" in run("diff", *versions, exit_code=1)
    for name in ("tekton-pipeline", "tekton-chains"):
        told = run("diff", "b.tar.gz", "b.tar.gz", "--release", name, exit_code=1)
        assert f"neither b.tar.gz nor b.tar.gz has {name}" in told
