"""A document holds all that the page wants, and the first place where it does not is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_checks.json_subset import NotSubsetError, subset

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


@settings(max_examples=50)
@given(JSON.filter(lambda value: "<" not in str(value)))
def test_a_document_holds_itself(value: Any) -> None:
    assert subset(value, value) == {}
