"""What commands print, as HTML: colours become styled text; every other control character is named, never obeyed."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from markupsafe import Markup, escape
from rich.ansi import AnsiDecoder
from rich.color import ColorSystem
from rich.style import Style

_SGR = r"\x1b\[[0-9;]{0,64}m"  # "select graphic rendition", ECMA-48 8.3.117
# C0 and C1 but tab and newline; what has no width, turns the direction of writing or breaks lines; lone surrogates.
_CONTROL = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_ANY = re.compile(_CONTROL)
_STYLED = re.compile(rf"(?P<sgr>{_SGR})|\r(?=\n)|(?P<control>(?:(?!{_SGR}|\r\n){_CONTROL})+)")
_PLAIN = re.compile(rf"\r(?=\n)|(?P<control>(?:(?!\r\n){_CONTROL})+)")
_NAMES = (
    *("NUL", "SOH", "STX", "ETX", "EOT", "ENQ", "ACK", "BEL", "BS", "HT", "LF", "VT", "FF", "CR", "SO", "SI"),
    *("DLE", "DC1", "DC2", "DC3", "DC4", "NAK", "SYN", "ETB", "CAN", "EM", "SUB", "ESC", "FS", "GS", "RS", "US"),
)
_C0 = {**dict(enumerate(_NAMES)), 0x7F: "DEL"}
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
COLOURS = (*_COLOURS, *(f"bright-{name}" for name in _COLOURS))
_NULL = Style.null()


def styled(text: str) -> Markup:
    """Return output as safe HTML: colours as classes, other control characters by name, CR LF as a newline."""
    return _html(text, _STYLED) if _ANY.search(text) else escape(text)


def visible(text: str) -> Markup:
    """Return a text as safe HTML with every control character by name, those of colours too."""
    return _html(text, _PLAIN) if _ANY.search(text) else escape(text)


def named(text: str) -> str:
    """Return a text as text, with every control character by name; not yet HTML."""
    return _ANY.sub(lambda match: _word(match[0]), text) if _ANY.search(text) else text


def _html(text: str, pattern: re.Pattern[str]) -> Markup:
    done: list[str] = []
    style = _NULL
    at = 0
    for match in pattern.finditer(text):
        done.append(_in_style(text[at : match.start()], style))
        at = match.end()
        if match.lastgroup == "sgr":
            style = _after(style, match[0])
        elif match.lastgroup == "control":
            done.append(_shown(match[0]))
    done.append(_in_style(text[at:], style))
    return Markup("".join(done))  # noqa: S704 - every part is escaped below


def _in_style(text: str, style: Style) -> str:
    classes = _classes(style)
    return f'<span class="{classes}">{escape(text)}</span>' if classes and text else str(escape(text))


def _shown(controls: str) -> str:
    names = ", ".join(dict.fromkeys(map(_name, controls)))
    return f'<span class="rb-control" title="{escape(names)}">{"".join(map(_word, controls))}</span>'


def _word(char: str) -> str:
    code = ord(char)
    return f"[{_C0.get(code, f'U+{code:04X}')}]"  # not the pictures of Unicode: many fonts lack them


def _name(char: str) -> str:
    code = ord(char)
    return _C0.get(code) or unicodedata.name(char, f"U+{code:04X}").lower()


@lru_cache(maxsize=1024)
def _after(style: Style, sgr: str) -> Style:
    decoder = AnsiDecoder()
    decoder.style = style
    decoder.decode_line(sgr)
    return decoder.style


@lru_cache(maxsize=1024)
def _classes(style: Style) -> str:
    """Return the classes of a style; what would hide text (concealed, blinking) has none."""
    if style == _NULL:
        return ""
    names = [name for name in ("bold", "dim", "italic", "underline", "strike", "reverse") if getattr(style, name)]
    for prefix, colour in (("", style.color), ("on-", style.bgcolor)):
        number = colour.downgrade(ColorSystem.STANDARD).number if colour else None
        if number is not None:
            names.append(prefix + COLOURS[number])
    return " ".join(f"rb-ansi-{name}" for name in names)
