"""The words settings are made of: constrained types and enumerations."""

import ipaddress
import re
import ssl
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from components.tenant_manifests import QUOTA_NAMESPACE
from releases.catalog import catalog
from stacks.problems import refuse

CLUSTER_NAME_MAX: Final = 40
TENANT_NAME_MAX: Final = 40
POOL_NAME_MAX: Final = 40
NAMESPACE_NAME_MAX: Final = 63
WORKSPACE_NAME_MAX: Final = 63
WORKSPACE_PATH_MAX: Final = 200
HOST_NAME_MAX: Final = 253
COUNT_MAX: Final = 100_000
OVERCOMMIT_MAX: Final = 100

KCP_TARGET: Final = "kcp"
"""Name of kcp beside the compute clusters' (`.run/<stack>/kubeconfigs`): none of them can have it."""

RESERVED_NAMESPACES: Final = ("kube-", "kcp-", "pipeline-service", "tekton-")
"""Beginnings of namespaces' names that belong to the platform, not to a tenant."""

_LABEL: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_PATH: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_QUANTITY: Final = re.compile(
    r"(?P<number>[0-9]{1,12}(\.[0-9]{1,9})?|\.[0-9]{1,9})(?P<unit>m|k|[KMGTPE]i|[MGTPE])?"
)
_FACTORS: Final = (
    {"": Decimal(1), "m": Decimal("0.001"), "k": Decimal(1000)}
    | {unit: Decimal(1000) ** power for power, unit in enumerate("MGTPE", start=2)}
    | {f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", start=1)}
)
_SECRET_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_OUTPUT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ENVIRONMENT_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]*")
_STACK_NAME: Final = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+){2}")
HOST_LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""Pattern of a part of a host's name."""
_HOST: Final = rf"{HOST_LABEL}(\.{HOST_LABEL})*"
_HOST_NAME: Final = re.compile(_HOST)
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_SERVICE_ACCOUNT: Final = re.compile(rf"{_LABEL.pattern}/{_SUBDOMAIN.pattern}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REPOSITORY_URL: Final = re.compile(
    rf"https://{_HOST}(:\d{{1,5}})?(/[A-Za-z0-9._~-]+){{2,}}/?", re.IGNORECASE
)
_HTTPS_PORT: Final = re.compile(r":0*443$")
_BRANCH_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_FOLDER_PATH: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_LABEL_KEY: Final = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
)
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class ClusterState(StrEnum):
    """What may happen on a compute cluster."""

    ACTIVE = "active"
    CORDONED = "cordoned"
    DRAINING = "draining"
    UNREACHABLE = "unreachable"
    GONE = "gone"


class Distribution(StrEnum):
    """The kind of Kubernetes a compute cluster is."""

    KUBERNETES = "kubernetes"
    OPENSHIFT = "openshift"


class Egress(StrEnum):
    """What the pods of a tenant may reach outside their cluster."""

    OPEN = "open"
    CLOSED = "closed"


class OnSuspension(StrEnum):
    """What becomes of running work when a tenant is suspended."""

    FINISH = "finish"
    STOP = "stop"


def amount(quantity: str) -> Decimal:
    """Read a quantity.

    Parameters
    ----------
    quantity
        A Kubernetes quantity that has been validated, such as `500m` or `16Gi`.

    Returns
    -------
    Decimal
        Cores of CPU, or bytes.
    """
    match = _QUANTITY.fullmatch(quantity)
    if match is None:
        raise ValueError(f"not a quantity: {quantity}")
    return Decimal(match["number"]) * _FACTORS[match["unit"] or ""]


def repository_identity(url: str) -> str:
    """Reduce a repository's URL to what tells it from others.

    Parameters
    ----------
    url
        A URL that has been validated.

    Returns
    -------
    str
        Host and path in lower case, without https' own port, a last `/` or `.git`.
    """
    host, slash, path = url.lower().removeprefix("https://").rstrip("/").removesuffix(".git").partition("/")
    return f"{_HTTPS_PORT.sub('', host)}{slash}{path}"


def is_secret_key(value: str) -> bool:
    """Tell whether a text can be the key of a secret.

    Parameters
    ----------
    value
        The text.
    """
    return _SECRET_KEY.fullmatch(value) is not None


def _label(value: str, *, longest: int) -> str:
    if len(value) > longest:
        refuse(f"the name has {len(value)} characters", f"use {longest} at most")
    if not _LABEL.fullmatch(value):
        refuse(
            "not a DNS label",
            "use lower-case letters, digits and hyphens, beginning with a letter and not ending in a hyphen",
        )
    return value


