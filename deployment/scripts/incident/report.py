"""What is made from a record and the stack's evidence: timeline, times, messages, handover, post-mortem."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from incident.evidence import Event, alerts_between, error_ratio, firing, releases_between, shedding, silences
from incident.record import BEFORE, Entry, Incident, Refused, clock, moment

if TYPE_CHECKING:
    from collections.abc import Callable

UPDATE_EVERY = {1: timedelta(minutes=15), 2: timedelta(minutes=30), 3: timedelta(hours=2), 4: timedelta(days=1)}
POST_MORTEM_FROM = 2  # severities 1 and 2 get one


def events_of(incident: Incident) -> tuple[list[Event], list[str]]:
    """Return all that is known of an incident in time order, and what could not be found out."""
    start, end = incident.since, incident.until or datetime.now(UTC)
    alerts, without_alerts = alerts_between(start, end)
    releases, without_releases = releases_between(start - BEFORE, end)
    written = [Event(moment(entry["at"]), entry["kind"], words(entry), entry["by"]) for entry in incident.entries]
    return sorted(written + alerts + releases, key=lambda event: event.at), without_alerts + without_releases


def words(entry: Entry) -> str:
    """Return an entry of the record in words."""
    match entry["kind"]:
        case "declared":
            return f"severity {entry['severity']}: {entry['title']}. {entry['impact']}"
        case "severity":
            return f"severity {entry['severity']}: {entry['text']}"
        case "status":
            return f"{entry['status']}: {entry['text']}"
        case "message":
            return f"{entry['message']} message published"
        case "handover":
            return f"{entry['to']} commands, before {entry['from']}" + (f": {entry['text']}" if entry["text"] else "")
        case _:
            return str(entry["text"])


@dataclass(frozen=True, slots=True)
class Times:
    """The four times of an incident, and what they are counted from."""

    began: datetime | None
    detected: datetime
    acknowledged: datetime
    mitigated: datetime | None
    resolved: datetime | None

    def rows(self) -> list[tuple[str, timedelta | None, str]]:
        """Return name, duration (None: not known) and from when to when."""
        start = self.began or self.detected
        count_from = "it began" if self.began else "it was detected"

        def row(name: str, since: datetime | None, what: str, to: datetime | None) -> tuple[str, timedelta | None, str]:
            if since is None or to is None:
                missing = "when it began is not known" if since is None else f"it is not {name}d yet"
                return f"time to {name}", None, missing
            return f"time to {name}", to - since, f"from {clock(since)}, when {what}, to {clock(to)}"

        return [
            row("detect", self.began, "it began", self.detected),
            row("acknowledge", self.detected, "it was detected", self.acknowledged),
            row("mitigate", start, count_from, self.mitigated),
            row("resolve", start, count_from, self.resolved),
        ]


def times_of(incident: Incident, events: list[Event]) -> Times:
    """Work out when the incident was detected, taken, mitigated and resolved."""
    declared = moment(incident.declared["at"])
    alerts = [event.at for event in events if event.what == "alert" and event.at >= incident.since]
    resolved = None
    if incident.status in {"resolved", "closed"}:
        resolved = moment(next(e["at"] for e in reversed(incident.entries) if e.get("status") == "resolved"))
    acknowledged = min(incident.first("acknowledged") or declared, declared)
    return Times(
        began=incident.since if incident.last("began") else None,
        detected=min([*alerts, acknowledged]),
        acknowledged=acknowledged,
        mitigated=incident.first("status", status="mitigated") or resolved,
        resolved=resolved,
    )


def minute(when: datetime) -> str:
    """Write the time of day as readers of a status page want it."""
    return f"{when.astimezone(UTC):%H:%M} UTC"


def span(duration: timedelta) -> str:
    """Write a duration as people say it."""
    seconds = duration.total_seconds()
    if seconds < 120:  # noqa: PLR2004 - below two minutes, seconds say more
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004


def timeline(incident: Incident, events: list[Event], missing: list[str]) -> str:
    """Return the timeline as Markdown."""
    lines = ["| time (UTC) | since the start | what | | who |", "|---|---|---|---|---|"]
    for event in events:
        since = f"{(event.at - incident.since).total_seconds():+.1f} s"
        text = " ".join(event.text.split()).replace("|", "\\|")
        lines.append(f"| {event.at:%Y-%m-%d %H:%M:%S} | {since} | {event.what} | {text} | {event.source} |")
    if missing:
        lines += ["", *(f"Not known: {what}." for what in missing)]
    return "\n".join(lines)


def next_update(incident: Incident, after: datetime) -> str:
    """Write until when the next message is due."""
    due = after + UPDATE_EVERY[incident.severity]
    return minute(due) if UPDATE_EVERY[incident.severity] < timedelta(days=1) else f"{due:%Y-%m-%d %H:%M} UTC"


def message(incident: Incident, kind: str, text: str | None, now: datetime) -> str:
    """Return what the status page says. It holds facts of the record and of Prometheus, and nothing to be filled in."""
    title, impact = incident.declared["title"], incident.declared["impact"]
    start = minute(incident.since)
    match kind:
        case "first":
            return (
                f"[SEV{incident.severity}] Investigating: {title}\n"
                f"Since {start}: {impact}\n"
                f"We are working on it.{' ' + text if text else ''} Next update by {next_update(incident, now)}."
            )
        case "update":
            if not text:
                raise Refused("an update says what is new; add --text")
            measured = error_ratio()
            return (
                f"[SEV{incident.severity}] {incident.status.capitalize()}: {title}\n"
                f"Since {start}: {impact}\n"
                f"{text}\n"
                f"{f'Measured at {minute(now)}: {measured}. ' if measured else ''}"
                f"Next update by {next_update(incident, now)}."
            )
        case _:
            resolved = times_of(incident, events_of(incident)[0]).resolved
            if not resolved:
                raise Refused(f"{incident.id} is {incident.status}; first: incident.sh status {incident.id} resolved …")
            if not text:
                raise Refused("say what ended it; add --text")
            follows = "\nWhat we learn from it will be published within five working days."
            return (
                f"[SEV{incident.severity}] Resolved: {title}\n"
                f"From {start} to {minute(resolved)} ({span(resolved - incident.since)}): {impact}\n"
                f"{text}{follows if incident.severity <= POST_MORTEM_FROM else ''}"
            )


def handover(incident: Incident, to: str, text: str | None) -> str:
    """Return what the next commander must know."""
    published = incident.last("message")
    due = next_update(incident, moment(published["at"])) if published else "now: nothing was published yet"
    lines = [
        f"# {incident.id}: {incident.declared['title']}",
        "",
        f"- severity {incident.severity}, {incident.status}; commander: {to}, before {incident.commander}",
        f"- impact: {incident.declared['impact']}",
        f"- began {clock(incident.since)}, declared {clock(moment(incident.declared['at']))}",
        f"- next message due: {due}",
        f"- now: {error_ratio() or 'not known, Prometheus does not answer'}",
        f"- load shedding: {shedding()}",
        *([f"- {incident.commander} says: {text}"] if text else []),
        "",
        "## Alerts that fire",
        "",
        *listed(firing(), lambda alert: f"{alert['alert']}, since {clock(moment(alert['since']))}"),
        "",
        "## Silences in force",
        "",
        *listed(silences(), str),
        "",
        "## Last entries",
        "",
    ]
    last = (
        f"- {clock(moment(entry['at']))} {entry['kind']}, {entry['by']}: {words(entry)}"
        for entry in incident.entries[-10:]
    )
    return "\n".join([*lines, *last])


def listed(found: list[Any] | None, write: Callable[[Any], str]) -> list[str]:
    """Write a list; an empty one and an unknown one are not the same."""
    if found is None:
        return ["- not known, Alertmanager does not answer"]
    return [f"- {write(item)}" for item in found] or ["- none"]


def post_mortem(incident: Incident) -> str:
    """Return the page that the review starts from: facts only; what people must add is left as questions."""
    events, missing = events_of(incident)
    times = times_of(incident, events)
    roles = ", ".join(f"{role}: {name}" for role, name in incident.declared["roles"].items() if name)
    fired = sorted({event.text for event in events if event.what == "alert"})
    lines = [
        f"# Post-mortem of {incident.id}: {incident.declared['title']}",
        "",
        "Nobody is at fault here: people did what made sense with what they knew. We look for what let it happen,",
        "and for what made it hard to see or to mend.",
        "",
        f"- severity {incident.severity}, {incident.status}",
        f"- impact: {incident.declared['impact']}",
        f"- {roles}",
        *(f"- alert: {alert}" for alert in fired),
        "",
        "## Times",
        "",
        "| | | |",
        "|---|---|---|",
        *(
            f"| {name} | {span(value) if value is not None else 'not known'} | {text} |"
            for name, value, text in times.rows()
        ),
        "",
        "## Timeline",
        "",
        timeline(incident, events, missing),
        "",
        "## To be written by those who were there",
        "",
        "1. What happened, in three sentences that a customer understands?",
        "2. What had to come together for it to happen? Ask what, not who.",
        "3. What told us, and what could have told us earlier?",
        "4. Which runbook was followed? What in it was wrong, missing or slow?",
        "5. Where were we lucky?",
        "6. Actions: what, owner, date. One at least makes the same fault shorter or impossible.",
    ]
    return "\n".join(lines)
