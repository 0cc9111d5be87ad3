"""Which blocks are left out, what later blocks have from a block, and how a run without it is bounded: all pure."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from procedures import HEAD, check, fence, step
from records import record

from runbook_checks.markdown import scan
from runbook_checks.mutants import Probe, made_by, moves, mutants_of, only_misses_a_name, probe_of
from runbook_checks.promql import main as promql
from runbook_checks.record import BlockRecord, Outcome

if TYPE_CHECKING:
    from runbook_checks.model import Block, Procedure

SETUP = fence("bash {.setup}", "true")
FAULT = fence("bash {.fault}", "true")
ROLLBACK = fence("bash {.rollback}", "true")
CLEANUP = fence("bash {.cleanup}", "true")


def procedure_of(*blocks: str) -> Procedure:
    found = scan(HEAD + "".join(blocks), "docs/p.md")
    assert found.runbook is not None
    return found.runbook.procedures[0]


def block_of(text: str, language: str = "bash", role: str = "step") -> Block:
    return procedure_of(fence(f"{language} {{.{role}}}", text)).blocks[0]


def ran(block: str, outcome: Outcome, stdout: str = "", duration_s: float = 1.0) -> BlockRecord:
    return BlockRecord(block, "step", "bash", 1, "", outcome, 0, stdout, duration_s=duration_s, attempts=1)


@pytest.mark.parametrize(
    ("blocks", "left_out"),
    [
        ([check("true")], []),
        ([check("true"), CLEANUP], []),
        ([step("a"), check("true"), step("b"), ROLLBACK], [["step-1"], ["step-2"], ["rollback-1"]]),
        ([SETUP, SETUP, step("a"), check("true")], [["step-1"], ["setup-1"], ["setup-2"]]),
        ([SETUP, FAULT, FAULT, step("a"), check("true")], [["step-1"], ["fault-1", "fault-2"]]),
        ([step("a", more=" environment=other"), step("b"), check("true")], [["step-2"]]),
        ([fence("bash {.fault environment=other}", "true"), SETUP, check("true")], [["setup-1"]]),
    ],
)
def test_what_is_left_out(blocks: list[str], left_out: list[list[str]]) -> None:
    procedure = procedure_of(*blocks)
    mutants = mutants_of(procedure, "local")
    assert [[one.id.removeprefix("one-") for one in mutant.left_out] for mutant in mutants] == left_out
    for mutant in mutants:
        assert set(mutant.of(procedure).blocks) == set(procedure.blocks) - set(mutant.left_out)


@pytest.mark.parametrize(("text", "missed"), [("up{job='$JOB'} > 0", True), ("up > 0", True), ("up", False)])
def test_a_query_without_a_name_that_it_uses_has_refused_nothing(text: str, *, missed: bool) -> None:
    stderr = io.StringIO()
    environ = {"PROMETHEUS_URL": "http://127.0.0.1:1"} if "$JOB" in text or not missed else {}
    assert promql([], io.StringIO(text), io.StringIO(), stderr, environ) == 2
    said = replace(ran("one-check-1", Outcome.FAILED), stderr=stderr.getvalue())
    assert only_misses_a_name(said) is missed, said.stderr


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a=1; export b=2 c[3]=x; d+=y", {"a", "b", "c", "d"}),
        ("read -r x y </dev/null", {"r", "x", "y"}),
        ("for one in 1 2; do :; done", {"one", "in"}),
        ("mapfile -t lines <f", {"t", "lines"}),
        ("printf -v text '%s' 1", {"text", "s"}),
        ("f() { :; }; function g { :; }", {"f", "g"}),
        ('curl --data=x https://a/b=1 "$c=1"', set()),
        ("test $a = 1", set()),
    ],
)
def test_what_a_block_makes(text: str, names: set[str]) -> None:
    assert made_by(block_of(text)) == names


def test_of_a_polled_check_later_blocks_have_captures_only() -> None:
    looks = 'for made in 1; do echo "id $made"; done'
    polled, once = procedure_of(check(looks, "id <id>", more=" within=5s"), check(looks, "id <id>")).blocks
    assert made_by(polled) == {"id"}
    assert made_by(once) >= {"id", "made"}


@pytest.mark.parametrize(
    ("language", "text", "uses"),
    [
        ("bash", 'echo "$made"', True),
        ("bash", 'echo "${made:-}"', True),
        ("bash", 'echo "${#made[@]}" "${!made}"', True),
        ("bash", "echo $((made + 1))", True),
        ("bash", "made here", True),
        ("bash", "true && made", True),
        ("bash", "if made; then true; fi", True),
        ("bash", "ls made deployment/made/x made.txt --made", False),
        ("bash", "echo \"$made_up\" 'made'", False),
        ("bash", "made=2", False),
        ("http", "GET $API/made", False),
        ("http", "GET $API/${made}", True),
        ("sql", "SELECT made FROM x", False),
        ("python", "print(os.environ['made'])", True),
        ("python", "print(unmade)", False),
    ],
)
def test_what_a_block_uses(language: str, text: str, uses: bool) -> None:  # noqa: FBT001
    left_out = block_of("made=1; made() { :; }")
    one = block_of(text, language)
    assert bool(Probe((left_out,)).why_not(one, [one], [], ())) == uses


def test_what_the_environment_or_another_block_gives_is_there() -> None:
    left_out, other = block_of("made=1"), procedure_of(SETUP.replace("true", "made=2")).blocks[0]
    user = block_of('echo "$made"')
    assert Probe((left_out,)).why_not(user, [user], [], {"made"}) == ""
    page = [other, user]
    assert Probe((left_out,)).why_not(user, page, [ran(other.id, Outcome.PASSED)], ()) == ""
    reason = "not run: it uses made, which one-setup-1, one-step-1 would have made"
    assert Probe((left_out,)).why_not(user, page, [ran(other.id, Outcome.FAILED)], ()) == reason


@pytest.mark.parametrize(
    ("text", "moving"),
    [
        ('cd "$work" && rm -rf ./*', True),
        ("if pushd x; then true; fi", True),
        ("builtin cd x >/dev/null", True),
        ("enter() { cd x; }; enter", True),
        ("cd a && cd - && cd b", True),
        ("(cd x && make)", False),
        ('newest=$(cd "$work" && ls)', False),
        ("cd x | cat", False),
        ("cd x && make && cd - >/dev/null", False),
        ("pushd x; popd", False),
        ("echo cd x; ls cd", False),
        ("cat <<'END'\ncd x\nEND", False),
    ],
)
def test_what_changes_the_folder_of_later_blocks(text: str, moving: bool) -> None:  # noqa: FBT001
    assert moves(block_of(text)) == moving


def test_nothing_but_a_check_runs_in_another_folder_than_it_was_written_for() -> None:
    blocks = (step("mkdir work"), step("cd work"), step("rm -rf x"), check("test ! -e x"), CLEANUP)
    page = procedure_of(*blocks, SETUP.replace("true", "cd there")).blocks
    make, go, remove, look, clean, there = page
    probe = Probe((go,))
    assert probe.why_not(make, page, [], ()) == "", "it comes before"
    assert probe.why_not(remove, page, [], ()) == "not run: it would run in another folder than behind one-step-2"
    assert probe.why_not(clean, page, [], ()).startswith("not run: it would run in another folder")
    assert probe.why_not(look, page, [], ()) == ""
    failed = [ran(there.id, Outcome.FAILED)]
    assert Probe((look,)).why_not(make, page, failed, ()).endswith("behind one-setup-1")
    assert Probe((look,)).why_not(clean, page, failed, ()) == "", "it is there for what has failed"


def test_messages_are_english_and_all_else_is_in_the_language_of_the_user() -> None:
    english = {"LC_MESSAGES": "C"}
    assert Probe().environ({"A": "1", "LC_TIME": "de", "LANGUAGE": "de"}) == {"A": "1", "LC_TIME": "de", **english}
    assert Probe().environ({"LC_ALL": "de", "LC_TIME": "fr", "LANG": "en"}) == {"LANG": "de", **english}


def test_a_cleanup_block_is_lent_nothing() -> None:
    left_out = block_of("job=1")
    (clean,) = procedure_of(CLEANUP.replace("true", 'kill "$job"')).blocks
    assert Probe((left_out,), {"job": "1"}).why_not(clean, [clean], [], ()).startswith("not run: it uses job")


def test_what_is_left_out_further_down_would_have_made_nothing_yet() -> None:
    procedure = procedure_of(step("end=1 && echo $end"), step("end=2"), check('test "$end" = 2'))
    first, second, last = procedure.blocks
    probe = Probe((second,))
    assert probe.why_not(first, procedure.blocks, [], ()) == ""
    assert probe.why_not(last, procedure.blocks, [], ()) == "not run: it uses end, which one-step-2 would have made"


def test_a_check_is_lent_the_captures_of_the_baseline_and_a_step_is_not() -> None:
    procedure = procedure_of(step("id 7", "id <id>"), step('use "$id"'), check('ask "$id"'))
    (mutant, _) = mutants_of(procedure, "local")
    baseline = record(blocks=(ran("one-step-1", Outcome.PASSED, "id 7\n", 2.5),))
    probe = probe_of(mutant, procedure, baseline)
    assert (dict(probe.lent), dict(probe.needed_s)) == ({"id": "7"}, {"one-step-1": 2.5})
    _, use, ask = procedure.blocks
    assert probe.why_not(ask, procedure.blocks, [], ()) == ""
    assert probe.why_not(use, procedure.blocks, [], ()).startswith("not run: it uses id")


def test_a_check_is_asked_although_a_block_that_failed_would_have_set_what_it_sets_itself() -> None:
    procedure = procedure_of(*(role("for path in a b; do ask $path; done") for role in (check, check, step)))
    failed = [ran("one-check-1", Outcome.FAILED)]
    _, ask, change = procedure.blocks
    assert Probe((block_of("true"),)).why_not(ask, procedure.blocks, failed, ()) == ""
    assert Probe((block_of("true"),)).why_not(change, procedure.blocks, failed, ()).startswith("not run: it uses path")


@pytest.mark.parametrize(
    ("more", "needed_s", "within_s", "timeout_s"),
    [
        (" within=60s", 0.1, 5.0, None),
        (" within=60s", 4.0, 12.0, None),
        (" within=60s", 40.0, 60.0, None),
        (" within=2s", 0.1, 2.0, None),
        ("", 0.1, None, 30.0),
        ("", 20.0, None, 60.0),
        (" timeout=10s", 20.0, None, 10.0),
    ],
)
def test_after_the_failure_that_decides_nothing_waits_longer_than_thrice_the_baseline(
    more: str, needed_s: float, within_s: float | None, timeout_s: float | None
) -> None:
    one = procedure_of(check("true", more=more)).blocks[0]
    bounded = Probe(needed_s={one.id: needed_s}).bounded(one)
    assert (bounded.within_s, bounded.timeout_s) == (within_s, timeout_s)
