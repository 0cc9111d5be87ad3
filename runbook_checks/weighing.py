"""What runs without a block prove: which steps are missed when they are left out, and which checks ever said no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.blocks import can_fail, captures
from runbook_checks.expect import compare, compare_all, number_of
from runbook_checks.model import DRILL_FIGURES, Block, Expectation, Procedure, Role, acts, runs_in
from runbook_checks.mutants import Kind, Mutant, captured_before, kept, only_misses_a_name, turn
from runbook_checks.need import Came, Trial, Tried
from runbook_checks.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook_checks.model import FigureBound
    from runbook_checks.record import BlockRecord, Record

DRILL = "drill"  # what noticed, when no block did: the alert did not go, the stack is not as before
_CHANGING = frozenset({Role.STEP, Role.ROLLBACK})
_BEFORE_STEPS = frozenset(DRILL_FIGURES[:2])  # what a drill has measured when the first block of a reader runs
_WITHOUT_TROUBLE = frozenset({Kind.FAULT, Kind.SETUP})


def trial_of(procedure: Procedure, environment: str, mutant: Mutant, record: Record) -> Trial:
    """Return what came of the run of a mutant."""
    came, by, place, reason = _came(procedure, environment, mutant, record)
    refused = () if came is Came.UNDECIDED else tuple(one.id for one in refusals(procedure, mutant, record))
    if mutant.kind in _WITHOUT_TROUBLE and came is Came.CAUGHT and not refused:
        came, by, place, reason = Came.UNNOTICED, "", "", ""
    return Trial(
        mutant.kind.value,
        tuple(block.id for block in mutant.left_out),
        came,
        by,
        place,
        reason.partition("\n")[0],
        refused,
        record.duration_s,
    )


def weigh(
    procedure: Procedure, environment: str, runs: Sequence[tuple[Mutant, Record]]
) -> tuple[tuple[Trial, ...], tuple[Tried, ...]]:
    """Return what came of the runs of mutants, and what they prove of each block that a reader runs."""
    trials = tuple(trial_of(procedure, environment, mutant, record) for mutant, record in runs)
    decided = [run for run, trial in zip(runs, trials, strict=True) if trial.came is not Came.UNDECIDED]
    own = {trial.left_out: trial for trial in trials}
    return trials, tuple(
        _step(block, own[block.id,]) if block.role in _CHANGING else _check(procedure, block, decided)
        for block in _acting(procedure, environment)
        if block.role is Role.CHECK or (block.id,) in own
    )


def refusals(procedure: Procedure, mutant: Mutant, record: Record) -> Iterator[BlockRecord]:
    """Yield the blocks that said no to what the run had left out, not only to something that they miss themselves.

    One behind what was left out that captured a figure outside of its bounds has refused too. Where a setup block was
    left out, nothing behind the first step that could not be done counts: it may have prepared that, and what a test
    prepares is no trouble.
    """
    blocks = {block.id: block for block in procedure.blocks}
    for one in record.blocks:
        block = blocks[one.id]
        if block.role in {*_CHANGING, Role.CHECK} and not _is_before(block, mutant) and _refuses(procedure, block, one):
            yield one
        if mutant.kind is Kind.SETUP and block.role in _CHANGING and one.outcome is not Outcome.PASSED:
            return


def accepts_silence(expectation: Expectation) -> bool:
    """Return whether an expectation holds of no output at all, although it asks for some."""
    return bool(expectation.text.strip()) and compare(expectation, "", "").held


def _acting(procedure: Procedure, environment: str) -> list[Block]:
    return [block for block in procedure.blocks if acts(block) and runs_in(block, environment)]


def _is_before(block: Block, mutant: Mutant) -> bool:
    return turn(block) < min(map(turn, mutant.left_out))


def _measured_before(procedure: Procedure, mutant: Mutant) -> frozenset[str]:
    """Return the figures that say nothing of what was left out: they were there when its turn came."""
    blocks = [block for block in procedure.blocks if _is_before(block, mutant)]
    captured = {name for block in blocks for one in block.expectations for name in captures(one)}
    return frozenset({*captured, *(block.id for block in blocks), *_BEFORE_STEPS})


def _refuses(procedure: Procedure, block: Block, record: BlockRecord) -> bool:
    if record.outcome is Outcome.PASSED:
        return any(_breaks_a_bound(procedure, one, record) for one in block.expectations)
    return record.outcome is Outcome.FAILED and not only_misses_a_name(record)


def _came(procedure: Procedure, environment: str, mutant: Mutant, record: Record) -> tuple[Came, str, str, str]:
    """Return what came of a run, what noticed, its page:line, and in which words."""
    acting = [block.id for block in _acting(procedure, environment)]
    first = min((acting.index(block.id) for block in mutant.left_out if block.id in acting), default=-1)
    failed = [one for one in record.blocks if one.outcome is Outcome.FAILED]
    early = [one for one in failed if one.id not in acting and one.role != Role.CLEANUP.value]
    early += [one for one in failed if one.id in acting and acting.index(one.id) < first]
    if early:
        return Came.UNDECIDED, "", f"{procedure.page}:{early[0].line}", early[0].message
    noticed = next((one for one in failed if one.id in acting and not only_misses_a_name(one)), None)
    if noticed is not None:
        return Came.CAUGHT, noticed.id, f"{procedure.page}:{noticed.line}", noticed.message
    if record.outcome is Outcome.BLOCKED:  # by what the procedure needs, or by monitoring that gave no answer
        return Came.UNDECIDED, "", "", record.reason
    if record.outcome is Outcome.PASSED or failed:  # a cleanup block, or what only missed a name, has failed
        return Came.UNNOTICED, "", "", ""
    tried = any(one.attempts and one.id in acting for one in record.blocks)
    earlier = _measured_before(procedure, mutant)
    if not tried or any(not one.kept and one.name in earlier for one in record.figures):
        return Came.UNDECIDED, "", "", record.reason
    later = acting[first + 1 :]
    return _at_the_end(procedure, record, [one for one in refusals(procedure, mutant, record) if one.id in later])


def _at_the_end(procedure: Procedure, record: Record, beyond: Sequence[BlockRecord]) -> tuple[Came, str, str, str]:
    """Return what noticed after all blocks passed: a figure, or the drill; ``beyond`` captured one out of bounds."""
    card = f"{procedure.page}:{procedure.card.line}"
    broken = next((figure for figure in record.figures if not figure.kept), None)
    if broken is not None:
        return Came.CAUGHT, broken.name, card, record.reason
    if record.reason.startswith(f"{card}: figure "):  # what it is measured by did not run, or said no number
        if not beyond:
            return Came.UNNOTICED, "", "", ""
        one, place = beyond[0], f"{procedure.page}:{beyond[0].line}"
        return (
            Came.CAUGHT,
            one.id,
            place,
            f"{place}: {one.id} captured a figure that is no number, or out of its bounds",
        )
    return Came.CAUGHT, DRILL, ":".join(record.reason.split(":", 2)[:2]), record.reason


def _step(block: Block, trial: Trial) -> Tried:
    why = {
        Came.CAUGHT: "",
        Came.UNNOTICED: "left out, and nothing noticed",
        Came.UNDECIDED: f"the run without it decided nothing, try again: {trial.reason}",
    }[trial.came]
    why = "; ".join(filter(None, (why, *_silent(block.expectations))))
    return Tried(block.id, block.role.value, block.span.first, not why, trial.caught_by, trial.place, why)


def _check(procedure: Procedure, block: Block, runs: Sequence[tuple[Mutant, Record]]) -> Tried:
    said_no = [
        (mutant, record, one)
        for mutant, record in runs
        for one in refusals(procedure, mutant, record)
        if one.id == block.id
    ]
    if not said_no:
        why = f"never refused anything: {_when_asked(block, [record for _, record in runs])}"
        return Tried(block.id, block.role.value, block.span.first, proven=False, reason=why)
    never = [
        f"the expectation of line {one.span.first} never refused anything"
        for one in block.expectations
        if can_fail(one) and not any(_said_no(procedure, one, record, refused) for _, record, refused in said_no)
    ]
    why = "; ".join((*never, *_silent(block.expectations)))
    without = said_no[0][0].left_out[0]
    place = f"{procedure.page}:{without.span.first}"
    return Tried(block.id, block.role.value, block.span.first, not why, without.id, place, why)


def _when_asked(block: Block, records: Iterable[Record]) -> str:
    """Return what became of a check that has not refused anything, in a writer's words."""
    found = [one for record in records for one in record.blocks if one.id == block.id]
    held = sum(one.outcome is Outcome.PASSED for one in found)
    skipped = [one.message.removeprefix("not run: ") for one in found if one.outcome is Outcome.SKIPPED]
    told = [f"it held in {held} of {len(found)} runs"] if found else ["no run could tell"]
    return ", and ".join([*told, *([f"was not asked, because {skipped[0]}"] if skipped else [])])


def _said_no(procedure: Procedure, expectation: Expectation, record: Record, refused: BlockRecord) -> bool:
    block = next(one for one in procedure.blocks if one.id == refused.id)
    said = compare_all(block.expectations, kept(refused), "", captured_before(refused, record, procedure))
    held = said[block.expectations.index(expectation)].held
    return not held or _breaks_a_bound(procedure, expectation, refused)


def _breaks_a_bound(procedure: Procedure, expectation: Expectation, record: BlockRecord) -> bool:
    """Return whether an expectation captured a figure of the card that is out of its bounds, or no number."""
    (verdict,) = compare_all((expectation,), kept(record), "")
    captured = dict(verdict.captures)
    bounds = [bound for bound in procedure.card.figures if bound.name in captured]
    return not all(_keeps(bound, captured[bound.name]) for bound in bounds)


def _keeps(bound: FigureBound, text: str) -> bool:
    value, low, high = number_of(text), bound.minimum, bound.maximum
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _silent(expectations: Iterable[Expectation]) -> Iterator[str]:
    for one in expectations:
        if accepts_silence(one):
            yield f"the expectation of line {one.span.first} holds of no output too"
