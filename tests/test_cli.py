"""The command line end to end, on the real stack of a sample repository."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from repository import DEADLINE_S, OKAY, Repository, document, outcomes

FAILS = """
## Fails { #fails }
```bash {.step}
echo one
false
```
```bash {.check}
true
```
"""
NEEDY = """
## Needy { #needy }
```yaml {.procedure}
needs: [fails]
```
```bash {.check}
true
```
"""


def test_all_pass_on_a_stack_that_leaves_nothing_and_edits_turn_the_status_stale(repository: Repository) -> None:
    done = repository.run("verify", "--json", "--junitxml", "junit.xml", PYTEST_DISABLE_PLUGIN_AUTOLOAD="")
    assert (done.returncode, outcomes(done)) == (0, {"site/publish": "passed", "site/look": "passed"})
    assert repository.left() == ([], [])
    publish = repository.records("site/publish")[0]
    assert [service.name for service in publish.services] == ["web"]
    assert [(figure.name, figure.value) for figure in publish.figures][1] == ("bytes", 6.0)
    assert repository.records("site/boxed") == ()

    everything = done.stdout + done.stderr + (repository.root / "junit.xml").read_text()
    everything += "".join(path.read_text() for path in repository.root.glob(".runbook-checks/evidence/**/*.jsonl"))
    assert "[redacted]" in everything
    assert "s3cr3t" not in everything

    def statuses() -> list[str]:
        found = document(repository.run("status", "--json", "--environment", "local"))
        return [entry["status"] for entry in found["procedures"]]

    assert statuses() == ["verified", "verified"]
    repository.replace("docs/runbooks/site.md", "Prose that nobody runs.", "Other words.")
    assert statuses() == ["verified", "verified"]
    for name, old, new in (
        ("docs/runbooks/site.md", 'rm "$SITE', 'rm -f "$SITE'),
        ("scripts/publish.sh", "set -eu", "set -e -u"),
        ("scripts/stack", "web 1.0", "web 2.0"),
    ):
        repository.replace(name, old, new)
        assert statuses() == ["stale", "stale"]
        repository.replace(name, new, old)
        assert statuses() == ["verified", "verified"]


def test_a_failure_exits_1_and_says_where_and_blocks_what_needs_it(repository: Repository) -> None:
    repository.only(OKAY, FAILS, NEEDY)
    done = repository.run("verify", "--json", "--junitxml", "junit.xml")
    assert done.returncode == 1
    assert outcomes(done) == {"extra/okay": "passed", "extra/fails": "failed", "extra/needy": "blocked"}
    line = repository.line("docs/runbooks/extra.md", "false")
    assert f"docs/runbooks/extra.md:{line}: step fails-step-1 exited with 1, expected 0" in done.stderr
    assert "needs extra/fails, which failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert repository.left() == ([], [])
    assert len(repository.records("extra/fails")) == 1

    cases = ET.parse(repository.root / "junit.xml").findall(".//testcase")
    failures = {case.get("name"): case.find("failure") for case in cases}
    assert set(failures) == {"okay", "fails", "needy"}
    assert failures["okay"] is None
    assert failures["fails"] is not None
    assert "exited with 1, expected 0" in str(failures["fails"].text)
    assert "properties" not in (repository.root / "junit.xml").read_text()  # records are for the evidence

    again = repository.run("verify", "--json", "--lf", "-x")
    assert (again.returncode, outcomes(again)) == (1, {"extra/fails": "failed"})
    assert outcomes(repository.run("verify", "--json", "-k", "okay")) == {"extra/okay": "passed"}
    assert repository.run("status").returncode == 1
    assert repository.run("status", "-m", "not destructive", "--environment", "local", "okay").returncode == 0


def test_every_source_error_is_told_at_once_and_nothing_starts(repository: Repository) -> None:
    repository.only(OKAY, "## Odd { #odd }\n```bash {.stepp}\ntrue\n```\n")
    repository.write("docs/runbooks/torn.md", "---\nrunbook: {owner: [\n---\n")
    (repository.root / "docs/runbooks/latin.md").write_bytes(b"---\nrunbook: {}\n---\n## \xe9\n")
    done = repository.run("verify", "--json")
    assert done.returncode == 2
    found = {(one["path"], one["line"]) for one in document(done)["errors"]}
    line = repository.line("docs/runbooks/extra.md", "stepp")
    assert found >= {("docs/runbooks/extra.md", line), ("docs/runbooks/latin.md", 4)}
    assert any(path == "docs/runbooks/torn.md" for path, _ in found)
    assert all(f"{path}:{line}: " in done.stderr for path, line in found)
    assert not (repository.root / ".runbook-checks/stack").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "nope"], "`nope` selects no procedure"),
        (["verify", "-k", "nope"], "nothing was selected"),
        (["verify", "-n", "2", "-k", "nope"], "nothing was selected"),
        (["verify", "-m", "("], "Wrong expression"),
        (["verify", "boxed"], "nothing of what `boxed` selects could fail in environment local"),
        (["verify", "look", "boxed"], "nothing of what `boxed` selects could fail in environment local"),
        (["mutate", "look", "boxed"], "nothing of what `boxed` selects could fail in environment local"),
        (["verify", "-k", "boxed"], "nothing was verified"),
        (["drill", "look"], "`look` selects no procedure to drill"),
        (["verify", "--environment", "nope"], "there is no environment 'nope'"),
        (["verify", "--environment", "production"], "environment production is protected"),
        (["verify", "--environment", "box"], "has a setup block, and environment box has no stack of our own"),
        (["verify", "look", "--environment", "bare"], "no stack of our own"),
        (["status", "-m", "step and nope"], "nothing was selected"),
        (["status", "-m", "("], "cannot be read"),
        (["status", "--environment", "nope"], "there is no environment 'nope'"),
        (["list", "nope"], "`nope` selects no procedure"),
    ],
)
def test_what_cannot_be_done_as_asked_exits_2_before_anything_starts(
    repository: Repository, arguments: list[str], said: str
) -> None:
    done = repository.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((repository.root / ".runbook-checks").glob("evidence/*/*"))


def test_a_configuration_that_is_wrong_exits_2_with_its_lines(repository: Repository) -> None:
    repository.write("runbook-checks.yml", "pages: [gone]\nenviroments: {}\n")
    done = repository.run("list", "--json")
    assert done.returncode == 2
    assert "runbook-checks.yml:2: unknown key `enviroments` in the configuration; did you mean" in done.stderr
    assert [one["line"] for one in document(done)["errors"]][-1] == 2
    box = "environments: {box: {disposable: true}}\n"
    repository.write("runbook-checks.yml", f"pages: [gone]\n{box}")
    assert "`pages` names gone" in repository.run("verify").stderr
    repository.write("runbook-checks.yml", f"pages: [docs]\nevidence: docs/runbooks/site.md\n{box}")
    repository.only(OKAY)
    repository.write("docs/runbooks/site.md", "plain")
    done = repository.run("verify", "--json")
    assert (done.returncode, outcomes(done)) == (2, {})
    assert "evidence cannot be written there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_stack_that_does_not_come_up_exits_3_with_its_last_lines(repository: Repository, workers: str) -> None:
    done = repository.run("verify", "--json", "-n", workers, REFUSE_UP="1", SERVICE_TOKEN="outer-secret")
    assert (done.returncode, outcomes(done)) == (3, {})
    assert "stack up failed: `scripts/stack up` exited with 4\nno room for a stack, says [redacted]" in done.stderr
    assert "Traceback" not in done.stderr
    assert repository.left() == ([], [])


def test_an_end_report_that_cannot_be_written_leaves_nothing(repository: Repository) -> None:
    repository.only(OKAY)
    done = repository.run("verify", "--junitxml", "/dev/null/x.xml")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert repository.left() == ([], [])


def test_a_stack_that_stays_up_exits_3_and_the_results_are_told(repository: Repository) -> None:
    repository.replace("scripts/stack", "  down) ", "  down) echo stuck; exit 5 ;;\n  never) ")
    done = repository.run("verify", "publish", "--json", "-n", "2")
    assert (done.returncode, outcomes(done)) == (3, {"site/publish": "passed"})
    assert "stack down failed: `scripts/stack down` exited with 5\nstuck" in done.stderr
    assert repository.left()[0] == []


def test_two_workers_have_two_stacks(repository: Repository) -> None:
    both = "".join(
        f"""
