"""What a runbook page loads of ours: little, minified, and under an address that changes with its content."""

from __future__ import annotations

import gzip
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from sample_site import build

from runbook_checks.site import bundles as bundles_module
from runbook_checks.site.bundles import bundles, minified

PAGE = runpy.run_path(str(Path(__file__).parent.parent / "scripts" / "bench" / "corpus.py"))["page"](0)
LARGEST_BYTES = 30_000  # of a page with ten steps, over plain Material
_CONFIG = """\
site_name: Operations
theme: {name: material, font: false}
markdown_extensions: [admonition, attr_list, sane_lists, tables, pymdownx.superfences]
plugins:
"""


def test_there_is_one_bundle_of_each_kind_and_its_name_follows_its_content() -> None:
    css, script = bundles()
    assert re.fullmatch(r"assets/runbook-checks\.[0-9a-f]{8}\.css", css)
    assert re.fullmatch(r"assets/runbook-checks\.[0-9a-f]{8}\.js", script)
    assert bundles() == bundles()


def test_comments_and_blanks_go_and_what_is_said_stays() -> None:
    assert minified(".css", "/* why */\n.rb-card {\n  color: red;\n}\n") == ".rb-card{color:red}\n"
    assert minified(".js", "// why\nconst a = `one\n  two`;\n") == "const a=`one\n  two`;\n"


def test_the_script_is_still_one() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node on the PATH; install it: `apt-get install nodejs`, or `brew install node`")
    (script,) = (content for uri, content in bundles().items() if uri.endswith(".js"))
    done = subprocess.run([node, "--check", "-"], input=script, text=True, capture_output=True, check=False)
    assert done.stderr == ""


def test_a_page_with_ten_steps_weighs_little_more_than_plain(tmp_path: Path) -> None:
    (tmp_path / "runbook-checks.yml").write_text("environments: {staging: {disposable: true}}\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(PAGE.replace("../../index.md", "index.md"))
    built = {}
    for name, plugins in (("plain", "  - search\n"), ("ours", "  - search\n  - runbook-checks\n")):
        (tmp_path / "mkdocs.yml").write_text(_CONFIG + plugins)
        built[name] = (build(tmp_path) / "index.html").read_bytes()
    shared = [content.encode() for content in bundles().values()]  # asked for once, then kept by the browser
    sent = _compressed(built["ours"]) - _compressed(built["plain"]) + sum(map(_compressed, shared))
    assert sent <= LARGEST_BYTES
    assert len(built["ours"]) - len(built["plain"]) <= LARGEST_BYTES


def _compressed(data: bytes) -> int:
    return len(gzip.compress(data, 6, mtime=0))


def test_no_two_stylesheets_give_looks_to_the_same_name() -> None:
    """One bundle holds them all: a short class that two of them style looks wrong on one of their pages."""
    styled: dict[str, set[str]] = {}
    for sheet in Path(bundles_module.__file__).parent.joinpath("assets").glob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
        outside_media = re.sub(r"@\w+[^{]*\{(?:[^{}]*\{[^{}]*\})*[^{}]*\}", "", text)
        for selectors in re.findall(r"([^{}]+)\{", outside_media):
            for name in re.findall(r"(?:^|,)\s*(\.rb-[\w-]+)\s*(?=,|$)", re.sub(r":is\([^)]*\)", "_", selectors)):
                styled.setdefault(name, set()).add(sheet.name)
    assert len(styled) > 20
    assert {name: sheets for name, sheets in styled.items() if len(sheets) > 1} == {}
