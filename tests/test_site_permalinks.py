"""Addresses of procedures outlive their names: as pages, as badges, and as fragments in a browser."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from publications import publication
from sample_site import build, write_sample
from test_site_badges import PROCEDURE, entry
from test_site_browser import browser, serving

from runbook_checks.errors import UsageError
from runbook_checks.model import Card
from runbook_checks.site.lookup import Lookup
from runbook_checks.site.permalinks import moved, publish, signpost

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

__all__ = ["browser"]  # a fixture of this module too

FORMERLY = "formerly: [recover-database, old_db/restore, index/database]\n"
NOW = "operations/database/#restore-database"
MOVED = replace(PROCEDURE, card=Card(formerly=("recover", "net/recovery", "gone/x")))


def sample(folder: Path, *, directory_urls: bool = True) -> Path:
    write_sample(folder)
    page = folder / "docs/operations/database.md"
    page.write_text(page.read_text().replace("severity: critical\n", f"severity: critical\n{FORMERLY}", 1))
    if not directory_urls:
        with (folder / "mkdocs.yml").open("a") as config:
            config.write("use_directory_urls: false\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sample(tmp_path_factory.mktemp("permalinks"))


@pytest.fixture(scope="module")
def base(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site below a path, as on many hosts."""
    root = tmp_path_factory.mktemp("host")
    (root / "some").mkdir()
    shutil.copytree(site, root / "some/path")
    with serving(root) as address:
        yield f"{address}some/path/"


def landed(browser: Browser, address: str, *, javascript: bool = True) -> str:
    """Return where a browser is, after it has followed all that leads on."""
    context = browser.new_context(java_script_enabled=javascript)
    page = context.new_page()
    page.goto(address)
    page.locator("[data-rb-card=restore-database]").wait_for()
    page.wait_for_load_state("networkidle")
    url = page.url
    context.close()
    return url


def test_every_id_of_now_and_before_has_a_page(site: Path) -> None:
    found = {path.parent.relative_to(site / "p").as_posix() for path in site.glob("p/*/*/index.html")}
    assert {"database/restore-database", "database/recover-database", "old_db/restore", "index/database"} < found
    assert len(found) == 6 + 3


@pytest.mark.parametrize(
    "permalink", ["p/database/restore-database/", "p/database/recover-database/", "p/old_db/restore/"]
)
def test_a_permalink_leads_to_the_procedure_and_keeps_the_query(browser: Browser, base: str, permalink: str) -> None:
    assert landed(browser, f"{base}{permalink}") == f"{base}{NOW}"
    asked = f"{base}{permalink}?INSTANCE=db-1&x=%22%3C"
    assert landed(browser, asked) == f"{base}operations/database/?INSTANCE=db-1&x=%22%3C#restore-database"


def test_a_permalink_keeps_the_fragment_it_is_asked_with(browser: Browser, base: str) -> None:
    assert landed(browser, f"{base}p/old_db/restore/#healthy") == f"{base}operations/database/#healthy"


def test_without_javascript_a_permalink_leads_there_too(browser: Browser, base: str) -> None:
    assert landed(browser, f"{base}p/old_db/restore/", javascript=False) == f"{base}{NOW}"


def test_a_permalink_has_a_plain_link_and_is_no_page_for_search_engines(site: Path) -> None:
    html = (site / "p/old_db/restore/index.html").read_text()
    assert '<a href="../../../operations/database/#restore-database">' in html
    assert '<link rel="canonical" href="../../../operations/database/">' in html
    assert '<meta name="robots" content="noindex">' in html
    assert "old_db" not in (site / "sitemap.xml").read_text()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("operations/database/#recover-database", NOW),
        ("operations/database/?INSTANCE=db-1#recover-database", "operations/database/?INSTANCE=db-1#restore-database"),
        ("operations/database/#recover-database?INSTANCE=db-1", "operations/database/?INSTANCE=db-1#restore-database"),
        ("operations/database/?A=1#recover-database?B=2", "operations/database/?A=1&B=2#restore-database"),
        ("operations/database/#restore-database?B=2", "operations/database/?B=2#restore-database"),
        ("?A=1#database", "operations/database/?A=1#restore-database"),
        ("operations/database/#restore", "operations/database/#restore"),  # an old id, and now that of a step
        ("operations/database/#nowhere", "operations/database/#nowhere"),
        ("operations/database/#constructor", "operations/database/#constructor"),
        ("operations/database/#%", "operations/database/#%"),
    ],
)
def test_an_old_fragment_lands_on_the_procedure(browser: Browser, base: str, asked: str, expected: str) -> None:
    assert landed(browser, base + asked) == base + expected


