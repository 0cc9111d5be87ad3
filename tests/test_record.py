"""Records survive their one-line form."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import record

from runbook_checks.record import from_line, to_line


def test_a_record_is_one_line_and_comes_back_equal() -> None:
    line = to_line(record())
    assert line.count("\n") == 1
    assert from_line(line) == record()


@settings(max_examples=50)
@given(st.text())
def test_any_output_survives(text: str) -> None:
    one = record(blocks=(replace(record().blocks[0], stdout=text),))
    assert from_line(to_line(one)) == one


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        to_line(record())[:-20],
        json.dumps({**json.loads(to_line(record())), "schema_version": 2}),
        json.dumps({**json.loads(to_line(record())), "outcome": "fine"}),
        json.dumps({**json.loads(to_line(record())), "surprise": 1}),
        json.dumps({**json.loads(to_line(record())), "ended_at": "2026-11-21T12:00:00"}),
        json.dumps({**json.loads(to_line(record())), "blocks": [{"id": "b"}]}),
        json.dumps({**json.loads(to_line(record())), "duration_s": "2"}),
        json.dumps({**json.loads(to_line(record())), "ended_at": "0001-01-01T00:00:00+14:00"}),
        json.dumps({**json.loads(to_line(record())), "duration_s": float("nan")}),
        json.dumps({**json.loads(to_line(record())), "duration_s": 10**400}),
        json.dumps({**json.loads(to_line(record())), "figures": [{"name": "rto", "value": 1}]}).replace(
            ": 1}", ": 1e999}"
        ),
        "[" * 100_000,
    ],
)
def test_what_is_not_a_whole_record_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)
