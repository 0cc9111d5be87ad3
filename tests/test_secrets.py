"""A corpus of declared secrets in every form of print: no byte that a run and a site publish holds one of them."""

from __future__ import annotations

import base64
import json
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from repository import Repository, copy_sample, document

from runbook_checks.record import Service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY_LINES = [f"Q{number:02d}" + "zYxWvUtSrQpOnMlKjIhGfEdCbA9876543210+/" + f"{number:02d}" for number in range(6)]
SECRETS = {
    "CORPUS_PLAIN": "hunter2-correct-horse-battery",
    "CORPUS_ODD": "p@ss/w\"ör'd\\ +&=%7B and a blank",
    "CORPUS_LONG": "".join(chr(65 + (number * 7) % 26) + str(number % 10) for number in range(60)),
    "CORPUS_KEY": "\n".join(["-----BEGIN TEST KEY-----", *KEY_LINES, "-----END TEST KEY-----"]),
}
PRINTS = """
import base64, json, os, shlex, sys, time
from urllib.parse import quote, quote_plus
for name in ("CORPUS_PLAIN", "CORPUS_ODD", "CORPUS_LONG", "CORPUS_KEY"):
    secret = os.environ[name]
    data = secret.encode()
    forms = [secret, quote(secret, ""), quote(secret), quote_plus(secret), json.dumps({"token": secret}),
             json.dumps(secret, ensure_ascii=False), shlex.quote(secret), f"https://user:{quote(secret, '')}@host/",
             *(base64.b64encode(b"x" * n + data + b"y" * n).decode() for n in range(4)),
             *(base64.urlsafe_b64encode(b"x" * n + data).decode() for n in range(3)),
             base64.encodebytes(data).decode(), base64.b64encode(f"user:{secret}".encode()).decode(),
             f"Authorization: Bearer {secret}", f"{secret}{secret}", f"<b>{secret}</b>", f"| {secret} |"]
    for stream in (sys.stdout, sys.stderr):
        for form in forms:
            print("form:", form, file=stream)
        print("indented:", *(f"    {line}" for line in secret.splitlines()), sep="\\n", file=stream, flush=True)
        for part in (secret[:5], secret[5:11], secret[11:]):
            stream.write(part)
            stream.flush()
            time.sleep(0.002)
        stream.write("\\n")
        if "\\n" not in secret:
            stream.write("\\n".join(secret[at : at + 9] for at in range(0, len(secret), 9)) + "\\n")
"""
PAGE = f"""## Leaky {{ #leaky }}

```python {{.step #prints}}
{PRINTS.strip()}
```

```bash {{.step #echoes}}
set -x
printf '%s %s\\n' "$CORPUS_PLAIN" "$CORPUS_ODD" "$CORPUS_LONG" "$CORPUS_KEY"
: "$CORPUS_PLAIN" "$CORPUS_LONG" "$CORPUS_KEY"
set +x
base64 <<<"$CORPUS_KEY" && base64 -w 20 <<<"$CORPUS_LONG" >&2
(sleep 0.3; echo "late $CORPUS_PLAIN") &
```

```bash {{.check #captures}}
echo "value is $CORPUS_PLAIN"
```
```text {{.expect}}
value is <value>
```

```bash {{.check #fails}}
echo "got $CORPUS_ODD and $value"; printf '%s' "$CORPUS_KEY" >&2
echo "$CORPUS_LONG" >&2; exit 3
```
```text {{.expect}}
something else
```

```bash {{.cleanup}}
echo "bye $CORPUS_LONG"
```
"""
MKDOCS = """site_name: Corpus
docs_dir: docs
theme: {name: material, font: false}
plugins: [search, runbook-checks]
markdown_extensions: [attr_list, pymdownx.superfences, pymdownx.highlight]
"""


