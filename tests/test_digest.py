from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from runbook_checks import digest
from runbook_checks.catalog import Catalog, load
from runbook_checks.config import Config, Environment, Identity, StackCommands
from runbook_checks.digest import parts
from runbook_checks.files import FileHashes

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


STAGING = Environment("staging", stack=StackCommands("true", "true", definition=("stack/**/*.py",)))


def digest_of(root: Path, text: str = PAGE, environment: Environment = STAGING, **settings: Any) -> str:
    catalog = catalog_of(root, text)
    config = Config(root, environments=(environment,), **settings)
    return digest.digest_of(parts(config, environment, catalog.get("page/restore"), catalog, FileHashes(root)))


def files_of(root: Path, block: str, environment: Environment = STAGING, language: str = "bash") -> set[str]:
    """Return the files that count for a page of one block."""
    page = f"---\nrunbook:\n  owner: platform\n---\n\n## Restore\n\n```{language} {{.check}}\n{block}\n```\n"
    catalog = catalog_of(root, page)
    procedure = catalog.get("page/restore")
    found = parts(Config(root, environments=(environment,)), environment, procedure, catalog, FileHashes(root))
    return {name.partition(" ")[2] for name in found if name.startswith("file ")}


def write(root: Path, name: str, text: str = "true\n") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def test_the_parts_name_all_that_a_run_depends_on(root: Path) -> None:
    catalog = catalog_of(root, PAGE)
    found = parts(Config(root), STAGING, catalog.get("page/restore"), catalog, FileHashes(root))
    assert list(found) == [
        "card",
        "block restore-step-1",
        "block restore-check-1",
        "file config/a.yml",
        "file data/seed.sql",
        "file scripts/lib.sh",
        "file scripts/restore.sh",
        "needs page/base",
        "environment name",
        "environment variables",
        "environment secrets",
        "environment identity",
        "environment stack",
        "stack stack/up.py",
    ]


def test_a_drill_depends_on_the_rules_that_raise_its_alerts(root: Path) -> None:
    write(root, "rules/a.yml", "groups: []\n")
    fault = PAGE.replace("needs: [base]", "needs: [base]\nalerts: [Down]") + "```bash {.fault}\ntrue\n```\n"
    before, apart = (digest_of(root, page, alerts=("rules",)) for page in (fault, PAGE))
    write(root, "rules/a.yml", "groups: [{name: a}]\n")
    assert before != digest_of(root, fault, alerts=("rules",)), "nobody knows whether it still fires"
    assert apart == digest_of(root, PAGE, alerts=("rules",)), "which alert there is says nothing of the steps alone"
    stack = replace(STAGING, stack=StackCommands("true", "true", definition=("stack/**/*.py", "rules")))
    assert digest_of(root, fault, stack, alerts=("rules",)) == digest_of(root, fault, stack), "once is enough"


def test_older_ids_run_nothing_and_are_not_covered(root: Path) -> None:
    before = digest_of(root)
    named = digest_of(root, PAGE.replace("needs: [base]", "needs: [base]\nformerly: [recover, old/restore]"))
    assert before == named
    given = PAGE.replace("```bash {.check}\ntrue", "```bash {.check #look}\ntrue")
    reason = given.replace("needs: [base]", "needs: [base]\nunproven: {look: no trouble}")
    assert before == digest_of(root, given) == digest_of(root, reason), "why a block is not proven runs nothing either"
    # What was proven before there were older ids stays proven.
    catalog = catalog_of(root, PAGE)
    card = parts(Config(root), STAGING, catalog.get("page/restore"), catalog, FileHashes(root))["card"]
    assert card == "42fada6fe6f97ab4be737ef1b2c225402871ac0fb368f64e50d596f7e15cd733"


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


@pytest.mark.parametrize(
    "change",
    [
        {"name": "production"},
        {"variables": (("GREETING", "bye"),)},
        {"secrets": ("TOKEN",)},
        {"identity": Identity("hostname", "box")},
        {"stack": replace(STAGING.stack, up="false") if STAGING.stack else None},
        {"stack": None},
    ],
)
def test_the_environment_counts(root: Path, change: dict[str, Any]) -> None:
    assert digest_of(root) != digest_of(root, environment=replace(STAGING, **change))


def test_the_command_of_a_language_that_is_used_counts_and_no_other(root: Path) -> None:
    page = PAGE + "```python {.check}\nassert True\n```\n"
    assert digest_of(root, page) != digest_of(root, page, languages=(("python", "false"),))
    assert digest_of(root) == digest_of(root, languages=(("python", "false"),))


@pytest.mark.parametrize("field", ["up", "health", "env", "services", "down"])
def test_a_script_behind_a_stack_command_counts(root: Path, field: str) -> None:
    stack = StackCommands(**{"up": "true", "down": "true", field: "scripts/unused.sh now"})  # type: ignore[arg-type]  # texts all
    environment = replace(STAGING, stack=stack)
    before = digest_of(root, environment=environment)
    write(root, "scripts/unused.sh", "edited\n")
    assert digest_of(root, environment=environment) != before


def test_a_script_behind_the_identity_counts(root: Path) -> None:
    environment = Environment("box", identity=Identity("scripts/unused.sh", "box"))
    before = digest_of(root, environment=environment)
    write(root, "scripts/unused.sh", "edited\n")
    assert digest_of(root, environment=environment) != before


