"""The style sheets and scripts of the site, one file of each kind, under a name that changes with its content."""

from __future__ import annotations

import hashlib
from importlib.resources import files

_KINDS = (".css", ".js")


def bundles() -> dict[str, str]:
    """Return the content of each bundle by its address: all parts of one kind, in the order of their names."""
    found = {}
    parts = sorted(files("runbook_checks.site").joinpath("assets").iterdir(), key=lambda part: part.name)
    for kind in _KINDS:
        content = "".join(part.read_text(encoding="utf-8") for part in parts if part.name.endswith(kind))
        found[f"assets/runbook-checks.{hashlib.sha256(content.encode()).hexdigest()[:8]}{kind}"] = content
    return found
