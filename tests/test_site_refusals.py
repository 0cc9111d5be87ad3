"""What fails a build of the sample site, and what it says then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from mkdocs.__main__ import cli
from sample_site import build
from site_builds import OURS, edit, plain, refused

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _not_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        ("      on_error_fail: true\n", "", "`on_error_fail: true`"),
        ("      on_undefined: strict\n", "", "`on_undefined: strict`"),
        ("      modules: [runbook_checks.site.macros]\n", "", "`modules: [runbook_checks.site.macros]`"),
        ("  - pymdownx.superfences\n", "", "`- pymdownx.superfences`"),
        (OURS, "  - runbook-checks:\n      config: nowhere.yml\n", "nowhere.yml"),
    ],
)
def test_a_configuration_that_would_make_pages_lie_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, old: str, new: str, advice: str
) -> None:
    edit(plain(tmp_path) / "mkdocs.yml", old, new)
    assert advice in refused(tmp_path, caplog)


def test_all_source_errors_of_all_pages_fail_the_build_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = plain(tmp_path) / "docs/operations/database.md"
    edit(page, "timeout=5m", "timeuot=5m")
    edit(page, "within=60s", "within=soon")
    told = refused(tmp_path, caplog)
    assert re.findall(r"^docs/operations/database\.md:\d+: ", told, re.MULTILINE) == [
        "docs/operations/database.md:33: ",
        "docs/operations/database.md:46: ",
    ]


def test_a_step_that_the_page_does_not_show_fails_the_build(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = plain(tmp_path) / "docs/operations/database.md"
    edit(page, "```bash {.rollback}", "{% if false %}\n\n```bash {.rollback}")
    edit(page, "--undo\n```\n", "--undo\n```\n\n{% endif %}\n")
    told = refused(tmp_path, caplog)
    assert "block `restore-database-rollback-1` would be run and is not on the page as rendered" in told


def test_a_marked_block_on_a_page_that_is_no_runbook_fails_the_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (plain(tmp_path) / "docs/index.md").open("a") as page:
        page.write("\n```bash {.step}\nrm -rf data\n```\n")
    assert "docs/index.md:16: a marked fence on a page that is no runbook is never run" in refused(tmp_path, caplog)


def test_a_step_that_only_rendering_makes_fails_the_build_on_any_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (plain(tmp_path) / "docs/index.md").open("a") as page:
        page.write("\n{{ '~~~bash {.step}\\nrm -rf data\\n~~~' }}\n")
    assert "docs/index.md:1: the page shows a step that is never run: `rm -rf data`" in refused(tmp_path, caplog)


def test_unknown_names_in_macros_fail_the_build_with_page_line_and_a_close_match(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (plain(tmp_path) / "docs/index.md").open("a") as page:
        page.write('\n{{ badge("database/restore-databse") }}\n\n{{ figure("database/grow-disk", "rto") }}\n')
    told = refused(tmp_path, caplog)
    assert "docs/index.md:16: there is no procedure `database/restore-databse`; did you mean `database/res" in told
    assert "docs/index.md:18: there is no figure of `database/grow-disk` `rto`; there is none" in told


def test_a_badge_that_a_page_itself_writes_fails_the_build(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (plain(tmp_path) / "docs/index.md").open("a") as page:
        page.write('\n<span class="&#114;b-badge" data-r&#98;-status="verified">verified</span>\n')
    assert "docs/index.md:1: the page itself writes `rb-badge`, which looks like evidence" in refused(tmp_path, caplog)


@pytest.mark.parametrize(
    "text",
    [
        '# Home {{ badge("database/restore-database") }}',
        "---\ntitle: \"{{ badge('database/restore-database') }}\"\n---",
    ],
)
def test_a_status_in_a_title_fails_the_build(tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str) -> None:
    folder = plain(tmp_path)
    (folder / "docs/index.md").write_text(f"{text}\n")
    assert "docs/index.md:1: a badge or a figure stands in a heading or in the title" in refused(folder, caplog)


@pytest.mark.parametrize("text", ["{{ no_such_macro() }}", "{{ no_such_name }}", "{{.Names}}"])
def test_what_jinja_does_not_understand_fails_the_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    with (plain(tmp_path) / "docs/index.md").open("a") as page:
        page.write(f"\n{text}\n")
    refused(tmp_path, caplog)


@pytest.mark.parametrize(
    ("source", "published"),
    [
        ("badges/database/restore-database.svg", "badges/database/restore-database.svg"),
        ("status.json", "status.json"),
        ("evidence/database/restore-database.md", "evidence/database/restore-database/index.html"),
    ],
)
def test_a_file_of_the_docs_where_evidence_is_published_fails_the_build(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, source: str, published: str
) -> None:
    folder = plain(tmp_path)
    path = folder / "docs" / source
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("verified for ever\n")
    told = refused(folder, caplog)
    assert f"the site has a file '{published}' of its own, where evidence is published; give it another name" in told


def test_a_file_that_the_docs_exclude_is_not_in_the_way_of_evidence(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "docs/badges").mkdir()
    (folder / "docs/badges/all.svg").write_text("verified for ever\n")
    with (folder / "mkdocs.yml").open("a") as file:
        file.write("exclude_docs: badges/\n")
    assert "runbooks" in (build(folder) / "badges/all.svg").read_text()


@pytest.mark.parametrize("command", ["build", "gh-deploy"])
def test_a_dirty_build_would_keep_old_statuses_and_is_refused(tmp_path: Path, command: str) -> None:
    told = CliRunner().invoke(cli, [command, "--dirty", "-f", str(plain(tmp_path) / "mkdocs.yml")])
    assert told.exit_code
    assert f"`mkdocs {command} --dirty` keeps pages with old statuses; leave `--dirty` out" in told.output
    assert not (tmp_path / "site").exists()
