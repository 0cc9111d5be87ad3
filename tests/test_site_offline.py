"""The offline edition: one zip that works from a disk, with search, and says what it is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from playwright.sync_api import sync_playwright
from sample_site import write_sample
from selectolax.lexbor import LexborHTMLParser

from runbook_checks.site.edition import Edition, pack
from runbook_checks.site.offline import OFFERED, OfflineError, building

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", OFFERED}}
    command = (sys.executable, "-m", "runbook_checks", "site", "build", *options)
    return subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)


def write_site(folder: Path) -> Path:
    write_sample(folder)
    config = folder / "mkdocs.yml"
    text = (
        config.read_text().replace("plugins:\n", "plugins:\n  - search\n").replace("font: false", "font: {text: Lato}")
    )
    config.write_text(
        f"{text}site_url: https://ops.example/\nrepo_url: https://github.com/example/ops\n"
        "extra_javascript: [https://cdn.example/more.js]\nextra_css: ['//cdn.example/more.css']\n"
    )
    with (folder / "docs" / "index.md").open("a") as index:
        index.write("\n{{ offline_edition() }}\n")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_site(tmp_path_factory.mktemp("offline"))
    done = run(folder)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def edition(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unzipped on a disk")
    with zipfile.ZipFile(site / "offline.zip") as packed:
        packed.extractall(folder)
    (top,) = folder.iterdir()
    assert top.name == "sample-operations-offline"
    return top


def pages(edition: Path) -> Iterator[tuple[Path, LexborHTMLParser]]:
    for path in sorted(edition.rglob("*.html")):
        yield path, LexborHTMLParser(path.read_text(encoding="utf-8"))


def test_a_readme_says_how_to_open_it_and_as_of_when_it_is(edition: Path) -> None:
    text = (edition / "README.txt").read_text()
    assert "Open index.html in a browser" in text
    days = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC)  # midnight may have been in between
    assert any(f"Built {day:%Y-%m-%d}" in text for day in days)
    assert "The site itself: https://ops.example/" in text


def test_every_page_says_that_it_is_the_offline_edition(edition: Path) -> None:
    found = [page.css_first("aside.rb-edition") for _, page in pages(edition)]
    assert found
    assert all(note is not None and "Offline edition, built 20" in note.text() for note in found)


def test_every_relative_address_is_a_file_of_it_and_every_anchor_is_there(edition: Path) -> None:
    known = {path: {node.attributes["id"] for node in page.css("[id]")} for path, page in pages(edition)}
    lost = []
    for path, page in pages(edition):
        for node in page.css("[href], [src]"):
            address = node.attributes.get("href") or node.attributes.get("src") or ""
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            name, anchor = urldefrag(address)
            target = Path(os.path.normpath(path.parent / unquote(urlsplit(name).path))) if name else path
            if not target.is_file():
                lost.append(f"{path.name}: {address}")
            elif anchor and target in known and unquote(anchor) not in {*known[target], "__skip"}:
                lost.append(f"{path.name}: {address}, which has no such anchor")
    assert lost == []


def test_nothing_is_loaded_from_elsewhere(edition: Path) -> None:
    loaded = [
        address
        for _, page in pages(edition)
        for node in page.css("script[src], img[src], iframe[src], link[rel=stylesheet], link[rel~=icon]")
        if "//" in (address := node.attributes.get("src") or node.attributes.get("href") or "")
    ]
    assert loaded == []


def test_the_site_links_to_it_and_it_does_not_link_to_itself(site: Path, edition: Path) -> None:
    assert 'href="offline.zip" download' in (site / "index.html").read_text()
    assert "offline.zip" not in (edition / "index.html").read_text()
    assert not list(edition.rglob("offline.zip"))


def test_it_can_be_left_out(tmp_path: Path) -> None:
    done = run(write_site(tmp_path), "--no-offline")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "site" / "offline.zip").exists()
    assert "offline.zip" not in (tmp_path / "site" / "index.html").read_text()


def test_the_same_site_gives_the_same_bytes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    for name in ("index.html", "sub/page.html", "404.html", "style.css", "style.css.map", "offline.zip"):
        (site / name).write_text("<body class=x><p>é</p></body>", encoding="utf-8")
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    pack(site, Edition("Ops & Co.", NOW), first)
    for path in site.rglob("*"):
        os.utime(path, (0, 10**9))
    pack(site, Edition("Ops & Co.", NOW), second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as packed:
        names = ["README.txt", "index.html", "style.css", "sub/page.html"]
        assert packed.namelist() == [f"ops-co-offline/{name}" for name in names]
        assert b"<body class=x><aside " in packed.read("ops-co-offline/index.html")
        assert packed.getinfo("ops-co-offline/index.html").external_attr >> 16 == 0o644


def test_an_address_of_the_site_in_the_note_is_text() -> None:
    assert "<script>" not in Edition("x", NOW, '"><script>').noted("<body></body>")


def test_a_failure_of_the_offline_build_alone_fails_the_command_with_its_reason(tmp_path: Path) -> None:
    folder = write_site(tmp_path)
    (folder / "hook.py").write_text(
        "def on_page_markdown(markdown, page, config, **_):\n"
        "    if not config.use_directory_urls:\n        raise ValueError('a hook that knows no file')\n"
    )
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("hooks: [hook.py]\n")
    done = run(folder)
    assert done.returncode == 2
    assert "the offline edition could not be built, `--no-offline` leaves it out" in done.stderr
    assert "a hook that knows no file" in done.stderr
    assert "Traceback" not in done.stderr
    assert list((folder / "site").glob("*offline.zip*")) == []


def test_an_interrupted_build_leaves_nothing_half_written_and_nothing_running(tmp_path: Path) -> None:
    folder = write_site(tmp_path)
    (folder / "hook.py").write_text(
        "import os, pathlib, time\n\n\ndef on_page_markdown(markdown, page, config, **_):\n"
        "    if not config.use_directory_urls:\n"
        "        pathlib.Path('other.pid').write_text(str(os.getpid()))\n        time.sleep(60)\n"
    )
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("hooks: [hook.py]\n")
    with subprocess.Popen((sys.executable, "-m", "runbook_checks", "site", "build"), cwd=folder) as process:
        deadline_s = time.monotonic() + 60
        while not (folder / "other.pid").exists() or not (folder / "other.pid").read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.terminate()
        assert process.wait(30) == 143
    other = int((folder / "other.pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)
    assert list((folder / "site").glob("*offline.zip*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_inside_of_what_a_hook_executes_has_its_exit_code(tmp_path: Path, number: signal.Signals) -> None:
    folder = write_site(tmp_path)
    begun = "pathlib.Path('begun').touch()"
    (folder / "hook.py").write_text(
        f"import pathlib, time\n\n\ndef on_pre_build(config):\n    if config.use_directory_urls:\n"
        f'        exec("{begun}; time.sleep(60)")\n'
    )
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("hooks: [hook.py]\n")
    with subprocess.Popen((sys.executable, "-m", "runbook_checks", "site", "build"), cwd=folder) as process:
        deadline_s = time.monotonic() + 60
        while not (folder / "begun").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 128 + number


def test_an_end_of_the_other_process_is_a_failure(tmp_path: Path) -> None:
    folder = write_site(tmp_path)
    (folder / "hook.py").write_text("import os\n\n\ndef on_config(config, **_):\n    os._exit(7)\n")
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("hooks: [hook.py]\n")
    with building(folder / "mkdocs.yml") as edition, pytest.raises(OfflineError, match="ended before it was done"):
        edition.place()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.fail(
            "no Chromium on the PATH; install it: `apt-get install chromium`, or `brew install --cask chromium`"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, edition: Path) -> Iterator[Page]:
    context = browser.new_context(offline=True)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((edition / "index.html").as_uri())
    yield page
    context.close()
    assert [address for address in asked if not address.startswith(("file:", "data:", "blob:", "about:"))] == []


def test_search_finds_a_procedure_from_a_disk_and_its_hit_opens(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("promote")
    hit = page.locator("a.md-search-result__link", has_text="Promote").first
    hit.click()
    page.wait_for_url("file:**/operations/database.html#promote-replica")
    assert page.locator("[data-rb-card=promote-replica]").is_visible()


def test_links_between_pages_and_to_sections_work_from_a_disk(page: Page) -> None:
    page.locator("article a[href^='operations/']").first.click()
    page.wait_for_url("file:**/*.html#*")
    assert page.locator("[data-rb-card]").count()


def test_statuses_go_on_ageing(page: Page) -> None:
    page.clock.set_fixed_time(datetime.now(UTC) + timedelta(days=30))
    page.reload()
    assert page.locator("article [data-rb-status=verified]").count() == 0
    assert page.locator("article [data-rb-status=expired]").count() > 0