def test_an_old_fragment_of_the_page_that_one_is_on_lands_too(browser: Browser, base: str) -> None:
    page = browser.new_page()
    page.goto(f"{base}operations/database/")
    page.evaluate("location.hash = '#recover-database'")
    page.locator("#restore-database:target").wait_for()  # the address says so a moment before
    assert page.url == base + NOW
    page.close()


def test_without_directory_urls_permalinks_and_old_fragments_work_from_files(browser: Browser, tmp_path: Path) -> None:
    built = sample(tmp_path, directory_urls=False)
    now = f"file://{built}/operations/database.html#restore-database"
    assert landed(browser, f"file://{built}/p/old_db/restore/index.html") == now
    assert landed(browser, f"file://{built}/p/old_db/restore/index.html", javascript=False) == now
    assert landed(browser, f"file://{built}/operations/database.html#recover-database") == now
    assert landed(browser, f"file://{built}/index.html#database") == now


def test_the_address_of_a_permalink_is_that_of_its_file_without_directory_urls() -> None:
    assert Lookup(()).permalink(PROCEDURE) == "p/db/restore/"
    assert Lookup((), directory_urls=False).permalink(PROCEDURE) == "p/db/restore/index.html"
    assert Lookup(()).permalink(replace(PROCEDURE, page="größer now.md")) == "p/gr%C3%B6%C3%9Fer%20now/restore/"


def test_titles_are_text_and_the_canonical_address_is_absolute(tmp_path: Path) -> None:
    title = "</title><script>x</script>\"'"
    one = replace(entry(), procedure=replace(PROCEDURE, title=title))
    publish(publication(tmp_path, [one], base_url="https://ops.example/docs/"))
    html = (tmp_path / "p/db/restore/index.html").read_text()
    assert "<script>x" not in html
    assert len(re.findall("<script>", html)) == 1
    assert '<link rel="canonical" href="https://ops.example/docs/db/">' in html


def test_a_page_of_the_site_is_never_overwritten(tmp_path: Path) -> None:
    page = tmp_path / "p/db/restore/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    with pytest.raises(UsageError, match="is the permalink of db/restore"):
        publish(publication(tmp_path, [entry()]))
    assert page.read_text() == "mine"


def test_a_procedure_whose_page_is_not_on_the_site_has_no_permalink(tmp_path: Path) -> None:
    site = publication(tmp_path, [entry()])
    away = replace(site, lookup=Lookup(site.entries))
    publish(away)
    assert not (tmp_path / "p").exists()
    assert away.permalink(PROCEDURE) == ""
    assert moved([MOVED], away.lookup) == {}


def test_each_page_learns_what_has_left_it() -> None:
    lookup = Lookup((entry(),), {"docs/db.md": "db/", "docs/net.md": "net/", "docs/other.md": "other/"})
    assert moved([MOVED], lookup) == {
        "docs/db.md": {"recover": "#restore", "recovery": "#restore", "x": "#restore"},
        "docs/net.md": {"recovery": "../db/#restore"},
    }
    assert (
        signpost({'"><b>': "#x"}) == '<div hidden data-rb-moved="{&#34;\\&#34;&gt;&lt;b&gt;&#34;: &#34;#x&#34;}"></div>'
    )