def _cluster_name(value: str) -> str:
    if value == KCP_TARGET:
        refuse("the name is reserved for kcp itself", f"use another than {KCP_TARGET}")
    return _label(value, longest=CLUSTER_NAME_MAX)


def _pool_name(value: str) -> str:
    return _label(value, longest=POOL_NAME_MAX)


def _tenant_name(value: str) -> str:
    return _label(value, longest=TENANT_NAME_MAX)


def _namespace_name(value: str) -> str:
    if value == QUOTA_NAMESPACE:
        refuse("kcp keeps this namespace for the quota of a workspace", "use another name")
    if value.startswith(RESERVED_NAMESPACES):
        refuse(
            "the namespace belongs to the platform",
            f"use a name that doesn't begin with {', '.join(RESERVED_NAMESPACES)}",
        )
    return _label(value, longest=NAMESPACE_NAME_MAX)


def _namespace_on_cluster(value: str) -> str:
    return _label(value, longest=NAMESPACE_NAME_MAX)


def _workspace_name(value: str) -> str:
    return _label(value, longest=WORKSPACE_NAME_MAX)


def _workspace_path(value: str) -> str:
    if (
        len(value) > WORKSPACE_PATH_MAX
        or not _PATH.fullmatch(value)
        or any(len(name) > WORKSPACE_NAME_MAX for name in value.split(":"))
    ):
        refuse(
            "not a kcp workspace path",
            "write it from the root, names joined by colons: root:team:service;"
            f" {WORKSPACE_PATH_MAX} characters at most, {WORKSPACE_NAME_MAX} in each name",
        )
    return value


def _quantity(value: str) -> str:
    if not _QUANTITY.fullmatch(value):
        refuse("not a Kubernetes quantity", 'write a number with a unit, in quotes: "500m", "8", "16Gi"')
    return value


def _subject_name(value: str) -> str:
    if not value or not value.isprintable() or value != value.strip():
        refuse(
            "not a user's or group's name",
            "write it as the identity provider gives it, without spaces around",
        )
    if value.startswith("system:"):
        # system:masters, system:authenticated … would open a tenant to everybody or to kcp's own machinery.
        refuse("names beginning with system: belong to kcp", "name the users or groups themselves")
    return value


def _service_account_name(value: str) -> str:
    if not _SERVICE_ACCOUNT.fullmatch(value):
        refuse(
            "not a service account",
            "write the namespace it has in the tenant's workspace, and its name: default/robot",
        )
    return value


def _sha256(value: str) -> str:
    if not _SHA256.fullmatch(value):
        refuse("not a sha256 digest", "write its 64 hexadecimal digits, as sha256sum FILE prints them")
    return value


def _secret_key(value: str) -> str:
    if not is_secret_key(value):
        refuse(
            "not a configuration key",
            "write the key alone, as in: pulumi config set --secret kcpKubeconfig",
        )
    return value


def _file_path(value: str) -> str:
    if not value or not value.isprintable():
        refuse("not a file's path", "write a path relative to the project's folder, or an absolute one")
    return value


def _plain_flag(value: object) -> object:
    # `pulumi config set KEY true` writes a text, and the engine hands every plain value over as one.
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _environment_variable(value: str) -> str:
    if not _ENVIRONMENT_VARIABLE.fullmatch(value):
        refuse(
            "not the name of an environment variable",
            "write the name alone, in capitals, such as EAST_KUBECONFIG",
        )
    return value


def _stack_name(value: str) -> str:
    if not _STACK_NAME.fullmatch(value):
        refuse("not a stack's full name", "write it as organization/project/stack")
    return value


def _output_name(value: str) -> str:
    if not _OUTPUT_NAME.fullmatch(value):
        refuse("not an output's name", "write the name of an output as pulumi stack output lists it")
    return value


def _host_name(value: str) -> str:
    if len(value) > HOST_NAME_MAX or not _HOST_NAME.fullmatch(value):
        refuse("not a DNS name", "write the name alone, in lower case, such as events.example.com")
    return value


def _repository_url(value: str) -> str:
    if not _REPOSITORY_URL.fullmatch(value):
        refuse(
            "not a repository's URL",
            "write https://HOST/OWNER/NAME, without user, password, query or fragment",
        )
    if {".", ".."} & {*value.split("/")}:
        refuse("its path has . or .. in it, which stand for other folders", "write the path itself")
    return value


def _branch_name(value: str) -> str:
    if not _BRANCH_NAME.fullmatch(value) or ".." in value or value.endswith(("/", ".", ".lock")):
        refuse("not a branch's name", "write the name alone, such as main")
    return value


