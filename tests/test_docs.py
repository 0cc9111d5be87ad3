"""The words that a user reads are true: everything in the code is in its reference page, and nothing else is."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import sys
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from documentation import CODE, PAGES, REFERENCE, ROOT, documented, section, shown_commands

from runbook_checks import (
    blocks,
    card,
    cli,
    documents,
    exits,
    languages,
    marks,
    model,
    need,
    processes,
    promql,
    record,
    running,
    stack,
    status,
    trust,
)
from runbook_checks.config import load_config
from runbook_checks.errors import SourceError
from runbook_checks.report import Entry
from runbook_checks.site.macros import define_env
from runbook_checks.site.plugin import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PACKAGE = ROOT / "runbook_checks"

sys.path.insert(0, str(ROOT / "scripts"))
docs_cli = importlib.import_module("docs_cli")


def keys_of(tmp_path: Path, text: str, where: str) -> set[str]:
    """Return the keys that a part of the configuration has, as its own error message names them."""
    file = tmp_path / "runbook-checks.yml"
    file.write_text(text)
    with pytest.raises(SourceError) as caught:
        load_config(file)
    found = next(problem for problem in caught.value.problems if problem.reason == f"unknown key `xxxxxxxx` in {where}")
    return set(found.suggestion.removeprefix("it has ").split(", "))


def values(enum: Any) -> set[str]:
    return {str(one.value) for one in enum}


def names(kind: Any) -> list[str]:
    return sorted(field.name for field in fields(kind))


class TestFormat:
    def test_each_role_is_documented(self) -> None:
        assert {f".{role}" for role in values(model.Role)} == set(documented("format.md", "roles"))

    def test_each_attribute_of_a_block_is_documented_once(self) -> None:
        expected = sorted(["#id", *(f"{name}=" for name in blocks.BLOCK_ATTRIBUTES)])
        assert expected == sorted(
            row.split("|")[1].strip(" `")
            for row in section("format.md", "block-attributes")
            if row.startswith("| `") and row.split("|")[2].strip() not in {"attribute", "class"}
        )

    def test_what_is_for_looks_is_documented(self) -> None:
        rows = [row.split("|") for row in section("format.md", "block-attributes")]
        looks = {row[1].strip(" `") for row in rows if len(row) > 2 and row[2].strip() in {"attribute", "class"}}
        assert looks == blocks.LOOKS | blocks.LOOK_ATTRIBUTES

    def test_each_attribute_of_an_expectation_is_documented(self) -> None:
        assert [f"{name}=" for name in blocks.EXPECT_ATTRIBUTES] == documented("format.md", "expectations")

    def test_each_key_of_the_front_matter_is_documented(self) -> None:
        assert list(card.RUNBOOK_KEYS) == documented("format.md", "front-matter")

    def test_each_key_of_a_card_is_documented(self) -> None:
        assert list(card.CARD_KEYS) == documented("format.md", "card")

    def test_each_key_of_a_figure_is_documented(self) -> None:
        assert list(card.FIGURE_KEYS) == documented("format.md", "figures")

    def test_each_severity_is_documented(self) -> None:
        row = next(line for line in section("format.md", "card") if line.startswith("| `severity`"))
        assert list(card.SEVERITIES) == CODE.findall(row.split("|")[2])

    def test_the_defaults_of_timeouts_and_polling_are_those_of_the_code(self) -> None:
        rows = {row.split("|")[1].strip(" `"): row for row in section("format.md", "block-attributes") if "|" in row}
        assert (running.STEP_TIMEOUT_S, running.CHECK_TIMEOUT_S, running.CHECK_EVERY_S) == (300, 30, 0.5)
        assert "`5m`, a check `30s`" in rows["timeout="]
        assert "`500ms`" in rows["every="]


class TestMatching:
    def test_each_mode_is_documented(self) -> None:
        assert ["match=", *(mode.value for mode in model.Match)] == documented("matching.md", "modes")

    def test_each_stream_is_documented(self) -> None:
        row = next(line for line in section("format.md", "expectations") if line.startswith("| `stream=`"))
        assert values(model.Stream) == set(CODE.findall(row.split("|")[2]))


class TestStatusAndEvidence:
    def test_each_status_is_documented(self) -> None:
        assert values(status.Status) == set(documented("status.md", "statuses"))

    def test_each_outcome_is_documented(self) -> None:
        assert values(record.Outcome) == set(documented("evidence.md", "outcomes"))

    def test_what_can_come_of_a_trial_is_documented(self) -> None:
        row = next(line for line in section("evidence.md", "need-trials") if line.startswith("| `came`"))
        assert values(need.Came) == set(CODE.findall(row.split("|")[2]))

    def test_each_worth_of_a_record_is_documented(self) -> None:
        assert values(trust.Worth) == set(documented("evidence.md", "worth"))

    @pytest.mark.parametrize(
        ("kind", "heading"),
        [
            (record.Record, "record"),
            (record.BlockRecord, "record-blocks"),
            (record.Figure, "record-figures"),
            (record.Moment, "record-moments"),
            (need.Proof, "need"),
            (need.Trial, "need-trials"),
            (need.Tried, "need-blocks"),
        ],
    )
    def test_each_field_is_documented(self, kind: Any, heading: str) -> None:
        assert names(kind) == sorted(documented("evidence.md", heading))

    def test_each_key_of_status_json_is_documented(self) -> None:
        procedure = model.Procedure("docs/a.md", "b", "B", 1, model.Card(), ())
        judgement = status.Judgement(status.Status.UNVERIFIED)
        entry = Entry(procedure, model.Runbook("docs/a.md", "A"), "staging", "sha256:1", judgement)
        document: dict[str, Any] = documents.status_document([entry], datetime.now(UTC))
        assert list(document) == re.findall(
            r'"(\w+)":', next(line for line in section("site.md", "status-json") if '"schema_version"' in line)
        )

    def test_what_a_service_has_is_documented(self) -> None:
        row = next(line for line in section("evidence.md", "record") if line.startswith("| `services`"))
        assert names(record.Service) == CODE.findall(row.split("|")[2])


class TestConfiguration:
    @pytest.mark.parametrize(
        ("text", "where", "heading"),
        [
            ("xxxxxxxx: 1", "the configuration", "top"),
            ("alerts_without_runbook: [{xxxxxxxx: 1}]", "an entry of `alerts_without_runbook`", "exceptions"),
            ("environments: {a: {xxxxxxxx: 1}}", "environment a", "environment"),
            ("environments: {a: {identity: {xxxxxxxx: 1}}}", "identity", "identity"),
            ("environments: {a: {stack: {xxxxxxxx: 1}}}", "stack", "stack"),
            ("environments: {a: {drill: {xxxxxxxx: 1}}}", "drill", "drill"),
        ],
    )
    def test_each_key_is_documented(self, tmp_path: Path, text: str, where: str, heading: str) -> None:
        assert keys_of(tmp_path, text, where) == set(documented("configuration.md", heading))

    def test_each_setting_of_the_site_is_documented(self) -> None:
        assert {name for name, _ in Settings._schema} == set(documented("site.md", "settings"))

    def test_each_macro_is_documented_with_its_arguments(self) -> None:
        macros: dict[str, Callable[..., str]] = {}
        env: Any = SimpleNamespace(macro=lambda function: macros.setdefault(function.__name__, function))
        define_env(env)
        rows = [line.split("|") for line in section("site.md", "macros") if line.startswith("| `")]
        assert {row[1].strip(" `"): set(CODE.findall(row[2])) for row in rows} == {
            name: {*function.__annotations__} - {"return"} for name, function in macros.items()
        }


class TestShell:
    def test_each_language_is_documented_with_its_command(self) -> None:
        rows = [line.split("|") for line in section("shell.md", "languages") if line.startswith("| `")]
        commands = {row[1].strip(" `"): row[2].strip(" `") for row in rows}
        assert commands.pop(languages.SESSION_LANGUAGE).startswith("none")
        assert commands == dict(languages.DEFAULTS)

    def test_each_variable_that_we_set_is_documented(self) -> None:
        known = {marks.VARIABLE, processes.TOKEN_VARIABLE, promql.SINCE_VARIABLE, "RUNBOOK_STACK_DIR"}
        assert "RUNBOOK_STACK_DIR" in Path(stack.__file__).read_text(encoding="utf-8")
        assert known == set(documented("shell.md", "variables"))


class TestCommandLine:
    def test_each_exit_code_is_documented(self) -> None:
        assert {str(int(code)) for code in exits.Exit} == set(documented("cli.md", "exit-codes"))

    def test_the_page_has_the_commands_as_they_are(self) -> None:
        page = docs_cli.PAGE.read_text(encoding="utf-8")
        assert docs_cli.rewritten(page) == page, "run scripts/docs_cli.py"

    @pytest.mark.parametrize("command", [name for name, _ in docs_cli.commands()])
    def test_the_page_names_what_help_names(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as left:
            cli.main([*command.split(), "--help"])
        assert left.value.code == 0
        in_help = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", capsys.readouterr().out.partition("options:")[2]))
        on_page = {word.split()[0] for word in documented("cli.md", command.replace(" ", "-")) if word.startswith("-")}
        assert on_page == in_help - {"-h", "--help"}

    def test_each_mark_is_documented(self, pytestconfig: pytest.Config) -> None:
        """A mark that nobody has registered fails the run of whoever asks pytest to be strict."""
        registered = {line.partition(":")[0] for line in pytestconfig.getini("markers") if ": a procedure that" in line}
        assert registered == {*values(model.Role), "drill", "destructive"}
        assert registered == set(documented("cli.md", "marks"))

    def test_each_option_of_the_pytest_plugin_is_documented(self) -> None:
        source = (PACKAGE / "pytest_plugin.py").read_text(encoding="utf-8")
        options = re.findall(r'"(--[a-z-]+)"', source)
        assert options == [word.split()[0] for word in documented("cli.md", "pytest")]

    @pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
    def test_commands_that_pages_show_can_be_typed(self, page: Path) -> None:
        for place, line in shown_commands(page):
            words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
            parser = docs_cli.parser_of(*words) if words[:1] in (["http"], ["promql"]) else docs_cli.parser_of()
            try:
                parser.parse_args(words[1:] if words[:1] in (["http"], ["promql"]) else words)
            except SystemExit as left:
                assert left.code == 0, f"{place}: `{line}` is no command"  # noqa: PT017 - argparse leaves


class TestGlossary:
    def test_each_word_of_the_model_is_defined(self) -> None:
        words = {word.lower() for word in re.findall(r"^\| \*\*([^*]+)\*\* \|", glossary(), re.MULTILINE)}
        assert values(model.Role) <= words
        assert values(status.Status) <= words
        assert {
            *("runbook", "procedure", "block", "expectation", "environment", "stack", "drill", "record", "figure"),
            *("status", "capture", "deadline", "digest", "selection", "worker", "instance", "card", "role"),
        } <= words

    def test_words_are_in_order_and_defined_once(self) -> None:
        words = [word.lower() for word in re.findall(r"^\| \*\*([^*]+)\*\* \|", glossary(), re.MULTILINE)]
        assert words == sorted(set(words))


def glossary() -> str:
    return (REFERENCE / "glossary.md").read_text(encoding="utf-8")


class TestDocstrings:
    @pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
    def test_what_is_public_says_what_it_does(self, path: Path) -> None:
        module = ast.parse(path.read_text(encoding="utf-8"))
        silent = [name for name, node in public(module, path.stem) if not ast.get_docstring(node)]
        assert silent == []


Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(node: Documented, name: str) -> Iterator[tuple[str, Documented]]:
    """Yield a module or class, and what is public in it."""
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{name}.{child.name}")
            else:
                yield f"{name}.{child.name}", child
