"""A made-up site of many runbook pages with evidence, as large teams have them: what the site's bench builds."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runbook_checks.config import load_config
from runbook_checks.record import BlockRecord, Figure, Outcome, Record, Service
from runbook_checks.report import load_report
from runbook_checks.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.report import Entry

STEPS = 10  # of each page, each with its expectation
PAGES_PER_FOLDER = 20
SCRIPTS = 40

CONFIG = """\
pages: [docs/runbooks]
environments:
  staging:
    stack:
      up: deployment/scripts/act-0.sh up
      health: deployment/scripts/act-1.sh health
      env: deployment/scripts/act-2.sh env
      down: deployment/scripts/act-3.sh down
      definition: [deployment/scripts]
    variables:
      API_URL: http://127.0.0.1:8000
"""

PLAIN = """\
site_name: Operations
theme:
  name: material
  font: false
  features: [content.code.copy, navigation.instant, navigation.prune, navigation.top, search.suggest, toc.follow]
extra:
  generator: false
markdown_extensions:
  - admonition
  - attr_list
  - def_list
  - md_in_html
  - pymdownx.details
  - pymdownx.highlight:
      anchor_linenums: true
      pygments_lang_class: true
  - pymdownx.inlinehilite
  - pymdownx.superfences
  - pymdownx.tabbed:
      alternate_style: true
  - sane_lists
  - tables
  - toc:
      permalink: true
plugins:
  - search
"""
MACROS = """\
  - macros:
      modules: [runbook_checks.site.macros]
      on_error_fail: true
      on_undefined: strict
"""
MACROS_ALONE = """\
  - macros:
      on_error_fail: true
"""
OURS = "  - runbook-checks\n"
VARIANTS = {
    "plain": PLAIN,
    "ours": PLAIN + OURS,
    "plain, macros": PLAIN + MACROS_ALONE,
    "ours, macros": PLAIN + MACROS + OURS,
}


def write_corpus(folder: Path, pages: int, runs: int) -> None:
    """Write pages, scripts, configurations and the evidence of ``runs`` runs of each procedure into a folder."""
    subprocess.run(("git", "init", "-q", str(folder)), check=True)
    (folder / ".gitignore").write_text("/.runbook-checks/\n/site*/\n")
    (folder / "runbook-checks.yml").write_text(CONFIG)
    for name, text in VARIANTS.items():
        (folder / config_name(name)).write_text(text)
    scripts = folder / "deployment" / "scripts"
    scripts.mkdir(parents=True)
    for number in range(SCRIPTS):
        (scripts / f"act-{number}.sh").write_text(f'#!/bin/sh\nset -eu\necho "acted on $1, {number}"\n')
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text("# Operations\n\nWhat to do when it breaks.\n")
    for number in range(pages):
        path = folder / page_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(number), encoding="utf-8")
    write_evidence(folder, runs)


def config_name(variant: str) -> str:
    """Return the name of a variant's MkDocs configuration."""
    return f"mkdocs-{variant.replace(', ', '-')}.yml"


def page_of(number: int) -> str:
    """Return the path of a page."""
    return f"docs/runbooks/team_{number // PAGES_PER_FOLDER:03d}/service_{number:04d}.md"


def page(number: int) -> str:
    """Return a runbook with one procedure of ten steps and two checks, written as people write."""
    head = f"""\
---
title: Service {number}
tags: [team-{number // PAGES_PER_FOLDER}]
runbook:
  owner: team-{number // PAGES_PER_FOLDER}
  escalation: "#team-{number // PAGES_PER_FOLDER}"
  verify_every: 7d
---

# Service {number}

What keeps service {number} alive. You need a shell at the root of the repository and the variables of the environment.
Tell the channel before you begin and after you are done; see [the start page](../../index.md) for who is on call.

!!! warning "Before you begin"

    Look at the dashboard first. When more than one service is down, the trouble is likely somewhere else.

| what you see | what helps |
|---|---|
| queues grow, CPU is low | [restart the workers](#restart) |
| errors after a release | [restart the workers](#restart), then roll back |

## Restart the workers {{ #restart }}

```yaml {{.procedure}}
alerts: [Service{number}Down, Service{number}Slow]
severity: critical
changes: [service-{number}]
expected: 5m
figures:
  healthy:
    max: 60
    unit: s
```

**Use this when** service {number} no longer answers, or answers slowly, and its queue grows. It takes five minutes.
What is in flight is kept: workers finish what they do before they end.

"""
    return (
        head.replace("{{", "{").replace("}}", "}") + "".join(map(step, [number] * STEPS, range(1, STEPS + 1))) + CHECKS
    )


