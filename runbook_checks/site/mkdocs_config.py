"""Refuses a configuration of MkDocs under which pages would show something else than what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig

_MACROS_MODULE = "runbook_checks.site.macros"


def refuse_unfit(config: MkDocsConfig) -> None:
    """Raise PluginError, with what to write into ``mkdocs.yml``, when macros or fences are set up unfit."""
    _refuse_unsafe_macros(config)
    _refuse_without_superfences(config)


def _refuse_unsafe_macros(config: MkDocsConfig) -> None:
    macros = config.plugins.get("macros")
    if macros is None:
        return
    missing = []
    if _MACROS_MODULE not in macros.config["modules"]:
        missing.append(f"modules: [{_MACROS_MODULE}]")
    if macros.config["on_error_fail"] is not True:
        missing.append("on_error_fail: true")
    if macros.config["on_undefined"] != "strict":
        missing.append("on_undefined: strict")
    if missing:
        raise PluginError(
            "mkdocs-macros as configured replaces commands by error texts and still succeeds; "
            "write into mkdocs.yml, below `- macros:`, " + ", ".join(f"`{each}`" for each in missing)
        )


def _refuse_without_superfences(config: MkDocsConfig) -> None:
    if not {"pymdownx.superfences", "pymdownx.extra"}.intersection(config.markdown_extensions):
        raise PluginError(
            "only pymdownx.superfences shows marked fences as they are run; "
            "write `- pymdownx.superfences` below `markdown_extensions:` in mkdocs.yml"
        )
