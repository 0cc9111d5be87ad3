"""The words of a command or a script that may be names of files: text in, words out, nothing is looked up."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

_COMMENT = re.compile(r"^[ \t]*(?:#(?![!\w])|(?://|--)(?=[ \t])).*$", re.MULTILINE)
_SELF = r"\$(?:0|\{0\}|BASH_SOURCE|\{BASH_SOURCE(?:\[0\])?\})"
_OWN_FOLDER = re.compile(rf'"?(?:\$\(dirname (?:-- )?"?{_SELF}"?\)|\$\{{(?:0|BASH_SOURCE(?:\[0\])?)%/\*\}})"?')
_DEFAULT = re.compile(r"\$\{\w+:?[-=+]([^{}\n]*)\}")
_VARIABLE = re.compile(r"\$(?:\w+|[@*#?!$]|\{[^}\n]*\})")
_CALL = re.compile(r"(?<![\w.@%+/*?-])[A-Za-z_]\w*(?:\.\w+)+(?=\()")  # `answer.json(…)`
_WORD = re.compile(r"[\w.@%+/*?-]+")
_GOES_TO = re.compile(
    r"(?<![\w./-])(?:cd|pushd|-C|--directory|-chdir)[ \t=]+(?:--[ \t]+)?[\"']?([^\s\"';&|()]+)", re.MULTILINE
)
_MODULE = re.compile(r"(?<=\s)-m[ \t]+([A-Za-z_][\w.]*)")
_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*[\w.]*)[ \t]+import[ \t]+(?:\(([^)]*)\)|([^#;\n]*))|import[ \t]+([^#;\n]+))",
    re.MULTILINE,
)
_LONGEST = 4096  # characters of a path


@dataclass(frozen=True, slots=True)
class Words:
    """What a text may name: ``*`` in a word stands for any characters, a leading ``/`` for any folder.

    ``folders`` are where it changes to, in order; ``adrift`` says that it also changes to a place that only a run
    knows. ``modules`` are Python modules, dotted, with leading dots where they are relative.
    """

    names: tuple[str, ...]
    folders: tuple[str, ...] = ()
    adrift: bool = False
    modules: tuple[str, ...] = ()


@functools.lru_cache(maxsize=256)
def words_of(text: str, folder: str = "", *, python: bool = False) -> Words:
    """Return the words of a text that stands in a file of a folder, without those of its whole-line comments.

    A variable in a word may be anything, so that it reads as ``*``; of ``${X:-default}`` the default counts, and
    ``$(dirname "$0")`` is the folder. A call such as ``answer.json(…)`` is no word.
    """
    plain = _OWN_FOLDER.sub(lambda _: f"./{folder or '.'}", _COMMENT.sub("", text))
    plain = _VARIABLE.sub("*", _DEFAULT.sub(r"\1", plain))
    goes_to = dict.fromkeys(_GOES_TO.findall(plain))
    names: dict[str, None] = {}
    for found in _WORD.findall(_CALL.sub("", plain)):
        word = found.rstrip(".") if len(found) <= _LONGEST else ""
        if found in goes_to or not re.search(r"\w", word):
            continue
        for name in {word, word.lstrip("@")}:  # curl's -d @file
            names[_rooted(name)] = None
    return Words(
        names=tuple(names),
        folders=tuple(place for place in goes_to if "*" not in place),
        adrift=any("*" in place or place == "-" for place in goes_to),
        modules=(*_MODULE.findall(plain), *(_imports(text) if python else ())),
    )


def _rooted(word: str) -> str:
    """Return a word with one leading slash instead of the variables and slashes that it starts with."""
    start = re.match(r"(?:\*+/|/)+", word)
    return f"/{word[start.end() :]}" if start else word


def _imports(text: str) -> tuple[str, ...]:
    found = {}
    for module, several, one, plain in _IMPORT.findall(text):
        names = [part.split()[0] for part in re.split(r"[,\n]", several or one or plain) if part.split()]
        if not module:
            found.update(dict.fromkeys(names))
            continue
        found[module] = None
        separator = "" if module.endswith(".") else "."
        found.update(dict.fromkeys(f"{module}{separator}{name}" for name in names if re.fullmatch(r"\w+", name)))
    return tuple(found)
