"""Secrets that nobody declared: what looks like a well-known credential is masked before it is kept or shown."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from runbook_checks.record import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from runbook_checks.need import Proof, Tried
    from runbook_checks.record import BlockRecord, Record


def _holds(*words: str) -> Callable[[str], bool]:
    return lambda text: any(word in text for word in words)


_AWS_ID = re.compile("A(?:KIA|SIA|BIA|CCA|3T)")
_LOGIN = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
_SECRET_WORDS = ("SECRET", "PASSWORD", "PASSWD", "TOKEN", "API_KEY", "PRIVATE_KEY", "ACCESS_KEY")
# Detectors of detect-secrets, and what a text must hold before one of them is asked: loading them takes a while, and
# most outputs hold none of it. Left out are those that take ordinary words for secrets, and those without a fixed form.
_DETECTORS: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("aws", "AWSKeyDetector", lambda text: _AWS_ID.search(text) or "aws" in text or "AWS" in text),
    ("azure_storage_key", "AzureStorageKeyDetector", _holds("AccountKey=")),
    ("basic_auth", "BasicAuthDetector", _LOGIN.search),
    ("github_token", "GitHubTokenDetector", re.compile("gh[opsur]_").search),
    ("gitlab_token", "GitLabTokenDetector", re.compile("gl[a-z]{2,6}-|GR1348941").search),
    ("openai", "OpenAIDetector", _holds("T3BlbkFJ")),
    ("pypi_token", "PypiTokenDetector", _holds("pypi-Ag")),
    ("sendgrid", "SendGridDetector", _holds("SG.")),
    ("slack", "SlackDetector", _holds("xox", "hooks.slack.com")),
    ("square_oauth", "SquareOAuthDetector", _holds("sq0csp-")),
    ("stripe", "StripeDetector", _holds("rk_live_", "sk_live_")),
)
# In our own words, where theirs take the square of the length of an output, or only the first line of a key.
_OURS: tuple[tuple[str, re.Pattern[str], Callable[[str], object]], ...] = (
    ("JSON Web Token", re.compile(r"(?<![\w-])eyJ[\w-]++\.[\w-]++"), _holds("eyJ")),
    ("NPM Token", re.compile(r":_authToken=\s?(npm_\w{10,}|[A-Fa-f0-9-]{36})"), _holds(":_authToken=")),
    (
        "Private Key",
        re.compile(r"-{0,5}BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY|PuTTY-User-Key-File-[23]"),
        _holds("PRIVATE KEY", "PuTTY-User-Key-File-"),
    ),
    (  # a line of an environment file; not a path, an address, a number, or what a shell still has to fill in
        "Secret Variable",
        re.compile(
            rf"(?<![A-Za-z0-9_])(?=[A-Z0-9_]*?(?:{'|'.join(_SECRET_WORDS)}))[A-Z][A-Z0-9_]*+=['\"]?"
            r"(?![/.~]|\d++(?!\w)|\w++://)([^\s'\"`$<>()\[\]*]{12,}+)"
        ),
        _holds(*_SECRET_WORDS),
    ),
)
_SHORTEST_GROUP = 8  # of a part of a match that is the secret itself; a shorter one tells the kind of token
_REST_OF_TOKEN = re.compile(r"[\w+/=.-]*")
_REST_OF_KEY = re.compile(r"[^\n]*\n(?:.*\n)*?[^\n]*(?:END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-+|Private-MAC: \w+)|[\s\S]*")
_REDACTED = re.compile(r"-*\s*\[redacted\]")
_PRIVATE_KEY = "Private Key"
_MASKED = re.compile(r"\[masked: looks like (an? [A-Za-z ]+)\]")


def mask(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text without what has the form of a well-known credential, and the kinds that were found, each once."""
    spans = sorted(_found(text))
    if not spans:
        return text, ()
    pieces, end = [], 0
    for first, last, kind in spans:
        if first >= end:
            pieces += [text[end:first], f"[masked: looks like {kind}]"]
        end = max(end, last)
    pieces.append(text[end:])
    return "".join(pieces), tuple(dict.fromkeys(kind for *_, kind in spans))


