"""The ``promql`` command: an instant query that holds when its comparison returns samples, from fresh ones only."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlencode

from runbook_checks.durations import seconds
from runbook_checks.errors import RunbookError, UsageError
from runbook_checks.http_request import Request, expand, quote, send

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SINCE_VARIABLE = "RUNBOOK_CHECKS_SINCE"
TIMEOUT_S = 10.0
_HIDDEN = re.compile(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`""")
_BRACES = re.compile(r"\{[^{}]*\}")
_COMPARISON = re.compile(r"==|!=|<=|>=|<|>")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_OR = re.compile(r"(?<![\w:])or(?![\w:])", re.IGNORECASE)
_MATCHED = re.compile(r"\s*(?:on|ignoring)\s*\([^()]*\)", re.IGNORECASE)  # what may follow `or`
_UNLESS = re.compile(r"\bunless\b", re.IGNORECASE)  # what stands before it comes only without what stands behind it
_CLOCK = re.compile(r"\b(?:time|minute|hour|day_of_\w+|days_in_month|month|year)\s*\(", re.IGNORECASE)
_SET_OPERATOR = re.compile(r"\b(?:and|or|unless)\b", re.IGNORECASE)
_LABEL_LIST = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE)
_MODIFIER = r"\s*(?:offset\s+-?\w+|@\s*(?:(?:start|end)\s*\(\s*\)|[-+\w.]+))"
_SELECTOR = re.compile(
    r"(?<![\w:.])(?:(?P<name>[A-Za-z_:][\w:]*)(?P<labels>\s*\{[^{}]*\})?|(?P<bare>\{[^{}]*\}))"
    rf"(?:\s*\[[^\]]*\])?(?P<past>(?:{_MODIFIER})*)(?=\s*(?P<call>\(?))",
    re.IGNORECASE,
)
_LATE_MODIFIER = re.compile(r"[)\]]" + _MODIFIER, re.IGNORECASE)
_ABSENT = re.compile(r"(?<![\w:.])absent(?:_over_time)?\s*\(", re.IGNORECASE)
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "inf", "nan", "atan2", "group_left", "group_right"})


