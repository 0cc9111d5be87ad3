"""The speed bench compares like with like: who runs nothing, or compares nothing, is not fast but out."""

from __future__ import annotations

import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import contest
import formats
import limit
import measuring
import pytest
import reference
import speed
import spreading
import startup
import tables
from blocks import ALONE, Kind, bash, broken, concatenated, corpus, misled, python, traced
from installing import NotToBeHadError, install
from measuring import FailedError, in_turns, run
from peers import OURS, PEERS, Peer
from records import record
from trusting import SAMPLE, Seen, lay, look

if TYPE_CHECKING:
    from blocks import Corpus

    from runbook_checks.record import Record

MIXED = corpus(ALONE["mixed"], 2)
LOOPS = speed.PAGE.parents[2] / "scripts/bench/loops.py"
LOOP = Peer(
    "a loop",
    "",
    None,
    "",
    lambda _home, _folder: [
        sys.executable,
        speed.PAGE.parents[2] / "scripts/bench/loops.py",
        "subprocess",
        "docs/blocks.json",
    ],
)
EACH = "for file in docs/*; do . $file; done"
RUNS = Peer("runs", "", lambda made, _: concatenated((made,)), ".sh", lambda _home, _folder: ["bash", "-e", "-c", EACH])
SLEEPS = replace(RUNS, name="sleeps", command=lambda _home, _folder: ["true"])
GOOD = Seen(passes=True, ran=20, sees_output=True, sees_failure=True)


def changes(one: Corpus, other: Corpus) -> int:
    """Return in how many blocks two corpora differ."""
    return sum(a != b for p, q in zip(one, other, strict=True) for a, b in zip(p, q, strict=True))


def test_a_corpus_has_its_kinds_in_turns() -> None:
    assert [one.kind for one in corpus(ALONE["mixed"], 1, 4)[0]] == [*ALONE["mixed"], Kind.BUILTIN]
    assert [len(procedure) for procedure in corpus(ALONE["builtin only"], 3)] == [10, 10, 10]


def test_a_wrong_expectation_is_one_and_no_command_changes() -> None:
    assert changes(MIXED, misled(MIXED)) == 1
    assert concatenated(misled(MIXED)) == concatenated(MIXED)


def test_a_failing_command_is_one() -> None:
    assert changes(MIXED, broken(MIXED)) == 1
    assert [line for line in concatenated(broken(MIXED)).splitlines() if line == "false"] == ["false"]


@pytest.mark.parametrize("kind", list(Kind))
def test_a_block_does_in_python_what_it_does_in_bash(kind: Kind, tmp_path: Path) -> None:
    (procedure,) = traced(corpus((kind,), 1, 1), tmp_path / "trace")
    shell = run(["bash", "-c", bash(procedure[0])], tmp_path)
    interpreted = run([sys.executable, "-c", python(procedure[0])], tmp_path)
    assert (shell.code == 0, interpreted.code == 0) == (kind is not Kind.FAILING,) * 2
    if kind is not Kind.FAILING:
        assert shell.said == interpreted.said == procedure[0].said
        assert (tmp_path / "trace").read_text() == "ran\n" * 2


@pytest.mark.parametrize("peer", [OURS, *PEERS], ids=lambda peer: str(peer.name))
def test_every_block_is_in_what_a_tool_reads(peer: Peer, tmp_path: Path) -> None:
    peer.lay(MIXED, tmp_path / "here")
    text = "".join(path.read_text() for path in sorted((tmp_path / "here" / "docs").iterdir()))
    for one in (one for procedure in MIXED for one in procedure):
        if peer.write is formats.python_fences:
            assert python(one) in text
            continue
        written = (bash(one), quote(bash(one)), json.dumps(bash(one)))
        assert any(form in text for form in written), bash(one)
        if peer.compares:
            assert all(line in text for line in one.output.splitlines())


def test_ours_and_a_loop_run_and_notice_everything() -> None:
    assert [look(peer, Path()) for peer in (OURS, LOOP)] == [GOOD, GOOD]


def test_who_runs_nothing_is_out() -> None:
    assert look(SLEEPS, Path()).fault(SLEEPS) == "ran 0 blocks of 20"


def test_who_says_that_it_compares_and_does_not_is_out() -> None:
    seen = look(RUNS, Path())
    assert seen.fault(RUNS) == "does not notice a wrong output"
    assert seen.fault(replace(RUNS, compares=False)) == ""


def test_who_fails_on_what_is_right_is_out() -> None:
    fails = replace(RUNS, command=lambda _home, _folder: ["bash", "-c", "echo no; exit 3"])
    assert look(fails, Path()).fault(fails) == "fails on a right page: no\n"


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotToBeHadError, match="apt-get"):
        install(replace(RUNS, package="clitest", debian=True), tmp_path)
    assert not list(tmp_path.rglob("installed"))


