"""The command line of evidence end to end: keys, signatures by verify and by hand, and what check says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from repository import document
from signatures import rewrite

from runbook_checks.keys import VARIABLE, secret_of
from runbook_checks.record import to_line
from runbook_checks.status import Status, judge

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from repository import Repository

SPYING = """
## Spy { #spy }
```bash {.step}
env | grep -c SIGNING_KEY || true
cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -ac "BEGIN PRIVATE[ ]KEY" || true
cat key
```
```bash {.check}
true
```
"""
CONFIG = """
pages: [docs/runbooks]
trusted_keys: [key.pub]
environments:
  local:
    secrets: []
    stack:
      up: echo up "$RUNBOOK_CHECKS_SIGNING_KEY" >>.runbook-checks/log
      down: echo down "$RUNBOOK_CHECKS_SIGNING_KEY" >>.runbook-checks/log
  box: {disposable: true}
"""


@pytest.fixture
def keyed(repository: Repository) -> Repository:
    """A repository of one procedure that has a key, trusts it, and looks for it."""
    repository.only(SPYING)
    repository.write("runbook-checks.yml", CONFIG)
    assert repository.run("evidence", "keygen", "key").returncode == 0
    return repository


def pem(repository: Repository) -> str:
    return (repository.root / "key").read_text()


def records(repository: Repository) -> Path:
    return repository.root / ".runbook-checks/evidence/local/extra/spy.jsonl"


def worths(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [one["worth"] for one in document(done)["records"]]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_verify_signs_what_it_ran_and_no_block_finds_the_key(keyed: Repository, workers: str) -> None:
    """Not in its environment, not in that of any process; and what it finds elsewhere is redacted."""
    done = keyed.run("verify", "--environment", "local", "-n", workers, **{VARIABLE: pem(keyed)})
    assert done.returncode == 0, done.stderr
    (record,) = keyed.records("extra/spy")
    lines = record.blocks[0].stdout.splitlines()
    assert lines[:2] == ["0", "0"]
    assert secret_of(pem(keyed)) not in records(keyed).read_text()
    assert "[redacted]" in record.blocks[0].stdout
    assert (keyed.root / ".runbook-checks/log").read_text().split() == ["up", "down"]
    assert worths(keyed.run("evidence", "check", "--json")) == ["signed"]
    assert keyed.run("evidence", "check").returncode == 0


def test_a_failure_that_a_clock_put_back_would_hide_is_kept_as_one_that_it_cannot(keyed: Repository) -> None:
    """The pass before it is dated an hour from now, as it is when the clock is put back by an hour after it."""
    assert keyed.run("verify", **{VARIABLE: pem(keyed)}).returncode == 0
    (passed,) = keyed.records("extra/spy")
    later = datetime.now(UTC) + timedelta(hours=1)
    records(keyed).write_text(to_line(replace(passed, ended_at=later.isoformat())))
    keyed.replace("docs/runbooks/extra.md", "true", "false")
    assert keyed.run("verify", **{VARIABLE: pem(keyed)}).returncode == 1
    _, failed = keyed.records("extra/spy")
    assert datetime.fromisoformat(failed.ended_at) < later < datetime.fromisoformat(failed.no_earlier_than)
    assert worths(keyed.run("evidence", "check", "--json"))[0] == "signed"  # by date; the other one was edited just now
    judgement = judge(keyed.records("extra/spy"), digest="", verify_every_s=1e6, now=later + timedelta(hours=1))
    assert judgement.status is Status.FAILED


def test_a_path_in_the_variable_signs_too(keyed: Repository) -> None:
    assert keyed.run("verify", **{VARIABLE: str(keyed.root / "key")}).returncode == 0
    assert worths(keyed.run("evidence", "check", "--json")) == ["signed"]


def test_plain_pytest_signs_too(keyed: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, pem(keyed))
    assert keyed.pytest("docs/runbooks", autoload=True).returncode == 0
    monkeypatch.delenv(VARIABLE)
    assert worths(keyed.run("evidence", "check", "--json")) == ["signed"]


def test_a_procedure_whose_worker_died_leaves_a_signed_record(keyed: Repository) -> None:
    keyed.replace("docs/runbooks/extra.md", "cat key", 'kill -9 "$PPID"')
    assert keyed.run("verify", "-n", "1", **{VARIABLE: pem(keyed)}).returncode == 1
    assert worths(keyed.run("evidence", "check", "--json")) == ["signed"]


@pytest.mark.parametrize("value", ["no/such/file", "-----BEGIN nonsense"])
def test_verify_with_a_bad_key_runs_nothing(keyed: Repository, value: str) -> None:
    done = keyed.run("verify", **{VARIABLE: value})
    assert done.returncode == 2
    assert "private key in PEM" in done.stderr
    assert value not in done.stderr
    assert not (keyed.root / ".runbook-checks/log").exists()


def test_signing_by_hand_is_idempotent_and_says_how_many(keyed: Repository) -> None:
    assert keyed.run("verify").returncode == 0
    assert keyed.run("status", "--environment", "local").returncode == 1
    unsigned = keyed.run("evidence", "check")
    assert (unsigned.returncode, "its pass is not signed by a trusted key" in unsigned.stdout) == (1, True)
    assert keyed.run("evidence", "sign", "--key", "key", "--environment", "box").stdout.startswith("0 records signed")
    first, second = (keyed.run("evidence", "sign", "spy", "--key", "key") for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout.startswith("1 records signed")
    assert "1 were signed already" in second.stdout
    assert second.stdout.startswith("0 records signed")
    assert keyed.run("evidence", "check").returncode == 0
    assert keyed.run("status", "--environment", "local").returncode == 0


def test_a_changed_record_is_named_by_every_command_and_never_signed(keyed: Repository) -> None:
    keyed.run("verify", **{VARIABLE: pem(keyed)})
    rewrite(records(keyed), '"attempts":1', '"attempts":2')
    told = f"{records(keyed)}:1: the record was changed after it was signed"
    check, as_json = keyed.run("evidence", "check"), keyed.run("evidence", "check", "--json")
    assert (check.returncode, as_json.returncode, worths(as_json)) == (1, 1, ["refused"])
    status = keyed.run("status", "--json", "--environment", "local")
    assert document(status)["procedures"][0]["status"] == "unverified"
    sign = keyed.run("evidence", "sign", **{VARIABLE: pem(keyed)})
    assert (sign.returncode, sign.stdout.split()[0]) == (1, "0")
    for done in (check, as_json, status, sign):
        assert told in done.stderr


def test_a_strangers_key_signs_and_says_that_nobody_believes_it(keyed: Repository) -> None:
    keyed.run("verify")
    keyed.run("evidence", "keygen", "own")
    done = keyed.run("evidence", "sign", "--key", "own")
    assert (done.returncode, "none of `trusted_keys`" in done.stderr) == (0, True)
    check = keyed.run("evidence", "check")
    assert (check.returncode, "signed by an unknown key" in check.stdout) == (1, True)


def test_without_trusted_keys_unsigned_records_are_as_they_should_be(keyed: Repository) -> None:
    keyed.replace("runbook-checks.yml", "trusted_keys: [key.pub]\n", "")
    assert "no evidence yet" in keyed.run("evidence", "check").stdout
    keyed.run("verify")
    check = keyed.run("evidence", "check", "--json")
    assert (check.returncode, worths(check)) == (0, ["unsigned"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("sign",), "there is no key to sign with"),
        (("sign", "--key", "nowhere"), "nowhere: cannot be read"),
        (("sign", "--key", "key.pub"), "no private key in PEM"),
        (("keygen", "key"), "is there already"),
        (("check", "nonsense"), "nonsense"),
        (("check", "--environment", "nonsense"), "there is no environment 'nonsense'"),
    ],
)
def test_what_cannot_be_done_is_usage(keyed: Repository, arguments: tuple[str, ...], told: str) -> None:
    done = keyed.run("evidence", *arguments)
    assert (done.returncode, told in done.stderr) == (2, True)


@pytest.mark.parametrize("command", [("status",), ("evidence", "check")])
def test_a_trusted_key_that_is_not_there_stops_everything_that_judges(
    keyed: Repository, command: tuple[str, ...]
) -> None:
    (keyed.root / "key.pub").unlink()
    done = keyed.run(*command)
    assert (done.returncode, done.stderr) == (2, "key.pub:1: cannot be read: No such file or directory\n")
