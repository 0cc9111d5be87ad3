"""Finding what a page asks for by name, and where procedures stand on the site."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from mkdocs.utils import get_relative_url

from runbook_checks.errors import UsageError
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook_checks.model import FigureBound, Procedure
    from runbook_checks.report import Entry


@dataclass(frozen=True)  # without slots, which cached_property cannot do with
class Lookup:
    """The entries of a report, and the address of each page of the site by its path in the repository."""

    entries: tuple[Entry, ...]
    urls: Mapping[str, str] = field(default_factory=dict)
    directory_urls: bool = True  # MkDocs's `use_directory_urls`

    def of(self, procedure_id: str) -> tuple[Entry, ...]:
        """Return a procedure's entries, one per environment; raises UsageError for an unknown public id."""
        if procedure_id not in self._by_id:
            raise _unknown("procedure", procedure_id, self._by_id)
        return self._by_id[procedure_id]

    def found(self, procedure_id: str) -> tuple[Entry, ...]:
        """Return a procedure's entries, none for one that is meant to run in no environment."""
        return self._by_id.get(procedure_id, ())

    @cached_property
    def _by_id(self) -> Mapping[str, tuple[Entry, ...]]:
        found: dict[str, tuple[Entry, ...]] = {}
        for entry in self.entries:
            found[entry.procedure.id] = (*found.get(entry.procedure.id, ()), entry)
        return found

    def entry(self, procedure_id: str, environment: str = "") -> Entry:
        """Return a procedure's entry in an environment, the first configured one for no name; raises UsageError."""
        entries = self.of(procedure_id)
        for entry in entries:
            if environment in {"", entry.environment}:
                return entry
        raise _unknown("environment", environment, (entry.environment for entry in entries))

    def figure(self, procedure_id: str, name: str) -> FigureBound:
        """Return a figure that a procedure's card lists; raises UsageError when it lists none of that name."""
        bounds = self.of(procedure_id)[0].procedure.card.figures
        for bound in bounds:
            if bound.name == name:
                return bound
        raise _unknown(f"figure of `{procedure_id}`", name, (bound.name for bound in bounds))

    def select(self, *, page: str = "", status: str = "", owner: str = "", environment: str = "") -> tuple[Entry, ...]:
        """Return the entries that are so (a page by its path or stem); raises UsageError for unknowns."""
        pages = {name for entry in self.entries for name in _names(entry.procedure.page)}
        if page and page not in pages:
            raise _unknown("runbook page", page, pages)
        if status and status not in {each.value for each in Status}:
            raise _unknown("status", status, (each.value for each in Status))
        owners = {entry.runbook.owner for entry in self.entries}
        if owner and owner not in owners:
            raise _unknown("owner", owner, owners)
        environments = {entry.environment for entry in self.entries}
        if environment and environment not in environments:
            raise _unknown("environment", environment, environments)
        return tuple(
            entry
            for entry in self.entries
            if (not page or page in _names(entry.procedure.page))
            and status in {"", entry.status.value}
            and owner in {"", entry.runbook.owner}
            and environment in {"", entry.environment}
        )

    def url(self, procedure: Procedure) -> str:
        """Return where a procedure stands, from the root of the site, or nothing when its page is not on the site."""
        return f"{self.urls[procedure.page]}#{procedure.anchor}" if procedure.page in self.urls else ""

    def href(self, procedure: Procedure, page_url: str) -> str:
        """Return where a procedure stands, seen from a page of the site, or nothing when its page is not on it."""
        if procedure.page not in self.urls:
            return ""
        url = self.urls[procedure.page]
        return f"#{procedure.anchor}" if url == page_url else f"{get_relative_url(url, page_url)}#{procedure.anchor}"

    def evidence_url(self, procedure: Procedure) -> str:
        """Return where the evidence of a procedure stands, from the root of the site, quoted as in a link."""
        return f"evidence/{quote(procedure.id)}" + ("/" if self.directory_urls else ".html")

    def permalink(self, procedure: Procedure) -> str:
        """Return the address of a procedure that survives renames, from the root of the site, quoted as in a link."""
        return f"p/{quote(procedure.id)}/" + ("" if self.directory_urls else "index.html")

    def evidence_href(self, procedure: Procedure, page_url: str) -> str:
        """Return where the evidence of a procedure stands, seen from a page of the site."""
        return get_relative_url(self.evidence_url(procedure), page_url)


def _names(page: str) -> frozenset[str]:
    return frozenset({page, PurePosixPath(page).name, PurePosixPath(page).stem})


def _unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    names = sorted(set(known) - {""})
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean `{close[0]}`?" if close else f"there is {', '.join(names) or 'none'}"
    return UsageError(f"there is no {what} `{name}`; {hint}")
