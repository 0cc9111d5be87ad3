"""Monitoring: staging's faster clock, alerts and their tests, dashboards that are answered, who was told."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from embedded.monitoring import TIME_SCALE, alertmanager, configuration, scaled
from stack.running_stack import ROOT
from test_site_badges import DAY, entry

from runbook_checks.site.metrics import exposition
from runbook_checks.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from stack.running_stack import Stack

MONITORING = ROOT / "deployment/monitoring"
DASHBOARDS = sorted((MONITORING / "grafana/dashboards").glob("*.json"))
GROUPS = yaml.safe_load((MONITORING / "prometheus/alerts.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
UNIT_TESTS = yaml.safe_load((MONITORING / "prometheus/tests/alerts_test.yml").read_text())["tests"]


@pytest.mark.parametrize(
    ("production", "staging"),
    [
        ("scrape_interval: 30s", "scrape_interval: 1s"),
        ("  evaluation_interval: 15s  # often", "  evaluation_interval: 1s  # often"),
        ("for: 1m", "for: 2s"),
        ("        for: 5m", "        for: 10s"),
        ("  - for: 1h30m", "  - for: 180s"),
        ("keep_firing_for: 10m", "keep_firing_for: 20s"),
        ("group_wait: 10s", "group_wait: 333ms"),
        ("repeat_interval: 4h", "repeat_interval: 480s"),
        ("rate(x[5m])", "rate(x[10s])"),
        ("rate(x[5m] offset 1h)", "rate(x[10s] offset 120s)"),
        ("x offset -30s", "x offset -1s"),
        ("max_over_time(x[30m:1m])", "max_over_time(x[60s:2s])"),
        ("max_over_time(x[30m:15s])", "max_over_time(x[60s:1s])"),
        ("max_over_time(x[30m:])", "max_over_time(x[60s:])"),
        ("for: 0s", "for: 0s"),
    ],
)
def test_every_duration_is_divided_by_30(production: str, staging: str) -> None:
    assert scaled(production, 30) == staging


@pytest.mark.parametrize(
    "text",
    [
        "record: job:pipeline_errors:ratio_rate5m",
        "expr: job:pipeline_errors:ratio_rate5m > 0.05",
        "expr: time() - max(x) > 26 * 3600",
        "summary: fails for 5m and more",
        "regex: [a-z]",
        "group_by: [alertname]",
        "# for: what it is worth",
    ],
)
def test_what_is_no_duration_stays(text: str) -> None:
    assert scaled(text, 30) == text


def test_staging_runs_the_rules_of_production_under_the_same_names() -> None:
    files = configuration("http://127.0.0.1:1", "127.0.0.1:2")
    for name in ("recording_rules.yml", "alerts.yml"):
        ours = rules(files[name])
        theirs = rules((MONITORING / "prometheus" / name).read_text())
        assert [(r.get("alert"), r.get("record")) for r in ours] == [(r.get("alert"), r.get("record")) for r in theirs]
        assert all(in_seconds(mine) * TIME_SCALE == in_seconds(other) for mine, other in zip(ours, theirs, strict=True))


def test_only_alertmanagers_addresses_differ() -> None:
    production = yaml.safe_load((MONITORING / "alertmanager/config.yml").read_text())
    staging = yaml.safe_load(alertmanager("http://127.0.0.1:1", "127.0.0.1:2"))
    for part in ("route", "inhibit_rules"):
        assert staging.pop(part) == production.pop(part)
    assert [r["name"] for r in staging["receivers"]] == [r["name"] for r in production["receivers"]]
    assert set(staging) == set(production) == {"global", "receivers"}
    addresses = json.dumps(staging)
    assert re.findall(r"https?://[^/\"]+", addresses) == ["http://127.0.0.1:1"] * 3
    assert staging["global"]["smtp_smarthost"] == "127.0.0.1:2"


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_says_what_to_do_and_is_tested_both_ways(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in {"critical", "warning", "info"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    outcomes = [
        bool(case["exp_alerts"]) for test in UNIT_TESTS for case in test["alert_rule_test"] if case["alertname"] == name
    ]
    assert True in outcomes, f"no unit test sees {name} fire"
    assert False in outcomes, f"no unit test sees {name} silent"


def test_the_unit_tests_pass_and_the_files_are_valid(stack: Stack) -> None:
    for command in (
        "promtool test rules deployment/monitoring/prometheus/tests/*.yml",
        "promtool check config deployment/monitoring/prometheus/prometheus.yml",
        'promtool check config "$PROMETHEUS_CONF"',
        "amtool check-config deployment/monitoring/alertmanager/config.yml",
        'amtool check-config "$ALERTMANAGER_CONF"',
    ):
        done = stack.shell(command)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_job_of_the_runbooks_has_no_target_until_somebody_gives_it_one(stack: Stack) -> None:
    jobs = yaml.safe_load((MONITORING / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    (files,) = (job["file_sd_configs"][0]["files"] for job in jobs if job["job_name"] == "runbooks")
    assert files == ["targets/runbooks.json"]
    targets = stack.shell('ls "$TARGETS_DIR"').stdout.split()
    assert ("service.json" in targets, "runbooks.json" in targets) == (True, False)


def test_the_unit_tests_are_able_to_fail(stack: Stack, tmp_path: Path) -> None:
    shutil.copytree(MONITORING / "prometheus", tmp_path / "prometheus")
    alerts = tmp_path / "prometheus/alerts.yml"
    alerts.write_text(alerts.read_text().replace("ratio_rate5m > 0.05", "ratio_rate5m > 0.5", 1))
    done = stack.shell(f"promtool test rules {tmp_path}/prometheus/tests/*.yml")
    assert done.returncode == 1
    assert "HighErrorRate" in done.stdout + done.stderr


def test_promtool_finds_nothing_wrong_with_the_metrics_of_runbooks(stack: Stack, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.prom"
    metrics.write_text(exposition([entry(), entry(Status.UNVERIFIED, environment="other")], DAY))
    done = stack.shell(f"promtool check metrics <{metrics}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    metrics.write_text(metrics.read_text().replace("runbook_procedure_duration_seconds", "runbook_procedure_total"))
    done = stack.shell(f"promtool check metrics <{metrics}")
    assert done.returncode == 3
    assert 'non-counter metrics should not have "_total" suffix' in done.stderr


def test_panels_stand_side_by_side_and_have_a_description() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in json.loads(path.read_text())["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken, f"{path.name}: {panel['title']} lies on another panel"
            assert at["x"] + at["w"] <= 24
            taken |= cells
            assert panel["type"] == "row" or panel["targets"]


def board(folder: Path, *queries: str) -> Path:
    """A dashboard with a panel a query."""
    path = folder / "board.json"
    panels = [
        {"title": f"Panel {n}", "targets": [{"refId": "A", "expr": query}]} for n, query in enumerate(queries, start=1)
    ]
    path.write_text(json.dumps({"panels": [{"title": "Row", "panels": panels}]}))
    return path


def test_a_panel_without_data_is_refused(stack: Stack, tmp_path: Path) -> None:
    path = board(tmp_path, "vector(1)", "no_such_metric", "0 / vector(0)", "sum(", "rate(up[$__rate_interval]) * 0 + 1")
    lines = wait_for_scrapes(stack, f"deployment/scripts/dashboards.sh {path}", "5 queries, 3 without data")
    assert lines[0] == "ok       board: Panel 1"
    assert lines[1] == "NO DATA  board: Panel 2: nothing for no_such_metric"
    assert lines[2] == "NO DATA  board: Panel 3: not a number for 0 / vector(0)"
    assert lines[3].startswith("NO DATA  board: Panel 4: Prometheus refused it: ")
    assert lines[4] == "ok       board: Panel 5"
    assert stack.shell(f"deployment/scripts/dashboards.sh {path}").returncode == 1
    assert stack.shell(f"deployment/scripts/dashboards.sh {board(tmp_path, 'vector(1)')}").returncode == 0


def test_a_dashboard_that_cannot_be_asked_is_no_success(stack: Stack, tmp_path: Path) -> None:
    path = board(tmp_path, 'up{replica="$nowhere"}')
    unknown = stack.shell(f"deployment/scripts/dashboards.sh {path}")
    assert (unknown.returncode, "$nowhere" in unknown.stderr) == (2, True)
    assert stack.shell(f"deployment/scripts/dashboards.sh {board(tmp_path)}").returncode == 1
    assert stack.shell(f"deployment/scripts/dashboards.sh {tmp_path}/none.json").returncode == 2
    left = stack.shell("deployment/scripts/dashboards.sh --rules --without NoSuchRule")
    assert (left.returncode, "--without NoSuchRule: Prometheus has no such rule" in left.stderr) == (2, True)
    gone = stack.shell("deployment/scripts/dashboards.sh", PROMETHEUS_URL="http://127.0.0.1:9")
    assert (gone.returncode, "does not answer" in gone.stderr) == (1, True)


def test_nobody_was_told_is_no_success(stack: Stack) -> None:
    done = stack.shell("deployment/scripts/notified.sh NoSuchAlert")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "notified.sh: nobody was told: NoSuchAlert\n"
    assert stack.shell("deployment/scripts/notified.sh").returncode == 2
    assert stack.shell("deployment/scripts/notified.sh --by pigeon NoSuchAlert").returncode == 2
    assert stack.shell("deployment/scripts/notified.sh --open --status firing NoSuchAlert").returncode == 2


REMEMBERED = """
set -euo pipefail
add() { amtool --alertmanager.url="$ALERTMANAGER_URL" alert add alertname=Remembered severity=info --end="$1"; }
raise() { add "$(date -u -d '+2 minutes' +%FT%TZ)"; }
told() { deployment/scripts/notified.sh --json Remembered | wc -l; }
raise
for _ in {1..100}; do (($(told) == 1)) && break; sleep 0.1; done
echo "told $(told)"
for remembers in yes no; do
  supervisorctl stop alertmanager
  [[ $remembers == yes ]] || rm "$STACK_DIR/data/alertmanager/nflog"
  supervisorctl start alertmanager
  raise
  for _ in {1..50}; do (($(told) == 2)) && break; sleep 0.1; done
  echo "remembers: $remembers, told $(told)"
done
add "$(date -u +%FT%TZ)"
"""


def test_alertmanager_tells_nothing_again_that_it_told_before_it_was_stopped_unless_it_forgets(stack: Stack) -> None:
    done = stack.shell(REMEMBERED)
    told = [line for line in done.stdout.splitlines() if "told" in line]
    assert told == ["told 1", "remembers: yes, told 1", "remembers: no, told 2"], done.stdout + done.stderr


def rules(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def in_seconds(rule: dict[str, Any]) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", rule.get("for", "0s")).groups()  # type: ignore[union-attr]  # ours
    return int(number) * {"s": 1, "m": 60}[unit]


def wait_for_scrapes(stack: Stack, command: str, last: str) -> list[str]:
    """Run a command until its last line is that; Prometheus takes up its targets some seconds after the start."""
    done = stack.shell(f'for _ in {{1..100}}; do out=$({command}); [[ $out == *"{last}" ]] && break; done; echo "$out"')
    lines = done.stdout.splitlines()
    assert lines[-1] == last, done.stdout + done.stderr
    return lines