def test_who_fails_on_the_way_is_named_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    many = 'test "$(ls docs | wc -l)" -lt 2'
    fails = replace(RUNS, name="fails", command=lambda _home, _folder: ["bash", "-c", many])
    monkeypatch.setattr(contest, "verify", lambda folder, _: run(["true"], folder))
    there = [contest.Contestant(peer, Path(), "1", GOOD) for peer in (OURS, RUNS, fails)]
    out: dict[str, str] = {}
    results = contest.measure(there, out, (1, 2), 2, lambda _: None)
    assert [one.contestant.peer.name for one in results] == ["runbook-checks", "runs"]
    assert [one.runs for one in results] == [2, 2]
    assert out == {"fails": "failed with 2 pages: exit status 1: …"}


def test_the_rivals_are_those_that_compare_and_those_on_pytest() -> None:
    def result(peer: Peer, ms: float, *, sees: bool = True) -> contest.Result:
        seen = replace(GOOD, sees_output=sees)
        return contest.Result(contest.Contestant(peer, Path(), "1", seen), 1, 1.0, ms, ms)

    others = [
        result(RUNS, 2.0, sees=False),
        result(LOOP, 4.0),
        result(replace(LOOP, name="its plugin", on_pytest=True), 9.0),
    ]
    found = list(contest.goals([result(OURS, 1.0), *others]))
    assert [(goal.value, goal.bound, goal.met) for goal in found] == [(4.0, 3, True)] * 2 + [(9.0, 10, False)] * 2
    assert "a loop" in found[0].name
    assert "its plugin" in found[2].name


def test_a_program_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="exit status 3: …why"):
        run(["bash", "-c", "echo why; exit 3"], tmp_path).good()


def test_contestants_take_turns_and_the_slow_ones_one_turn() -> None:
    order: list[str] = []
    acts = {"fast": lambda: 1.0, "slow": lambda: measuring.SLOW_S + 1, "gone": lambda: math.inf}
    taken = in_turns(acts, 3, order.append)
    assert {name: len(each) for name, each in taken.items()} == {"fast": 3, "slow": 1, "gone": 1}
    assert order[:4] == ["round 1: fast", "round 1: slow", "round 1: gone", "round 2: fast"]


def test_a_session_that_prints_something_else_is_no_measurement(tmp_path: Path) -> None:
    limit.in_sessions(MIXED, tmp_path)
    with pytest.raises(FailedError, match="block"):
        limit.in_sessions(misled(MIXED), tmp_path)
    with pytest.raises(FailedError, match="false"):
        limit.in_sessions(broken(MIXED), tmp_path)


def test_a_run_without_all_of_its_evidence_is_no_measurement(tmp_path: Path) -> None:
    lay(OURS, SAMPLE, tmp_path / "two")
    assert limit.verify(tmp_path / "two", 2).code == 0
    with pytest.raises(FailedError, match="2 records of 3 procedures"):
        limit.verify(tmp_path / "two", 3)
    lay(OURS, misled(SAMPLE), tmp_path / "wrong")
    with pytest.raises(FailedError, match="exit status 1"):
        limit.verify(tmp_path / "wrong", 2)


US = {"one script": 100.0, "scripts": 250.0, "one session": 250.0, "sessions": 600.0, "verify": 1000.0, "long": 350.0}
COSTS = limit.Costs("mixed", US, (40.0, 50.0))


def test_the_parts_of_a_block_add_up() -> None:
    (shares,) = (one for one in limit.tables([COSTS], limit.Floor(600, 20), (1, 10)) if one.anchor == "shares")
    *parts, whole = [float(row[1]) for row in shares.rows]
    assert parts == [100, 150, 150, 200, 400]
    assert whole == 1000


def test_very_many_blocks_must_cost_no_more_each() -> None:
    said = "1000 us a block"
    for wall_s, met in ((110.0, True), (130.0, False)):
        _, (linear, memory) = limit.very_large_told(measuring.Ran(wall_s, 121.0, 0, said), 10_000, COSTS)
        assert (linear.met, memory.met) == (met, False)


@pytest.mark.parametrize(("fork_us", "bound"), [(600, 150), (1000, 200)])
def test_the_session_is_held_against_a_figure_or_a_fork_of_the_same_run(fork_us: float, bound: float) -> None:
    goals = list(limit.goals(COSTS, limit.Floor(fork_us, 20)))
    assert [(goal.value, goal.bound) for goal in goals[:4]] == [(150, bound), (350, bound), (250, 250), (750, 250)]
    assert [goal.met for goal in goals] == [True, False, True, False, True, False]


def test_a_goal_is_missed_on_the_page() -> None:
    assert tables.Goal("n", 2.0, 1.8, "times", at_least=True).row() == ("n", "≥ 1.8 times", "2.00 times", "met")
    assert tables.Goal("n", 250.04, 250, "µs").row() == ("n", "≤ 250 µs", "250 µs", "**missed**")


