"""Leaving out the blocks of a drill: the alert comes before the steps there too, and what it asks can notice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from alarms import BASH, CARD, CLEANUP, FAULT, HEALED, MEND, Alarm, alarm, procedure_of
from procedures import card, check, fence, step

from runbook_checks import drill as drills
from runbook_checks.config import DrillSettings
from runbook_checks.execute import execute
from runbook_checks.languages import DEFAULTS
from runbook_checks.links import SiteMap, follow
from runbook_checks.monitoring import Monitoring
from runbook_checks.mutants import Probe, mutants_of, probe_of
from runbook_checks.need import Came
from runbook_checks.record import Outcome, Record
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.weighing import DRILL, weigh

if TYPE_CHECKING:
    from runbook_checks.model import Procedure
    from runbook_checks.need import Trial, Tried

__all__ = ["alarm"]


def proven(alarm: Alarm, *blocks: str, **settings: Any) -> tuple[dict[str, Trial], dict[str, Tried]]:
    """Run a drill as it is and without its blocks, each time after the stand-in was told that all is well."""
    procedure = procedure_of(*blocks)
    environ = {"PATH": os.environ["PATH"]}
    asked = DrillSettings(
        alarm.url,
        settings.pop("notifications", "cat told"),
        **{"snapshot": "echo conf; cat conf 2>/dev/null || true", "within_s": 2.0, "hold_s": 0.3, **settings},
    )
    site = SiteMap("https://runbooks.example/docs/", {"docs/p.md": "p/"})
    monitoring = Monitoring(asked, alarm.url, alarm.folder, environ, lambda url: follow(url, site, (procedure,)))
    target = Target("local", environ, frozenset(environ), monitoring=monitoring)

    def run(one: Procedure, probe: Probe) -> Record:
        for name in ("broken", "conf", "mended", "told", "well"):
            (alarm.folder / name).unlink(missing_ok=True)
        (alarm.folder / "told").touch()
        alarm.look()
        with Blocks(one, target, Run("r", alarm.folder, BASH, DEFAULTS, mark=""), probe) as opened:
            return execute(opened)

    baseline = run(procedure, Probe())
    assert (baseline.outcome, baseline.reason) == (Outcome.PASSED, "")
    runs = [
        (mutant, run(mutant.of(procedure), probe_of(mutant, procedure, baseline)))
        for mutant in mutants_of(procedure, "local")
    ]
    trials, tried = weigh(procedure, "local", runs)
    return {trial.left_out[0]: trial for trial in trials}, {one.id: one for one in tried}


def test_a_healing_step_and_the_diagnosis_of_a_drill_are_proven(alarm: Alarm) -> None:
    diagnosis = check("test -e broken", more=" #seen")
    trials, blocks = proven(alarm, CARD, FAULT, diagnosis, MEND, HEALED, CLEANUP)
    assert {name: one.reason for name, one in blocks.items() if not one.proven} == {}
    assert blocks["one-step-1"].by == "one-check-2"
    assert (blocks["seen"].by, trials["one-fault-1"].refused) == ("one-fault-1", ("seen",))


def test_a_diagnosis_that_holds_of_a_healthy_system_is_not_proven(alarm: Alarm) -> None:
    _, blocks = proven(alarm, CARD, FAULT, check("ls >/dev/null", more=" #seen"), MEND, HEALED, CLEANUP)
    assert [name for name, one in blocks.items() if not one.proven] == ["seen"]
    assert blocks["seen"].reason == "never refused anything: it held in 2 of 2 runs"


def test_a_step_that_only_the_snapshot_misses_is_proven_by_the_drill(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drills, "SETTLE_S", 0.5)
    both = fence("bash {.fault}", "touch broken; echo x >conf")
    trials, blocks = proven(alarm, CARD, both, MEND, step("rm -f conf", more=" #tidy"), HEALED)
    assert (trials["tidy"].came, blocks["tidy"].by, blocks["tidy"].proven) == (Came.CAUGHT, DRILL, True)
    assert "the stack is not as before" in trials["tidy"].reason


def test_a_drill_whose_alert_does_not_come_decides_nothing(alarm: Alarm) -> None:
    once = fence("bash {.fault}", "test -e late && exit; touch broken late")
    trials, blocks = proven(alarm, CARD, once, MEND, HEALED, CLEANUP)
    assert trials["one-step-1"].came is Came.UNDECIDED
    assert "Broken never fired" in blocks["one-step-1"].reason
    assert not blocks["one-check-1"].proven


DEAF = "; test -e mended && ! test -e well && exit 7 || true"  # behind a command: after the steps it fails
MENDED = step("rm -f broken; touch mended")
IDLE = step("touch well", more=" #idle")  # nothing misses it, but monitoring answers only where it was done


@pytest.mark.parametrize(
    ("deaf_s", "settings"),
    [
        (60.0, {}),
        (0.0, {"notifications": f"cat told{DEAF}"}),
        (0.0, {"snapshot": f"echo there{DEAF}"}),
        (0.0, {"notifications": "test ! -e mended || test -e well || sleep 60; cat told"}),
    ],
    ids=["Prometheus is dead", "the receiver is dead", "no snapshot", "the receiver is slow"],
)
def test_monitoring_that_gives_no_answer_has_noticed_nothing(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch, deaf_s: float, settings: dict[str, str]
) -> None:
    monkeypatch.setattr(drills, "SETTLE_S", 0.5)
    monkeypatch.setattr("runbook_checks.monitoring._ANSWER_TIMEOUT_S", 2.0)
    alarm.deaf_s = deaf_s
    trials, blocks = proven(alarm, CARD, FAULT, MENDED, IDLE, HEALED, CLEANUP, **settings)
    assert trials["idle"].came is Came.UNDECIDED
    assert trials["one-step-1"].came is Came.CAUGHT, "a check said no before monitoring was asked"
    assert not blocks["idle"].proven
    assert "the run without it decided nothing, try again" in blocks["idle"].reason
    assert "monitoring gave no answer" in blocks["idle"].reason


def test_a_figure_that_monitoring_tells_late_has_noticed_nothing(alarm: Alarm) -> None:
    alarm.deaf_s = 7.0
    bounded = card("alerts: [Broken]\nfigures:\n  time_to_recover: {max: 6}")
    trials, blocks = proven(alarm, bounded, FAULT, MENDED, IDLE, HEALED, CLEANUP, within_s=30.0)
    assert (trials["idle"].came, blocks["idle"].proven) == (Came.UNDECIDED, False)
    assert "figure time_to_recover must be at most 6 s" in blocks["idle"].reason


def test_a_figure_that_monitoring_tells_in_time_notices_a_slow_way(alarm: Alarm) -> None:
    bounded = card("alerts: [Broken]\nfigures:\n  time_to_recover: {max: 6}")
    slow = step("test -e well || sleep 7")
    trials, _ = proven(alarm, bounded, FAULT, MENDED, IDLE, slow, HEALED, CLEANUP)
    assert (trials["idle"].came, trials["idle"].caught_by) == (Came.CAUGHT, "time_to_recover")


def test_a_cleanup_that_the_snapshot_waits_for_has_its_whole_time(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drills, "SETTLE_S", 0.5)
    monkeypatch.setattr("runbook_checks.mutants.LEAST_CLEANUP_S", 0.5)
    both = fence("bash {.fault}", "touch broken; echo x >conf")
    slow = fence("bash {.cleanup}", "test -e well || sleep 2; rm -f conf broken")
    trials, _ = proven(alarm, CARD, both, MENDED, IDLE, HEALED, slow)
    assert trials["idle"].came is Came.UNNOTICED
