"""Images are pushed to where mirrors say, under their own digests, and pinned to what a registry has."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from operations import images
from operations.__main__ import app
from operations.errors import OperationError
from releases.bundle import write_bundle
from releases.catalog import find
from tests.support.tekton import config_maps

PROJECT = Path(__file__).parents[3]
NAME = "io.containerd.image.name"
DIGEST = "sha256:" + "a1" * 32
FAKE = """#!{python}
import json, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
if "broken" in sys.argv[-1]:
    sys.exit("first line\\nmanifest unknown")
if "inspect" in sys.argv:
    sys.stdout.write("manifest of " + sys.argv[-1])
"""


@pytest.fixture
def skopeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A skopeo that notes how it is called; gives the folder it stands in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "skopeo").write_text(FAKE.replace("{python}", sys.executable))
    (folder / "skopeo").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def calls(folder: Path) -> list[list[str]]:
    lines = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    return [json.loads(line) for line in lines]


def archive(path: Path, name: str | None, by: str = NAME) -> Path:
    annotations = {} if name is None else {by: name}
    return archive_of(path, "index.json", {"manifests": [{"annotations": annotations}]})


def archive_of(path: Path, index: str, document: object) -> Path:
    content = json.dumps(document).encode()
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(index)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


def pod(*images: str) -> dict[str, Any]:
    containers = [{"image": image} for image in images]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one cluster, whose releases name two images."""
    folder = tmp_path / "project"
    (folder / "releases").mkdir(parents=True)
    shutil.copy(PROJECT / "Pulumi.yaml", folder)
    maps = config_maps()
    tekton = f"tekton-pipelines-{find('tekton-pipelines').version}.yaml"
    (folder / "releases" / tekton).write_text(
        yaml.safe_dump_all([*maps, pod("ghcr.io/t/a:v1", f"ghcr.io/t/pinned:v1@{DIGEST}")])
    )
    agent = f"api-syncagent-crds-{find('api-syncagent-crds').version}.yaml"
    (folder / "releases" / agent).write_text(yaml.safe_dump_all(maps[:1]))
    config = {
        "kcp": {"kubeconfig": {"path": "kcp"}},
        "computeClusters": {"a": {"kubeconfig": {"path": "a"}}},
        "releases": {"directory": "releases"},
        "imageRepository": {"mirrors": {"ghcr.io": "m.example/ghcr"}, "digests": {"path": "lock.yaml"}},
    }
    document = {"config": {f"pipeline-service:{key}": value for key, value in config.items()}}
    (folder / "Pulumi.test.yaml").write_text(yaml.safe_dump(document))
    return folder


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["images", *arguments])
    return result.exit_code, result.output


def test_images_go_into_one_registry_under_their_whole_names(tmp_path: Path, skopeo: Path) -> None:
    held = archive(tmp_path / "a.tar", "ghcr.io/t/a:v1")
    other = archive(tmp_path / "b.tar", "busybox:1.36", by="org.opencontainers.image.ref.name")
    code, output = invoke("push", f"--from={tmp_path}", "--to=r.example:5000/x", "--plain-http")
    assert code == 0, output
    assert calls(skopeo) == [
        [
            "--insecure-policy",
            "copy",
            "--preserve-digests",
            "--dest-tls-verify=false",
            f"oci-archive:{path}",
            f"docker://{there}",
        ]
        for path, there in (
            (other, "r.example:5000/x/docker.io/library/busybox:1.36"),
            (held, "r.example:5000/x/ghcr.io/t/a:v1"),
        )
    ]
    assert "mirrors:\n  docker.io: r.example:5000/x/docker.io\n  ghcr.io: r.example:5000/x/ghcr.io" in output


@pytest.mark.parametrize(("name", "there"), [("t/a:v1@", "t/a:v1"), ("t/a@", f"t/a@{DIGEST}")])
def test_a_pinned_image_is_put_with_all_platforms_under_its_tag_or_else_its_digest(
    tmp_path: Path, skopeo: Path, name: str, there: str
) -> None:
    archive(tmp_path / "a.tar", f"ghcr.io/{name}{DIGEST}")
    code, output = invoke("push", f"--from={tmp_path}", "--to=r.example")
    assert code == 0, output
    [call] = calls(skopeo)
    assert "--all" in call
    assert call[-1] == f"docker://r.example/ghcr.io/{there}"


