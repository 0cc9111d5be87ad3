"""A page that somebody else wrote: reading it runs nothing, is bounded, and says what is wrong with it."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from repository import FRONT, Repository, copy_sample

from runbook_checks.config import load_config
from runbook_checks.errors import SourceError
from runbook_checks.markdown import scan
from runbook_checks.report import load_catalog, load_report

if TYPE_CHECKING:
    from pathlib import Path

CARD = "## A {{ #a }}\n\n```yaml {{.procedure}}\n{}\n```\n\n```bash {{.check}}\ntrue\n```\n"
BOMB = 'a: &a ["x","x"]\n' + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join('*' + chr(97 + n) for _ in range(9))}]\n" for n in range(9)
)
TRICKS = """## A {{ #a }}

```bash
touch {0}/plain
```

```bash {{.step}}
touch {0}/step "$(touch {0}/substituted)" `touch {0}/ticked`; . {0}/sourced; trap 'touch {0}/trapped' EXIT
: <(touch {0}/piped) ${{x:=$(touch {0}/default)}} $((a[$(touch {0}/arithmetic)]))
```

```python {{.check}}
open("{0}/python", "w")
```
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    copied = copy_sample(tmp_path)
    copied.only(CARD.format("tags: [x]"))
    return copied


def refused(repository: Repository) -> str:
    with pytest.raises(SourceError) as caught:
        load_catalog(load_config(repository.root / "runbook-checks.yml"))
    return str(caught.value)


def test_nothing_but_verify_runs_a_block_and_verify_no_unmarked_one(repository: Repository, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    repository.only(TRICKS.format(marks))
    load_report(load_config(repository.root / "runbook-checks.yml"), now=datetime.now(UTC))
    for command in ("lint",), ("verify", "--environment", "bare"):
        assert "Traceback" not in repository.run(*command).stderr
    repository.pytest()
    assert list(marks.iterdir()) == []  # `bare` may not be changed
    repository.run("verify", "--environment", "box")
    assert "plain" not in {path.name for path in marks.iterdir()}
    assert "step" in {path.name for path in marks.iterdir()}


@pytest.mark.parametrize(
    "text",
    ["---\nrunbook: {}\nx: " + "y" * 10_000_000 + "\n---\n", "---\nrunbook: {}\n" + "- a\n" * 3_000_000 + "---\n"],
)
def test_ten_megabytes_of_front_matter_are_refused_with_the_reason(repository: Repository, text: str) -> None:
    repository.write("docs/runbooks/big.md", text)
    begun_s = time.process_time()
    assert refused(repository) == "docs/runbooks/big.md:1: the front matter is larger than 64 KiB"
    assert time.process_time() - begun_s < 5


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"---\nrunbook: {{}}\n{BOMB}---\n", "the front matter has more than 20 aliases"),
        (FRONT + CARD.format(BOMB.rstrip("\n")), "the card has more than 20 aliases"),
        ("---\nrunbook: {}\nx: " + "[" * 200 + "]" * 200 + "\n---\n", "lists nested too deeply"),
        ("---\nrunbook: {}\ntitle: !!python/object/apply:os.system [touch ran]\n---\n", "`title` must be one value"),
        (FRONT + CARD.format("tags: [" + "x" * 10_000_000 + "]"), "the card is larger than 64 KiB"),
    ],
)
def test_yaml_is_plain_and_bounded(repository: Repository, text: str, reason: str) -> None:
    repository.write("docs/runbooks/other.md", text)
    assert reason in refused(repository)
    assert not (repository.root / "ran").exists()


@pytest.mark.parametrize("where", ["../outside.txt", "/etc/hostname", "docs/../../outside.txt", "**/../../outside.txt"])
def test_uses_cannot_leave_the_repository(repository: Repository, where: str) -> None:
    (repository.root.parent / "outside.txt").write_text("x")
    repository.only(CARD.format(f'uses: ["{where}"]'))
    config = load_config(repository.root / "runbook-checks.yml")
    with pytest.raises(SourceError, match="leaves the folder of the configuration"):
        load_report(config, now=datetime.now(UTC))


@pytest.mark.parametrize("target", ["/dev/zero", "pipe", "/etc/shadow", "../outside.txt"])
def test_a_file_that_a_block_names_is_read_only_where_it_is_one_of_the_repository(
    repository: Repository, target: str
) -> None:
    os.mkfifo(repository.root / "scripts/pipe")
    (repository.root / "scripts/named.sh").symlink_to(target)
    repository.only("## A { #a }\n\n```bash {.check}\nbash scripts/named.sh\n```\n")
    begun_s = time.monotonic()
    report = load_report(load_config(repository.root / "runbook-checks.yml"), now=datetime.now(UTC))
    assert time.monotonic() - begun_s < 10
    assert report.entries


@pytest.mark.parametrize("kind", ["page", "folder"])
def test_a_link_does_not_bring_in_a_page_from_outside(repository: Repository, kind: str) -> None:
    outside = repository.root.parent / "outside"
    outside.mkdir()
    (outside / "x.md").write_text(FRONT + CARD.format("tags: [x]"))
    if kind == "page":
        (repository.root / "docs/runbooks/x.md").symlink_to(outside / "x.md")
        assert "docs/runbooks/x.md:1: this page is outside the folder of the configuration" in refused(repository)
    else:
        (repository.root / "docs/runbooks/more").symlink_to(outside)
        catalog = load_catalog(load_config(repository.root / "runbook-checks.yml"))
        assert [procedure.id for procedure in catalog.procedures] == ["extra/a"]


@pytest.mark.parametrize(
    "text",
    [
        "> " * 5000 + "x\n",
        "- " * 20_000 + "x\n",
        "[" * 100_000 + "\n",
        "# " + "*a " * 30_000 + "\n## " + "[a](" * 30_000 + "\n",
        "## {" + " #a" * 30_000 + "}\n",
        "```bash {" + ' title="' * 20_000 + "}\n```\n",
        "<!--" * 50_000 + "\n" + "<div " * 50_000,
        "`" * 100_000 + "\n" + "~" * 100_000 + "\n",
        "```\n" * 50_000,
        "    ```bash {.check}\n" * 10_000,
        "!!! note\n\n" * 20_000,
        "---\n" * 50_000,
        "```promql {.check}\n" + "(" * 50_000 + "\n```\n",
        "```http {.check}\n" + "GET " * 50_000 + "\n```\n",
        "```bash {.check}\n" + "true\n" * 500_000 + "```\n",
    ],
    ids=lambda text: text[:12],
)
def test_no_page_takes_long_to_read(text: str) -> None:
    begun_s = time.process_time()
    scan(FRONT + text, "page.md")
    assert time.process_time() - begun_s < 5