@dataclass(frozen=True, slots=True)
class Selector:
    """A series selector without its range; ``past`` is its ``offset`` and ``@``, ``absent`` that ``absent()`` asks."""

    series: str
    past: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer and its value, both as Prometheus writes them."""

    series: str
    value: str


@dataclass(frozen=True, slots=True)
class PromqlResult:
    """Whether the comparison holds, the samples that say so or what its other side is now, and why it does not."""

    passed: bool
    samples: tuple[Sample, ...]
    message: str = ""


class NoAnswerError(Exception):
    """Prometheus did not answer, or could not evaluate: the check does not hold for now."""


def check(text: str) -> None:
    """Raise UsageError for an expression that holds whatever the series are, or whose past nobody can date.

    That is one without a comparison or a series, also on one side of ``or``, with ``bool``, or with an ``offset`` or
    ``@`` behind a bracket.
    """
    bare = _blank(text)
    if not _COMPARISON.search(bare):
        raise UsageError("a check needs a comparison, such as `… < 0.01`: without one any sample would pass")
    if re.search(r"(?:==|!=|<=|>=|<|>)\s*bool\b", bare):
        raise UsageError("`bool` returns a sample (0 or 1) whatever the values are: compare without it")
    if not selectors(text):
        raise UsageError("a check needs a series: this one compares what it says itself")
    if idle := next((side for side in _sides(text) if not _can_fail(side)), ""):
        raise UsageError(f"`{idle}` always holds: compare each side of an `or`, or all of it, as in `(a or b) < 0.01`")
    masked = _LABEL_LIST.sub(lambda match: " " * len(match[0]), _SELECTOR.sub(_without_past, _hide(text)))
    if late := _LATE_MODIFIER.search(masked):
        raise UsageError(f"`{late[0][1:].strip()}` belongs right behind the series that it is about")


def _sides(text: str) -> tuple[str, ...]:
    """Return what stands on the sides of each ``or`` that is not inside of anything but brackets, or the whole text."""
    if matched := _MATCHED.match(_blank(text)):
        text = text[matched.end() :]
    bare = _blank(text)
    while bare.lstrip().startswith("(") and not bare[_closing(bare, bare.index("(") + 1) + 1 :].strip():
        start = bare.index("(") + 1
        end = _closing(bare, start)
        text, bare = text[start:end], bare[start:end]
    level = _top(bare)
    ends = [(match.start(), match.end()) for match in _OR.finditer(level)]
    if not ends:
        return (text.strip(),)
    starts = [0, *(end for _, end in ends)]
    parts = [text[first:last] for first, last in zip(starts, [*(start for start, _ in ends), len(text)], strict=True)]
    return tuple(side for part in parts for side in _sides(part))


def _can_fail(side: str) -> bool:
    """Return whether a text without an ``or`` of its own can be empty: it says so itself, or what it brackets does."""
    bare = _blank(side)
    level = _top(bare)
    if _COMPARISON.search(level) or _ABSENT.search(level) or _UNLESS.search(level):
        return bool(selectors(side) or _CLOCK.search(bare))
    opened = [match.end() for match in re.finditer(r"\(", bare) if level[match.start()] == "("]
    return any(all(map(_can_fail, _sides(side[start : _closing(bare, start)]))) for start in opened)


def _top(bare: str) -> str:
    """Return a text with all that stands in brackets blanked, at its old length."""
    depth = 0
    level = ""
    for character in bare:
        depth -= character in ")]"
        level += character if depth == 0 else " "
        depth += character in "(["
    return level


def _without_past(match: re.Match[str]) -> str:
    return " " * len(match[0]) if match["past"] else match[0]


def selectors(text: str) -> tuple[Selector, ...]:
    """Return the series selectors of an expression, each once, in their order."""
    bare = _hide(text)
    masked = _LABEL_LIST.sub(lambda match: " " * (len(match[0]) - 1) + "(", bare)  # what aggregates stays a call
    absent = [(match.end(), _closing(bare, match.end())) for match in _ABSENT.finditer(bare)]
    found = []
    for match in _SELECTOR.finditer(masked):
        name = match["name"] or ""
        if name.lower() in _WORDS or match["call"]:  # a function or an aggregation
            continue
        end = match.end("labels") if match["labels"] else match.end("name") if name else match.end("bare")
        asked = any(first <= match.start() < last for first, last in absent)
        found.append(Selector(text[match.start() : end].strip(), match["past"].strip(), asked))
    return tuple(dict.fromkeys(found))


def _closing(bare: str, start: int) -> int:
    """Return where the parenthesis closes that is open at a place."""
    depth = 1
    for at in range(start, len(bare)):
        depth += {"(": 1, ")": -1}.get(bare[at], 0)
        if depth == 0:
            return at
    return len(bare)


def without_comparison(text: str) -> str:
    """Return what is compared with a number at the top of an expression; '' when it is not as simple as that."""
    bare = _blank(text)
    level = _top(bare)
    operators = list(_COMPARISON.finditer(level))
    if len(operators) != 1 or _SET_OPERATOR.search(level):
        return ""
    left, right = text[: operators[0].start()].strip(), text[operators[0].end() :].strip()
    sides = (left, right), (bare[: operators[0].start()].strip(), bare[operators[0].end() :].strip())
    if _NUMBER.fullmatch(sides[1][1]):
        return left
    return right if _NUMBER.fullmatch(sides[1][0]) else ""


def run(text: str, url: str, *, since_s: float | None = None, timeout_s: float = TIMEOUT_S) -> PromqlResult:
    """Evaluate a comparison now, at the Prometheus of ``url``; ``since_s`` is a UNIX time that every sample must pass.

    Raises UsageError for what is no comparison or no PromQL.
    """
    check(text)
    try:
        if lacking := _lacking(selectors(text), url, since_s, timeout_s):
            return PromqlResult(passed=False, samples=(), message=lacking)
        samples = tuple(one for one in _query(text, url, timeout_s) if one.value != "NaN")  # which `!=` lets through
        if samples:
            return PromqlResult(passed=True, samples=samples)
        compared = without_comparison(text)
        values = _query(compared, url, timeout_s) if compared else ()
    except NoAnswerError as error:
        return PromqlResult(passed=False, samples=(), message=str(error))
    if not compared:
        return PromqlResult(passed=False, samples=(), message="does not hold")
    message = "does not hold; the values are" if values else f"does not hold; {compared} has no samples"
    return PromqlResult(passed=False, samples=values, message=message)


def _lacking(found: tuple[Selector, ...], url: str, since_s: float | None, timeout_s: float) -> str:
    """Return which series of an expression proves nothing, as it has no samples or old ones only, or ''.

    An instant vector carries the time of its evaluation, not of its samples: ``timestamp()`` tells theirs. A series
    that looks back may be old beside one that does not. One that ``absent()`` asks for may be missing; then ``up``
    says that every target was scraped since.
    """
    may_be_missing = {selector.series for selector in found if selector.absent}
    asked = [selector for selector in found if not selector.absent]
    if may_be_missing:
        asked.append(Selector("up"))
    all_past = all(selector.past for selector in asked)
    for selector in asked:
        series = f"{selector.series} {selector.past}".strip()
        samples = _query(f"min(timestamp({series}))", url, timeout_s)
        if not samples and selector.series not in may_be_missing:
            return f"{series}: there is no such series now; ask for it with absent() if it may be missing"
        if since_s is None or (selector.past and not all_past):
            continue
        if any(float(sample.value) <= since_s for sample in samples):
            return f"{series}: no sample newer than the last step yet"
    return ""


def main(argv: Sequence[str], stdin: TextIO, stdout: TextIO, stderr: TextIO, environ: Mapping[str, str]) -> int:
    """Run the ``promql`` command: 0 it holds, 1 it does not or nobody answers, 2 what cannot be judged."""
    parser = argparse.ArgumentParser(
        prog="runbook-checks promql",
        description="Ask the Prometheus at $PROMETHEUS_URL whether a comparison holds. $NAME and ${NAME} come from "
        "the environment, $$ is a dollar.",
    )
    parser.add_argument("file", nargs="?", help="where the expression is; standard input if not given")
    parser.add_argument(
        "--since", default=environ.get(SINCE_VARIABLE, ""), help="UNIX time that samples must be newer than"
    )
    parser.add_argument("--timeout", default=f"{TIMEOUT_S:g}s", help="for each answer; %(default)s if not given")
    parser.add_argument(
        "--curl", action="store_true", help="print the curl command that asks the same, and ask nothing"
    )
    options = parser.parse_args(argv)
    try:
        text = Path(options.file).read_text(encoding="utf-8") if options.file else stdin.read()
        if options.curl:
            print(curl(text), file=stdout)
            return 0
        url = environ.get("PROMETHEUS_URL", "")
        if not url:
            raise UsageError("$PROMETHEUS_URL is not set; export it, such as http://localhost:9090")
        since_s = float(options.since) if options.since else None
        result = run(expand(text, environ), url, since_s=since_s, timeout_s=seconds(options.timeout))
    except (RunbookError, OSError, ValueError) as error:
        print(f"promql: {error}", file=stderr)
        return 2
    if result.message:
        print(f"promql: {result.message}", file=stderr)
    for sample in result.samples:
        print(f"{sample.series} {sample.value}", file=stdout if result.passed else stderr)
    return 0 if result.passed else 1


def curl(text: str) -> str:
    """Return the curl command that asks the same; its ``result`` is empty when the comparison does not hold."""
    check(text)
    query = quote(f"query={text.strip()}")
    return f'curl -sS --fail-with-body --get "$PROMETHEUS_URL/api/v1/query" --data-urlencode {query}'


def _query(text: str, url: str, timeout_s: float) -> tuple[Sample, ...]:
    """Return the sorted samples of an instant query (https://prometheus.io/docs/prometheus/latest/querying/api/)."""
    address = f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': text.strip()})}"
    result = send(Request("GET", address, (("Accept", "application/json"),)), timeout_s)
    if not result.passed:
        raise NoAnswerError(result.message.replace(address, url))
    try:
        answer: dict[str, Any] = json.loads(result.body)
        if result.status == 400:  # noqa: PLR2004
            raise UsageError(f"Prometheus refuses the expression: {answer['error']}")
        if answer["status"] != "success":
            raise NoAnswerError(f"{url}: {answer['error']}")
        kind, found = answer["data"]["resultType"], answer["data"]["result"]
    except (ValueError, KeyError, TypeError):
        raise NoAnswerError(
            f"{url}: answered {result.status} {result.reason}, which is no answer of Prometheus"
        ) from None
    if kind != "vector":
        raise UsageError(f"the expression is a {kind}; a check needs an instant vector")
    return tuple(sorted((_sample(each) for each in found), key=lambda sample: (sample.series, sample.value)))


def _sample(found: Mapping[str, Any]) -> Sample:
    labels = dict(found["metric"])
    name = labels.pop("__name__", "")
    inner = ", ".join(f"{label}={json.dumps(value, ensure_ascii=False)}" for label, value in sorted(labels.items()))
    return Sample(name + (f"{{{inner}}}" if inner or not name else ""), str(found["value"][1]))


def _hide(text: str) -> str:
    """Return the text with what strings and comments say blanked, at its old length."""
    return _HIDDEN.sub(lambda match: match[0][0].replace("#", " ") + " " * (len(match[0]) - 1), text)


def _blank(text: str) -> str:
    """Return the text with strings, comments and label matchers blanked, at its old length."""
    return _BRACES.sub(lambda match: " " * len(match[0]), _hide(text))
