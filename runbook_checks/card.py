"""What a page's front matter and a procedure's ``{.procedure}`` YAML declare, as values."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from runbook_checks.durations import seconds
from runbook_checks.model import Card, FigureBound, Runbook
from runbook_checks.yaml_nodes import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yaml.nodes import Node

    from runbook_checks.errors import Problem

SEVERITIES = ("critical", "warning", "info")
RUNBOOK_KEYS = ("owner", "escalation", "verify_every", "tags")
CARD_KEYS = (
    "alerts",
    "severity",
    "needs",
    "changes",
    "reversible",
    "expected",
    "uses",
    "tags",
    "figures",
    "formerly",
    "unproven",
)
FIGURE_KEYS = ("min", "max", "unit")

# mkdocs.utils.meta.YAML_RE
_FRONT = re.compile(r"-{3}[ \t]*\n(.*?\n)(?:\.{3}|-{3})[ \t]*(?:\n|$)", re.DOTALL)
_RUNBOOK = re.compile(r"""^["'{ ]*runbook["']?\s*:""", re.MULTILINE)
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NO_REASONS = frozenset({*_BOOLEANS, "null", "none", "todo", "tbd"})
_FORMER = re.compile(r"(?:[^/#?.\s](?:[^/#?\n]*[^/#?\s])?/)?[A-Za-z0-9_][A-Za-z0-9_.-]*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a suggestion for a word that is not known, naming the close matches or else all that is known."""
    names = tuple(known)
    close = get_close_matches(word[:100], names, n=3)
    if close:
        return f"did you mean {' or '.join(f'`{name}`' for name in close)}?"
    return f"known: {', '.join(names)}" if names else ""


def front_matter(text: str) -> tuple[str, int]:
    """Return the YAML of a page's front matter and the number of lines that it takes, fences included."""
    match = _FRONT.match(text)
    return (match[1], match[0].count("\n") + (not match[0].endswith("\n"))) if match else ("", 0)


def read_runbook(text: str, path: str) -> tuple[Runbook | None, tuple[Problem, ...]]:
    """Return the runbook that a front matter declares, without its procedures; None when it has no `runbook:` key."""
    if not _RUNBOOK.search(text):
        return None, ()
    reader = Reader(path, 1, "the front matter")
    page = reader.root(text)
    if page is None or "runbook" not in page:
        return (None if page is not None else Runbook(path, ""), tuple(reader.problems))
    keys = reader.mapping(page["runbook"], "`runbook:`") or {}
    _unknown(reader, keys, RUNBOOK_KEYS, "under `runbook:`")
    runbook = Runbook(
        path=path,
        title=reader.text(page.get("title"), "title"),
        owner=reader.text(keys.get("owner"), "owner"),
        escalation=reader.text(keys.get("escalation"), "escalation"),
        verify_every_s=_duration(reader, keys.get("verify_every"), "verify_every"),
        tags=tuple(
            dict.fromkeys((*reader.texts(page.get("tags"), "tags"), *reader.texts(keys.get("tags"), "runbook tags")))
        ),
    )
    return runbook, tuple(reader.problems)


def read_card(text: str, path: str, line: int) -> tuple[Card, tuple[Problem, ...]]:
    """Return the card whose fence opens at a one-based line of a page."""
    reader = Reader(path, line, "the card")
    keys = reader.root(text) or {}
    _unknown(reader, keys, CARD_KEYS, "in the card")
    severity = reader.text(keys.get("severity"), "severity")
    if severity and severity not in SEVERITIES:
        reader.problem(keys["severity"], f"unknown severity `{severity}`", did_you_mean(severity, SEVERITIES))
        severity = ""
    card = Card(
        line=line,
        alerts=reader.texts(keys.get("alerts"), "alerts"),
        severity=severity,
        needs=reader.texts(keys.get("needs"), "needs"),
        changes=reader.texts(keys.get("changes"), "changes"),
        reversible=_boolean(reader, keys.get("reversible"), "reversible", default=True),
        expected_s=_duration(reader, keys.get("expected"), "expected"),
        uses=reader.texts(keys.get("uses"), "uses"),
        tags=reader.texts(keys.get("tags"), "tags"),
        figures=_figures(reader, keys.get("figures")),
        formerly=reader.texts(keys.get("formerly"), "formerly"),
        unproven=_reasons(reader, keys.get("unproven")),
    )
    for former in card.formerly:
        if not _FORMER.fullmatch(former):
            reader.problem(
                keys["formerly"],
                f"`formerly: {former}` is no id that a procedure can have had",
                "write an old heading id of this page, or `<old page>/<old heading id>`, without `.md` and `#`",
            )
    for glob in card.uses:
        if glob.startswith(("/", "~")) or ".." in glob.split("/"):
            reader.problem(keys["uses"], f"`uses: {glob}` leaves the folder of the configuration")
    return card, tuple(reader.problems)


def _unknown(reader: Reader, keys: dict[str, Node], known: tuple[str, ...], where: str) -> None:
    for key, node in keys.items():
        if key not in known:
            reader.problem(node, f"unknown key `{key}` {where}", did_you_mean(key, known))


def _figures(reader: Reader, node: Node | None) -> tuple[FigureBound, ...]:
    named = reader.mapping(node, "`figures:`") if node is not None else None
    bounds = []
    for name, value in (named or {}).items():
        keys = reader.mapping(value, f"the figure `{name}`") or {}
        _unknown(reader, keys, FIGURE_KEYS, f"in the figure `{name}`")
        bound = FigureBound(
            name=name,
            unit=reader.text(keys.get("unit"), "unit"),
            minimum=_number(reader, keys.get("min"), "min"),
            maximum=_number(reader, keys.get("max"), "max"),
        )
        if bound.minimum is not None and bound.maximum is not None and bound.minimum > bound.maximum:
            reader.problem(value, f"the figure `{name}` can never be kept: min is above max")
        bounds.append(bound)
    return tuple(bounds)


def _reasons(reader: Reader, node: Node | None) -> tuple[tuple[str, str], ...]:
    given = reader.mapping(node, "`unproven:`") if node is not None else None
    found = {name: reader.text(value, f"unproven: {name}") for name, value in (given or {}).items()}
    for name, reason in found.items():
        if reason.lower() in _NO_REASONS or not any(map(str.isalpha, reason)):
            reader.problem((given or {})[name], f"`unproven: {name}` has no reason", "say why nothing can prove it")
    return tuple(found.items())


def _duration(reader: Reader, node: Node | None, what: str) -> float | None:
    text = reader.text(node, what)
    if not text:
        return None
    try:
        return seconds(text)
    except ValueError as error:
        reader.problem(node, f"`{what}`: {error}")
        return None


def _boolean(reader: Reader, node: Node | None, what: str, *, default: bool) -> bool:
    text = reader.text(node, what)
    if text and text.lower() not in _BOOLEANS:
        reader.problem(node, f"`{what}` must be true or false, not `{text}`")
    return _BOOLEANS.get(text.lower(), default)


def _number(reader: Reader, node: Node | None, what: str) -> float | None:
    text = reader.text(node, what)
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        reader.problem(node, f"`{what}` must be a number, not `{text}`")
        return None
    return float(text)
