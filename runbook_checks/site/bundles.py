"""The style sheets and scripts of the site, one file of each kind, under a name that changes with its content."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import rcssmin
import rjsmin

_MINIFIERS = {".css": rcssmin.cssmin, ".js": rjsmin.jsmin}


def bundles() -> dict[str, str]:
    """Return the content of each bundle by its address: all parts of one kind, in order of their names, minified."""
    found = {}
    parts = sorted(files("runbook_checks.site").joinpath("assets").iterdir(), key=lambda part: part.name)
    for kind in _MINIFIERS:
        content = "".join(
            minified(kind, part.read_text(encoding="utf-8")) for part in parts if part.name.endswith(kind)
        )
        found[f"assets/runbook-checks.{hashlib.sha256(content.encode()).hexdigest()[:8]}{kind}"] = content
    return found


@cache  # `site serve` builds again and again
def minified(kind: str, text: str) -> str:
    """Return a style sheet or a script without comments and blanks, on lines of its own."""
    return f"{_MINIFIERS[kind](text)}\n"
