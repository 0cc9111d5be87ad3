"""A list that was kept is shown only while all that it was made from is the same, byte for byte."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runbook_checks import listing
from runbook_checks.config import load_config
from runbook_checks.errors import RunbookError

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = "pages: [docs]\nenvironments: {local: {}}\n"
PAGE = "---\nrunbook: {{}}\n---\n# Page\n## {0} {{ #{1} }}\n```bash {{.check}}\ntrue\n```\n"


class Site:
    """A repository with pages, its user's cache, and how often a list was made."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.environ = {"XDG_CACHE_HOME": str(folder / "cache")}
        self.made = 0
        (self.root / "docs" / "deep").mkdir(parents=True)
        (self.root / "runbook-checks.yml").write_text(CONFIG)
        self.page("a").write_text(PAGE.format("One", "one"))
        self.page("deep/b").write_text(PAGE.format("Two", "two"))

    def page(self, name: str) -> Path:
        return self.root / "docs" / f"{name}.md"

    def kept(self, *, as_json: bool = False) -> str:
        return listing.kept(load_config(self.root / "runbook-checks.yml"), self.environ, as_json=as_json)

    def file(self) -> Path:
        (path,) = (self.root.parent / "cache" / "runbook-checks").glob("list-*")
        return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    real = listing.write

    def counting(*arguments: object, **more: object) -> None:
        made.made += 1
        real(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(listing, "write", counting)
    return made


def test_what_has_not_changed_is_made_once_and_shown_as_it_was(site: Site) -> None:
    first = site.kept()
    assert "a/one" in first
    assert "b/two" in first
    assert site.kept() == first
    assert site.made == 1
    assert stat.S_IMODE(site.file().stat().st_mode) == 0o600
    assert '"id": "a/one"' in site.kept(as_json=True)  # another form is another list
    assert site.made == 2


def same_size_and_time(site: Site) -> None:
    path = site.page("a")
    before = path.stat()
    path.write_text(PAGE.format("Eno", "eno"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_page_under_its_name(site: Site) -> None:
    texts = site.page("a").read_text(), site.page("deep/b").read_text()
    site.page("a").write_text(texts[1])
    site.page("deep/b").write_text(texts[0])


def gone(site: Site) -> None:
    site.page("deep/b").unlink()


def added(site: Site) -> None:
    site.page("deep/c").write_text(PAGE.format("Three", "three"))


def moved(site: Site) -> None:
    site.page("deep/b").rename(site.page("b"))


def configured(site: Site) -> None:
    (site.root / "runbook-checks.yml").write_text(CONFIG.replace("[docs]", "[docs/deep]"))


CHANGES = [same_size_and_time, another_page_under_its_name, gone, added, moved, configured]


@pytest.mark.parametrize("change", CHANGES, ids=[change.__name__ for change in CHANGES])
def test_after_a_change_the_list_is_what_is_there_now(site: Site, change: Callable[[Site], None]) -> None:
    old = site.kept()
    change(site)
    now = site.kept()
    assert now != old
    assert site.made == 2
    shutil.rmtree(site.environ["XDG_CACHE_HOME"])
    assert site.kept() == now


@pytest.mark.parametrize("wrong", [b"---\nrunbook: {}\n---\n```bash {.step\n", b"\xff"])
def test_pages_with_problems_are_told_each_time(site: Site, wrong: bytes) -> None:
    site.kept()
    site.page("c").write_bytes(wrong)
    for _ in range(2):
        with pytest.raises(RunbookError, match=r"docs/c\.md"):
            site.kept()


def test_another_program_or_what_it_is_installed_beside_makes_it_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.kept()
    parts = [*listing._program()]
    assert any(b"def scan(" in part for part in parts)
    assert str(Path(pytest.__file__).parents[1].stat().st_mtime_ns).encode() in parts
    for other in (b"newer", b"newest"):
        monkeypatch.setattr(listing, "_program", lambda other=other: iter((*parts, other)))
        site.kept()
    assert site.made == 3


def swapped(data: bytes) -> bytes:
    return data.replace(b"a/one", b"a/two")


@pytest.mark.parametrize("spoil", [swapped, lambda data: data[:-1], lambda _: b"", lambda _: b"\xff\n\xff"])
def test_what_is_not_as_it_was_kept_is_made_anew(site: Site, spoil: Callable[[bytes], bytes]) -> None:
    first = site.kept()
    site.file().write_bytes(spoil(site.file().read_bytes()))
    assert site.kept() == first
    assert site.made == 2
    assert site.kept() == first
    assert site.made == 2


def test_a_link_in_its_place_is_not_followed(site: Site, tmp_path: Path) -> None:
    first = site.kept()
    place = site.file()
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert site.kept() == first
    assert site.made == 2


@pytest.mark.parametrize("link", ["page", "folder"])
def test_pages_behind_links_are_read_each_time(site: Site, link: str) -> None:
    site.page("deep/b").write_text("# Prose\n")
    if link == "page":
        site.page("deep/b").rename(site.root / "x.md")
        site.page("c").symlink_to(site.root / "x.md")
    else:
        (site.root / "docs" / "deep").rename(site.root / "elsewhere")
        (site.root / "docs" / "deep").symlink_to(site.root / "elsewhere")
        (site.root / "runbook-checks.yml").write_text(CONFIG.replace("[docs]", "[docs/a.md, docs/deep/b.md]"))
    first = site.kept()
    assert site.kept() == first
    assert site.made == 2


def test_a_folder_that_others_may_write_to_is_not_used(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "runbook-checks"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    site.kept()
    site.kept()
    assert site.made == 2
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": "relative"}, {"HOME": ""}, {"XDG_CACHE_HOME": "/proc/no"}])
def test_without_a_folder_it_is_made_each_time(site: Site, environ: dict[str, str]) -> None:
    site.environ = environ
    site.kept()
    site.kept()
    assert site.made == 2


def test_a_page_that_changes_while_the_list_is_made_keeps_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = listing.write

    def slow(*arguments: object, **more: object) -> None:
        real(*arguments, **more)  # type: ignore[arg-type]
        added(site)

    monkeypatch.setattr(listing, "write", slow)
    site.kept()
    monkeypatch.setattr(listing, "write", real)
    assert "three" in site.kept()


def test_only_the_newest_lists_stay(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "_MOST_LISTS", 2)
    folder = tmp_path / "cache" / "runbook-checks"
    folder.mkdir(parents=True, mode=0o700)
    for number in range(4):
        (folder / f"list-{number}").touch()
        os.utime(folder / f"list-{number}", (number, number))
    site.kept()
    assert len(list(folder.iterdir())) == 2
    assert (folder / "list-3").exists()
