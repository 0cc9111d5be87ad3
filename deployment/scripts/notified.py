"""What notified.sh runs: the notifications that staging's receivers kept. Standard library only."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNBOOK_URL = re.compile(r"\brunbook_url\s*[:=]\s*(?P<url>https?://[^\s<\"]+)")  # as Alertmanager's mails have it


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification about one alert, as it arrived."""

    received_at: str
    status: str
    alert: str
    by: str
    to: str
    text: str
    runbook_url: str = ""

    def document(self) -> dict[str, str]:
        """Return what a drill needs to know of it."""
        return {
            "at": self.received_at,
            "alert": self.alert,
            "status": self.status,
            "runbook_url": self.runbook_url,
            "receiver": f"{self.by} {self.to}",
        }

    def __str__(self) -> str:
        return f"{self.received_at} {self.status} {self.alert} by {self.by} to {self.to}"


def main(arguments: Sequence[str]) -> int:
    """Print what arrived."""
    parser = argparse.ArgumentParser(prog="notified.sh", allow_abbrev=False)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--status", choices=["firing", "resolved"])
    which.add_argument("--open", action="store_true")
    parser.add_argument("--by", choices=["webhook", "mail"])
    parser.add_argument("--since", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("alert", nargs="?", default="")
    parser.add_argument("text", nargs="?", default="")
    wanted = parser.parse_args(arguments)
    arrived = [*webhooks(Path(os.environ["NOTIFICATIONS"])), *mails(Path(os.environ["MAILBOX"]))]
    found = [
        delivery
        for delivery in sorted(arrived, key=lambda delivery: delivery.received_at)
        if wanted.alert in ("", delivery.alert)
        and wanted.status in (None, delivery.status)
        and wanted.by in (None, delivery.by)
        and datetime.fromisoformat(delivery.received_at).timestamp() >= wanted.since
        and wanted.text in delivery.text
    ]
    if wanted.open:
        found = still_open(found)
    for delivery in found:
        print(json.dumps(delivery.document()) if wanted.json else delivery)
    if wanted.json:
        return 0
    if not found:
        asked = " ".join(filter(None, (wanted.status, wanted.alert, wanted.text, wanted.by and f"by {wanted.by}")))
        print(f"notified.sh: nobody was told: {asked}", file=sys.stderr)
    return 0 if found else 1


def still_open(told: Sequence[Delivery]) -> list[Delivery]:
    """Return what each receiver was last told of each alert, if that is that it fires; of one moment that counts."""
    last = {}
    for one in sorted(told, key=lambda delivery: (delivery.received_at, delivery.status == "firing")):
        last[one.alert, one.by, one.to] = one
    return [one for one in last.values() if one.status == "firing"]


def webhooks(path: Path) -> Iterator[Delivery]:
    """Return every alert of every notification that came by webhook."""
    for kept in documents(path):
        for alert in kept["notification"]["alerts"]:
            name, text = alert["labels"]["alertname"], json.dumps(alert, ensure_ascii=False)
            url = alert.get("annotations", {}).get("runbook_url", "")
            yield Delivery(kept["received_at"], alert["status"], name, "webhook", kept["path"], text, url)


def mails(path: Path) -> Iterator[Delivery]:
    """Return every mail; Alertmanager's subjects are `[FIRING:1] <alert> (<labels>)` and `[RESOLVED] <alert> (…)`."""
    for kept in documents(path):
        state, _, rest = kept["subject"].partition("] ")
        status = state.removeprefix("[").partition(":")[0].lower()
        name = rest.partition(" ")[0]
        text = f"{kept['subject']}\n{kept['body']}"
        url = RUNBOOK_URL.search(kept["body"])
        yield Delivery(
            kept["received_at"], status, name, "mail", ", ".join(kept["to"]), text, url["url"] if url else ""
        )


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """Return the JSON documents of a file, one a line; the last may still be on its way."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