def test_the_block_that_a_figure_measures_counts(root: Path) -> None:
    page = PAGE.replace("needs: [base]", "needs: [base]\nfigures: {took: {max: 1}}") + "```bash {.check}\ntrue\n```\n"
    one = page.replace("{.step ", "{.step #took ")
    other = page.replace("```bash {.check}\ntrue\n```\n```bash", "```bash {.check #took}\ntrue\n```\n```bash")
    assert one != page != other
    assert digest_of(root, one) != digest_of(root, other)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("cd tools && ./a.sh", "tools/a.sh"),
        ("cd tools && bash plain", "tools/plain"),
        ("bash $SCRIPTS/a.sh", "tools/a.sh"),
        ('"${SCRIPT:-tools/a.sh}"', "tools/a.sh"),
        ("bash tools/$NAME.sh", "tools/a.sh"),
        ("curl -d @tools/payload.json $URL", "tools/payload.json"),
        ("cat tools/conf.d/*", "tools/conf.d/one.yml"),
        ("kubectl apply -f tools", "tools/conf.d/one.yml"),
        ("tools/here.sh", "lib/common.sh"),
        ("tools/own.sh", "tools/payload.json"),
        ("python3 tools/main.py", "tools/helper.py"),
        ("python3 -m pkg.run", "src/pkg/other.py"),
        ("make all", "Makefile"),
        ("cat 'my file.sql'", "my file.sql"),
        ("cat notes/read.md", "notes/read.md"),
        ("cat tools/*(a|b).sh", "tools/a.sh"),
    ],
)
def test_a_file_is_named(root: Path, command: str, name: str) -> None:
    for file in ("tools/a.sh", "tools/plain", "tools/payload.json", "tools/conf.d/one.yml", "lib/common.sh"):
        write(root, file)
    for file in ("tools/helper.py", "src/pkg/__init__.py", "src/pkg/other.py", "Makefile", "my file.sql"):
        write(root, file)
    write(root, "tools/here.sh", 'cd "$(dirname "$0")/.."\n. lib/common.sh\n')
    write(root, "tools/own.sh", 'cat "$(dirname "${BASH_SOURCE[0]}")/payload.json"\n')
    write(root, "tools/main.py", "import sys, helper\n")
    write(root, "src/pkg/run.py", "from .other import (\n    thing,\n)\n")
    write(root, "notes/read.md")
    assert name in files_of(root, command)


def test_a_variable_of_the_environment_names_a_file(root: Path) -> None:
    environment = replace(STAGING, variables=(("SCRIPT", "scripts/unused.sh"),))
    assert files_of(root, "bash $SCRIPT", environment) == {"scripts/unused.sh"}


@pytest.mark.parametrize(
    "text",
    [
        *("# see scripts/unused.sh\n", "cat docs/guide.md\n", "echo the docs\n", 'echo "${n}s/"\n', "cat notes.toml\n"),
        "answer.unused.sh(unused.sh())\n",
    ],
)
def test_prose_comments_and_calls_in_a_script_name_nothing(root: Path, text: str) -> None:
    write(root, "docs/guide.md", "scripts/unused.sh\n")
    write(root, "notes.toml", 'readme = "scripts/unused.sh"\n')
    write(root, "scripts/base.sh", text)
    assert files_of(root, "scripts/base.sh") - {"notes.toml"} == {"scripts/base.sh"}


def test_prose_of_a_folder_does_not_count_unless_it_is_spelled_out(root: Path) -> None:
    write(root, "config/README.md")
    for folder, count in (("config", 1), ("config/*", 1), ("config/*.md", 1), ("config/README.md", 1)):
        assert len(FileHashes(root).matching([folder])) == count
    assert FileHashes(root).matching(["config"]) == ("config/a.yml",)


def test_the_executable_bit_counts(root: Path) -> None:
    before = digest_of(root)
    (root / "scripts/restore.sh").chmod(0o755)
    assert digest_of(root) != before


def test_a_tracked_file_counts_although_it_is_ignored(root: Path) -> None:
    assert "out/log.txt" not in files_of(root, "cat out/log.txt")
    for command in (("init", "-q"), ("add", "-f", "out/log.txt")):
        subprocess.run(("git", *command), cwd=root, check=True)
    assert "out/log.txt" in files_of(root, "cat out/log.txt")


def test_a_file_that_is_being_merged_is_one_file(root: Path) -> None:
    write(root, "run.sh")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    one = subprocess.run(["git", "hash-object", "-w", "run.sh"], cwd=root, check=True, capture_output=True, text=True)
    stages = "".join(f"{mode} {one.stdout.strip()} {stage}\trun.sh\n" for mode, stage in ((100644, 1), (100755, 2)))
    subprocess.run(["git", "update-index", "--index-info"], cwd=root, input=stages, check=True, text=True)
    assert FileHashes(root).matching(["run.*"]) == ("run.sh",)
    assert FileHashes(root).named(["./run.sh"]) == ("run.sh",)


def test_a_folder_behind_a_link_counts(root: Path) -> None:
    (root / "current").symlink_to("scripts")
    subprocess.run(("git", "init", "-q"), cwd=root, check=True)
    subprocess.run(("git", "add", "current"), cwd=root, check=True)
    assert files_of(root, "current/unused.sh") == {"current/unused.sh"}


def test_a_folder_that_the_checkout_around_it_ignores_has_files_too(root: Path) -> None:
    write(root, "inner/scripts/a.sh")
    write(root, ".gitignore", "inner/\n")
    subprocess.run(("git", "init", "-q"), cwd=root, check=True)
    assert FileHashes(root / "inner").matching(["scripts"]) == ("scripts/a.sh",)


def test_a_python_block_imports_from_the_root(root: Path) -> None:
    write(root, "helper.py", "import stack.up\n")
    assert files_of(root, "from helper import thing", language="python") == {"helper.py", "stack/up.py"}