def test_images_go_where_the_mirrors_of_a_stack_say(tmp_path: Path, project: Path, skopeo: Path) -> None:
    (tmp_path / "held").mkdir()
    archive(tmp_path / "held/a.tar", "ghcr.io/t/a:v1")
    stack = (f"--from={tmp_path / 'held'}", "--stack=organization/x/test", f"--project={project}")
    assert invoke("push", *stack)[0] == 0
    assert [call[-1] for call in calls(skopeo)] == ["docker://m.example/ghcr/t/a:v1"]
    archive(tmp_path / "held/b.tar", "quay.io/b:v1")
    code, output = invoke("push", *stack)
    assert code == 1
    assert "imageRepository.mirrors says nothing of quay.io/b:v1; add quay.io: REGISTRY" in output
    assert len(calls(skopeo)) == 1, "nothing is pushed before everything has a place"


def test_two_images_that_the_mirrors_send_to_one_place_are_refused(
    tmp_path: Path, project: Path, skopeo: Path
) -> None:
    stack = project / "Pulumi.test.yaml"
    document = yaml.safe_load(stack.read_text())
    mirrors = {"ghcr.io": "m.example/all", "quay.io": "m.example/all", "docker.io": "m.example/hub"}
    document["config"]["pipeline-service:imageRepository"]["mirrors"] = mirrors
    stack.write_text(yaml.safe_dump(document))
    (tmp_path / "held").mkdir()
    for number, name in enumerate(("ghcr.io/t/a:v1", "quay.io/t/a:v1", "quay.io/t/a:v2")):
        archive(tmp_path / f"held/{number}.tar", name)
    told = (
        "imageRepository.mirrors sends both ghcr.io/t/a:v1 and quay.io/t/a:v1 to m.example/all/t/a:v1;"
        " give each registry a mirror of its own"
    )
    code, output = invoke("push", f"--from={tmp_path / 'held'}", "--stack=test", f"--project={project}")
    assert (code, told in output) == (1, True), output
    [release] = (project / "releases").glob("tekton-pipelines-*")
    release.write_text(release.read_text() + "---\n" + yaml.safe_dump(pod("quay.io/t/a:v1")))
    code, output = invoke("lock", "--stack=test", f"--project={project}")
    assert (code, told in output) == (1, True), output
    assert calls(skopeo) == []


def test_the_archives_of_a_bundle_are_pushed(tmp_path: Path, skopeo: Path) -> None:
    inner = archive(tmp_path / "a.tar", "ghcr.io/t/a:v1")
    bundle = tmp_path / "bundle.tar.gz"
    write_bundle(bundle, manifests={"a.yaml": b"a"}, images=["ghcr.io/t/a:v1"], archives={"a.tar": inner})
    code, output = invoke("push", f"--from={bundle}", "--to=r.example")
    assert code == 0, output
    assert [call[-1] for call in calls(skopeo)] == ["docker://r.example/ghcr.io/t/a:v1"]


def test_of_a_bundle_that_was_changed_nothing_is_pushed(tmp_path: Path, skopeo: Path) -> None:
    archives = {name: archive(tmp_path / name, f"ghcr.io/t/{name[0]}:v1") for name in ("a.tar", "b.tar")}
    bundle = tmp_path / "bundle.tar.gz"
    write_bundle(bundle, manifests={}, images=[], archives=archives)
    with tarfile.open(bundle) as tar:
        members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    members["images/b.tar"] = archive(tmp_path / "b.tar", "ghcr.io/t/evil:v1").read_bytes()
    with tarfile.open(bundle, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    code, output = invoke("push", f"--from={bundle}", "--to=r.example")
    assert code == 1
    assert "bundle.tar.gz is not a whole bundle: images/b.tar is not what it was" in output
    assert calls(skopeo) == []


def test_a_bundle_without_archives_is_told(tmp_path: Path, skopeo: Path) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    write_bundle(bundle, manifests={"a.yaml": b"a"}, images=[], archives={})
    code, output = invoke("push", f"--from={bundle}", "--to=r.example")
    assert (code, calls(skopeo)) == (1, [])
    assert "bundle.tar.gz holds no archive of an image" in output


def test_credentials_and_authority_are_handed_over_as_files(tmp_path: Path, skopeo: Path) -> None:
    archive(tmp_path / "a.tar", "ghcr.io/t/a:v1")
    (tmp_path / "auth.json").write_text("{}")
    given = (f"--authfile={tmp_path / 'auth.json'}", f"--cert-dir={tmp_path}")
    assert invoke("push", f"--from={tmp_path}", "--to=r.example", *given)[0] == 0
    [call] = calls(skopeo)
    assert f"--dest-authfile={tmp_path / 'auth.json'}" in call
    assert f"--dest-cert-dir={tmp_path}" in call


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give either --to REGISTRY or --stack NAME"),
        (("--to=r.example", "--stack=test"), "give either --to REGISTRY or --stack NAME"),
        (("--to=r.example",), "holds no archive of an image"),
        (
            ("--to=https://r.example",),
            '--to: "https://r.example": not a registry with an optional path; write it',
        ),
        (("--to=registry",), "such as registry.example.com or registry:5000"),
    ],
)
def test_what_is_not_clear_is_told(
    tmp_path: Path, skopeo: Path, arguments: tuple[str, ...], why: str
) -> None:
    code, output = invoke("push", f"--from={tmp_path}", *arguments)
    assert (code, why in output, calls(skopeo)) == (1, True, [])


