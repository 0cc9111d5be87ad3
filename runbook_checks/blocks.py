"""Marked fences as blocks and expectations, with every attribute checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runbook_checks.attributes import CLASS
from runbook_checks.card import did_you_mean
from runbook_checks.durations import seconds
from runbook_checks.errors import Problem
from runbook_checks.fences import MARKS
from runbook_checks.model import Block, Expectation, Match, Role, Stream

if TYPE_CHECKING:
    from runbook_checks.fences import Fence

LOOKS = frozenset({"annotate", "copy", "no-copy", "select", "no-select"})  # Material's own classes for fences
LOOK_ATTRIBUTES = frozenset({"linenums", "hl_lines"})
BLOCK_ATTRIBUTES = ("title", "timeout", "within", "every", "exit", "status", "environment")
EXPECT_ATTRIBUTES = ("match", "stream")
CAPTURE = re.compile(r"[a-z_][a-z0-9_]*")
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_MATCHES: dict[str, Match] = {member.value: member for member in Match}
_STREAMS: dict[str, Stream] = {member.value: member for member in Stream}
_GROUP = re.compile(r"(?<!\\)\(\?P?<([a-z_][a-z0-9_]*)>")
_PLACEHOLDER = re.compile(r"(?<!\\)<([^<>\s]*)>")
_STATUS = re.compile(r"[1-5](?:xx|[0-9]{2})(?:\|[1-5](?:xx|[0-9]{2}))*")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROMQL_QUIET = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|#[^\n]*""")
_COMPARISON = re.compile(r"[=!]=|[<>]")
_UNLIKELY = "\ue000\n\ue001"  # text that no command prints


class Attributes:
    """The attributes of one marked fence, and what is wrong with them."""

    def __init__(self, fence: Fence, path: str) -> None:
        """Split classes, id and values; a class or an attribute given twice is a problem."""
        self.fence = fence
        self.path = path
        self.problems: list[Problem] = []
        self.marks: list[str] = []
        self.id = ""
        self.values: dict[str, str] = {}
        for key, value in fence.attributes:
            if key == CLASS:
                self._mark(value)
            elif key == "id" and not self.id:
                self.id = value
                if not ID.fullmatch(value):
                    self.problem(f"`#{value}` cannot be an id", "use letters, digits, `_`, `-` and `.`")
            elif key == "id" or key in self.values:
                self.problem(f"`{key}` is given twice")
            else:
                self.values[key] = value
        if fence.rest:
            self.problem(f"cannot read `{fence.rest}` in the attribute list", "put a value with spaces in quotes")
        if len(self.marks) > 1:
            self.problem(f"a block has one role, not {' and '.join(f'`.{mark}`' for mark in self.marks)}")
        if self.marks and not fence.language:
            self.problem("the language comes first", f"write ```bash {{.{self.marks[0]} …}}")

    def problem(self, reason: str, suggestion: str = "", offset: int = 0) -> None:
        """Keep a problem at a line of the fence, its first one by default."""
        self.problems.append(Problem(self.path, self.fence.span.first + offset, reason, suggestion))

    def only(self, known: tuple[str, ...], what: str) -> None:
        """Report every attribute that is not known."""
        for key in self.values:
            if key not in known and key not in LOOK_ATTRIBUTES:
                self.problem(f"unknown attribute `{key}` on {what}", did_you_mean(key, known))

    def duration(self, key: str) -> float | None:
        """Return a duration in seconds, None without one."""
        if key not in self.values:
            return None
        try:
            return seconds(self.values[key])
        except ValueError as error:
            self.problem(f"`{key}`: {error}")
            return None

    def _mark(self, value: str) -> None:
        if value in MARKS:
            self.marks.append(value)
        elif value not in LOOKS:
            self.problem(f"unknown role `.{value}`", did_you_mean(value, sorted(MARKS)))


def read_block(given: Attributes) -> Block:
    """Return the block of a fence with a role; its id is empty when the page gives none."""
    fence, role, values = given.fence, Role(given.marks[0]), given.values
    given.only(BLOCK_ATTRIBUTES, f"a `.{role.value}` block")
    if not fence.text.strip():
        given.problem("the block is empty")
    within, every = _polling(given, role)
    if fence.language == "promql" and role is Role.CHECK and not _compares(fence.text):
        given.problem("a promql check needs a comparison, else any sample passes", "compare, such as `… < 0.01`", 1)
    environment = values.get("environment", "")
    if "environment" in values and not _ENVIRONMENT.fullmatch(environment):
        given.problem(f"`environment={environment}` is not the name of an environment")
    return Block(
        id=given.id,
        role=role,
        language=fence.language,
        text=fence.text,
        span=fence.span,
        title=values.get("title", ""),
        exit_status=_exit_status(given),
        http_status=_http_status(given),
        timeout_s=given.duration("timeout"),
        within_s=within,
        every_s=every,
        environment=environment,
    )


def _polling(given: Attributes, role: Role) -> tuple[float | None, float | None]:
    if role is not Role.CHECK:
        for key in ("within", "every"):
            if key in given.values:
                given.problem(f"`{key}` belongs on a check: a {role.value} runs exactly once")
    elif "every" in given.values and "within" not in given.values:
        given.problem("`every` without `within` never polls", "add `within=`")
    return given.duration("within"), given.duration("every")


