"""The credentials of the GitHub App: read and checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from stacks.problems import Problem, key_path, shown
from stacks.secret_sources import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from stacks.partial import Entry
    from stacks.pipelines_as_code_settings import PipelinesAsCodeSettings

_PLACE: Final = ("pipelinesAsCode", "githubApp")


@dataclass(frozen=True, kw_only=True)
class GitHubApp:
    """A GitHub App.

    Attributes
    ----------
    app_id
        Its number.
    private_key
        Its private key (RSA), as PEM.
    webhook_secret
        With what GitHub signs its events.
    """

    app_id: int
    private_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def read_github_app(
    settings: PipelinesAsCodeSettings, root: Path, values: Entry
) -> tuple[GitHubApp | None, list[Problem]]:
    """Read what the settings refer to; nothing of its value is ever told.

    Parameters
    ----------
    settings
        The settings of Pipelines as Code.
    root
        The project's folder.
    values
        The stack's configuration, secrets among it, by key.

    Returns
    -------
    tuple
        The App, where Pipelines as Code is on and it can be used, and what is wrong with it.
    """
    app = settings.github_app
    if app is None:
        return None, []
    key, problems = read_secret(app.private_key, [*_PLACE, "privateKey"], root, values)
    secret, wrong = read_secret(app.webhook_secret, [*_PLACE, "webhookSecret"], root, values)
    problems += wrong
    if key and not _is_rsa_key(key):
        source = app.private_key
        problems.append(
            Problem(
                key=key_path([*_PLACE, "privateKey", "path" if source.secret is None else "secret"]),
                value=shown(source.path if source.secret is None else source.secret),
                why="what is there is no RSA private key as PEM without a password",
                mend="generate one on the App's page at GitHub, and give the file as it is downloaded",
            )
        )
    if problems or not settings.enabled:
        return None, problems
    return GitHubApp(app_id=app.id, private_key=f"{key}\n", webhook_secret=secret), []


def _is_rsa_key(text: str) -> bool:
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except (ValueError, TypeError):
        return False
    return isinstance(key, rsa.RSAPrivateKey)
