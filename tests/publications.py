"""A publication of given entries into a folder, for tests of what lies beside the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from records import NOW

from runbook_checks.catalog import Catalog
from runbook_checks.config import Config, Environment
from runbook_checks.report import Report
from runbook_checks.site.lookup import Lookup
from runbook_checks.site.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from runbook_checks.report import Entry


def publication(
    folder: Path,
    entries: Sequence[Entry],
    environments: Sequence[str] = ("staging",),
    *,
    base_url: str = "",
    built_at: datetime = NOW,
) -> Publication:
    urls = {
        entry.procedure.page: entry.procedure.page.removeprefix("docs/").removesuffix(".md") + "/" for entry in entries
    }
    return Publication(
        folder=folder,
        checks=Config(root=folder, environments=tuple(map(Environment, environments))),
        report=Report(Catalog(folder, ()), tuple(entries)),
        lookup=Lookup(tuple(entries), urls),
        built_at=built_at,
        base_url=base_url,
        site_name="Operations",
    )
