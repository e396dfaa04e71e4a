"""`python -m operations tenant`: what it writes into stack files, and when it writes nothing."""

import difflib
import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from operations import stack_file, tenant
from operations.__main__ import app
from operations.errors import OperationError
from operations.stack_file import StackFile
from stacks.loader import read_stack_file

PROJECT = Path(__file__).parents[3]
COMMITTED = {path.name.split(".")[1]: path for path in PROJECT.glob("Pulumi.*.yaml")}
TENANTS = [
    (stack, name)
    for stack, path in sorted(COMMITTED.items())
    for name in yaml.safe_load(path.read_text())["config"]["pipeline-service:tenants"]
]


@pytest.fixture(autouse=True)
def _no_credential_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    for name in ("KCP_KUBECONFIG", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    for path in (PROJECT / "Pulumi.yaml", *COMMITTED.values()):
        shutil.copy(path, folder)
    return folder


def run(project: Path, *arguments: str, stack: str = "dev") -> Result:
    options = [f"--project={project}", f"--stack={stack}"]
    return CliRunner().invoke(app, ["tenant", arguments[0], *options, *arguments[1:]])


def done(project: Path, *arguments: str, stack: str = "dev") -> list[str]:
    """Run a command that succeeds; give the lines by which the file differs from the committed one."""
    result = run(project, *arguments, stack=stack)
    assert result.exit_code == 0, result.output
    return changed(project, stack)


def refused(project: Path, *arguments: str, stack: str = "dev") -> str:
    """Run a command that is refused and changes no file; give what it says."""
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    result = run(project, *arguments, stack=stack)
    assert result.exit_code == 1, result.output
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    assert result.stdout == ""
    return result.stderr


def changed(project: Path, stack: str = "dev") -> list[str]:
    old, new = COMMITTED[stack].read_text(), (project / f"Pulumi.{stack}.yaml").read_text()
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def test_a_new_tenant_is_an_entry_after_the_others_and_no_other_line_changes(project: Path) -> None:
    options = [
        "--admin-user=carol",
        "--developer-group=team a",
        "--viewer-user=x:y",
        "--quota=cpu=4",
        "--quota=pods=10",
        "--namespace=build",
        "--repository=https://git.example.com/a/b",
    ]
    assert done(project, "add", "team-a", *options) == [
        "+    team-a:",
        "+      cluster: local-b",
        "+      access:",
        "+        admins: {users: [carol]}",
        '+        developers: {groups: ["team a"]}',
        "+        viewers: {users: [x:y]}",
        "+      namespaces: [build]",
        '+      quota: {cpu: "4", pods: 10}',
        "+      repositories: [https://git.example.com/a/b]",
    ]


def test_an_external_tenant_is_added_with_those_who_may_bind(project: Path) -> None:
    options = ["--external=root:other:team", "--binder-group=owners", "--pool=gpu"]
    assert done(project, "add", "team-a", *options, stack="production") == [
        "+    team-a:",
        "+      cluster: gpu-1",
        "+      external:",
        "+        path: root:other:team",
        "+        binders: {groups: [owners]}",
    ]


def test_the_diff_is_printed_and_the_file_takes_effect_with_up(project: Path) -> None:
    result = run(project, "grant", "demo", "viewer", "--user=carol")
    assert "--- a/Pulumi.dev.yaml\n+++ b/Pulumi.dev.yaml\n" in result.stdout
    assert "-        viewers: {users: [bob]}\n+        viewers: {users: [bob, carol]}\n" in result.stdout
    assert result.stdout.endswith(
        "Pulumi.dev.yaml is written; it takes effect with `pulumi up`, after review\n"
    )


def test_a_dry_run_prints_the_diff_and_writes_nothing(project: Path) -> None:
    result = run(project, "suspend", "demo", "--dry-run")
    assert "+      suspended: true\n" in result.stdout
    assert result.exit_code == 0
    assert changed(project) == []


@pytest.mark.parametrize(("stack", "name"), TENANTS)
def test_what_is_granted_and_revoked_again_leaves_no_trace(project: Path, stack: str, name: str) -> None:
    file = StackFile.read(project / f"Pulumi.{stack}.yaml")
    external = file.settings.tenants[name].external is not None
    role = "binder" if external else "viewer"
    who = ["--user=zoe", "--user=o'neil: x", "--group=zoe"]
    lines = done(project, "grant", name, role, *who, stack=stack)
    assert "zoe" in "".join(line for line in lines if line.startswith("+"))
    assert done(project, "revoke", name, role, *who, stack=stack) == []


def test_who_stands_there_twice_is_taken_out_twice(project: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("{users: [bob]}", "{users: [bob, erin, bob]}"))
    done(project, "revoke", "demo", "viewer", "--user=bob")
    assert StackFile.read(path).settings.tenants["demo"].access.viewers.users == ("erin",)


@pytest.mark.parametrize(("stack", "name"), TENANTS)
def test_what_is_suspended_and_resumed_leaves_no_trace(project: Path, stack: str, name: str) -> None:
    assert done(project, "suspend", name, stack=stack) == ["+      suspended: true"]
    assert read_stack_file(project / f"Pulumi.{stack}.yaml").tenants[name].suspended
    assert done(project, "resume", name, stack=stack) == []


def test_suspending_with_stop_says_so_in_the_entry(project: Path) -> None:
    assert done(project, "suspend", "demo", "--stop") == [
        "+      suspended: true",
        "+      onSuspension: stop",
    ]


def test_a_service_account_is_granted_a_role(project: Path) -> None:
    assert done(project, "grant", "demo", "developer", "--service-account=default/ci") == [
        "+        developers: {serviceAccounts: [default/ci]}"
    ]


def test_granting_what_is_granted_changes_nothing(project: Path) -> None:
    assert done(project, "grant", "demo", "viewer", "--user=bob") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grant", "dmeo", "viewer", "--user=x"], 'none in Pulumi.dev.yaml; did you mean "demo"?'),
        (["show", "dmeo"], 'did you mean "demo"?'),
        (["suspend", "dmeo"], 'did you mean "demo"?'),
        (["grant", "demo", "viewer"], "nobody is named; give --user, --group or --service-account"),
        (["grant", "demo", "binder", "--user=x"], "use admin, developer or viewer"),
        (["grant", "demo", "viewer", "--user=system:admin"], "names beginning with system: belong to kcp"),
        (["grant", "demo", "viewer", "--user=\udcff"], "viewers.users.1: a text of 1 characters: "),
        (["grant", "demo", "viewer", "--user=a\x7f"], "not a user's or group's name; write it as"),
        (["grant", "demo", "viewer", "--service-account=other/x"], "entry names no such namespace"),
        (["revoke", "demo", "viewer", "--user=alice"], "viewer: user bob; admin: user alice"),
        (["revoke", "demo", "viewer", "--group=bob"], 'group "bob" has no role viewer'),
        (["revoke", "demo", "viewer", "--user=bob", "--user=carol"], 'user "carol" has no role viewer'),
        (["resume", "demo"], "it is not suspended"),
        (["add", "demo"], "exists already; give another name, or change its entry: "),
        (["add", "Team"], "not a DNS label"),
        (["add", "a", "--pool=defualt"], 'did you mean "default"?'),
        (["add", "a", "--cluster=local-c"], '"local-c": there is no such compute cluster; did you mean'),
        (["add", "a", "--cluster=local-a", "--pool=default"], "give either --cluster or --pool"),
        (["add", "a", "--quota=cpus=1"], 'unknown key; did you mean "cpu"?'),
        (["add", "a", "--quota=cpu"], "not KEY=VALUE"),
        (["add", "a", "--quota=cpu=1", "--quota=cpu=2"], '--quota "cpu=2": cpu is given twice; give it once'),
        (["add", "a", "--binder-user=b"], "give --external PATH beside"),
        (["add", "a", "--quota=pods=many"], "a whole number is needed"),
        (["add", "a", "--external=root:x", "--binder-user=u", "--admin-user=v"], "its owner decides"),
        (["add", "a", "--external=root:x"], "pipeline-service:tenants.a.external.binders"),
        (["retire", "demo"], "give --export-to FILE"),
        (["retire", "demo", "--export-to=/nowhere/at/all"], "there is no such folder"),
        (["retire", "demo", "--export-to=Pulumi.yaml"], "Pulumi.yaml: it exists already"),
        (["kubeconfig", "demo", "--as=alice"], "environment has none; bring it up: run `make up`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_nothing_is_written(
    project: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert said in refused(project, *arguments)


def test_the_tenant_that_is_there_already_is_shown_by_the_command_that_is_named(project: Path) -> None:
    said = refused(project, "add", "demo")
    command = said.strip().partition(": .venv/bin/python -m operations ")[2].split()
    assert "tenant demo\n" in CliRunner().invoke(app, [*command, f"--project={project}"]).stdout


def test_what_cannot_be_edited_is_named_as_all_keys_are_with_a_check_that_runs(project: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("    demo:\n", "    demo:\n      <<: {suspended: true}\n"))
    said = refused(project, "resume", "demo")
    assert said.startswith("tenant resume: pipeline-service:tenants.demo.suspended: it is written in a way")
    command = said.strip().partition("check it: .venv/bin/python -m operations ")[2].split()
    assert CliRunner().invoke(app, [*command, f"--project={project}"]).exit_code == 0


def test_a_tenant_that_does_not_fit_into_the_pool_is_refused(project: Path) -> None:
    said = refused(project, "add", "a", "--quota=cpu=500", stack="production")
    assert "pipeline-service:pools.default.capacity.cpu" in said


def test_the_last_who_may_bind_is_not_taken_away(project: Path) -> None:
    said = refused(project, "revoke", "research", "binder", "--group=research-platform", stack="staging")
    assert "nobody could bind the cluster's API in its workspace any more; grant somebody else first" in said


def test_roles_in_an_external_workspace_are_its_owners_to_give(project: Path) -> None:
    said = refused(project, "grant", "research", "viewer", "--user=x", stack="staging")
    assert (
        "(root:example:research:pipelines-staging) is external, and its owner gives the roles there" in said
    )


def test_an_external_tenant_retires_without_an_export(project: Path) -> None:
    said = refused(project, "retire", "research", "--export-to=x", stack="staging")
    assert "leave --export-to out" in said
    assert done(project, "retire", "research", stack="staging") == ["+      retired: {}"]


def test_a_retired_tenant_is_not_resumed_by_the_way(project: Path) -> None:
    done(project, "retire", "research", stack="staging")
    assert "take `retired` out of its entry by hand" in refused(
        project, "resume", "research", stack="staging"
    )


def test_a_second_export_takes_the_place_of_the_first_ones_digest(project: Path) -> None:
    file = StackFile.read(project / "Pulumi.dev.yaml")
    first, second = (hashlib.sha256(text).hexdigest() for text in (b"1", b"2"))
    after = tenant.retire(tenant.retire(file, "demo", first), "demo", second)
    assert [line for line in after.diff(file).splitlines() if line.startswith("+ ")] == [
        f"+      retired: {{export: {second}}}"
    ]


def test_without_a_credential_for_kcp_nothing_is_exported_and_nothing_written(project: Path) -> None:
    said = refused(project, "retire", "demo", f"--export-to={project / 'demo.yaml'}")
    assert "kcp (.local/kcp/admin.kubeconfig): the kubeconfig file doesn't exist" in said
    said = refused(project, "retire", "storefront", f"--export-to={project / 'x.yaml'}", stack="staging")
    assert 'export KCP_KUBECONFIG="$(cat KUBECONFIG-FILE)"' in said


def test_what_cannot_be_written_is_told_with_its_name_and_why(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(project, "retire", "demo", f"--export-to={'x' * 300}")
    assert f"tenant retire: {'x' * 300}: it can't be read or written (File name too long); " in said

    def read_only(dir: Path, prefix: str) -> None:  # noqa: A002 -- as it is called
        raise OSError(errno.EROFS, "Read-only file system", f"{dir}/{prefix}1")

    monkeypatch.setattr("tempfile.mkstemp", read_only)
    result = run(project, "grant", "demo", "viewer", "--user=carol")
    assert result.exit_code == 1
    assert (
        f"tenant grant: {project}/.Pulumi.dev.yaml.1: it can't be read or written (Read-only" in result.stderr
    )
    assert changed(project) == []


def test_a_file_that_is_wrong_already_is_not_edited(project: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    path.write_text(path.read_text().replace("cluster: local-a", "cluster: local-x"))
    assert '"local-x": there is no such compute cluster' in refused(project, "suspend", "demo")


def test_a_file_that_somebody_changed_meanwhile_is_left_to_them(project: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    before = StackFile.read(path)
    after = tenant.suspend(before, "demo", stop=False)
    path.write_text(before.text + "# mine\n")
    with pytest.raises(OperationError, match="somebody has changed it meanwhile"):
        after.write(before)
    assert path.read_text() == before.text + "# mine\n"


def test_mode_and_link_of_the_file_stay(project: Path, tmp_path: Path) -> None:
    path = project / "Pulumi.dev.yaml"
    target = tmp_path / "elsewhere.yaml"
    path.rename(target)
    target.chmod(0o640)
    path.symlink_to(target)
    done(project, "suspend", "demo")
    assert path.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert "suspended: true" in target.read_text()


def test_the_edit_is_checked_before_it_is_written(project: Path) -> None:
    file = StackFile.read(project / "Pulumi.dev.yaml")
    path = (*file.section("tenants"), "demo", "quota", "cpu")
    with pytest.raises(Exception, match="not a Kubernetes quantity"):
        file.edited(stack_file.put(file.text, path, "lots"))


def test_a_revocation_tells_what_it_does_not_take(project: Path) -> None:
    told = run(project, "revoke", "payments", "developer", "--group=payments", stack="production").stdout
    assert "note: tokens of service accounts that they had made stay" in told
    assert "tenant show payments --stack production --live" in told
    done(project, "grant", "demo", "admin", "--user=carol")
    told = run(project, "revoke", "demo", "admin", "--user=carol").stdout
    assert "made, and the bindings by which they gave roles to others or to themselves, stay" in told
    assert "note" not in run(project, "revoke", "demo", "viewer", "--user=bob").stdout


def test_show_says_where_a_tenant_is_and_who_may_do_what(project: Path) -> None:
    shown = run(project, "show", "payments", stack="production").stdout
    assert "  workspace: root:example:pipelines:tenants:payments\n" in shown
    assert "  cluster: east-0 (pool default, cordoned)\n" in shown
    assert "    developers: groups payments\n" in shown
    assert "    build: payments-build-59677b03f0d8\n" in shown
    facts = json.loads(run(project, "show", "research", "--json", stack="production").stdout)
    assert facts["settings"]["external"]["binders"]["groups"] == ["research-platform"]
    # What its owner decides on is no limit of ours.
    assert {"access", "incarnation"}.isdisjoint(facts["settings"])
    assert set(facts["settings"]["quota"]) == {"cpu", "memory", "pods", "storage"}
    assert facts["live"] is None


def test_a_kubeconfig_is_the_users_own_at_the_tenants_workspace(project: Path) -> None:
    users = project / ".local" / "users"
    users.mkdir(parents=True)
    cluster = {"name": "c", "cluster": {"server": "https://kcp:6443/clusters/root"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "alice-token"}}
    document = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}
    (users / "alice.kubeconfig").write_text(json.dumps(document))
    printed = json.loads(run(project, "kubeconfig", "demo", "--as=alice").stdout)
    assert printed["users"][0]["user"] == {"token": "alice-token"}
    assert (
        printed["clusters"][0]["cluster"]["server"]
        == "https://kcp:6443/clusters/root:pipeline-service:tenants:demo"
    )
    assert 'did you mean "alice"?' in refused(project, "kubeconfig", "demo", "--as=alcie")


def test_no_kubeconfig_is_printed_for_a_stack_that_is_not_local(project: Path) -> None:
    users = project / ".local" / "users"
    users.mkdir(parents=True)
    (users / "alice.kubeconfig").write_text("never read")
    said = refused(project, "kubeconfig", "payments", "--as=alice", stack="production")
    assert "it is not local (pipeline-service:computeClusters.canary-1.kubeconfig, " in said
    assert "users log in at kcp's identity provider" in said


def test_the_commands_need_neither_engine_nor_kubectl(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert done(project, "add", "team-a") == ["+    team-a:", "+      cluster: local-b"]
