from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runbook_checks.catalog import Catalog, load
from runbook_checks.digest import FileHashes, digest, parts

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """---
runbook:
  owner: platform
---

## Base

```bash {.check}
scripts/base.sh
```

## Restore

```yaml {.procedure}
needs: [base]
uses: ["config/*.yml"]
```

Some prose.

```bash {.step title="Restore" timeout=5m}
"$PWD"/scripts/restore.sh --latest >out/log.txt
```
```text {.expect}
restored <rows> rows
```
```bash {.check}
true
```
"""
FILES = {
    ".gitignore": "out/\n",
    "scripts/restore.sh": '. "$(dirname "$0")/lib.sh"\ncat data/seed.sql ../outside.txt\n',
    "scripts/lib.sh": "true\n",
    "scripts/base.sh": "true\n",
    "scripts/unused.sh": "true\n",
    "data/seed.sql": "select 1;\n",
    "config/a.yml": "a: 1\n",
    "out/log.txt": "made by a run\n",
    "stack/up.py": "pass\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    base = tmp_path / "root"
    for name, text in FILES.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text, encoding="utf-8")
    (tmp_path / "outside.txt").write_text("no", encoding="utf-8")
    return base


def catalog_of(root: Path, text: str) -> Catalog:
    (root / "page.md").write_text(text, encoding="utf-8")
    return load(root, [root / "page.md"])


def digest_of(root: Path, text: str = PAGE) -> str:
    catalog = catalog_of(root, text)
    return digest(catalog.get("page/restore"), catalog, FileHashes(root), ("stack",))


def test_the_parts_name_all_that_a_run_depends_on(root: Path) -> None:
    catalog = catalog_of(root, PAGE)
    found = parts(catalog.get("page/restore"), catalog, FileHashes(root), ("stack/**/*.py",))
    assert list(found) == [
        "card",
        "block restore-step-1",
        "block restore-check-1",
        "file config/a.yml",
        "file data/seed.sql",
        "file scripts/lib.sh",
        "file scripts/restore.sh",
        "needs page/base",
        "stack stack/up.py",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("--latest", "--newest"),
        ("restored <rows>", "got <rows>"),
        ("timeout=5m", "timeout=6m"),
        ("```bash {.check}\ntrue", "```sh {.check}\ntrue"),
        ("{.expect}", "{.expect match=exact}"),
        ("needs: [base]", "needs: []"),
        ("scripts/base.sh", "scripts/base.sh "),
        ("true\n```\n", "true\n```\n```bash {.check}\ntrue\n```\n"),
    ],
)
def test_what_is_run_changes_the_digest(root: Path, before: str, after: str) -> None:
    assert before in PAGE
    assert digest_of(root) != digest_of(root, PAGE.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Some prose.", "Other\n\nprose."),
        ('title="Restore"', 'title="Restore it"'),
        ("{.check}\ntrue", "{.check #fine}\ntrue"),
        ("owner: platform", "owner: nobody"),
        ("## Restore", "## Restore the base { #restore }"),
    ],
)
def test_what_is_only_read_does_not_change_the_digest(root: Path, before: str, after: str) -> None:
    assert before in PAGE
    assert digest_of(root) == digest_of(root, PAGE.replace(before, after))


@pytest.mark.parametrize(
    "name", ["scripts/restore.sh", "scripts/lib.sh", "scripts/base.sh", "data/seed.sql", "config/a.yml", "stack/up.py"]
)
def test_a_file_that_a_run_uses_changes_the_digest(root: Path, name: str) -> None:
    before = digest_of(root)
    (root / name).write_text(FILES[name] + "# edited\n", encoding="utf-8")
    assert digest_of(root) != before


@pytest.mark.parametrize("name", ["scripts/unused.sh", "out/log.txt", "../outside.txt"])
def test_any_other_file_does_not(root: Path, name: str) -> None:
    before = digest_of(root)
    (root / name).write_text("edited\n", encoding="utf-8")
    assert digest_of(root) == before


def test_a_link_out_of_the_root_is_not_followed(root: Path) -> None:
    (root / "scripts/base.sh").unlink()
    (root / "scripts/base.sh").symlink_to(root.parent / "outside.txt")
    before = digest_of(root)
    (root.parent / "outside.txt").write_text("edited", encoding="utf-8")
    assert digest_of(root) == before


def test_files_that_name_each_other_end(root: Path) -> None:
    (root / "scripts/lib.sh").write_text("scripts/restore.sh scripts/lib.sh\n", encoding="utf-8")
    assert digest_of(root).startswith("sha256:")


def test_the_order_of_blocks_counts(root: Path) -> None:
    one = "```bash {.check}\ntrue\n```\n"
    two = "```bash {.check}\nfalse || true\n```\n"
    assert digest_of(root, PAGE + one + two) != digest_of(root, PAGE + two + one)
