"""Imports point down the flow of the design, and what only the command line may do is done nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "runbook_checks"

# Each module may import only from those above it.
ORDER = [
    *("errors", "durations", "model", "condensed", "record", "need"),
    *(
        "attributes",
        "yaml_nodes",
        "headings",
        "surroundings",
        "info_string",
        "unseen",
        "fences",
        "card",
        "json_subset",
        "blocks",
        "proof",
        "markdown",
        "catalog",
        "links",
    ),
    *("config", "addresses", "bash", "languages", "words", "files", "watching", "checkout", "digest", "changes"),
    *("redact", "leaks", "output", "channel", "dialogue", "processes", "errexit", "lint", "shell", "spare"),
    *("marks", "command", "http_request"),
    *("expect", "monitoring", "mutants", "weighing", "running", "drill", "execute"),
    *("store", "signing", "keys", "trust", "scopes", "status", "report", "alerts", "holes", "documents", "tags"),
    *("guardian", "stack", "occupancy", "guards", "verify", "mutate", "selecting", "scheduling"),
    *(
        "failure",
        "sharing",
        "telling",
        "pytest_plugin",
        "choosing",
        "console",
        "progress",
        "engine",
        "tables",
        "listing",
        "attest",
        "promql",
    ),
    *("site", "__init__", "arguments", "streams", "exits", "cli", "__main__"),
]


def modules() -> dict[str, str]:
    """Return the module, or the room, of every source file, by its path."""
    return {str(path): _room(path.relative_to(PACKAGE)) for path in sorted(PACKAGE.rglob("*.py"))}


def _room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def faults(room: str, text: str) -> list[str]:
    """Return what a module does that its place does not allow."""
    found = []
    for node in ast.walk(ast.parse(text)):
        for name in _imported(node):
            top, _, rest = name.partition(".")
            if top == "deployment":
                found.append(f"line {node.lineno}: the tool knows no system")  # type: ignore[attr-defined]
            target = rest.partition(".")[0] or "__init__"
            if top == "runbook_checks" and target != room and not _below(target, room):
                found.append(f"line {node.lineno}: {room} must not import {target}")  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and _name(node.func) == "print" and room not in {"cli", "http_request", "promql"}:
            found.append(f"line {node.lineno}: only cli prints")
        if isinstance(node, ast.Attribute) and _name(node) == "sys.argv" and room not in {"__main__", "guardian"}:
            found.append(f"line {node.lineno}: only __main__ reads argv")
        if isinstance(node, ast.Attribute) and _name(node) == "sys.exit" and room != "__main__":
            found.append(f"line {node.lineno}: only __main__ calls sys.exit")
    return found


def _below(target: str, room: str) -> bool:
    places = {name: number for number, name in enumerate(ORDER)}
    return target == "__init__" or places.get(target, len(ORDER)) < places.get(room, len(ORDER))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "runbook_checks":
        return [
            f"runbook_checks.{alias.name}" if alias.name != "__version__" else "runbook_checks" for alias in node.names
        ]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def test_every_module_has_its_place() -> None:
    assert set(modules().values()) <= set(ORDER)


@pytest.mark.parametrize(("path", "room"), modules().items())
def test_imports_point_down_the_flow(path: str, room: str) -> None:
    assert faults(room, Path(path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "text", "fault"),
    [
        ("model", "import runbook_checks.shell", "model must not import shell"),
        ("status", "from runbook_checks import verify", "status must not import verify"),
        ("shell", "def f():\n    from runbook_checks.site.badges import x", "shell must not import site"),
        ("site", "from deployment.staging import stack", "knows no system"),
        ("store", "print(1)", "only cli prints"),
        ("verify", "import sys\nsys.exit(1)", "only __main__ calls sys.exit"),
        ("config", "import sys\nsys.argv", "only __main__ reads argv"),
    ],
)
def test_the_guard_refuses(room: str, text: str, fault: str) -> None:
    (found,) = faults(room, text)
    assert fault in found
