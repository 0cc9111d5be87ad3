"""The one scanner: the text of a page as a runbook, its procedures and blocks, and every problem of the page."""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field

from runbook_checks.attributes import CLASS
from runbook_checks.blocks import ID, Attributes, can_fail, captures, read_block, read_expectation
from runbook_checks.card import did_you_mean, front_matter, read_card, read_runbook
from runbook_checks.condensed import Condensed
from runbook_checks.errors import Problem
from runbook_checks.fences import Fence, Layout, normal, read
from runbook_checks.headings import Heading
from runbook_checks.model import DRILL_FIGURES, Block, Card, Expectation, Match, Procedure, Role, Runbook
from runbook_checks.proof import asks_for_alerts, drilled_in, proving_checks

__all__ = ["Fence", "Heading", "Scan", "is_runbook", "scan"]

_SEVERAL = {Match.CONTAINS, Match.REGEX}
_PROOFS = {Role.STEP, Role.CHECK, Role.ROLLBACK}  # what a reader runs too; the other roles prove nothing to them
_LONGEST_ID = 200  # characters of a procedure's id; file systems take 255 bytes with what comes behind it


@dataclass(frozen=True, slots=True)
class Scan:
    """What a page says, with all its fences and headings; ``runbook`` is None for a page that is none."""

    runbook: Runbook | None
    problems: tuple[Problem, ...]
    fences: tuple[Fence, ...]
    headings: tuple[Heading, ...]

    def condensed(self) -> Scan:
        """Return what running procedures needs of it, in far less memory: no fences and headings."""
        procedures = tuple(map(Condensed.of, self.runbook.procedures)) if self.runbook else ()
        runbook = dataclasses.replace(self.runbook, procedures=procedures) if self.runbook else None
        return Scan(runbook, self.problems, (), ())


def is_runbook(text: str) -> bool:
    """Tell whether a page asks to be read as a runbook, even one whose front matter is broken."""
    return read_runbook(front_matter(normal(text))[0], "")[0] is not None


def scan(text: str, path: str) -> Scan:
    """Return what a page says and all that is wrong with it; never raises, whatever the text.

    ``path`` is relative to the configuration's folder, with forward slashes.
    """
    text = normal(text)
    front, first = front_matter(text)
    runbook, problems = read_runbook(front, path)
    layout = read(text, path, first=first, strict=runbook is not None)
    if runbook is None:
        stray = (
            Problem(
                path,
                fence.span.first,
                "a marked fence on a page that is no runbook is never run",
                "add a `runbook:` key to the front matter, or remove the mark",
            )
            for fence in layout.fences
            if fence.marked and not fence.indented_code
        )
        return Scan(None, (*problems, *stray), layout.fences, layout.headings)
    page = _Page(path, layout, [*problems, *layout.problems])
    procedures = page.procedures()
    title = runbook.title or next((heading.title for heading in layout.headings if heading.level == 1), "")
    runbook = dataclasses.replace(runbook, title=title, procedures=procedures)
    return Scan(runbook, tuple(sorted(set(page.problems))), layout.fences, layout.headings)


@dataclass(slots=True)
class _Section:
    heading: Heading
    around: tuple[_Section, ...]
    card: Card | None = None
    blocks: list[Block] = field(default_factory=list)
    fences: list[Fence] = field(default_factory=list)  # of the card, the blocks and what they are expected to print


