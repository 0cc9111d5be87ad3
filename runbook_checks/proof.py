"""Whether a run of a procedure says anything about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook_checks.blocks import can_fail, captures
from runbook_checks.model import Role, acts, runs_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runbook_checks.model import Block, Card, Procedure

_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_ASKS_ALERTS = re.compile(r"\b(?:ALERTS|ALERTS_FOR_STATE|amtool)\b|/api/v[12]/alerts\b")


def proves(procedure: Procedure, environment: str) -> bool:
    """Return whether a run in an environment can find a procedure wrong, by a check or by an expectation."""
    return any(
        block.role is Role.CHECK or any(map(can_fail, block.expectations))
        for block in procedure.blocks
        if acts(block) and runs_in(block, environment)
    )


def proving_checks(procedure: Procedure, environment: str) -> tuple[Block, ...]:
    """Return the checks after the last step that can show a fault: they use no capture, and ask for no alert."""
    acting = [block for block in procedure.blocks if acts(block) and runs_in(block, environment)]
    last = max((place for place, block in enumerate(acting) if block.role is Role.STEP), default=-1)
    known = {name for block in acting for expectation in block.expectations for name in captures(expectation)}
    return tuple(
        block
        for block in acting[last + 1 :]
        if block.role is Role.CHECK
        and not known & set(_VARIABLE.findall(block.text))
        and not asks_for_alerts(block, procedure.card)
    )


def asks_for_alerts(block: Block, card: Card) -> bool:
    """Return whether a block names an alert of the card, or asks monitoring for alerts: it says what the alert says."""
    texts = (block.text, *(expectation.text for expectation in block.expectations))
    return any(_ASKS_ALERTS.search(text) or _names_one(text, card.alerts) for text in texts)


def _names_one(text: str, alerts: Iterable[str]) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in alerts)


def drilled_in(blocks: Sequence[Block]) -> frozenset[str]:
    """Return the environments that a drill of these blocks can run in; '' stands for every one that no block names."""
    named = {block.environment for block in blocks}
    faults = {block.environment for block in blocks if block.role is Role.FAULT}
    return frozenset(named | {""} if "" in faults else faults)
