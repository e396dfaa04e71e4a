"""The settings of Tekton Results: what is kept of runs, where, and how tenants' users reach it."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from components.exposure import ResultsExposure
from stacks.gateway_settings import ChosenNodePort, Port
from stacks.problems import refuse
from stacks.sections import SecretReference, Section
from stacks.vocabulary import Certificates, Flag, HostName, Quantity, ResourceName

_DATABASE_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")


def _database_name(value: str) -> str:
    if not _DATABASE_NAME.fullmatch(value):
        refuse("not a name of PostgreSQL", "use letters, digits, - and _, 63 at most, and no digit first")
    return value


DatabaseName = Annotated[
    str,
    AfterValidator(_database_name),
    WithJsonSchema(
        {"type": "string", "pattern": f"^{_DATABASE_NAME.pattern}$", "examples": ["tekton-results"]}
    ),
]


class ResultsLogsSettings(Section):
    """Where the logs of runs are kept: in a volume."""

    size: Quantity = Field(title="Size", description="Size (bytes) of the volume on each cluster.")
    storage_class: ResourceName | None = Field(
        default=None,
        title="Storage class",
        description="StorageClass of the volume; none: the cluster's default.",
    )


class ResultsSettings(Section):
    """Tekton Results, by which tenants' users see the TaskRuns and logs of their runs."""

    enabled: Flag = Field(
        default=False,
        title="Enabled",
        description="Whether each cluster gets Tekton Results; then each has its own results, too.",
    )
    tls: SecretReference | None = Field(
        default=None,
        title="TLS",
        description=(
            "Certificate with its chain and key (PEM) for the results.host of every cluster, which tenants'"
            " users see; required with enabled."
        ),
    )
    server_tls: SecretReference | None = Field(
        default=None,
        title="Server TLS",
        description=(
            "Certificate and key (PEM) of the API server of Results inside each cluster; it may be its own"
            " issuer; required with enabled."
        ),
    )
    logs: ResultsLogsSettings | None = Field(
        default=None,
        title="Logs",
        description="Where logs are kept; none: they aren't, and only runs and TaskRuns are.",
    )
    retention_days: Annotated[int, Field(strict=True, ge=1, le=3_650)] = Field(
        default=30,
        title="Retention",
        description=(
            "Days after its last change for which a run is kept in the database, also when it is gone"
            " everywhere else; what is older is deleted once a week."
        ),
    )

    @model_validator(mode="after")
    def _with_certificates(self) -> Self:
        for value, key in ((self.tls, "tls"), (self.server_tls, "serverTls")):
            if self.enabled and value is None:
                refuse(
                    f"{key} is missing: tokens go over these connections",
                    f"make a certificate (docs/results.md), set it by pulumi config set --secret KEY,"
                    f" and add {key}: {{secret: KEY}}",
                )
        return self


class ResultsDatabaseSettings(Section):
    """Somebody's own PostgreSQL, reached by TLS alone."""

    host: HostName = Field(
        title="Host", description="DNS name, as its certificate has it, by which the cluster's pods reach it."
    )
    port: Port = Field(default=5432, title="Port", description="Its port.")
    name: DatabaseName = Field(default="tekton-results", title="Name", description="Name of the database.")
    user: DatabaseName = Field(
        default="tekton-results", title="User", description="The database's owner, as whom Results signs in."
    )
    password: SecretReference = Field(title="Password", description="That user's password.")
    certificate_authority: Certificates | None = Field(
        default=None,
        title="Certificate authority",
        description="Certificates (PEM) by which the server is known; none: those that everybody knows.",
    )


class ClusterResultsSettings(Section):
    """The results of one cluster: its database, and where their reader is reached."""

    database: ResultsDatabaseSettings = Field(
        title="Database", description="Its database; give each cluster one of its own."
    )
    host: HostName = Field(title="Host", description="DNS name under which tenants' users reach its reader.")
    port: Port = Field(default=443, title="Port", description="Port by which they do.")
    exposure: ResultsExposure = Field(
        default=ResultsExposure.SERVICE,
        title="Exposure",
        description=(
            "What leads to it: service (of type LoadBalancer) or nodePort; clusterIP: what you put in front"
            " of it, which passes TLS on."
        ),
    )
    node_port: ChosenNodePort = None
