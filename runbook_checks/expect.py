"""Hold what came against what the page says, and show how the two differ."""

from __future__ import annotations

import difflib
import math
import re
import time
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, assert_never

from runbook_checks.blocks import captures
from runbook_checks.json_subset import NotSubsetError, load, subset
from runbook_checks.model import Expectation, Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runbook_checks.model import Stream

_TIME_LIMIT_S = 2.0  # for one comparison: a page's pattern must not hang the run
_DIFF_LINES = 80
_ALIGNED_LINES = 400  # of page and output each; what aligns them takes their product of steps
_CONTEXT_LINES = 3  # shown before the first difference of a longer output
_SHOWN_LIMIT_S = 1.0  # for telling which lines of the page the output's lines were meant to be
_TOKEN = re.compile(r"\\<|\\\.\.\.|\.\.\.|<([a-z_][a-z0-9_]*)>")
_ANY_LINES = "(?:.*\n)*?"
_MEANT = re.compile(r"<|\.\.\.")  # in what was captured: text, and no token
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an expectation held, what it captured anew (name, value), and if not, how page and output differ."""

    held: bool
    captures: tuple[tuple[str, str], ...] = ()
    difference: str = ""


def compare_all(
    expectations: Iterable[Expectation],
    streams: Mapping[Stream, tuple[str, int]],
    page: str,
    known: Mapping[str, str] = _NOTHING,
) -> tuple[Verdict, ...]:
    """Hold what each stream of a block kept, and how many bytes it did not, against its expectations in their order."""
    verdicts: list[Verdict] = []
    for one in expectations:
        text, cut_bytes = streams[one.stream]
        verdicts.append(compare(one, text, page, cut_bytes=cut_bytes, known=known))
        known = {**known, **dict(verdicts[-1].captures)} if verdicts[-1].captures else known
    return tuple(verdicts)


def compare(
    expectation: Expectation, output: str, page: str, *, cut_bytes: int = 0, known: Mapping[str, str] = _NOTHING
) -> Verdict:
    """Hold a stream's whole output against an expectation; ``page`` is the path that the difference names.

    Of an output that was cut only ``contains`` can still hold: what was left out could break all else. A name that is
    ``known``, captured before, stands for that very text.
    """
    verdict = _compare(expectation, output, page, cut_bytes, known)
    if verdict.held or not known:
        return verdict
    bound = dict.fromkeys(name for name in captures(expectation) if name in known)
    told = "".join(f"\n(<{name}> stands for {known[name]!r}, captured before)" for name in bound)
    return replace(verdict, difference=verdict.difference + told)


def _compare(expectation: Expectation, output: str, page: str, cut_bytes: int, known: Mapping[str, str]) -> Verdict:
    if cut_bytes and expectation.match is not Match.CONTAINS:
        where = f"{page}:{expectation.span.first}"
        long = f"{expectation.stream.value} is too long to compare, {cut_bytes} bytes of it were not kept"
        return _differs(f"{where}: {long}; print less, or say `match=contains`")
    match expectation.match:
        case Match.LIKE:
            return _compare_pattern(expectation, output, page, known)
        case Match.EXACT:
            held = output.removesuffix("\n") == expectation.text
        case Match.CONTAINS:
            held = expectation.text in output
        case Match.REGEX:
            return _match(expectation.text, output, expectation, page, known)
        case Match.JSON:
            return _compare_json(expectation, output, page, known)
        case _:
            assert_never(expectation.match)
    return Verdict(held=True) if held else _differs(_difference(expectation, output, page))


def number_of(text: str) -> float | None:
    """Return the number that a captured text is, None for any other; `1_000` is one to Python alone."""
    try:
        value = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _filled(expectation: Expectation, known: Mapping[str, str]) -> Expectation:
    """Return a ``like`` expectation with what is known in the place of its name, to be shown and not to be compared."""

    def value(token: re.Match[str]) -> str:
        return _MEANT.sub(r"\\\g<0>", known[token[1]]) if token[1] in known else token[0]

    return replace(expectation, text=_TOKEN.sub(value, expectation.text)) if known else expectation


def _compare_pattern(expectation: Expectation, output: str, page: str, known: Mapping[str, str]) -> Verdict:
    wanted, came = _lines(expectation.text), _lines(output)
    if not _TOKEN.search(expectation.text):
        return Verdict(held=True) if wanted == came else _differs(_difference(expectation, output, page))
    captured = _captured(wanted, came, known)
    if captured is not None:
        return Verdict(held=True, captures=captured)
    return _match(_pattern(wanted, known), "".join(line + "\n" for line in came), _filled(expectation, known), page)


def _captured(wanted: list[str], came: list[str], known: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    """Return what lines capture that hold by plain comparison, as most do; None where only a pattern can tell.

    A line with one ``...`` or one ``<name>`` holds when what stands before and behind it does: making a pattern of it
    takes far longer than that.
    """
    if len(wanted) != len(came):
        return None
    found: dict[str, str] = {}
    for line, text in zip(wanted, came, strict=True):
        token = _TOKEN.search(line)
        if token is None:
            if line != text:
                return None
            continue
        start, end = token.span()
        name, behind = token[1], line[end:]
        least = len(line) - (end - start) + (name is not None)
        several = _TOKEN.search(line, end) is not None or name in found or name in known
        if several or token[0][0] == "\\" or line.strip() == "..." or len(text) < least:
            return None
        if not text.startswith(line[:start]) or not text.endswith(behind):
            return None
        if name is not None:
            found[name] = text[start : len(text) - len(behind)]
    return tuple(found.items())


def _match(
    pattern: str, subject: str, expectation: Expectation, page: str, known: Mapping[str, str] = _NOTHING
) -> Verdict:
    import regex  # noqa: PLC0415 - only pages with patterns pay for the import

    try:
        if expectation.match is Match.LIKE:
            found = regex.fullmatch(pattern, subject, timeout=_TIME_LIMIT_S)
        else:
            matches = regex.finditer(pattern, subject, timeout=_TIME_LIMIT_S, flags=regex.MULTILINE, overlapped=True)
            found = next((one for one in matches if _agree(one.groupdict(), known)), None)
    except TimeoutError:
        where = f"{page}:{expectation.span.first}"
        return _differs(f"{where}: comparing took over {_TIME_LIMIT_S:g} s; write a simpler pattern")
    if found is None:
        return _differs(_difference(expectation, subject, page))
    return Verdict(
        held=True,
        captures=tuple(
            (name, value) for name, value in found.groupdict().items() if value is not None and name not in known
        ),
    )


def _agree(groups: Mapping[str, str | None], known: Mapping[str, str]) -> bool:
    return all(value is None or known.get(name, value) == value for name, value in groups.items())


def _differs(difference: str) -> Verdict:
    return Verdict(held=False, difference=difference)


def _pattern(lines: list[str], known: Mapping[str, str]) -> str:
    """Return a regular expression for the lines of a ``like`` text; a name met again must have the same value.

    What is ``known`` is plain text here, whatever stands beside it: in the text of the page it could make a token.
    """
    parts: list[str] = []
    plain = ""
    seen: set[str] = set()
    for line in lines:
        if line.strip() == "...":
            parts += [_escaped(plain), _ANY_LINES]
            plain = ""
            continue
        end = 0
        for token in _TOKEN.finditer(line):
            plain += line[end : token.start()]
            end = token.end()
            name = token[1]
            if name in known or token[0][0] == "\\":
                plain += known[name] if name else token[0][1:]
                continue
            any_text = ".*?" if name is None else f"(?P={name})" if name in seen else f"(?P<{name}>.+?)"
            seen.add(name)
            parts += [_escaped(plain), any_text]
            plain = ""
        plain += line[end:] + "\n"
    plain = plain.rstrip()
    return "".join(parts) + _escaped(plain) + ("\n" if plain or (parts and parts[-1] != _ANY_LINES) else "")


def _escaped(plain: str) -> str:
    """Return the pattern of a plain text, without the blanks that an output's lines do not end with."""
    *lines, last = plain.split("\n")
    return re.escape("\n".join([*map(str.rstrip, lines), last]))


