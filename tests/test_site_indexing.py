"""Search reads less of a page, and finds the same."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import mkdocs.config
import pytest
from material.plugins.search.plugin import Parser  # type: ignore[import-untyped]  # has no types
from mkdocs.commands.build import build
from sample_site import write_sample

from runbook_checks.site import plugin
from runbook_checks.site.indexing import lighter

if TYPE_CHECKING:
    from pathlib import Path

_CODE = (
    '<div class="highlight"><pre><span></span><code><span id="__span-0-1"><a id="__codelineno-0-1" '
    'name="__codelineno-0-1" href="#__codelineno-0-1"></a><span class="nb">echo</span><span class="w"> </span>'
    "&lt;a&gt;</span></code></pre></div>"
)


def _index(folder: Path, name: str) -> object:
    config = mkdocs.config.load_config(str(folder / "mkdocs.yml"), site_dir=str(folder / name))
    build(config)
    return json.loads((folder / name / "search" / "search_index.json").read_text())


@pytest.mark.parametrize("search", ["search", "material/search"])
def test_the_index_is_the_same(tmp_path: Path, search: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_sample(tmp_path)
    config = folder / "mkdocs.yml"
    config.write_text(config.read_text().replace("plugins:\n", f"plugins:\n  - {search}\n"))
    faster = _index(folder, "faster")
    monkeypatch.setattr(plugin, "read_lighter", lambda _: None)
    assert faster == _index(folder, "plain")


def test_most_of_the_tags_of_a_code_block_go() -> None:
    assert lighter(_CODE) == "<pre><code>echo &lt;a&gt;</code></pre>"


@pytest.mark.parametrize(
    "html",
    [
        '<span data-search-exclude>gone <span class="k">too</span></span> stays',
        '<span class="k">a<span class="linenodiv">1</span></span> stays',
        '<span title="<span>">a</span>',
        _CODE,
    ],
)
def test_what_search_reads_of_it_is_the_same(html: str) -> None:
    def read(text: str) -> list[tuple[str, str]]:
        parser = Parser()
        parser.feed(text)
        parser.close()
        return [("".join(section.title), "".join(section.text)) for section in parser.data]

    assert read(lighter(html)) == read(html)
