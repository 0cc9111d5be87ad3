"""The words of the glossary as values: what a page says, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePosixPath


class Role(Enum):
    """What a block is for."""

    STEP = "step"
    CHECK = "check"
    SETUP = "setup"
    CLEANUP = "cleanup"
    ROLLBACK = "rollback"
    FAULT = "fault"


DRILL_FIGURES = ("time_to_detect", "time_to_notify", "time_to_recover")  # what a drill measures by itself
_OF_READERS = frozenset({Role.STEP, Role.CHECK, Role.ROLLBACK})


class Match(Enum):
    """How an expectation compares its text with what came."""

    LIKE = "like"
    EXACT = "exact"
    CONTAINS = "contains"
    REGEX = "regex"
    JSON = "json"


class Stream(Enum):
    """An output stream of a block."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Span:
    """One-based lines of a page, both ends included, fence lines too."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one stream of the block before it must be; ``text`` is dedented, without its last newline."""

    text: str
    match: Match
    stream: Stream
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """A fence that opted in to being run; ``text`` is dedented and ends with a newline."""

    id: str
    role: Role
    language: str
    text: str
    span: Span
    title: str = ""
    exit_status: int = 0
    http_status: str = ""
    timeout_s: float | None = None
    within_s: float | None = None
    every_s: float | None = None
    environment: str = ""
    expectations: tuple[Expectation, ...] = ()


@dataclass(frozen=True, slots=True)
class FigureBound:
    """A figure that a card lists, its unit, and the bounds that it must keep."""

    name: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """What a ``{.procedure}`` block declares; ``line`` is 0 for a procedure without a card."""

    line: int = 0
    alerts: tuple[str, ...] = ()
    severity: str = ""
    needs: tuple[str, ...] = ()  # public ids, or heading ids of the same page
    changes: tuple[str, ...] = ()
    reversible: bool = True
    expected_s: float | None = None
    uses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    figures: tuple[FigureBound, ...] = ()
    formerly: tuple[str, ...] = ()  # older public ids, or older heading ids of the same page
    unproven: tuple[tuple[str, str], ...] = ()  # ids of blocks, and why nothing proves that they are needed


@dataclass(frozen=True, slots=True)
class Procedure:
    """A heading section that holds at least one block marked for running."""

    page: str  # path of the page, relative to the configuration's folder, with forward slashes
    anchor: str  # the heading's id
    title: str
    line: int
    card: Card
    blocks: tuple[Block, ...]
    source: str = field(default="", compare=False)  # the card and the marked fences, as the page has them
    id: str = field(init=False, compare=False)  # the public id, ``<page stem>/<heading id>``
    node_id: str = field(init=False, compare=False)  # pytest's, ``<page path>::<heading id>``
    roles: frozenset[tuple[Role, str]] = field(init=False, compare=False)  # of its blocks, each with its environment

    def __post_init__(self) -> None:
        """Note what is asked for all the time."""
        object.__setattr__(self, "id", f"{PurePosixPath(self.page).stem}/{self.anchor}")
        object.__setattr__(self, "node_id", f"{self.page}::{self.anchor}")
        object.__setattr__(self, "roles", frozenset((block.role, block.environment) for block in self.blocks))


@dataclass(frozen=True, slots=True)
class Runbook:
    """A page with a ``runbook:`` key in its front matter."""

    path: str
    title: str
    owner: str = ""
    escalation: str = ""
    verify_every_s: float | None = None
    tags: tuple[str, ...] = ()
    procedures: tuple[Procedure, ...] = field(default=())


def runs_in(block: Block, environment: str) -> bool:
    """Return whether a block is run by ``verify`` in an environment."""
    return block.environment in {"", environment}


def roles_in(procedure: Procedure, environment: str) -> frozenset[Role]:
    """Return what the blocks of a procedure that ``verify`` runs in an environment are for."""
    return frozenset(role for role, only in procedure.roles if only in {"", environment})


def is_drill(procedure: Procedure, environment: str) -> bool:
    """Return whether a run of a procedure in an environment is a drill: it breaks something first."""
    return Role.FAULT in roles_in(procedure, environment)


def acts(block: Block) -> bool:
    """Return whether a reader runs a block too; the others are for tests and drills."""
    return block.role in _OF_READERS
