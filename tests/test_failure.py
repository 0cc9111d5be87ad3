"""What a stranger reads about a failure."""

from __future__ import annotations

from dataclasses import replace

from records import record

from runbook_checks.failure import describe
from runbook_checks.record import BlockRecord, Outcome

FAILED = BlockRecord(
    id="restore",
    role="step",
    language="bash",
    line=12,
    command="restore.sh\n",
    outcome=Outcome.FAILED,
    exit_status=1,
    stdout="one\ntwo\n",
    stderr="no disk\n",
    message="p.md:13: it broke",
)


def test_the_block_its_place_its_output_and_the_reason_are_shown() -> None:
    one = record(outcome=Outcome.FAILED, reason="p.md:13: it broke", blocks=(FAILED,), page="p.md")
    assert describe(one).splitlines() == [
        "page/one: failed on staging",
        "",
        "p.md:12: step restore",
        "    restore.sh",
        "",
        "p.md:13: it broke",
        "stdout:",
        "    one",
        "    two",
        "stderr:",
        "    no disk",
    ]


def test_a_reason_that_is_no_blocks_is_shown_too() -> None:
    one = record(outcome=Outcome.FAILED, reason="p.md:4: figure rto must be at most 300 s, and is 301")
    assert describe(one).endswith("\n\np.md:4: figure rto must be at most 300 s, and is 301")


def test_long_output_keeps_its_end() -> None:
    block = replace(FAILED, stdout="".join(f"{number}\n" for number in range(100)))
    lines = describe(record(outcome=Outcome.FAILED, reason=block.message, blocks=(block,))).splitlines()
    assert "    (70 lines before)" in lines
    assert "    99" in lines
    assert "    69" not in lines
