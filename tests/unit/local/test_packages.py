"""What apt chooses is unpacked once, and laid out as an installed system has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from local import packages
from local.errors import LocalError
from local.oci import ImageSpec
from local.packages import contents, unpacked

SIMULATED = """\
NOTE: This is only a simulation!
Inst libc6 (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
Inst zlib1g:amd64 (1:1.2.13.dfsg-1 Debian:12.15/oldstable, Debian-Security:12 [amd64])
Inst media-types (10.0.0 Debian:12.15/oldstable [all])
Inst tool (1.0-1 Debian:12.15/oldstable [amd64])
Conf tool (1.0-1 Debian:12.15/oldstable [amd64])
"""
FOLDERS = ["libc6_2.36-9+deb12u14_amd64", "zlib1g_1:1.2.13.dfsg-1_amd64", "media-types_10.0.0_all"]


class Apt:
    """apt-get and dpkg-deb as far as they are used; ``listing`` None means that apt knows no such package."""

    def __init__(self) -> None:
        self.listing: str | None = SIMULATED
        self.after_update: str | None = SIMULATED
        self.commands: list[str] = []
        self.downloaded: list[str] = []

    def __call__(self, command: list[str], *, what: str, directory: Path | None = None, **_: object) -> str:
        self.commands.append(command[1])
        if command[1] == "update":
            self.listing = self.after_update
        elif command[1] == "install":
            if self.listing is None:
                raise LocalError(f"{what}: E: Unable to locate package")
            return self.listing
        elif command[1] == "download":
            assert directory is not None
            for name, version in (
                argument.split("=", 1) for argument in command if argument[0] != "-" and "=" in argument
            ):
                (directory / f"{name}_{version.replace(':', '%3a')}_any.deb").touch()
                self.downloaded.append(name)
        else:
            (Path(command[-1]) / "usr" / "bin").mkdir(parents=True)
        return ""


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Apt:
    apt = Apt()
    monkeypatch.setattr(packages, "run", apt)
    monkeypatch.setattr("local.packages.shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(packages, "_LISTS", tmp_path / "lists")
    return apt


def test_each_chosen_package_has_a_folder_of_its_version(apt: Apt, tmp_path: Path) -> None:
    folders = unpacked("tool", tmp_path / "packages")
    assert [path.name for path in folders] == [*FOLDERS, "tool_1.0-1_amd64"]
    assert all((path / "usr" / "bin").is_dir() for path in folders)
    assert sorted(apt.downloaded) == ["libc6", "media-types", "tool", "zlib1g"]


def test_what_is_there_is_neither_chosen_nor_downloaded_again(apt: Apt, tmp_path: Path) -> None:
    first = unpacked("tool", tmp_path / "packages")
    apt.commands.clear()
    assert unpacked("tool", tmp_path / "packages") == first
    assert apt.commands == []


def test_after_an_update_of_apts_lists_only_a_new_version_is_downloaded_and_replaces_the_old(
    apt: Apt, tmp_path: Path
) -> None:
    unpacked("tool", tmp_path / "packages")
    apt.listing = SIMULATED.replace("tool (1.0-1", "tool (1.0-2")
    (tmp_path / "lists").mkdir()
    chosen = (tmp_path / "packages" / "tool.chosen").stat().st_mtime
    os.utime(tmp_path / "lists", (chosen + 1, chosen + 1))
    apt.downloaded.clear()
    folders = unpacked("tool", tmp_path / "packages")
    assert apt.downloaded == ["tool"]
    assert [path.name for path in folders] == [*FOLDERS, "tool_1.0-2_amd64"]
    assert {path for path in (tmp_path / "packages").iterdir() if path.is_dir()} == set(folders)


def test_a_package_that_old_lists_do_not_know_is_found_in_new_ones(apt: Apt, tmp_path: Path) -> None:
    apt.listing = None
    unpacked("tool", tmp_path / "packages")
    assert apt.commands[:3] == ["install", "update", "install"]


def test_a_package_that_nobody_has_is_named(apt: Apt, tmp_path: Path) -> None:
    apt.listing = apt.after_update = None
    with pytest.raises(LocalError, match=r"getting the package tool: .*Unable to locate package"):
        unpacked("tool", tmp_path / "packages")


def test_an_answer_that_names_nothing_makes_no_empty_image(apt: Apt, tmp_path: Path) -> None:
    apt.listing = apt.after_update = "0 upgraded, 0 newly installed\n"
    with pytest.raises(LocalError, match="apt-get install --simulate tool` names no package"):
        unpacked("tool", tmp_path / "packages")


def test_a_machine_without_apt_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.packages.shutil.which", lambda _: None)
    with pytest.raises(LocalError, match="getting the package tool: there is no apt-get; use Debian"):
        unpacked("tool", tmp_path / "packages")


def file(path: Path, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)
    path.chmod(mode)


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    libc, tool = tmp_path / "libc6", tmp_path / "tool"
    file(libc / "lib" / "x86_64-linux-gnu" / "libc.so.6", 0o755)
    (libc / "lib64").mkdir()
    (libc / "lib64" / "ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    file(tool / "usr" / "bin" / "tool", 0o4755)
    file(tool / "usr" / "share" / "doc" / "tool" / "copyright")
    file(tool / "usr" / "share" / "tool" / "data")
    (tool / "var" / "lib" / "tool").mkdir(parents=True, mode=0o750)
    return [libc, tool]


def test_everything_lies_below_usr_and_the_old_places_are_links(folders: list[Path]) -> None:
    found = contents(folders)
    assert found.files.keys() == {
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/bin/tool",
        "/usr/share/tool/data",
    }
    assert found.symlinks == {
        "/usr/lib64/ld-linux-x86-64.so.2": "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "/bin": "usr/bin",
        "/lib": "usr/lib",
        "/lib64": "usr/lib64",
    }


def test_a_folder_keeps_its_mode_even_when_empty_and_no_file_is_setuid(folders: list[Path]) -> None:
    found = contents(folders)
    assert found.directories["/var/lib/tool"] == 0o750
    assert found.files["/usr/bin/tool"].mode == 0o755


def test_an_image_can_be_made_of_it(folders: list[Path]) -> None:
    found = contents(folders)
    ImageSpec(name="tool:1", files=found.files, symlinks=found.symlinks, directories=found.directories)


def test_two_packages_with_one_path_are_refused(folders: list[Path]) -> None:
    file(folders[0] / "bin" / "tool")
    with pytest.raises(LocalError, match="/usr/bin/tool is also of another package"):
        contents(folders)
