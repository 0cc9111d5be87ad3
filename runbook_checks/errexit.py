"""What errexit does not see in a bash text, as far as its syntax tells: the tree is tree-sitter's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tree_sitter_bash
from tree_sitter import Language, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tree_sitter import Node

_BASH = Language(tree_sitter_bash.language())
_BUILTIN = r"(?:(?:builtin|command)\s+)?"
_SWITCHED_OFF = re.compile(
    rf"{_BUILTIN}(?:set\s+(?:(?!--\s)\S+\s+)*?\+(?:[a-zA-Z]*e[a-zA-Z]*|o\s+(?:errexit|pipefail))"
    r"|shopt(?=.*\s-\w*u)\s(?:.*\s)?(?:errexit|pipefail|inherit_errexit))\b"
)
_EVERY_JOB = re.compile(rf"{_BUILTIN}wait(?:\s+-f)?")
_SOURCED = re.compile(rf"{_BUILTIN}(?:\.|source)\s")
_SEVERAL = re.compile(r"\[[@*]\]")
_TRAPPED = re.compile(r"trap\s.*\sERR\b", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Masked:
    """A place where a failure goes unseen: the one-based line of the text, why, and what to write instead."""

    line: int
    reason: str
    suggestion: str


def masked(text: str) -> tuple[Masked, ...]:
    """Return the places of a block's bash text where a failure neither ends the block nor becomes its status.

    Covered are lists, conditions, ``!``, files that are sourced in one, the heads of ``for`` and ``case``, arrays that
    are declared, a ``wait`` for anything or for several, and what switches errexit off or traps ERR; not what
    shellcheck finds: functions in conditions, and substitutions in words.
    """
    tree = Parser(_BASH).parse(text.encode())
    return tuple(_sequence(tree.root_node.children, counts=True, watched=True))


def _sequence(nodes: Sequence[Node], *, counts: bool, watched: bool) -> Iterator[Masked]:
    """Walk commands that run one after the other.

    ``counts``: the status of the last one is looked at, or is that of the whole. ``watched``: errexit is on.
    """
    commands = [node for node in nodes if node.is_named and node.type != "comment"]
    for node in commands:
        after = node.next_sibling
        if after is not None and after.type == "&":  # its status is that of the job, for `wait`
            yield from _command(node, counts=True, watched=True)
        elif node is commands[-1]:
            yield from _command(node, counts=counts, watched=watched)
        elif watched:
            yield from _command(node, counts=False, watched=True)
        else:
            yield _at(
                node,
                "errexit is off in here, and only the last command counts: a failure of this one is not seen",
                "join the commands by `&&`",
            )
            yield from _command(node, counts=True, watched=False)


def _command(node: Node, *, counts: bool, watched: bool) -> Iterator[Masked]:  # noqa: C901, PLR0912 - one case per kind
    children = node.children
    match node.type:
        case "list":
            if children[1].type == "&&" and not counts:
                yield _unseen_and(node)
            yield from _command(children[0], counts=True, watched=False)
            yield from _command(children[-1], counts=counts, watched=watched)
        case "negated_command":
            if not counts:
                yield _at(
                    node,
                    "errexit does not see that a command after `!` succeeds",
                    "write `if command; then exit 1; fi`, or a block of its own with `exit=`",
                )
            yield from _sequence(children, counts=True, watched=False)
        case "pipeline":
            first = children[0]  # the tree has `! a | b` as `(! a) | b`
            yield from _command(first, counts=counts if first.type == "negated_command" else True, watched=watched)
            for child in children[1:]:
                yield from _command(child, counts=True, watched=watched)
        case "redirected_statement":
            yield from _redirected(node, counts=counts, watched=watched)
        case "compound_statement":
            yield from _sequence(children, counts=counts, watched=watched)
        case "subshell" | "command_substitution" | "process_substitution":
            yield from _sequence(children, counts=True, watched=watched)
        case "function_definition":
            for child in children:
                yield from _command(child, counts=True, watched=True)
        case "if_statement" | "elif_clause" | "else_clause":
            yield from _branch(node, counts=counts, watched=watched)
        case "while_statement":
            yield from _sequence(children[:-1], counts=True, watched=False)
            yield from _command(children[-1], counts=False, watched=watched)
        case "do_group":  # what an earlier round ended with is forgotten
            yield from _sequence(children, counts=False, watched=watched)
        case "for_statement" | "c_style_for_statement":
            for child in children:
                if child.type not in {"do_group", "compound_statement"}:
                    yield from _words(child)
                yield from _command(child, counts=False, watched=watched)
        case "case_statement":
            yield from _words(*node.children_by_field_name("value"))
            for child in children:
                yield from _command(child, counts=counts, watched=watched)
        case "case_item":
            patterns = node.children_by_field_name("value")
            yield from _sequence([child for child in children if child not in patterns], counts=counts, watched=watched)
        case _:
            if node.type == "command":
                yield from _named(node, watched=watched)
            elif node.type == "declaration_command":
                yield from _arrays(node)
            for child in node.named_children:
                yield from _command(child, counts=True, watched=watched)


def _branch(node: Node, *, counts: bool, watched: bool) -> Iterator[Masked]:
    """Walk ``if``, ``elif`` or ``else``: what is before ``then`` is a condition."""
    condition: list[Node] = []
    body: list[Node] = []
    inside = body if node.type == "else_clause" else condition
    for child in node.children:
        if child.type == "then":
            inside = body
        elif child.type in {"elif_clause", "else_clause"}:
            yield from _command(child, counts=counts, watched=watched)
        else:
            inside.append(child)
    yield from _sequence(condition, counts=True, watched=False)
    yield from _sequence(body, counts=counts, watched=watched)


def _redirected(node: Node, *, counts: bool, watched: bool) -> Iterator[Masked]:
    for child in node.children:
        if child.type == "heredoc_redirect":  # the tree keeps what follows `<<END` on its line in here
            if any(one.type == "&&" for one in child.children) and not counts:
                yield _unseen_and(node)
            yield from _command(child, counts=True, watched=watched)
        else:
            yield from _command(child, counts=counts, watched=watched)


def _named(command: Node, *, watched: bool) -> Iterator[Masked]:
    text = (command.text or b"").decode()
    if _EVERY_JOB.fullmatch(text):
        yield _at(
            command,
            "a `wait` without a process id succeeds whatever the jobs did",
            'keep the id of each job, `job=$!`, and `wait "$job"`',
        )
    elif _waits_for_several(command):
        yield _at(
            command,
            "a `wait` for several jobs has the status of the last one: a failure of the others is not seen",
            'wait for each of them, `wait "$one" && wait "$other"`',
        )
    elif _SOURCED.match(text) and not watched:
        yield _at(
            command,
            "errexit is off in a file that is sourced in a condition, after `!`, or before `&&` or `||`",
            "source it on a line of its own",
        )
    elif _TRAPPED.match(text):
        yield _at(
            command,
            "a trap of ERR can turn a failure into a success, and hides the line that failed",
            "use a `.cleanup` or `.rollback` block, or a trap of EXIT",
        )
    elif _SWITCHED_OFF.match(text):
        yield _at(
            command,
            "errexit or pipefail is switched off, and failures from here on are not seen",
            "leave it on, and write `command || status=$?` where a failure is expected",
        )


def _waits_for_several(command: Node) -> bool:
    name = command.child_by_field_name("name")
    if name is None or name.text != b"wait":
        return False
    words = [(word.text or b"").decode() for word in command.children_by_field_name("argument")]
    jobs = [word for word in words if not word.startswith("-")]
    anyone = any(word.startswith("-") and {"n", "p"} & set(word) for word in words)
    return not anyone and (len(jobs) > 1 or any(map(_SEVERAL.search, jobs)))


def _arrays(declaration: Node) -> Iterator[Masked]:
    """Yield the substitutions in arrays that are declared: those of plain values shellcheck finds."""
    for child in declaration.named_children:
        value = child.child_by_field_name("value")
        if value is not None and value.type == "array" and _holds_substitution(value):
            yield _at(
                value,
                "errexit does not see a failure of the command substitution: `local`, `declare` and `export` succeed",
                "declare it on a line of its own, before `x=( … )` with one substitution",
            )


def _holds_substitution(node: Node) -> bool:
    return node.type == "command_substitution" or any(map(_holds_substitution, node.named_children))


def _words(*nodes: Node) -> Iterator[Masked]:
    for node in nodes:
        if node.type == "command_substitution":
            yield _at(
                node,
                "errexit does not see a failure of the command substitution in the head of `for` or `case`",
                "put its output into a variable first, `x=$(…)`",
            )
        else:
            yield from _words(*node.named_children)


def _unseen_and(node: Node) -> Masked:
    return _at(
        node,
        "errexit does not see a failure before `&&`, and this list is not the last command",
        "join the next command by `&&` too, write one command a line, or use `if`",
    )


def _at(node: Node, reason: str, suggestion: str) -> Masked:
    return Masked(node.start_point.row + 1, reason, suggestion)
