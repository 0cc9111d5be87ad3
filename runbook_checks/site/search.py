"""The search index of the site: an alert's name finds its procedure before anything else."""

from __future__ import annotations

import json
import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.report import Entry
    from runbook_checks.site.publication import Publication

INDEX = "search/search_index.json"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Material searches every field that the index's own configuration names. A result shows `tags`; the words of the names
# are found and not shown: https://squidfunk.github.io/mkdocs-material/plugins/search/
_WORDS = "alert_words"
_BOOST = 1_000_000.0  # that of tags; titles have a thousand


def publish(site: Publication) -> None:
    """Put alerts and tags of each procedure into the search index, where there is one."""
    path = site.folder / INDEX
    if not path.is_file():
        return
    index = json.loads(path.read_text(encoding="utf-8"))
    on_site = (entry for entry in site.entries if site.lookup.url(entry.procedure))
    if mark(index, {_location(site, entry): entry for entry in on_site}.items()):
        site.write(INDEX, json.dumps(index, ensure_ascii=False, separators=(",", ":")))


def mark(index: dict[str, Any], places: Iterable[tuple[str, Entry]]) -> bool:
    """Give each procedure's section of the index, found by its location, its names; return whether any has some."""
    sections = {section["location"]: section for section in index["docs"]}
    changed = False
    for location, entry in places:
        card = entry.procedure.card
        names = (*card.alerts, *card.tags)
        # A procedure that is the page's first heading has no anchor there.
        section = sections.get(location) or sections.get(location.partition("#")[0])
        if not names or section is None:
            continue
        # Material puts tags into its results as HTML.
        ours = [[escape(name, quote=False) for name in names] for names in (card.alerts, card.tags)]
        section["tags"] = list(dict.fromkeys([*ours[0], *section.get("tags", ()), *ours[1]]))
        section[_WORDS] = " ".join(words(name) for name in card.alerts)
        changed = True
    if changed and "fields" in index["config"]:
        index["config"]["fields"][_WORDS] = {"boost": _BOOST}
    return changed


def words(name: str) -> str:
    """Return the words of an alert's name as somebody types them: ``HTTPErrorRate`` is ``http error rate``."""
    return " ".join(_WORD.findall(name)).lower()


def _location(site: Publication, entry: Entry) -> str:
    return site.lookup.url(entry.procedure).removeprefix("./")