def _http_status(given: Attributes) -> str:
    status = given.values.get("status")
    if status is None:
        return ""
    if given.fence.language != "http":
        given.problem("`status` belongs on an http block", "write `exit=` for an exit status")
    elif not _STATUS.fullmatch(status):
        given.problem(f"`status={status}` is not an HTTP status", "write 200, 2xx or 200|201")
    return status


def _exit_status(given: Attributes) -> int:
    text = given.values.get("exit", "0")
    if re.fullmatch(r"[0-9]{1,3}", text) and int(text) <= 255:  # noqa: PLR2004  an exit status is a byte
        return int(text)
    given.problem(f"`exit={text}` is not an exit status", "write a number from 0 to 255")
    return 0


def read_expectation(given: Attributes) -> Expectation:
    """Return the expectation of an ``.expect`` fence, like and on stdout when it is not said or not understood."""
    values = given.values
    for key in [key for key in values if key in BLOCK_ATTRIBUTES and key != "title"]:
        given.problem(f"`{key}` belongs on the block, not on its expectation", f"write `{key}={values.pop(key)}` there")
    values.pop("title", None)
    if given.id:
        given.problem("an expectation has no id", f"put `#{given.id}` on the block before it")
    given.only(EXPECT_ATTRIBUTES, "an expectation")
    how, stream = values.get("match", "like"), values.get("stream", "stdout")
    for key, value, known in (("match", how, _MATCHES), ("stream", stream, _STREAMS)):
        if value not in known:
            given.problem(f"unknown {key} `{value}`", did_you_mean(value, list(known)))
    expectation = Expectation(
        text=given.fence.text.removesuffix("\n"),
        match=_MATCHES.get(how, Match.LIKE),
        stream=_STREAMS.get(stream, Stream.STDOUT),
        span=given.fence.span,
    )
    if how == expectation.match.value:
        _readable(given, expectation)
    return expectation


def captures(expectation: Expectation) -> tuple[str, ...]:
    """Return the names that an expectation captures: placeholders, and the named groups of a ``regex``."""
    if expectation.match is Match.REGEX:
        return tuple(dict.fromkeys(_GROUP.findall(expectation.text)))
    if expectation.match not in {Match.LIKE, Match.JSON}:
        return ()
    return tuple(dict.fromkeys(name for name in _PLACEHOLDER.findall(expectation.text) if CAPTURE.fullmatch(name)))


def can_fail(expectation: Expectation) -> bool:
    """Tell whether an expectation says anything: not one of only ``...``, or of any JSON or any JSON object."""
    if expectation.match is Match.LIKE:
        lines = [line.strip() for line in expectation.text.split("\n")]
        return "..." not in lines or any(line not in {"", "..."} for line in lines)
    if expectation.match is Match.CONTAINS:
        return bool(expectation.text)
    if expectation.match is Match.JSON:
        return not re.fullmatch(r"\s*(?:\{\s*\}|\"\.\.\.\")\s*", expectation.text)
    if expectation.match is Match.REGEX:
        import regex  # noqa: PLC0415  only pages that use it pay for it

        try:
            pattern = regex.compile(expectation.text, flags=regex.MULTILINE)
            return not (pattern.search("", timeout=1) and pattern.search(_UNLIKELY, timeout=1))
        except (regex.error, TimeoutError):
            return True
    return True


def _readable(given: Attributes, expectation: Expectation) -> None:
    match expectation.match:
        case Match.LIKE:
            _like(given, expectation.text)
        case Match.JSON:
            _json(given, expectation.text)
        case Match.REGEX:
            _regex(given, expectation.text)
        case Match.CONTAINS if not expectation.text:
            given.problem("every output contains nothing", "write what it must contain")
        case Match.EXACT | Match.CONTAINS:
            pass


def _like(given: Attributes, text: str) -> None:
    for offset, line in enumerate(text.split("\n"), start=1):
        for name in _PLACEHOLDER.findall(line):
            if not CAPTURE.fullmatch(name):
                suggestion = f"write a lower-case name, or `\\<{name}>` for the text itself"
                given.problem(f"`<{name}>` cannot be a capture", suggestion, offset)


def _json(given: Attributes, text: str) -> None:
    from json import JSONDecodeError  # noqa: PLC0415

    from runbook_checks.json_subset import load  # noqa: PLC0415  only pages that use it pay for it

    try:
        load(text)
    except JSONDecodeError as error:
        given.problem(f"the expectation is not valid JSON: {error.msg}", offset=error.lineno if text else 0)
    except ValueError as error:
        given.problem(f"the expectation is not usable JSON: {error}")


def _regex(given: Attributes, text: str) -> None:
    import regex  # noqa: PLC0415  only pages that use it pay for it

    if not text:
        given.problem("an empty regular expression is always true", "write what must be found")
    try:
        regex.compile(text, flags=regex.MULTILINE)
    except regex.error as error:
        line = text.count("\n", 0, getattr(error, "pos", 0) or 0) + 1
        given.problem(f"the regular expression is not valid: {error}", offset=line)
    except (RecursionError, OverflowError, ValueError) as error:
        given.problem(f"the regular expression is not usable: {error}")


def _compares(query: str) -> bool:
    quiet = _PROMQL_QUIET.sub('""', query)
    return bool(_COMPARISON.search(re.sub(r"\{[^{}]*\}", "", quiet)))
