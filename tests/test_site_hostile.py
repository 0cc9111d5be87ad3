"""What came out of a command, a record, a card, a rule or a link is text on every page, in a real browser."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from sample_site import build, record_of, write_sample
from test_site_browser import browser, serving

from runbook_checks.config import load_config
from runbook_checks.record import BlockRecord, Figure, Outcome, Service
from runbook_checks.report import load_report
from runbook_checks.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["browser"]  # the fixture

RUN = """</title></script></style>--><img src=x onerror=ran()>"'><svg onload=ran()>{{7*7}}&lt;i onclick=ran()&gt;\
<a href="javascript:ran()">"""
TEXT = json.dumps(RUN)
PAGE = f"""---
title: Hostile
runbook: {{owner: {TEXT}, escalation: {TEXT}, tags: [{TEXT}]}}
---

# Hostile

## Do `{RUN}` {{ #do }}

```yaml {{.procedure}}
alerts: [{TEXT}, EvilAlert]
tags: [{TEXT}]
changes: [{TEXT}]
figures:
  job_id: {{unit: {TEXT}, max: 5}}
formerly: [old]
```

```bash {{.step #st title="<img src=x onerror=ran()>"}}
echo "$INSTANCE"
```
```text {{.expect}}
<job_id>
```
```bash {{.check #ck}}
echo "$job_id"
```
"""
RULES = f"""groups:
- name: a
  rules:
  - alert: {TEXT}
    expr: up
    annotations: {{runbook_url: "javascript:ran()"}}
  - alert: {json.dumps(RUN + "2")}
    expr: up
"""
FOUND = r"""
const all = [...document.querySelectorAll('*')].flatMap((each) => [...each.attributes]);
const runs = ({name, value}) => /^on/.test(name) || /^\s*javascript:/i.test(value);
[window.hasRun || 0, document.querySelectorAll('img[src=x]').length, all.filter(runs).length]
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = write_sample(tmp_path_factory.mktemp("hostile"))
    (folder / "docs/operations/hostile.md").write_text(PAGE)
    (folder / "rules.yml").write_text(RULES)
    checks, mkdocs, home = (folder / name for name in ("runbook-checks.yml", "mkdocs.yml", "docs/index.md"))
    checks.write_text(f"alerts: [rules.yml]\n{checks.read_text()}")
    mkdocs.write_text(mkdocs.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
    macros = ("overview()", "alert_table()", "status_table(filters=true)", 'figure("hostile/do", "job_id")')
    home.write_text("\n\n".join((home.read_text(), *(f"{{{{ {macro} }}}}" for macro in macros))))
    write_evidence(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        site = build(folder)
    with serving(site) as address:
        yield address


def write_evidence(folder: Path) -> None:
    config = load_config(folder / "runbook-checks.yml")
    now = datetime.now(UTC)
    (entry,) = (each for each in load_report(config, now=now).entries if each.procedure.id == "hostile/do")
    printed = f"{RUN}\x1b[31m{RUN}\x1b]8;;javascript:ran()\x07x"
    block = BlockRecord(RUN, RUN, RUN, 1, RUN, Outcome.FAILED, 1, printed, RUN, attempts=2, message=RUN)
    figure = Figure("job_id", 3.5, RUN, 1.0, 5.0, kept=False)
    for hours, outcome in ((3, Outcome.PASSED), (2, Outcome.FAILED), (1, Outcome.FAILED)):
        record = replace(
            record_of(entry, now - timedelta(hours=hours), outcome, reason=f"{RUN}\n{RUN}", digest=RUN),
            title=RUN,
            run=RUN,
            commit=RUN,
            services=(Service(RUN, RUN),),
            blocks=(block, replace(block, id="st")),
            figures=(figure, replace(figure, name=RUN)),
            source=f"```bash {{.step #st}}\n{RUN}\n```\n",
            parts=((RUN, RUN), (f"block {RUN}", RUN), (f"file {RUN}", RUN)),
        )
        Store(folder / config.evidence).append(record)


@pytest.fixture
def page(browser: Browser, base: str) -> Iterator[Page]:
    page = browser.new_page()
    odd: list[str] = []
    page.add_init_script("window.ran = () => { window.hasRun = 1; }")
    page.on("request", lambda request: None if request.url.startswith((base, "data:")) else odd.append(request.url))
    page.on("pageerror", lambda error: odd.append(str(error)))
    yield page
    page.close()
    assert odd == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        f"?text={quote(RUN)}&owner={quote(RUN)}&status={quote(RUN)}",
        f"#{quote(RUN)}?{quote(RUN)}",
        f"operations/hostile/?INSTANCE={quote(RUN)}&{quote(RUN)}={quote(RUN)}#do",
        f"operations/hostile/#old?INSTANCE={quote(RUN)}",
        "operations/hostile/#%E0%A4%A?x",
        "evidence/hostile/do/",
        f"p/hostile/old/?INSTANCE={quote(RUN)}#{quote(RUN)}",
    ],
)
def test_nothing_hostile_runs(page: Page, base: str, address: str) -> None:
    page.goto(base + address)
    page.wait_for_load_state("networkidle")
    assert page.evaluate(FOUND) == [0, 0, 0]


@pytest.mark.parametrize("typed", ["EvilAlert", "onerror"])
def test_nothing_hostile_runs_among_what_search_finds(page: Page, base: str, typed: str) -> None:
    page.goto(base)
    page.keyboard.press("/")
    page.keyboard.type(typed)
    page.locator(".md-search-result__item .md-tag").first.wait_for()
    assert page.evaluate(FOUND) == [0, 0, 0]
