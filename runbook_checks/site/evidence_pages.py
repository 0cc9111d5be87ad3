"""One page of evidence per procedure: the run that decides its status, block by block, and the runs before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from runbook_checks.record import Evidence
from runbook_checks.site import render
from runbook_checks.site.ansi import named, styled
from runbook_checks.site.history import drawings
from runbook_checks.site.need import shown
from runbook_checks.site.timeline import timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runbook_checks.model import Block, Procedure, Runbook
    from runbook_checks.record import BlockRecord
    from runbook_checks.report import Entry
    from runbook_checks.site.history import Drawing
    from runbook_checks.site.need import Shown
    from runbook_checks.site.publication import Publication
    from runbook_checks.site.timeline import Timeline

_SHOWN = 64 * 1024  # characters of one output on the page; the file of evidence has the rest
_SHORT_LINES = 12  # of an output that is not folded
_SHORT = 2000  # characters of it
_TABLE_LINES = 3  # what has more lines, and none so long that it is prose or JSON, may be a table
_TABLE = (40, 160)  # characters of its longest line; a shorter one fits on a phone


@dataclass(frozen=True, slots=True)
class Output:
    """One stream of a block as it is shown."""

    name: str
    html: Markup
    lines: int
    cut_bytes: int  # left out when it was recorded
    folded: bool
    table: bool  # its lines must not be broken: where they do not fit, it is scrolled

    @property
    def told(self) -> str:
        """Return what it is, how long when it is folded, and what of it was not recorded."""
        words = self.name
        if self.folded:
            words += f": {self.lines} line" + ("s" if self.lines != 1 else "")
        if self.cut_bytes:
            words += f", {self.cut_bytes:,} bytes left out in the middle when it was recorded"
        return words


@dataclass(frozen=True, slots=True)
class Ran:
    """A block of the deciding run; ``href`` and ``title`` are empty when it is no longer on the page."""

    block: BlockRecord
    title: str
    href: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """What is known of a procedure in one environment."""

    entry: Entry
    decided: Evidence | None
    blocks: tuple[Ran, ...]
    runs: tuple[Evidence, ...]  # the newest first
    drawings: tuple[Drawing, ...]
    timeline: Timeline | None  # of the deciding run, if it was a drill
    need: Shown  # its proof of need
    file: str  # where the evidence is kept, from the configuration's folder

    @property
    def refused(self) -> tuple[Evidence, ...]:
        """Return the evidence that is not believed."""
        return tuple(each for each in self.runs if each.refused)


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """What an evidence page shows; ``href`` leads back to the procedure, or is empty when its page is not published."""

    procedure: Procedure
    runbook: Runbook
    href: str
    sections: tuple[Section, ...]


def publish(site: Publication) -> None:
    """Write the evidence page of every procedure."""
    for procedure, entries in _by_procedure(site.entries):
        address = site.lookup.evidence_url(procedure)
        page = EvidencePage(
            procedure,
            entries[0].runbook,
            site.lookup.href(procedure, address),
            tuple(_section(site, entry, address) for entry in entries),
        )
        html = site.frame.fill(
            address=address.removeprefix("evidence/").removesuffix("/").removesuffix(".html"),
            title=named(f"Evidence: {procedure.title}"),
            content=render.content("evidence.html", page=page),
        )
        name = f"{procedure.id}/index" if site.lookup.directory_urls else procedure.id
        site.write(f"evidence/{name}.html", html)


def _by_procedure(entries: Sequence[Entry]) -> Iterator[tuple[Procedure, list[Entry]]]:
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry.procedure.id, []).append(entry)
    return ((entries[0].procedure, entries) for entries in found.values())


def _section(site: Publication, entry: Entry, address: str) -> Section:
    decided = entry.decided or (Evidence(entry.record) if entry.record else None)
    on_page = {block.id: block for block in entry.procedure.blocks}
    page = site.lookup.href(entry.procedure, address).partition("#")[0]
    key = f"rb-{site.environments.index(entry.environment) + 1}"
    return Section(
        entry,
        decided,
        tuple(_ran(block, on_page.get(block.id), page) for block in decided.record.blocks) if decided else (),
        entry.history[::-1],
        drawings(entry.history, key),
        timeline(decided.record.moments, f"{key}-drill") if decided else None,
        shown(entry.need, on_page, page),
        f"{site.checks.evidence}/{entry.environment}/{entry.procedure.id}.jsonl",
    )


def _ran(block: BlockRecord, written: Block | None, page: str) -> Ran:
    outputs = (
        output("standard output", block.stdout, block.stdout_cut),
        output("standard error", block.stderr, block.stderr_cut),
    )
    return Ran(
        block,
        written.title if written else "",
        f"{page}#{block.id}" if written and page else "",
        tuple(each for each in outputs if each),
    )


def output(name: str, text: str, cut_bytes: int) -> Output | None:
    """Return an output as it is shown, without its middle when it is very long; None when there was none."""
    if not text and not cut_bytes:
        return None
    half = _SHOWN // 2
    if len(text) <= _SHOWN:
        html = styled(text)
    else:
        missing = len(text[half:-half].encode(errors="replace"))
        gap = Markup('\n<span class="rb-cut">{:,} bytes more are only in the file of evidence</span>\n').format(missing)
        html = styled(text[:half]) + gap + styled(text[-half:])
    lines = text.count("\n") + (not text.endswith("\n"))
    return Output(
        name,
        html,
        lines,
        cut_bytes,
        folded=lines > _SHORT_LINES or len(text) > _SHORT,
        table=lines > _TABLE_LINES and _TABLE[0] < max(map(len, text.split("\n"))) <= _TABLE[1],
    )
