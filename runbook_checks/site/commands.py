"""The text that a reader of a page pastes into a plain bash to run a block, whatever its language."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks import http_request, promql
from runbook_checks.errors import RunbookError
from runbook_checks.languages import DEFAULTS, SESSION_LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runbook_checks.model import Block

_END = "END"


def runnable(block: Block, table: Mapping[str, str]) -> str:
    """Return what a reader pastes for a block, its variables left to their shell; bash is what it is.

    ``http`` and ``promql`` are the ``curl`` command that asks the same, for readers who do not have this tool; what
    has another command in the table of languages is that command, with the block's text on its standard input.
    """
    text = block.text.strip("\n")
    if block.language == SESSION_LANGUAGE:
        return text
    command = table.get(block.language, "")
    if not command:
        return text
    if command == DEFAULTS.get(block.language):
        try:
            if block.language == "http":
                return http_request.curl(text, block.http_status)
            if block.language == "promql":
                return promql.curl(text)
        except RunbookError:  # the run says what is wrong with it
            pass
    return heredoc(command, text)


def heredoc(command: str, text: str) -> str:
    """Return a command that gets the text, whatever it holds, on its standard input."""
    end = _END
    lines = frozenset(text.split("\n"))
    while end in lines:
        end += "_"
    return f"{command} <<'{end}'\n{text}\n{end}"
