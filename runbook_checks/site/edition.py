"""The offline edition: a built site as one zip that a browser opens from a disk, with a note on every page."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

NAME = "offline.zip"  # at the site's root
_BANNER = '<div data-md-component="announce">'  # where Material has its announcements
_BODY = re.compile(r"<body[^>]*>")
_FOR_SERVERS = frozenset({"404.html", "sitemap.xml", "sitemap.xml.gz", NAME})
_ONE_TIME = (1980, 1, 1, 0, 0, 0)  # the same files give the same bytes
_MODE = 0o644 << 16
_README = """\
{name}: offline edition
Built {moment}.

Open index.html in a browser. Everything works without a network, search too.

What has passed or failed since then is not in this copy. A status that has expired
since says so by itself, where the browser runs JavaScript; the dates are always true.
"""


@dataclass(frozen=True, slots=True)
class Edition:
    """What an offline edition says of itself; ``site_url`` may be empty."""

    site_name: str
    built_at: datetime
    site_url: str = ""

    @property
    def folder(self) -> str:
        """Return the name of the one folder in the zip."""
        words = re.sub(r"[^a-z0-9]+", "-", self.site_name.lower()).strip("-")
        return f"{words or 'runbooks'}-offline"

    @property
    def moment(self) -> str:
        """Return when it was built, for readers."""
        return f"{self.built_at:%Y-%m-%d %H:%M} UTC"

    @property
    def readme(self) -> str:
        """Return the text that says how to open it, and as of when it is."""
        text = _README.format(name=self.site_name, moment=self.moment)
        return f"{text}\nThe site itself: {self.site_url}\n" if self.site_url else text

    def note(self) -> str:
        """Return the HTML that says on a page which edition this is."""
        site = Markup(' <a href="{}">The site</a> knows more.').format(self.site_url) if self.site_url else ""
        note = Markup(
            '<aside class="md-banner rb-edition" aria-label="Edition"><div class="md-banner__inner md-grid md-typeset">'
            'Offline edition, built <time datetime="{}">{}</time>.{}</div></aside>'
        ).format(self.built_at.isoformat(), self.moment, site)
        return str(note)  # no Markup, which would escape the page that it is put into

    def noted(self, html: str) -> str:
        """Return a page with the note on top: among the announcements of Material, else first in its body."""
        note = self.note()
        if _BANNER in html:
            return html.replace(_BANNER, _BANNER + note, 1)
        return _BODY.sub(lambda body: body[0] + note, html, count=1)


def pack(site: Path, edition: Edition, target: Path) -> None:
    """Write a built site as a zip: what a server alone needs is left out, each page carries the note."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in _contents(site, edition):
            entry = zipfile.ZipInfo(f"{edition.folder}/{name}", _ONE_TIME)
            entry.external_attr = _MODE
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, data)


def _contents(site: Path, edition: Edition) -> Iterator[tuple[str, bytes]]:
    yield "README.txt", edition.readme.encode()
    for path in sorted(site.rglob("*")):
        name = path.relative_to(site).as_posix()
        if not path.is_file() or name in _FOR_SERVERS or path.suffix == ".map":
            continue
        data = path.read_bytes()
        yield (
            name,
            edition.noted(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")
            if (path.suffix == ".html")
            else data,
        )
