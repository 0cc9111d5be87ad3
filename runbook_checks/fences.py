"""Where the fences and headings of a page are, as ``pymdownx.superfences`` in MkDocs Material reads them.

What superfences and CommonMark read differently is a problem on a strict page (a runbook): text that two readers see
differently cannot be proven. The rules follow ``pymdownx/superfences.py`` (pymdown-extensions) line by line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from runbook_checks.attributes import CLASS
from runbook_checks.errors import Problem
from runbook_checks.headings import Heading, RawHeading, name
from runbook_checks.info_string import Info, read_info
from runbook_checks.model import Role, Span
from runbook_checks.surroundings import TAB, Surroundings, comment_after, indent_of
from runbook_checks.unseen import first_unseen

MARKS = frozenset({role.value for role in Role} | {"expect", "procedure"})


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced code block; ``text`` is dedented, each line with its newline; ``rest`` is what no attribute could be."""

    span: Span
    indent: int
    info: str
    language: str
    attributes: tuple[tuple[str, str], ...]
    rest: str
    text: str
    marked: bool
    indented_code: bool = False  # only told of marked ones: shown as the text that it is, not as a block


@dataclass(frozen=True, slots=True)
class Layout:
    """The fences and headings of a page in their order, and what reads differently elsewhere."""

    fences: tuple[Fence, ...]
    headings: tuple[Heading, ...]
    problems: tuple[Problem, ...]


_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_HEADING = re.compile(r"(#{1,6})(.*)")
_UNDERLINE = re.compile(r"[> ]*(?:=+|-+) *$")
_LISTED_FENCE = re.compile(r"[> ]*(?:[-*+]|\d{1,9}[.)]) +(?:`{3,}[^`]*|~{3,}.*)$")


