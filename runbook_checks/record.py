"""The evidence of one run of one procedure, and its one-line JSON form."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMA_VERSION = 2
CHANGED = "changed while it ran"  # the digest of a run of which nobody can say which files it was that ran

READABLE = {1, SCHEMA_VERSION}
_SINCE_2 = frozenset({"source", "parts"})  # fields that version 1 does not have
_MOMENTS = "moments"  # nor this, which only a drill's record has
_NO_EARLIER = "no_earlier_than"  # nor this, which few have

_NUMBERS = frozenset({int, float})
_TYPES = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "int | None": (int, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
}


class Outcome(Enum):
    """How a run of a procedure, or of one of its blocks, ended."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"  # a prerequisite was not met
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"  # blocks only: for another environment, or after a failure


class OtherSchemaError(ValueError):
    """A record of a schema version that is not ours: what it says is not known."""


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
class Moment:
    """What happened in a drill, and when: UTC, ISO 8601."""

    name: str
    at: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the stack and its version, as the stack names them."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Record:
    """The evidence of one run of one procedure; times are UTC, ISO 8601; ``digest`` names what was run.

    ``source`` is the text of what was run, and ``parts`` are the short hashes of what the digest covers, by name; both
    are empty when nothing ran, and in a record of version 1. ``moments`` are those of a drill, in their order.
    ``no_earlier_than`` is set where the record was kept after one that is dated later: a moment after that one.
    """

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
    source: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    moments: tuple[Moment, ...] = ()
    no_earlier_than: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Evidence:
    """A record as it was found, and whether it may be believed; one that is refused counts for nothing."""

    record: Record
    signed_by: str = ""  # the id of the trusted key that signed it; empty for one that is not signed
    refused: str = ""  # why it is not believed, in a reader's words


def to_line(record: Record) -> str:
    """Return the record as one line of JSON, with a final newline, in the form of its schema version."""
    data = _fields_of(record)
    data["parts"] = dict(record.parts)
    if record.schema_version == 1:
        data = {name: value for name, value in data.items() if name not in _SINCE_2}
    if not record.moments:
        del data[_MOMENTS]
    if not record.no_earlier_than:
        del data[_NO_EARLIER]
    return f"{_encode(data)}\n"


def from_line(line: str) -> Record:
    """Return the record that a line holds; raise ValueError for what is none, OtherSchemaError for another version."""
    try:
        data = json.loads(line)
        version = data["schema_version"]
        if version not in READABLE:
            raise OtherSchemaError(f"schema version {version} is not {SCHEMA_VERSION}")
        if _SINCE_2 & data.keys() != (_SINCE_2 if version > 1 else set()):
            raise ValueError(f"{' and '.join(sorted(_SINCE_2))} belong in a record since schema version 2")
        if {_MOMENTS, _NO_EARLIER} & data.keys() and version == 1:
            raise ValueError(f"{_MOMENTS} and {_NO_EARLIER} belong in a record since schema version 2")
        data["moments"] = tuple(Moment(**moment) for moment in data.get(_MOMENTS, ()))
        data["parts"] = _parts(data.get("parts", {}))
        data["outcome"] = Outcome(data["outcome"])
        data["services"] = tuple(Service(**service) for service in data["services"])
        data["figures"] = tuple(Figure(**figure) for figure in data["figures"])
        data["blocks"] = tuple(
            BlockRecord(**{**block, "outcome": Outcome(block["outcome"])}) for block in data["blocks"]
        )
        record = Record(**data)
        _check_types(record, *record.services, *record.blocks, *record.figures, *record.moments)
        kept = (data[_NO_EARLIER],) if _NO_EARLIER in data else ()
        for at in (record.started_at, record.ended_at, *kept, *(moment.at for moment in record.moments)):
            if datetime.fromisoformat(at).tzinfo is None:
                raise ValueError(f"{at!r} has no time zone")
            datetime.fromisoformat(at).astimezone(UTC)
    except (AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"not a record: {error!r}") from error
    return record


def kept_at(record: Record) -> datetime:
    """Return by which moment a record comes before or after others of its file, whatever clock dated it."""
    ended_at = datetime.fromisoformat(record.ended_at).astimezone(UTC)
    if not record.no_earlier_than:
        return ended_at
    return max(ended_at, datetime.fromisoformat(record.no_earlier_than).astimezone(UTC))


def _parts(data: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the hashes by name; raise TypeError when one is no text."""
    if not all(type(value) is str for value in data.values()):
        raise TypeError("parts are not all texts")
    return tuple(data.items())


def _check_types(*parts: Record | Service | BlockRecord | Figure | Moment) -> None:
    """Raise TypeError for a text where a number should be, and the like: readers compute with these values."""
    for part in parts:
        values_of, checked, good = _checked(type(part))  # type: ignore[arg-type]  # classes are hashable
        values = values_of(part)
        kinds = tuple(map(type, values))
        if kinds not in good:
            for kind, (name, wanted, written) in zip(kinds, checked, strict=True):
                if kind not in wanted:
                    raise TypeError(f"{name} is not of type {written}")
            good.add(kinds)
        for value in values:
            if type(value) in _NUMBERS and not math.isfinite(value):
                raise TypeError(f"{next(name for name, *_ in checked if getattr(part, name) is value)} is not finite")


@cache  # a site reads thousands of records
def _checked(
    kind: type,
) -> tuple[Callable[[object], tuple[Any, ...]], tuple[tuple[str, tuple[type, ...], str], ...], set[tuple[type, ...]]]:
    """Return what reads the values of a class that have a type to check, these types, and those known to be good."""
    known = ((field.name, str(field.type)) for field in fields(kind))
    checked = tuple((name, _TYPES[written], written) for name, written in known if written in _TYPES)
    return attrgetter(*(name for name, *_ in checked)), checked, set()


def _fields_of(part: Record | Service | BlockRecord | Figure | Moment) -> dict[str, Any]:
    """Return the fields of one object by name, as they are: asdict() would copy all that is in them."""
    names, values_of = _named(type(part))  # type: ignore[arg-type]  # classes are hashable
    return dict(zip(names, values_of(part), strict=True))


def _in_json(part: Outcome | Service | BlockRecord | Figure | Moment) -> str | dict[str, Any]:
    return part.value if isinstance(part, Outcome) else _fields_of(part)


_encode = json.JSONEncoder(ensure_ascii=True, check_circular=False, separators=(",", ":"), default=_in_json).encode


@cache
def _named(kind: type) -> tuple[tuple[str, ...], Callable[[object], tuple[Any, ...]]]:
    names = tuple(field.name for field in fields(kind))
    return names, attrgetter(*names)
