"""A mark on the HTML that this build itself has made, which no page can know; it never leaves the build."""

from __future__ import annotations

import re
import secrets

ATTRIBUTE = "data-rb-seal"
_FIRST_TAG = re.compile(r"<[a-z]+")


class Seal:
    """What tells a badge or a card of ours from one that a page has written by hand."""

    def __init__(self) -> None:
        """Make up a mark that is new in every build."""
        self.value = secrets.token_hex(16)
        self._written = f' {ATTRIBUTE}="{self.value}"'

    def put(self, html: str) -> str:
        """Return HTML with the mark on its first element."""
        return _FIRST_TAG.sub(lambda tag: tag[0] + self._written, html, count=1)

    def take_off(self, html: str) -> str:
        """Return HTML without the mark, as it may be published."""
        return html.replace(self._written, "")
