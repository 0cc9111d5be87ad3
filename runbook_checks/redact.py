"""Secrets never reach a record: they are replaced on the stream, across chunk borders, in every form of print."""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from runbook_checks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

REPLACEMENT = b"[redacted]"
SHORTEST = 4  # a shorter one would blank half of the output
_SHORTEST_WRAPPED = 12  # a shorter form may come about where a line happens to end
_HEAD = 4  # no form is shorter
_WORD = 8  # bytes that are looked up at once
_SHORTEST_LINE = 8  # of a secret of several lines, such as a key in PEM; "}" and "null" are no secrets
_ANSI_C = {bytes([code]): b"\\" + letter.encode() for code, letter in zip(range(7, 14), "abtnvfr", strict=True)} | {
    b"\x1b": b"\\E",
    b"'": b"\\'",
    b"\\": b"\\\\",
}


class Redactor:
    """Replace every form of some secrets in one stream of bytes that comes in chunks.

    Forms: plain, each line of a secret of several lines, base64 (standard and URL-safe, at all three alignments),
    URL-encoded, JSON-escaped, shell-quoted. At most twice the longest form is held back between two chunks.
    Raises UsageError for a secret of fewer than four characters.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        """Prepare the forms once; without secrets nothing is searched or held back."""
        self._forms, self._wrapped = _prepared(tuple(secrets))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown already; the end that may be the beginning of a secret is held back."""
        if not self._forms.longest:
            return data
        data = self._held + data
        keep = self._forms.begins_at(data)
        pieces = []
        shown = 0
        for first, last in self._forms.spans(data):
            if last > keep:  # what comes next decides whether this is a part of a longer form
                keep = min(keep, first)
                break
            pieces += [data[shown:first], REPLACEMENT]
            shown = last
        pieces.append(data[shown:keep])
        self._held = data[keep:]
        return b"".join(pieces)

    def flush(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return _without(held, self._forms.spans(held))

    def unwrap(self, data: bytes) -> bytes:
        """Return the whole of an output without long forms broken into lines, as ``base64`` and ``fold`` do."""
        if not self._wrapped.longest or b"\n" not in data:
            return data
        spans = self._wrapped.spans(data.translate(None, b"\r\n"))
        if not spans:
            return data
        places = [place for place, byte in enumerate(data) if byte not in b"\r\n"]  # in the data, of each byte joined
        return _without(data, [(places[first], places[last - 1] + 1) for first, last in spans])

    def redact(self, text: str) -> str:
        """Return a whole text without secrets; the stream's own state is not touched."""
        if not self._forms.longest:
            return text
        data = text.encode("utf-8", "surrogateescape")
        return _without(data, self._forms.spans(data)).decode("utf-8", "surrogateescape")


class _Forms:
    """What is searched for; a key has hundreds of forms, and a pattern of them all takes long to make and to match.

    Wherever a form of 15 bytes or more lies, one of the words of 8 bytes that the data consists of is wholly within
    its first 15. Only data with such a word is searched for all forms, other data for the shorter ones.
    """

    def __init__(self, forms: Iterable[bytes]) -> None:
        """Keep them, the longest first: it wins where several begin."""
        self._all = sorted(set(forms), key=len, reverse=True)
        self.longest = len(self._all[0]) if self._all else 0
        shorter = [form for form in self._all if len(form) < 2 * _WORD - 1]
        longer = self._all[: len(self._all) - len(shorter)]
        words = (form[at : at + _WORD] for form in longer for at in range(_WORD))
        self._words = frozenset(int.from_bytes(word, sys.byteorder) for word in words)
        self._shorter = _any_of(shorter)
        self._by_head: dict[bytes, list[bytes]] = {}
        for form in self._all:
            for end in range(1, _HEAD + 1):
                self._by_head.setdefault(form[:end], []).append(form)

    @cached_property
    def _pattern(self) -> re.Pattern[bytes] | None:
        return _any_of(self._all)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where the forms lie."""
        words = memoryview(data)[: len(data) // _WORD * _WORD].cast("Q")
        pattern = self._shorter if self._words.isdisjoint(words) else self._pattern
        return [match.span() for match in pattern.finditer(data)] if pattern else []

    def begins_at(self, data: bytes) -> int:
        """Return where the longest end of the data begins that is the beginning of a form; else its length."""
        size = len(data)
        for at in range(max(0, size - self.longest + 1), size):
            candidates = self._by_head.get(data[at : at + _HEAD])
            if candidates and any(len(form) > size - at and form.startswith(data[at:]) for form in candidates):
                return at
        return size


@lru_cache(maxsize=8)  # all outputs of a run have the same secrets
def _prepared(secrets: tuple[str, ...]) -> tuple[_Forms, _Forms]:
    """Return all forms, and the long ones on one line."""
    forms = {form for secret in secrets for form in _forms(secret)}
    joined = (form.translate(None, b"\r\n") for form in forms)
    return _Forms(forms), _Forms(form for form in joined if len(form) >= _SHORTEST_WRAPPED)


def _any_of(forms: list[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(map(re.escape, forms))) if forms else None


def _without(data: bytes, spans: list[tuple[int, int]]) -> bytes:
    pieces, shown = [], 0
    for first, last in spans:
        pieces += [data[shown:first], REPLACEMENT]
        shown = last
    pieces.append(data[shown:])
    return b"".join(pieces)


def _forms(secret: str) -> Iterable[bytes]:
    if len(secret) < SHORTEST:
        raise UsageError(f"a secret of {len(secret)} characters cannot be redacted: use one of {SHORTEST} or more")
    lines = [line for line in secret.splitlines() if len(line) >= _SHORTEST_LINE]
    for plain in {secret, secret.strip(), *lines}:
        if len(plain) < SHORTEST:
            continue
        data = plain.encode("utf-8", "surrogateescape")
        yield data
        for safe in ("", "/", "!'()*"):  # the last is JavaScript's encodeURIComponent
            for coded in (quote(data, safe), quote_plus(data, safe)):
                yield coded.encode()
                yield re.sub("%..", lambda code: code[0].lower(), coded).encode()
        yield json.dumps(plain)[1:-1].encode()
        yield json.dumps(plain, ensure_ascii=False)[1:-1].encode("utf-8", "surrogateescape")
        yield shlex.quote(plain).strip("'").encode("utf-8", "surrogateescape")
        yield from _bash_forms(data)
        yield from _base64_forms(data)


def _bash_forms(data: bytes) -> Iterable[bytes]:
    """Yield how bash quotes: in xtrace and ``${x@Q}``, ``printf %q``, ``declare -p``, and ``$'…'`` in two locales."""
    yield data.replace(b"'", b"'\\''")
    yield re.sub(rb"[ '\"|&;()<>!{}*\[\]?^$`\\,]|^[~#]", rb"\\\g<0>", data)
    yield re.sub(rb"[\"$`\\]", rb"\\\g<0>", data)
    for kept in (b"", b"\x80-\xff"):  # where the locale knows no UTF-8, its bytes are octal
        yield re.sub(rb"['\\]|[^ -~%b]" % kept, _ansi_c, data)


def _ansi_c(match: re.Match[bytes]) -> bytes:
    return _ANSI_C.get(match[0], b"\\%03o" % match[0][0])


def _base64_forms(data: bytes) -> Iterable[bytes]:
    """Yield the characters of the encoding that depend on the secret alone, for each place it may have in a triplet."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data)
        first = (8 * before + 5) // 6
        last = 8 * (before + len(data)) // 6
        yield coded[first:last]
        yield coded[first:last].translate(bytes.maketrans(b"+/", b"-_"))