@dataclass(slots=True)
class _Page:
    path: str
    layout: Layout
    problems: list[Problem]

    def problem(self, line: int, reason: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.path, line, reason, suggestion))

    def procedures(self) -> tuple[Procedure, ...]:
        given = [(fence, attributes) for fence in self.layout.fences if (attributes := self.marked(fence))]
        sections = _nest(self.layout.headings)
        self.cards(given, sections)
        self.assign(given, sections)
        self.unique([attributes for _, attributes in given])
        taken = {heading.id for heading in self.layout.headings} | {attributes.id for _, attributes in given}
        return tuple(self.procedure(section, taken) for section in sections if section.blocks)

    def marked(self, fence: Fence) -> Attributes | None:
        """Return the attributes of a marked fence with one known role, and report all others'."""
        if not any(key == CLASS for key, _ in fence.attributes):
            return None
        given = Attributes(fence, self.path)
        self.problems.extend(given.problems)
        given.problems.clear()
        return given if given.marks else None

    def cards(self, given: list[tuple[Fence, Attributes]], sections: list[_Section]) -> None:
        for fence, attributes in given:
            if attributes.marks[0] != "procedure":
                continue
            attributes.only((), "a card")
            self.problems.extend(attributes.problems)
            if fence.language not in {"yaml", "yml"}:
                self.problem(fence.span.first, "a card is YAML", "write ```yaml {.procedure}")
            card, problems = read_card(fence.text, self.path, fence.span.first)
            self.problems.extend(problems)
            around = _around(sections, fence.span.first)
            if not around:
                self.problem(fence.span.first, "a card outside any section", "put it below the procedure's heading")
            elif around[-1].card is not None:
                self.problem(fence.span.first, f"a second card in one section, after line {around[-1].card.line}")
            else:
                around[-1].card = card
                around[-1].fences.append(fence)

    def assign(self, given: list[tuple[Fence, Attributes]], sections: list[_Section]) -> None:
        owner: _Section | None = None
        for fence, attributes in given:
            mark = attributes.marks[0]
            if mark == "procedure":
                continue
            found = _owner(_around(sections, fence.span.first))
            if mark == "expect":
                expectation = read_expectation(attributes)
                if found is None or found is not owner or not found.blocks:
                    self.problem(fence.span.first, "an expectation with no block before it in its procedure")
                else:
                    found.blocks[-1] = self.expecting(found.blocks[-1], expectation)
                    found.fences.append(fence)
            else:
                block = read_block(attributes)
                owner = found
                if found is None:
                    self.problem(
                        fence.span.first, f"a `.{mark}` block outside any procedure", "put it below a `##` heading"
                    )
                else:
                    found.blocks.append(block)
                    found.fences.append(fence)
            self.problems.extend(attributes.problems)
        for section in sections:
            if section.card is not None and not section.blocks:
                self.problem(section.card.line, "a card without blocks", "mark what this procedure runs")

    def expecting(self, block: Block, expectation: Expectation) -> Block:
        same = [other for other in block.expectations if other.stream is expectation.stream]
        if same and not {expectation.match, *(other.match for other in same)} <= _SEVERAL:
            self.problem(
                expectation.span.first,
                f"a second expectation on {expectation.stream.value} of one block",
                "use match=contains or match=regex for each",
            )
        return dataclasses.replace(block, expectations=(*block.expectations, expectation))

    def unique(self, given: list[Attributes]) -> None:
        seen: dict[str, int] = {}
        named = [(heading.span.first, heading.id) for heading in self.layout.headings]
        named += [(attributes.fence.span.first, attributes.id) for attributes in given if attributes.id]
        for line, identity in sorted(named):
            if identity in seen:
                self.problem(
                    line, f"the id `{identity}` is already used on line {seen[identity]}", "give it another one"
                )
            seen.setdefault(identity, line)

    def procedure(self, section: _Section, taken: set[str]) -> Procedure:
        heading, counts = section.heading, Counter[Role]()
        blocks = []
        for block in section.blocks:
            counts[block.role] += 1
            identity = block.id or _free(f"{heading.id}-{block.role.value}-{counts[block.role]}", taken)
            blocks.append(block if block.id else dataclasses.replace(block, id=identity))
        if not ID.fullmatch(heading.id):
            self.problem(
                heading.line, f"`{heading.id}` cannot be the id of a procedure", "use letters, digits, `_`, `-`, `.`"
            )
        elif len(heading.id) > _LONGEST_ID:
            self.problem(
                heading.line,
                f"the id of a procedure names files, and this one has {len(heading.id)} characters",
                f"give the heading one of at most {_LONGEST_ID}: `{{ #short-id }}`",
            )
        self.proves(section)
        card = section.card or Card()
        known = {block.id for block in blocks}
        known |= {name for block in blocks for expected in block.expectations for name in captures(expected)}
        known.update(DRILL_FIGURES if counts[Role.FAULT] else ())
        for figure in card.figures:
            if figure.name not in known:
                self.problem(
                    card.line,
                    f"the figure `{figure.name}` is neither a capture nor a block's id in this procedure",
                    did_you_mean(figure.name, sorted(known)),
                )
        self.excepted(card, section, blocks)
        source = _source(section.fences)
        procedure = Procedure(self.path, heading.id, heading.title, heading.line, card, tuple(blocks), source)
        self.bites(procedure)
        return procedure

    def excepted(self, card: Card, section: _Section, blocks: list[Block]) -> None:
        given = [block.id for block in section.blocks if block.role in _PROOFS and block.id]
        for name, _ in card.unproven:
            if name in given:
                continue
            reason = f"`unproven: {name}` is no step, check or rollback of this procedure"
            suggestion = did_you_mean(name, given)
            if any(block.id == name and block.role in _PROOFS for block in blocks):
                reason = (
                    f"`unproven: {name}` is an id that counts blocks, and is another one's when one is put before it"
                )
                suggestion = "give the block one of its own, such as `{.step #my-id}`"
            self.problem(card.line, reason, suggestion)

    def proves(self, section: _Section) -> None:
        proofs = [block for block in section.blocks if block.role in _PROOFS]
        if any(block.role is Role.CHECK or any(map(can_fail, block.expectations)) for block in proofs):
            return
        idle = [expected for block in proofs for expected in block.expectations]
        if idle:
            self.problem(idle[0].span.first, "this expectation can never fail, and the procedure has no other")
        else:
            self.problem(
                section.heading.line,
                "a procedure without a check or an expectation proves nothing",
                "add a `.check` block or an `.expect` fence",
            )

    def bites(self, procedure: Procedure) -> None:
        """Report a drill in which no check can show, in any environment, that the fault is on."""
        environments = drilled_in(procedure.blocks)
        if not environments or any(proving_checks(procedure, environment) for environment in environments):
            return
        fault = next(block for block in procedure.blocks if block.role is Role.FAULT)
        last = max((block.span.first for block in procedure.blocks if block.role is Role.STEP), default=0)
        asking = [block for block in procedure.blocks if block.role is Role.CHECK and block.span.first > last]
        asking = [block for block in asking if asks_for_alerts(block, procedure.card)]
        self.problem(
            (asking[0] if asking else fault).span.first,
            "this check only asks for the alert again, and no other after the last step can show that the fault is on"
            if asking
            else "a drill needs a check after the last step that shows that the fault is on, and none can",
            "add a `.check` there that asks what the fault breaks (http, sql, promql, a command), uses no capture and"
            " names no alert",
        )


