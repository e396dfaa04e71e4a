"""YAML of the GitOps repository, which Go reads: Argo CD, kubectl.

Go's YAML and PyYAML don't agree on what is a text: `7420381e8997` written without quotes is a number to Go,
and `y` is true to some. So every text has quotes that isn't a plain word to all of them.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORD: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9._/@:-]*[A-Za-z0-9])?")
"""What begins with a letter is no number and no date."""

_NOT_TEXTS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that are something else to one reader or another, in any case of letters."""


class _Writer(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write what two objects share in each of them."""
        del data
        return True


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if _WORD.fullmatch(text) and text.lower() not in _NOT_TEXTS:
        style = None
    elif "\n" in text and not text[0].isspace():
        # A block, so that a diff shows lines; where YAML has no block for a text, this becomes quotes.
        style = "|"
    else:
        style = '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)


def write(manifest: Mapping[str, Any]) -> str:
    """Write an object.

    Parameters
    ----------
    manifest
        The object.
    """
    return yaml.dump(
        dict(manifest),
        Dumper=_Writer,
        sort_keys=True,
        default_flow_style=False,
        explicit_start=True,
        width=math.inf,
    )
