"""No form of a secret survives, whatever the chunks; what holds no secret is unchanged."""

from __future__ import annotations

import base64
import json
import subprocess
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


def wrapped(data: bytes, width: int, end: bytes = b"\n") -> bytes:
    return b"".join(data[at : at + width] + end for at in range(0, len(data), width))


@pytest.mark.parametrize("width", [1, 7, 64, 76])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_long_secret_broken_into_lines_is_found(width: int, end: bytes) -> None:
    secret = "".join(chr(33 + (number * 37) % 90) for number in range(130))
    redactor = Redactor([secret, "-----BEGIN KEY-----\nabcdefghij\nklmnopqrst\n-----END KEY-----\n"])
    data = secret.encode()
    for coded in (data, base64.b64encode(b"ab" + data), quote(secret, "").encode()):
        out = redactor.unwrap(b"first\n" + wrapped(coded, width, end) + b"last\n")
        assert len(out.translate(None, b"\r\n").replace(REPLACEMENT, b"")) < 18, out
        assert out.startswith(b"first\n")
        assert out.endswith(b"last\n")
    key = wrapped(b"abcdefghijklmnopqrst", width, end)
    assert REPLACEMENT in redactor.unwrap(b"-----BEGIN KEY-----" + key + b"-----END KEY-----\n")


def test_a_short_secret_does_not_come_about_at_the_end_of_a_line() -> None:
    assert Redactor(["1234"]).unwrap(b"rows: 12\n34\n") == b"rows: 12\n34\n"


@given(secrets=st.lists(SECRETS, max_size=3), text=st.binary(max_size=200))
def test_what_is_not_broken_into_lines_is_left_as_it_is(secrets: list[str], text: bytes) -> None:
    redactor = Redactor(secrets)
    assume(REPLACEMENT not in redactor.unwrap(text))
    assert redactor.unwrap(text) == text


def test_quoted_by_the_shell_as_xtrace_prints_it() -> None:
    assert Redactor(["it's-me"]).redact("""+ login 'it'"'"'s-me'""") == "+ login '[redacted]'"


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize(
    "secret", ["it's-me", "p@ss/w\"ör'd\\ +&=%7B, $x `y` a blank!", "~tab\tline\nbell\a\x1b[1m\x01ü"]
)
def test_quoted_by_bash_in_every_way_it_has(secret: str, locale: str) -> None:
    said = subprocess.run(
        ["bash", "-c", 'x=$1; printf \'%q\\n\' "$x"; declare -p x; echo "${x@Q} ${x@A}"; set -x; : "$x"', "_", secret],
        env={"LC_ALL": locale},
        capture_output=True,
        check=True,
    )
    out = streamed(Redactor([secret]), said.stdout + said.stderr, [])
    assert out.count(REPLACEMENT) >= 5
    assert not any(letters in out for letters in (b"-me", b"w", b"blank", b"bell"))


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


def key(lines: int) -> str:
    coded = base64.b64encode(bytes(number * 151 % 256 for number in range(48 * lines))).decode()
    body = "\n".join(coded[at : at + 64] for at in range(0, len(coded), 64))
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize("size", [4, 7, 14, 15, 16, 23, 64])
def test_a_secret_is_found_wherever_it_lies(size: int) -> None:
    secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[:size]
    redactor = Redactor([secret])
    for before in range(17):
        for after in range(9):
            data = b"." * before + secret.encode() + b"." * after
            assert streamed(redactor, data, []) == b"." * before + REPLACEMENT + b"." * after


def test_each_line_of_a_long_key_is_found_in_every_form_and_alone() -> None:
    redactor = Redactor([key(50)])
    for line in key(50).splitlines():
        for form in (line, quote(line, ""), base64.b64encode(b"ab" + line.encode()).decode()):
            assert "[redacted]" in redactor.redact(f"a line: {form}\n")


def test_a_long_key_makes_nothing_slow() -> None:
    begun_s = time.process_time()
    redactor = Redactor([key(50)])
    chunk = (b"an ordinary line of output, with nothing in it\n" * 1400)[: 64 * 1024]
    for _ in range(80):
        redactor.feed(chunk)
        redactor.unwrap(chunk)
    assert time.process_time() - begun_s < 3
