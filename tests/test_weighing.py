"""What leaving out a block proves and what it does not, with real shells: each trial has a folder of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from procedures import BASH, HEAD, card, check, fence, step

from runbook_checks.execute import execute
from runbook_checks.languages import DEFAULTS
from runbook_checks.markdown import scan
from runbook_checks.mutants import Probe, mutants_of, probe_of
from runbook_checks.need import Came
from runbook_checks.record import Outcome, Record
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.weighing import weigh

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.model import Procedure
    from runbook_checks.need import Trial, Tried

MAKE = step("touch made")
IS_MADE = check("test -e made")


class Proven:
    """The trials of a procedure by what was left out, and its blocks by id."""

    def __init__(self, folder: Path, *blocks: str) -> None:
        found = scan(HEAD + "".join(blocks), "docs/p.md")
        assert not found.problems
        assert found.runbook is not None
        folder.mkdir(exist_ok=True)
        self.folder = folder
        (self.procedure,) = found.runbook.procedures
        baseline = self._run(self.procedure, Probe())
        assert (baseline.outcome, baseline.reason) == (Outcome.PASSED, "")
        runs = [
            (mutant, self._run(mutant.of(self.procedure), probe_of(mutant, self.procedure, baseline)))
            for mutant in mutants_of(self.procedure, "local")
        ]
        self.records = {mutant.left_out[0].id: record for mutant, record in runs}
        trials, tried = weigh(self.procedure, "local", runs)
        self.trials: dict[str, Trial] = {trial.left_out[0]: trial for trial in trials}
        self.blocks: dict[str, Tried] = {one.id: one for one in tried}

    def _run(self, procedure: Procedure, probe: Probe) -> Record:
        environ = {"PATH": os.environ["PATH"], "LOG": str(self.folder / "log")}
        folder = self.folder / f"{len(list(self.folder.iterdir()))}.run"
        folder.mkdir()
        target = Target("local", environ, frozenset(environ))
        with Blocks(procedure, target, Run("r", folder, BASH, DEFAULTS, mark=""), probe) as opened:
            return execute(opened)

    @property
    def unproven(self) -> dict[str, str]:
        return {name: one.reason.partition(":")[0] for name, one in self.blocks.items() if not one.proven}

    def said(self, left_out: str, block: str) -> str:
        """Return what the record of a block says in the run without another one."""
        (found,) = (one for one in self.records[left_out].blocks if one.id == block)
        return found.message


def test_a_step_is_proven_by_what_notices_its_absence_and_a_check_by_what_it_refused(tmp_path: Path) -> None:
    proven = Proven(tmp_path, MAKE, IS_MADE)
    assert proven.unproven == {}
    assert (proven.blocks["one-step-1"].by, proven.blocks["one-step-1"].place) == ("one-check-1", "docs/p.md:10")
    assert (proven.blocks["one-check-1"].by, proven.blocks["one-check-1"].place) == ("one-step-1", "docs/p.md:6")


def test_a_step_that_nobody_misses_and_a_check_that_cannot_refuse_are_not_proven(tmp_path: Path) -> None:
    proven = Proven(tmp_path, MAKE, step("touch idle"), IS_MADE, check("test 1 = 1"))
    assert proven.unproven == {
        "one-step-2": "left out, and nothing noticed",
        "one-check-2": "never refused anything",
    }
    assert proven.trials["one-step-2"].came is Came.UNNOTICED
    assert proven.blocks["one-check-2"].reason == "never refused anything: it held in 2 of 2 runs"


def test_blocks_after_a_failure_are_asked_too(tmp_path: Path) -> None:
    proven = Proven(tmp_path, MAKE, IS_MADE, step("touch later"), check("ls", "later\nmade"))
    assert proven.unproven == {}
    assert proven.trials["one-step-1"].refused == ("one-check-1", "one-check-2")


def test_an_expectation_refuses_what_was_captured_otherwise_before(tmp_path: Path) -> None:
    first = check("cat made 2>/dev/null || echo 0", "<release>")
    runs = check("cat made runs 2>/dev/null | tail -n 1", "<release>")
    proven = Proven(tmp_path, step("echo 1 >made"), first, step("echo 1 >runs"), runs)
    assert proven.trials["one-step-1"].refused == ("one-check-2",)
    assert "one-check-2" not in proven.unproven


def test_each_expectation_of_a_check_must_have_refused(tmp_path: Path) -> None:
    both = fence("bash {.check}", "echo hello; ls made") + "".join(
        f"\n```text {{.expect match=contains}}\n{text}\n```\n" for text in ("hello", "made")
    )
    proven = Proven(tmp_path, MAKE, both)
    line = proven.procedure.blocks[1].expectations[0].span.first
    assert proven.unproven == {"one-check-1": f"the expectation of line {line} never refused anything"}


def test_an_expectation_that_holds_of_nothing_is_blunt(tmp_path: Path) -> None:
    blunt = fence("bash {.step}", "touch made; echo done") + "\n```text {.expect}\n...\n```\n"
    proven = Proven(tmp_path, blunt, IS_MADE)
    assert list(proven.unproven) == ["one-step-1"]
    assert "holds of no output too" in proven.unproven["one-step-1"]
    silent = fence("bash {.step}", "touch made") + "\n```text {.expect match=exact}\n```\n"
    assert Proven(tmp_path, silent, IS_MADE).unproven == {}, "one that wants silence is not blunt"


def test_a_check_is_given_the_captures_of_the_step_that_is_left_out_and_refuses_by_itself(tmp_path: Path) -> None:
    proven = Proven(
        tmp_path,
        step("touch made-7; echo id 7", "id <id>"),
        check('test -n "$id"'),
        check('test -e "made-$id"'),
    )
    assert proven.unproven == {"one-check-1": "never refused anything"}, "a missing capture is no refusal"


def test_a_step_does_not_run_on_what_a_step_that_is_left_out_would_have_captured(tmp_path: Path) -> None:
    use = step('echo "used $id" >>"$LOG"; touch used')
    proven = Proven(tmp_path, step("echo id 7", "id <id>"), use, check("test -e used"))
    assert (tmp_path / "log").read_text() == "used 7\n"  # by the baseline alone
    assert proven.said("one-step-1", "one-step-2") == "not run: it uses id, which one-step-1 would have made"
    assert proven.unproven == {}, "the check missed the other step's effect"


def test_what_a_failed_block_would_have_captured_is_not_asked_for(tmp_path: Path) -> None:
    proven = Proven(tmp_path, MAKE, check("ls made", "<name>"), check('test "$name" = made'))
    assert proven.said("one-step-1", "one-check-2").startswith("not run: it uses name, which one-check-1")
    assert proven.unproven == {"one-check-2": "never refused anything"}
    assert proven.blocks["one-check-2"].reason.endswith(
        "it held in 0 of 1 runs, and was not asked, because it uses name, which one-check-1 would have made"
    )


@pytest.mark.parametrize("made", ["dir=$PWD/here", "read -r dir <<<here", "dir() { echo; }"])
def test_variables_and_functions_of_a_block_that_is_left_out_are_missed_by_nobody(tmp_path: Path, made: str) -> None:
    use = 'dir >>"$LOG"; touch used' if "()" in made else 'echo "$dir" >>"$LOG"; touch used'
    proven = Proven(tmp_path, step(made), step(use), check("test -e used"))
    assert len((tmp_path / "log").read_text().splitlines()) == 1, "only the baseline used it"
    assert "not run: it uses dir" in proven.said("one-step-1", "one-step-2")


def test_an_unset_variable_ends_a_block_and_proves_nothing(tmp_path: Path) -> None:
    hidden = step("eval 'di''r=here'")
    proven = Proven(tmp_path, hidden, step('rm -rf "$PWD/$dir"/*; touch "$LOG.harm"'), check("true"))
    assert proven.trials["one-step-1"].came is Came.UNNOTICED
    assert "unbound variable" in proven.said("one-step-1", "one-step-2")


@pytest.mark.parametrize(
    "asks",
    [
        check('test -n "${dir:?}"'),
        check('test -n "${dir?}"'),
        fence("sh {.check}", 'test -n "${dir:?}"'),
        fence("python {.check}", "import os\nassert os.environ['dir']"),
    ],
)
def test_so_does_one_of_a_sourced_file_in_any_language(tmp_path: Path, asks: str) -> None:
    """Every check fails without the address that it asks; that says nothing of the check."""
    sourced = step('file=$(mktemp) && echo "export di""r=here" >"$file" && . "$file"')
    proven = Proven(tmp_path, sourced, asks)
    assert proven.trials["one-step-1"].came is Came.UNNOTICED, proven.trials
    assert set(proven.unproven) == {"one-step-1", "one-check-1"}


def test_a_failure_before_the_place_of_the_step_decides_nothing(tmp_path: Path) -> None:
    once = check('test "$(cat "$LOG" 2>/dev/null | wc -l)" -lt 2')
    count = fence("bash {.setup}", 'echo >>"$LOG"')
    proven = Proven(tmp_path, once, MAKE, IS_MADE, count)
    assert proven.trials["one-step-1"].came is Came.UNDECIDED
    assert "decided nothing, try again" in proven.unproven["one-step-1"]
    assert "one-check-2" in proven.unproven


def test_a_setup_block_that_fails_decides_nothing_and_nothing_else_runs(tmp_path: Path) -> None:
    flaky = fence("bash {.setup}", 'test ! -e "$LOG"; touch "$LOG"')
    proven = Proven(tmp_path, flaky, MAKE, IS_MADE)
    assert {trial.came for trial in proven.trials.values()} == {Came.UNDECIDED, Came.UNNOTICED}
    assert proven.said("one-step-1", "one-check-1") == "not run: an earlier block failed"


def test_without_the_trouble_a_diagnosis_must_refuse(tmp_path: Path) -> None:
    trouble = fence("bash {.setup}", "touch broken")
    proven = Proven(tmp_path, trouble, check("test -e broken"), step("rm broken"), check("test ! -e broken"))
    assert proven.unproven == {}
    assert proven.blocks["one-check-1"].by == "one-setup-1"


def test_where_only_a_preparation_is_missing_what_comes_after_the_steps_has_not_refused_anything(
    tmp_path: Path,
) -> None:
    prepared = fence("bash {.setup}", "echo text >source")
    proven = Proven(tmp_path, prepared, step("cp source copy"), check("test -e copy"), check("test -e source"))
    assert proven.trials["one-setup-1"].refused == ("one-step-1",)
    assert proven.unproven == {"one-check-2": "never refused anything"}


def test_what_only_cleaning_up_misses_is_missed_by_no_reader(tmp_path: Path) -> None:
    proven = Proven(tmp_path, MAKE, check("true"), fence("bash {.cleanup}", "rm made"))
    assert proven.unproven["one-step-1"] == "left out, and nothing noticed"


def test_a_figure_out_of_its_bounds_notices_and_one_that_nothing_measures_does_not(tmp_path: Path) -> None:
    bound = card("figures:\n  left: {max: 0}\n  one-step-2: {min: 0}")
    proven = Proven(
        tmp_path,
        bound,
        fence("bash {.setup}", "touch old"),
        step("rm old"),
        step("true"),
        check("echo $(ls | wc -l) left", "<left> left"),
    )
    assert (proven.blocks["one-step-1"].by, proven.blocks["one-step-1"].place) == ("left", "docs/p.md:6")
    assert proven.blocks["one-step-2"].reason == "left out, and nothing noticed"


def test_a_figure_that_was_measured_before_the_place_of_the_step_decides_nothing(tmp_path: Path) -> None:
    """The second run is slower, or whatever: it was so before anybody could miss the step."""
    bound = card("figures:\n  runs: {max: 1}")
    count = check('echo >>"$LOG"; wc -l <"$LOG"', "<runs>")
    proven = Proven(tmp_path, bound, count, step("true"), check("true"))
    assert proven.trials["one-step-1"].came is Came.UNDECIDED
    assert "figure runs must be at most 1, and is 2" in proven.blocks["one-step-1"].reason
    assert "one-check-1" in proven.unproven, "nor has it refused what was not left out yet"
    caught = Proven(tmp_path / "caught", bound, count, MAKE, IS_MADE)
    assert caught.trials["one-step-1"].came is Came.CAUGHT
    assert "one-check-1" in caught.unproven


def test_a_check_refuses_by_the_bound_of_the_figure_that_it_captures(tmp_path: Path) -> None:
    bound = card("figures:\n  files: {min: 2}")
    count = check("ls | wc -l", "<files>")
    proven = Proven(tmp_path, bound, MAKE, IS_MADE, step("touch more"), count, check("test -e more"))
    assert proven.unproven == {}
    assert proven.trials["one-step-2"].caught_by == "one-check-3"
    assert "one-check-2" in proven.trials["one-step-2"].refused
    assert proven.blocks["one-check-2"].by == "one-step-1"
    loose = Proven(tmp_path / "x", bound.replace("min: 2", "min: 0"), MAKE, IS_MADE, step("touch more"), count)
    assert "one-check-2" in loose.unproven


def test_a_figure_that_is_no_number_notices_also_when_the_first_is_missing_with_the_step(tmp_path: Path) -> None:
    bound = card("figures:\n  failed: {max: 0}\n  rate: {unit: a second}")
    load, rate = step("echo 7 >rate && echo 0 failed", "<failed> failed"), check("cat rate || echo -", "<rate>")
    proven = Proven(tmp_path, bound, load, rate)
    assert proven.unproven == {}
    trial = proven.trials["one-step-1"]
    assert (trial.caught_by, trial.reason.partition(": ")[2]) == (
        "one-check-1",
        "one-check-1 captured a figure that is no number, or out of its bounds",
    )


def test_a_rollback_is_left_out_too_and_what_is_for_another_environment_is_nobodys(tmp_path: Path) -> None:
    proven = Proven(
        tmp_path,
        MAKE,
        IS_MADE,
        fence("bash {.rollback}", "rm made"),
        check("test ! -e made"),
        step("false", more=" environment=elsewhere"),
    )
    assert list(proven.trials) == ["one-step-1", "one-rollback-1"]
    assert proven.blocks["one-rollback-1"].by == "one-check-2"
    assert proven.unproven == {}


def test_after_the_failure_that_decides_a_check_does_not_wait_its_whole_time(tmp_path: Path) -> None:
    slow = check("test -e made", more=" within=40s every=100ms")
    proven = Proven(tmp_path, MAKE, IS_MADE, slow)
    assert proven.trials["one-step-1"].refused == ("one-check-1", "one-check-2")
    assert 5 <= proven.trials["one-step-1"].duration_s < 30


def test_a_check_that_decides_has_its_whole_time(tmp_path: Path) -> None:
    slow = check("test -e made", more=" within=6s every=100ms")
    assert Proven(tmp_path, MAKE, slow).trials["one-step-1"].duration_s >= 6


def test_nothing_is_to_be_tried_where_nothing_can_be_left_out(tmp_path: Path) -> None:
    proven = Proven(tmp_path, check("true"))
    assert (proven.trials, proven.unproven) == ({}, {"one-check-1": "never refused anything"})


def test_what_waits_for_the_left_out_block_does_not_wait_for_its_whole_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks have five minutes by default; three of the runs would take them."""
    monkeypatch.setattr("runbook_checks.mutants.LEAST_TIMEOUT_S", 2.0)
    monkeypatch.setattr("runbook_checks.mutants.LEAST_CLEANUP_S", 2.0)
    until = "until test -e {0}; do sleep 0.05; done"
    proven = Proven(
        tmp_path,
        fence("bash {.setup #ready}", "touch ready"),
        fence("bash {.setup #waits}", until.format("ready")),
        MAKE,
        IS_MADE,
        fence("bash {.cleanup #tidy}", until.format("made")),
    )
    assert proven.trials["ready"].came is Came.UNDECIDED
    assert "did not end within its 2 s" in proven.said("ready", "waits")
    assert proven.trials["one-step-1"].came is Came.CAUGHT
    assert "did not end within its 2 s" in proven.said("one-step-1", "tidy")
    assert max(trial.duration_s for trial in proven.trials.values()) < 30
