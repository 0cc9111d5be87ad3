"""Load on a real stack, and what is said of it afterwards: figures that runbooks promise must be able to be bad."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack.running_stack import Stack

MEASURE = "k6 run --quiet --address '' deployment/load/measure.js"
USAGE = "deployment/scripts/usage.sh"


def result(stack: Stack, run: str) -> str:
    return stack.shell(f'psql -XAt -v run={run} -f deployment/load/result.sql "$DATABASE_URL"').stdout


def run_of(printed: str) -> str:
    return printed.removeprefix("run ").partition(":")[0]


def test_a_run_is_found_again_in_the_database(stack: Stack) -> None:
    done = stack.shell(MEASURE, SHAPE="burst", COUNT="10", READS="2")
    assert re.match(r"run burst-\w+: 10 executions, 0 failed \(0\.000 %\), 0 not sent, ", done.stdout), done.stderr
    assert "\nreads: 20, 0 failed, p99 " in done.stdout
    assert result(stack, run_of(done.stdout)).startswith("10 of 10 completed in ")


def test_executions_that_are_refused_have_failed(stack: Stack) -> None:
    done = stack.shell(MEASURE, SHAPE="burst", COUNT="4", PIPELINE="unknown")
    assert ": 4 executions, 4 failed (100.000 %), " in done.stdout
    assert "execution: 404" in done.stderr
    assert result(stack, run_of(done.stdout)) == "0 of 0 completed in - s, - a second, at most 0 at once\n"


def test_executions_that_were_only_taken_are_not_completed_yet(stack: Stack) -> None:
    done = stack.shell(MEASURE, SHAPE="burst", COUNT="4", PIPELINE="slow", SECONDS="8", WAIT_S="0")
    assert ": 4 executions, 0 failed " in done.stdout
    assert result(stack, run_of(done.stdout)) == "0 of 4 completed in - s, - a second, at most 4 at once\n"


def test_an_unknown_shape_is_refused(stack: Stack) -> None:
    done = stack.shell(MEASURE, SHAPE="square")
    assert done.returncode != 0
    assert "expected one of: burst, steady, flood" in done.stdout + done.stderr


def test_usage_tells_what_a_load_has_cost(stack: Stack) -> None:
    before = stack.shell(USAGE).stdout
    assert stack.shell(MEASURE, SHAPE="burst", COUNT="10").returncode == 0
    done = stack.shell(f'{USAGE} --since "$BEFORE"', BEFORE=before)
    assert done.returncode == 0, done.stderr
    replicas = re.findall(r"service-[ab]: (\d+) executions", done.stdout)
    assert sum(map(int, replicas)) >= 10
    assert re.search(r"^2 replicas, each execution: \d+\.\d CPU ms, ", done.stdout, re.MULTILINE)
    assert "\ndatabase connections: 0 waited in vain\n" in done.stdout


def test_usage_compares_nothing_across_a_restart(stack: Stack) -> None:
    before = stack.shell(USAGE).stdout
    assert stack.shell("deployment/scripts/restart.sh a").returncode == 0
    done = stack.shell(f'{USAGE} --since "$BEFORE"', BEFORE=before)
    assert done.returncode == 1
    assert "service-a: has been restarted since; nothing can be compared" in done.stderr


def test_usage_compares_only_the_same_replicas(stack: Stack) -> None:
    before = stack.shell(USAGE).stdout.replace("service-a", "service-c")
    done = stack.shell(f'{USAGE} --since "$BEFORE"', BEFORE=before)
    assert done.returncode == 1
    assert "service-a: was not there before" in done.stderr


def test_usage_explains_itself_and_says_what_it_lacks(stack: Stack) -> None:
    assert stack.shell(f"{USAGE} --help").stdout.startswith(f"Usage: {USAGE}")
    bare = stack.shell(f"env -i PATH=/usr/bin:/bin {USAGE}")
    assert bare.returncode == 2
    assert "is not set; take it from" in bare.stderr


def test_the_capacity_keeps_headroom_and_two_replicas(stack: Stack) -> None:
    def needed(target: int) -> str:
        return stack.shell(
            f"psql -XAt -v target={target} -v per_second=40 -v replicas=2 -v cpu_ms=10 -v kb=6 -v pool=10"
            ' -f deployment/load/capacity.sql "$DATABASE_URL"'
        ).stdout

    assert needed(50) == (
        "each replica: 20.0 executions a second\n"
        "for 50 a second with 30 % headroom: 4 replicas, 0.71 cores for them, 44 of 97 connections, 25.9 GB a day\n"
    )
    assert "headroom: 2 replicas" in needed(1)