def normal(text: str) -> str:
    """Return a text with the line ends that Python-Markdown makes of it."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def read(text: str, path: str, *, first: int = 0, strict: bool = True) -> Layout:
    """Return the layout of a page whose lines before index ``first`` are front matter; ``text`` is normal()."""
    lines = text.expandtabs(TAB).split("\n")
    reader = _Reader(path, strict, text.split("\n"), lines, Surroundings(lines, first))
    reader.read(first)
    return Layout(tuple(reader.fences), name(reader.headings), tuple(reader.problems))


@dataclass(slots=True)
class _Reader:
    path: str
    strict: bool
    written: list[str]  # tabs kept
    lines: list[str]
    around: Surroundings
    fences: list[Fence] = field(default_factory=list)
    headings: list[RawHeading] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, index: int, reason: str, suggestion: str = "") -> None:
        self.problems.append(Problem(self.path, index + 1, reason, suggestion))

    def read(self, first: int) -> None:
        lines, index, commented, closed_until = self.lines, first, False, first
        while index < len(lines):
            line = lines[index]
            body = line.lstrip("> ")
            lead = body[:1]
            if lead in {"`", "~"} and index >= closed_until and (opened := self.opener(index, body)):
                last, whole = self.body(index, len(line) - len(body), opened[0])
                if whole:
                    self.keep(index, last, opened, commented=commented)
                    index = last + 1
                    continue
                closed_until = last + 1
            elif not commented:
                if lead == "#":
                    self.heading(index, line, body)
                elif lead in {"=", "-"} and _UNDERLINE.match(line) and index > first:
                    self.underline(index)
                if self.strict and lead and lead in "-*+0123456789" and _LISTED_FENCE.match(line):
                    self.problem(
                        index,
                        "a fence on the line of its list item is not a fence on the site",
                        "put it on a line of its own, indented by 4 spaces",
                    )
            if commented or "<!--" in line:
                commented = self.comment(index, commented=commented)
            index += 1

    def comment(self, index: int, *, commented: bool) -> bool:
        """Tell whether an HTML comment is open after a line; one that nothing closes is none to Python-Markdown."""
        if not comment_after(self.lines[index], commented=commented):
            return False
        if self.around.comment_ends_after(index):
            return True
        if self.strict and not commented:
            self.problem(index, "an HTML comment that is never closed", "end it with `-->`, or write `&lt;!--`")
        return False

    def opener(self, index: int, body: str) -> tuple[str, Info] | None:
        """Return fence and info string, if superfences sees a fence or an author means one."""
        match = _FENCE.match(body)
        if match is None:
            return None
        fence, info = match[1], read_info(match[2])
        ticked = fence[0] == "`" and "`" in info.text
        if not info.known and (ticked or not self.strict):
            return None
        if not info.known:
            self.problem(
                index,
                f"the site does not see a fence in `{body.strip()}`: its info string is not understood",
                "write the language, a space, then a braced attribute list",
            )
        elif ticked and self.strict:
            self.problem(index, "a backtick in an info string makes this no fence on GitHub", "leave it out")
        return fence, info

    def body(self, start: int, width: int, fence: str) -> tuple[int, bool]:
        """Return the index of the fence's last line, and whether the site sees a whole fence."""
        prefix = self.lines[start][:width]
        quotes = prefix.count(">")
        blank_before = False
        for index in range(start + 1, len(self.lines)):
            line = self.lines[index]
            if not line or line.isspace():
                if quotes and self.strict:
                    self.problem(index, "a blank line ends a quoted fence on GitHub, not on the site", "write `>`")
                blank_before = True
                continue
            if not (_quoted(line, width, quotes, blank_before=blank_before) if quotes else line.startswith(prefix)):
                if not self.strict:
                    return index, False
                self.problem(
                    index,
                    f"this line is indented less than its fence on line {start + 1}, so the site shows no fence there",
                    "indent every line of a fence like its first",
                )
                if _closes(line.lstrip("> "), fence):
                    return index, True
            elif (content := line[width:]).rstrip(" ") == fence:
                return index, True
            elif self.strict and fence in content and indent_of(content) < TAB and _closes(content, fence):
                self.problem(
                    index,
                    f"GitHub closes the fence of line {start + 1} here, the site does not",
                    f"close it with exactly `{fence}`, indented like its first line",
                )
                return index, True
            blank_before = quotes > 0 and not line[width:]
        if not self.strict:
            return len(self.lines) - 1, False
        self.problem(start, "this fence is never closed", f"end it with a line of `{fence}`, indented like this one")
        return len(self.lines) - 1, True

    def keep(self, first: int, last: int, opened: tuple[str, Info], *, commented: bool) -> None:
        ticks, info = opened
        line = self.lines[first]
        width = len(line) - len(line.lstrip("> "))
        closed = last > first and _closes(self.lines[last].lstrip("> "), ticks)
        texts = [text[width:] if text.strip() else "" for text in self.lines[first + 1 : last if closed else last + 1]]
        marked = any(key == CLASS and value in MARKS for key, value in info.attributes)
        literal = marked and ">" not in line[:width] and not self.around.contained(first, width)
        fence = Fence(
            span=Span(first + 1, last + 1),
            indent=width,
            info=info.text,
            language=info.language,
            attributes=info.attributes,
            rest=info.rest,
            text="".join(f"{text}\n" for text in texts),
            marked=marked,
            indented_code=literal,
        )
        self.around.fences.update(range(first, last + 1))
        if marked and self.strict:
            self.readable(fence, commented=commented)
        self.fences.append(fence)

    def readable(self, fence: Fence, *, commented: bool) -> None:
        """Report what keeps a marked fence from being read as it is run."""
        first, last = fence.span.first - 1, fence.span.last - 1
        prefix = self.lines[first][: fence.indent]
        if commented:
            self.problem(first, "a marked fence inside an HTML comment is run but never read", "take it out")
        written = "\n".join(self.written[first : last + 1])
        if unseen := first_unseen(written):
            index = first + written.count("\n", 0, unseen[0])
            self.problem(index, f"a marked fence holds {unseen[1]}", "write a space, or an escape such as `\\t`")
        if ">" in prefix:
            if prefix.rpartition(">")[2] not in {"", " "} or not self.around.contained(
                first, len(prefix.partition(">")[0])
            ):
                self.problem(first, "a marked fence in a quotation must stand right after its `> `", "move it there")
        elif fence.indent % TAB:
            self.problem(
                first,
                f"a marked fence is indented by {fence.indent} spaces, which the site does not take as nested",
                f"indent by a multiple of {TAB} spaces",
            )
        elif fence.indented_code:
            self.problem(
                first,
                "a marked fence is indented but in no list item, admonition or tab: it is an indented code block",
                "move it to the margin, or indent it like the text of its list item",
            )
        start = self.around.block_start(first)
        above = indent_of(self.lines[start])
        if self.around.in_html(first):
            self.problem(first, "GitHub reads this fence as part of the HTML above it", "put a blank line before it")
        elif above >= TAB and not self.around.contained(start, above - above % TAB, github=False):
            self.problem(
                first, "the site reads this fence as part of the indented code above it", "put a blank line before it"
            )

    def heading(self, index: int, line: str, body: str) -> None:
        match = _HEADING.match(body)
        if match is None:
            return
        indent = len(line) - len(body)
        if (
            indent
            and (">" not in line[:indent])
            and (indent % TAB or not self.around.contained(index, indent, github=False))
        ):
            if self.strict and indent < TAB and match[2].startswith(" "):
                self.problem(index, "GitHub sees a heading here, the site does not", "move it to the margin")
            return
        if self.strict and indent:
            self.problem(index, "a heading inside a list, an admonition or a quotation", "move it to the margin")
        if self.strict and self.around.in_html(index):
            self.problem(index, "GitHub reads this heading as part of the HTML above it", "put a blank line before it")
        if self.strict and match[2] and not match[2].startswith(" "):
            self.problem(index, "the site sees a heading here, GitHub does not", "put one space after the `#` signs")
        markup = match[2].rstrip(" ")
        if not markup.endswith("\\#"):
            markup = markup.rstrip("#")
        self.headings.append(RawHeading(Span(index + 1, index + 1), len(match[1]), markup.strip(), indent))

    def underline(self, index: int) -> None:
        above = self.lines[index - 1]
        title = above.strip("> ")
        if not title or title.startswith("#"):
            return
        if self.strict:
            self.problem(
                index,
                "a heading underlined with `===` or `---`, which the site and GitHub read differently",
                f"write `## {title}`, or put a blank line before a rule",
            )
        first = index < 2 or not self.lines[index - 2].strip() or index - 2 in self.around.fences  # noqa: PLR2004
        if first and index - 1 not in self.around.fences:
            level = 1 if "=" in self.lines[index] else 2
            self.headings.append(RawHeading(Span(index, index + 1), level, title, indent_of(above)))


def _quoted(line: str, width: int, quotes: int, *, blank_before: bool) -> bool:
    """Tell whether superfences keeps a line in a fence whose prefix is so wide and has so many quotation marks."""
    head = line[:width]
    prefix = head[: len(head) - len(head.lstrip("> "))]
    level = prefix.count(">")
    if level > quotes:
        return False
    if len(prefix) == len(line):
        return True
    return len(prefix) == width and not (blank_before and level < quotes)


def _closes(line: str, fence: str) -> bool:
    """Tell whether CommonMark takes a line as the end of a fence, wherever it is indented."""
    text = line.strip(" ")
    return len(text) >= len(fence) and not text.strip(fence[0])