def test_figures_go_between_their_own_marks_and_nowhere_else() -> None:
    begin, other = tables.BEGIN.format("a.py"), tables.BEGIN.format("b.py")
    page = f"before\n{begin}\nold\n{tables.END}\nmiddle\n{other}\nkept\n{tables.END}\nafter\n"
    assert tables.between_marks(page, "a.py", "new\n") == page.replace("\nold\n", "\n\nnew\n\n")


@pytest.mark.parametrize("page", ["", tables.BEGIN.format("a.py"), f"{tables.END}\n{tables.BEGIN.format('a.py')}"])
def test_a_page_without_marks_is_refused(page: str) -> None:
    with pytest.raises(tables.NoMarksError, match=r"needs the lines"):
        tables.between_marks(page, "a.py", "new")


def test_the_page_has_a_place_for_both() -> None:
    page = speed.PAGE.read_text()
    for script in ("speed.py", "reference.py"):
        assert "once more" in tables.between_marks(page, script, "once more")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["limits"], "write parts out of limit, tools, startup, workers"),
        (["--only", "crams"], "--only: write one of a plain bash for each page, bats"),
        (["--write", "--only", "cram"], "come from one run"),
        (["limit", "--write"], "come from one run"),
        (["--write", "--pages", "200"], "--write needs --pages 1000"),
        (["--pages", "99"], "write at least 100"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["speed.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        speed.main()
    assert said in capsys.readouterr().err


def test_the_slowest_blocks_of_the_newest_whole_run() -> None:
    def at(second: int, run_id: str, took_s: float) -> Record:
        times = {"started_at": f"2026-01-01T00:00:0{second}+00:00", "ended_at": f"2026-01-01T00:00:0{second + 2}+00:00"}
        block = replace(record().blocks[0], duration_s=took_s)
        return record(run=run_id, blocks=(block,), **times)

    whole = [at(2, "b", 1.0), at(4, "b", 3.0)]
    records = reference.newest_whole([at(0, "a", 9.0), at(1, "a", 9.0), *whole, at(7, "c", 9.0)])
    assert records == tuple(whole)
    assert reference.wall_s(records) == 4
    assert [one.block.duration_s for one in reference.slowest(records)] == [3.0, 1.0]
    assert reference.newest_whole([]) == ()


def test_figures_are_written_and_a_missed_goal_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{tables.BEGIN.format('speed.py')}\n{tables.END}\n")
    monkeypatch.setattr(speed, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--write"])
    table = tables.Table("Ways", ("way", "µs"), (("one", "1.00"),), anchor="ways")
    for value, code in ((1.0, 0), (3.0, 1)):
        goal = tables.Goal("a goal", value, 2, "s")
        monkeypatch.setattr(speed, "measure", lambda *_, goal=goal: ([table], [goal]))
        assert speed.main() == code
    text = page.read_text()
    assert "| a goal | ≤ 2 s | 3.00 s | **missed** |" in text
    assert "### Ways { #ways }\n\n| way | µs |\n| --- | ---: |\n| one | 1.00 |\n" in text
    assert f"on {os.cpu_count()} processors" in text


def test_ours_must_take_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contest, "look", lambda *_: replace(GOOD, ran=19))
    with pytest.raises(FailedError, match="runbook-checks: ran 19 blocks of 20"):
        contest.gather(tmp_path, ("nobody",), lambda _: None)


def test_no_measurement_is_told_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise FailedError("[b]2 records of 3 procedures")

    monkeypatch.setattr(speed, "measure", fails)
    page = tmp_path / "page.md"
    page.write_text(kept := f"{tables.BEGIN.format('speed.py')}\nold\n{tables.END}\n")
    monkeypatch.setattr(speed, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["speed.py", "--write"])
    assert speed.main() == 2
    assert "nothing was measured: [b]2 records" in capsys.readouterr().err
    assert page.read_text() == kept


def test_every_command_is_timed_and_a_list_is_cold_without_what_a_run_kept(tmp_path: Path) -> None:
    taken = startup.measure(3, 1, tmp_path / "lists")
    assert {name: len(each) for name, each in taken.items()} == {
        startup.VERSION: 3,
        startup.COLD: 1,
        startup.WARM: 1,
        startup.COLLECTION: 1,
    }
    assert [goal.bound for goal in startup.goals(taken)] == [100, 1000, 200, 2000]


def test_two_workers_are_held_against_one() -> None:
    taken = {"computing, 1": [9.0, 8.0, 10.0], "computing, 2": [5.0], "waiting, 1": [9.0], "waiting, 2": [6.0]}
    assert [(goal.value, goal.met) for goal in spreading.goals(taken)] == [(1.8, True), (1.5, False)]
    assert spreading.table(taken, 4).rows[0] == ("computing", "9.00 s", "5.00 s", "1.80")


def test_procedures_that_compute_and_procedures_that_wait_pass(tmp_path: Path) -> None:
    taken = spreading.measure(1, 1, tmp_path, lambda _: None)
    assert set(taken) == {"computing, 1", "computing, 2", "waiting, 1", "waiting, 2"}
    assert min(taken["waiting, 1"]) > 0.5  # seconds that it waits
