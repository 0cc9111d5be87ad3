"""What pages can say about procedures, as a module of mkdocs-macros: badges, tables, figures, and all at a glance.

Name it in ``mkdocs.yml`` under ``plugins: - macros: modules: [runbook_checks.site.macros]``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mkdocs.utils import get_relative_url

from runbook_checks.alerts import coverage
from runbook_checks.errors import UsageError
from runbook_checks.fences import read
from runbook_checks.site import overview as overviews
from runbook_checks.site import render
from runbook_checks.site.filters import MANY
from runbook_checks.site.offline import OFFERED
from runbook_checks.site.plugin import RunbookChecksPlugin
from runbook_checks.site.protect import protect
from runbook_checks.status import Status

if TYPE_CHECKING:
    from mkdocs_macros.plugin import MacrosPlugin

    from runbook_checks.alerts import Coverage
    from runbook_checks.model import Procedure
    from runbook_checks.report import Entry

_PROTECTED = "runbook_checks_protected"  # where a page's Protected waits on the macros plugin between the two hooks


def define_env(env: MacrosPlugin) -> None:
    """Give pages the macros; what a page asks for and does not exist fails the build, with page and line."""

    def plugin() -> RunbookChecksPlugin:
        return _plugin(env)

    _define_home(env)

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def badge(procedure_id: str, environment: str = "") -> str:
        """Return the badge of a procedure, a link to it."""
        try:
            entry = plugin().lookup.entry(procedure_id, environment or "")
        except UsageError as error:
            return plugin().refuse(env.page, procedure_id, str(error))
        return plugin().seal.put(render.badge(entry, plugin().lookup.href(entry.procedure, env.page.url)))

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def status_table(
        page: str = "", status: str = "", owner: str = "", environment: str = "", *, filters: bool | None = None
    ) -> str:
        """Return a table of procedures, what needs attention first; a long one can be filtered."""
        lookup = plugin().lookup
        try:
            chosen = {"page": page or "", "owner": owner or "", "environment": environment or ""}
            entries = lookup.select(status=status or "", **chosen)
            if status == Status.EXPIRED.value:  # what may become so while the page is read waits in it
                entries += lookup.select(status=Status.VERIFIED.value, **chosen)
        except UsageError as error:
            return plugin().refuse(env.page, "status_table", str(error))
        rows = sorted(entries, key=lambda entry: render.urgency(entry.status))
        shown = sum(status in {"", entry.status.value} for entry in rows)
        filterable = bool(shown) and (shown > MANY if filters is None else filters)
        placed = [(entry, lookup.href(entry.procedure, env.page.url)) for entry in rows]
        return plugin().seal.put(render.table(placed, filterable=filterable, only=status or ""))

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def figure(procedure_id: str, name: str, environment: str = "") -> str:
        """Return the last value of a figure that a procedure's card lists."""
        lookup = plugin().lookup
        try:
            bound = lookup.figure(procedure_id, name)
            entry = lookup.entry(procedure_id, environment or "")
        except UsageError as error:
            return plugin().refuse(env.page, procedure_id, str(error))
        return plugin().seal.put(render.figure(bound, entry))

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def offline_edition(text: str = "Keep a copy that works without a network") -> str:
        """Return a link to the offline edition; nothing where this build makes none."""
        name = os.environ.get(OFFERED, "")
        return render.link(text, get_relative_url(name, env.page.url)) if name else ""


def _define_home(env: MacrosPlugin) -> None:
    def plugin() -> RunbookChecksPlugin:
        return _plugin(env)

    def at_a_glance(environment: str) -> tuple[str, tuple[Entry, ...], Coverage]:
        name = environment or plugin().first_environment
        entries = plugin().lookup.select(environment=environment)
        entries = tuple(entry for entry in entries if entry.environment == name)
        return name, entries, coverage(plugin().alerts or (), entries, plugin().exemptions)

    def where(name: str) -> str:
        return f" on {name}" if plugin().several_environments else ""

    def href(procedure: Procedure) -> str:
        return plugin().lookup.href(procedure, env.page.url)

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def overview(environment: str = "") -> str:
        """Return how many procedures are worth what, the newest run, the share of alerts, and what needs attention."""
        try:
            name, entries, covered = at_a_glance(environment or "")
        except UsageError as error:
            return plugin().refuse(env.page, "overview", str(error))
        view = overviews.overview(name, entries, covered, plugin().built_at)
        return plugin().seal.put(
            render.fill(
                "overview.html",
                view=view,
                most=overviews.MOST,
                where=where(name),
                href=href,
                rules=plugin().alerts is not None,
                until=overviews.until(covered.raised),
            )
        )

    @env.macro  # type: ignore[untyped-decorator]  # mkdocs-macros has no types
    def alert_table(environment: str = "") -> str:
        """Return a table of alerts and the procedures that answer them, what is missing first."""
        try:
            name, _, covered = at_a_glance(environment or "")
        except UsageError as error:
            return plugin().refuse(env.page, "alert_table", str(error))
        rules = plugin().alerts is not None
        rows = overviews.alert_rows(covered, rules=rules)
        return plugin().seal.put(render.fill("alerts.html", rows=rows, href=href, rules=rules, where=where(name)))


def _plugin(env: MacrosPlugin) -> RunbookChecksPlugin:
    return next(each for each in env.conf["plugins"].values() if isinstance(each, RunbookChecksPlugin))


def on_pre_page_macros(env: MacrosPlugin) -> None:
    """Take fences, inline code and attribute lists of headings out of Jinja's reach."""
    protected = protect(env.markdown, [fence.span for fence in read(env.markdown, "", strict=False).fences])
    env.markdown = protected.text
    page = env.page
    # Without a title of its own a page is titled by its first line, `# Title {#id}`, which Jinja would get to see.
    untitled = "title" not in page.meta and "title" not in vars(page)
    if untitled:
        page.title = ""
    setattr(env, _PROTECTED, (protected, untitled))


def on_post_page_macros(env: MacrosPlugin) -> None:
    """Put back what was protected, byte for byte."""
    protected, untitled = getattr(env, _PROTECTED)
    env.markdown = protected.restore(env.markdown)
    if untitled:
        del env.page.title
