"""What was run, as one hash: equal as long as nothing that a run depends on is written differently."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from enum import Enum
from functools import cache, lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING

from runbook_checks.languages import DEFAULTS
from runbook_checks.model import is_drill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment
    from runbook_checks.files import FileHashes
    from runbook_checks.model import Block, Card, Procedure

_PLAIN = frozenset({str, int, float, bool, type(None)})  # most values by far
_HASH = re.compile("[0-9a-f]{64}")
_SHORT, _LONG = 12, 64  # digits of a hash


def digest_of(covered: Mapping[str, str]) -> str:
    """Return the digest of the parts that it covers.

    Not covered: prose, places on the page, titles of blocks and ids that measure nothing, and the
    front matter, of which nothing reaches a run.
    """
    return f"sha256:{_hash(_listed(covered))}"


def shortened(covered: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return parts with hashes of 12 digits, which tell two versions of one thing apart, for a record.

    A file of the stack that is also a ``file`` is there once.
    """
    return tuple(
        (name, value[:_SHORT] + value[_LONG:] if _HASH.match(value) else value)
        for name, value in covered.items()
        if not (name.startswith("stack ") and f"file {name.removeprefix('stack ')}" in covered)
    )


def parts(
    config: Config, environment: Environment, procedure: Procedure, catalog: Catalog, hashes: FileHashes
) -> Mapping[str, str]:
    """Return the hash of each thing that a digest covers, by a name that a reader understands.

    Names: ``card``; ``block <id>`` in page order; ``language <name>``, the command that runs such blocks;
    ``file <path>`` for what blocks, variables and languages name, transitively, and for the card's ``uses``;
    ``needs <public id>``; ``environment <field>``; ``stack <path>`` for the stack's definition and what its commands
    and the identity name. A drill proves that its alerts fire: it also has the rule files as a ``file <path>``, where
    they are not there already.
    """
    found = _own(config, environment, procedure, hashes)
    for need in catalog.needs(procedure):
        found[f"needs {need.id}"] = _hash(_listed(_own(config, environment, need, hashes)))
    around = hashes.around.get(environment)  # the same for every procedure
    if around is None:
        around = hashes.around[environment] = _around(environment, hashes)
    found.update(around)
    if is_drill(procedure, environment.name):
        rules = (name for name in hashes.matching(config.alerts) if f"stack {name}" not in found)
        found.update((f"file {name}", hashes.hash(name)) for name in rules)
    return found


def _around(environment: Environment, hashes: FileHashes) -> tuple[tuple[str, str], ...]:
    """Return the parts that an environment gives to every procedure."""
    return (
        ("environment name", _hash(environment.name)),
        ("environment variables", _hash(sorted(environment.variables))),
        ("environment secrets", _hash(sorted(environment.secrets))),
        ("environment identity", _hash(_values(environment.identity))),
        ("environment stack", _hash(_values(environment.stack, "definition", "logs", "timeout_s"))),
        *((f"stack {name}", hashes.hash(name)) for name in _stack_files(environment, hashes)),
    )


def _own(config: Config, environment: Environment, procedure: Procedure, hashes: FileHashes) -> dict[str, str]:
    """Return the parts of a procedure without what it needs."""
    measured = {figure.name for figure in procedure.card.figures}
    found = {"card": _hash_of_card(procedure.card)}
    for block in procedure.blocks:
        found[f"block {block.id}"] = _hash_of_block(block, block.id if block.id in measured else "")
    table = {**DEFAULTS, **dict(config.languages)}
    languages = {block.language for block in procedure.blocks}
    commands = {name: table[name] for name in sorted(languages) if name in table}
    found.update((f"language {name}", _hash(command)) for name, command in commands.items())
    drill = environment.drill if is_drill(procedure, environment.name) else None
    if drill is not None:
        found["environment drill"] = _hash(_values(drill))
    texts = [
        *((drill.notifications, drill.snapshot) if drill else ()),
        *(value for _, value in environment.variables),
        *commands.values(),
        *(block.text for block in procedure.blocks),
    ]
    named = hashes.named(texts, python="python" in languages)
    used = {*named, *hashes.with_named(hashes.matching(procedure.card.uses))}
    found.update((f"file {name}", hashes.hash(name)) for name in sorted(used))
    return found


@lru_cache(maxsize=256)  # for the second look, when it has run
def _hash_of_card(card: Card) -> str:
    return _hash(_values(card, "line", "formerly", "unproven"))


@lru_cache(maxsize=256)
def _hash_of_block(block: Block, name: str) -> str:
    return _hash([name, _values(block, "id", "span", "title")])


def _stack_files(environment: Environment, hashes: FileHashes) -> tuple[str, ...]:
    stack, identity = environment.stack, environment.identity
    commands = [] if stack is None else [stack.up, stack.health, stack.env, stack.services, stack.down]
    if identity is not None:
        commands.append(identity.run)
    defined = hashes.matching(stack.definition) if stack is not None else ()
    return tuple(sorted({*hashes.named(commands), *defined}))


def _listed(found: Mapping[str, str]) -> list[list[str]]:
    """Return parts for a hash, in which blocks count by their order, not by their ids."""
    return [["block" if name.startswith("block ") else name, value] for name, value in found.items()]


def _values(value: object, *without: str) -> object:
    """Return a value of the model as plain lists and texts, without fields that say only where or how it is named."""
    if type(value) in _PLAIN or isinstance(value, str | int | float):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_values(item, *without) for item in value]
    if dataclasses.is_dataclass(value):
        names, values_of = _fields(type(value), without)  # type: ignore[arg-type]  # classes are hashable
        found = zip(names, values_of(value), strict=True)
        return [[name, one if type(one) in _PLAIN else _values(one, *without)] for name, one in found]
    return value


@cache
def _fields(kind: type, without: tuple[str, ...]) -> tuple[tuple[str, ...], Callable[[object], tuple[object, ...]]]:
    """Return the names of a class's fields but some, and what reads all of them at once."""
    names = tuple(field.name for field in dataclasses.fields(kind) if field.name not in without)
    read = attrgetter(*names)
    return names, read if len(names) > 1 else lambda value: (read(value),)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=True).encode(errors="surrogateescape")).hexdigest()
