"""The fuzz of the scanner, from the same start each time; scripts/fuzz goes on for longer, from new ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fuzz_scanner import FRONT, promises
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook_checks import markdown

PAGES = 5000
FENCE = st.sampled_from(["```", "````", "~~~"])
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            *(
                "\n",
                "\n\n",
                "    ",
                "> ",
                "- ",
                "1. ",
                "## A\n",
                "## B { #b }\n",
                "<!--",
                "-->",
                "!!! note\n\n",
                '=== "T"\n\n',
            ),
            *(
                "{.step}",
                "{.check within=2s}",
                "{.expect}",
                "{.expect match=json}",
                "{.cleanup}",
                "{.procedure}",
                "{#id}",
            ),
            *(
                "true\n",
                "echo ...\n",
                '{"a": "..."}\n',
                "bash ",
                "text ",
                "json ",
                "yaml ",
                "\t",
                "\r\n",
                "\ufeff",
                "\u202e",
            ),
        ]
    ),
    FENCE,
)


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=40).map("".join), st.booleans())
def test_the_scanner_keeps_its_promises(page: str, runbook: bool) -> None:  # noqa: FBT001 - drawn
    promises((FRONT if runbook else "") + page)


def test_the_promises_are_kept_on_whatever_reaches_new_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzz_scanner.py"), f"-runs={PAGES}", "-seed=1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runs = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert runs is not None
    assert int(runs[1]) >= PAGES
    assert list(tmp_path.glob("crash-*")) == []


@pytest.mark.parametrize("broken", ["text", "span", "id"])
def test_a_scanner_that_breaks_them_is_found_out(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    real = markdown.scan

    def scan(text: str, path: str) -> object:
        found = real(text, path)
        fence = found.fences[0]
        match broken:
            case "text":
                fence = replace(fence, text="false\n")
            case "span":
                fence = replace(fence, span=replace(fence.span, last=999))
            case _:
                assert found.runbook is not None
                (procedure,) = found.runbook.procedures
                twice = replace(procedure, blocks=procedure.blocks * 2)
                return replace(found, runbook=replace(found.runbook, procedures=(twice,)))
        return replace(found, fences=(fence, *found.fences[1:]))

    monkeypatch.setattr(markdown, "scan", scan)
    with pytest.raises(AssertionError):
        promises(f"{FRONT}## A\n\n```bash {{.check}}\ntrue\n```\n")
