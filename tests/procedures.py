"""Procedures written down in a line, and run in a session of their own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runbook_checks.execute import execute
from runbook_checks.languages import DEFAULTS
from runbook_checks.markdown import scan
from runbook_checks.running import Blocks, Run, Target
from runbook_checks.shell import find_bash

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.record import BlockRecord, Record


BASH = find_bash(os.environ)


HEAD = "---\nrunbook: {}\n---\n## One { #one }\n"


FENCE = "`" * 3


def fence(info: str, text: str, *expected: str) -> str:
    blocks = [f"{FENCE}{info}\n{text}\n{FENCE}\n"]
    blocks += [f"{FENCE}text {{.expect}}\n{one}\n{FENCE}\n" for one in expected]
    return "\n" + "\n".join(blocks)


def step(text: str, *expected: str, more: str = "") -> str:
    return fence(f"bash {{.step{more}}}", text, *expected)


def check(text: str, *expected: str, more: str = "") -> str:
    return fence(f"bash {{.check{more}}}", text, *expected)


def card(text: str) -> str:
    return fence("yaml {.procedure}", text)


CLEANUP = fence("bash {.cleanup}", "echo cleaned >>log")


def run(folder: Path, *blocks: str, languages: dict[str, str] | None = None, **target: Any) -> Record:
    found = scan(HEAD + "".join(blocks), "docs/p.md")
    assert not found.problems
    assert found.runbook is not None
    environ = {"PATH": os.environ["PATH"], **target.pop("environ", {})}
    where = Target("local", environ, frozenset(environ), **target)
    how = Run("r", folder, BASH, {**DEFAULTS, **(languages or {})}, mark="")
    with Blocks(found.runbook.procedures[0], where, how) as opened:
        return execute(opened)


def block(record: Record, number: int = 0) -> BlockRecord:
    return record.blocks[number]


def log(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().split() if path.exists() else []
