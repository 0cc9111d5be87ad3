"""``runbook-checks.yml``: where the pages are, how their languages run, and which environments there are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from runbook_checks.durations import seconds
from runbook_checks.errors import Problem, SourceError, UsageError
from runbook_checks.yaml_nodes import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from yaml.nodes import Node

FILE_NAME = "runbook-checks.yml"
DEFAULT_VERIFY_EVERY_S = 30 * 86400.0
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


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
class DrillSettings:
    """How a drill asks the monitoring of an environment; commands run in the configuration's folder."""

    prometheus: str  # its address, in which $NAME is a variable of the environment
    notifications: str  # a command that prints a JSON object per delivered notification
    snapshot: str = ""  # a command that prints lines which are the same before and after
    within_s: float = 120.0
    hold_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Pattern:
    """A word that selects procedures, as on the command line, and where it stands."""

    text: str
    path: str
    line: int


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
    drill: DrillSettings | None = None
    procedures: tuple[Pattern, ...] = ()  # what is meant to run there; none for everything


@dataclass(frozen=True, slots=True)
class Exemption:
    """An alert that may go without a procedure until the end of a day, who sees to it, why, and where that stands."""

    alert: str
    owner: str
    until: date
    reason: str
    path: str
    line: int


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration; ``root`` is the folder that holds the file, the others are paths below it."""

    root: Path
    pages: tuple[str, ...] = ("docs",)
    alerts: tuple[str, ...] = ()
    alerts_without_runbook: tuple[Exemption, ...] = ()
    evidence: str = ".runbook-checks/evidence"
    mkdocs: str = "mkdocs.yml"
    verify_every_s: float = DEFAULT_VERIFY_EVERY_S
    languages: tuple[tuple[str, str], ...] = ()
    trusted_keys: tuple[str, ...] = ()
    environments: tuple[Environment, ...] = field(default=())

    def environment(self, name: str = "") -> Environment:
        """Return an environment by name, the first one for no name; raises UsageError for an unknown one."""
        for environment in self.environments:
            if name in {"", environment.name}:
                return environment
        names = ", ".join(environment.name for environment in self.environments)
        raise UsageError(f"there is no environment {name!r} in {FILE_NAME}; it has {names}")

    def page_paths(self) -> Iterator[Path]:
        """Yield every Markdown file that ``pages`` names (folders, files or globs), each once, in order.

        Raises UsageError for a name that nothing on disk has.
        """
        return self._named("pages", self.pages, "*.md")

    def alert_paths(self) -> Iterator[Path]:
        """Yield every rule file that ``alerts`` names (files or globs), each once; raises UsageError as for pages."""
        return self._named("alerts", self.alerts, "*.y*ml")

    def _named(self, key: str, patterns: Iterable[str], inside: str) -> Iterator[Path]:
        seen = set()
        for pattern in patterns:
            base = self.root / pattern
            try:
                found = sorted(base.rglob(inside) if base.is_dir() else self.root.glob(pattern))
            except ValueError as error:  # pathlib's word for `**.md`
                raise UsageError(f"{FILE_NAME}: `{key}` names {pattern}: {error}") from error
            if not found and not base.is_dir():
                what = "page" if key == "pages" else "file"
                raise UsageError(f"{FILE_NAME}: `{key}` names {pattern}, and there is no such {what} or folder")
            for path in found:
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
    reader = _ConfigReader(path.name, 0, "the configuration")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError((Problem(path.name, 1, f"cannot be read: {error}"),)) from error
    config = reader.config(path.parent.resolve(), reader.root(text))
    if reader.problems:
        raise SourceError(tuple(reader.problems))
    return config


class _ConfigReader(Reader):
    """Turns YAML nodes into values, and everything unexpected into a problem at its line."""

    def config(self, root: Path, found: dict[str, Node] | None) -> Config:
        fields = self._fields(
            found,
            "the configuration",
            {
                "pages": self._paths,
                "alerts": self._paths,
                "alerts_without_runbook": self._exemptions,
                "evidence": self.text,
                "mkdocs": self.text,
                "verify_every": self._seconds,
                "languages": self._table,
                "trusted_keys": self._trusted_keys,
                "environments": self._environments,
            },
        )
        if found is not None and not fields.get("environments"):
            self.problem(None, "no environment is named", "write at least `environments: {staging: {…}}`")
        return Config(root=root, **_renamed(fields, verify_every="verify_every_s"))

    def _paths(self, node: Node, what: str) -> tuple[str, ...]:
        paths = self.texts(node, what)
        for path in paths:
            if path.startswith(("/", "~")) or {"..", ""} & set(path.rstrip("/").split("/")):
                self.problem(node, f"`{what}: {path}` is no path below the folder of the configuration")
        return paths

    def _trusted_keys(self, node: Node, what: str) -> tuple[str, ...]:
        keys = self._paths(node, what)
        if not keys:
            self.problem(node, f"`{what}` names no key", "leave it out to take every record as it is")
        return keys

    def _exemptions(self, node: Node, what: str) -> tuple[Exemption, ...]:
        found: dict[str, Exemption] = {}
        nodes = node.value if isinstance(node.value, list) else []
        for one, fields in zip(nodes, self.mappings(node, what), strict=False):
            exemption = self._exemption(one, fields, f"an entry of `{what}`")
            if exemption.alert in found:
                self.problem(one, f"`{what}` names `{exemption.alert}` twice")
            found.setdefault(exemption.alert, exemption)
        return tuple(found.values())

    def _exemption(self, node: Node, found: dict[str, Node], what: str) -> Exemption:
        readers = {"alert": self.text, "owner": self.text, "until": self._date, "reason": self.text}
        fields = self._fields(found, what, readers)
        return Exemption(
            alert=self._needed(node, fields, "alert"),
            owner=self._needed(node, fields, "owner"),
            until=fields["until"] if self._needed(node, fields, "until") else date.min,
            reason=self._needed(node, fields, "reason"),
            path=self.path,
            line=self.line + node.start_mark.line + 1,
        )

    def _date(self, node: Node, what: str) -> date:
        text = self.text(node, what)
        try:
            if _DATE.fullmatch(text):
                return date.fromisoformat(text)
        except ValueError:  # the 31st of February
            pass
        self.problem(node, f"`{what}: {text}` is no date", "write it as `2026-12-31`")
        return date.max

    def _variables(self, node: Node, what: str) -> tuple[tuple[str, str], ...]:
        table = self._table(node, what)
        for name, value in table:
            if not _VARIABLE.fullmatch(name) or "\0" in value:
                self.problem(node, f"`{name}` cannot be a variable of the environment")
        return table

    def _environments(self, node: Node, what: str) -> tuple[Environment, ...]:
        return tuple(self._environment(name, one) for name, one in (self.mapping(node, what) or {}).items())

    def _environment(self, name: str, node: Node) -> Environment:
        what = f"environment {name}"
        if not _NAME.fullmatch(name):
            self.problem(node, f"`{name}` is no name for an environment", "use lower-case letters, digits and dashes")
        fields = self._fields(
            self.mapping(node, what),
            what,
            {
                "variables": self._variables,
                "secrets": self.texts,
                "disposable": self._flag,
                "protected": self._flag,
                "identity": self._identity,
                "stack": self._stack,
                "drill": self._drill,
                "procedures": self._patterns,
            },
        )
        return Environment(name, **fields)

    def _patterns(self, node: Node, what: str) -> tuple[Pattern, ...]:
        before = len(self.problems)
        texts = self.texts(node, what)
        if not texts and len(self.problems) == before:
            self.problem(node, f"`{what}` names nothing", "leave it out where every procedure is meant to run")
        items = node.value if texts else ()
        lines = (self.line + item.start_mark.line + 1 for item in items)
        return tuple(Pattern(text, self.path, line) for text, line in zip(texts, lines, strict=False))

    def _identity(self, node: Node, what: str) -> Identity:
        fields = self._fields(self.mapping(node, what), what, {"run": self.text, "prints": self.text})
        return Identity(self._needed(node, fields, "run"), self._needed(node, fields, "prints"))

    def _stack(self, node: Node, what: str) -> StackCommands:
        commands = dict.fromkeys(("up", "down", "health", "env", "services", "logs"), self.text)
        readers = {**commands, "definition": self.texts, "timeout": self._seconds}
        fields = self._fields(self.mapping(node, what), what, readers)
        for name in ("up", "down"):
            fields[name] = self._needed(node, fields, name)
        return StackCommands(**_renamed(fields, timeout="timeout_s"))

    def _drill(self, node: Node, what: str) -> DrillSettings:
        texts = dict.fromkeys(("prometheus", "notifications", "snapshot"), self.text)
        readers = {**texts, "within": self._seconds, "hold": self._seconds}
        fields = self._fields(self.mapping(node, what), what, readers)
        for name in ("prometheus", "notifications"):
            fields[name] = self._needed(node, fields, name)
        return DrillSettings(**_renamed(fields, within="within_s", hold="hold_s"))

    def _needed(self, node: Node, fields: Mapping[str, Any], name: str) -> str:
        if not fields.get(name):
            self.problem(node, f"`{name}` is missing", f"write `{name}: …`")
        return str(fields.get(name, ""))

    def _fields(
        self, found: dict[str, Node] | None, what: str, readers: Mapping[str, Callable[[Node, str], Any]]
    ) -> dict[str, Any]:
        fields = {}
        for key, value in (found or {}).items():
            if key in readers:
                fields[key] = readers[key](value, key)
                continue
            close = difflib.get_close_matches(key, readers, 1)
            suggestion = f"did you mean `{close[0]}`?" if close else f"it has {', '.join(readers)}"
            self.problem(value, f"unknown key `{key}` in {what}", suggestion)
        return fields

    def _table(self, node: Node, what: str) -> tuple[tuple[str, str], ...]:
        return tuple((key, self.text(value, key)) for key, value in (self.mapping(node, what) or {}).items())

    def _flag(self, node: Node, what: str) -> bool:
        text = self.text(node, what)
        if text not in {"true", "false"}:
            self.problem(node, f"`{what}` must be `true` or `false`")
        return text == "true"

    def _seconds(self, node: Node, what: str) -> float:
        try:
            return seconds(self.text(node, what))
        except ValueError as error:
            self.problem(node, f"`{what}`: {error}")
            return 1.0


def _renamed(fields: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in fields.items()}
