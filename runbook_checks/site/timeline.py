"""The moments of a drill as a picture, one row each, and as rows of a table."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from leather.svg import stringify
from markupsafe import Markup

from runbook_checks.site.charts import MARKS, WIDTH, framed, write
from runbook_checks.site.render import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_checks.record import Moment

_TOP, _ROW = 10, 28
_NAMES = 215  # on the left, for the names
_TIMES = 110  # on the right, for the time of the last moment
_MINUTE_S = 60  # below it, tenths tell moments apart
_MEANS = {
    "fault": "the fault is made",
    "fired": "every alert of the card fires in Prometheus",
    "notified": "every alert was delivered, with the address of this procedure",
    "steps begun": "the alerts have stayed, and the first step or check of the page begins",
    "steps ended": "the last one has passed",
    "resolved": "no alert of the card is left in Prometheus",
    "resolution delivered": "everybody was told that it is over",
}


@dataclass(frozen=True, slots=True)
class Passed:
    """A moment as it is shown: what it means, and how long after the first one it was."""

    name: str
    meaning: str
    after_s: float
    after: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The moments of a drill, the same in words, and the picture of them."""

    rows: tuple[Passed, ...]
    words: str
    svg: Markup


def timeline(moments: Sequence[Moment], key: str) -> Timeline | None:
    """Return the moments of a record for its page, None for a record without; ``key`` makes ids unique on the page."""
    if not moments:
        return None
    times = [datetime.fromisoformat(moment.at) for moment in moments]
    rows = tuple(
        _passed(moment.name, (at - times[0]).total_seconds()) for moment, at in zip(moments, times, strict=True)
    )
    first, *later = rows
    words = f"After the {first.name}: " + ", ".join(f"{row.name} {row.after}" for row in later) + "."
    if not later:
        words = f"Nothing is known after the {first.name}."
    return Timeline(rows, words, _svg(rows, key, words))


def _passed(name: str, after_s: float) -> Passed:
    after = format_duration(after_s) if after_s >= _MINUTE_S else f"{after_s:.1f}".removesuffix(".0") + " s"
    return Passed(name, _MEANS.get(name, ""), after_s, after)


def _svg(rows: Sequence[Passed], key: str, words: str) -> Markup:
    plot = ET.Element("g", transform=f"translate(0 {_TOP})")
    longest = max(*(row.after_s for row in rows), 0.001)
    room = WIDTH - _NAMES - _TIMES
    before = float(_NAMES)
    for number, row in enumerate(rows):
        x, y = round(_NAMES + room * max(row.after_s, 0.0) / longest, 1), number * _ROW + _ROW / 2
        write(plot, "rb-moment", 0, y + 4, row.name)
        for name, start, length in (("rb-grid", _NAMES, room), ("rb-span", min(before, x), abs(x - before))):
            group = ET.SubElement(plot, "g")
            group.set("class", name)
            ET.SubElement(group, "path", d=f"M{start:g} {y:g}h{length:g}")
        ET.SubElement(plot, "path", d=f"M{x:g} {y:g}{MARKS['passed']}").set("class", "rb-dot")
        write(plot, "", x + 10, y + 4, row.after)
        before = x
    return Markup(stringify(framed(key, "The drill, moment by moment", words, plot, _TOP + len(rows) * _ROW)))  # noqa: S704 - ElementTree escapes all text
