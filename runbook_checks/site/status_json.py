"""``status.json``, what programs read of the site, and the JSON Schema that says what is in it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

from runbook_checks.documents import Addresses, status_document

if TYPE_CHECKING:
    from runbook_checks.site.publication import Publication

SCHEMA = files("runbook_checks.site").joinpath("schemas", "status.json")


def publish(site: Publication) -> None:
    """Write ``status.json`` and its schema."""
    document = status_document(site.entries, site.built_at, Addresses(site.url, site.evidence_url, site.permalink))
    site.write("status.json", json.dumps(document, indent=2) + "\n")
    site.write("schemas/status.json", SCHEMA.read_text(encoding="utf-8"))
