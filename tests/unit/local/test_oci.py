"""The assembled image archives."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from local.oci import ImageError, ImageFile, ImageSpec, assemble, assemble_cached, cache_key, image_digest


def spec(program: Path, **changes: object) -> ImageSpec:
    values: dict[str, object] = {
        "name": "registry.example/team/tool:v1",
        "entrypoint": ("/bin/tool",),
        "files": {
            "/bin/tool": ImageFile(source=program, mode=0o755),
            "/etc/tool": ImageFile(source=b"x=1\n"),
        },
        "symlinks": {"/bin/alias": "tool"},
        "directories": {"/scratch": 0o1777},
        "user": "65532:65532",
        "env": {"B": "2", "A": "1"},
    }
    return ImageSpec(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_bytes(b"\x7fELF tool")
    return path


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]


def test_equal_inputs_give_equal_bytes_whatever_the_files_times(program: Path, tmp_path: Path) -> None:
    one = assemble(spec(program), tmp_path / "one.tar").read_bytes()
    os.utime(program, (1, 1))
    shuffled = spec(
        program,
        files=dict(reversed(list(spec(program).files.items()))),
        env=dict(reversed(list(spec(program).env.items()))),
    )
    two = assemble(shuffled, tmp_path / "two.tar").read_bytes()
    assert one == two


def test_every_blob_is_named_by_its_digest_and_the_chain_of_descriptors_holds(
    program: Path,
    tmp_path: Path,
) -> None:
    content = blobs(assemble(spec(program), tmp_path / "image.tar"))
    for name, data in content.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    descriptor = json.loads(content["index.json"])["manifests"][0]
    manifest = json.loads(content["blobs/" + descriptor["digest"].replace(":", "/")])
    config = json.loads(content["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    (layer,) = manifest["layers"]
    assert layer["size"] == len(content["blobs/" + layer["digest"].replace(":", "/")])
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    assert image_digest(tmp_path / "image.tar") == descriptor["digest"]


def test_an_importer_finds_the_exact_name_in_both_annotations(program: Path, tmp_path: Path) -> None:
    content = blobs(assemble(spec(program), tmp_path / "image.tar"))
    annotations = json.loads(content["index.json"])["manifests"][0]["annotations"]
    assert annotations == {
        "io.containerd.image.name": "registry.example/team/tool:v1",
        "org.opencontainers.image.ref.name": "registry.example/team/tool:v1",
    }


def test_the_layer_holds_parents_before_children_and_the_given_modes(program: Path, tmp_path: Path) -> None:
    content = blobs(assemble(spec(program), tmp_path / "image.tar"))
    descriptor = json.loads(content["index.json"])["manifests"][0]
    manifest = json.loads(content["blobs/" + descriptor["digest"].replace(":", "/")])
    layer = tmp_path / "layer.tar"
    layer.write_bytes(content["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")])
    with tarfile.open(layer) as tar:
        members = {m.name: m for m in tar.getmembers()}
        assert tar.extractfile("bin/tool").read() == b"\x7fELF tool"  # type: ignore[union-attr]
    assert list(members) == ["bin", "bin/alias", "bin/tool", "etc", "etc/tool", "scratch"]
    assert (members["bin/tool"].mode, members["etc/tool"].mode) == (0o755, 0o644)
    assert (members["scratch"].isdir(), members["scratch"].mode) == (True, 0o1777)
    assert (members["bin/alias"].issym(), members["bin/alias"].linkname) == (True, "tool")
    assert {(m.uid, m.gid, m.mtime) for m in members.values()} == {(0, 0, 0)}


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "registry.example/team/tool:v2"},
        {"entrypoint": ("/bin/alias",)},
        {"command": ("--help",)},
        {"env": {}},
        {"user": "0"},
        {"working_dir": "/scratch"},
        {"symlinks": {"/bin/other": "tool"}},
        {"directories": {"/scratch": 0o755}},
        {"files": {"/bin/tool": ImageFile(source=b"other", mode=0o755)}},
    ],
)
def test_the_cache_key_changes_with_every_input(program: Path, changes: dict[str, object]) -> None:
    assert cache_key(spec(program, **changes)) != cache_key(spec(program))


def test_the_cache_key_follows_a_rebuilt_binary(program: Path) -> None:
    before = cache_key(spec(program))
    assert cache_key(spec(program)) == before
    program.write_bytes(b"\x7fELF rebuilt")
    assert cache_key(spec(program)) != before


def test_an_unchanged_image_is_kept_and_a_changed_one_replaces_its_predecessor(
    program: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "images"
    bystander = assemble_cached(spec(program, name="registry.example/team/tool:v10"), folder)
    first = assemble_cached(spec(program), folder)
    inode = first.stat().st_ino
    assert assemble_cached(spec(program), folder).stat().st_ino == inode
    program.write_bytes(b"\x7fELF rebuilt")
    second = assemble_cached(spec(program), folder)
    assert set(folder.iterdir()) == {second, bystander}


def test_a_missing_file_leaves_nothing_behind_and_is_named(tmp_path: Path) -> None:
    missing = spec(tmp_path / "absent")
    with pytest.raises(ImageError, match=r"registry\.example/team/tool:v1: /bin/tool: No such file .*absent"):
        assemble(missing, tmp_path / "out" / "image.tar")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "localhost:5000/tool"}, "no tag"),
        ({"user": "nobody"}, "not numeric"),
        ({"symlinks": {"bin/alias": "tool"}}, "not absolute"),
        ({"symlinks": {"/bin/../alias": "tool"}}, "not absolute"),
        ({"symlinks": {"/bin/tool": "alias"}}, "given twice"),
        ({"symlinks": {"/bin/tool/alias": "tool"}}, "below a file"),
    ],
)
def test_a_specification_that_no_runtime_could_unpack_is_refused(
    program: Path,
    changes: dict[str, object],
    text: str,
) -> None:
    with pytest.raises(ImageError, match=text):
        spec(program, **changes)


def test_a_truncated_archive_is_reported_as_such(program: Path, tmp_path: Path) -> None:
    archive = assemble(spec(program), tmp_path / "image.tar")
    archive.write_bytes(archive.read_bytes()[:100])
    with pytest.raises(ImageError, match="no image layout"):
        image_digest(archive)
