"""The catalogue of the embedded clusters' images."""

from pathlib import Path

import pytest

from components.own_images import SYNCER_IMAGE
from local import image_parts, images_tekton
from local.image_parts import Sources
from local.images import BUSYBOX_IMAGE, PAUSE_IMAGE, SYNCAGENT_IMAGE, images
from local.images_argocd import REDIS_IMAGE
from local.images_pipelines_as_code import pac_image
from local.images_tekton import SHELL_IMAGE, ko_image
from local.oci import ImageError, ImageSpec
from local.preflight import NODE_PACKAGES
from local.toolchain.catalog import (
    ARGO_CD,
    PIPELINES_AS_CODE,
    TEKTON,
    TEKTON_CHAINS,
    TEKTON_NEXT,
    TEKTON_RESULTS,
    TEKTON_TRIGGERS,
)
from releases.catalog import API_SYNCAGENT_CRDS, HAPROXY_IMAGE, PYTHON_IMAGE, TEKTON_PIPELINES, find

RELEASED = (TEKTON, TEKTON_NEXT, TEKTON_TRIGGERS, TEKTON_CHAINS, TEKTON_RESULTS, PIPELINES_AS_CODE, ARGO_CD)

LDD = """\
\tlinux-vdso.so.1 (0x00007f3095c91000)
\tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f3095bc7000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3095c93000)
"""


PROGRAMS = {
    "git": "git",
    "gpg": "gpg",
    "gpg-agent": "gpg-agent",
    "haproxy": "haproxy",
    "perl": "perl",
    "postgresql-15": "postgres",
    "python3": "python3",
    "redis-server": "redis-server",
}
"""Program of each package that an image is made of."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's files, with the commands that look into them answered from here."""
    exec_path = tmp_path / "git-core"
    exec_path.mkdir()
    for name in ("busybox", "tini", "git", "ca.crt", "git-core/git-remote-http"):
        (tmp_path / name).write_text(name)
    for package, program in PROGRAMS.items():
        file = tmp_path / "packages" / f"{package}_1.0_amd64" / "usr" / "bin" / program
        file.parent.mkdir(parents=True)
        file.touch(0o755)
    answers = {"--list": "[\nbusybox\ncat\ncp\nsh\nsleep\n", "--exec-path": f"{exec_path}\n"}

    def run(command: list[str], *, what: str) -> str:
        assert what
        return LDD if command[0] == "ldd" else answers[command[1]]

    for part in (image_parts, images_tekton):
        monkeypatch.setattr(part, "run", run)
    return tmp_path


def catalog(host: Path) -> dict[str, ImageSpec]:
    sources = Sources(
        program=lambda module, name: host / "tools" / module.name / name,
        # Both depend on perl, of which an image has no use.
        packages=lambda name: [host / "packages" / f"{part}_1.0_amd64" for part in (name, "perl")],
        busybox=host / "busybox",
        tini=host / "tini",
        git=host / "git",
        ca_bundle=host / "ca.crt",
    )
    specs = images(sources, RELEASED)
    assert len({s.name for s in specs}) == len(specs)
    return {s.name: s for s in specs}


def test_ko_names_are_those_of_upstreams_releases() -> None:
    # As seen in published manifests of Tekton Pipelines, from v0.9 on.
    assert ko_image("github.com/tektoncd/pipeline/cmd/controller", tag="v1.6.0") == (
        "ghcr.io/tektoncd/pipeline/controller-10a3e32792f33651396d02b6855a6e36:v1.6.0"
    )
    assert ko_image("github.com/tektoncd/pipeline/cmd/webhook", tag="v1.6.0") == (
        "ghcr.io/tektoncd/pipeline/webhook-d4749e605405422fd87700164e31b2d1:v1.6.0"
    )
    assert ko_image("github.com/tektoncd/chains/cmd/controller", tag="v0.26.0") == (
        "ghcr.io/tektoncd/chains/controller-92006fd957c0afd31de6a40b3e33b39f:v0.26.0"
    )


