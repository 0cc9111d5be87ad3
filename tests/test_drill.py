"""A drill from start to end, and everything that it refuses to take for one, with real shells and a real server."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from repository import wait_for
from test_execute import FENCE, card, check, fence, log, step

from runbook_checks.config import DrillSettings, load_config
from runbook_checks.drill import MOMENTS, differences
from runbook_checks.errors import UsageError
from runbook_checks.execute import InterruptedRun, execute
from runbook_checks.guards import refuse_unsafe
from runbook_checks.languages import DEFAULTS
from runbook_checks.links import SiteMap, follow
from runbook_checks.markdown import scan
from runbook_checks.monitoring import Monitoring
from runbook_checks.record import Outcome, Record
from runbook_checks.report import load_catalog
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.shell import find_bash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from repository import Repository

    from runbook_checks.model import Procedure

BASH = find_bash(os.environ)
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
            body = alarm.look()
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
    environ = {"PATH": os.environ["PATH"]}
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
    with Blocks(procedure, where, Run("r", alarm.folder, BASH, DEFAULTS, mark="")) as opened:
        return execute(opened)


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


def refused(alarm: Alarm, *blocks: str, **settings: Any) -> str:
    """Run a drill that must fail after its cleanup, and return why."""
    record = drill(alarm, *(blocks or (CARD, FAULT, MEND, HEALED)), CLEANUP, **settings)
    assert record.outcome is Outcome.FAILED
    assert log(alarm.folder)[-1] == "cleaned"
    return record.reason


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
    alarm.mute = True
    assert refused(alarm, within_s=2.0).endswith("nobody was told in time that Broken is firing")


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
    reason = refused(alarm, CARD, FAULT, MEND, check("true", more=" within=1s"))
    assert reason.endswith("the checks hold while the fault is on: they prove nothing")
    assert "step" not in log(alarm.folder)


def test_a_check_that_never_held_before_the_fault_does_not_show_it(
    alarm: Alarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.drill.SOUND_S", 2.0)
    mended = step("rm -f broken; touch mended")
    after = check("test -e mended")
    reason = refused(alarm, CARD, FAULT, mended, after)
    assert reason.endswith("no check after the last step holds before the fault: none could show it")
    assert log(alarm.folder) == ["cleaned"]
    (alarm.folder / "mended").unlink(missing_ok=True)
    assert refused(alarm, CARD, FAULT, mended, after, check("true")).endswith("they prove nothing")


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


SETTINGS = """
environments:
  local:
    variables: {PROMETHEUS_URL: "URL"}
    stack: {up: "echo up >>log", down: "echo down >>log"}
    drill: {prometheus: $PROMETHEUS_URL, notifications: cat told, within: 20s, hold: 300ms}
  unmonitored:
    stack: {up: "echo up >>log", down: "true"}
  unset:
    stack: {up: "true", down: "true"}
    drill: {prometheus: $NO_SUCH_URL, notifications: cat told}
  box: {disposable: true, drill: {prometheus: $PROMETHEUS_URL, notifications: cat told}}
