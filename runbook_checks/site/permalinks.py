"""Addresses of procedures that survive renames: a page per procedure that leads to it, and the old ids of cards."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urldefrag

from markupsafe import Markup

from runbook_checks.catalog import former_ids
from runbook_checks.errors import UsageError
from runbook_checks.site.render import redirect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook_checks.model import Procedure
    from runbook_checks.site.lookup import Lookup
    from runbook_checks.site.publication import Publication


def publish(site: Publication) -> None:
    """Write a page for every public id that a procedure has or had, which leads to where it stands now.

    Raises UsageError when a page of the site stands there already, or when it would lie outside the site.
    """
    for procedure in {entry.procedure.id: entry.procedure for entry in site.entries}.values():
        if not site.lookup.url(procedure):
            continue
        for public_id in (procedure.id, *former_ids(procedure)):
            name = f"p/{public_id}/index.html"
            if name in site.taken or (site.folder / name).exists():
                raise UsageError(
                    f"the page {name!r} is the permalink of {procedure.id}; give your page another address"
                )
            href = site.lookup.href(procedure, f"p/{public_id}/")
            canonical = site.url(procedure) if site.base_url else href
            site.write(name, redirect(procedure.title or procedure.id, href, urldefrag(canonical).url))


def moved(procedures: Iterable[Procedure], lookup: Lookup) -> Mapping[str, Mapping[str, str]]:
    """Return, for each page of the site by its path, where those heading ids lead that are no longer on it."""
    pages = defaultdict(list)
    for path in lookup.urls:
        pages[PurePosixPath(path).stem].append(path)
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for procedure in procedures:
        if not lookup.url(procedure):
            continue
        for stem, _, heading in (former.partition("/") for former in former_ids(procedure)):
            for path in {procedure.page, *pages[stem]}:
                found[path][heading] = lookup.href(procedure, lookup.urls[path])
    return found


def signpost(places: Mapping[str, str]) -> str:
    """Return what tells ``permalinks.js`` where the old ids of a page lead; nothing is shown of it."""
    return str(Markup('<div hidden data-rb-moved="{}"></div>').format(json.dumps(dict(sorted(places.items())))))
