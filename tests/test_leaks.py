"""Secrets that nobody declared are masked wherever they came, and ordinary output is left as it is."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import record
from repository import copy_sample, document
from rich_site import proof_of
from test_secrets import MKDOCS

from runbook_checks.config import load_config
from runbook_checks.leaks import kinds_in, mask, masked
from runbook_checks.record import Figure, Moment, Service
from runbook_checks.report import load_report
from runbook_checks.store import Store

if TYPE_CHECKING:
    from pathlib import Path

# Made up, and put together here, so that no scanner of repositories takes this file for a leak.
BODY = "MIIEowIBAAKCAQEA7bq1x0+Zk9v\nYw3Jf0s9dQ==\n"
TOKENS = {
    "an AWS Access Key": "AKIA" + "IOSFODNN7EXAMPLF",
    "a GitHub Token": "gh" + "p_" + "a1B2" * 9,
    "a GitLab Token": "glpat" + "-" + "x1Y2z3W4v5" * 2,
    "a JSON Web Token": "ey" + "JhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxIn0" + ".c2lnbmF0dXJlLW9mLWl0",
    "a Slack Token": "xox" + "b-123456789012-" + "abcdefABCDEF".lower(),
    "a Stripe Access Key": "sk_" + "live_" + "abcd1234EFGH5678ijkl9012",
    "a SendGrid API Key": "SG." + "a" * 22 + "." + "b" * 43,
    "a PyPI Token": "pypi-" + "AgEIcHlwaS5vcmc" + "C" * 80,
    "a NPM Token": "np" + "m_" + "d" * 36,
    "an OpenAI Token": "sk-" + "e" * 20 + "T3Blbk" + "FJ" + "f" * 20,
    "an Azure Storage Account access key": "Account" + "Key=" + "Z" * 86 + "==",
    "a Square OAuth Secret": "sq0" + "csp-" + "g" * 43,
    "a Private Key": "-----BEGIN RSA PRIVATE" + f" KEY-----\n{BODY}-----END RSA PRIVATE" + " KEY-----",
}
LOGIN = "postgresql://app:correct-horse@db:5432/app"


@pytest.mark.parametrize(("kind", "token"), TOKENS.items(), ids=TOKENS)
def test_a_well_known_form_is_masked_whole_wherever_it_stands(kind: str, token: str) -> None:
    name = "//registry.example/:_authToken=" if "NPM" in kind else ""
    for before, after in ((name, ""), (f"token: {name}", " and more"), (f"x\n\t'{name}", "'\ny"), (f'{{"{name}', '"}')):
        text, kinds = mask(f"{before}{token}{after}")
        assert text == f"{before}[masked: looks like {kind}]{after}"
        assert kinds == (kind,)


def test_of_an_address_with_a_password_only_that_is_masked() -> None:
    text, kinds = mask(f"connecting to {LOGIN}")
    assert text == "connecting to postgresql://app:[masked: looks like a Basic Auth Credentials]@db:5432/app"
    assert kinds == ("a Basic Auth Credentials",)


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_of_a_line_of_an_environment_file_the_value_is_masked(quote: str) -> None:
    value = "pkNU--LLBSiwOcq-xa0Y" + "QATb2FxsTq6Q"
    text, kinds = mask(
        f"POOL_SIZE=10\nSESSION_SECRET={quote}{value}{quote}\nexport DB_PASSWORD={quote}{value}{quote}\n"
    )
    hidden = f"{quote}[masked: looks like a Secret Variable]{quote}"
    assert text == f"POOL_SIZE=10\nSESSION_SECRET={hidden}\nexport DB_PASSWORD={hidden}\n"
    assert kinds == ("a Secret Variable",)


@pytest.mark.parametrize(
    "text",
    [
        'SESSION_SECRET=$(openssl rand -hex 32) DB_PASSWORD="$1" TOKEN_FILE=/run/secrets/token_of_the_service',
        "TOKEN_URL=https://login.example/oauth2/token MAX_TOKENS=123456789012 PASSWORD=short API_KEY=[redacted]",
        "SECRETARIES: the secret=of-a-long-life, Password=is-not-in-capitals",
        "postgresql://$USER:$PASSWORD@db and https://example.org:8080/a@b, see mailto:a@b.c",
        "sha256:" + "0123456789abcdef" * 4,
        "commit da39a3ee5e6b4b0d3255bfef95601890afd80709, pool of AWS instances, APPENDED 12 rows, glance-api",
        "ready to accept connections on 10.0.0.1:5432\n" * 50,
        "3f2b8c1e-9a7d-4e5f-8b6a-1c2d3e4f5a6b",
    ],
)
def test_ordinary_output_is_left_as_it_is(text: str) -> None:
    assert mask(text) == (text, ())


def test_a_key_that_was_declared_and_redacted_is_no_news() -> None:
    head, _, rest = TOKENS["a Private Key"].partition(BODY)
    text = f"{head}[redacted]\n{rest}"
    assert mask(text) == (text, ())


def test_a_key_without_its_end_takes_the_rest_with_it() -> None:
    text, _ = mask("begin\n" + TOKENS["a Private Key"].partition("-----END")[0] + "more of it\n")
    assert text == "begin\n[masked: looks like a Private Key]"


def test_every_text_of_a_record_is_masked_and_its_place_told() -> None:
    token = TOKENS["a GitHub Token"]
    one = record(reason=f"why {token}", source=token)
    block = replace(one.blocks[0], command=token, stdout=token, stderr=f"<{token}>", message=token)
    figures = (Figure(token, 1.0, unit=token),)
    moments, services = (Moment(token, one.ended_at),), (Service(token, token),)
    parts = ((f"file {token}", "0"),)
    clean, told = masked(
        replace(one, blocks=(block,), figures=figures, moments=moments, services=services, parts=parts)
    )
    assert token not in repr((clean, told))
    assert len(told) == 11
    assert "docs/page.md:7: step b: its standard error holds what looks like a GitHub Token" in told
    assert masked(clean) == (clean, ())
    assert kinds_in(clean) == (
        "docs/page.md:7: step b holds what looks like a GitHub Token",
        "docs/page.md:1: what the stack says of a service holds what looks like a GitHub Token",
    )


def test_a_record_without_any_is_the_same() -> None:
    assert masked(record()) == (record(), ())


@given(st.text(), st.sampled_from([*(token for kind, token in TOKENS.items() if "NPM" not in kind), LOGIN]), st.text())
def test_what_is_masked_is_gone_and_masking_again_changes_nothing(before: str, token: str, after: str) -> None:
    text, _ = mask(f"{before} {token} {after}")
    assert token not in text
    assert mask(text)[0] == text


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\n" * 5000,
        "://a:" * 50_000,
        "eyJ" * 60_000,
        "eyJa." * 40_000,
        "aws" * 60_000,
        ":_authToken=" * 20_000,
        "SECRET" * 40_000,
        "SECRET=x " * 30_000,
        "A_" * 100_000 + "SECRET",
    ],
)
def test_no_output_keeps_the_search_long(text: str) -> None:
    begun_s = time.process_time()
    mask(text)
    assert time.process_time() - begun_s < 2


def test_nothing_undeclared_is_kept_or_printed_and_the_author_is_told(tmp_path: Path) -> None:
    repository = copy_sample(tmp_path)
    token = TOKENS["a Slack Token"]
    repository.only(
        "## Leaky { #leaky }\n\n```bash {.check}\nprintf 'xox%s\\n' 'b-123456789012-abcdefabcdef' >&2\necho no\n```\n"
        "```text {.expect}\nyes\n```\n"
    )
    done = repository.run("verify", "--environment", "box", "--json", "--junitxml", "junit.xml")
    assert done.returncode == 1
    assert "extra.md:7: check leaky-check-1 holds what looks like a Slack Token: it was masked" in done.stderr
    assert document(done)["records"][0]["blocks"][0]["stderr"] == "[masked: looks like a Slack Token]\n"
    written = [path for path in repository.root.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert not [path for path in written if token.encode() in path.read_bytes()]
    assert token not in done.stdout + done.stderr


def test_a_proof_of_need_from_elsewhere_is_shown_without_it_and_told(tmp_path: Path) -> None:
    repository = copy_sample(tmp_path)
    repository.only("## Leaky { #leaky }\n\n```bash {.check #leaks}\ntrue\n```\n")
    repository.write("mkdocs.yml", MKDOCS)
    repository.write("docs/index.md", "# Home\n")
    token = TOKENS["a GitHub Token"]
    config = load_config(repository.root / "runbook-checks.yml")
    entry = next(one for one in load_report(config, now=datetime.now(UTC)).entries if one.environment == "box")
    proof = proof_of(entry, datetime.now(UTC))
    leaky = replace(proof, blocks=tuple(replace(one, reason=f"it printed {token}") for one in proof.blocks))
    Store(repository.root / ".runbook-checks/evidence").append_need(leaky)
    assert "[masked: looks like a GitHub Token]" in repository.run("status", "--json").stdout
    built = repository.run("site", "build", "--no-offline")
    assert (
        "need.jsonl: docs/runbooks/extra.md:7: the proof of need of check leaks holds what looks like a GitHub Token"
        in built.stderr
    )
    assert built.returncode == 2
    assert not [path for path in (repository.root / "site").rglob("*.html") if token in path.read_text()]
    assert "[masked" in (repository.root / "site/evidence/extra/leaky/index.html").read_text()


def test_evidence_from_elsewhere_is_shown_without_it_and_told(tmp_path: Path) -> None:
    repository = copy_sample(tmp_path)
    repository.only("## Leaky { #leaky }\n\n```bash {.check}\ntrue\n```\n")
    token = TOKENS["a GitHub Token"]
    leaky = record(procedure="extra/leaky", environment="box", reason=token)
    Store(repository.root / ".runbook-checks/evidence").append(replace(leaky, outcome=type(leaky.outcome).FAILED))
    assert token not in repository.run("status", "--json").stdout
    assert "[masked: looks like a GitHub Token]" in repository.run("status", "--json").stdout
