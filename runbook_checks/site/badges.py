"""What other pages show of a procedure: SVG badges and shields endpoints."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, assert_never
from unicodedata import east_asian_width

from runbook_checks.catalog import former_ids
from runbook_checks.errors import UsageError
from runbook_checks.site.render import badge_svg, dated_run, deciding_moment, format_moment, uncommitted, urgency
from runbook_checks.site.xml_text import legal
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from runbook_checks.report import Entry
    from runbook_checks.site.publication import Publication


# Advance widths of Verdana's printable ASCII, in 1/2048 of an em, from its hmtx table.
_WIDTHS = (
    720, 806, 940, 1676, 1302, 2204, 1488, 550, 930, 930, 1302, 1676, 745, 930, 745, 930,
    1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 1302, 930, 930, 1676, 1676, 1676, 1117,
    2048, 1400, 1404, 1430, 1578, 1295, 1178, 1588, 1540, 862, 931, 1419, 1140, 1726, 1532, 1612,
    1235, 1612, 1424, 1400, 1262, 1499, 1400, 2025, 1403, 1260, 1403, 930, 930, 930, 1676, 1302,
    1302, 1230, 1276, 1067, 1276, 1220, 720, 1276, 1296, 562, 705, 1212, 562, 1992, 1296, 1243,
    1276, 1276, 874, 1067, 807, 1296, 1212, 1676, 1212, 1212, 1076, 1300, 930, 1300, 1676,
)  # fmt: skip
_EM = 2048
_FONT_SIZE = 11
_PADDING = 6
ALL = "all"  # the badge of the whole site


@dataclass(frozen=True, slots=True)
class Badge:
    """Two words side by side, and the status that gives the second one its colour."""

    label: str
    message: str
    status: Status


def text_width(text: str) -> int:
    """Return the pixels that a text takes in 11 px Verdana, rounded up; other scripts are taken as wide."""
    units = 0
    for char in text:
        if " " <= char <= "~":
            units += _WIDTHS[ord(char) - ord(" ")]
        else:
            units += _EM if east_asian_width(char) in "WF" else 1600
    return -(-units * _FONT_SIZE // _EM)


def message(entry: Entry, where: str = "") -> str:
    """Return what a badge says, such as ``verified 2026-11-21``, with an absolute date: an image gets old.

    ``where`` names the environment where there are several: `` on staging``.
    """
    words = entry.status.value
    day = deciding_moment(entry)[:10]
    if day:
        words += f", last verified {day}" if entry.status in {Status.STALE, Status.EXPIRED} else f" {day}"
    words += where
    run = dated_run(entry)
    if run and run.dirty:
        words += ", uncommitted changes"
    return words


def colour(status: Status) -> str:
    """Return a badge's colour, on which white text has a contrast of at least 4.5."""
    match status:
        case Status.VERIFIED:
            return "#1a7f37"
        case Status.FAILED:
            return "#c62828"
        case Status.STALE | Status.EXPIRED | Status.BLOCKED:
            return "#9a5b00"
        case Status.UNVERIFIED:
            return "#5f6672"
        case _:
            assert_never(status)


def of(entry: Entry, where: str = "") -> Badge:
    """Return the badge of a procedure in an environment; ``where`` as in message()."""
    return Badge(entry.procedure.title or "runbook", message(entry, where), entry.status)


def summary(label: str, entries: Sequence[Entry], made_at: datetime, where: str = "") -> Badge:
    """Return the badge of several procedures, such as ``64 of 65 verified as of 2026-11-21``, coloured as the worst.

    It says from how many trees with uncommitted changes that is: an image of one of them says so too.
    """
    verified = [entry for entry in entries if entry.status is Status.VERIFIED]
    worst = min((entry.status for entry in entries), key=urgency, default=Status.UNVERIFIED)
    dirty = uncommitted(verified)
    words = f"{len(verified)} of {len(entries)} verified{where} as of {format_moment(made_at)[:10]}"
    return Badge(label, words + (f", {dirty} with uncommitted changes" if dirty else ""), worst)


def svg(badge: Badge) -> str:
    """Return a badge as an SVG image of its own, readable by screen readers."""
    label, words = legal(badge.label), legal(badge.message)
    label_width = text_width(label) + 2 * _PADDING
    return badge_svg(label, words, colour(badge.status), label_width, label_width + text_width(words) + 2 * _PADDING)


def shields(badge: Badge) -> dict[str, object]:
    """Return a badge in the schema of https://shields.io/badges/endpoint-badge."""
    return {
        "schemaVersion": 1,
        "label": badge.label,
        "message": badge.message,
        "color": colour(badge.status),
        "isError": badge.status is Status.FAILED,
    }


def publish(site: Publication) -> None:
    """Write the badges of every procedure, also under the ids that it once had, of every page, and of all.

    A procedure's plain badge, and those of pages and of all, are of the first environment; with several, each has one
    of its own. Raises UsageError when a badge would lie outside the site, or where another one lies.
    """
    written: set[str] = set()
    for name, badge in _badges(site.entries, site.environments, site.built_at):
        if name in written:
            raise UsageError(
                f"the badge {name!r} is that of two procedures; a heading id must not end like an environment"
            )
        written.add(name)
        site.write(f"badges/{name}.svg", svg(badge) + "\n")
        site.write(f"badges/{name}.json", json.dumps(shields(badge), ensure_ascii=False) + "\n")


def _badges(entries: Iterable[Entry], environments: Sequence[str], made_at: datetime) -> Iterator[tuple[str, Badge]]:
    pages: defaultdict[str, list[Entry]] = defaultdict(list)
    first = f" on {environments[0]}" if len(environments) > 1 else ""
    for entry in entries:
        badge = of(entry, f" on {entry.environment}" if len(environments) > 1 else "")
        for public_id in (entry.procedure.id, *former_ids(entry.procedure)):
            if len(environments) > 1:
                yield f"{public_id}.{entry.environment}", badge
            if entry.environment == environments[0]:
                yield public_id, badge
        if entry.environment == environments[0]:
            pages[PurePosixPath(entry.procedure.page).stem].append(entry)
    for stem, found in pages.items():
        if stem != ALL:
            titles = dict.fromkeys(each.runbook.title or stem for each in found)  # several pages may have one name
            yield stem, summary(" and ".join(titles), found, made_at, first)
    yield ALL, summary("runbooks", [entry for found in pages.values() for entry in found], made_at, first)
