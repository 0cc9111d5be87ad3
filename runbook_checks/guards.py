"""Where procedures may run at all: what is refused before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.errors import UsageError
from runbook_checks.model import Procedure, Role, is_drill, roles_in, runs_in
from runbook_checks.proof import proving_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_checks.config import Environment

_CHANGING = {Role.STEP, Role.SETUP, Role.CLEANUP, Role.ROLLBACK}


def refuse_unsafe(environment: Environment, procedures: Sequence[Procedure]) -> None:
    """Raise UsageError when a guard forbids to verify these procedures in an environment; nothing has run by then."""
    name = environment.name
    if environment.protected:
        raise UsageError(f"environment {name} is protected: verify never runs there")
    for procedure in (one for one in procedures if is_drill(one, name)):
        if reason := _no_drill(procedure, environment):
            fault = next(block for block in procedure.blocks if block.role is Role.FAULT and runs_in(block, name))
            raise UsageError(f"{procedure.page}:{fault.span.first}: {procedure.id} has a fault block, and {reason}")
    if environment.stack is not None:
        return
    trusted = environment.disposable or environment.identity is not None
    for procedure in procedures:
        roles = roles_in(procedure, name)
        where = f"{procedure.page}:{procedure.line}: {procedure.id}"
        if Role.SETUP in roles:
            raise UsageError(
                f"{where} has a setup block, and environment {name} has no stack of our own; setup never runs elsewhere"
            )
        if roles & _CHANGING and not trusted:
            raise UsageError(
                f"{where} changes things, and nothing proves that {name} may be changed; give that environment a"
                " `stack:`, an `identity:` or `disposable: true`"
            )


def _no_drill(procedure: Procedure, environment: Environment) -> str:
    """Return why a procedure that breaks something cannot be a drill in an environment, or ''."""
    if environment.stack is None:
        return f"environment {environment.name} has no stack of our own; a fault never runs elsewhere"
    if environment.drill is None:
        return f"environment {environment.name} does not say whom a drill asks; give it a `drill:`"
    if not procedure.card.alerts:
        return "its card names no alert that the fault raises; give it `alerts:`"
    if not proving_checks(procedure, environment.name):
        return (
            f"no check that runs in {environment.name} after the last step can show that the fault is on; add one that"
            " asks what the fault breaks, uses no capture and asks for no alert"
        )
    return ""
