"""What the pages show works when a reader does it: runbooks, configurations, the first procedure, and links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documentation import PAGES, ROOT, fences, shown_commands

from runbook_checks.config import load_config
from runbook_checks.markdown import scan

PLACE = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


class TestExamples:
    @pytest.mark.parametrize(
        "page", [page for page in PAGES if "operations" not in page.parts], ids=lambda page: page.name
    )
    def test_runbooks_that_pages_show_can_be_run(self, page: Path) -> None:
        for fence in fences(page):
            if fence.language == "markdown" and "\nrunbook:" in fence.text:
                assert scan(fence.text, f"{page.name} line {fence.span.first}").problems == ()

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_configurations_that_pages_show_can_be_read(self, page: Path, tmp_path: Path) -> None:
        for text in configurations(page):
            (tmp_path / "runbook-checks.yml").write_text(text)
            load_config(tmp_path / "runbook-checks.yml")

    @pytest.mark.parametrize("page", ["README.md", "docs/guide/quickstart.md"])
    def test_the_first_procedure_does_what_the_page_says(self, page: str, tmp_path: Path) -> None:
        shown = fences(ROOT / page)
        for fence in shown:
            for key, name in fence.attributes:
                if key == "title":
                    (tmp_path / name).parent.mkdir(exist_ok=True)
                    (tmp_path / name).write_text(fence.text.replace("/tmp/", f"{tmp_path}/"))
        consoles = [fence.text for fence in shown if fence.language == "console"]
        for number, console in enumerate(consoles):
            if number == 2:  # the page says so in words
                logs = tmp_path / "docs" / "logs.md"
                text = logs.read_text()
                logs.write_text(text.replace("    packed logs into <archive>", "    packed the logs into <archive>"))
            commands = [line.removeprefix("$ ") for line in console.split("\n") if line.startswith("$ ")]
            printed = [line for line in console.split("\n") if line and not line.startswith("$ ")]
            assert as_told(printed) == as_told(typed(commands, tmp_path))
        assert consoles

    def test_there_are_examples_to_hold_against_the_code(self) -> None:
        texts = [fence.text for page in PAGES for fence in fences(page) if fence.language == "markdown"]
        assert sum("\nrunbook:" in text for text in texts) >= 4
        assert sum(len(list(shown_commands(page))) for page in PAGES) >= 20
        assert sum(len(configurations(page)) for page in PAGES) >= 4


def configurations(page: Path) -> list[str]:
    """Return the configurations that a page shows."""
    return [fence.text for fence in fences(page) if ("title", "runbook-checks.yml") in fence.attributes]


def typed(commands: list[str], folder: Path) -> list[str]:
    """Return the lines that commands print when they are typed one after the other, without empty ones."""
    done = subprocess.run(
        ["bash", "-c", "\n".join(commands)],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return [line.replace(f"{folder}/", "/tmp/") for line in done.stdout.split("\n") if line.strip()]


def as_told(lines: list[str]) -> list[str]:
    """Return lines without what differs from run to run: moments, durations, and the width of columns."""
    text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:]+(?:\+00:00)?", "MOMENT", "\n".join(lines))
    return [re.sub(r" +", " ", line).strip() for line in re.sub(r"\d+\.\d s", "SOME s", text).split("\n")]


class TestLinks:
    @pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
    def test_relative_links_lead_somewhere(self, page: Path) -> None:
        broken = [link for link in links(page) if not leads_somewhere(page, link)]
        assert broken == []

    def test_a_link_that_leads_nowhere_is_found_and_what_is_only_shown_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "other.md").write_text("## There { #there }\n")
        page = tmp_path / "page.md"
        page.write_text(
            "## Here { #here }\n[a](gone.md), ![b](gone.png) and [c](other.md#gone) or [d](#gone)\n"
            "[e](other.md#there), [f](#here), [g](https://x.example/)\n`[h](shown.md)`\n\n```text\n[i](shown.md)\n```\n"
        )
        broken = [link for link in links(page) if not leads_somewhere(page, link)]
        assert broken == ["gone.md", "gone.png", "other.md#gone", "#gone"]

    @pytest.mark.parametrize("name", ["verify", "test"])
    def test_the_two_commands_of_the_readme_are_there(self, name: str) -> None:
        assert f"\nscripts/{name}\n" in (ROOT / "README.md").read_text(encoding="utf-8")
        script = ROOT / "scripts" / name
        assert script.is_file()
        assert script.stat().st_mode & 0o111


def links(page: Path) -> list[str]:
    """Return the relative links of a page, images included, fences and inline code not."""
    text = page.read_text(encoding="utf-8")
    lines = text.split("\n")
    for fence in scan(text, page.name).fences:
        lines[fence.span.first - 1 : fence.span.last] = [""] * (fence.span.last - fence.span.first + 1)
    prose = re.sub(r"`[^`\n]*`", "", "\n".join(lines))
    return [link for link in PLACE.findall(prose) if not re.match(r"[a-z]+:", link)]


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not anchor:
        return target.exists()
    found = scan(target.read_text(encoding="utf-8"), target.name)
    anchors = {heading.id for heading in found.headings}
    for procedure in found.runbook.procedures if found.runbook else ():
        anchors |= {block.id for block in procedure.blocks}
    return anchor in anchors