def masked(record: Record) -> tuple[Record, tuple[str, ...]]:
    """Return the record as it may be published, and where what was masked: ``page:line: block: kind``."""
    joined = "\n".join(_texts(record))
    if not any(may_hold(joined) for *_, may_hold in (*_DETECTORS, *_OURS)):
        return record, ()
    told: list[str] = []

    def clean(text: str, where: str) -> str:
        text, kinds = mask(text)
        told.extend(f"{record.page}:{where} holds what looks like {kind}" for kind in kinds)
        return text

    blocks = tuple(_clean_block(block, clean) for block in record.blocks)
    services = tuple(
        Service(*(clean(text, "1: what the stack says of a service") for text in (one.name, one.version)))
        for one in record.services
    )
    figures = tuple(
        replace(one, name=clean(one.name, "1: the name of a figure"), unit=clean(one.unit, "1: the unit of a figure"))
        for one in record.figures
    )
    record = replace(
        record,
        reason=clean(record.reason, "1: the reason"),
        source=clean(record.source, "1: the text of what was run"),
        blocks=blocks,
        services=services,
        figures=figures,
        parts=tuple((clean(name, "1: the name of a part"), value) for name, value in record.parts),
        moments=tuple(replace(one, name=clean(one.name, "1: the name of a moment")) for one in record.moments),
    )
    return record, tuple(dict.fromkeys(told))


def masked_proof(proof: Proof) -> tuple[Proof, tuple[str, ...]]:
    """Return a proof of need as it may be published, and where what was masked, as masked() does."""
    told: list[str] = []

    def clean(one: Tried) -> Tried:
        reason, kinds = mask(one.reason)
        where = f"{proof.page}:{one.line}: the proof of need of {one.role} {one.id}"
        told.extend(f"{where} holds what looks like {kind}" for kind in kinds)
        return replace(one, reason=reason) if kinds else one

    blocks = tuple(map(clean, proof.blocks))
    return (replace(proof, blocks=blocks), tuple(dict.fromkeys(told))) if told else (proof, ())


def kinds_in(record: Record) -> tuple[str, ...]:
    """Return what was masked in a record before it was kept, as ``page:line: block holds what looks like …``."""
    found = [
        f"{record.page}:{block.line}: {block.role} {block.id} holds what looks like {kind}"
        for block in record.blocks
        for text in (block.command, block.stdout, block.stderr, block.message)
        for kind in _MASKED.findall(text)
    ]
    found.extend(
        f"{record.page}:1: what the stack says of a service holds what looks like {kind}"
        for service in record.services
        for text in (service.name, service.version)
        for kind in _MASKED.findall(text)
    )
    return tuple(dict.fromkeys(found))


def _clean_block(block: BlockRecord, clean: Callable[[str, str], str]) -> BlockRecord:
    where = f"{block.line}: {block.role} {block.id}: its"
    return replace(
        block,
        command=clean(block.command, f"{where} text"),
        stdout=clean(block.stdout, f"{where} standard output"),
        stderr=clean(block.stderr, f"{where} standard error"),
        message=clean(block.message, f"{where} message"),
    )


def _texts(record: Record) -> Iterator[str]:
    yield from (record.reason, record.source, *(name for name, _ in record.parts))
    yield from (text for one in record.services for text in (one.name, one.version))
    yield from (text for one in record.figures for text in (one.name, one.unit))
    yield from (one.name for one in record.moments)
    for block in record.blocks:
        yield from (block.command, block.stdout, block.stderr, block.message)


def _found(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the span and the kind of each credential; spans may overlap."""
    for kind, pattern in _patterns(text):
        end = 0
        for match in pattern.finditer(text):
            if match.start() < end or _REDACTED.match(text, match.end()):  # within what goes, or gone already
                continue
            part = 1 if pattern.groups == 1 and len(match[1] or "") >= _SHORTEST_GROUP else 0
            first, end = match.span(part)
            rest = _REST_OF_KEY if kind == _PRIVATE_KEY else _REST_OF_TOKEN
            if not part and (after := rest.match(text, end)):
                end = after.end()
            yield first, end, _with_article(kind)


def _patterns(text: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield what finds each kind that a text may hold."""
    for module, name, may_hold in _DETECTORS:
        if may_hold(text):
            kind, patterns = _detector(module, name)
            yield from ((kind, pattern) for pattern in patterns)
    yield from ((kind, pattern) for kind, pattern, may_hold in _OURS if may_hold(text))


@cache
def _detector(module: str, name: str) -> tuple[str, tuple[re.Pattern[str], ...]]:
    """Return what a detector calls what it finds, and its patterns."""
    detector = getattr(import_module(f"detect_secrets.plugins.{module}"), name)
    return str(detector.secret_type), tuple(detector.denylist)


def _with_article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AEIO" else f"a {kind}"
