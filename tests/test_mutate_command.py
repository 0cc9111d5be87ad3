"""The command for the proof of need: what it tries of what it is asked, and what is left when it cannot go on."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from proving import IDLE, PAGE, good, proofs
from repository import document, wait_for

if TYPE_CHECKING:
    from repository import Repository

SLOW = """
## Slow { #slow }
```bash {.step}
echo begun >>slow.log
test ! -e hold || sleep 60
```
```bash {.check}
test -e slow.log
```
"""


def committed(repository: Repository) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=repository.root, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "nobody"),
        (["--environment", "box"], "environment box has no stack of our own"),
        (["--environment", "production"], "environment production has no stack of our own"),
        (["-n", "100000"], "--workers 100000: write a number from 0 to 99, or `auto`"),
        (["-n", "many"], "--workers many: write a number from 0 to 99, or `auto`"),
        (["--within", "soon"], "--within soon: "),
        (["--changed", "nothing"], "--changed nothing: git cannot say what it has"),
    ],
)
def test_what_cannot_be_done_as_asked_exits_2_before_anything_starts(
    repository: Repository, arguments: list[str], said: str
) -> None:
    repository.only(good())
    done = repository.run("mutate", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (repository.root / ".runbook-checks").exists()


def test_a_stack_that_does_not_come_up_exits_3(repository: Repository) -> None:
    repository.only(good())
    done = repository.run("mutate", REFUSE_UP="1")
    assert done.returncode == 3
    assert "no room for a stack" in done.stderr
    assert proofs(repository) == []


def test_only_what_a_commit_has_differently_is_tried(repository: Repository) -> None:
    repository.only(good("one"), good("two"))
    committed(repository)
    assert "nothing to try" in repository.run("mutate", "--changed", "HEAD").stderr
    repository.replace(PAGE, 'touch "$SITE/two"', 'touch -- "$SITE/two"')
    done = repository.run("mutate", "--changed", "HEAD", "--json")
    assert [one["procedure"] for one in document(done)["proofs"]] == ["extra/two"]
    marked = repository.run("mutate", "--changed", "HEAD", "-m", "not step")
    assert (marked.returncode, marked.stderr[:14]) == (0, "nothing to try"), "what has changed has other marks"


def test_a_commit_is_only_read_whatever_it_is_called_and_whatever_links_it_has(repository: Repository) -> None:
    repository.only(good("one"))
    (repository.root / "hosts").symlink_to("/etc/hosts")
    (repository.root / "outside").symlink_to("../../elsewhere")
    committed(repository)
    done = repository.run("mutate", "--changed", "HEAD")
    assert (done.returncode, done.stderr[:14]) == (0, "nothing to try"), done.stderr
    (repository.root / "written:").mkdir()
    done = repository.run("mutate", "--changed=--output=written")
    assert done.returncode == 2
    assert "--changed --output=written: git cannot say what it has: fatal: Needed a single revision" in done.stderr
    done = repository.run("mutate", "--changed", "")
    assert (done.returncode, "--changed: name a commit" in done.stderr) == (2, True), "an unset variable is no request"


def test_what_there_is_no_time_for_is_named_and_not_kept(repository: Repository) -> None:
    repository.only(good("one"), good("two"))
    done = repository.run("mutate", "--within", "1ms", "--json")
    assert done.returncode == 0
    assert document(done)["not_tried"] == ["extra/one", "extra/two"]
    assert "not tried, the time was over: extra/two" in done.stderr
    assert proofs(repository, "extra/one") == []


def test_workers_share_the_procedures(repository: Repository) -> None:
    repository.only(good("one"), good("two") + IDLE)
    done = repository.run("mutate", "-n", "2", "--json")
    assert done.returncode == 1
    assert sorted(one["procedure"] for one in document(done)["proofs"]) == ["extra/one", "extra/two"]
    assert "step idle: left out, and nothing noticed" in done.stderr
    assert repository.left() == ([], [])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupt_keeps_nothing_and_leaves_nothing(
    repository: Repository, how: signal.Signals, workers: str
) -> None:
    repository.only(good("one"), SLOW)
    repository.write("hold", "")
    process = repository.start("mutate", "--json", "-n", workers, "slow")
    wait_for((repository.root / "slow.log").exists)
    process.send_signal(how)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + how, err
    assert json.loads(out)["proofs"] == []
    assert proofs(repository, "extra/slow") == []
    assert repository.records("extra/slow") == ()
    assert repository.left() == ([], [])


def test_a_crashed_worker_is_a_failure_and_says_nothing_about_the_procedure(repository: Repository) -> None:
    crash = "## Bad { #bad }\n```bash {.step}\nkill -9 $PPID\n```\n```bash {.check}\ntrue\n```\n"
    repository.only(good("one"), crash)
    done = repository.run("mutate", "-n", "2")
    assert done.returncode == 1
    assert "worker crashed: the process that ran the procedure died" in done.stderr
    assert (proofs(repository, "extra/bad"), repository.records("extra/bad")) == ([], ())
    assert len(proofs(repository, "extra/one")) == 1
    wait_for(lambda: repository.left() == ([], []))  # the crashed worker's guardian may be the last to go


def test_a_killed_run_is_ended_by_the_guardian_and_swept_by_the_next(repository: Repository) -> None:
    repository.only(SLOW, good())
    repository.write("hold", "")
    process = repository.start("mutate", "slow")
    wait_for((repository.root / "slow.log").exists)
    repository.kill(process)
    done = repository.run("mutate", "good")
    assert done.returncode == 0
    assert "which a killed run had left behind" in done.stderr
    assert proofs(repository, "extra/slow") == []
    assert repository.left() == ([], [])
