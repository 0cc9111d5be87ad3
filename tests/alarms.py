"""A stand-in for Prometheus and Alertmanager, and drills of real shells that ask it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from procedures import card, check, fence, log, step

from runbook_checks.config import DrillSettings
from runbook_checks.execute import execute
from runbook_checks.languages import DEFAULTS
from runbook_checks.links import SiteMap, follow
from runbook_checks.markdown import scan
from runbook_checks.monitoring import Monitoring
from runbook_checks.record import Outcome, Record
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.shell import find_bash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runbook_checks.model import Procedure

BASH = find_bash(os.environ)
LANGUAGES = {**DEFAULTS, "promql": f"{sys.executable} -m runbook_checks promql"}
URL = "https://runbooks.example/docs/p/#one"
CARD = card("alerts: [Broken]")
FAULT = fence("bash {.fault}", "touch broken; echo fault >>log")
MEND = step("rm -f broken; echo step >>log")
HEALED = check("test ! -e broken")
CLEANUP = fence("bash {.cleanup}", "rm -f broken; echo cleaned >>log")


@dataclass(slots=True)
class Alarm:
    """A stand-in for Prometheus and Alertmanager: `Broken` fires while the file `broken` is there."""

    folder: Path
    url: str = ""
    silent: bool = False  # it never fires
    mute: bool = False  # nobody is told
    stuck: bool = False  # it never resolves
    comes_back: bool = False  # once somebody was told that it is over
    deaf_s: float = 0.0  # after the steps it gives no answer for so long, unless the file `well` is there
    unscraped: bool = False  # while the fault is on, what it has are samples from before
    lasts_s: float = 60.0  # it gives up after so long
    runbook_url: str = URL
    seen_at: float = 0.0
    firing: bool = False

    def deaf(self) -> bool:
        mended = self.folder / "mended"
        if not mended.exists() or (self.folder / "well").exists():
            return False
        return time.time() - mended.stat().st_mtime < self.deaf_s

    def look(self) -> bytes:
        broken = (self.folder / "broken").exists()
        self.seen_at = (self.seen_at or time.monotonic()) if broken else 0.0
        lasting = broken and time.monotonic() - self.seen_at < self.lasts_s
        back = self.comes_back and '"resolved"' in (self.folder / "told").read_text()
        firing = (lasting or back or (self.stuck and self.firing)) and not self.silent
        if firing != self.firing:
            self.firing = firing
            self.tell("firing" if firing else "resolved")
        alerts = [{"labels": {"alertname": "Broken"}, "state": "firing"}] if firing else []
        return json.dumps({"status": "success", "data": {"alerts": alerts}}).encode()

    def sample(self) -> bytes:
        """Answer every query with `1`, which `timestamp()` says is of now, or of before the fault while that is on."""
        since = self.folder / "broken"
        at = since.stat().st_mtime - 10 if since.exists() and self.unscraped else time.time()
        result = [{"metric": {"__name__": "up"}, "value": [time.time(), str(at)]}]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()

    def tell(self, status: str) -> None:
        if not self.mute:
            told = {"at": datetime.now(UTC).isoformat(), "alert": "Broken", "status": status, "receiver": "pager"}
            with (self.folder / "told").open("a") as file:
                file.write(json.dumps({**told, "runbook_url": self.runbook_url}) + "\n")


@pytest.fixture
def alarm(tmp_path: Path) -> Iterator[Alarm]:
    alarm = Alarm(tmp_path)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = alarm.sample() if self.path.startswith("/api/v1/query") else alarm.look()
            self.send_response(503 if alarm.deaf() else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    (tmp_path / "told").touch()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        alarm.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield alarm
        server.shutdown()


def procedure_of(*blocks: str) -> Procedure:
    found = scan("---\nrunbook: {}\n---\n## One { #one }\n" + "".join(blocks), "docs/p.md")
    assert not found.problems
    assert found.runbook is not None
    return found.runbook.procedures[0]


def drill(alarm: Alarm, *blocks: str, secrets: tuple[str, ...] = (), **settings: Any) -> Record:
    environ = {"PATH": os.environ["PATH"], "PROMETHEUS_URL": alarm.url}
    asked = DrillSettings(
        alarm.url,
        settings.pop("notifications", "cat told"),
        **{"snapshot": "echo conf; cat conf 2>/dev/null || true", "within_s": 20.0, "hold_s": 0.3, **settings},
    )
    procedure = procedure_of(*blocks)
    site = SiteMap("https://runbooks.example/docs/", {"docs/p.md": "p/", "docs/q.md": "q/"})
    known = (procedure, replace(procedure, page="docs/q.md"))
    monitoring = Monitoring(asked, alarm.url, alarm.folder, environ, lambda url: follow(url, site, known))
    where = Target("local", environ, frozenset(environ), secrets=secrets, monitoring=monitoring)
    with Blocks(procedure, where, Run("r", alarm.folder, BASH, LANGUAGES, mark="")) as opened:
        return execute(opened)


def refused(alarm: Alarm, *blocks: str, **settings: Any) -> str:
    """Run a drill that must fail after its cleanup, and return why."""
    record = drill(alarm, *(blocks or (CARD, FAULT, MEND, HEALED)), CLEANUP, **settings)
    assert record.outcome is Outcome.FAILED
    assert log(alarm.folder)[-1] == "cleaned"
    return record.reason
