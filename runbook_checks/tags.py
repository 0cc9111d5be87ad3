"""The pytest marks of a procedure, and expressions over them as in ``pytest -m``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from _pytest.mark.expression import Expression

from runbook_checks.errors import UsageError
from runbook_checks.model import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from runbook_checks.model import Procedure, Runbook

_OTHERS_MARKS = {"filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xfail"}  # change what a run means
_NO_MARK = re.compile(r"[^\w.-]+|^_+")


def marks_of(procedure: Procedure, runbook: Runbook) -> frozenset[str]:
    """Return the roles of a procedure's blocks, its tags, ``drill`` or ``destructive`` where it is that."""
    tags = {_NO_MARK.sub("", tag.replace(" ", "-")) for tag in (*procedure.card.tags, *runbook.tags)}
    destructive = set() if procedure.card.reversible else {"destructive"}
    roles = {role.value for role, _ in procedure.roles}
    drill = {"drill"} if Role.FAULT.value in roles else set()
    return frozenset(roles | (tags - _OTHERS_MARKS - {""}) | destructive | drill)


def matcher(expression: str) -> Callable[[frozenset[str]], bool]:
    """Return whether marks are what an expression such as ``not slow`` asks for; raises UsageError for no expression.

    The grammar is that of ``pytest -m``: https://docs.pytest.org/en/stable/how-to/usage.html#specifying-which-tests-to-run
    """
    try:
        compiled = Expression.compile(expression)
    except SyntaxError as error:
        raise UsageError(f"-m {expression!r} cannot be read: {error.msg}; write for example -m 'not slow'") from error

    def matches(marks: frozenset[str]) -> bool:
        return compiled.evaluate(lambda name, /, **_: name in marks)

    return matches