@pytest.mark.parametrize("part", ["controller", "watcher", "webhook"])
def test_pipelines_as_code_has_the_names_of_its_releases_and_a_user_that_is_not_root(
    host: Path, part: str
) -> None:
    command = f"pipelines-as-code-{part}"
    name = f"ghcr.io/openshift-pipelines/pipelines-as-code/{command}:{PIPELINES_AS_CODE.version}"
    assert pac_image(PIPELINES_AS_CODE.packages[command], tag=PIPELINES_AS_CODE.version) == name
    spec = catalog(host)[name]
    program = host / "tools" / "pipelines-as-code" / command
    assert spec.files[spec.entrypoint[0]].source == program
    # Its Deployments ask for runAsNonRoot and name no user.
    assert spec.user == "65532:65532"


def test_every_entrypoint_is_a_file_of_its_image_and_executable(host: Path) -> None:
    for spec in catalog(host).values():
        if not spec.entrypoint:
            continue
        program = spec.entrypoint[0]
        found = [
            path
            for path in (program, *(f"{folder}/{program}" for folder in spec.env["PATH"].split(":")))
            if path in spec.files
        ]
        assert found, spec.name
        assert spec.files[found[0]].mode & 0o111 == 0o111


@pytest.mark.parametrize("command", ["entrypoint", "workingdirinit", "sidecarlogresults"])
def test_tektons_own_commands_lie_where_its_code_starts_them(host: Path, command: str) -> None:
    specs = catalog(host)
    for module in (TEKTON, TEKTON_NEXT):
        spec = specs[ko_image(f"github.com/tektoncd/pipeline/cmd/{command}", tag=module.version)]
        assert spec.files[f"/ko-app/{command}"].source == host / "tools" / module.name / command


@pytest.mark.parametrize("version", [TEKTON.version, TEKTON_NEXT.version])
def test_the_resolvers_image_holds_what_its_deployment_and_the_git_resolver_start(
    host: Path, version: str
) -> None:
    spec = catalog(host)[ko_image("github.com/tektoncd/pipeline/cmd/resolvers", tag=version)]
    expected = {
        "/sbin/tini",
        "/usr/bin/git",
        "/lib/x86_64-linux-gnu/libz.so.1",
        "/lib64/ld-linux-x86-64.so.2",
    }
    assert expected <= spec.files.keys()
    assert spec.symlinks[str(host / "git-core" / "git-remote-https")] == "git-remote-http"
    assert b"65532" in spec.files["/etc/passwd"].source  # type: ignore[operator]


def test_haproxy_ends_in_good_order_by_the_signal_of_upstreams_image_and_can_pause_before(host: Path) -> None:
    spec = catalog(host)[HAPROXY_IMAGE]
    assert spec.stop_signal == "SIGUSR1"
    assert "/usr/bin/haproxy" in spec.files
    assert spec.symlinks["/usr/bin/sleep"] == "busybox"
    # Of what the package depends on, only what runs.
    assert not [path for path in spec.files if "perl" in path]


def test_all_that_may_call_out_trust_the_hosts_authorities(host: Path) -> None:
    for name, spec in catalog(host).items():
        has_bundle = "/etc/ssl/certs/ca-certificates.crt" in spec.files
        assert has_bundle == (name not in {BUSYBOX_IMAGE, SHELL_IMAGE, PAUSE_IMAGE, REDIS_IMAGE}), name


def test_python_is_found_where_upstreams_image_has_it(host: Path) -> None:
    spec = catalog(host)[PYTHON_IMAGE]
    for path in ("/usr/local/bin/python", "/usr/local/bin/python3"):
        assert spec.symlinks[path] in spec.files


@pytest.mark.parametrize("name", [BUSYBOX_IMAGE, SHELL_IMAGE])
def test_a_shell_image_has_every_applet(host: Path, name: str) -> None:
    spec = catalog(host)[name]
    assert {"/bin/sh", "/bin/cat", "/bin/cp", "/bin/[", "/bin/sleep", "/usr/bin/env"} == spec.symlinks.keys()


