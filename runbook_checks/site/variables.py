"""The variables of a runbook page that its reader has to know: which blocks read them, where, and in which quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

import tree_sitter_bash
from tree_sitter import Language, Parser, Query, QueryCursor

from runbook_checks import http_request
from runbook_checks.blocks import captures
from runbook_checks.languages import SESSION_LANGUAGE
from runbook_checks.model import acts
from runbook_checks.site.commands import runnable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tree_sitter import Node

    from runbook_checks.model import Block, Procedure, Runbook


class Context(Enum):
    """How a value has to be written where a variable stands."""

    BARE = "b"
    DOUBLE_QUOTED = "q"
    HEREDOC = "h"
    VERBATIM = "v"  # in the text of a request or a query, which has no quotes
    KEPT = "k"  # only the variable will do there, such as `${NAME%.*}`


@dataclass(frozen=True, slots=True)
class Use:
    """A place of a text where a variable is read: where in it, in characters, how long it is written, which one."""

    offset: int
    length: int
    name: str
    context: Context


@dataclass(frozen=True, slots=True)
class Reading:
    """What a bash text does with variables: where it reads them, and which ones it gives a value itself."""

    uses: tuple[Use, ...] = ()
    assigned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BlockVariables:
    """What a reader can fill in for a block: in its text as shown, and in the command ``run`` when that is another."""

    shown: tuple[Use, ...] = ()
    run: str = ""
    run_uses: tuple[Use, ...] = ()
    captures: tuple[str, ...] = ()  # that its output is the first to show, and blocks after it read


@dataclass(frozen=True, slots=True)
class PageVariables:
    """The variables of a page, those of the environment first, and what can be filled in for each block for readers."""

    names: tuple[str, ...] = ()
    blocks: Mapping[str, BlockVariables] = field(default_factory=dict)


_BASH = Language(tree_sitter_bash.language())
_PARSER = Parser(_BASH)
_QUERY = Query(_BASH, "(variable_name) @name (command name: (command_name)) @command (heredoc_redirect) @heredoc")
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WRITTEN_NAME = re.compile(r"(?<![\w$])(?<!\$\{)[A-Za-z_]\w*", re.ASCII)
_ASSIGNING = re.compile(
    r"(?:(?:builtin|command)\s+)?(?:read|mapfile|readarray|getopts|let|wait|exec|eval|source|trap|\.)(?:\s|$)"
)
_PRINTF = re.compile(r"printf\s+-v\s*(\w+)", re.ASCII)
_FROM_ENVIRONMENT = re.compile(
    r"""(?:environ(?:\.get)?\s*[\[(]|getenv\s*\()\s*["']([A-Za-z_]\w*)["']|\\getenv\s+\w+\s+([A-Za-z_]\w*)""", re.ASCII
)
_ASSIGNS = re.compile(r"\$\{\w+:?=")
_EXPANDED = re.compile(r"\$(?:\w+|\{[^}]*\})", re.ASCII)
_WHOLE = re.compile(r"\$(?:\w+|\{\w+(?::?[-?][^{}$`\"'\\]*)?\})", re.ASCII)
_DECLARING = frozenset({"declare", "local", "readonly", "typeset"})
_THE_SHELLS_OWN = re.compile(
    r"BASH\w*|COMP_\w+|HIST\w+|LC_\w+|OPT(?:ARG|ERR|IND)|PS\d|READLINE_\w+|RUNBOOK_CHECKS_\w+|_|COLUMNS|COPROC|"
    r"DIRSTACK|EDITOR|EPOCHREALTIME|EPOCHSECONDS|EUID|FUNCNAME|GROUPS|HOME|HOSTNAME|HOSTTYPE|IFS|LANG|LANGUAGE|"
    r"LINENO|LINES|LOGNAME|MACHTYPE|MAIL|MAPFILE|OLDPWD|OSTYPE|PAGER|PATH|PIPESTATUS|POSIXLY_CORRECT|PPID|"
    r"PROMPT_COMMAND|PWD|RANDOM|REPLY|SECONDS|SHELL|SHELLOPTS|SHLVL|SRANDOM|TERM|TMPDIR|TZ|UID|USER|VISUAL",
    re.ASCII,
)


def page_variables(runbook: Runbook, table: Mapping[str, str]) -> PageVariables:
    """Return what the readers of a page can fill in; ``table`` has the command of each language.

    A variable of the page is one that a block for readers reads and that no such block of its procedure sets: the
    setup of a test may, but no reader runs that. A placeholder of an expectation that a later block reads is to be
    filled in there, unless a block before it has read that name: a capture never overwrites a variable.
    """
    names: dict[str, None] = {}
    blocks: dict[str, BlockVariables] = {}
    for procedure in runbook.procedures:
        _add_procedure(procedure, table, names, blocks)
    return PageVariables(tuple(sorted(names, key=str.islower)), blocks)  # the environment's first, then a procedure's


def _add_procedure(
    procedure: Procedure, table: Mapping[str, str], names: dict[str, None], blocks: dict[str, BlockVariables]
) -> None:
    acting = [block for block in procedure.blocks if acts(block)]
    readings = [_read(block, table) for block in acting]
    assigned = frozenset[str]().union(*(reading.assigned for _, _, reading in readings))
    asked: set[str] = set()  # of the page, in this procedure
    captured: set[str] = set()
    wanted: set[str] = set()
    for block, (shown, _, reading) in zip(acting, readings, strict=True):
        for use in (*shown, *reading.uses):
            if use.name in captured:
                wanted.add(use.name)
            elif use.name not in assigned:
                asked.add(use.name)
                names.setdefault(use.name)
        captured |= set(_captures(block)) - asked - assigned
    shown_before: set[str] = set()
    for block, (shown, run, reading) in zip(acting, readings, strict=True):
        fields = tuple(name for name in _captures(block) if name in wanted - shown_before)
        shown_before.update(fields)
        blocks[block.id] = BlockVariables(
            shown=_only(shown, asked | wanted),
            run="" if block.language == SESSION_LANGUAGE else run,
            run_uses=() if block.language == SESSION_LANGUAGE else _only(reading.uses, asked | wanted),
            captures=fields,
        )


def written(uses: Sequence[Use], text: str) -> str:
    """Return uses as a page carries them for its script: ``offset:length:context`` and the name, by UTF-16 units."""
    return " ".join(
        f"{len(text[: use.offset].encode('utf-16-le')) // 2}:{use.length}:{use.context.value}{use.name}" for use in uses
    )


def _only(uses: Sequence[Use], names: AbstractSet[str]) -> tuple[Use, ...]:
    return tuple(use for use in uses if use.name in names)


def _captures(block: Block) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in block.expectations for name in captures(each)))


def _read(block: Block, table: Mapping[str, str]) -> tuple[tuple[Use, ...], str, Reading]:
    """Return where the text of a block reads variables, the command that runs it, and what that command reads."""
    run = runnable(block, table)
    reading = read_bash(run)
    text = block.text.strip("\n")
    match block.language:
        case "bash":
            return reading.uses, run, reading
        case "http" | "promql":
            found = http_request.variables(text) if block.language == "http" else http_request.references(text)
            shown = tuple(Use(start, end - start, name, Context.VERBATIM) for start, end, name in found if _asks(name))
            return shown, run, reading
        case "sh":
            inner = read_bash(text)
            shown = inner.uses  # what its process sets is lost with it
            kept = tuple(Use(0, 0, use.name, Context.KEPT) for use in shown if use.name not in inner.assigned)
            return _only(shown, {use.name for use in kept}), run, Reading((*reading.uses, *kept))
        case _:
            found_names = dict.fromkeys(one or other for one, other in _FROM_ENVIRONMENT.findall(text))
            kept = tuple(Use(0, 0, name, Context.KEPT) for name in found_names if _asks(name))
            return (), run, Reading((*reading.uses, *kept))


def _asks(name: str) -> bool:
    return not _THE_SHELLS_OWN.fullmatch(name)


@lru_cache(maxsize=1024)
def read_bash(text: str) -> Reading:
    """Return where a bash text reads variables that are not the shell's own, and what it sets itself.

    A text that cannot be told for sure reads nothing: its reader gets it as it is.
    """
    source = text.encode()
    root = _PARSER.parse(source).root_node
    if root.has_error:
        return Reading(assigned=frozenset(_WRITTEN_NAME.findall(text)))
    found = QueryCursor(_QUERY).captures(root)
    assigned = {name for node in found.get("command", ()) for name in _assigned_by_command(node)}
    heredocs = tuple(map(_heredoc, found.get("heredoc", ())))
    lines = text.split("\n")
    uses = []
    for node in found.get("name", ()):
        name = (node.text or b"").decode()
        parent = _parent(node)
        if parent is None or not _NAME.fullmatch(name):
            continue
        if _is_assigned(node, parent):
            assigned.add(name)
        if _asks(name) and (use := _use(node, parent, name, source)):
            row = node.start_point[0]
            open_to_values = any(heredoc.may_be_left(row, lines) for heredoc in heredocs)
            uses.append(replace(use, context=Context.KEPT) if open_to_values else use)
    return Reading(tuple(sorted(uses, key=lambda use: use.offset)), frozenset(assigned))


def _parent(node: Node) -> Node | None:
    """Return what a variable is named in, through the brackets of an array."""
    parent = node.parent
    return parent.parent if parent is not None and parent.type == "subscript" else parent


def _assigned_by_command(node: Node) -> Iterator[str]:
    text = (node.text or b"").decode()
    if _ASSIGNING.match(text):
        yield from _WRITTEN_NAME.findall(text)
    if match := _PRINTF.match(text):
        yield match[1]


def _is_assigned(node: Node, parent: Node) -> bool:
    match parent.type:
        case "variable_assignment":
            before_command = parent.parent is not None and parent.parent.type == "command"
            return not before_command and node.start_byte == parent.start_byte
        case "for_statement" | "c_style_for_statement" | "unset_command" | "postfix_expression" | "unary_expression":
            return True
        case "declaration_command":
            return (parent.text or b"").split(maxsplit=1)[0].decode() in _DECLARING
        case "binary_expression":
            operator = parent.child_by_field_name("operator")
            written = (operator.text or b"").decode() if operator else ""
            assigns = written.endswith("=") and written not in {"==", "!=", "<=", ">="}
            return assigns and node.start_byte == parent.start_byte
        case "expansion":
            return _ASSIGNS.match((parent.text or b"").decode()) is not None
        case _:
            return False


def _use(node: Node, parent: Node, name: str, source: bytes) -> Use | None:
    match parent.type:
        case "simple_expansion" | "expansion":
            written = (parent.text or b"").decode()
            context = _context(parent, source) if _WHOLE.fullmatch(written) and node.parent == parent else Context.KEPT
            follows = source[parent.end_byte : parent.end_byte + 1]
            if context is Context.BARE and follows in {b"<", b">"}:  # `2>` would be another redirection
                context = Context.KEPT
            return Use(len(source[: parent.start_byte].decode()), len(written), name, context)
        case "variable_assignment" | "for_statement" | "unset_command" | "declaration_command":
            return None
        case _:
            return Use(len(source[: node.start_byte].decode()), len(name), name, Context.KEPT)


@dataclass(frozen=True, slots=True)
class _Heredoc:
    """The lines of a here-document after the one that opens it, and those from which on the grammar has read it."""

    opened: int  # zero-based lines
    body: int
    closed: int
    end: str

    def may_be_left(self, row: int, lines: Sequence[str]) -> bool:
        """Return whether a value on a line of it could do more than stand there.

        With what stands around it, it could be the line that ends it. And the grammar sees no backquotes there, and
        takes first lines that begin with a backslash for words of the command.
        """
        if not self.opened < row <= self.closed:
            return False
        literal = set(_EXPANDED.sub("", lines[row]).rstrip("\\").lstrip("\t"))
        return (
            row < self.body
            or literal <= set(self.end)
            or any("`" in line for line in lines[self.opened + 1 : self.closed])
        )


def _heredoc(node: Node) -> _Heredoc:
    parts = {child.type: child for child in node.children}
    start, body, end = (parts.get(f"heredoc_{name}") for name in ("start", "body", "end"))
    opened = (start or node).start_point[0]
    return _Heredoc(
        opened,
        body.start_point[0] if body else node.end_point[0] + 1,
        (end or node).end_point[0],
        (start.text or b"").decode() if start else "",
    )


_TAKES_A_PATTERN = frozenset({"test_command", "case_item", "array", "subscript"})
_CALCULATES = frozenset({"arithmetic_expansion", "c_style_for_statement"})
_NEAREST = {"string": Context.DOUBLE_QUOTED, "heredoc_body": Context.HEREDOC}


def _context(expansion: Node, source: bytes) -> Context:
    """Return how a value is to be written in place of an expansion, as far as everything around it tells."""
    around = expansion.parent
    context = None
    if around is not None and around.type in {"command_name", "for_statement"}:
        return Context.KEPT  # a name would be a keyword, and words would be one
    while around is not None:
        kind = around.type
        if kind == "command_substitution" and source[around.start_byte - 1 : around.start_byte] == b"$":
            return Context.KEPT  # `$$(` is a process id and a bracket, and no command
        if kind == "expansion" or kind in _CALCULATES or (around.text or b"").startswith((b"`", b"((")):
            return Context.KEPT
        if context is None:
            if kind in _TAKES_A_PATTERN or kind == "translated_string":
                return Context.KEPT
            context = _NEAREST.get(kind) or (Context.BARE if kind in {"command_substitution", "subshell"} else None)
        around = around.parent
    return context or Context.BARE