"""


def repository_with(repository: Repository, *blocks: str, alarm: Alarm | None = None) -> Repository:
    repository.only("## One { #one }\n" + "".join(blocks))
    repository.write(
        "runbook-checks.yml", "pages: [docs/runbooks]" + SETTINGS.replace('URL"', f'{alarm and alarm.url}"')
    )
    return repository


@pytest.mark.parametrize(
    ("environment", "blocks", "why"),
    [
        ("box", (CARD, FAULT, MEND, HEALED), "environment box has no stack of our own; a fault never runs elsewhere"),
        ("unmonitored", (CARD, FAULT, MEND, HEALED), "does not say whom a drill asks; give it a `drill:`"),
        ("local", (FAULT, MEND, HEALED), "its card names no alert that the fault raises; give it `alerts:`"),
        (
            "local",
            (CARD, FAULT, MEND, check("test ! -e broken", more=" environment=box")),
            "no check that runs in local after the last step can show that the fault is on; add one",
        ),
    ],
)
def test_what_can_be_no_drill_is_refused_before_anything_runs(
    repository: Repository, environment: str, blocks: tuple[str, ...], why: str
) -> None:
    one = repository_with(repository, *blocks)
    config = load_config(one.root / "runbook-checks.yml")
    with pytest.raises(UsageError) as caught:
        refuse_unsafe(config.environment(environment), load_catalog(config).procedures)
    assert why in str(caught.value)
    line = one.line("docs/runbooks/extra.md", "{.fault}")
    assert str(caught.value).startswith(f"docs/runbooks/extra.md:{line}: extra/one has a fault block")


def test_a_drill_that_only_asks_for_its_alert_again_is_exit_code_2_with_its_place(repository: Repository) -> None:
    again = check("amtool alert query alertname=Broken", more=" within=5s")
    one = repository_with(repository, CARD, FAULT, HEALED, MEND, again)
    done = one.run("drill")
    assert done.returncode == 2
    line = one.line("docs/runbooks/extra.md", "amtool") - 1
    assert f"docs/runbooks/extra.md:{line}: this check only asks for the alert again" in done.stderr
    assert "add a `.check` there that asks what the fault breaks" in done.stderr
    assert log(one.root) == []


@pytest.mark.parametrize("command", ["verify", "drill"])
def test_a_fault_outside_of_our_own_stack_is_exit_code_2_with_its_place(repository: Repository, command: str) -> None:
    one = repository_with(repository, CARD, FAULT, MEND, HEALED)
    done = one.run(command, "--environment", "box")
    assert done.returncode == 2
    assert f"extra.md:{one.line('docs/runbooks/extra.md', '{.fault}')}: extra/one has a fault block" in done.stderr
    assert log(one.root) == []


def test_an_address_of_prometheus_that_nobody_knows_is_refused_before_anything_runs(repository: Repository) -> None:
    done = repository_with(repository, CARD, FAULT, MEND, HEALED).run("drill", "--environment", "unset")
    assert done.returncode == 2
    assert "$NO_SUCH_URL is not set" in done.stderr
    assert log(repository.root) == []


def test_the_command_drills_only_what_has_a_fault(repository: Repository, alarm: Alarm) -> None:
    alarm.runbook_url = "https://runbooks.example/runbooks/extra/#one"
    plain = f"\n## Two {{ #two }}\n{FENCE}bash {{.check}}\necho two >>log\n{FENCE}\n"
    one = repository_with(repository, CARD, FAULT, MEND, HEALED, CLEANUP, plain, alarm=alarm)
    for name in ("runbook-checks.yml", "docs/runbooks/extra.md"):
        text = (one.root / name).read_text()
        for file in ("log", "told", "broken\n", "broken;"):  # beside the repository, where its digest does not look
            text = text.replace(f">{file}", f">../{file}").replace(f" {file}", f" ../{file}")
        one.write(name, text)
    done = one.run("drill")
    assert done.returncode == 0, done.stderr
    assert log(alarm.folder) == ["up", "fault", "step", "cleaned", "down"]
    (record,) = repository.records("extra/one")
    assert [moment.name for moment in record.moments] == list(MOMENTS)


def test_a_selection_without_a_fault_is_a_mistake(repository: Repository) -> None:
    done = repository_with(repository, MEND, HEALED).run("drill")
    assert (done.returncode, done.stderr) == (2, "there is no procedure to drill: none has a fault block\n")


def test_a_procedure_with_a_fault_has_the_mark_drill(repository: Repository) -> None:
    one = repository_with(repository, CARD, FAULT, MEND, HEALED)
    assert "1 test" in one.pytest("docs/runbooks", "-m", "drill", "--collect-only", "-q").stdout
    assert "no tests" in one.pytest("docs/runbooks", "-m", "not drill", "--collect-only", "-q").stdout
