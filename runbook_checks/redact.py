"""Secrets never reach a record: they are replaced on the stream, across chunk borders, in every form of print."""

from __future__ import annotations

import base64
import json
import re
import shlex
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from runbook_checks.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

REPLACEMENT = b"[redacted]"
SHORTEST = 4  # a shorter one would blank half of the output
_SHORTEST_WRAPPED = 12  # a shorter form may come about where a line happens to end
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
        self._pattern, self._beginnings, self._longest, self._wrapped = _prepared(tuple(secrets))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what can be shown already; the end that may be the beginning of a secret is held back."""
        if self._pattern is None:
            return data
        data = self._held + data
        reach = min(self._longest - 1, len(data))
        keep = next((at for at in range(len(data) - reach, len(data)) if data[at:] in self._beginnings), len(data))
        pieces = []
        shown = 0
        for match in self._pattern.finditer(data):
            if match.end() > keep:  # what comes next decides whether this is a part of a longer form
                keep = min(keep, match.start())
                break
            pieces += [data[shown : match.start()], REPLACEMENT]
            shown = match.end()
        pieces.append(data[shown:keep])
        self._held = data[keep:]
        return b"".join(pieces)

    def flush(self) -> bytes:
        """Return what was held back, at the end of the stream."""
        held, self._held = self._held, b""
        return self._pattern.sub(REPLACEMENT, held) if self._pattern else held

    def unwrap(self, data: bytes) -> bytes:
        """Return the whole of an output without long forms broken into lines, as ``base64`` and ``fold`` do."""
        if self._wrapped is None or b"\n" not in data:
            return data
        joined = data.translate(None, b"\r\n")
        spans = [match.span() for match in self._wrapped.finditer(joined)]
        if not spans:
            return data
        places = [place for place, byte in enumerate(data) if byte not in b"\r\n"]  # in the data, of each byte joined
        pieces, shown = [], 0
        for first, last in spans:
            pieces += [data[shown : places[first]], REPLACEMENT]
            shown = places[last - 1] + 1
        pieces.append(data[shown:])
        return b"".join(pieces)

    def redact(self, text: str) -> str:
        """Return a whole text without secrets; the stream's own state is not touched."""
        if self._pattern is None:
            return text
        data = text.encode("utf-8", "surrogateescape")
        return self._pattern.sub(REPLACEMENT, data).decode("utf-8", "surrogateescape")


@lru_cache(maxsize=8)  # all outputs of a run have the same secrets, and those of a key take 20 MB
def _prepared(
    secrets: tuple[str, ...],
) -> tuple[re.Pattern[bytes] | None, frozenset[bytes], int, re.Pattern[bytes] | None]:
    """Return what matches any form, their beginnings, the greatest length, and what matches long ones on one line."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    joined = (form.translate(None, b"\r\n") for form in forms)
    long = sorted({form for form in joined if len(form) >= _SHORTEST_WRAPPED}, key=len, reverse=True)
    beginnings = frozenset(form[:end] for form in forms for end in range(1, len(form)))
    return _any_of(forms), beginnings, len(forms[0]) if forms else 0, _any_of(long)


def _any_of(forms: list[bytes]) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(map(re.escape, forms))) if forms else None


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
