"""Records for tests, each as plain as it can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from runbook_checks.record import BlockRecord, Figure, Outcome, Record, Service

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DIGEST = "sha256:1"


def record(**changes: Any) -> Record:
    ended = changes.pop("ended", NOW - timedelta(hours=1))
    fields: dict[str, Any] = {
        "run": "r1",
        "procedure": "page/one",
        "page": "docs/page.md",
        "title": "One",
        "outcome": Outcome.PASSED,
        "reason": "",
        "digest": DIGEST,
        "environment": "staging",
        "started_at": (ended - timedelta(seconds=2)).isoformat(),
        "ended_at": ended.isoformat(),
        "duration_s": 2.0,
        "commit": "abc",
        "services": (Service("postgresql", "18.1"),),
        "blocks": (BlockRecord("b", "step", "bash", 7, "true\n", Outcome.PASSED, 0, "é\x00\n", attempts=1),),
        "figures": (Figure("rto", 4.2, "s", None, 300.0),),
        "source": "```bash {.step #b}\ntrue\n```\n",
        "parts": (("card", "0123456789ab"), ("block b", "ba9876543210"), ("file a.sh", "0123456789ab+x")),
    }
    return Record(**{**fields, **changes})
