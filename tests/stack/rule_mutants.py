"""Alerting rules with one thing changed in each, as somebody may do by mistake."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

UNITS_S = {"h": 3600, "m": 60, "s": 1}
FLIPPED = {"==": "!=", "!=": "==", ">": "<", "<": ">", ">=": "<", "<=": ">"}
STRICT = {">": ">=", ">=": ">", "<": "<=", "<=": "<"}
FIFTH = 1.2  # the next meaningful value of what is measured, and not counted

_BRACES = re.compile(r"\{[^{}]*\}")
_COMPARISON = re.compile(r"(==|!=|>=|<=|>|<)(\s*)(\d+(?:\.\d+)?)?")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])")
_MATCHER = re.compile(r'\w+\s*(?:=~|!~|!=|=)\s*"[^"]*"')
_LABELS = re.compile(r"\b(by|on)\s*\(([^()]*)\)\s?")
_WINDOW = re.compile(r"\[(\w+)\]")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A rule file of one alert, which is not what it was; the name says how."""

    alert: str
    how: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.alert}: {self.how}"


def mutants(rules: str) -> Iterator[Mutant]:
    """Yield every mutant of every alert of a rule file, with nothing else in it."""
    for group in yaml.safe_load(rules)["groups"]:
        for rule in group["rules"]:
            for how, changed in (("as it is", rule), *_changed(rule)):
                file = {"groups": [{"name": group["name"], "rules": [changed]}]}
                yield Mutant(rule["alert"], how, yaml.safe_dump(file, sort_keys=False))


def unit_tests_of(alert: str, tests: str) -> str:
    """Return the unit tests of one alert: alone they take promtool a tenth of the time."""
    file = yaml.safe_load(tests)
    for test in file["tests"]:
        cases = test.get("alert_rule_test", [])
        test["alert_rule_test"] = [case for case in cases if case["alertname"] == alert]
        queries = test.get("promql_expr_test", [])
        test["promql_expr_test"] = [query for query in queries if f'alertname="{alert}"' in query["expr"]]
    file["tests"] = [test for test in file["tests"] if test["alert_rule_test"] or test["promql_expr_test"]]
    return yaml.safe_dump(file, sort_keys=False)


def _changed(rule: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    waits_s = seconds(rule["for"])
    for changed_s in (0, waits_s // 2, waits_s * 2):
        yield f"for {rule['for']} → {changed_s}s", {**rule, "for": f"{changed_s}s"}
    for label in rule["labels"]:
        less = copy.deepcopy(rule)
        del less["labels"][label]
        yield f"label {label} dropped", less
    for expression in expressions(rule["expr"]):
        yield " ".join(expression.split()), {**rule, "expr": expression}


def expressions(expression: str) -> Iterator[str]:
    """Yield an expression with one thing changed each."""
    for (start, end), new in (*_other_numbers(expression), *_other_labels(expression)):
        yield expression[:start] + new + expression[end:]


def _other_numbers(expression: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield where a comparison, a number or a window stands, and what to write there."""
    outside = _outside(expression)
    for found in _COMPARISON.finditer(outside):
        operator, number = found[1], found[3]
        yield found.span(1), FLIPPED[operator]
        if operator in STRICT and (number is None or _counts(number)):
            yield found.span(1), STRICT[operator]
    for found in _NUMBER.finditer(outside):
        for value in _next(found[0]):
            yield found.span(), value
    for found in _WINDOW.finditer(outside):
        for changed_s in (seconds(found[1]) // 2, seconds(found[1]) * 2):
            yield found.span(1), f"{changed_s}s"


def _other_labels(expression: str) -> Iterator[tuple[tuple[int, int], str]]:
    """Yield where labels are grouped by, matched on or selected, and what to write there."""
    for found in _LABELS.finditer(_outside(expression)):
        labels = [label.strip() for label in found[2].split(",") if label.strip()]
        for label in labels if len(labels) > 1 else ():
            yield found.span(2), ", ".join(one for one in labels if one != label)
        yield found.span(), ""
    for braces in _BRACES.finditer(expression):
        matchers = _MATCHER.findall(braces[0])
        for matcher in matchers:
            left = ",".join(one for one in matchers if one != matcher)
            yield braces.span(), f"{{{left}}}" if left else ""


def _outside(expression: str) -> str:
    """Return an expression with blanks for its selectors."""
    return _BRACES.sub(lambda found: " " * len(found[0]), expression)


def _counts(number: str) -> bool:
    return "." not in number and int(number) <= 1


def _next(number: str) -> list[str]:
    """Return the values to which a threshold moves: by one when it counts something, else by a fifth."""
    value = float(number)
    if not _counts(number):
        return [f"{value * FIFTH:.4g}", f"{value / FIFTH:.4g}"]
    return [str(int(value) + 1), *([str(int(value) - 1)] if value else [])]


def seconds(duration: str) -> int:
    """Return the seconds of a duration of one unit, such as 5m."""
    return int(duration[:-1]) * UNITS_S[duration[-1]]