def _lines(text: str) -> list[str]:
    """Return the lines without trailing blanks, and without blank lines at the end."""
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _compare_json(expectation: Expectation, output: str, page: str, known: Mapping[str, str]) -> Verdict:
    where = f"{page}:{expectation.span.first}"
    try:
        came = load(output)
    except ValueError as error:
        return _differs(f"{where}: the output is not JSON ({error})\n{_quoted('+', output)}")
    try:
        captured = subset(load(expectation.text), came, known)
    except NotSubsetError as difference:
        return _differs(f"{where}: {difference}\n{_quoted('+', output)}")
    return Verdict(held=True, captures=tuple(captured.items()))


def _difference(expectation: Expectation, output: str, page: str) -> str:
    """Return what was expected (``-``) and what came (``+``), beside each other, under the place in the page."""
    wanted, came = _lines(expectation.text), _lines(output)
    first = expectation.span.first
    how = {Match.CONTAINS: "nowhere in the output", Match.REGEX: "no match in the output"}.get(expectation.match)
    if how:
        body = [*(f"- {line}" for line in wanted), *(f"+ {line}" for line in came or ["(nothing)"])]
        title = how
    else:
        patterned = expectation.match is Match.LIKE
        alike, more = 0, 0
        if max(len(wanted), len(came)) > _ALIGNED_LINES:
            alike = max(0, _alike(wanted, came) - _CONTEXT_LINES)
            more = max(0, len(came) - alike - _ALIGNED_LINES)
        until = alike + _ALIGNED_LINES
        body = [f"  ({alike} lines alike)"] if alike else []
        body += _aligned(wanted[alike:until], came[alike:until], patterned=patterned)
        body += [f"({more} more lines of output)"] if more and len(body) <= _DIFF_LINES else []
        title = f"{expectation.stream.value} is not what the page says"
    if len(body) > _DIFF_LINES:
        body = [*body[:_DIFF_LINES], f"({len(body) - _DIFF_LINES} more lines)"]
    return "\n".join([f"{page}:{first}: {title}", *body])


