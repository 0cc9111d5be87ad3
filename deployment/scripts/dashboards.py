"""What dashboards.sh runs: the queries of dashboards and rules, asked of Prometheus. Standard library only."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from collections.abc import Set as AbstractSet

TIMEOUT_S = 10
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")
STRINGS = re.compile(r'"(?:\\.|[^"\\])*"' + r"|'(?:\\.|[^'\\])*'")
# What stands between a metric's name and the rest: label matchers, ranges, the labels of a grouping.
NOT_NAMES = re.compile(
    r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)|\boffset\s+\S+"
)
NAME = re.compile(r"(?<![\w:.])[a-zA-Z_:][\w:]*(?!\s*\()(?![\w:])")
KEYWORDS = frozenset({"and", "or", "unless", "bool", "on", "inf", "nan"})


@dataclass(frozen=True, slots=True)
class Question:
    """One query, and where it stands."""

    place: str
    query: str


class UnansweredError(Exception):
    """Prometheus said no, or nothing."""


def main(arguments: list[str]) -> int:
    """Ask everything and print the answers."""
    url = os.environ["PROMETHEUS_URL"]
    try:
        values = grafana_values(url)
        questions = [q for name in arguments if name[0] != "-" for q in questions_of(Path(name), values)]
        if "--rules" in arguments:
            without = {each.removeprefix("--without=") for each in arguments if each.startswith("--without=")}
            questions += questions_of_rules(url, without)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda question: answer(url, question), questions))
    except UnansweredError as error:
        print(f"dashboards.sh: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, LookupError) as error:
        print(f"dashboards.sh: {error}", file=sys.stderr)
        return 2
    for question, missing in zip(questions, answers, strict=True):
        if missing:
            print(f"NO DATA  {question.place}: {missing}")
        elif "--missing" not in arguments:
            print(f"ok       {question.place}")
    print(f"{len(questions)} queries, {sum(map(bool, answers))} without data")
    return 1 if any(answers) or not questions else 0


def questions_of(path: Path, values: Mapping[str, str]) -> Iterator[Question]:
    """Return the queries of a dashboard's panels, rows' own panels too, and of its variables."""
    board = json.loads(path.read_text())
    variables = board.get("templating", {}).get("list", [])
    values = {**values, **{variable["name"]: variable.get("allValue") or ".*" for variable in variables}}
    for variable in variables:
        if label_values := re.fullmatch(r"label_values\((.+), *(\w+)\)", str(variable.get("query", ""))):
            query = 'count by ({1}) ({0}{{{1}!=""}})'.format(*label_values.groups())
            yield Question(f"{path.stem}: variable ${variable['name']}", query)
    panels = [inner for panel in board["panels"] for inner in (panel, *panel.get("panels", ()))]
    for panel in panels:
        targets = panel.get("targets", [])
        for target in targets:
            place = f"{path.stem}: {panel['title']}" + (f" ({target['refId']})" if len(targets) > 1 else "")
            yield Question(place, substituted(target["expr"], values, place))


def substituted(query: str, values: Mapping[str, str], place: str) -> str:
    """Return a query with Grafana's variables replaced."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        if name not in values:
            raise ValueError(f"{place} uses ${name}, which is no variable of the dashboard; known: {', '.join(values)}")
        return values[name]

    return VARIABLE.sub(value, query)


def grafana_values(url: str) -> dict[str, str]:
    """Return Grafana's own variables, as they follow from how often this Prometheus scrapes."""
    config = str(get(url, "status/config")["yaml"])
    interval = re.search(r"^  scrape_interval: (?:(\d+)m)?(?:(\d+)s)?$", config, re.MULTILINE)
    if not interval or not any(interval.groups()):
        raise ValueError("cannot tell the scrape_interval from the configuration of Prometheus")
    interval_s = 60 * int(interval[1] or 0) + int(interval[2] or 0)
    return {"__rate_interval": f"{4 * interval_s}s", "__interval": f"{interval_s}s", "__range": "1h"}


def questions_of_rules(url: str, without: AbstractSet[str]) -> list[Question]:
    """Return what must have data for rules to mean something; of those ``without``, only that they are evaluated."""
    questions = []
    rules = [rule for group in get(url, "rules")["groups"] for rule in group["rules"]]
    if unknown := without - {rule["name"] for rule in rules}:
        raise ValueError(f"--without {min(unknown)}: Prometheus has no such rule")
    for rule in rules:
        place = f"rule {rule['name']}"
        if rule["health"] != "ok":
            raise UnansweredError(f"{place} is {rule['health']}: {rule.get('lastError') or 'not evaluated yet'}")
        if rule["name"] in without:
            continue
        if rule["type"] == "recording":
            questions.append(Question(place, rule["name"]))
        else:
            questions += [Question(f"{place}: {name}", name) for name in metrics_of(rule["query"])]
    return questions


def metrics_of(query: str) -> list[str]:
    """Return the names of the metrics in a query, each once."""
    bare = NOT_NAMES.sub(" ", STRINGS.sub('""', query))
    return list(dict.fromkeys(name for name in NAME.findall(bare) if name.lower() not in KEYWORDS))


def answer(url: str, question: Question) -> str:
    """Return why a question has no answer, or nothing."""
    try:
        result = get(url, "query", query=question.query)["result"]
    except UnansweredError as error:
        return str(error)
    samples = [sample["value"][1] for sample in result]
    if any(not math.isnan(float(value)) for value in samples):
        return ""
    return f"{'not a number' if samples else 'nothing'} for {question.query}"


def get(url: str, path: str, **query: str) -> Any:  # noqa: ANN401 - whatever the JSON is
    """Return the data of an answer of Prometheus."""
    try:
        with urlopen(f"{url}/api/v1/{path}?{urlencode(query)}", timeout=TIMEOUT_S) as response:  # noqa: S310 - the operator's own URL
            return json.load(response)["data"]
    except HTTPError as error:
        raise UnansweredError(f"Prometheus refused it: {json.load(error).get('error', error)}") from error
    except (URLError, TimeoutError) as error:
        raise UnansweredError(f"Prometheus at {url} does not answer: {error}") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
