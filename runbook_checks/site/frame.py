"""The theme around a page of ours: rendered once by MkDocs, then filled for every page of the same depth."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from mkdocs.commands.build import get_context
from mkdocs.structure.files import File
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Navigation


@dataclass(frozen=True, slots=True)
class Frame:
    """A rendered page, cut where its address, its title and its content stood."""

    pieces: tuple[str, ...]  # every second one names what comes there: "address", "title" or "content"

    def fill(self, *, address: str, title: str, content: str) -> str:
        """Return the page of an address below the frame's folder, quoted; the title is text, the content HTML."""
        parts = {"address": address, "title": escape(title), "content": content}
        return "".join(parts[piece] if odd % 2 else piece for odd, piece in enumerate(self.pieces))


BARE = Frame(("<!doctype html>\n<title>", "title", "</title>\n", "content", "\n"))


def cut(html: str, marks: dict[str, str]) -> Frame:
    """Return the frame of a rendered page in which each mark, a text that stands nowhere else, names a part."""
    pieces = re.split("|".join(f"({re.escape(mark)})" for mark in marks), html)
    kept = [piece for piece in pieces if piece is not None]
    return Frame(tuple(marks.get(piece, piece) for piece in kept))


def render(folder: str, env: Environment, nav: Navigation, files: Files, config: MkDocsConfig) -> Frame:
    """Return the frame for pages ``<folder>/<one>/<two>``, rendered by the site's theme.

    It is no page of the site: neither navigation nor search nor sitemap knows it. So other plugins are told of the last
    event only, in which they work on finished HTML.
    """
    token = secrets.token_hex(8)
    address, title, content = (f"rb{name}{token}" for name in ("a", "t", "c"))
    file = File.generated(config, f"{folder}/{address}/{address}.md", content="")
    page = Page(title, file, config)
    page.markdown = ""
    page.content = f"<h1>{title}</h1>\n{content}"
    page.meta = {"hide": ["toc"], "search": {"exclude": True}}
    html = env.get_template("main.html").render(get_context(nav, files, config, page))
    html = config.plugins.on_post_page(html, page=page, config=config) or ""
    return cut(html, {f"{address}/{address}": "address", title: "title", content: "content"})
