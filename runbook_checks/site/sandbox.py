"""What a page may ask of mkdocs-macros: its macros and its filters, and nothing that reaches the machine.

Jinja as mkdocs-macros sets it up runs any Python for a page, such as one from a fork's pull request.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import SandboxedEnvironment
from jinja2.utils import Cycler, Joiner

if TYPE_CHECKING:
    from jinja2 import Environment

_PLAIN = (str, int, float, bool, list, tuple, dict, set, frozenset, date, LoopContext, Cycler, Joiner)
_SETTINGS = (
    *("block_start_string", "block_end_string", "variable_start_string", "variable_end_string"),
    *("comment_start_string", "comment_end_string", "line_statement_prefix", "line_comment_prefix"),
    *("trim_blocks", "lstrip_blocks", "newline_sequence", "keep_trailing_newline", "optimized", "undefined"),
    *("finalize", "autoescape", "loader", "auto_reload"),
)


class Sandbox(SandboxedEnvironment):
    """An environment whose templates call what it was given, and methods of plain values."""

    def is_safe_callable(self, obj: object) -> bool:
        """Return whether a template may call this: not a method of MkDocs' objects, which lead out of here."""
        ours = any(obj is known for known in self.globals.values())
        plain = type(getattr(obj, "__self__", None)) in _PLAIN or isinstance(obj, Macro)
        return (ours or plain) and bool(super().is_safe_callable(obj))


def sandboxed(environment: Environment) -> Sandbox:
    """Return an environment that renders as the given one does, within bounds."""
    found = Sandbox(**{name: getattr(environment, name) for name in _SETTINGS})
    found.extensions.update({name: extension.bind(found) for name, extension in environment.extensions.items()})
    found.globals.update({name: value for name, value in environment.globals.items() if name != "range"})
    found.filters.update({name: value for name, value in environment.filters.items() if name not in found.filters})
    found.tests.update(environment.tests)
    return found
