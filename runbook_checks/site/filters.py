"""By what a table of procedures can be filtered, and the values that there are to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook_checks.report import Entry

MANY = 8  # rows; a table of more is filterable unless it is told otherwise


@dataclass(frozen=True, slots=True)
class Choice:
    """A value as the address of a filtered view has it, and as a reader sees it."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Filter:
    """A property of procedures, and the values of it that there are."""

    name: str
    choices: tuple[Choice, ...]


def filters(entries: Sequence[Entry]) -> tuple[Filter, ...]:
    """Return the filters that tell these entries apart."""
    pages: dict[str, dict[str, None]] = {}  # several pages may have one name
    for entry in entries:
        pages.setdefault(stem(entry.procedure.page), {})[entry.runbook.title] = None
    found = (
        Filter("page", tuple(Choice(value, " and ".join(titles)) for value, titles in pages.items())),
        Filter("status", tuple(Choice(status.value, status.value) for status in Status)),
        _filter("owner", (entry.runbook.owner for entry in entries)),
        _filter("alert", (alert for entry in entries for alert in entry.procedure.card.alerts)),
        _filter("tag", (tag for entry in entries for tag in tags(entry))),
    )
    return tuple(each for each in found if len(each.choices) > 1)


def tags(entry: Entry) -> tuple[str, ...]:
    """Return the tags of a procedure and those of its page."""
    return tuple(dict.fromkeys((*entry.procedure.card.tags, *entry.runbook.tags)))


def stem(page: str) -> str:
    """Return how public ids name a page."""
    return PurePosixPath(page).stem


def _filter(name: str, values: Iterable[str]) -> Filter:
    return Filter(name, tuple(Choice(value, value) for value in sorted(set(values) - {""}, key=str.casefold)))
