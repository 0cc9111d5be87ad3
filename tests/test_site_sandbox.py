"""What a page says to Jinja reaches macros and plain values, and never the machine that builds the site."""

from __future__ import annotations

from collections import UserDict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment, StrictUndefined, UndefinedError
from jinja2.exceptions import SecurityError
from sample_site import build, write_sample

from runbook_checks.site.sandbox import Sandbox, sandboxed

if TYPE_CHECKING:
    from collections.abc import Callable


class Theme(UserDict[str, str]):
    """As MkDocs' own: a harmless thing with a method that leads to an environment without bounds."""

    def get_env(self) -> Environment:
        return Environment()


@pytest.fixture
def sandbox() -> Sandbox:
    environment = Environment(undefined=StrictUndefined, variable_start_string="<<", variable_end_string=">>")
    environment.globals["greet"] = greet
    environment.filters["shout"] = str.upper
    return sandboxed(environment)


def greet(name: str) -> str:
    return f"hello {name}"


@pytest.mark.parametrize(
    "text",
    [
        "<< cycler.__init__.__globals__.os.popen('touch ran').read() >>",
        "<< ''.__class__.__mro__[1].__subclasses__() >>",
        "<< ''['__class__'] >>",
        "<< ''|attr('__class__') >>",
        "<< ([theme]|map(attribute='__class__')|first) ~ '' >>",
        "<< greet.__globals__ >>",
        "<< greet.__code__ >>",
        "<< theme.get_env().from_string('x').render() >>",
        "<< folder.write_text('x') >>",
        "<< folder.read_text() >>",
        "<< '{0.__class__}'.format(1) >>",
        "<< self._TemplateReference__context >>",
        "<% for x in range(1000000000) %><% endfor %>".replace("<%", "{%").replace("%>", "%}"),
    ],
)
def test_what_leads_out_is_refused(sandbox: Sandbox, text: str, tmp_path: Path) -> None:
    with pytest.raises((SecurityError, UndefinedError, OverflowError)):
        sandbox.from_string(text).render(theme=Theme(), folder=tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<< greet('a') >>", "hello a"),
        ("<< 'a'|shout >>", "A"),
        ("<< 'a,b'.split(',')|join('-') >>", "a-b"),
        ("<< day.isoformat() >>", "2026-11-26"),
        ("<< theme['name'] >><< theme.name >>", "materialmaterial"),
        ("{% for x in range(3) %}<< loop.cycle('a', 'b') >>{% endfor %}", "aba"),
        ("{% macro twice(x) %}<< x * 2 >>{% endmacro %}<< twice('a') >>", "aa"),
        ("{% set rows = namespace(n=1) %}{% set rows.n = 2 %}<< rows.n >>", "2"),
    ],
)
def test_what_pages_need_works(sandbox: Sandbox, text: str, shown: str) -> None:
    assert sandbox.from_string(text).render(theme=Theme(name="material"), day=date(2026, 11, 26)) == shown


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    def built(text: str) -> Path:
        folder = write_sample(tmp_path, evidence=False)
        (folder / "docs/index.md").write_text(f"# Home\n\n{text}\n")
        monkeypatch.chdir(tmp_path)
        return build(folder)

    return built


def test_a_page_cannot_run_python_while_the_site_is_built(site: Callable[[str], Path]) -> None:
    with pytest.raises(SystemExit):
        site("{{ cycler.__init__.__globals__.os.popen('touch ran').read() }}")
    assert not Path("ran").exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret.txt", "docs/../../secret.txt"])
def test_a_page_cannot_include_what_lies_outside(
    site: Callable[[str], Path], target: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("root:x:0 inside")
    (tmp_path.parent / "secret.txt").write_text("root:x:0 inside")
    with pytest.raises(SystemExit):
        site(f"{{% include {target!r} %}}")
    assert "root:x:0" not in capfd.readouterr().out
