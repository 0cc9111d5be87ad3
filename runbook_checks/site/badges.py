"""What other pages show of a procedure: SVG badges and shields endpoints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, assert_never
from unicodedata import east_asian_width

from runbook_checks.site.render import badge_svg, deciding_moment
from runbook_checks.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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


def text_width(text: str) -> int:
    """Return the pixels that a text takes in 11 px Verdana, rounded up; other scripts are taken as wide."""
    units = 0
    for char in text:
        if " " <= char <= "~":
            units += _WIDTHS[ord(char) - ord(" ")]
        else:
            units += _EM if east_asian_width(char) in "WF" else 1600
    return -(-units * _FONT_SIZE // _EM)


def message(entry: Entry) -> str:
    """Return what a badge says, such as ``verified 2026-11-21``, with an absolute date: an image gets old."""
    words = entry.status.value
    day = deciding_moment(entry)[:10]
    if day:
        words += f", last verified {day}" if entry.status in {Status.STALE, Status.EXPIRED} else f" {day}"
    if entry.record and entry.record.dirty:
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


def svg(entry: Entry) -> str:
    """Return a badge as an SVG image of its own, readable by screen readers."""
    label, words = entry.procedure.title or "runbook", message(entry)
    label_width = text_width(label) + 2 * _PADDING
    return badge_svg(label, words, colour(entry.status), label_width, label_width + text_width(words) + 2 * _PADDING)


def shields(entry: Entry) -> dict[str, object]:
    """Return a badge in the schema of https://shields.io/badges/endpoint-badge."""
    return {
        "schemaVersion": 1,
        "label": entry.procedure.title or "runbook",
        "message": message(entry),
        "color": colour(entry.status),
        "isError": entry.status is Status.FAILED,
    }


def publish(site: Publication) -> None:
    """Write the badges of every procedure.

    The plain badge is that of the first environment; with several, each has one of its own. Raises UsageError when a
    badge would lie outside the site.
    """
    for path, text in _files(site.entries, site.environments):
        site.write(f"badges/{path}", text)


def _files(entries: Iterable[Entry], environments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        names = [f"{entry.procedure.id}.{entry.environment}"] if len(environments) > 1 else []
        if entry.environment == environments[0]:
            names.append(entry.procedure.id)
        for name in names:
            yield f"{name}.svg", svg(entry) + "\n"
            yield f"{name}.json", json.dumps(shields(entry), ensure_ascii=False) + "\n"
