"""Output becomes safe HTML: colours are styled, and what could hide or move text is shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_checks.site.ansi import _C0, COLOURS, styled, visible

SGR = re.compile(r"\x1b\[[0-9;]{0,64}m")
CODES = {name: code for code, name in _C0.items()}
BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
UNSEEN = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u061c\u00ad\u2028\U000e0041"
PIECES = st.one_of(
    st.text(st.characters(), max_size=8),
    st.sampled_from([
        "\x1b[31m", "\x1b[0m", "\x1b[m", "\x1b[1;4;38;5;208m", "\x1b[38;2;1;2;3;48;2;9;9;9m", "\x1b[38;5m", "\x1b[2J",
        "\x1b]8;;https://evil.example/\x1b\\", "\x1b]0;title\x07", "\r", "\r\n", "\x08", "\x9b31m", "<b>", "&amp;", '"',
        "</pre>", *BIDI, *UNSEEN,
    ]),
)  # fmt: skip


class Reader(HTMLParser):
    """Read HTML of ours back: the text with symbols turned into the characters they stand for."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.control = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "span"
        self.control = ("class", "rb-control") in attrs

    def handle_endtag(self, tag: str) -> None:
        assert tag == "span"
        self.control = False

    def handle_data(self, data: str) -> None:
        if self.control:
            data = re.sub(r"\[U\+([0-9A-F]+)\]", lambda match: chr(int(match[1], 16)), data)
            data = re.sub(r"\[([A-Z0-9]{2,3})\]", lambda match: chr(CODES[match[1]]), data)
        self.text += data


def read(html: str) -> str:
    reader = Reader()
    reader.feed(str(html))  # Markup would escape what is added to it
    reader.close()
    return reader.text


@given(st.lists(PIECES).map("".join))
def test_any_text_is_safe_html_from_which_it_can_be_read_back(text: str) -> None:
    lines = re.sub(r"\r(?=\n)", "", text)
    for html, written in ((styled(text), SGR.sub("", lines)), (visible(text), lines)):
        assert not re.search(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{BIDI}{UNSEEN}\ud800-\udfff]", html)
        bare = re.sub(r'<span class="[a-z -]+"(?: title="[A-Za-z0-9+, -]+")?>|</span>', "", html)
        assert not re.search(r"""[<>"']|&(?!amp;|lt;|gt;|#34;|#39;)""", bare)
        assert read(html) == written
        html.encode()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain é\n\ttext", "plain é\n\ttext"),
        ("<script>&\"'", "&lt;script&gt;&amp;&#34;&#39;"),
        ("\x1b[31mred\x1b[0m rest", '<span class="rb-ansi-red">red</span> rest'),
        ("\x1b[1;4;92mok\x1b[m", '<span class="rb-ansi-bold rb-ansi-underline rb-ansi-bright-green">ok</span>'),
        ("\x1b[38;5;196mx", '<span class="rb-ansi-red">x</span>'),
        ("\x1b[38;5;9mx", '<span class="rb-ansi-bright-red">x</span>'),
        ("\x1b[38;2;0;0;250mx", '<span class="rb-ansi-blue">x</span>'),
        ("\x1b[30;40mhidden", '<span class="rb-ansi-black rb-ansi-on-black">hidden</span>'),
        ("\x1b[8mconcealed", "concealed"),
        ("\x1b[32m<\x1b[0m", '<span class="rb-ansi-green">&lt;</span>'),
        ("\x1b[31m\x1b[0m", ""),
        ("one\r\ntwo", "one\ntwo"),
        ("real\rfake", 'real<span class="rb-control" title="CR">[CR]</span>fake'),
        ("a\x00\x00b", 'a<span class="rb-control" title="NUL">[NUL][NUL]</span>b'),
        ("\x7f\x9b", '<span class="rb-control" title="DEL, u+009b">[DEL][U+009B]</span>'),
        ("\x1b[2J", '<span class="rb-control" title="ESC">[ESC]</span>[2J'),
        ("\u202e", '<span class="rb-control" title="right-to-left override">[U+202E]</span>'),
        ("\ud800", '<span class="rb-control" title="u+d800">[U+D800]</span>'),
        (
            "\x1b]8;;javascript:alert(1)\x07link",
            (
                '<span class="rb-control" title="ESC">[ESC]</span>]8;;javascript:alert(1)'
                '<span class="rb-control" title="BEL">[BEL]</span>link'
            ),
        ),
        (f"\x1b[{'1' * 5000}m", f'<span class="rb-control" title="ESC">[ESC]</span>[{"1" * 5000}m'),
    ],
)
def test_output_as_html(text: str, html: str) -> None:
    assert styled(text) == html


def test_a_command_shows_even_the_characters_of_colours() -> None:
    assert visible("\x1b[31m<") == '<span class="rb-control" title="ESC">[ESC]</span>[31m&lt;'


def test_there_are_sixteen_colours() -> None:
    assert len(set(COLOURS)) == 16