def _source(fences: list[Fence]) -> str:
    """Return fences as two versions of a procedure are compared by: in page order, a blank line between two."""
    in_order = sorted(fences, key=lambda fence: fence.span.first)
    return "\n".join(f"```{fence.info}\n{fence.text}```\n" for fence in in_order)


def _nest(headings: tuple[Heading, ...]) -> list[_Section]:
    """Return the sections of a page, each with those around it."""
    sections: list[_Section] = []
    around: tuple[_Section, ...] = ()
    for heading in headings:
        if heading.indent:
            continue
        while around and around[-1].heading.level >= heading.level:
            around = around[:-1]
        section = _Section(heading, around)
        around = (*around, section)
        sections.append(section)
    return sections


def _around(sections: list[_Section], line: int) -> tuple[_Section, ...]:
    """Return the sections that a line stands in, the outermost first."""
    index = bisect_right(sections, line, key=lambda section: section.heading.line) - 1
    return (*sections[index].around, sections[index]) if index >= 0 else ()


def _owner(around: tuple[_Section, ...]) -> _Section | None:
    """Return the innermost section with a card, else the outermost below the page's title."""
    for section in reversed(around):
        if section.card is not None:
            return section
    return next((section for section in around if section.heading.level > 1), None)


def _free(identity: str, taken: set[str]) -> str:
    count, wanted = 1, identity
    while identity in taken:
        count += 1
        identity = f"{wanted}-{count}"
    taken.add(identity)
    return identity
