"""A drill from start to end, and everything that it refuses to take for one, with real shells and a real server."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from alarms import CARD, CLEANUP, FAULT, HEALED, MEND, URL, Alarm, alarm, drill, refused
from procedures import card, check, fence, log, step
from repository import wait_for

from runbook_checks.drill import MOMENTS, differences
from runbook_checks.execute import InterruptedRun
from runbook_checks.record import Outcome

__all__ = ["alarm"]


def test_a_drill_breaks_waits_to_be_told_mends_and_sees_it_resolved(alarm: Alarm) -> None:
    setup = fence("bash {.setup}", "echo setup >>log")
    record = drill(alarm, CARD, MEND, HEALED, FAULT, setup, CLEANUP)
    assert (record.outcome, record.reason) == (Outcome.PASSED, "")
    assert log(alarm.folder) == ["setup", "fault", "step", "cleaned"]
    assert [moment.name for moment in record.moments] == list(MOMENTS)
    assert [moment.at for moment in record.moments] == sorted(moment.at for moment in record.moments)
    figures = {figure.name: figure.value for figure in record.figures}
    assert list(figures) == ["time_to_detect", "time_to_notify", "time_to_recover"]
    assert 0 <= figures["time_to_detect"] <= figures["time_to_notify"] < figures["time_to_recover"]
    assert figures["time_to_recover"] >= 0.3  # it was held


def test_a_figure_of_the_drill_keeps_the_bounds_of_the_card(alarm: Alarm) -> None:
    slow = card("alerts: [Broken]\nfigures:\n  time_to_recover: {max: 0.1}")
    record = drill(alarm, slow, FAULT, MEND, HEALED)
    assert record.outcome is Outcome.FAILED
    assert "figure time_to_recover must be at most 0.1 s, and is" in record.reason
    assert [figure.kept for figure in record.figures if figure.name == "time_to_recover"] == [False]


def test_an_alert_that_fires_already_is_no_proof_and_nothing_is_broken(alarm: Alarm) -> None:
    (alarm.folder / "broken").touch()
    assert refused(alarm).endswith("Broken fires already")
    assert log(alarm.folder) == ["cleaned"]


def test_an_alert_that_never_fires_fails_the_drill_before_its_steps(alarm: Alarm) -> None:
    alarm.silent = True
    assert refused(alarm, within_s=2.0).endswith("Broken never fired within 2 s of the fault")
    assert log(alarm.folder) == ["fault", "cleaned"]


def test_an_alert_that_nobody_is_told_of_fails_the_drill(alarm: Alarm) -> None:
    alarm.mute = True
    assert refused(alarm, within_s=2.0).endswith("nobody was told in time that Broken is firing")


def test_a_notification_from_before_the_fault_does_not_count(alarm: Alarm) -> None:
    alarm.tell("firing")
    alarm.tell("resolved")
    alarm.mute = True
    assert refused(alarm, within_s=2.0).endswith("nobody was told in time that Broken is firing")


def test_an_alert_whose_end_was_never_told_is_named_as_what_may_keep_it_from_being_told_again(alarm: Alarm) -> None:
    alarm.tell("firing")
    alarm.mute = True
    reason = refused(alarm, within_s=2.0)
    assert "nobody was told in time that Broken is firing; Broken was told to fire at 20" in reason
    assert reason.endswith("its end was never told: Alertmanager tells the same again only after its repeat_interval")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (
            "https://runbooks.example/docs/p/#other",
            "with a runbook_url that leads to docs/p.md, which has no procedure",
        ),
        ("https://runbooks.example/docs/p/", "with a runbook_url that leads to docs/p.md, and to no procedure of it"),
        ("https://runbooks.example/docs/q/#one", "with the runbook_url of q/one"),
        ("https://runbooks.example/docs/gone/#one", "with a runbook_url that leads to no page of the runbooks"),
        ("https://elsewhere.example/docs/p/#one", "with a runbook_url that leads to no page of the runbooks"),
        ("TODO", "with a runbook_url that is not the address of a page"),
        ("", "without a runbook_url"),
    ],
)
def test_an_alert_that_leads_elsewhere_fails_the_drill(alarm: Alarm, url: str, why: str) -> None:
    alarm.runbook_url = url
    reason = refused(alarm)
    assert f"Broken was delivered {why}" in reason
    assert reason.endswith(f": {url}" if url else why)
    assert "step" not in log(alarm.folder)


def test_one_address_of_several_that_leads_elsewhere_fails_the_drill(alarm: Alarm) -> None:
    also = r'{"at": %s, "alert": "Broken", "status": "firing", "runbook_url": "https://x.example/"}\n'
    assert "leads to no page" in refused(alarm, notifications=f"cat told; printf '{also}' $(date +%s.%N)")


def test_a_notification_from_the_future_may_be_of_any_time_and_does_not_count(alarm: Alarm) -> None:
    alarm.mute = True
    also = f'{{"at": {time.time() + 3600:.3f}, "alert": "Broken", "status": "firing", "runbook_url": "{URL}"}}'
    reason = refused(alarm, notifications=f"cat told; echo '{also}'", within_s=2.0)
    assert " s in the future: it may be from before the fault" in reason
    assert "step" not in log(alarm.folder)


def test_a_permalink_leads_to_the_procedure(alarm: Alarm) -> None:
    alarm.runbook_url = "https://runbooks.example/docs/p/p/one/"
    assert drill(alarm, CARD, FAULT, MEND, HEALED).reason == ""


def test_checks_that_hold_while_the_fault_is_on_prove_nothing(alarm: Alarm) -> None:
    reason = refused(alarm, CARD, FAULT, MEND, check("true", more=" within=1s"), within_s=2.0)
    assert reason.endswith("the checks hold while the fault is on: they prove nothing")
    assert "step" not in log(alarm.folder)


def test_a_query_whose_series_has_no_new_sample_yet_shows_no_fault(alarm: Alarm) -> None:
    """It would show any fault, until the next scrape: what holds of the last sample is no doubt of anything."""
    alarm.unscraped = True
    reason = refused(alarm, CARD, FAULT, MEND, fence("promql {.check within=5s}", "up >= 0"), within_s=2.0)
    assert reason.endswith("the checks hold while the fault is on: they prove nothing")
    assert "step" not in log(alarm.folder)


def test_a_fault_that_a_check_shows_a_while_after_the_alert_is_shown(alarm: Alarm) -> None:
    """What it asks may be scraped more seldom than what the alert asks."""
    late = check("! test -e broken || test $(($(date +%s) - $(stat -c %Y broken))) -lt 3")
    assert drill(alarm, CARD, FAULT, MEND, late, CLEANUP).reason == ""


def test_a_check_that_never_held_before_the_fault_does_not_show_it(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.drill.SOUND_S", 2.0)
    mended = step("rm -f broken; touch mended")
    after = check("test -e mended")
    reason = refused(alarm, CARD, FAULT, mended, after, within_s=2.0)
    assert reason.endswith("no check after the last step holds before the fault: none could show it")
    assert log(alarm.folder) == ["cleaned"]
    (alarm.folder / "mended").unlink(missing_ok=True)
    assert refused(alarm, CARD, FAULT, mended, after, check("true"), within_s=2.0).endswith("they prove nothing")


def test_what_becomes_sound_a_moment_after_the_setup_counts(alarm: Alarm) -> None:
    late = fence("bash {.setup}", "touch starting; (sleep 0.6; rm starting) &>/dev/null &")
    record = drill(alarm, CARD, late, FAULT, MEND, check("test ! -e starting && test ! -e broken"), CLEANUP)
    assert (record.outcome, record.reason) == (Outcome.PASSED, "")


def test_an_alert_that_goes_away_by_itself_needs_no_steps(alarm: Alarm) -> None:
    alarm.lasts_s = 0.5
    assert refused(alarm, hold_s=3.0).endswith("not needed: Broken went away without the steps")
    assert "step" not in log(alarm.folder)


def test_a_fault_that_heals_while_its_alert_outlasts_it_needs_no_steps(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.drill.SOUND_S", 0.5)
    fault = fence("bash {.fault}", "touch broken sick; echo fault >>log")
    well = check("test ! -e sick || { rm sick; false; }")  # once, and it is well
    reason = refused(alarm, CARD, fault, MEND, well)
    assert reason.endswith("not needed: the checks hold again without the steps, and only the alert stays")
    assert "step" not in log(alarm.folder)


def test_an_alert_that_comes_back_after_it_resolved_fails_the_drill(alarm: Alarm) -> None:
    alarm.comes_back = True
    assert refused(alarm).endswith("Broken came back after the steps")


def test_an_alert_that_never_resolves_fails_the_drill(alarm: Alarm) -> None:
    alarm.stuck = True
    assert refused(alarm, within_s=2.0).endswith("Broken never resolved within 2 s of the steps")
    assert log(alarm.folder) == ["fault", "step", "cleaned"]


def test_a_resolution_that_nobody_is_told_of_fails_the_drill(alarm: Alarm) -> None:
    reason = refused(alarm, notifications="grep -v resolved told || true", within_s=2.0)
    assert reason.endswith("nobody was told in time that Broken is resolved")


def test_what_a_drill_leaves_behind_is_named(alarm: Alarm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook_checks.drill.SETTLE_S", 0.5)
    (alarm.folder / "conf").write_text("pool 5\nsame\n")
    changing = step("rm broken; echo 'pool 50 s3cr3t-value' >conf; echo same >>conf")
    record = drill(alarm, CARD, FAULT, changing, HEALED, CLEANUP, secrets=("s3cr3t-value",))
    assert record.outcome is Outcome.FAILED
    head, *lines = record.reason.splitlines()
    assert head.endswith("the stack is not as before:")
    assert lines[0] == "- pool 5"
    assert lines[1].startswith("+ pool 50 ")
    assert "s3cr3t-value" not in record.reason


def test_what_settles_after_the_cleanup_is_as_before(alarm: Alarm) -> None:
    late = fence("bash {.cleanup}", "(sleep 0.6; rm conf) &>/dev/null &")
    record = drill(alarm, CARD, FAULT, step("rm broken; echo x >conf"), HEALED, late)
    assert (record.outcome, record.reason) == (Outcome.PASSED, "")


def test_a_fault_that_cannot_be_made_fails_the_drill(alarm: Alarm) -> None:
    reason = refused(alarm, CARD, fence("bash {.fault #break}", "exit 3"), MEND, HEALED)
    assert "fault break exited with 3, expected 0" in reason
    assert "step" not in log(alarm.folder)


def test_monitoring_that_does_not_answer_fails_the_drill(alarm: Alarm) -> None:
    reason = refused(alarm, notifications="exit 4", within_s=2.0)
    assert reason.startswith("docs/p.md:")
    assert "monitoring gave no answer, and nobody can say whether the steps are at fault: notifications: `ex" in reason


def test_monitoring_that_answers_now_and_then_fails_the_drill_and_its_last_answer_is_told(alarm: Alarm) -> None:
    alarm.stuck, alarm.deaf_s = True, 1.0
    reason = refused(alarm, CARD, FAULT, step("rm broken; touch mended; echo step >>log"), HEALED, within_s=4.0)
    assert "monitoring did not always answer" in reason
    assert "answered 503 Service Unavailable; its last answer: Broken never resolved within 4 s" in reason


def test_a_snapshot_that_cannot_be_taken_fails_the_drill_before_anything_runs(alarm: Alarm) -> None:
    assert "snapshot: `exit 5` exited with 5" in refused(alarm, snapshot="exit 5")
    assert log(alarm.folder) == ["cleaned"]


def test_an_interrupted_drill_is_cleaned_up_and_keeps_its_moments(alarm: Alarm) -> None:
    alarm.silent = True  # so that the interrupt comes while it waits

    def interrupt() -> None:
        wait_for(lambda: alarm.seen_at)  # somebody has asked whether it fires
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(InterruptedRun) as caught:
        drill(alarm, CARD, FAULT, MEND, HEALED, CLEANUP, within_s=60.0)
    thread.join()
    assert log(alarm.folder) == ["fault", "cleaned"]
    assert caught.value.record.outcome is Outcome.INTERRUPTED
    assert [moment.name for moment in caught.value.record.moments] == ["fault"]


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        (("a", "b"), ("b", "a"), ""),
        (("a",), (), "the stack is not as before:\n- a"),
        (("a",), ("a", "a"), "the stack is not as before: lines of the snapshot are repeated"),
        ((), tuple("abcdefg"), "the stack is not as before:\n+ a\n+ b\n+ c\n+ d\n+ e\nand 2 more"),
    ],
)
def test_differences_of_snapshots_are_named(before: tuple[str, ...], after: tuple[str, ...], difference: str) -> None:
    assert differences(before, after) == difference
