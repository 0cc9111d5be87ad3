"""What stands around a line of a page: its list item, admonition or tab, the HTML block or the comment it is in.

The rules are those of Python-Markdown and of the extensions that MkDocs Material uses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TAB = 4  # Python-Markdown's tab_length: what nests is indented by a multiple of it

_LIST_ITEM = re.compile(r"[ ]*(?:[-*+]|\d+\.)[ ]+(?=\S)")
# The first lines of admonition, details and pymdownx.tabbed, and of definitions. No footnotes:
# the site shows those at the end of the page.
_CONTAINER = re.compile(
    r"""!!!\ ?[\w-]+(?:\ +[\w-]+)*(?:\ +".*?")?\ *$
    | \?{3}\+?(?:\ +(?:[\w-]+(?:\ +[\w-]+)*)(?:\ +".*?")?|\ +".*?")\ *$
    | ={3}(?:\+|\+!|!\+|!)?\ +".*?"\ *$
    | :\ {1,3}\S""",
    re.VERBOSE,
)
_HTML_BLOCK = re.compile(r" {0,3}</?[A-Za-z][A-Za-z0-9-]*(?=[\s/>]|$)")
_COMMENT = re.compile(r"(`+)[^`]*\1|<!--")


@dataclass(slots=True)
class Surroundings:
    """The lines of a page, tabs expanded, from index ``start`` on; ``fences`` are the lines known to be in fences."""

    lines: list[str]
    start: int  # the first line after the front matter
    fences: set[int] = field(default_factory=set)
    _outer: dict[tuple[int, int], int] = field(default_factory=dict)  # contained() has been here: no line is read twice
    _starts: dict[int, int] = field(default_factory=dict)  # so has block_start()
    _last_comment_end: int | None = None
    _indents: list[int] = field(init=False)

    def __post_init__(self) -> None:
        """Measure each line once."""
        self._indents = [len(line) - len(line.lstrip(" ")) for line in self.lines]

    def contained(self, index: int, indent: int, *, github: bool = True) -> bool:
        """Tell whether Python-Markdown takes an indented line as a container's content, not as indented code.

        With ``github``, a list item whose text starts right of the line does not count either.
        """
        indents = self._indents
        while indent >= TAB:
            asked = index, indent
            index -= 1
            while index >= self.start and (indents[index] >= indent or not self.lines[index]):
                index = self._outer.get((index, indent), index - 1)
            self._outer[asked] = index
            if index < self.start or index in self.fences:
                return False
            outer = indents[index]
            while not self._opens(index, indent, github=github):
                index -= 1
                above = self.lines[index] if index >= 0 else ""
                if not above.strip() or index in self.fences or indents[index] < outer - outer % TAB:
                    return False
            indent = indents[index]
            if indent % TAB:
                indent -= indent % TAB
        return True

    def _opens(self, index: int, indent: int, *, github: bool) -> bool:
        """Tell whether a line opens a container for content that is indented by ``indent``."""
        if not indent - TAB <= self._indents[index] < indent:
            return False
        line = self.lines[index]
        if match := _LIST_ITEM.match(line):
            return not github or match.end() <= indent
        return _CONTAINER.match(line, indent - TAB) is not None

    def block_start(self, index: int) -> int:
        """Return the index of the first line of the run of lines, without a blank or a heading, that a line ends."""
        asked = index
        while index > self.start:
            if index in self._starts:
                index = self._starts[index]
                break
            above = self.lines[index - 1]
            if index - 1 not in self.fences and (not above.strip() or above.startswith("#")):
                break
            index -= 1
        self._starts[asked] = index
        return index

    def in_html(self, index: int) -> bool:
        """Tell whether GitHub reads a line as part of an HTML block that begins above it."""
        start = self.block_start(index)
        return start < index and start not in self.fences and _HTML_BLOCK.match(self.lines[start]) is not None

    def comment_ends_after(self, index: int) -> bool:
        """Tell whether any line after this one ends an HTML comment."""
        if self._last_comment_end is None:
            self._last_comment_end = max((at for at, line in enumerate(self.lines) if "-->" in line), default=-1)
        return index < self._last_comment_end


def comment_after(line: str, *, commented: bool) -> bool:
    """Tell whether an HTML comment is open at the end of a line, given whether one is at its start."""
    at = 0
    while True:
        if commented:
            end = line.find("-->", at)
            if end < 0:
                return True
            at, commented = end + 3, False
        else:
            match = _COMMENT.search(line, at)
            if match is None:
                return False
            at, commented = match.end(), match[0] == "<!--"


def indent_of(line: str) -> int:
    """Return how many spaces a line begins with."""
    return len(line) - len(line.lstrip(" "))
