"""The pages of the documentation, and what a test holds against the code: tables, fences and commands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.markdown import scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runbook_checks.fences import Fence

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CODE = re.compile(r"`([^`]+)`")


def section(page: str, heading: str) -> list[str]:
    """Return the lines of a section of a reference page, up to the next heading."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    headings = scan(text, page).headings
    first = next(one.line for one in headings if one.id == heading)
    after = [one.line for one in headings if one.line > first]
    return text.split("\n")[first : after[0] - 1 if after else None]


def documented(page: str, heading: str) -> list[str]:
    """Return the code words in the first column of a section's tables."""
    rows = [line.split("|") for line in section(page, heading) if line.startswith("|")]
    return [word for row in rows if len(row) > 2 for word in CODE.findall(row[1])]


def shown_commands(page: Path) -> Iterator[tuple[str, str]]:
    """Yield each whole command of ours that a page shows, in a fence or between backticks."""
    text = page.read_text(encoding="utf-8")
    found = scan(text, page.name)
    for fence in found.fences:
        for offset, line in enumerate(fence.text.split("\n"), start=1):
            if fence.language in {"bash", "console"} and re.match(r"(\$ )?runbook-checks( |$)", line.strip()):
                yield f"{page.name}:{fence.span.first + offset}", line.strip()
    inside = {line for fence in found.fences for line in range(fence.span.first, fence.span.last + 1)}
    for number, line in enumerate(text.split("\n"), start=1):
        for code in CODE.findall(line) if number not in inside else ():
            complete = code.startswith("runbook-checks ") and len(code.split()) > (2 if " stack" in code else 1)
            if complete and "SELECTION" not in code and code.split()[1:] not in (["site"], ["stack"]):
                yield f"{page.name}:{number}", code


def fences(page: Path) -> tuple[Fence, ...]:
    return scan(page.read_text(encoding="utf-8"), page.name).fences
