"""The verifier: guards, prerequisites, fresh stacks, and evidence, with real shells and a tiny stack."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from runbook_checks import marks
from runbook_checks.config import load_config
from runbook_checks.errors import StackError, UsageError
from runbook_checks.execute import InterruptedRun, UnjudgedError
from runbook_checks.record import CHANGED, Outcome
from runbook_checks.report import load_catalog, load_report
from runbook_checks.stack import Stack
from runbook_checks.status import Status
from runbook_checks.store import StoreError
from runbook_checks.verify import Verifier

if TYPE_CHECKING:
    from repository import Repository

STACK = """
environments:
  local:
    secrets: [OUTER_TOKEN]
    stack:
      up: echo up >>log
      down: echo down >>log
      health: test ! -e sick
      env: echo NAME=stack
  box: {disposable: true}
  bare: {}
  claimed:
    secrets: [PLACE]
    identity: {run: echo "I am $PLACE", prints: I am here}
"""


@pytest.fixture(autouse=True)
def _secrets_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OUTER_TOKEN", "PLACE"):
        monkeypatch.setenv(name, "")


def section(name: str, text: str, needs: str = "", role: str = "step", more: str = "") -> str:
    card = f"```yaml {{.procedure}}\nneeds: [{needs}]\n```\n" if needs else ""
    return (
        f"## {name} {{ #{name} }}\n{card}```bash {{.{role}{more}}}\n{text}\n```\n```bash {{.check{more}}}\ntrue\n```\n"
    )


def verifier(repository: Repository, *sections: str, environment: str = "local") -> Verifier:
    repository.only(*sections)
    repository.write("runbook-checks.yml", f"pages: [docs/runbooks]{STACK}")
    config = load_config(repository.root / "runbook-checks.yml")
    return Verifier(config, load_catalog(config), config.environment(environment), "run-1-main")


def log(repository: Repository) -> list[str]:
    path = repository.root / "log"
    return path.read_text().split() if path.exists() else []


def verify(one: Verifier, *names: str) -> list[str]:
    return [one.verify(one.catalog.get(f"extra/{name}")).outcome.value for name in names]


def test_needs_run_once_per_stack(repository: Repository) -> None:
    base = section("base", "echo base >>log")
    with verifier(repository, base, section("a", "true", "base"), section("b", "true", "a, base")) as one:
        assert verify(one, "b", "a", "base") == ["passed"] * 3
    assert log(repository) == ["up", "base", "down"]


def test_the_shell_of_the_next_procedure_has_ended_before_the_stack_goes_down(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    down, living = Stack.down, []

    def look(stack: Stack) -> None:
        living.append(marks.marked(stack.mark))
        down(stack)

    monkeypatch.setattr(Stack, "down", look)
    with verifier(repository, section("a", "true")) as one:
        assert verify(one, "a") == ["passed"]
        assert len(marks.marked(one.run.mark)) == 1
    assert living == [[]]


def test_what_is_asked_for_again_is_answered_from_the_evidence_and_does_not_run_again(repository: Repository) -> None:
    with verifier(repository, section("a", "echo a >>log"), section("bad", "echo bad >>log; false")) as one:
        first = one.verify(one.catalog.get("extra/a"))
        assert one.verify(one.catalog.get("extra/a")) == first
        failed = one.verify(one.catalog.get("extra/bad"))
        assert one.verify(one.catalog.get("extra/bad")) == failed
        one.store.path("local", "extra/bad").unlink()
        with pytest.raises(StoreError, match=r"bad\.jsonl: the record of this run is gone"):
            one.verify(one.catalog.get("extra/bad"))
    assert log(repository) == ["up", "a", "bad", "down", "up", "down"]


def test_a_failed_procedure_costs_the_stack_and_its_needs_run_again_on_the_fresh_one(repository: Repository) -> None:
    sections = section("base", "echo base >>log"), section("bad", "false", "base"), section("a", "true", "base")
    with verifier(repository, *sections) as one:
        assert verify(one, "bad", "a") == ["failed", "passed"]
    assert log(repository) == ["up", "base", "down", "up", "base", "down"]


def test_a_procedure_that_nobody_can_judge_costs_the_stack(repository: Repository) -> None:
    with verifier(
        repository, section("bad", 'rm "$__rb/block.1" && mkdir "$__rb/block.1"'), section("a", "true")
    ) as one:
        with pytest.raises(UnjudgedError, match="check bad-check-1 could not begin"):  # where our own file would be
            verify(one, "bad")
        assert verify(one, "a") == ["passed"]
    assert log(repository) == ["up", "down", "up", "down"]


def test_what_needs_a_failed_procedure_is_blocked_and_nothing_runs_twice(repository: Repository) -> None:
    sections = section("bad", "echo bad >>log; false"), section("a", "echo a >>log", "bad"), section("b", "true", "a")
    with verifier(repository, *sections) as one:
        assert verify(one, "a", "b", "bad") == ["blocked", "blocked", "failed"]
    assert [word for word in log(repository) if word not in {"up", "down"}] == ["bad"]
    (record,) = repository.records("extra/b")
    assert (record.outcome, record.reason, record.blocks) == (Outcome.BLOCKED, "needs extra/bad, which failed", ())


def test_a_stack_that_died_between_procedures_is_replaced(repository: Repository) -> None:
    with verifier(repository, section("a", "true"), section("b", "true")) as one:
        verify(one, "a")
        (repository.root / "sick").touch()
        with pytest.raises(StackError, match="stack health failed"):
            verify(one, "b")
    assert log(repository) == ["up", "down", "up", "down"]


def test_a_need_for_another_environment_is_no_obstacle_and_leaves_no_record(repository: Repository) -> None:
    boxed = section("boxed", "false", more=" environment=box")
    with verifier(repository, boxed, section("a", "true", "boxed")) as one:
        assert verify(one, "a") == ["passed"]
    assert repository.records("extra/boxed") == ()


def test_evidence_that_cannot_be_kept_stops_everything_before_it_starts(repository: Repository) -> None:
    repository.write(".runbook-checks/evidence", "a file")
    with pytest.raises(StoreError, match="cannot be written"), verifier(repository, section("a", "true")):
        pass
    assert log(repository) == []


def test_a_procedure_whose_evidence_cannot_be_kept_is_not_run(repository: Repository) -> None:
    with verifier(repository, section("a", "echo a >>log"), section("b", "echo b >>log")) as one:
        path = one.store.path("local", "extra/b")
        path.mkdir(parents=True)
        with pytest.raises(StoreError, match=r"b\.jsonl: the evidence could not be written"):
            verify(one, "a", "b")
    assert log(repository) == ["up", "a", "down"]


def test_an_interrupt_is_one_when_its_record_cannot_be_kept_too(repository: Repository) -> None:
    """Nothing else runs after it, on the stack of what was interrupted least of all."""
    spoil = 'cd .runbook-checks/evidence/local/extra; rm a.jsonl; mkdir a.jsonl; kill -INT "$PPID"; sleep 20'
    with verifier(repository, section("a", spoil)) as one, pytest.raises(InterruptedRun) as interrupt:
        verify(one, "a")
    assert interrupt.value.record.outcome is Outcome.INTERRUPTED
    assert "interrupted, in step a-step-1; " in interrupt.value.record.reason
    assert "a.jsonl: the evidence could not be written" in interrupt.value.record.reason


@pytest.mark.parametrize(
    ("environment", "text", "said"),
    [
        ("bare", section("a", "true"), "nothing proves that bare may be changed"),
        ("bare", section("a", "true", role="setup"), "has a setup block"),
        ("box", section("a", "true", role="setup"), "has a setup block"),
        ("claimed", section("a", "true", role="setup"), "has a setup block"),
    ],
)
def test_what_changes_things_runs_only_where_that_is_safe(
    repository: Repository, environment: str, text: str, said: str
) -> None:
    with verifier(repository, text, environment=environment) as one, pytest.raises(UsageError, match=said):
        verify(one, "a")
    assert repository.records("extra/a", environment) == ()


def test_reading_needs_no_proof_and_a_block_for_elsewhere_is_no_reason_to_refuse(repository: Repository) -> None:
    elsewhere = "```bash {.setup environment=local}\ntrue\n```\n"
    with verifier(repository, section("a", "true", role="check") + elsewhere, environment="bare") as one:
        assert verify(one, "a") == ["passed"]


def test_an_environment_must_prove_what_it_claims_to_be(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLACE", "here")
    with verifier(repository, section("a", "echo a >>log"), environment="claimed") as one:
        assert verify(one, "a") == ["passed"]
    monkeypatch.setenv("PLACE", "elsewhere")
    with (
        verifier(repository, section("a", "echo a >>log"), environment="claimed") as one,
        pytest.raises(UsageError, match=r"nothing proves that this is claimed: .* printed 'I am \[redacted\]'"),
    ):
        verify(one, "a")
    assert log(repository) == ["a"]


def test_secrets_of_the_surrounding_environment_are_redacted(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER_TOKEN", "hunter2-hunter2")
    with verifier(repository, section("a", 'echo "$OUTER_TOKEN"')) as one:
        verify(one, "a")
    (record,) = repository.records("extra/a")
    assert record.blocks[0].stdout == "[redacted]\n"


def test_a_secret_that_is_too_short_to_be_redacted_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER_TOKEN", "abc")
    with verifier(repository, section("a", "true")) as one, pytest.raises(UsageError, match="a secret of 3 characters"):
        verify(one, "a")
    assert log(repository) == ["up", "down"]


def test_a_secret_that_is_no_variable_is_refused_since_its_name_may_be_mistyped(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OUTER_TOKEN")
    with verifier(repository, section("a", "true")) as one, pytest.raises(UsageError, match="secret OUTER_TOKEN is no"):
        verify(one, "a")


def test_a_daemon_of_a_procedure_does_not_outlive_the_run(repository: Repository) -> None:
    daemon = "setsid sh -c 'touch up; exec sleep 60' >/dev/null 2>&1 &\nuntil test -e up; do sleep 0.01; done"
    with verifier(repository, section("a", daemon), environment="box") as one:
        assert verify(one, "a") == ["passed"]
        assert repository.left()[0]
    assert repository.left() == ([], [])


def committed(repository: Repository) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=repository.root, check=True)


def judged(repository: Repository) -> dict[str, str]:
    config = load_config(repository.root / "runbook-checks.yml")
    entries = load_report(config, now=datetime.now(UTC)).entries
    return {entry.procedure.anchor: entry.status.value for entry in entries if entry.environment == "box"}


def test_a_file_that_a_procedure_changes_and_another_puts_back_makes_nobody_green(repository: Repository) -> None:
    repository.write("scripts/common", "V=1\n")
    sections = (
        section("one", "cat scripts/common >/dev/null; echo V=9 >scripts/common"),
        section("two", '. scripts/common; test "$V" = 9'),
        section("three", "git checkout -q scripts/common"),
    )
    one = verifier(repository, *sections, environment="box")
    committed(repository)
    with one:
        assert verify(one, "one", "two", "three") == ["passed"] * 3
    assert judged(repository) == {"one": "stale", "two": "stale", "three": "stale"}
    (changed,), (dirty,) = repository.records("extra/one", "box"), repository.records("extra/two", "box")
    assert (changed.digest, changed.dirty, dirty.dirty) == (CHANGED, False, True)
    assert changed.reason.startswith(
        "changed while it ran: something that docs/runbooks/extra.md depends on: file scripts/common; have git"
    )
    assert (changed.source, changed.parts) == ("", ())


def test_a_record_keeps_the_text_that_ran_and_a_short_hash_of_each_thing_that_it_depends_on(
    repository: Repository,
) -> None:
    repository.write("scripts/common", "true\n")
    sections = section("base", "true"), section("one", "  . scripts/common; ls log", "base") + "```bash\nno run\n```\n"
    with verifier(repository, *sections) as one:
        verify(one, "one")
        covered = one.covered(one.catalog.get("extra/one"))
    (record,) = repository.records("extra/one", "local")
    assert record.source == (
        "```yaml {.procedure}\nneeds: [base]\n```\n\n"
        "```bash {.step}\n  . scripts/common; ls log\n```\n\n```bash {.check}\ntrue\n```\n"
    )
    names = [name for name, _ in record.parts]
    assert {"card", "block one-step-1", "file scripts/common", "needs extra/base", "environment stack"} <= {*names}
    assert names == [name for name in covered if name != "stack log"]
    assert "file log" in names, "what blocks and the stack name is kept once"
    assert all(covered[name].startswith(short) and len(short) == 12 for name, short in record.parts)


def test_what_never_ran_keeps_no_text(repository: Repository) -> None:
    with verifier(repository, section("bad", "false"), section("one", "true", "bad")) as one:
        assert verify(one, "one") == ["blocked"]
    (blocked,), (failed,) = repository.records("extra/one", "local"), repository.records("extra/bad", "local")
    assert (blocked.source, blocked.parts) == ("", ())
    assert failed.source
    assert failed.parts


def test_what_could_not_fail_in_an_environment_is_not_green_there(repository: Repository) -> None:
    text = "## one {#one}\n```bash {.step}\necho hi >>log\n```\n```bash {.check environment=local}\nfalse\n```\n"
    with verifier(repository, text, section("two", "true", "one"), environment="box") as one:
        assert verify(one, "two") == ["passed"]
    assert log(repository) == ["hi"]  # who needs it needs its steps
    assert judged(repository) == {"two": "verified"}


@pytest.mark.parametrize(
    "hide",
    [
        ["config", "status.showUntrackedFiles", "no"],
        ["update-index", "--assume-unchanged", "docs/runbooks/extra.md"],
        ["update-index", "--skip-worktree", "docs/runbooks/extra.md"],
    ],
)
def test_a_tree_is_dirty_whatever_git_was_told_to_overlook(repository: Repository, hide: list[str]) -> None:
    one = verifier(repository, section("a", "true", role="check"), environment="bare")
    committed(repository)
    subprocess.run(["git", *hide], cwd=repository.root, check=True)
    repository.write("new" if hide[0] == "config" else "docs/runbooks/extra.md", "edited")
    with one:
        verify(one, "a")
    assert [record.dirty for record in repository.records("extra/a", "bare")] == [True]


def test_the_tree_is_dirty_when_it_differs_from_its_commit_and_our_own_files_do_not_count(
    repository: Repository,
) -> None:
    sections = section("a", "true", role="check")

    def run() -> None:
        with verifier(repository, sections, environment="bare") as one:
            verify(one, "a")

    run()
    committed(repository)
    run()
    repository.write("new", "")
    run()
    records = repository.records("extra/a", "bare")
    assert [record.dirty for record in records] == [True, False, True]
    assert [len(record.commit) for record in records] == [0, 40, 40]


def test_the_file_that_is_going_to_keep_the_evidence_makes_no_tree_dirty(repository: Repository) -> None:
    repository.only(section("a", "true", role="check"))
    repository.write("runbook-checks.yml", f"pages: [docs/runbooks]\nevidence: kept{STACK}")
    config = load_config(repository.root / "runbook-checks.yml")
    committed(repository)
    with Verifier(config, load_catalog(config), config.environment("bare"), "run-1-main") as one:
        verify(one, "a")
    assert [record.dirty for record in one.store.read("bare", "extra/a")] == [False]


def test_a_procedure_runs_as_it_was_collected_when_its_page_changes_before_its_turn(repository: Repository) -> None:
    repository.only(
        section("first", "sed -i 's/echo as collected/echo as changed/' docs/runbooks/extra.md", role="check"),
        section("second", "echo as collected", role="check"),
    )
    repository.write("runbook-checks.yml", f"pages: [docs/runbooks]{STACK}")
    repository.run("verify", "--environment", "bare", "--workers", "0", "extra/first", "extra/second")
    (record,) = repository.records("extra/second", "bare")
    assert record.blocks[0].stdout == "as collected\n"
    assert "echo as collected\n" in record.source
    entries = load_report(load_config(repository.root / "runbook-checks.yml"), now=datetime.now(UTC)).entries
    (now,) = (one for one in entries if (one.procedure.id, one.environment) == ("extra/second", "bare"))
    assert now.status is Status.STALE
