"""No form of a secret survives, whatever the chunks; what holds no secret is unchanged."""

from __future__ import annotations

import base64
import json
import time
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runbook_checks.errors import UsageError
from runbook_checks.redact import REPLACEMENT, Redactor

SECRETS = st.text(st.characters(codec="utf-8"), min_size=4, max_size=40).filter(lambda text: len(text.strip()) >= 4)


def streamed(redactor: Redactor, data: bytes, cuts: list[int]) -> bytes:
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    shown = b"".join(redactor.feed(data[a:b]) for a, b in pairwise(borders))
    return shown + redactor.flush()


@given(
    secret=SECRETS, before=st.binary(max_size=20), after=st.binary(max_size=20), cuts=st.lists(st.integers(0, 10_000))
)
def test_no_form_survives_any_chunking(secret: str, before: bytes, after: bytes, cuts: list[int]) -> None:
    data = secret.encode()
    forms = [data, quote(secret, "").encode(), quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode()]
    for form in forms:
        out = streamed(Redactor([secret]), before + form + after, cuts)
        assert REPLACEMENT in out
        assert not any(one in part for part in out.split(REPLACEMENT) for one in forms)


@given(
    secret=SECRETS, before=st.binary(max_size=20), after=st.binary(max_size=20), cuts=st.lists(st.integers(0, 10_000))
)
def test_base64_of_a_text_that_holds_a_secret_does_not_show_it(
    secret: str, before: bytes, after: bytes, cuts: list[int]
) -> None:
    data = secret.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        out = streamed(Redactor([secret]), encode(before + data + after), cuts)
        assert REPLACEMENT in out
        known = encode(b"\0" * (len(before) % 3) + data)[2 : -4 if len(data) > 5 else None]
        assert len(data) <= 5 or not any(known in part for part in out.split(REPLACEMENT))


@given(secrets=st.lists(SECRETS, max_size=4), text=st.binary(max_size=200), cuts=st.lists(st.integers(0, 10_000)))
def test_what_holds_no_secret_is_unchanged(secrets: list[str], text: bytes, cuts: list[int]) -> None:
    whole = streamed(Redactor(secrets), text, [])
    assume(REPLACEMENT not in whole)
    assert streamed(Redactor(secrets), text, cuts) == text == whole


@given(secrets=st.lists(SECRETS, min_size=1, max_size=3), cuts=st.lists(st.integers(0, 10_000)), data=st.data())
def test_chunks_make_no_difference(secrets: list[str], cuts: list[int], data: st.DataObject) -> None:
    pieces = st.one_of(
        st.sampled_from(secrets), st.sampled_from([secret[:3] for secret in secrets]), st.text(max_size=3)
    )
    text = "".join(data.draw(st.lists(pieces, max_size=12))).encode("utf-8", "surrogateescape")
    out = streamed(Redactor(secrets), text, cuts)
    assert not any(secret.encode() in part for part in out.split(REPLACEMENT) for secret in secrets)


def test_the_longer_of_two_secrets_wins_over_its_beginning() -> None:
    assert streamed(Redactor(["hunter2", "hunter2-and-more"]), b"<hunter2-and-more>", [9]) == b"<[redacted]>"


def test_each_line_of_a_key_is_a_secret() -> None:
    redactor = Redactor(["-----BEGIN KEY-----\nabcdefghij\nklmnopqrst\n-----END KEY-----\n"])
    assert redactor.redact("  abcdefghij\r\n  klmnopqrst\n") == "  [redacted]\r\n  [redacted]\n"


def test_quoted_by_the_shell_as_xtrace_prints_it() -> None:
    assert Redactor(["it's-me"]).redact("""+ login 'it'"'"'s-me'""") == "+ login '[redacted]'"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(UsageError, match="a secret of 3 characters cannot be redacted"):
        Redactor(["abc"])


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    redactor = Redactor(["hunter2"])
    assert redactor.feed(b"$ echo hun") == b"$ echo "
    assert redactor.feed(b"dred\n") == b"hundred\n"


def test_without_secrets_it_costs_nothing() -> None:
    data = b"x" * 1000
    assert Redactor([]).feed(data) is data
    assert Redactor([]).redact("text") == "text"


def test_much_output_is_searched_fast_enough() -> None:
    redactor = Redactor([f"secret-{n}-value" for n in range(5)])
    chunk = b"an ordinary line of output, with nothing in it\n" * 1400
    begun_s = time.process_time()
    for _ in range(50):
        redactor.feed(chunk)
    assert time.process_time() - begun_s < 3