def test_tektons_script_containers_do_not_run_as_root_but_a_users_busybox_does(host: Path) -> None:
    # With root, the kubelet refused place-scripts: "container has runAsNonRoot and image will run as root".
    specs = catalog(host)
    assert specs[SHELL_IMAGE].user.split(":")[0] == "65532"
    assert specs[BUSYBOX_IMAGE].user.split(":")[0] == "0"


def test_a_busybox_without_a_shell_is_refused(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"--list": "cat\n", "--exec-path": f"{host / 'git-core'}\n"}
    for part in (image_parts, images_tekton):
        monkeypatch.setattr(
            part, "run", lambda command, **_: LDD if command[0] == "ldd" else answers[command[1]]
        )
    with pytest.raises(ImageError, match="no applet 'sh'; install busybox-static"):
        catalog(host)


@pytest.mark.parametrize(
    ("name", "package"), [("busybox", "busybox-static"), ("tini", "tini"), ("git", "git")]
)
def test_a_missing_package_is_named(host: Path, name: str, package: str) -> None:
    (host / name).unlink()
    with pytest.raises(ImageError, match=f"install the package {package}$"):
        catalog(host)
    assert package in NODE_PACKAGES.values()


def test_a_missing_library_is_named(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"--list": "sh\n", "--exec-path": f"{host / 'git-core'}\n"}
    for part in (image_parts, images_tekton):
        monkeypatch.setattr(
            part,
            "run",
            lambda command, **_: (
                "\tlibcurl.so.4 => not found\n" if command[0] == "ldd" else answers[command[1]]
            ),
        )
    with pytest.raises(ImageError, match=r"libraries libcurl\.so\.4 are missing"):
        catalog(host)


def test_what_the_program_deploys_is_what_the_environment_builds() -> None:
    assert f"{SYNCER_IMAGE}:{find(API_SYNCAGENT_CRDS).version}" == SYNCAGENT_IMAGE
    assert find(TEKTON_PIPELINES).version == TEKTON.version


def test_argocds_image_holds_what_its_manifest_and_its_code_start(host: Path) -> None:
    spec = catalog(host)[f"quay.io/argoproj/argocd:{ARGO_CD.version}"]
    # `cp` and the redis secret's `argocd` are init containers' commands; sh is what the scripts are for.
    for path in ("/usr/bin/git", "/usr/bin/gpg", "/usr/bin/tini", "/usr/local/bin/argocd"):
        assert spec.files[path].mode & 0o111 == 0o111
    for path in ("/usr/bin/cp", "/usr/bin/sh"):
        assert spec.symlinks[path] == "busybox"
    for name in ("argocd-server", "argocd-repo-server", "argocd-application-controller"):
        assert spec.symlinks[f"/usr/local/bin/{name}"] == "argocd"
    for script in ("gpg-wrapper.sh", "git-verify-wrapper.sh", "entrypoint.sh"):
        assert spec.files[f"/usr/local/bin/{script}"].source == host / "tools" / "argo-cd" / script
    assert spec.symlinks["/bin"] == "usr/bin"
    assert spec.user == "999:999"


def test_a_program_of_a_package_is_not_covered_by_busyboxs(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_parts, "run", lambda *_, **__: "sh\ngit\n")
    spec = catalog(host)[f"quay.io/argoproj/argocd:{ARGO_CD.version}"]
    assert "/usr/bin/git" not in spec.symlinks
    assert "/usr/bin/git" in spec.files


def test_what_only_maintainer_scripts_need_is_left_out(host: Path) -> None:
    specs = catalog(host)
    for name in (f"quay.io/argoproj/argocd:{ARGO_CD.version}", REDIS_IMAGE):
        assert "/usr/bin/perl" not in specs[name].files
