"""Writing a checkout of the GitOps repository: what is there already and isn't ours stays."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from operations import render
from operations.__main__ import app
from operations.errors import OperationError
from releases.files import write_atomic
from stacks import mapping_tekton
from stacks.tekton_settings import TektonSettings
from tests.support.recording import environment, loaded

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.loader import LoadedEnvironment

LIST = "clusters/.rendered-dev.json"
TENANT = "clusters/east/tenants/team-a"


def made_up(
    folder: Path, *tenants: str, delivery: str = "gitops", gitops: bool = True, top: str = "clusters"
) -> LoadedEnvironment:
    section = {"repository": "https://git.example.com/sre/clusters", "path": top}
    more = {"gitops": section} if gitops else {}
    given = loaded(
        environment(
            {"east": {"delivery": delivery}},
            {name: {"cluster": "east"} for name in tenants},
            argocd={"enabled": True},
            **more,
        )
    )
    for prepared in given.prepared["east"].values():
        path = folder / prepared.manifest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}))
    return given


def settle(given: LoadedEnvironment, project: Path, checkout: Path) -> render.Changes:
    files = render.wanted(given, project)
    changes = render.compare(given, files, checkout)
    render.write(given, files, changes, checkout)
    return changes


def test_a_second_rendering_finds_nothing_to_do(tmp_path: Path) -> None:
    given, checkout = made_up(tmp_path, "team-a"), tmp_path / "checkout"
    assert settle(given, tmp_path, checkout).added
    assert not settle(given, tmp_path, checkout)
    assert json.loads((checkout / LIST).read_text()) == sorted(
        str(path.relative_to(checkout)) for path in checkout.rglob("*.yaml")
    )


def test_an_entry_that_goes_takes_its_files_and_what_others_wrote_stays(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a", "team-b"), tmp_path, checkout)
    theirs = checkout / "clusters" / "east" / "tenants" / "team-b" / "theirs.yaml"
    theirs.write_text("theirs: true\n")
    changes = settle(made_up(tmp_path), tmp_path, checkout)
    assert changes.added == ()
    assert changes.changed == (LIST,)
    assert {path.rpartition("/")[0] for path in changes.removed} == {TENANT, TENANT.replace("-a", "-b")}
    assert not (checkout / TENANT).exists()
    assert [path.name for path in theirs.parent.iterdir()] == ["theirs.yaml"]
    assert (checkout / "clusters/east/ground").is_dir()


def test_one_more_tenant_adds_its_files_and_changes_no_other(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-b"), tmp_path, checkout)
    changes = settle(made_up(tmp_path, "team-a", "team-b"), tmp_path, checkout)
    assert {path.rpartition("/")[0] for path in changes.added} == {TENANT}
    assert changes.changed == (LIST,)


def test_what_somebody_changed_is_found_and_put_right(tmp_path: Path) -> None:
    given, checkout = made_up(tmp_path, "team-a"), tmp_path / "checkout"
    settle(given, tmp_path, checkout)
    [path] = checkout.rglob("resourcequota.*.yaml")
    text = path.read_text()
    path.write_text(text.replace("running", "walking"))
    files = render.wanted(given, tmp_path)
    changes = render.compare(given, files, checkout)
    assert list(changes.lines()) == [f"~ {path.relative_to(checkout)}"]
    render.write(given, files, changes, checkout)
    assert path.read_text() == text


@pytest.mark.parametrize("left", [0, 1, 3])
def test_a_rendering_that_is_cut_off_is_told_and_leaves_nothing_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    given = made_up(tmp_path, "team-b")
    files = render.wanted(given, tmp_path)
    changes = render.compare(given, files, checkout)
    written: list[Path] = []

    def cut_off(path: Path, content: str, *, mode: int) -> bool:
        # The list is written twice: at the beginning, and at the end.
        if len(written) == len(changes.added) + 1 - left:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        return write_atomic(path, content, mode=mode)

    monkeypatch.setattr(render, "write_atomic", cut_off)
    with pytest.raises(OSError, match="No space"):
        render.write(given, files, changes, checkout)
    monkeypatch.undo()
    assert len(written) > 1
    assert render.compare(given, files, checkout)
    settle(made_up(tmp_path), tmp_path, checkout)
    assert not (checkout / "clusters/east/tenants").exists()
    assert not render.compare(made_up(tmp_path), render.wanted(made_up(tmp_path), tmp_path), checkout)


def test_a_cluster_that_went_back_to_direct_has_no_files(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    settle(made_up(tmp_path, "team-a", delivery="direct"), tmp_path, checkout)
    assert not (checkout / "clusters" / "east").exists()


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '["../../etc/passwd"]', '["clusters/../x"]', "[1]"])
def test_a_list_that_somebody_wrote_removes_nothing(tmp_path: Path, text: str) -> None:
    given, checkout = made_up(tmp_path), tmp_path / "checkout"
    (checkout / "clusters").mkdir(parents=True)
    (checkout / LIST).write_text(text)
    with pytest.raises(OperationError, match="restore it from the repository's history"):
        settle(given, tmp_path, checkout)


def test_two_stacks_dont_write_the_same_files_and_may_share_a_checkout(tmp_path: Path) -> None:
    given, checkout = made_up(tmp_path, "team-a"), tmp_path / "checkout"
    settle(given, tmp_path, checkout)
    there = {path: path.read_text() for path in checkout.rglob("*") if path.is_file()}
    other = dataclasses.replace(made_up(tmp_path), stack="other")
    with pytest.raises(OperationError, match=r"gitops\.path: .* as clusters/\.rendered-dev\.json says"):
        settle(other, tmp_path, checkout)
    assert {path: path.read_text() for path in checkout.rglob("*") if path.is_file()} == there
    # Without a cluster of the same name they have nothing in common.
    settle(dataclasses.replace(made_up(tmp_path, delivery="direct"), stack="other"), tmp_path, checkout)
    assert there.items() <= {path: path.read_text() for path in checkout.rglob("*") if path.is_file()}.items()
    assert not settle(given, tmp_path, checkout)


@pytest.mark.parametrize("paths", [("clusters", "clusters/east"), ("clusters", "clusters/east/more/here")])
@pytest.mark.parametrize("outer_first", [True, False])
def test_no_stack_writes_below_a_cluster_of_another(
    tmp_path: Path, paths: tuple[str, str], *, outer_first: bool
) -> None:
    checkout = tmp_path / "checkout"
    first, second = paths if outer_first else reversed(paths)
    settle(made_up(tmp_path, top=first), tmp_path, checkout)
    there = {path: path.read_text() for path in checkout.rglob("*") if path.is_file()}
    other = dataclasses.replace(made_up(tmp_path, top=second), stack="other")
    told = rf'gitops\.path: "{second}": clusters/east is .* as {first}/\.rendered-dev\.json says'
    with pytest.raises(OperationError, match=told):
        settle(other, tmp_path, checkout)
    assert {path: path.read_text() for path in checkout.rglob("*") if path.is_file()} == there


def test_a_stack_without_a_cluster_keeps_its_list_out_of_anothers_cluster_too(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path), tmp_path, checkout)
    other = dataclasses.replace(made_up(tmp_path, delivery="direct", top="clusters/east"), stack="other")
    with pytest.raises(OperationError, match="clusters/east is a cluster's folder"):
        settle(other, tmp_path, checkout)


def test_paths_of_two_stacks_may_lie_in_each_other_beside_the_clusters(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    (checkout / ".git").mkdir(parents=True)
    (checkout / ".git" / ".rendered-branch.json").write_text("no list")
    settle(made_up(tmp_path), tmp_path, checkout)
    other = dataclasses.replace(made_up(tmp_path, top="clusters/east-more"), stack="other")
    assert settle(other, tmp_path, checkout).added
    assert not settle(made_up(tmp_path), tmp_path, checkout)


def test_what_another_stack_lists_is_not_removed(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    (checkout / LIST.replace("dev", "other")).write_text((checkout / LIST).read_text())
    with pytest.raises(OperationError, match="nothing was written"):
        settle(made_up(tmp_path, delivery="direct"), tmp_path, checkout)


def test_another_path_than_before_is_refused_until_its_list_is_gone(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    moved = made_up(tmp_path, "team-a", top="fleet")
    told = (
        r'gitops\.path: "fleet": this stack wrote cluster east by another path .* as clusters/\.rendered-dev'
    )
    with pytest.raises(OperationError, match=told):
        settle(moved, tmp_path, checkout)
    assert not (checkout / "fleet").exists()
    (checkout / LIST).unlink()
    assert settle(moved, tmp_path, checkout).added
    assert (checkout / TENANT).is_dir()


def test_another_environments_stack_of_the_same_name_is_left_alone(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    theirs = checkout / LIST.replace("clusters", "fleet")
    theirs.parent.mkdir()
    theirs.write_text('["fleet/west/ground/namespace.x.yaml"]')
    assert not settle(made_up(tmp_path, "team-a"), tmp_path, checkout)


def test_a_copy_of_a_rendered_folder_names_nothing(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    shutil.copytree(checkout / "clusters", checkout / "backup")
    assert not settle(made_up(tmp_path, "team-a"), tmp_path, checkout)


def test_without_its_list_it_forgets_no_file(tmp_path: Path) -> None:
    given, checkout = made_up(tmp_path), tmp_path / "checkout"
    settle(made_up(tmp_path, "team-a"), tmp_path, checkout)
    text = (checkout / LIST).read_text()
    (checkout / LIST).unlink()
    with pytest.raises(OperationError, match=rf"{LIST}: it is not there, but {TENANT}/.* write \[\] into it"):
        settle(given, tmp_path, checkout)
    assert not (checkout / LIST).exists()
    (checkout / LIST).write_text("[]")
    assert settle(given, tmp_path, checkout).changed == (LIST,)
    assert (checkout / TENANT).is_dir()
    (checkout / LIST).write_text(text)
    settle(given, tmp_path, checkout)
    assert not (checkout / TENANT).exists()


def test_a_lost_list_without_which_nothing_is_unknown_is_written_anew(tmp_path: Path) -> None:
    given, checkout = made_up(tmp_path, "team-a"), tmp_path / "checkout"
    settle(given, tmp_path, checkout)
    (checkout / LIST).unlink()
    assert settle(given, tmp_path, checkout).added == (LIST,)


@pytest.mark.parametrize("out", ["file", "file/below", "dangling"])
def test_a_checkout_is_a_folder(tmp_path: Path, out: str) -> None:
    given = made_up(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    told = rf"--out .*/{out}: .*/{out.partition('/')[0]} is no folder"
    with pytest.raises(OperationError, match=told):
        settle(given, tmp_path, tmp_path / out)


@pytest.mark.parametrize("link", ["clusters", "clusters/east", LIST])
@pytest.mark.parametrize("target", ["elsewhere", "checkout/inside"])
def test_no_link_in_a_checkout_is_followed(tmp_path: Path, link: str, target: str) -> None:
    given, checkout = made_up(tmp_path), tmp_path / "checkout"
    (tmp_path / target).mkdir(parents=True)
    (checkout / link).parent.mkdir(parents=True, exist_ok=True)
    if link == LIST:
        (tmp_path / target / "list").write_text("[]")
        (checkout / link).symlink_to(tmp_path / target / "list")
    else:
        (checkout / link).symlink_to(tmp_path / target)
    with pytest.raises(OperationError, match=rf"/{link}: it is a symbolic link, to .*{target}"):
        settle(given, tmp_path, checkout)
    assert [path.name for path in (tmp_path / target).iterdir()] == (["list"] if link == LIST else [])
    # The checkout itself may be one.
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert settle(given, tmp_path, tmp_path / "link").added


def test_without_a_repository_there_is_nothing_to_write(tmp_path: Path) -> None:
    given = made_up(tmp_path, delivery="direct", gitops=False)
    with pytest.raises(OperationError, match="pipeline-service:gitops: it is not given"):
        render.wanted(given, tmp_path)


def test_a_stack_file_is_rendered_with_its_mirrors_and_pull_secret_and_without_what_it_holds(
    tmp_path: Path,
) -> None:
    published = tmp_path / "published"
    published.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: pipeline-service\n")
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "controller", "namespace": "tekton-pipelines"},
        "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "ghcr.io/tektoncd/c:v1"}]}}},
    }
    # Whatever is set in ConfigMaps of the release has to find them there.
    names = {"config-defaults", *mapping_tekton.config_maps(TektonSettings())}
    config_maps = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}}
        for name in sorted(names)
    ]
    text = "---\n".join(json.dumps(one) + "\n" for one in (deployment, *config_maps))
    for release in ("tekton-pipelines-v1.6.0", "api-syncagent-crds-v0.7.0"):
        (published / f"{release}.yaml").write_text(text)
    kubeconfig = {"environment": "KUBECONFIG_OF_IT"}
    config = {
        "kcp": {"kubeconfig": {"environment": "KCP"}},
        "computeClusters": {"east": {"kubeconfig": kubeconfig, "delivery": "gitops"}},
        "tenants": {"team-a": {"cluster": "east"}},
        "argocd": {"enabled": True},
        "gitops": {"repository": "https://git.example.com/sre/clusters"},
        "releases": {"directory": "published"},
        "imageRepository": {
            "mirrors": {"ghcr.io": "mirror.example.com/ghcr"},
            "pullSecret": {"secret": "pull"},
        },
        "pull": {"secure": "v1:made:up"},
    }
    text = json.dumps({"config": {f"pipeline-service:{key}": value for key, value in config.items()}})
    (tmp_path / "Pulumi.made.yaml").write_text(text)
    done = CliRunner().invoke(
        app, ["render", "--stack=made", f"--project={tmp_path}", f"--out={tmp_path / 'out'}"]
    )
    assert done.exit_code == 0, done.output
    found = {path.name: path.read_text() for path in (tmp_path / "out").rglob("*.yaml")}
    agent = found["deployment.pipeline-service-syncer.api-syncagent.yaml"]
    assert "image: mirror.example.com/ghcr/kcp-dev/api-syncagent" in agent
    assert "pipeline-service-pull" in agent
    assert "image: mirror.example.com/ghcr/tektoncd/c" in found["deployment.tekton-pipelines.controller.yaml"]
    assert not [name for name, text in found.items() if "kind: Secret" in text or "made:up" in text]
    again = ["render", "--stack=made", f"--project={tmp_path}", f"--out={tmp_path / 'out'}", "--check"]
    assert CliRunner().invoke(app, again).exit_code == 0
    next((tmp_path / "out").rglob("*.yaml")).write_text("other: true\n")
    assert CliRunner().invoke(app, again).exit_code == 3