def _folder_path(value: str) -> str:
    if not _FOLDER_PATH.fullmatch(value):
        refuse("not a folder in a repository", "write it from the repository's root: environments/production")
    return value


_ISSUER_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(:\d{1,5})?(/[A-Za-z0-9._~-]+)*/?")
_INSTANCE_URL: Final = re.compile(
    r"https://([A-Za-z0-9.-]|\{cluster\})+(:\d{1,5})?(/([A-Za-z0-9._~-]|\{cluster\})+)*"
)
_CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._~:/@+-]{1,255}")
_GIT_USER: Final = re.compile(r"[A-Za-z0-9._@+-]{1,255}")
_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----")

_IPV4_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_EVERYTHING_IPV6: Final = ipaddress.IPv6Network("::/0")


def _cidr(value: str) -> str:
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        network = None
    # As Kubernetes reads it: in no other spelling, and no IPv4 network dressed as an IPv6 one.
    mapped = isinstance(network, ipaddress.IPv6Network) and network.overlaps(_IPV4_MAPPED)
    if str(network) != value or (mapped and network != _EVERYTHING_IPV6):
        refuse("not a network", "write its first address and its length: 192.0.2.0/24, or 2001:db8::/32")
    return value


def _label_key(value: str) -> str:
    if not _LABEL_KEY.fullmatch(value):
        refuse("not a label's key", "write letters, digits and -_. with an optional prefix: example.com/team")
    return value


def _label_value(value: str) -> str:
    if not _LABEL_VALUE.fullmatch(value):
        refuse("not a label's value", "write 63 letters, digits and -_. at most")
    return value


def _issuer_name(value: str) -> str:
    if not _SUBDOMAIN.fullmatch(value):
        refuse("not the name of an issuer", "write the ClusterIssuer's metadata.name")
    return value


def _resource_name(value: str) -> str:
    if not _SUBDOMAIN.fullmatch(value):
        refuse("not the name of an object", "write its metadata.name")
    return value


def _issuer_url(value: str) -> str:
    if not _ISSUER_URL.fullmatch(value):
        refuse(
            "not an identity provider's URL",
            "write https://HOST or https://HOST/PATH, without user, query or fragment",
        )
    return value


def _instance_url(value: str) -> str:
    if not _INSTANCE_URL.fullmatch(value):
        refuse(
            "not the URL of each cluster's Argo CD",
            "write https://HOST or https://HOST/PATH, {cluster} standing for the cluster's name",
        )
    return value


def _client_id(value: str) -> str:
    if not _CLIENT_ID.fullmatch(value):
        refuse("not a client's name", "write it as the identity provider shows it, without spaces")
    return value


def _git_user(value: str) -> str:
    if not _GIT_USER.fullmatch(value):
        refuse("not a user's name", "write the name alone, without spaces or colons")
    return value


def _certificates(value: str) -> str:
    blocks = _CERTIFICATE.findall(value)
    if not blocks or _CERTIFICATE.sub("", value).strip():
        refuse("not certificates", "write them as PEM: -----BEGIN CERTIFICATE----- and so on, and no key")
    for block in blocks:
        try:
            ssl.PEM_cert_to_DER_cert(block)
        except ValueError:
            refuse("a certificate in it is broken", "copy the file anew, whole, with its line breaks")
    return value


def _text(
    pattern: re.Pattern[str] | str, *examples: str, longest: int | None = None, reserved: str = ""
) -> WithJsonSchema:
    """Tell editors what a text looks like: as much of its validator as JSON Schema can say.

    Parameters
    ----------
    pattern
        What the whole text matches.
    *examples
        Texts that are right.
    longest
        Most characters it may have.
    reserved
        Pattern of texts that are refused all the same.
    """
    text = pattern if isinstance(pattern, str) else pattern.pattern
    # Languages write a group's name in different ways.
    unnamed = re.sub(r"\(\?P<\w+>", "(", text)
    schema: dict[str, Any] = {"type": "string", "pattern": f"^({unnamed})$"}
    if longest is not None:
        schema["maxLength"] = longest
    if reserved:
        schema["not"] = {"pattern": f"^({reserved})"}
    return WithJsonSchema({**schema, "examples": list(examples)})


_PLATFORM: Final = "|".join((*RESERVED_NAMESPACES, f"{QUOTA_NAMESPACE}$"))