def _alike(wanted: list[str], came: list[str]) -> int:
    """Return how many lines both begin with."""
    pairs = enumerate(zip(wanted, came, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(wanted), len(came)))


def _aligned(wanted: list[str], came: list[str], *, patterned: bool) -> Iterator[str]:
    """Yield a line diff in which an output line counts as equal to the first page line whose pattern it matches."""
    tokens = [line for line in wanted if patterned and _TOKEN.search(line) and line.strip() != "..."]
    patterns = [(line, _pattern([line], _NOTHING)) for line in tokens]
    until = time.monotonic() + _SHOWN_LIMIT_S
    taken = [next((line for line, pattern in patterns if _fits(pattern, text, until)), text) for text in came]
    matcher = difflib.SequenceMatcher(None, wanted, taken, autojunk=False)
    for how, a, b, c, d in matcher.get_opcodes():
        if how == "equal":
            yield from (f"  {line}" for line in came[c:d])
            continue
        if how == "replace" and all(line.strip() == "..." for line in wanted[a:b]):
            yield from (f"  {line}" for line in came[c:d])
            continue
        yield from (f"- {line}" for line in wanted[a:b] if line.strip() != "..." or not patterned)
        yield from (f"+ {line}" for line in came[c:d])
    if not came:
        yield "+ (nothing)"


def _fits(pattern: str, line: str, until: float) -> bool:
    import regex  # noqa: PLC0415 - only pages with patterns pay for the import

    left_s = until - time.monotonic()
    if left_s <= 0 or len(line) > 1000:  # noqa: PLR2004 - only for display
        return False
    try:
        return regex.fullmatch(pattern, line + "\n", timeout=left_s) is not None
    except TimeoutError:
        return False


def _quoted(sign: str, text: str) -> str:
    lines = _lines(text)[:_DIFF_LINES] or ["(nothing)"]
    return "\n".join(f"{sign} {line}" for line in lines)
