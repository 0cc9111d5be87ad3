"""The alerts of Prometheus rule files, the procedures that answer them, and what those are worth."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from runbook_checks.errors import Problem, SourceError
from runbook_checks.status import Status
from runbook_checks.yaml_nodes import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from yaml.nodes import Node

    from runbook_checks.config import Config, Exemption
    from runbook_checks.model import Procedure
    from runbook_checks.record import Outcome
    from runbook_checks.report import Entry

LARGEST_RULE_FILE = 4 * 1024 * 1024  # bytes; generated ones are long


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule, where it is written, and the page that it sends a responder to."""

    name: str
    path: str  # of the rule file, relative to the configuration's folder, with forward slashes
    line: int
    runbook_url: str = ""
    severity: str = ""


@dataclass(frozen=True, slots=True)
class LastDrill:
    """When a procedure was last drilled, whether that passed, and whether it was the procedure as it is now."""

    at: datetime
    outcome: Outcome
    current: bool

    @property
    def words(self) -> str:
        """Return the day and the rest in words."""
        return f"{self.at:%Y-%m-%d} {self.outcome.value}" + ("" if self.current else ", changed since")


@dataclass(frozen=True, slots=True)
class Answer:
    """An alert's name, the rules that raise it, the entries of the procedures whose cards name it, else why not.

    ``elsewhere`` are the public ids of procedures that name it too, and run only in other environments.
    """

    name: str
    rules: tuple[Alert, ...] = ()
    entries: tuple[Entry, ...] = ()
    exemption: Exemption | None = None
    elsewhere: tuple[str, ...] = ()

    @property
    def severity(self) -> str:
        """Return what the rules say that it is worth, each word once."""
        return ", ".join(dict.fromkeys(rule.severity for rule in self.rules if rule.severity))

    @property
    def covered(self) -> bool:
        """Return whether some procedure answers the alert."""
        return bool(self.entries or self.elsewhere)

    @property
    def verified(self) -> bool:
        """Return whether every procedure that answers the alert is verified, and there is one."""
        return bool(self.entries) and all(entry.status is Status.VERIFIED for entry in self.entries)


@dataclass(frozen=True)  # without slots, which cached_property cannot do with
class Coverage:
    """Every alert that a rule or a card names, in the order of the rules, then of the pages."""

    answers: tuple[Answer, ...]

    @cached_property
    def raised(self) -> tuple[Answer, ...]:
        """Return the alerts that a rule raises."""
        return tuple(answer for answer in self.answers if answer.rules)

    @property
    def uncovered(self) -> tuple[Answer, ...]:
        """Return the alerts that no procedure answers."""
        return tuple(answer for answer in self.raised if not answer.covered)

    @property
    def unraised(self) -> tuple[Answer, ...]:
        """Return the alerts that cards name and no rule raises."""
        return tuple(answer for answer in self.answers if not answer.rules)


def coverage(
    alerts: Iterable[Alert],
    entries: Iterable[Entry],
    exemptions: Iterable[Exemption] = (),
    procedures: Iterable[Procedure] = (),
) -> Coverage:
    """Return what answers each alert; give the entries of one environment, and all procedures that there are."""
    exempt = {exemption.alert: exemption for exemption in exemptions}
    rules: dict[str, list[Alert]] = {}
    for alert in alerts:
        rules.setdefault(alert.name, []).append(alert)
    answering: dict[str, list[Entry]] = {name: [] for name in rules}
    for entry in entries:
        for name in entry.procedure.card.alerts:
            answering.setdefault(name, []).append(entry)
    elsewhere: dict[str, list[str]] = {}
    for procedure in procedures:
        for name in procedure.card.alerts:
            if procedure not in (entry.procedure for entry in answering.setdefault(name, [])):
                elsewhere.setdefault(name, []).append(procedure.id)
    return Coverage(
        tuple(
            Answer(name, tuple(rules.get(name, ())), tuple(found), exempt.get(name), tuple(elsewhere.get(name, ())))
            for name, found in answering.items()
        )
    )


def last_drill(entry: Entry) -> LastDrill | None:
    """Return the last drill of an entry's procedure, None when it was never drilled."""
    record = entry.drill
    if record is None:
        return None
    return LastDrill(datetime.fromisoformat(record.ended_at), record.outcome, record.digest == entry.digest)


def load_alerts(config: Config) -> tuple[Alert, ...]:
    """Return the alerts of all rule files that a configuration names; raises SourceError with all that is wrong."""
    alerts: list[Alert] = []
    problems: list[Problem] = []
    for path in config.alert_paths():
        name = path.relative_to(config.root).as_posix()
        found, wrong = _read_file(path, name)
        alerts += found
        problems += wrong
    if problems:
        raise SourceError(tuple(problems))
    return tuple(alerts)


def read_alerts(text: str, path: str) -> tuple[tuple[Alert, ...], tuple[Problem, ...]]:
    """Return the alerts of a rule file, or of a ``PrometheusRule`` resource, and what is wrong in it."""
    reader = Reader(path, 0, "the rule file", largest_bytes=LARGEST_RULE_FILE)
    root = reader.root(text) or {}
    if "spec" in root and "groups" not in root:
        root = reader.mapping(root["spec"], "`spec`") or {}
    elif root and "groups" not in root:
        reader.problem(next(iter(root.values())), "a rule file has `groups:`, and this one has none")
    alerts = [
        Alert(
            name=reader.text(rule["alert"], "alert"),
            path=path,
            line=rule["alert"].start_mark.line + 1,
            runbook_url=_value(reader, rule, "annotations", "runbook_url"),
            severity=_value(reader, rule, "labels", "severity"),
        )
        for group in reader.mappings(root.get("groups"), "groups")
        for rule in reader.mappings(group.get("rules"), "rules")
        if "alert" in rule
    ]
    for alert in alerts:
        if not alert.name:
            reader.problems.append(Problem(path, alert.line, "`alert` has no name"))
    return tuple(alerts), tuple(reader.problems)


def _value(reader: Reader, rule: dict[str, Node], key: str, name: str) -> str:
    found = reader.mapping(rule[key], f"`{key}`") if key in rule else None
    return reader.text((found or {}).get(name), name)


def _read_file(path: Path, name: str) -> tuple[tuple[Alert, ...], tuple[Problem, ...]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return (), (Problem(name, 1, f"cannot be read: {error}"),)
    return read_alerts(text, name)
