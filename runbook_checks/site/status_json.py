"""``status.json``, what programs read of the site."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from runbook_checks.documents import status_document

if TYPE_CHECKING:
    from runbook_checks.site.publication import Publication


def publish(site: Publication) -> None:
    """Write ``status.json``."""
    document = status_document(site.entries, site.built_at, site.url)
    site.write("status.json", json.dumps(document, ensure_ascii=False, indent=2) + "\n")
