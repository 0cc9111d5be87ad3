"""The record of an incident: a timeline that only grows."""

from __future__ import annotations

import fcntl
import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Entry = dict[str, Any]

# Alerts and releases this long before the declaration belong to its story; BadDeploy looks as far back.
BEFORE = timedelta(minutes=30)


class Refused(Exception):  # noqa: N818 - it is an answer, not an accident
    """What was asked is not done, and why."""


def record_of(incident: str) -> Path:
    """Return the file of an incident's record."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", incident):
        raise Refused(f"{incident!r} is no id: letters, digits, '.', '_' and '-'")
    return Path(os.environ["INCIDENTS_DIR"]) / incident / "timeline.jsonl"


def append(record: Path, entry: Entry) -> None:
    """Add one line, whole and on disk, whoever else writes at the same moment."""
    line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
    with record.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":  # a writer died half-way: its line must not swallow ours
                line = b"\n" + line
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read(incident: str) -> list[Entry]:
    """Return the entries in the order in which they happened; a line that cannot be read is named and left out."""
    record = record_of(incident)
    if not record.exists():
        known = ", ".join(sorted(path.parent.name for path in record.parent.parent.glob("*/timeline.jsonl")))
        raise Refused(f"there is no incident {incident}; there are: {known or 'none'}")
    entries = []
    for number, line in enumerate(record.read_bytes().splitlines(), 1):
        try:
            entry = json.loads(line)
            moment(entry["at"])
        except (ValueError, TypeError, KeyError):
            print(f"incident.sh: {record}:{number} cannot be read and is left out", file=sys.stderr)
        else:
            entries.append(entry)
    return sorted(entries, key=lambda entry: moment(entry["at"]))


def moment(text: str) -> datetime:
    """Read a time: ISO 8601 (UTC when it does not say), or seconds since the epoch."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    # Alertmanager writes nanoseconds, Python reads microseconds.
    found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def stamp(when: datetime) -> str:
    """Write a time as the record holds it."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clock(when: datetime) -> str:
    """Write the time of day."""
    return f"{when.astimezone(UTC):%H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Incident:
    """What a record says, read at one moment."""

    id: str
    entries: list[Entry]

    def last(self, kind: str) -> Entry | None:
        """Return the newest entry of a kind."""
        return next((entry for entry in reversed(self.entries) if entry["kind"] == kind), None)

    def first(self, kind: str, **values: str) -> datetime | None:
        """Return when the first entry of a kind with these values happened."""
        for entry in self.entries:
            if entry["kind"] == kind and all(entry.get(key) == value for key, value in values.items()):
                return moment(entry["at"])
        return None

    @property
    def declared(self) -> Entry:
        """The declaration."""
        declared = self.last("declared")
        if declared is None:
            raise Refused(f"the record of {self.id} does not begin with a declaration")
        return declared

    @property
    def severity(self) -> int:
        """The severity now."""
        return int((self.last("severity") or self.declared)["severity"])

    @property
    def status(self) -> str:
        """The status now."""
        if self.last("closed"):
            return "closed"
        status = self.last("status")
        return str(status["status"]) if status else "investigating"

    @property
    def commander(self) -> str:
        """Who commands now."""
        handover = self.last("handover")
        return str(handover["to"] if handover else self.declared["roles"]["commander"])

    @property
    def since(self) -> datetime:
        """Where the incident's story begins: when it began, else its first alert, else the declaration."""
        began = self.last("began")
        if began:
            return moment(began["at"])
        declared = moment(self.declared["at"])
        starts = [moment(alert["since"]) for alert in self.declared["firing"] or ()]
        return min([declared, *(start for start in starts if start >= declared - BEFORE)])

    @property
    def until(self) -> datetime | None:
        """When it was closed."""
        closed = self.last("closed")
        return moment(closed["at"]) if closed else None


def load(incident: str) -> Incident:
    """Read an incident."""
    return Incident(incident, read(incident))
