"""The real page, its real alert and the real stack: each weakness that is put into them makes the drill fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stack.drilled import PAGE, Site, weakened_rules

from runbook_checks.drill import MOMENTS
from runbook_checks.record import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stack.running_stack import Stack

FAULT = "supervisorctl stop valkey\n```\n"
STEP = "    supervisorctl start valkey\n    ```\n    ```text {.expect}\n    valkey: started\n    ```\n"
CLEANUP = "supervisorctl status valkey || supervisorctl start valkey\n"
ASKS_EXPORTER = "redis_up == 1 and on(instance) redis_pubsub_channels >= 1"
URL = "/operations/troubleshooting/#redis-down"
EXPRESSION = 'expr: redis_up == 0 or up{job="valkey"} == 0'
EASED = """---
runbook: {owner: platform}
---
## Redis is down { #redis-down }
```yaml {.procedure}
alerts: [RedisDown]
```
```bash {.fault}
supervisorctl stop valkey
```
```bash {.step}
touch "$STACK_DIR/eased"
```
```bash {.check}
test -e "$STACK_DIR/eased" || supervisorctl status valkey
```
```bash {.cleanup}
rm -f "$STACK_DIR/eased" && supervisorctl start valkey
```
"""


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Iterator[Site]:
    """The page as it is, and a stack on which its alert is silent, before and after."""
    site = Site(tmp_path, stack)
    site.write()
    quiet(stack)
    yield site
    healed = stack.shell("supervisorctl status valkey || supervisorctl start valkey")
    assert healed.returncode == 0, healed.stdout
    quiet(stack)


def quiet(stack: Stack) -> None:
    done = stack.shell("deployment/staging/quiet.sh RedisDown")
    assert done.returncode == 0, done.stderr


def test_the_page_as_it_is_passes(site: Site) -> None:
    code, out, err = site.run("drill")
    assert code == 0, out + err
    (record,) = site.records()
    assert [moment.name for moment in record.moments] == list(MOMENTS)
    assert {"time_to_detect", "time_to_notify", "time_to_recover"} <= {figure.name for figure in record.figures}
    assert site.run("alerts")[0] == 0


def test_without_the_step_that_heals_the_checks_fail(site: Site) -> None:
    site.weaken(PAGE, STEP, "    true\n    ```\n")
    assert "redis-down-recovers" in site.fails()
    moments = [moment.name for moment in site.records()[-1].moments]
    assert moments[-1] == "steps begun"


def test_checks_that_a_step_makes_hold_do_not_hide_the_alert_that_stays(site: Site) -> None:
    (site.folder / PAGE).write_text(EASED)
    site.weaken("runbook-checks.yml", "within: 30s", "within: 10s")
    assert "RedisDown never resolved within 10 s of the steps" in site.fails()
    assert [block.id for block in site.records()[-1].blocks if block.outcome is Outcome.FAILED] == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"{URL[:-1]}", "leads to docs/operations/troubleshooting.md, which has no procedure `#redis-dow`"),
        ("/operations/disaster_recovery/#redis-down", "leads to no page of the runbooks"),
    ],
)
def test_an_address_in_the_rule_that_leads_elsewhere_is_caught_by_the_drill_and_by_alerts(
    site: Site, stack: Stack, url: str, why: str
) -> None:
    with weakened_rules(stack, f"{URL}\n", f"{url}\n"):
        assert f"RedisDown was delivered with a runbook_url that {why}" in site.fails()
        quiet(stack)
    site.weaken("rules.yml", f"{URL}\n", f"{url}\n")
    code, _, err = site.run("alerts")
    assert code == 1
    assert f"rules.yml:4: alert RedisDown has a `runbook_url` that {why}" in err


def test_the_host_in_the_rule_must_be_that_of_the_site(site: Site) -> None:
    site.weaken("mkdocs.yml", "ia-modules.example", "runbooks.example")
    why = "has a `runbook_url` that leads to no page of the runbooks"
    code, _, err = site.run("alerts")
    assert (code, f"alert RedisDown {why}" in err) == (1, True)
    assert "RedisDown was delivered with a runbook_url that leads to no page of the runbooks" in site.fails()


@pytest.mark.parametrize(
    ("old", "new"),
    [(EXPRESSION, "expr: redis_is_up == 0"), (f"{EXPRESSION}\n        for: 2s", f"{EXPRESSION}\n        for: 1h")],
)
def test_an_alert_that_cannot_fire_is_caught(site: Site, stack: Stack, old: str, new: str) -> None:
    site.weaken("runbook-checks.yml", "within: 30s", "within: 12s")
    with weakened_rules(stack, old, new):
        assert "RedisDown never fired within 12 s of the fault" in site.fails()


def test_a_fault_that_heals_by_itself_needs_no_steps(site: Site) -> None:
    site.weaken("runbook-checks.yml", "hold: 2s", "hold: 30s")
    told = "deployment/scripts/notified.sh --status firing --since $begun RedisDown"
    waits = f"until {told}; do sleep 0.3; done"
    then = "sleep 5; supervisorctl start valkey"  # once the drill has seen that the checks fail
    healing = f"supervisorctl stop valkey\nbegun=$(date +%s)\n({waits}; {then}) &>/dev/null &\n"
    site.weaken(PAGE, FAULT, f"{healing}```\n")
    assert "not needed: RedisDown went away without the steps" in site.fails()
    assert all(block.outcome is Outcome.SKIPPED for block in site.records()[-1].blocks if block.role == "step")


def test_a_fault_that_does_not_hurt_what_the_page_checks_is_caught(site: Site) -> None:
    """The alert fires when only the exporter is gone, and Redis is well all the time."""
    site.weaken(PAGE, FAULT, "supervisorctl stop valkey-exporter\n```\n")
    site.weaken(PAGE, CLEANUP, f"supervisorctl start valkey-exporter && {CLEANUP}")
    site.weaken(PAGE, ASKS_EXPORTER, 'up{job="prometheus"} == 1')
    assert "the checks hold while the fault is on: they prove nothing" in site.fails()


def test_an_alert_that_fires_already_is_caught_before_anything_is_broken(site: Site, stack: Stack) -> None:
    site.weaken(PAGE, "deployment/staging/quiet.sh RedisDown", "true")
    fires = "amtool --alertmanager.url $ALERTMANAGER_URL alert query alertname=RedisDown | grep -q RedisDown"
    waits = f"timeout 60 bash -c 'until {fires}; do sleep 0.2; done'"
    try:
        assert stack.shell(f"supervisorctl stop valkey-exporter && {waits}").returncode == 0
        assert "RedisDown fires already" in site.fails()
    finally:
        assert stack.shell("supervisorctl start valkey-exporter").returncode == 0
    faults = [block for block in site.records()[-1].blocks if block.role == "fault"]
    assert [block.outcome for block in faults] == [Outcome.SKIPPED]


def test_a_cleanup_that_leaves_the_stack_different_is_caught_and_the_lines_are_named(site: Site, stack: Stack) -> None:
    left = stack.folder / "conf/left"
    site.weaken(PAGE, CLEANUP, f"{CLEANUP}echo x >'{left}'\n")
    try:
        reason = site.fails()
    finally:
        left.unlink(missing_ok=True)
    head, line = reason.splitlines()
    assert head.endswith("the stack is not as before:")
    assert line.startswith("+ file left ")
