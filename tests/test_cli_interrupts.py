"""The command line interrupted, killed or left by a worker: what is kept is true, and nothing else is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from repository import DEADLINE_S, OKAY, SLOW, Repository, document, outcomes, wait_for, wait_for_text

from runbook_checks import marks
from runbook_checks.record import Outcome, to_line

if TYPE_CHECKING:
    from pathlib import Path

SLOW_DRILL = """
## Slow { #slow }
```yaml {.procedure}
alerts: [Down]
```
```bash {.setup}
mkdir -p "$SITE/api/v1"
echo '{"data": {"alerts": []}}' >"$SITE/api/v1/alerts"
```
```bash {.fault}
echo begun >>slow.log
sleep 60
```
```bash {.step}
true
```
```bash {.check}
test ! -e broken
```
```bash {.cleanup}
echo cleaned >>slow.log
```
"""


@pytest.mark.parametrize(
    ("number", "workers"), [(signal.SIGINT, "0"), (signal.SIGTERM, "0"), (signal.SIGINT, "2"), (signal.SIGTERM, "2")]
)
def test_an_interrupt_cleans_up_takes_the_stack_down_and_has_its_exit_code(
    repository: Repository, number: signal.Signals, workers: str
) -> None:
    repository.only(SLOW)
    log = repository.root / "slow.log"
    process = repository.start("verify", "--json", "-n", workers)
    wait_for_text(log)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, log.read_text()) == (128 + number, "begun\ncleaned\n")
    (shown,) = json.loads(stdout)["records"]
    assert "Traceback" not in stderr
    (record,) = repository.records("extra/slow")
    assert shown == json.loads(to_line(record))  # what is shown is what is kept
    line = repository.line("docs/runbooks/extra.md", "bash {.step}")
    assert record.outcome is Outcome.INTERRUPTED
    assert record.reason == f"docs/runbooks/extra.md:{line}: interrupted, in step slow-step-1"
    assert repository.left() == ([], [])


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_failure_stays_one_when_its_cleanup_is_interrupted(repository: Repository, workers: str) -> None:
    tidy = "if test -e broken; then echo cleaning >cleaning.log; sleep 60; fi\necho cleaned"
    repository.only(SLOW.replace("sleep 60", "test ! -e broken").replace("echo cleaned", tidy))
    assert repository.run("verify").returncode == 0
    repository.write("broken", "")
    process = repository.start("verify", "--json", "-n", workers)
    wait_for_text(repository.root / "cleaning.log")
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 143
    assert [record["outcome"] for record in json.loads(stdout)["records"]] == ["failed"]
    assert document(repository.run("status", "--json"))["procedures"][0]["status"] == "failed"
    assert repository.left() == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_interrupt_while_the_stack_comes_up_takes_it_down(
    repository: Repository, number: signal.Signals, workers: str
) -> None:
    repository.replace("scripts/stack", "  up)\n", "  up)\n    touch coming; sleep 60\n")
    process = repository.start("verify", "publish", "-n", workers)
    wait_for(lambda: list((repository.root / ".runbook-checks").glob("stack/*/coming")))
    process.send_signal(number)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number
    assert repository.left() == ([], [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("action", ["up", "down", "status"])
def test_an_interrupted_stack_command_ends_what_it_started_and_has_its_exit_code(
    repository: Repository, number: signal.Signals, action: str
) -> None:
    inside = {"up": "  up)\n", "down": "  down) ", "status": "  health) "}[action]
    repository.replace("scripts/stack", inside, f"{inside}touch ../../coming; sleep 60\n    ")
    process = repository.start("stack", action)
    wait_for((repository.root / ".runbook-checks/coming").exists)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, stderr) == (128 + number, "")
    wait_for(lambda: repository.left()[0] == [])


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, "0"), (signal.SIGTERM, "0"), (signal.SIGTERM, "1")])
def test_an_interrupted_drill_is_cleaned_up_and_has_its_exit_code(
    repository: Repository, number: signal.Signals, workers: str
) -> None:
    repository.only(SLOW_DRILL)
    drilled = '    drill: {prometheus: $SITE_URL, notifications: "true"}\n    stack:\n'
    repository.replace("runbook-checks.yml", "    stack:\n", drilled)
    process = repository.start("drill", "--json", "-n", workers)
    wait_for_text(repository.root / "slow.log")
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 128 + number, stderr
    (record,) = repository.records("extra/slow")
    assert record.outcome is Outcome.INTERRUPTED
    assert "interrupted, in fault slow-fault-1" in record.reason
    assert (repository.root / "slow.log").read_text() == "begun\ncleaned\n"
    assert [one["outcome"] for one in json.loads(stdout)["records"]] == ["interrupted"]
    assert repository.left() == ([], [])


def _runs_slow(folder: Path) -> bool:
    """Return whether the block of SLOW runs in the instance of a stack, whose folder is its mark."""
    for process in marks.marked(str(folder)):
        with contextlib.suppress(psutil.Error):  # gone meanwhile
            if process.cmdline() == ["sleep", "60"]:
                return True
    return False


def test_a_crashed_worker_fails_its_procedure_and_the_others_go_on(repository: Repository) -> None:
    repository.only(SLOW, OKAY)
    process = repository.start("verify", "-n", "2", "--json", "--junitxml", "junit.xml")

    def where() -> list[Path]:
        return list(filter(_runs_slow, repository.root.glob(".runbook-checks/stack/*-run-*[!r]")))

    wait_for(where)
    (folder,) = where()
    os.kill(int(folder.name.split("-")[2]), signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    found = {record["procedure"]: record["outcome"] for record in json.loads(stdout)["records"]}
    assert found == {"extra/slow": "failed", "extra/okay": "passed"}
    line = repository.line("docs/runbooks/extra.md", "## Slow")
    assert f"docs/runbooks/extra.md:{line}: worker crashed" in stderr
    assert [record.outcome for record in repository.records("extra/slow")] == [Outcome.FAILED]
    assert (repository.root / "slow.log").read_text() == "begun\n"
    assert len({record.run for name in found for record in repository.records(name)}) == 1
    assert "worker crashed" in (repository.root / "junit.xml").read_text()
    wait_for(lambda: repository.left() == ([], []))  # the crashed worker's guardian may be the last to go


def test_a_killed_run_is_ended_by_the_guardian_and_swept_by_the_next(repository: Repository) -> None:
    repository.only(SLOW, OKAY)
    process = repository.start("verify", "slow")
    wait_for((repository.root / "slow.log").exists)
    repository.kill(process)
    (folder,) = (name for name in repository.left()[1] if not name.endswith(".owner"))
    done = repository.run("verify", "okay", "--json")
    assert (done.returncode, outcomes(done)) == (0, {"extra/okay": "passed"})
    assert f"took down {folder}, which a killed run had left behind" in done.stderr
    assert repository.left() == ([], [])
