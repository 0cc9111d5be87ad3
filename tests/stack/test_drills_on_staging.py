"""One drill on the real stack: its own Prometheus, Alertmanager, rules and receivers, nothing standing in."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from stack.running_stack import ROOT, STACK

from runbook_checks.drill import MOMENTS
from runbook_checks.record import from_line

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = f"""
pages: [pages]
environments:
  staging:
    secrets: [DATABASE_URL, REPLICA_DATABASE_URL, SCRATCH_DATABASE_URL, REDIS_URL]
    stack: {{up: {STACK} up, health: {STACK} health, env: {STACK} env, services: {STACK} services, down: {STACK} down}}
    drill:
      prometheus: $PROMETHEUS_URL
      notifications: {ROOT}/deployment/scripts/notified.sh --json
      snapshot: {STACK} snapshot
      within: 30s
      hold: 2s
"""
PAGE = """---
title: Troubleshooting
runbook: {owner: platform}
---

## Redis is down { #redis-down }

```yaml {.procedure}
alerts: [RedisDown]
```
```bash {.fault}
supervisorctl stop valkey
```
```bash {.step timeout=60s}
supervisorctl start valkey
```
```http {.check within=30s}
GET $API_URL/health
```
```bash {.cleanup}
supervisorctl status valkey || supervisorctl start valkey
```
"""


def drill(folder: Path, page: str) -> subprocess.CompletedProcess[str]:
    (folder / "pages").mkdir()
    (folder / "pages/troubleshooting.md").write_text(page)
    (folder / "runbook-checks.yml").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "runbook_checks", "drill"]
    return subprocess.run(
        command, cwd=folder, env=os.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_redis_is_stopped_the_alert_is_delivered_and_the_steps_end_it(tmp_path: Path) -> None:
    done = drill(tmp_path, PAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = tmp_path / ".runbook-checks/evidence/staging/troubleshooting/redis-down.jsonl"
    record = from_line(kept.read_text())
    assert [moment.name for moment in record.moments] == list(MOMENTS)
    assert {figure.name for figure in record.figures} == {"time_to_detect", "time_to_notify", "time_to_recover"}


def test_an_address_in_the_real_rule_that_leads_elsewhere_is_caught(tmp_path: Path) -> None:
    done = drill(tmp_path, PAGE.replace("#redis-down", "#redis-gone"))
    assert done.returncode == 1
    assert "a runbook_url that is not this procedure's" in done.stderr
    assert "/operations/troubleshooting/#redis-down" in done.stderr.replace("\n", "")
