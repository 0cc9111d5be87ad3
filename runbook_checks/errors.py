"""What can keep us from judging. A failing check is a result, never one of these."""

from __future__ import annotations

from dataclasses import dataclass


class RunbookError(Exception):
    """The base of every error that this package raises on purpose; its text is meant for the user."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a source file, at a one-based line, with what to write instead."""

    path: str
    line: int
    reason: str
    suggestion: str = ""

    def __str__(self) -> str:
        """Return ``path:line: reason; suggestion``."""
        text = f"{self.path}:{self.line}: {self.reason}"
        return f"{text}; {self.suggestion}" if self.suggestion else text


class SourceError(RunbookError):
    """Pages or configuration that cannot be read as written; carries every problem found, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        """Keep the problems in the order of their places."""
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


class UsageError(RunbookError):
    """A request that cannot be carried out as asked: an unknown procedure, an empty selection, a protected target."""


class StackError(RunbookError):
    """The stack could not be brought up, or does not answer."""

    exit_code = 3
