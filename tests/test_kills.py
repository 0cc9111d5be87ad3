"""A run that is killed at random moments loses no evidence, leaves no process, and is in nobody's way."""

from __future__ import annotations

import random
import runpy
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from records import record

from runbook_checks.record import to_line

KILLS = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "bench" / "kills.py"))
ROUNDS = 50


def test_nothing_is_lost_and_nothing_stays() -> None:
    seed = random.randrange(1_000_000)  # printed, should it fail
    found = KILLS["kill"](ROUNDS, seed)
    assert [what for one in found.values() for what in one.wrong] == [], f"seed {seed}"
    assert {kind: one.rounds for kind, one in found.items()} == dict.fromkeys(
        KILLS["VICTIMS"], ROUNDS // len(KILLS["VICTIMS"])
    )
    outcomes = {kind: set(one.outcomes) for kind, one in found.items()}
    assert outcomes["runner"] <= {"passed"}  # what was running then has no record at all
    assert all("failed" in outcomes[kind] for kind in ("worker", "workers", "session", "supervisor")), outcomes
    assert "passed" in outcomes["worker"]


GOOD = KILLS["Seen"](
    kind="runner",
    code=-9,
    said="passed      kill/p1  0.2 s\n",
    records=[record(procedure="kill/p1")],
    has_run={"kill/p1": 4, "kill/p2": 3},
    processes=[],
    gone_s=4.9,
    followed=0,
    stacks=[],
)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({}, ""),
        ({"kind": "worker"}, "ended with -9"),
        ({"code": 1}, "ended with 1"),
        ({"said": "Traceback (most recent call last):\n"}, "a traceback"),
        ({"said": "failed      kill/p1  0.2 s\n"}, "reported and not kept"),
        ({"records": []}, "reported and not kept"),
        ({"records": [*GOOD.records, record(procedure="kill/p2")]}, "passed and not run"),
        ({"has_run": {}}, "passed and not run"),
        ({"processes": ["7 bash"]}, "alive after 4.9 s: ['7 bash']"),
        ({"gone_s": 5.1}, "alive after 5.1 s: []"),
        ({"followed": 2}, "the next command ended with 2"),
        ({"stacks": ["local-run-7"]}, "left: ['local-run-7']"),
    ],
)
def test_what_is_wrong_is_seen(harm: dict[str, Any], said: str) -> None:
    assert replace(GOOD, **harm).wrong() == [said] * bool(said)


def test_what_a_round_leaves_alive_is_seen(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], env={KILLS["MARK"]: str(tmp_path)}) as process:
        try:
            assert KILLS["left"](tmp_path) == [f"{process.pid} sleep"]
            assert KILLS["left"](tmp_path.parent) == []
        finally:
            process.kill()
    assert KILLS["left"](tmp_path) == []


def test_a_torn_record_is_seen(tmp_path: Path) -> None:
    path = tmp_path / ".runbook-checks/evidence/local/kill/p0.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(to_line(record(procedure="kill/p0")))
    assert len(list(KILLS["kept"](tmp_path))) == 1
    path.write_text(to_line(record(procedure="kill/p0")) + to_line(record(procedure="kill/p0"))[:-9])
    with pytest.raises(ValueError, match="middle of a line"):
        list(KILLS["kept"](tmp_path))
