"""The evidence of one run of one procedure, and its one-line JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

SCHEMA_VERSION = 1


class Outcome(Enum):
    """How a run of a procedure, or of one of its blocks, ended."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"  # a prerequisite was not met
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"  # blocks only: for another environment, or after a failure


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What one block did; output is redacted and bounded, ``*_cut`` says how many bytes were left out."""

    id: str
    role: str
    language: str
    line: int
    command: str
    outcome: Outcome
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_cut: int = 0
    stderr_cut: int = 0
    duration_s: float = 0.0
    attempts: int = 0
    message: str = ""  # for a failure: what differed, in a reader's words, with page:line


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that a run measured, with the bounds it was held against."""

    name: str
    value: float
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the stack and its version, as the stack names them."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Record:
    """The evidence of one run of one procedure; times are UTC, ISO 8601; ``digest`` names what was run."""

    run: str
    procedure: str
    page: str
    title: str
    outcome: Outcome
    reason: str
    digest: str
    environment: str
    started_at: str
    ended_at: str
    duration_s: float
    commit: str = ""
    dirty: bool = False
    services: tuple[Service, ...] = ()
    blocks: tuple[BlockRecord, ...] = ()
    figures: tuple[Figure, ...] = ()
    schema_version: int = SCHEMA_VERSION
