"""``runbook-checks.yml``: where the pages are, how their languages run, and which environments there are."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook_checks.errors import Problem, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import yaml

FILE_NAME = "runbook-checks.yml"
DEFAULT_VERIFY_EVERY_S = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class StackCommands:
    """The shell commands that bring a stack up and down; each runs in the configuration's folder."""

    up: str
    down: str
    health: str = ""
    env: str = ""  # prints NAME=value lines
    services: str = ""  # prints "name version" lines
    logs: str = ""
    definition: tuple[str, ...] = ()  # globs of the files that make the stack what it is
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A command and what it must print to prove that an environment is the place that it claims to be."""

    run: str
    prints: str


@dataclass(frozen=True, slots=True)
class Environment:
    """A named target with its variables, secrets and guards."""

    name: str
    variables: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()  # names of variables whose values are never shown
    disposable: bool = False
    protected: bool = False
    identity: Identity | None = None
    stack: StackCommands | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; ``root`` is the folder that holds the file, the others are paths below it."""

    root: Path
    pages: tuple[str, ...] = ("docs",)
    evidence: str = ".runbook-checks/evidence"
    mkdocs: str = "mkdocs.yml"
    verify_every_s: float = DEFAULT_VERIFY_EVERY_S
    languages: tuple[tuple[str, str], ...] = ()
    environments: tuple[Environment, ...] = field(default=())

    def environment(self, name: str = "") -> Environment:
        """Return an environment by name, the first one for no name; raises UsageError for an unknown one."""
        for environment in self.environments:
            if name in {"", environment.name}:
                return environment
        names = ", ".join(environment.name for environment in self.environments)
        raise UsageError(f"there is no environment {name!r} in {FILE_NAME}; it has {names}")

    def page_paths(self) -> Iterator[Path]:
        """Yield every Markdown file that ``pages`` names (folders, files or globs), each once, in order."""
        seen = set()
        for pattern in self.pages:
            base = self.root / pattern
            found = base.rglob("*.md") if base.is_dir() else self.root.glob(pattern)
            for path in sorted(found):
                if path not in seen:
                    seen.add(path)
                    yield path


def find_config(start: Path) -> Path:
    """Return the nearest ``runbook-checks.yml`` in ``start`` or a folder above it; raises UsageError for none."""
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME
    raise UsageError(f"there is no {FILE_NAME} in {start} or above it; write one, or change to a folder that has it")


def load_config(path: Path) -> Config:
    """Return the configuration in a file; raises SourceError with everything that is wrong in it."""
    import yaml  # noqa: PLC0415 - `--version` does not pay for it

    reader = _Reader(path.name)
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise SourceError((Problem(path.name, line, f"not YAML: {getattr(error, 'problem', error)}"),)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError((Problem(path.name, 1, f"cannot be read: {error}"),)) from error
    config = reader.config(path.parent.resolve(), node)
    if reader.problems:
        raise SourceError(tuple(reader.problems))
    return config


class _Reader:
    """Turns YAML nodes into values, and everything unexpected into a problem at its line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []

    def config(self, root: Path, node: yaml.Node | None) -> Config:
        fields = self._fields(
            node,
            "the configuration",
            {
                "pages": self._texts,
                "evidence": self._text,
                "mkdocs": self._text,
                "verify_every": self._seconds,
                "languages": self._table,
                "environments": self._environments,
            },
        )
        if not fields.get("environments"):
            self._problem(node, "no environment", "name at least one, such as `environments: {staging: {…}}`")
        return Config(root=root, **_renamed(fields, verify_every="verify_every_s"))

    def _environments(self, node: yaml.Node) -> tuple[Environment, ...]:
        return tuple(self._environment(key, value) for key, value in self._pairs(node, "environments"))

    def _environment(self, name: str, node: yaml.Node) -> Environment:
        fields = self._fields(
            node,
            f"environment {name}",
            {
                "variables": self._table,
                "secrets": self._texts,
                "disposable": self._flag,
                "protected": self._flag,
                "identity": self._identity,
                "stack": self._stack,
            },
        )
        return Environment(name, **fields)

    def _identity(self, node: yaml.Node) -> Identity:
        fields = self._fields(node, "identity", {"run": self._text, "prints": self._text})
        return Identity(self._needed(node, fields, "run"), self._needed(node, fields, "prints"))

    def _stack(self, node: yaml.Node) -> StackCommands:
        commands = dict.fromkeys(("up", "down", "health", "env", "services", "logs"), self._text)
        fields = self._fields(node, "stack", {**commands, "definition": self._texts, "timeout": self._seconds})
        for name in ("up", "down"):
            fields[name] = self._needed(node, fields, name)
        return StackCommands(**_renamed(fields, timeout="timeout_s"))

    def _needed(self, node: yaml.Node, fields: Mapping[str, Any], name: str) -> str:
        if not fields.get(name):
            self._problem(node, f"`{name}` is missing", f"write `{name}: …`")
        return str(fields.get(name, ""))

    def _fields(
        self, node: yaml.Node | None, what: str, readers: Mapping[str, Callable[[yaml.Node], Any]]
    ) -> dict[str, Any]:
        fields = {}
        for key, value in self._pairs(node, what):
            if key in readers:
                fields[key] = readers[key](value)
                continue
            close = difflib.get_close_matches(key, readers, 1)
            self._problem(
                value,
                f"unknown key `{key}` in {what}",
                f"did you mean `{close[0]}`?" if close else f"it has {', '.join(readers)}",
            )
        return fields

    def _pairs(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, yaml.Node]]:
        if node is None or node.id != "mapping":
            self._problem(node, f"{what} is not a mapping", "write `key: value` lines")
            return
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                self._problem(key, f"`{key.value}` stands twice in {what}", "keep one")
            seen.add(key.value)
            yield str(key.value), value

    def _table(self, node: yaml.Node) -> tuple[tuple[str, str], ...]:
        return tuple((key, self._text(value)) for key, value in self._pairs(node, "the table"))

    def _texts(self, node: yaml.Node) -> tuple[str, ...]:
        if node.id != "sequence":
            self._problem(node, "a list is needed", f"write `[{node.value}]`" if node.id == "scalar" else "")
            return ()
        return tuple(self._text(item) for item in node.value)

    def _text(self, node: yaml.Node) -> str:
        if node.id != "scalar":
            self._problem(node, "a single value is needed")
            return ""
        return str(node.value)

    def _flag(self, node: yaml.Node) -> bool:
        if node.id != "scalar" or node.value not in {"true", "false"}:
            self._problem(node, "neither `true` nor `false`")
        return bool(node.value == "true")

    def _seconds(self, node: yaml.Node) -> float:
        from runbook_checks.durations import parse_duration  # noqa: PLC0415 - one name for both readers

        try:
            return parse_duration(self._text(node))
        except ValueError as error:
            self._problem(node, str(error))
            return 0.0

    def _problem(self, node: yaml.Node | None, reason: str, suggestion: str = "") -> None:
        line = node.start_mark.line + 1 if node is not None else 1
        self.problems.append(Problem(self.name, line, reason, suggestion))


def _renamed(fields: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}
