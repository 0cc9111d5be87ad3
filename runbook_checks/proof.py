"""Whether a run of a procedure says anything about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.blocks import can_fail
from runbook_checks.model import Role, acts, runs_in

if TYPE_CHECKING:
    from runbook_checks.model import Procedure


def proves(procedure: Procedure, environment: str) -> bool:
    """Return whether a run in an environment can find a procedure wrong, by a check or by an expectation."""
    return any(
        block.role is Role.CHECK or any(map(can_fail, block.expectations))
        for block in procedure.blocks
        if acts(block) and runs_in(block, environment)
    )
