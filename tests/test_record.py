"""Records survive their one-line form."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import record

from runbook_checks.record import Moment, OtherSchemaError, from_line, to_line


def test_a_record_is_one_line_and_comes_back_equal() -> None:
    line = to_line(record())
    assert line.count("\n") == 1
    assert from_line(line) == record()


def test_a_line_has_the_fields_in_the_order_of_the_model() -> None:
    drilled = record(moments=(Moment("fault", "2026-11-21T11:00:00+00:00"),), parts=(("card", "0" * 12),))
    plain = {**asdict(replace(drilled, parts=())), "parts": dict(drilled.parts)}
    del plain["no_earlier_than"]  # which few have
    as_copied = json.dumps(plain, default=lambda outcome: outcome.value, separators=(",", ":"))
    assert to_line(drilled) == f"{as_copied}\n"
    assert to_line(drilled).endswith('"schema_version":2}\n')  # by which the store knows a whole one


def test_a_line_of_version_1_is_read_and_stays_one() -> None:
    old = {key: value for key, value in json.loads(to_line(record())).items() if key not in {"source", "parts"}}
    read = from_line(json.dumps({**old, "schema_version": 1}))
    assert read == record(schema_version=1, source="", parts=())
    assert json.loads(to_line(read)) == {**old, "schema_version": 1}


def test_moments_of_a_drill_come_back_and_a_record_without_has_no_such_field() -> None:
    drilled = record(
        moments=(Moment("fault", "2026-11-21T11:00:00+00:00"), Moment("fired", "2026-11-21T11:00:06+00:00"))
    )
    assert from_line(to_line(drilled)) == drilled
    assert "moments" not in json.loads(to_line(record()))


def with_moments(moments: object, **changes: object) -> str:
    return json.dumps({**json.loads(to_line(record())), "moments": moments, **changes})


@pytest.mark.parametrize(
    "line",
    [
        with_moments([{"name": "fault"}]),
        with_moments([{"name": 1, "at": "2026-11-21T11:00:00+00:00"}]),
        with_moments([{"name": "fault", "at": 5}]),
        with_moments([{"name": "fault", "at": "2026-11-21T11:00:00"}]),
        with_moments([{"name": "fault", "at": "soon"}]),
        with_moments([{"name": "fault", "at": "2026-11-21T11:00:00+00:00", "by": "me"}]),
        with_moments(5),
        with_moments(None),
        *(
            json.dumps({key: value for key, value in json.loads(with_moments([])).items() if key not in old})
            for old in [{"source"}, {"parts"}]
        ),
    ],
)
def test_moments_that_are_none_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_line(line)


def test_moments_do_not_belong_in_a_record_of_version_1() -> None:
    old = {key: value for key, value in json.loads(to_line(record())).items() if key not in {"source", "parts"}}
    with pytest.raises(ValueError, match="moments and no_earlier_than belong in a record since"):
        from_line(json.dumps({**old, "schema_version": 1, "moments": []}))


def test_a_line_of_a_newer_version_is_not_taken_for_nonsense() -> None:
    with pytest.raises(OtherSchemaError, match="schema version 3 is not 2"):
        from_line(to_line(record()).replace('"schema_version":2', '"schema_version":3'))


@settings(max_examples=50)
@given(st.text())
def test_any_output_survives(text: str) -> None:
    one = record(blocks=(replace(record().blocks[0], stdout=text),))
    assert from_line(to_line(one)) == one


@settings(max_examples=50)
@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_any_source_and_any_names_of_parts_survive(source: str, parts: dict[str, str]) -> None:
    one = record(source=source, parts=tuple(parts.items()))
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
        json.dumps({**json.loads(to_line(record())), "schema_version": 3}),
        json.dumps({**json.loads(to_line(record())), "schema_version": 1}),
        json.dumps({**json.loads(to_line(record())), "schema_version": True}),
        json.dumps({**json.loads(to_line(record())), "schema_version": [2]}),
        json.dumps({**json.loads(to_line(record())), "parts": [["card", "1"]]}),
        json.dumps({**json.loads(to_line(record())), "parts": {"card": 1}}),
        json.dumps({**json.loads(to_line(record())), "source": 1}),
        json.dumps({key: value for key, value in json.loads(to_line(record())).items() if key != "parts"}),
        json.dumps({key: value for key, value in json.loads(to_line(record())).items() if key != "source"}),
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
