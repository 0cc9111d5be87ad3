"""Where pages stand is what MkDocs says, without a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runbook_checks.addresses import site_map
from runbook_checks.config import Config
from runbook_checks.errors import UsageError
from runbook_checks.links import SiteMap

if TYPE_CHECKING:
    from pathlib import Path

PAGES = ("docs/operations/db.md", "docs/web server.md", "docs/index.md", "other/x.md")


def addresses(folder: Path, text: str) -> SiteMap:
    (folder / "mkdocs.yml").write_text(text)
    return site_map(Config(folder), PAGES)


def test_addresses_are_those_of_mkdocs(tmp_path: Path) -> None:
    directories = {
        "docs/operations/db.md": "operations/db/",
        "docs/web server.md": "web%20server/",
        "docs/index.md": "./",
    }
    assert addresses(tmp_path, "site_name: x\n") == SiteMap("", directories)
    assert addresses(tmp_path, "site_url: https://ops.example/a/\nuse_directory_urls: false\n") == SiteMap(
        "https://ops.example/a/",
        {
            "docs/operations/db.md": "operations/db.html",
            "docs/web server.md": "web%20server.html",
            "docs/index.md": "index.html",
        },
    )
    assert addresses(tmp_path, "docs_dir: other\n") == SiteMap("", {"other/x.md": "x/"})


def test_what_mkdocs_understands_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE_URL", "https://ops.example/")
    (tmp_path / "base.yml").write_text("use_directory_urls: false\ndocs_dir: docs/operations\n")
    text = """\
INHERIT: base.yml
site_url: !ENV SITE_URL
markdown_extensions:
  - pymdownx.snippets:
      base_path: !relative
  - pymdownx.emoji:
      emoji_index: !!python/name:material.extensions.emoji.twemoji
"""
    assert addresses(tmp_path, text) == SiteMap("https://ops.example/", {"docs/operations/db.md": "db.html"})


def test_without_a_configuration_the_site_is_the_default(tmp_path: Path) -> None:
    assert site_map(Config(tmp_path), PAGES[:1]) == SiteMap("", {"docs/operations/db.md": "operations/db/"})


def test_without_a_configuration_a_page_outside_the_default_folder_stands_where_its_file_does(tmp_path: Path) -> None:
    assert site_map(Config(tmp_path), ("run books/x.md",)) == SiteMap("", {"run books/x.md": "run%20books/x.md"})


def test_the_configuration_may_stand_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/mkdocs.yml").write_text("docs_dir: ../docs\n")
    assert site_map(Config(tmp_path, mkdocs="site/mkdocs.yml"), PAGES[:1]).pages == {PAGES[0]: "operations/db/"}


@pytest.mark.parametrize("text", ["a: [\n", "- a\n", "just words\n"])
def test_a_configuration_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"mkdocs\.yml"):
        addresses(tmp_path, text)
