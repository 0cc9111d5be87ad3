"""YAML as plain text values that know their lines: no tags, no types, bounded, and with the page's own line numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.errors import Problem

if TYPE_CHECKING:
    from yaml.nodes import Node

LARGEST = 64 * 1024
MOST_ALIASES = 20
DEEPEST = 100


class Reader:
    """Reads one YAML text that starts at a one-based line of a page, and collects what is wrong with it."""

    def __init__(self, path: str, line: int, what: str, *, largest_bytes: int = LARGEST) -> None:
        """Name the page, the line before the text's first one, and what the text is called in messages."""
        self.path = path
        self.line = line
        self.what = what
        self.largest_bytes = largest_bytes
        self.problems: list[Problem] = []

    def problem(self, node: Node | None, reason: str, suggestion: str = "") -> None:
        """Keep a problem at the node's line of the page."""
        line = self.line + node.start_mark.line + 1 if node is not None else self.line
        self.problems.append(Problem(self.path, line, reason, suggestion))

    def root(self, text: str) -> dict[str, Node] | None:
        """Return the keys of the text's mapping, or None when it is no mapping that we accept."""
        import yaml  # noqa: PLC0415  loading it costs more than scanning a page

        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
        if len(text) > self.largest_bytes or len(text.encode(errors="replace")) > self.largest_bytes:
            self.problem(None, f"{self.what} is larger than {self.largest_bytes // 1024} KiB")
            return None
        try:
            depth = aliases = 0
            if "*" in text or text.count("[") + text.count("{") + text.count("- ") > DEEPEST:
                for event in yaml.parse(text, Loader=loader):
                    aliases += isinstance(event, yaml.AliasEvent)
                    depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                    if aliases > MOST_ALIASES or depth > DEEPEST:
                        many = f"more than {MOST_ALIASES} aliases" if depth <= DEEPEST else "lists nested too deeply"
                        self.problem(None, f"{self.what} has {many}")
                        return None
            node = yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = self.line + mark.line + 1 if mark is not None else self.line
            reason = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
            self.problems.append(Problem(self.path, line, f"{self.what} is not valid YAML: {reason}"))
            return None
        if node is None:
            return {}
        return self.mapping(node, self.what)

    def mapping(self, node: Node, what: str) -> dict[str, Node] | None:
        """Return the keys and values of a mapping; a problem and None for anything else."""
        from yaml.nodes import MappingNode, ScalarNode  # noqa: PLC0415

        if isinstance(node, ScalarNode) and node.value == "":
            return {}
        if not isinstance(node, MappingNode):
            self.problem(node, f"{what} must be `key: value` lines")
            return None
        found: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problem(key, f"{what} has a key that is no plain word")
            elif key.value in found:
                self.problem(key, f"{what} has the key `{key.value}` twice")
            else:
                found[key.value] = value
        return found

    def mappings(self, node: Node | None, what: str) -> tuple[dict[str, Node], ...]:
        """Return the keys and values of each mapping of a list, empty without one."""
        from yaml.nodes import ScalarNode, SequenceNode  # noqa: PLC0415

        if node is None or (isinstance(node, ScalarNode) and node.value == ""):
            return ()
        if not isinstance(node, SequenceNode):
            self.problem(node, f"`{what}` must be a list, not a {_kind(node)}")
            return ()
        return tuple(self.mapping(item, f"an entry of `{what}`") or {} for item in node.value)

    def text(self, node: Node | None, what: str) -> str:
        """Return a scalar's text, ``""`` without one."""
        from yaml.nodes import ScalarNode  # noqa: PLC0415

        if node is None:
            return ""
        if not isinstance(node, ScalarNode):
            self.problem(node, f"`{what}` must be one value, not a {_kind(node)}")
            return ""
        return str(node.value).strip()

    def texts(self, node: Node | None, what: str) -> tuple[str, ...]:
        """Return the texts of a list of scalars, empty without one."""
        from yaml.nodes import ScalarNode, SequenceNode  # noqa: PLC0415

        if node is None or (isinstance(node, ScalarNode) and node.value == ""):
            return ()
        if not isinstance(node, SequenceNode):
            shown = f"[{node.value}]" if isinstance(node, ScalarNode) else "[…]"
            self.problem(node, f"`{what}` must be a list, not a {_kind(node)}", f"write `{what}: {shown}`")
            return ()
        found: list[str] = []
        for item in node.value:
            text = self.text(item, what)
            if text in found:
                self.problem(item, f"`{what}` names `{text}` twice")
            elif text:
                found.append(text)
            elif isinstance(item, ScalarNode):
                self.problem(item, f"`{what}` has an empty entry")
        return tuple(found)


def _kind(node: Node) -> str:
    from yaml.nodes import ScalarNode, SequenceNode  # noqa: PLC0415

    if isinstance(node, ScalarNode):
        return "single value"
    return "list" if isinstance(node, SequenceNode) else "mapping"
