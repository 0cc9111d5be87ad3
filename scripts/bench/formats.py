"""Blocks in the form that each contestant of the speed bench reads: values in, text out."""

from __future__ import annotations

import json
from shlex import quote
from typing import TYPE_CHECKING

from blocks import bash, python, script

if TYPE_CHECKING:
    from blocks import Corpus, Procedure


def runbook(procedure: Procedure, number: int) -> str:
    """Return a runbook page with one procedure; its last block is a check, for a procedure must prove something."""
    head = f"---\ntitle: Service {number}\nrunbook: {{}}\n---\n\n# Service {number}\n\n## Restart {{ #restart }}\n\n"
    return head + "".join(
        f"```bash {{.{'check' if block is procedure[-1] else 'step'}}}\n{bash(block)}\n```\n"
        + (f"```text {{.expect}}\n{block.output}```\n" if block.output else "")
        + "\n"
        for block in procedure
    )


def plain(procedure: Procedure, _: int) -> str:
    """Return a plain bash script."""
    return script(procedure)


def cram(procedure: Procedure, _: int) -> str:
    """Return an indented session, as cram and prysk read it."""
    return "".join(f"  $ {bash(block)}\n" + _indented(block.output) + "\n" for block in procedure)


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


def shelltest(procedure: Procedure, _: int) -> str:
    """Return tests of shelltestrunner, format 1."""
    return "".join(f"{bash(block)}\n>>>\n{block.output}>>>= 0\n\n" for block in procedure)


def session(procedure: Procedure, _: int) -> str:
    """Return a bare session, as clitest reads it."""
    return "".join(f"$ {bash(block)}\n{block.output}" for block in procedure)


def byexample(procedure: Procedure, _: int) -> str:
    """Return fenced sessions, as byexample reads them."""
    return "".join(f"```shell\n$ {bash(block)}\n{block.output}\n```\n\n" for block in procedure)


def tesh(procedure: Procedure, number: int) -> str:
    """Return one fenced session with a name, as tesh reads it."""
    lines = "".join(f"$ {bash(block)}\n{block.output}" for block in procedure)
    return f'```console tesh-session="s{number}"\n{lines}```\n'


def bats(procedure: Procedure, _: int) -> str:
    """Return a test for each block, as bats reads them."""
    return "".join(
        f'@test "block {block.number}" {{\n'
        + (f"  run eval {quote(bash(block))}\n" if block.output else f"  {bash(block)}\n")
        + ('  [ "$status" -eq 0 ]\n' if block.output else "")
        + (f'  [ "$output" = {quote(block.output.rstrip())} ]\n' if block.output else "")
        + "}\n\n"
        for block in procedure
    )


def fences(procedure: Procedure, _: int) -> str:
    """Return plain fences: bash, and text for what it must print."""
    return "".join(
        f"```bash\n{bash(block)}\n```\n\n" + (f"```text\n{block.output}```\n\n" if block.output else "")
        for block in procedure
    )


def codeblocks(procedure: Procedure, _: int) -> str:
    """Return fences as pytest-codeblocks reads them."""
    expected = "<!--pytest-codeblocks:expected-output-->\n\n"
    return "".join(
        f"```bash\n{bash(block)}\n```\n\n" + (f"{expected}```\n{block.output}```\n\n" if block.output else "")
        for block in procedure
    )


def python_fences(procedure: Procedure, _: int) -> str:
    """Return the same in Python, as pytest-markdown-docs reads it."""
    return "".join(f"```python\n{python(block)}```\n\n" for block in procedure)


def listed(made: Corpus) -> str:
    """Return commands and what they must print as JSON, for the loops in ``loops.py``."""
    return json.dumps([[bash(block), block.output] for procedure in made for block in procedure])
