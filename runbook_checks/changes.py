"""What has changed since a record was made: the parts of its digest and its text, held against what is written now."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from runbook_checks.record import CHANGED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runbook_checks.model import Procedure
    from runbook_checks.record import Record

NAMED = 4  # things of one kind that are named; of the others, how many there are
DIFF_CHARACTERS = 6000
_COMPARED_LINES = 2000  # of a text; what is behind them is not compared
_CONTEXT_LINES = 2
_KINDS = {  # of parts, by how their names begin: one of them, several
    "block": ("block", "blocks"),
    "card": ("the card", "the card"),
    "file": ("file", "files"),
    "needs": ("needed procedure", "needed procedures"),
    "language": ("the command for language", "the commands for languages"),
    "environment": ("the environment", "the environment"),
    "stack": ("the stack", "the stack"),
}


class How(Enum):
    """What became of a thing since the record."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


class Sign(Enum):
    """What a line of a diff is."""

    ADDED = "+"
    REMOVED = "-"
    SAME = " "
    SKIPPED = "…"


@dataclass(frozen=True, slots=True)
class Change:
    """Things of one kind that went the same way: ``kind`` in a reader's words, and the names of the first of them."""

    how: How
    kind: str
    names: tuple[str, ...] = ()
    more: int = 0

    @property
    def phrase(self) -> str:
        """Return the change in a few words, such as ``block restore`` or ``3 new files``."""
        count = len(self.names) + self.more
        new = "new " if self.how is How.ADDED else ""
        gone = " removed" if self.how is How.REMOVED else ""
        if self.kind.startswith("the "):
            return f"{self.kind}{gone}"
        return (f"{new}{self.kind} {self.names[0]}" if count == 1 else f"{count} {new}{self.kind}") + gone


@dataclass(frozen=True, slots=True)
class DiffLine:
    """A line of a diff, without its sign."""

    sign: Sign
    text: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed since a record; unless ``complete``, other things may have changed too."""

    parts: tuple[Change, ...] = ()
    diff: tuple[DiffLine, ...] = ()
    diff_cut: int = 0  # lines of the diff that are left out
    complete: bool = True


def changes(record: Record, procedure: Procedure, parts: Iterable[tuple[str, str]], source: str) -> Changes:
    """Return what has changed since a record, given the procedure, its shortened parts and its text as they are now.

    A record of version 1 tells only of commands; that of a run during which something changed, or without blocks, of
    nothing.
    """
    if record.parts:
        diff, cut = _diff(record.source, source)
    else:
        diff, cut = _diff(*("\n".join(texts.values()) for texts in _commands(record, procedure)))
    return Changes(changed_parts(record, procedure, parts), diff, cut, complete=bool(record.parts))


def changed_parts(record: Record, procedure: Procedure, parts: Iterable[tuple[str, str]]) -> tuple[Change, ...]:
    """Return only which things have changed, as in changes()."""
    if record.parts:
        return tuple(_changes(record.parts, parts))
    return tuple(_block_changes(*_commands(record, procedure)))


def in_words(found: Iterable[Change]) -> str:
    """Return changes as a short list, such as ``block restore, 2 new files``; empty for none."""
    phrases = list(dict.fromkeys(change.phrase for change in found))
    return ", ".join(phrases[:NAMED]) + (" and more" if len(phrases) > NAMED else "")


def _commands(record: Record, procedure: Procedure) -> tuple[dict[str, str], dict[str, str]]:
    """Return the commands of blocks by id, then and now, as fences; none where the record does not tell."""
    if record.digest == CHANGED or not record.blocks:
        return {}, {}
    then = {block.id: f"```{block.language}\n{block.command}```\n" for block in record.blocks}
    now = {block.id: f"```{block.language}\n{block.text}```\n" for block in procedure.blocks}
    return then, now


def _changes(then: Iterable[tuple[str, str]], now: Iterable[tuple[str, str]]) -> Iterator[Change]:
    old, new = _by_kind(then), _by_kind(now)
    for kind in _KINDS:
        before, after = old[kind], new[kind]
        if kind == "block":
            yield from _block_changes(before, after)
            continue
        told = old["file"].keys() | new["file"].keys() if kind == "stack" else ()  # what is in both is told once
        for how, names in _compared(before, after):
            if left := [name for name in names if name not in told]:
                yield _change(how, kind, left)


def _by_kind(parts: Iterable[tuple[str, str]]) -> Mapping[str, dict[str, str]]:
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for part, value in parts:
        kind, _, name = part.partition(" ")
        found[kind][name] = value
    return found


def _compared(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[tuple[How, list[str]]]:
    yield How.CHANGED, [name for name, value in new.items() if old.get(name, value) != value]
    yield How.ADDED, [name for name in new if name not in old]
    yield How.REMOVED, [name for name in old if name not in new]


def _block_changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    """Yield what became of blocks; one that only has another id, as when one was put before it, is the same."""
    gone, come = _without(old, new.values()), _without(new, old.values())
    found = [(how, names) for how, names in _compared(gone, come) if names]
    for how, names in found:
        yield _change(how, "block", names)
    if not found and list(old.values()) != list(new.values()):
        yield Change(How.CHANGED, "the order of the blocks")


def _without(blocks: Mapping[str, str], others: Iterable[str]) -> dict[str, str]:
    """Return the blocks of which there is none among others, each of these counted once."""
    left = Counter(others)
    found = {}
    for name, value in blocks.items():
        if left[value]:
            left[value] -= 1
        else:
            found[name] = value
    return found


def _change(how: How, kind: str, names: Sequence[str]) -> Change:
    one, several = _KINDS[kind]
    named = tuple(name for name in names[:NAMED] if name)
    return Change(how, one if len(names) == 1 else several, named, max(0, len(names) - NAMED))


def _diff(old: str, new: str) -> tuple[tuple[DiffLine, ...], int]:
    """Return a unified diff of two texts as far as it is short enough, and how many lines of it are left out."""
    before, after = (text.splitlines()[:_COMPARED_LINES] for text in (old, new))
    lines = list(difflib.unified_diff(before, after, n=_CONTEXT_LINES, lineterm=""))[3:]  # two names, the first place
    shown: list[DiffLine] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > DIFF_CHARACTERS:
            break
        shown.append(DiffLine(Sign.SKIPPED, "") if line.startswith("@@") else DiffLine(Sign(line[0]), line[1:]))
    return tuple(shown), len(lines) - len(shown)