def step(page_number: int, number: int) -> str:
    """Return a step with its prose and its expectation."""
    script = (page_number + number) % SCRIPTS
    return f"""\
{number}. Take worker {number} out of the pool, restart it, and put it back. The load balancer sends it nothing then;
   watch `job:requests:rate1m` when you are unsure.

    ```bash {{.step #worker-{number} title="Restart worker {number}" timeout=2m}}
    # one at a time: the others must carry the load
    for part in queue pool; do
      deployment/scripts/act-{script}.sh "worker-{number}-$part" && sleep 1
    done
    ```
    ```text {{.expect}}
    acted on worker-{number}-queue, <nr>
    acted on worker-{number}-pool, ...
    ```

"""


CHECKS = f"""\
{STEPS + 1}. The service answers again, and errors are down.

    ```http {{.check #healthy within=60s}}
    GET $API_URL/health
    ```
    ```json {{.expect match=json}}
    {{"status": "healthy", "workers": {STEPS}}}
    ```
    ```promql {{.check #error-ratio within=2m}}
    job:errors:ratio_rate1m < 0.01
    ```

If it does not, call the owner of the service. Do not restart a third time: it only hides the cause.
"""


def write_evidence(folder: Path, runs: int) -> None:
    """Write ``runs`` records of each procedure, the newest an hour old; every tenth procedure failed last time."""
    config = load_config(folder / "runbook-checks.yml")
    now = datetime.now(UTC)
    store = Store(folder / config.evidence)
    for number, entry in enumerate(load_report(config, now=now).entries):
        for run in range(runs):
            ended_at = now - timedelta(hours=1 + 24 * (runs - run - 1))
            failed = run == runs - 1 and number % 10 == 9  # noqa: PLR2004 - the last of ten
            store.append(record_of(entry, ended_at, Outcome.FAILED if failed else Outcome.PASSED))


def record_of(entry: Entry, ended_at: datetime, outcome: Outcome) -> Record:
    """Return the evidence of a run of a procedure."""
    blocks = tuple(
        BlockRecord(
            id=block.id,
            role=block.role.value,
            language=block.language,
            line=block.span.first,
            command=block.text,
            outcome=outcome,
            exit_status=0,
            stdout="acted on worker-queue, 7\nacted on worker-pool, 7\n",
            stderr="+ sleep 1\n",
            duration_s=1.5,
            attempts=1,
        )
        for block in entry.procedure.blocks
    )
    return Record(
        run=f"run-{ended_at:%Y%m%d}",
        procedure=entry.procedure.id,
        page=entry.procedure.page,
        title=entry.procedure.title,
        outcome=outcome,
        reason="check `healthy`: status 503, not 2xx" if outcome is Outcome.FAILED else "",
        digest=entry.digest,
        environment=entry.environment,
        started_at=(ended_at - timedelta(seconds=18)).isoformat(),
        ended_at=ended_at.isoformat(),
        duration_s=18.0,
        commit="0123456789abcdef0123456789abcdef01234567",
        services=(Service("postgres", "18.6"), Service("valkey", "9.1.2"), Service("service", "1.1.0")),
        blocks=blocks,
        figures=(Figure("healthy", 12.5, "s", None, 60.0),),
    )
