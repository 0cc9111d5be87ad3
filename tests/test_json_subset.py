"""A document holds all that the page wants, and the first place where it does not is named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_checks.json_subset import NotSubsetError, load, subset

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("abc<>."),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("wanted", "came", "captures"),
    [
        ({}, {"a": 1}, {}),
        ({"a": {"b": [1, "..."]}}, {"a": {"b": [1, {"deep": []}], "c": 2}}, {}),
        (1, 1.0, {}),
        ("...", None, {}),
        ({"a": "<x>", "b": "<x>"}, {"a": "7", "b": 7}, {"x": "7"}),
        ({"a": "<x>"}, {"a": True}, {"x": "true"}),
        ({"a": "<X>"}, {"a": "<X>"}, {}),
    ],
)
def test_what_holds(wanted: Any, came: Any, captures: dict[str, str]) -> None:
    assert subset(wanted, came) == captures


@pytest.mark.parametrize(
    ("wanted", "came", "said"),
    [
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "$.a[0].b: expected 1, and 2 came"),
        ({"a": 1}, {}, "$.a: expected 1, and there is no such key"),
        ({"a": 1}, [], "$: expected an object, and [] came"),
        ([1], [1, 2], "$: expected 1 elements, and [1, 2] came"),
        (1, True, "$: expected 1, and true came"),
        (False, 0, "$: expected false, and 0 came"),
        (None, False, "$: expected null, and false came"),
        ("<x>", None, "$: <x> needs a single value, and null came"),
        (["<x>", "<x>"], [1, 2], "$[1]: <x> was '1' above, and '2' came"),
    ],
)
def test_what_does_not_hold_names_its_place(wanted: Any, came: Any, said: str) -> None:
    with pytest.raises(NotSubsetError) as caught:
        subset(wanted, came)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": [{"b": 1, "b": 1}]}', 'the key "b" is there twice in one object'),
        ("[1e400]", "1e400 is not a number that can be compared"),
        ("[-1e400]", "-1e400 is not a number"),
        ('{"a": NaN}', "NaN is not a number"),
        ("-Infinity", "-Infinity is not a number"),
        ("[" * 100_000, "nested too deeply"),
        ("[1,]", "Expecting value"),
    ],
)
def test_a_text_that_could_mean_two_things_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load(text)


@settings(max_examples=50)
@given(JSON)
def test_what_is_loaded_is_what_was_written(value: Any) -> None:
    assert load(json.dumps(value)) == value


@settings(max_examples=50)
@given(JSON.filter(lambda value: "<" not in str(value)))
def test_a_document_holds_itself(value: Any) -> None:
    assert subset(value, value) == {}
