"""Procedures without one of their blocks: which are worth a run, and how such a run differs from an ordinary one."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

import tree_sitter_bash
from tree_sitter import Language, Parser

from runbook_checks.blocks import captures
from runbook_checks.expect import compare_all
from runbook_checks.model import Block, Procedure, Role, Stream, runs_in
from runbook_checks.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tree_sitter import Node

    from runbook_checks.record import BlockRecord, Record

LEAST_S = 5.0  # for a polled check after the failure that decided
LEAST_TIMEOUT_S = 30.0  # for any other block then
LEAST_CLEANUP_S = 10.0  # for cleanup blocks then: the stack is taken down anyway
TIMES = 3  # what the baseline needed
_ASSIGNED = re.compile(r"(?<![\w$./-])([A-Za-z_]\w*)(?:\[[^\]\n]*\])?\+?=")
_NAMING = re.compile(r"\b(?:read|mapfile|readarray|for|select|getopts|printf\s+-v)\b([^\n;|&<>]*)")
_FUNCTION = re.compile(r"(?<![\w./-])([A-Za-z_][\w-]*)\s*\(\s*\)|\bfunction\s+([A-Za-z_][\w-]*)")
_VARIABLE = re.compile(r"\$\{?[#!]?([A-Za-z_]\w*)")
_ARITHMETIC = re.compile(r"\(\((.*?)\)\)", re.DOTALL)
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_UNSET = re.compile(  # what is said of one by bash (with `set -u`, and of `${NAME:?}`), sh, our clients, and os.environ
    r"unbound variable|: parameter (?:null or )?not set|^(?:http|promql): \$\w+ is not set; export it"
    r"|\bos(?:\.py|>)\", line \d+, in __getitem__$",
    re.MULTILINE,
)
_BASH = Language(tree_sitter_bash.language())
_MOVING = frozenset({"cd", "pushd", "popd"})
_BACK = re.compile(r"(?:\w+ )?(?:cd (?:-- )?-|popd)")
_OWN_FOLDER = frozenset({"subshell", "command_substitution", "process_substitution", "pipeline"})
_PHASES = {Role.SETUP: 0, Role.FAULT: 1, Role.CLEANUP: 3}
_READERS_PHASE = 2
_READERS = frozenset({Role.STEP.value, Role.CHECK.value, Role.ROLLBACK.value})
_SHELLS = frozenset({"bash", "sh"})
_EXPANDING = frozenset({*_SHELLS, "http", "promql", "sql"})  # the others see captures in their environment, by any name


class Kind(Enum):
    """What is left out of a mutant."""

    STEP = "step"
    ROLLBACK = "rollback"
    FAULT = "fault"  # all of them: the system is healthy
    SETUP = "setup"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A procedure with blocks left out."""

    kind: Kind
    left_out: tuple[Block, ...]

    def of(self, procedure: Procedure) -> Procedure:
        """Return the procedure as it is without them."""
        return replace(procedure, blocks=tuple(one for one in procedure.blocks if one not in self.left_out))


