"""The commands of incident.sh."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from incident.evidence import firing
from incident.record import Entry, Incident, Refused, append, load, moment, record_of, stamp
from incident.report import events_of, handover, message, post_mortem, span, timeline, times_of

SEVERITIES = (1, 2, 3, 4)
STATUSES = ("investigating", "identified", "mitigated", "resolved")
ROLES = ("commander", "operations", "communications", "scribe")


def add(incident: Incident, by: str, kind: str, at: datetime | None = None, **values: object) -> Entry:
    """Add an entry to an incident's record."""
    now = datetime.now(UTC)
    if at and at > now:
        raise Refused(f"{stamp(at)} is in the future; it is {stamp(now)}")
    entry: Entry = {"at": stamp(at or now), "kind": kind, "by": by, **values}
    if at:
        entry["written_at"] = stamp(now)
    append(record_of(incident.id), entry)
    return entry


def open_incident(given: argparse.Namespace) -> str:
    """Declare an incident; its folder is made once, so that nobody opens a second one of that id."""
    now = datetime.now(UTC)
    incident = given.id or f"inc-{now:%Y%m%dT%H%M%S}Z"
    record = record_of(incident)
    alerts = firing()
    if alerts is None:
        print("incident.sh: Alertmanager does not answer; which alerts fire is not recorded", file=sys.stderr)
    roles = {role: getattr(given, role) for role in ROLES}
    roles["commander"] = roles["commander"] or given.by
    entry = {"at": stamp(now), "kind": "declared", "by": given.by, "severity": given.severity, "title": given.title}
    record.parent.parent.mkdir(parents=True, exist_ok=True)
    try:
        record.parent.mkdir()
    except FileExistsError:
        raise Refused(f"there is an incident {incident} already; add to it: incident.sh note {incident} …") from None
    record.touch(exist_ok=False)
    append(record, {**entry, "impact": given.impact, "roles": roles, "firing": alerts})
    fires = "not known" if alerts is None else ", ".join(alert["alert"] for alert in alerts) or "none"
    return f"alerts that fire: {fires}\nincident {incident} is open, severity {given.severity}"


def list_open() -> str:
    """Return one line for every incident that is not closed."""
    lines = []
    for path in sorted(Path(os.environ["INCIDENTS_DIR"]).glob("*/timeline.jsonl")):
        incident = load(path.parent.name)
        if incident.status != "closed":
            state = f"severity {incident.severity}, {incident.status}, {incident.commander}"
            lines.append(f"{incident.id}: {state}: {incident.declared['title']}")
    return "\n".join(lines) or "no incident is open"


def run(given: argparse.Namespace) -> str:  # noqa: C901, PLR0911, PLR0912 - one case for each command
    """Do what the command line says; return what it prints."""
    if given.command == "open":
        return open_incident(given)
    if given.command == "list":
        return list_open()
    incident = load(given.id)
    if incident.status == "closed" and given.command in {"severity", "status", "message", "handover", "close"}:
        raise Refused(f"{incident.id} is closed; a note can still be added, or open another incident")
    match given.command:
        case "note":
            entry = add(incident, given.by, "note", given.at, text=given.text)
            return f"{incident.id} {entry['at']} note"
        case "began" | "acknowledged":
            declared = moment(incident.declared["at"])
            if given.time > declared:
                raise Refused(f"it was declared at {stamp(declared)}, so that must have been before; TIME is in UTC")
            entry = add(incident, given.by, given.command, given.time, text=given.text)
            return f"{incident.id} {given.command} {entry['at']}"
        case "severity":
            add(incident, given.by, "severity", severity=given.severity, text=given.text)
            return f"{incident.id} is of severity {given.severity}, before {incident.severity}"
        case "status":
            add(incident, given.by, "status", status=given.status, text=given.text)
            return f"{incident.id} is {given.status}, before {incident.status}"
        case "message":
            text = message(incident, given.kind, given.text, datetime.now(UTC))
            add(incident, given.by, "message", message=given.kind, text=text)
            return text
        case "handover":
            text = handover(incident, given.to, given.text)
            add(
                incident, given.by, "handover", **{"from": incident.commander, "to": given.to, "text": given.text or ""}
            )
            return text
        case "close":
            return close(incident, given.by, given.text)
        case "timeline":
            return timeline(incident, *events_of(incident))
        case "times":
            rows = times_of(incident, events_of(incident)[0]).rows()
            return "\n".join(
                f"{name}: {'not known' if value is None else f'{value.total_seconds():.1f} s'} ({text})"
                for name, value, text in rows
            )
        case _:
            return post_mortem(incident)


def close(incident: Incident, by: str, text: str) -> str:
    """Close an incident that is over."""
    if incident.status != "resolved":
        raise Refused(f"{incident.id} is {incident.status}; first: incident.sh status {incident.id} resolved …")
    alerts = firing()
    if alerts is None:
        raise Refused("Alertmanager does not answer; nobody can say whether an alert fires")
    if alerts:
        raise Refused(f"still firing: {', '.join(alert['alert'] for alert in alerts)}")
    add(incident, by, "closed", text=text)
    return f"incident {incident.id} is closed after {span(datetime.now(UTC) - incident.since)}"


def arguments() -> argparse.ArgumentParser:
    """Return what the command line may say."""

    def when(text: str) -> datetime:
        return moment(text)

    parser = argparse.ArgumentParser(prog="incident.sh", usage="deployment/scripts/incident.sh --help", add_help=False)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, *positional: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, add_help=False, usage="deployment/scripts/incident.sh --help")
        sub.add_argument("--by", default=os.environ.get("USER") or getpass.getuser())
        for argument in positional:
            if argument == "severity":
                sub.add_argument(argument, type=int, choices=SEVERITIES)
            elif argument == "status":
                sub.add_argument(argument, choices=STATUSES)
            elif argument == "time":
                sub.add_argument(argument, type=when)
            elif argument == "kind":
                sub.add_argument(argument, choices=("first", "update", "resolved"))
            else:
                sub.add_argument(argument)
        return sub

    opening = command("open", "severity", "title")
    opening.add_argument("--impact", required=True)
    opening.add_argument("--id")
    for role in ROLES:
        opening.add_argument(f"--{role}", default="")
    command("began", "id", "time", "text")
    command("acknowledged", "id", "time", "text")
    command("note", "id", "text").add_argument("--at", type=when)
    command("severity", "id", "severity", "text")
    command("status", "id", "status", "text")
    command("message", "id", "kind").add_argument("--text")
    handing = command("handover", "id")
    handing.add_argument("--to", required=True)
    handing.add_argument("--text")
    command("close", "id", "text")
    command("list")
    for name in ("timeline", "times", "post-mortem"):
        command(name, "id")
    return parser


def main() -> int:
    """Run one command."""
    given = arguments().parse_args()
    try:
        print(run(given))
    except (Refused, OSError) as error:
        print(f"incident.sh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
