"""Report entries as HTML: badges, cards, tables and figures; every text is escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, assert_never

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runbook_checks.changes import in_words
from runbook_checks.site.ansi import named, visible
from runbook_checks.site.filters import filters, stem, tags
from runbook_checks.status import Status
from runbook_checks.trust import why_newest_is_refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook_checks.changes import Changes
    from runbook_checks.model import FigureBound, Procedure, Runbook
    from runbook_checks.record import Figure, Outcome, Record
    from runbook_checks.report import Entry

_ENTITY_OR_ACTIVE = re.compile(r"(&(?:#\d+|#x[0-9a-fA-F]+|\w+);)|([\\`*_\[\]{}!~^|:+#$@])")
_BETWEEN_TABLE_TAGS = re.compile(r">\s+<(?=/?(?:td|th|tr|tbody|thead|table)\b)")
_NO_PROOF = "It has passed, and that proves nothing."  # of what changed while it ran
_BY_URGENCY = (Status.FAILED, Status.BLOCKED, Status.STALE, Status.EXPIRED, Status.UNVERIFIED, Status.VERIFIED)


@dataclass(frozen=True, slots=True)
class Need:
    """A procedure that another one needs, and where it stands, seen from the page that is rendered."""

    title: str
    href: str


def format_duration(seconds: float) -> str:
    """Return a length of time in a reader's words, such as ``14 s``, ``2 min`` or ``7 days``."""
    if 0 < seconds < 0.1:  # noqa: PLR2004
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004 - below it, tenths tell something
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    parts = [(whole // 86400, "day"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    told = [(count, unit) for count, unit in parts if count][:2]
    return " ".join(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}" for count, unit in told)


def format_number(value: float) -> str:
    """Return a measured number without digits that nobody reads."""
    return f"{value:,.0f}" if abs(value) >= 999.5 or value == int(value) else f"{value:.3g}"  # noqa: PLR2004 - not 1e+03


def format_bounds(bound: FigureBound | Figure) -> str:
    """Return the bounds of a figure, such as ``at most 300 s``, or nothing when it has none."""
    unit = f" {bound.unit}" if bound.unit else ""
    told = []
    if bound.minimum is not None:
        told.append(f"at least {format_number(bound.minimum)}{unit}")
    if bound.maximum is not None:
        told.append(f"at most {format_number(bound.maximum)}{unit}")
    return ", ".join(told)


def headline(entry: Entry) -> str:
    """Return what a responder has to know first about a procedure, given what it is worth."""
    match entry.status:
        case Status.VERIFIED:
            return ""
        case Status.FAILED:
            return "This procedure failed when it was last run."
        case Status.STALE:
            proven = entry.verified_at is not None
            return "Something has changed since it was last proven." if proven else _NO_PROOF
        case Status.EXPIRED:
            return "The last proof is too old."
        case Status.UNVERIFIED:
            return "Nothing proves this procedure."
        case Status.BLOCKED:
            return "This procedure could not be tried."
        case _:
            assert_never(entry.status)


def doubt(entry: Entry) -> str:
    """Return why a newer run than the one that proves a procedure is not believed; empty where there is none."""
    refused = why_newest_is_refused(entry.history) if entry.status is Status.VERIFIED else ""
    return f"a newer run does not count: {refused}" if refused else ""


def deciding_moment(entry: Entry) -> str:
    """Return the moment that an entry's status speaks of, in ISO 8601, or nothing when no run counts."""
    if entry.status in {Status.FAILED, Status.BLOCKED}:
        return entry.record.ended_at if entry.record else ""
    return entry.verified_at.isoformat() if entry.verified_at else ""


def last_figures(entries: Sequence[Entry], name: str) -> tuple[tuple[str, Figure], ...]:
    """Return, for each environment that measured it, its name and the figure's last value."""
    return tuple(
        (entry.environment, figure)
        for entry in entries
        if entry.record
        for figure in entry.record.figures
        if figure.name == name
    )


def urgency(status: Status) -> int:
    """Return where a status stands in a list that begins with what needs attention."""
    return _BY_URGENCY.index(status)


def dated_run(entry: Entry) -> Record | None:
    """Return the run that deciding_moment() is of; where that is nothing, the one that decides.

    After a pass that proves nothing, of what changed while it ran, that is an older one.
    """
    if entry.status in {Status.FAILED, Status.BLOCKED}:
        return entry.record
    return entry.judgement.proven or entry.record


def uncommitted(entries: Iterable[Entry]) -> int:
    """Return of how many entries dated_run() is from a tree with uncommitted changes."""
    return sum(run is not None and run.dirty for run in map(dated_run, entries))


def release(record: Record) -> str:
    """Return name and version of what was tested: the first service that the stack listed when it ran."""
    return f"{record.services[0].name} {record.services[0].version}".rstrip() if record.services else ""


def card(  # noqa: PLR0913, PLR0917 - what a card shows
    procedure: Procedure,
    runbook: Runbook,
    entries: Sequence[Entry],
    needs: Sequence[Need],
    evidence_href: str = "",
    changes: Sequence[tuple[Record, Changes]] = (),
) -> str:
    """Return the card of a procedure: its status in each environment, its facts, its figures and what has changed.

    ``changes`` are those since given records. A further environment where it was never run does not alarm.
    """
    further = {entry.environment for entry in entries[1:] if entry.status is Status.UNVERIFIED and not entry.history}
    told = [entry for entry in entries if entry.environment not in further]
    return _TEMPLATES.get_template("card.html").render(
        procedure=procedure,
        runbook=runbook,
        told=told,
        never_run=[entry.environment for entry in entries if entry.environment in further],
        needs=needs,
        evidence_href=evidence_href,
        changes=changes,
        worst=min((entry.status for entry in told), key=urgency, default=Status.UNVERIFIED),
        expires_at=min((entry.expires_at for entry in told if entry.expires_at), default=None),
        figures=[(bound, last_figures(entries, bound.name)) for bound in procedure.card.figures],
    )


def banner(entries: Sequence[Entry], nowhere: Sequence[Procedure] = (), *, several: bool = False) -> str:
    """Return what the top of a page says of its procedures, given one entry of each: calm only when all are verified.

    It names their environment where there are ``several``. What is meant to run ``nowhere`` is unverified.
    """
    environments = {entry.environment for entry in entries}
    worths = [*((entry.procedure, entry.status) for entry in entries), *((one, Status.UNVERIFIED) for one in nowhere)]
    unproven: dict[Status, list[tuple[str, str]]] = {}
    for procedure, status in sorted(worths, key=lambda worth: urgency(worth[1])):
        if status is not Status.VERIFIED:
            unproven.setdefault(status, []).append((procedure.title, procedure.anchor))
    return _TEMPLATES.get_template("banner.html").render(
        where=f" on {environments.pop()}" if several and len(environments) == 1 else "",
        total=len(worths),
        count=sum(map(len, unproven.values())),
        unproven=tuple(unproven.items()),
        worst=next(iter(unproven), Status.VERIFIED),
        oldest=min((entry.verified_at for entry in entries if entry.verified_at), default=None),
        expires_at=None if unproven else min((entry.expires_at for entry in entries if entry.expires_at), default=None),
        dirty=uncommitted(entries),
    )


def badge(entry: Entry, href: str) -> str:
    """Return a badge as HTML for the middle of a Markdown sentence."""
    return inline(_TEMPLATES.get_template("badge.html").render(entry=entry, href=href))


def table(rows: Sequence[tuple[Entry, str]], *, filterable: bool = False, only: str = "") -> str:
    """Return a table of entries, each with the place of its procedure, as HTML for a Markdown page.

    With ``only``, a status, rows of another one are there and hidden until they get it; those that lose it go.
    """
    entries = [entry for entry, _ in rows]
    columns = {
        "environment": len({entry.environment for entry in entries}) > 1,
        "owner": len({entry.runbook.owner for entry in entries}) > 1,
    }
    empty = not any(only in {"", entry.status.value} for entry in entries)
    return fill(
        "table.html",
        rows=rows,
        columns=columns,
        filterable=filterable,
        only=only,
        empty=empty,
        filters=filters(entries),
    )


def figure(bound: FigureBound, entry: Entry) -> str:
    """Return a figure's last value as HTML for the middle of a Markdown sentence; one that proves nothing says so."""
    measured = last_figures([entry], bound.name)
    return inline(_TEMPLATES.get_template("figure.html").render(bound=bound, measured=measured, entry=entry))


def link(text: str, href: str) -> str:
    """Return a link to a file of the site as HTML for the middle of a Markdown sentence."""
    return inline(Markup('<a href="{}" download>{}</a>').format(href, text))


def variables_box(names: Sequence[str], digests: str, root: str) -> str:
    """Return the box in which a reader fills in the variables of a page; ``root`` is where its site begins."""
    return _TEMPLATES.get_template("variables.html").render(names=names, digests=digests, root=root)


def content(template: str, **values: object) -> str:
    """Return a template with values in it, as the content of a page of ours, below its title."""
    return _TEMPLATES.get_template(template).render(**values)


def fill(template: str, **values: object) -> str:
    """Return a template with values in it, as HTML for a Markdown page."""
    return inline(_TEMPLATES.get_template(template).render(**values))


def badge_svg(label: str, message: str, fill: str, label_width: int, width: int) -> str:
    """Return an SVG image of two words side by side, readable by screen readers, ``width`` pixels wide."""
    return _TEMPLATES.get_template("badge.svg").render(
        label=label, message=message, fill=fill, label_width=label_width, width=width
    )


def redirect(title: str, href: str, canonical: str) -> str:
    """Return a page that leads to another one and hands on the query and the fragment of its own address."""
    return _TEMPLATES.get_template("redirect.html").render(title=title, href=href, canonical=canonical)


def inline(html: str) -> str:
    """Return HTML as one line in which Markdown finds nothing to interpret."""
    line = _BETWEEN_TABLE_TAGS.sub("><", re.sub(r"\s*\n\s*", " ", html.strip()))
    return _ENTITY_OR_ACTIVE.sub(lambda match: match[1] or f"&#{ord(match[2])};", line)


def format_moment(moment: str | datetime) -> str:
    """Return a moment in UTC to the minute; a text is ISO 8601."""
    at = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _day(moment: str | datetime) -> str:
    return format_moment(moment)[:10]


@cache  # there are five
def _outcome(outcome: Outcome) -> Markup:
    word = outcome.value
    icon = Markup('<span class="rb-icon" aria-hidden="true"></span>')
    return Markup('<span class="rb-outcome" data-rb-outcome="{}">{}{}</span>').format(word, icon, word)


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("runbook_checks.site"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": format_duration,
        "in_words": in_words,
        "number": format_number,
        "outcome": _outcome,
        "bounds": format_bounds,
        "doubt": doubt,
        "headline": headline,
        "deciding_moment": deciding_moment,
        "dated_run": dated_run,
        "day": _day,
        "moment": format_moment,
        "stem": stem,
        "tags": tags,
        "release": release,
        "visible": visible,
        "named": named,
    }
    return environment


_TEMPLATES = _templates()