@dataclass(frozen=True, slots=True)
class Probe:
    """How a run for the proof of need differs: it uses no unset variable, and without a block goes on when one fails.

    ``lent`` are captures of the baseline that blocks left out would have made; only checks may use them: what they name
    may be anything by now. ``needed_s`` is how long blocks took in the baseline, by their ids. ``known`` are the
    checks that have refused in an earlier run.
    """

    left_out: tuple[Block, ...] = ()
    lent: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    needed_s: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    known: frozenset[str] = frozenset()

    @property
    def goes_on(self) -> bool:
        """Return whether blocks after a failure run too."""
        return bool(self.left_out)

    def environ(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Return the environment with English messages, by which an unset variable is known; all else stays."""
        found = {name: value for name, value in environ.items() if name not in {"LC_ALL", "LANGUAGE"}}
        if everything := environ.get("LC_ALL"):
            found = {name: value for name, value in found.items() if not name.startswith("LC_")}
            found["LANG"] = everything
        return {**found, "LC_MESSAGES": "C"}

    def is_over(self, block: Block, page: Sequence[Block], records: Iterable[BlockRecord], environment: str) -> bool:
        """Return whether a run has decided, and no check from this block on is there that has not refused yet."""
        noticed = (one for one in records if one.outcome is Outcome.FAILED and one.role in _READERS)
        left = (one for one in page if one.role is Role.CHECK and turn(one) >= turn(block))
        unknown = any(one.id not in self.known and runs_in(one, environment) for one in left)
        return not unknown and not all(map(only_misses_a_name, noticed))

    def why_not(
        self, block: Block, page: Sequence[Block], records: Iterable[BlockRecord], given: Collection[str]
    ) -> str:
        """Return why a block cannot be judged, or ''; ``page`` has all blocks of the procedure that is run.

        It uses what a block that was left out, or has not passed, would have made, or changes something in the folder
        that this one would have changed to. A cleanup block does not mind those that have not passed: it is for them.
        """
        by_id = {one.id: one for one in page}
        passed: list[Block] = []
        lost = [one for one in self.left_out if turn(one) <= turn(block)]  # what comes later has made nothing yet
        for record in records:
            if record.outcome is Outcome.PASSED:
                passed.append(by_id[record.id])
            elif block.role is not Role.CLEANUP:
                lost.append(by_id[record.id])
        moving = [one.id for one in lost if turn(one) < turn(block) and moves(one)]
        if moving and block.role is not Role.CHECK:
            return f"not run: it would run in another folder than behind {', '.join(moving)}"
        there = {*given, *(name for one in passed for name in made_by(one))}
        if block.role is Role.CHECK:
            there.update({*self.lent, *_set_by(block)})  # one that it uses before it sets it is unset, and that shows
        missing = sorted({name for one in lost for name in made_by(one)} - there)
        names = [name for name in missing if _uses(block, name)]
        if not names:
            return ""
        makers = {one.id for one in lost if made_by(one) & set(names)}
        return f"not run: it uses {', '.join(names)}, which {', '.join(sorted(makers))} would have made"

    def bounded(self, block: Block) -> Block:
        """Return a block that decides nothing any more: it has the time that it needed in the baseline, thrice."""
        needed_s = TIMES * self.needed_s.get(block.id, 0.0)
        if block.within_s is not None:
            return replace(block, within_s=min(block.within_s, max(LEAST_S, needed_s)))
        limit_s = max(LEAST_CLEANUP_S if block.role is Role.CLEANUP else LEAST_TIMEOUT_S, needed_s)
        return replace(block, timeout_s=min(block.timeout_s or limit_s, limit_s))

    def prepares_in_vain(self, block: Block) -> bool:
        """Return whether a block prepares the test behind a setup block that was left out: it may wait for that."""
        return block.role is Role.SETUP and any(
            one.role is Role.SETUP and turn(one) < turn(block) for one in self.left_out
        )


def mutants_of(procedure: Procedure, environment: str) -> tuple[Mutant, ...]:
    """Return the mutants of a procedure: without each step and rollback, then without the trouble.

    The trouble is all faults together; in a procedure without one it may be in a setup block, so each is left out.
    """
    here = [block for block in procedure.blocks if runs_in(block, environment)]
    kinds = {Role.STEP: Kind.STEP, Role.ROLLBACK: Kind.ROLLBACK}
    changing = [Mutant(kinds[block.role], (block,)) for block in here if block.role in kinds]
    faults = tuple(block for block in here if block.role is Role.FAULT)
    if faults:
        return (*changing, Mutant(Kind.FAULT, faults))
    return (*changing, *(Mutant(Kind.SETUP, (block,)) for block in here if block.role is Role.SETUP))


def only_misses_a_name(record: BlockRecord) -> bool:
    """Return whether a block failed because of a variable that is not set: that is no noticing."""
    return _UNSET.search(record.stderr) is not None


def probe_of(mutant: Mutant, procedure: Procedure, baseline: Record, known: frozenset[str] = frozenset()) -> Probe:
    """Return how to run a mutant, given the baseline and the checks that have refused by then."""
    ran = {record.id: record for record in baseline.blocks if record.outcome is Outcome.PASSED}
    lent = {
        name: value
        for block in mutant.left_out
        if block.id in ran
        for name, value in captured(block, ran[block.id], procedure.page)
    }
    return Probe(mutant.left_out, lent, {name: record.duration_s for name, record in ran.items()}, known)


def captured(
    block: Block, record: BlockRecord, page: str, known: Mapping[str, str] = MappingProxyType({})
) -> tuple[tuple[str, str], ...]:
    """Return what the expectations of a block captured when it passed, but what was ``known`` by then."""
    verdicts = compare_all(block.expectations, kept(record), page, known)
    return tuple(capture for verdict in verdicts for capture in verdict.captures)


def captured_before(block: BlockRecord, record: Record, procedure: Procedure) -> dict[str, str]:
    """Return what the blocks that passed before one had captured, in the run of a record."""
    by_id = {one.id: one for one in procedure.blocks}
    found: dict[str, str] = {}
    for one in record.blocks[: record.blocks.index(block)]:
        if one.outcome is Outcome.PASSED:
            found |= dict(captured(by_id[one.id], one, procedure.page, found))
    return found


def kept(record: BlockRecord) -> dict[Stream, tuple[str, int]]:
    """Return what was kept of each stream of a block, and how many bytes of it were not."""
    return {
        Stream.STDOUT: (record.stdout, record.stdout_cut),
        Stream.STDERR: (record.stderr, record.stderr_cut),
    }


def made_by(block: Block) -> frozenset[str]:
    """Return the names that later blocks have from a block: captures, variables, functions; rather one too many.

    Of a polled check they have captures only: it runs in a subshell.
    """
    found = frozenset(name for expectation in block.expectations for name in captures(expectation))
    return found | _set_by(block) if block.within_s is None else found


def _set_by(block: Block) -> frozenset[str]:
    if block.language != "bash":
        return frozenset()
    named = (name for words in _NAMING.findall(block.text) for name in _IDENTIFIER.findall(words))
    functions = (one or other for one, other in _FUNCTION.findall(block.text))
    return frozenset({*_ASSIGNED.findall(block.text), *named, *functions})


def moves(block: Block) -> bool:
    """Return whether blocks behind this one may run in another folder because of it."""
    if block.language != "bash":
        return False
    *_, last = ["", *_changes_of_folder(Parser(_BASH).parse(block.text.encode()).root_node)]
    return bool(last) and _BACK.fullmatch(last) is None


def _changes_of_folder(node: Node) -> Iterator[str]:
    """Yield the commands that change the folder of the shell itself, in their order."""
    if node.type == "command":
        words = [
            child.text.decode() for child in node.named_children if child.type != "variable_assignment" and child.text
        ]
        if words and (words[0] in _MOVING or (words[0] in {"builtin", "command"} and _MOVING & set(words[1:2]))):
            yield " ".join(words)
    for child in node.named_children:
        if child.type not in _OWN_FOLDER:
            yield from _changes_of_folder(child)


def turn(block: Block) -> tuple[int, int]:
    """Return when a block runs, compared with others of its procedure."""
    return _PHASES.get(block.role, _READERS_PHASE), block.span.first


def _uses(block: Block, name: str) -> bool:
    if block.language not in _EXPANDING:
        return name in _IDENTIFIER.findall(block.text)
    if name in _VARIABLE.findall(block.text):
        return True
    if block.language not in _SHELLS:
        return False
    if any(name in _IDENTIFIER.findall(inside) for inside in _ARITHMETIC.findall(block.text)):
        return True
    return re.search(rf"(?m)(?:^|[;|&({{]|\bthen|\bdo|\bif|!)\s*{re.escape(name)}(?![\w./=-])", block.text) is not None