def needles() -> Iterator[bytes]:
    """Yield every form in which a secret must not be found, and each long line and half of one."""
    for secret in SECRETS.values():
        data = secret.encode()
        yield data
        yield from (
            form.encode() for form in (quote(secret, ""), quote(secret), quote_plus(secret), shlex.quote(secret))
        )
        yield from (json.dumps(secret, ensure_ascii=ascii_only)[1:-1].encode() for ascii_only in (True, False))
        yield from (base64.b64encode(b"x" * before + data)[4:-4] for before in range(3))
        yield from (base64.urlsafe_b64encode(b"x" * before + data)[4:-4] for before in range(3))
        if "\n" not in secret:
            yield data[: len(data) // 2]
            yield data[len(data) // 2 :]
    yield from (line.encode() for line in KEY_LINES)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    copied = copy_sample(tmp_path_factory.mktemp("corpus"))
    copied.only(PAGE)
    copied.write("mkdocs.yml", MKDOCS)
    copied.write("docs/index.md", "# Home\n")
    copied.replace(
        "runbook-checks.yml", "    disposable: true", f"    disposable: true\n    secrets: [{', '.join(SECRETS)}]"
    )
    return copied


def found(data: bytes) -> list[bytes]:
    joined = data.replace(b"\\n", b"").replace(b"\n", b"")
    return [needle for needle in needles() if needle in data or needle.replace(b"\n", b"") in joined]


def test_no_published_byte_holds_a_declared_secret_in_any_form(repository: Repository) -> None:
    before = {path for path in repository.root.rglob("*") if path.is_file()}
    ran = repository.run("verify", "--environment", "box", "--json", "--junitxml", "junit.xml", **SECRETS)
    assert ran.returncode == 1
    (record,) = document(ran)["records"]
    blocks = {block["id"]: block for block in record["blocks"]}
    assert [block["outcome"] for block in record["blocks"]] == ["passed", "passed", "passed", "failed", "passed"]
    assert blocks["prints"]["stdout"].count("[redacted]") > 80
    assert blocks["prints"]["stderr"].count("[redacted]") > 80
    shown = repository.run("status", "--json", **SECRETS)
    built = repository.run("site", "build", **SECRETS)
    assert built.returncode == 0, built.stderr
    printed = "\n".join(done.stdout + done.stderr for done in (ran, shown, built)).encode()
    written = [path for path in repository.root.rglob("*") if path.is_file() and path not in before]
    assert {path.suffix for path in written} >= {".jsonl", ".xml", ".html", ".json", ".svg"}
    assert found(printed) == []
    assert {str(path): found(path.read_bytes()) for path in written if found(path.read_bytes())} == {}


def test_what_a_stack_says_of_its_services_is_redacted(tmp_path: Path) -> None:
    copied = copy_sample(tmp_path)
    copied.only("## Look { #look }\n\n```bash {.check}\ntrue\n```\n")
    secret = "s3cr3t-of-the-stack"  # what `env` of the sample's stack gives SERVICE_TOKEN
    says = f"""echo "db 18.1 at app:{secret}@db" && echo "{secret}/cache 2" """
    copied.replace("runbook-checks.yml", "services: scripts/stack services", f"services: '{says.strip()}'")
    ran = copied.run("verify", "--environment", "local", "--json")
    assert ran.returncode == 0, ran.stderr
    (record,) = copied.records("extra/look")
    assert record.services == (Service("db", "18.1 at app:[redacted]@db"), Service("[redacted]/cache", "2"))
    assert secret not in ran.stdout + ran.stderr


def test_what_a_stack_says_when_it_cannot_name_its_services_is_redacted(tmp_path: Path) -> None:
    copied = copy_sample(tmp_path)
    copied.replace(
        "runbook-checks.yml", "services: scripts/stack services", "services: echo s3cr3t-of-the-stack && false"
    )
    ran = copied.run("verify", "--environment", "local", "--json")
    assert ran.returncode == 3
    assert "[redacted]" in ran.stderr
    assert "s3cr3t-of-the-stack" not in ran.stdout + ran.stderr


def test_the_search_finds_what_is_there() -> None:
    for secret in SECRETS.values():
        assert found(f"<{secret}>".encode())
        assert found(base64.b64encode(b"ab" + secret.encode()))
        assert found(json.dumps({"a": secret}).encode())