ClusterName = Annotated[
    str,
    AfterValidator(_cluster_name),
    _text(_LABEL, "east-1", longest=CLUSTER_NAME_MAX, reserved=f"{KCP_TARGET}$"),
]
PoolName = Annotated[str, AfterValidator(_pool_name), _text(_LABEL, "default", longest=POOL_NAME_MAX)]
TenantName = Annotated[str, AfterValidator(_tenant_name), _text(_LABEL, "team-a", longest=TENANT_NAME_MAX)]
NamespaceName = Annotated[
    str,
    AfterValidator(_namespace_name),
    _text(_LABEL, "default", longest=NAMESPACE_NAME_MAX, reserved=_PLATFORM),
]
WorkspaceName = Annotated[
    str, AfterValidator(_workspace_name), _text(_LABEL, "pipeline-service", longest=WORKSPACE_NAME_MAX)
]
NamespaceOnCluster = Annotated[
    str, AfterValidator(_namespace_on_cluster), _text(_LABEL, "monitoring", longest=NAMESPACE_NAME_MAX)
]
WorkspacePath = Annotated[
    str, AfterValidator(_workspace_path), _text(_PATH, "root", "root:org:team", longest=WORKSPACE_PATH_MAX)
]
Quantity = Annotated[str, AfterValidator(_quantity), _text(_QUANTITY, "500m", "8", "16Gi")]
SubjectName = Annotated[str, AfterValidator(_subject_name), _text(r"\S(.*\S)?", "alice", reserved="system:")]
ServiceAccountName = Annotated[
    str, AfterValidator(_service_account_name), _text(_SERVICE_ACCOUNT, "default/robot")
]
Sha256 = Annotated[str, AfterValidator(_sha256), _text(_SHA256, "0" * 64)]
SecretKey = Annotated[str, AfterValidator(_secret_key), _text(_SECRET_KEY, "kcpKubeconfig")]
FilePath = Annotated[str, AfterValidator(_file_path), _text(r".+", "secrets/east-1.kubeconfig")]
Flag = Annotated[bool, Field(strict=True)]
PlainFlag = Annotated[Flag, BeforeValidator(_plain_flag)]
Count = Annotated[int, Field(strict=True, ge=1, le=COUNT_MAX)]
Incarnation = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
EnvironmentVariable = Annotated[
    str, AfterValidator(_environment_variable), _text(_ENVIRONMENT_VARIABLE, "EAST_KUBECONFIG")
]
StackName = Annotated[str, AfterValidator(_stack_name), _text(_STACK_NAME, "organization/project/stack")]
OutputName = Annotated[str, AfterValidator(_output_name), _text(_OUTPUT_NAME, "kcpKubeconfig")]
HostName = Annotated[
    str, AfterValidator(_host_name), _text(_HOST_NAME, "events.example.com", longest=HOST_NAME_MAX)
]
RepositoryUrl = Annotated[
    str,
    AfterValidator(_repository_url),
    _text(
        r"[hH][tT][tT][pP][sS]://[^/@?#\s]+(/[A-Za-z0-9._~-]+){2,}/?", "https://git.example.com/team-a/app"
    ),
]
BranchName = Annotated[str, AfterValidator(_branch_name), _text(_BRANCH_NAME, "main")]
FolderPath = Annotated[str, AfterValidator(_folder_path), _text(_FOLDER_PATH, "clusters")]
Cidr = Annotated[
    str, AfterValidator(_cidr), _text(r"[0-9a-fA-F.:]+(/\d{1,3})?", "192.0.2.0/24", "2001:db8::/32")
]
LabelKey = Annotated[str, AfterValidator(_label_key), _text(_LABEL_KEY, "example.com/team")]
LabelValue = Annotated[str, AfterValidator(_label_value), _text(_LABEL_VALUE, "team-a")]
ReleaseName = Annotated[str, WithJsonSchema({"type": "string", "enum": sorted(catalog())})]
ReleaseVersion = Annotated[str, _text(r"v\d+\.\d+\.\d+", "v1.6.0")]
ResourceName = Annotated[str, AfterValidator(_resource_name), _text(_SUBDOMAIN, "public")]
IssuerName = Annotated[str, AfterValidator(_issuer_name), _text(_SUBDOMAIN, "letsencrypt")]
IssuerUrl = Annotated[
    str, AfterValidator(_issuer_url), _text(_ISSUER_URL, "https://login.example.com/realms/sre")
]
InstanceUrl = Annotated[
    str, AfterValidator(_instance_url), _text(_INSTANCE_URL, "https://argocd.{cluster}.example.com")
]
ClientId = Annotated[str, AfterValidator(_client_id), _text(_CLIENT_ID, "argocd")]
GitUser = Annotated[str, AfterValidator(_git_user), _text(_GIT_USER, "git", "x-token-auth")]
Certificates = Annotated[
    str,
    AfterValidator(_certificates),
    _text(r"\s*-----BEGIN CERTIFICATE-----(.|\s)*", "-----BEGIN CERTIFICATE-----\n…"),
]
