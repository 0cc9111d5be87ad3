"""Feeds the scanner what reaches new code of it, and holds what it says against the page: see scripts/fuzz.

Coverage-guided, by atheris; the arguments are libFuzzer's, such as how long. A page that breaks a promise is left as
`crash-…`.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":
    import atheris

    watched = atheris.instrument_imports(include=["runbook_checks"])
else:
    watched = nullcontext()
with watched:
    from runbook_checks import markdown
    from runbook_checks.fences import normal

if TYPE_CHECKING:
    from runbook_checks.fences import Fence
    from runbook_checks.model import Procedure

FRONT = "---\nrunbook:\n  owner: platform\n---\n"
SAMPLES = Path(__file__).parent / "samples" / "markdown"


def squeezed(text: str) -> str:
    return "".join(text.split())


def is_of(line: str, text: str) -> bool:
    """Tell whether a line of a fence is that of the page, without its indentation and its marks of a quotation."""
    return squeezed(line).endswith(squeezed(text)) and not squeezed(line).removesuffix(squeezed(text)).strip(">")


def promises(page: str) -> None:
    """Raise AssertionError when the scanner says of a page what is not so."""
    scan = markdown.scan(page, "page.md")
    lines = normal(page).split("\n")
    assert scan == markdown.scan(page, "page.md"), "the same page twice is not the same"
    assert all(1 <= problem.line <= len(lines) + 1 for problem in scan.problems), "a problem is nowhere on the page"
    end = 0
    for fence in scan.fences:
        assert end < fence.span.first <= fence.span.last <= len(lines), "fences overlap, or are out of order"
        end = fence.span.last
    runbook = scan.runbook
    if runbook is None or scan.problems:  # of a page with problems nothing is run
        return
    for fence in scan.fences:
        inside = lines[fence.span.first : fence.span.last - 1] or [
            ""
        ]  # superfences shows an empty one as an empty line
        texts = fence.text.split("\n")[:-1]
        same = len(inside) == len(texts) and all(map(is_of, inside, texts))
        assert same or not fence.marked, "a marked fence is not what stands on the page"
    for procedure in runbook.procedures:
        ids = [block.id for block in procedure.blocks]
        assert len(set(ids)) == len(ids), "two blocks have one id"
        again = markdown.scan(f"{FRONT}## T {{ #{procedure.anchor} }}\n\n{printed(procedure, scan.fences)}", "page.md")
        assert again.runbook is not None
        assert not again.problems, f"what was printed is not understood: {again.problems}"
        assert said(again.runbook.procedures[0]) == said(procedure), "what was printed is read as something else"


def printed(procedure: Procedure, fences: tuple[Fence, ...]) -> str:
    """Return a procedure's marked fences as a page of their own."""
    lines = {procedure.card.line}
    for block in procedure.blocks:
        lines |= {block.span.first, *(expectation.span.first for expectation in block.expectations)}
    shown = []
    for fence in fences:
        if fence.span.first in lines:
            sign = "~" if "`" in fence.info else "`"
            mark = sign * 3
            while mark in fence.text:
                mark += sign
            shown.append(f"{mark}{fence.info}\n{fence.text}{mark}\n")
    return "\n".join(shown)


def said(procedure: Procedure) -> list[tuple[object, ...]]:
    """Return what a procedure runs and expects, without where it stands."""
    return [
        (block.role, block.language, block.text, block.timeout_s, block.within_s, block.exit_status,
         [(one.text, one.match, one.stream) for one in block.expectations])
        for block in procedure.blocks
    ]  # fmt: skip


def test_one_input(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    promises(text)
    promises(FRONT + text)


def main(*limits: str) -> None:
    """Fuzz up to a limit; libFuzzer ends the process, with status 0 when no promise was broken."""
    with tempfile.TemporaryDirectory() as folder:
        for sample in SAMPLES.glob("*.md"):
            (Path(folder) / sample.name).write_bytes(sample.read_bytes())
        options = [
            *limits,
            "-max_len=4096",
            "-timeout=10",
            "-rss_limit_mb=1024",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *options, folder], test_one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