## Meet {mine} {{ #meet-{mine} }}
```bash {{.step}}
touch {mine}.here; echo "$SITE" >{mine}.site
for i in $(seq 500); do if [ -e {other}.here ]; then exit 0; fi; sleep 0.02; done; exit 1
```
```bash {{.check}}
true
```
"""
        for mine, other in (("a", "b"), ("b", "a"))
    )
    repository.only(both)
    done = repository.run("verify", "-n", "2")
    assert done.returncode == 0, done.stderr
    assert (repository.root / "a.site").read_text() != (repository.root / "b.site").read_text()
    first, other = repository.records("extra/meet-a"), repository.records("extra/meet-b")
    assert first[0].run == other[0].run  # one verify is one run
    assert repository.left() == ([], [])


def test_on_a_terminal_progress_is_live_and_standard_output_stays_clean(repository: Repository) -> None:
    repository.only(OKAY)
    ours, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "runbook_checks", "verify", "--json"],
        cwd=repository.root,
        env={**os.environ, "TERM": "xterm"},
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    ) as run:
        os.close(terminal)
        shown = b""
        with contextlib.suppress(OSError):  # nobody is left who could write to it
            while part := os.read(ours, 4096):
                shown += part
        os.close(ours)
        stdout, _ = run.communicate(timeout=DEADLINE_S)
    assert run.returncode == 0, shown
    assert b"1 of 1 done" in shown
    assert [record["outcome"] for record in json.loads(stdout)["records"]] == ["passed"]


def test_the_stack_by_hand(repository: Repository) -> None:
    assert repository.run("stack", "status").returncode == 3
    up = repository.run("stack", "up")
    assert (up.returncode, repository.run("stack", "up").returncode) == (0, 0)
    try:
        assert repository.run("stack", "status").stdout == "web 1.0\n"
        lines = repository.run("stack", "env").stdout.splitlines()
        assert lines[0].startswith("export SITE=")
    finally:
        assert repository.run("stack", "down").returncode == 0
    assert repository.left() == ([], [])
    refused = repository.run("stack", "up", REFUSE_UP="1")
    assert refused.returncode == 3
    assert refused.stderr.count("no room for a stack") == 1
    assert repository.run("stack", "up", "--environment", "box").returncode == 3


def test_list_prints_one_document_with_every_block(repository: Repository) -> None:
    (first, *_) = document(repository.run("list", "--json"))["procedures"]
    assert first["id"] == "site/publish"
    assert [block["role"] for block in first["blocks"]] == ["setup", "step", "check", "check", "cleanup"]
    assert "site/look" in repository.run("list", PYTHONIOENCODING="ascii").stdout


def test_the_version_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "runbook_checks", "--version"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not loaded & {"pytest", "rich", "yaml", "mkdocs", "markdown", "psutil", "urllib3", "runbook_checks.model"}
    assert done.stdout.startswith("runbook-checks ")


@pytest.mark.parametrize("arguments", [["list", "--json"], ["list"], ["status", "--json"]])
def test_a_full_disk_is_no_traceback(repository: Repository, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "runbook_checks", *arguments],
            cwd=repository.root,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (2, "[Errno 28] No space left on device\n")


def test_a_broken_pipe_is_no_traceback(repository: Repository) -> None:
    command = f"{sys.executable} -m runbook_checks list --json | true"
    done = subprocess.run(["/bin/sh", "-c", command], cwd=repository.root, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_entry_point_is_installed() -> None:
    assert (Path(sys.executable).parent / "runbook-checks").exists()


def test_what_changes_while_it_runs_is_not_verified(repository: Repository) -> None:
    repository.only(
        "## Shifty { #shifty }\n\n```bash {.step}\necho >> scripts/stack\n```\n\n```bash {.check}\ntrue\n```\n"
    )
    done = repository.run("verify", "shifty")
    assert done.returncode == 1
    assert "changed while it ran" in done.stderr
    assert "stale" in repository.run("status", "shifty").stdout
