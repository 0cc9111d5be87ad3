"""The configuration is read whole, and everything unexpected in it is told with its line."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest

from runbook_checks.config import FILE_NAME, Config, Environment, Exemption, Identity, find_config, load_config
from runbook_checks.errors import SourceError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
pages: [docs, extra.md]
evidence: kept
mkdocs: site.yml
alerts_without_runbook:
  - {alert: DiskFull, owner: platform, until: 2026-12-31, reason: being written}
verify_every: 7d
languages: {ruby: ruby -}
trusted_keys: [keys/ci.pub]
environments:
  staging:
    variables: {A: "1"}
    secrets: [TOKEN]
    stack: {up: ./up, down: ./down, timeout: 90s, definition: [stack/**]}
  claimed:
    identity: {run: hostname, prints: db-1}
  production:
    protected: true
"""


def load(folder: Path, text: str) -> Config:
    (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return load_config(folder / FILE_NAME)


def test_a_whole_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, WHOLE)
    assert (config.pages, config.evidence, config.mkdocs) == (("docs", "extra.md"), "kept", "site.yml")
    assert (config.verify_every_s, config.languages) == (7 * 86400, (("ruby", "ruby -"),))
    assert config.trusted_keys == ("keys/ci.pub",)
    assert config.alerts_without_runbook == (
        Exemption("DiskFull", "platform", date(2026, 12, 31), "being written", FILE_NAME, 6),
    )
    staging = config.environment()
    assert (staging.name, staging.variables, staging.secrets) == ("staging", (("A", "1"),), ("TOKEN",))
    assert staging.stack is not None
    assert (staging.stack.up, staging.stack.timeout_s, staging.stack.definition) == ("./up", 90, ("stack/**",))
    assert config.environment("claimed").identity == Identity("hostname", "db-1")
    assert config.environment("production") == Environment("production", protected=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no environment is named"),
        ("environments: {}", "no environment is named"),
        ("enviroments: {a: {}}", "did you mean `environments`?"),
        ("environments: {a: {protected: yes}}", "`protected` must be `true` or `false`"),
        ("environments: {a: {stack: {up: x}}}", "`down` is missing"),
        ("environments: {a: {identity: {run: x}}}", "`prints` is missing"),
        ("environments: {A b: {}}", "is no name for an environment"),
        ("environments: {a: {}, a: {}}", "twice"),
        ("environments: {a: {variables: {A-B: x}}}", "`A-B` cannot be a variable"),
        ('environments: {a: {variables: {A: "x\\0"}}}', "`A` cannot be a variable"),
        ("environments: {a: {secrets: TOKEN}}", "must be a list"),
        ("environments: {a: {procedures: page}}", "write `procedures: [page]`"),
        ("environments: {a: {procedures: []}}", "`procedures` names nothing; leave it out"),
        ("environments: {a: {procedures: }}", "`procedures` names nothing; leave it out"),
        ("environments: {a: {procedures: [x, '']}}", "`procedures` has an empty entry"),
        ("environments: {a: {stack: {up: x, down: y, timeout: soon}}}", "is not a duration"),
        ("alerts_without_runbook: A", "must be a list"),
        ("alerts_without_runbook: [A]", "an entry of `alerts_without_runbook` must be `key: value` lines"),
        ("alerts_without_runbook: [{owner: a, until: 2026-12-31, reason: c}]", "`alert` is missing"),
        ("alerts_without_runbook: [{alert: A, until: 2026-12-31, reason: c}]", "`owner` is missing"),
        ("alerts_without_runbook: [{alert: A, owner: b, reason: c}]", "`until` is missing"),
        ("alerts_without_runbook: [{alert: A, owner: b, until: 2026-12-31}]", "`reason` is missing"),
        ("alerts_without_runbook: [{alert: A, owner: b, until: 2026-12-31, reason: ''}]", "`reason` is missing"),
        ("alerts_without_runbook: [{alert: A, owner: b, until: never, reason: c}]", "`until: never` is no date"),
        (
            "alerts_without_runbook: [{alert: A, owner: b, until: 2026-02-30, reason: c}]",
            "`until: 2026-02-30` is no date",
        ),
        ("alerts_without_runbook: [{alert: A, owner: b, until: 20261231, reason: c}]", "write it as `2026-12-31`"),
        ("alerts_without_runbook: [{alert: A, ower: b}]", "did you mean `owner`?"),
        ("alerts_without_runbook:\n- &a {alert: A, owner: b, until: 2026-12-31, reason: c}\n- *a", "names `A` twice"),
        ("pages: [/etc]\nenvironments: {a: {}}", "is no path below"),
        ("pages: [../x]\nenvironments: {a: {}}", "is no path below"),
        ("trusted_keys: [/etc/ci.pub]\nenvironments: {a: {}}", "`trusted_keys: /etc/ci.pub` is no path below"),
        ("trusted_keys: [../ci.pub]\nenvironments: {a: {}}", "is no path below"),
        ("trusted_keys: [a.pub, a.pub]\nenvironments: {a: {}}", "twice"),
        ("trusted_keys: []\nenvironments: {a: {}}", "`trusted_keys` names no key"),
        ("environments: [a]", "must be `key: value` lines"),
        ("environments: {a: [", "not valid YAML"),
        ("verify_every: 0d\nenvironments: {a: {}}", "not a usable duration"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SourceError) as caught:
        load(tmp_path, text)
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{FILE_NAME}:")


def test_everything_wrong_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        load(tmp_path, "pagess: [a]\nenvironments:\n  a:\n    stak: {}\n    disposable: maybe\n")
    assert [problem.line for problem in caught.value.problems] == [1, 4, 5]


@pytest.mark.parametrize("data", [b"\xff\xfe", b"a: \x00"])
def test_a_file_that_is_no_text_is_a_source_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(data)
    with pytest.raises(SourceError):
        load_config(tmp_path / FILE_NAME)


def test_a_file_that_cannot_be_read_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        load_config(tmp_path)
    with pytest.raises(SourceError, match="cannot be read"):
        load_config(tmp_path / "gone.yml")


def test_an_unknown_environment_is_a_usage_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="it has staging, claimed, production"):
        load(tmp_path, WHOLE).environment("prod")


def test_the_nearest_file_above_is_found(tmp_path: Path) -> None:
    load(tmp_path, WHOLE)
    (tmp_path / "a/b").mkdir(parents=True)
    assert find_config(tmp_path / "a/b") == tmp_path / FILE_NAME


def test_no_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"there is no {FILE_NAME}"):
        find_config(tmp_path)


def test_pages_are_folders_files_and_globs_each_once(tmp_path: Path) -> None:
    for name in ("docs/b.md", "docs/a/c.md", "extra.md", "docs/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    config = load(tmp_path, "pages: [docs, extra.md, docs/*.md]\nenvironments: {a: {}}")
    assert [path.relative_to(config.root).as_posix() for path in config.page_paths()] == [
        "docs/a/c.md",
        "docs/b.md",
        "extra.md",
    ]


@pytest.mark.parametrize("name", ["gone", "gone/*.md", "**.md"])
def test_pages_that_are_not_there_are_refused(tmp_path: Path, name: str) -> None:
    config = load(tmp_path, f"pages: ['{name}']\nenvironments: {{a: {{}}}}")
    with pytest.raises(UsageError, match="`pages` names"):
        tuple(config.page_paths())