@pytest.mark.parametrize(
    ("index", "document", "why"),
    [
        ("index.json", {"manifests": [{}]}, "bad.tar doesn't name the image that it holds"),
        ("index.json", {"manifests": [{}, {}]}, "bad.tar holds 2 images, and is to hold one"),
        ("index.json", {"manifests": [{"annotations": {NAME: "B A D"}}]}, 'an image, and "B A D" is not the'),
        ("index.json", ["none"], "bad.tar is not an OCI archive (TypeError"),
        ("manifest.json", [{"RepoTags": ["ghcr.io/t/a:v1"]}], "as what docker save wrote before Docker 25"),
    ],
)
def test_what_is_no_archive_of_one_named_image_is_told_by_its_name(
    tmp_path: Path, skopeo: Path, index: str, document: object, why: str
) -> None:
    archive_of(tmp_path / "bad.tar", index, document)
    code, output = invoke("push", f"--from={tmp_path}", "--to=r.example")
    assert (code, calls(skopeo)) == (1, [])
    assert why in output
    assert "make it by: skopeo copy" in output


def test_two_archives_of_an_image_are_told(tmp_path: Path, skopeo: Path) -> None:
    archive(tmp_path / "a.tar", "busybox:1")
    archive(tmp_path / "b.tar", "docker.io/library/busybox:1")
    code, output = invoke("push", f"--from={tmp_path}", "--to=r.example")
    assert (code, calls(skopeo)) == (1, [])
    assert "a.tar and b.tar both hold docker.io/library/busybox:1; take one away" in output


def test_a_lock_pins_what_the_mirrors_have_now(project: Path, skopeo: Path) -> None:
    code, output = invoke("lock", "--stack=test", f"--project={project}", "--without=docker.io")
    assert code == 0, output
    agent = f"kcp-dev/api-syncagent:{find('api-syncagent-crds').version}"
    raw = {f"ghcr.io/{path}": f"manifest of docker://m.example/ghcr/{path}" for path in (agent, "t/a:v1")}
    found = yaml.safe_load((project / "lock.yaml").read_text())
    assert found == {
        image: f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}" for image, manifest in raw.items()
    }
    assert all(call[1:3] == ["inspect", "--raw"] for call in calls(skopeo))
    assert "2 images, written" in output
    again = invoke("lock", "--stack=test", f"--project={project}", "--without=docker.io")
    assert "2 images, unchanged" in again[1]


def test_an_image_that_a_registry_lacks_is_told_and_nothing_is_written(project: Path, skopeo: Path) -> None:
    stack = project / "Pulumi.test.yaml"
    stack.write_text(stack.read_text().replace("m.example/ghcr", "m.example/broken"))
    code, output = invoke("lock", "--stack=test", f"--project={project}", "--without=docker.io")
    assert code == 1
    assert "could not be asked for at m.example/broken/" in output
    assert "skopeo inspect: manifest unknown" in output
    assert not (project / "lock.yaml").exists()
    assert calls(skopeo)


def test_without_a_place_for_the_lock_one_is_asked_for(project: Path, skopeo: Path) -> None:
    stack = project / "Pulumi.test.yaml"
    document: dict[str, Any] = yaml.safe_load(stack.read_text())
    del document["config"]["pipeline-service:imageRepository"]["digests"]
    stack.write_text(yaml.safe_dump(document))
    code, output = invoke("lock", "--stack=test", f"--project={project}")
    assert code == 1
    assert "imageRepository.digests is not given, so --out FILE is needed" in output
    assert calls(skopeo) == []


def test_an_empty_beginning_leaves_out_nothing_but_is_refused(project: Path, skopeo: Path) -> None:
    code, output = invoke("lock", "--stack=test", f"--project={project}", "--without=")
    assert (code, calls(skopeo)) == (1, [])
    assert 'images lock: --without "": every name begins so' in output


def test_a_place_where_the_lock_cant_be_written_is_told(project: Path, skopeo: Path) -> None:
    file = project / "Pulumi.test.yaml"
    code, output = invoke("lock", "--stack=test", f"--project={project}", f"--out={file}/lock.yaml")
    assert code == 1
    assert calls(skopeo)
    assert f"images lock: {file}: it can't be read or written (File exists); correct what stands" in output


def test_a_missing_skopeo_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationError, match="skopeo is not installed; install it"):
        images.Access().run("inspect")
