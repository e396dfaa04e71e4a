"""What is built from which Go module; the versions stand in the ``go.mod`` files beside this one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Module:
    """A folder with a ``go.mod`` whose programs are built together.

    Parameters
    ----------
    name
        The folder's name.
    source
        The Go module that decides the version, as required in ``go.mod``.
    packages
        Main packages to build, by the name of the resulting program.
    links
        Further names of a program that acts by the name it is called by.
    variables
        Go string variables set at link time; ``{version}`` stands for the version without its ``v``,
        ``{major}`` and ``{minor}`` for its first two parts.
    extra_files
        Files of the source module that must stand, executable, beside the programs.
    probes
        For each program that may as well come from PATH: the arguments that print its version and the
        regular expression that a fitting version's output matches.
    """

    name: str
    source: str
    packages: Mapping[str, str]
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    extra_files: tuple[str, ...] = ()
    probes: Mapping[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The folder of ``go.mod`` and ``go.sum``."""
        return FOLDER / self.name

    @property
    def programs(self) -> tuple[str, ...]:
        """Every name that stands in the folder of programs after a build."""
        linked = (name for names in self.links.values() for name in names)
        return (*self.packages, *linked, *(Path(path).name for path in self.extra_files))

    @property
    def version(self) -> str:
        """The version of ``source`` that ``go.mod`` requires, e.g. ``v1.34.2``."""
        text = (self.folder / "go.mod").read_text()
        found = re.search(rf"^(?:require)?\s*{re.escape(self.source)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.folder / 'go.mod'} requires no version of {self.source}")
        return found[1]

    @property
    def flags(self) -> str:
        """Value of ``go build -ldflags``."""
        version = self.version.removeprefix("v")
        major, minor = version.split(".")[:2]
        values = (
            f"-X {name}={value.format(version=version, major=major, minor=minor)}"
            for name, value in sorted(self.variables.items())
        )
        return " ".join(("-s", "-w", *values))


_KUBERNETES_VERSION = "k8s.io/component-base/version"

PULUMI = Module(
    name="pulumi",
    source="github.com/pulumi/pulumi/pkg/v3",
    packages={"pulumi": "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"},
    # The Automation API and the SDK refuse an engine without a version.
    variables={"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": "v{version}"},
    probes={"pulumi": (("version",), r"^v3\.(2[2-9]\d|[3-9]\d\d)\.")},
)
PULUMI_LANGUAGE_PYTHON = Module(
    name="pulumi-language-python",
    source="github.com/pulumi/pulumi/sdk/v3",
    packages={"pulumi-language-python": "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python"},
    extra_files=("python/cmd/pulumi-language-python-exec",),
)
ETCD = Module(
    name="etcd",
    source="go.etcd.io/etcd/server/v3",
    packages={"etcd": "go.etcd.io/etcd/server/v3"},
    probes={"etcd": (("--version",), r"etcd Version: 3\.[4-6]\.")},
)
KUBERNETES = Module(
    name="kubernetes",
    source="k8s.io/kubernetes",
    packages={"kubernetes": "."},
    links={
        "kubernetes": (
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
            "kubectl",
            "kubelet",
        )
    },
    # Tekton's webhooks refuse a cluster whose version they can't read.
    variables={
        f"{_KUBERNETES_VERSION}.gitVersion": "v{version}",
        f"{_KUBERNETES_VERSION}.gitMajor": "{major}",
        f"{_KUBERNETES_VERSION}.gitMinor": "{minor}",
    },
)
KCP = Module(
    name="kcp",
    source="github.com/kcp-dev/kcp",
    packages={"kcp": "github.com/kcp-dev/kcp/cmd/kcp"},
    # kcp reports the Kubernetes version it is a fork of, with its own behind the plus sign.
    variables={
        f"{_KUBERNETES_VERSION}.gitVersion": "v1.32.3+kcp-v{version}",
        f"{_KUBERNETES_VERSION}.gitMajor": "1",
        f"{_KUBERNETES_VERSION}.gitMinor": "32",
    },
    probes={"kcp": (("--version",), r"kcp-v0\.28\.")},
)
API_SYNCAGENT = Module(
    name="api-syncagent",
    source="github.com/kcp-dev/api-syncagent",
    packages={"api-syncagent": "github.com/kcp-dev/api-syncagent/cmd/api-syncagent"},
)
_TEKTON_COMMANDS = (
    "controller",
    "entrypoint",
    "events",
    "nop",
    "resolvers",
    "sidecarlogresults",
    "webhook",
    "workingdirinit",
)


def _of_tekton(name: str, project: str, commands: tuple[str, ...]) -> Module:
    source = f"github.com/tektoncd/{project}"
    return Module(
        name=name,
        source=source,
        packages={command: f"{source}/cmd/{command}" for command in commands},
        # Else every pod says that it is of the release "unknown".
        variables={"knative.dev/pkg/changeset.rev": "v{version}"},
    )


TEKTON = _of_tekton("tekton", "pipeline", _TEKTON_COMMANDS)
TEKTON_NEXT = _of_tekton("tekton-next", "pipeline", _TEKTON_COMMANDS)
"""A later version of Tekton Pipelines, to upgrade to and to roll back from."""
TEKTON_TRIGGERS = _of_tekton(
    "tekton-triggers", "triggers", ("controller", "eventlistenersink", "interceptors", "webhook")
)
TEKTON_CHAINS = _of_tekton("tekton-chains", "chains", ("controller",))
TEKTON_RESULTS = _of_tekton("tekton-results", "results", ("api", "retention-policy-agent", "watcher"))
_PIPELINES_AS_CODE = "github.com/openshift-pipelines/pipelines-as-code"
PIPELINES_AS_CODE = Module(
    name="pipelines-as-code",
    source=_PIPELINES_AS_CODE,
    packages={
        f"pipelines-as-code-{command}": f"{_PIPELINES_AS_CODE}/cmd/pipelines-as-code-{command}"
        for command in ("controller", "watcher", "webhook")
    },
    # Else the runs it makes are labelled as those of a nightly build.
    variables={f"{_PIPELINES_AS_CODE}/pkg/params/version.Version": "v{version}"},
)
ARGO_CD = Module(
    name="argo-cd",
    source="github.com/argoproj/argo-cd/v3",
    packages={"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
    variables={"github.com/argoproj/argo-cd/v3/common.version": "{version}"},
    # Scripts that the repository server calls: its image holds them.
    extra_files=("entrypoint.sh", "hack/git-verify-wrapper.sh", "hack/gpg-wrapper.sh"),
)
COREDNS = Module(
    name="coredns",
    source="github.com/coredns/coredns",
    packages={"coredns": "github.com/coredns/coredns"},
)
KUBE_ROUTER = Module(
    name="kube-router",
    source="github.com/cloudnativelabs/kube-router/v2",
    packages={"kube-router": "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"},
    variables={"github.com/cloudnativelabs/kube-router/v2/pkg/version.Version": "v{version}"},
)
KWOK = Module(
    name="kwok",
    source="sigs.k8s.io/kwok",
    packages={"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
    variables={"sigs.k8s.io/kwok/pkg/consts.Version": "v{version}"},
    probes={"kwok": (("--version",), r"v0\.7\.")},
)

CORE = (ETCD, PULUMI, PULUMI_LANGUAGE_PYTHON, KUBERNETES, KCP)
WITH_NODES = (*CORE, API_SYNCAGENT, COREDNS, KUBE_ROUTER)
"""What every embedded environment with real nodes needs; what a stack needs beside it: `local.assembled`."""
SIMULATED = (*CORE, API_SYNCAGENT, KWOK)
