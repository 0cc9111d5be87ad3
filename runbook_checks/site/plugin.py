"""The MkDocs plugin: it reads the evidence once, shows it on every page, and refuses a page that would lie."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.config import config_options
from mkdocs.config.base import Config as PluginConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import BasePlugin, event_priority, get_plugin_logger
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

from runbook_checks.alerts import load_alerts
from runbook_checks.catalog import needed_ids
from runbook_checks.changes import Changes, changes
from runbook_checks.config import FILE_NAME, Config, load_config
from runbook_checks.errors import Problem, RunbookError
from runbook_checks.holes import fragments
from runbook_checks.languages import DEFAULTS
from runbook_checks.links import SiteMap
from runbook_checks.markdown import scan
from runbook_checks.report import load_report
from runbook_checks.site import badges, evidence_pages, feed, frame, metrics, permalinks, search, status_json
from runbook_checks.site.aside import Aside
from runbook_checks.site.bundles import bundles
from runbook_checks.site.crosscheck import in_a_title, page_problems
from runbook_checks.site.extension import PageView, RunbookChecksExtension
from runbook_checks.site.indexing import read_lighter
from runbook_checks.site.lookup import Lookup
from runbook_checks.site.marked import marked_fences
from runbook_checks.site.meanwhile import Meanwhile, start
from runbook_checks.site.mkdocs_config import refuse_unfit
from runbook_checks.site.permalinks import moved, signpost
from runbook_checks.site.publication import Publication
from runbook_checks.site.render import Need, banner, card
from runbook_checks.site.responder import box
from runbook_checks.site.sandbox import sandboxed
from runbook_checks.site.seal import Seal
from runbook_checks.site.shown import may_show_evidence, read_page
from runbook_checks.site.sources import sources
from runbook_checks.site.variables import page_variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from jinja2 import Environment
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.livereload import LiveReloadServer
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page

    from runbook_checks.alerts import Alert
    from runbook_checks.config import Exemption
    from runbook_checks.markdown import Scan
    from runbook_checks.model import Procedure, Runbook
    from runbook_checks.record import Record
    from runbook_checks.report import Report
    from runbook_checks.site.marked import MarkedFence

log = get_plugin_logger("runbook-checks")

_PUBLISHERS = (  # while the pages are rendered
    badges.publish,
    status_json.publish,
    feed.publish,
    metrics.publish,
    permalinks.publish,
    evidence_pages.publish,
)
_COLLECTED_AT = (50_000, 20, 100)  # objects and generations: pages are large and make little garbage
_PUBLISHERS_OF_PAGES = (search.publish,)  # after all pages are there


@dataclass(frozen=True, slots=True)
class Found:
    """What is wrong with a page as built, and the alerts that lead to a heading which it does not have."""

    problems: tuple[Problem, ...]
    lost: tuple[Problem, ...]


class Settings(PluginConfig):  # type: ignore[no-untyped-call]  # MkDocs types it in part
    """What ``mkdocs.yml`` can say under ``plugins: - runbook-checks:``."""

    config = config_options.Type(str, default=FILE_NAME)
    strict_evidence = config_options.Optional(config_options.Type(bool))


class RunbookChecksPlugin(BasePlugin[Settings]):  # type: ignore[no-untyped-call]  # MkDocs types it in part
    """Shows what the evidence says of every procedure; fails the build when a page shows what does not run."""

    lookup: Lookup
    alerts: tuple[Alert, ...] | None  # None when no rule files are configured
    _checks: Config
    _languages: Mapping[str, str]
    _report: Report
    _extension: RunbookChecksExtension
    _problems: list[Problem]
    _scan: Scan | None
    seal: Seal
    _built_at: datetime
    _assets: dict[str, str]
    _nav: Navigation
    _site: Publication
    _aside: Aside[Found]
    _meanwhile: Meanwhile
    _collected_at: tuple[int, int, int]
    _moved: Mapping[str, Mapping[str, str]]
    _linked: Mapping[str, tuple[tuple[Alert, str], ...]]
    _pages: frozenset[str]
    _config_path: Path
    _server: LiveReloadServer | None = None
    _watched: frozenset[Path] = frozenset()

    def on_startup(self, *, command: str, dirty: bool) -> None:
        """Refuse ``--dirty``: a page that is not built again goes on showing a status that is no longer true."""
        if dirty:
            raise PluginError(f"`mkdocs {command} --dirty` keeps pages with old statuses; leave `--dirty` out")

    def on_config(self, config: MkDocsConfig) -> MkDocsConfig:
        """Read configuration, pages and evidence; raises PluginError with everything that is wrong with them."""
        refuse_unfit(config)
        self._built_at = datetime.now(UTC)
        self._collected_at = gc.get_threshold()
        gc.set_threshold(*_COLLECTED_AT)
        path = self._config_path = Path(config.config_file_path).parent / self.config.config
        strict = self.config.strict_evidence
        if strict is None:
            strict = os.environ.get("CI") == "true"
        try:
            self._checks = load_config(path)
            self.alerts = load_alerts(self._checks) if self._checks.alerts else None
            self._report = load_report(self._checks, now=self._built_at, strict=strict)
        except RunbookError as error:
            gc.set_threshold(*self._collected_at)
            raise PluginError(str(error)) from error
        for forged in self._report.forged:  # which makes a strict build fail
            log.warning("%s; the site shows it as not counted", forged)
        for leak in self._report.leaks:  # so does this
            log.warning("%s; the site does not show it: revoke it, and take the record out of the file", leak)
        self._languages = {**DEFAULTS, **dict(self._checks.languages)}
        self.lookup = Lookup(self._report.entries)
        self._pages = frozenset(runbook.path for runbook in self._report.catalog.runbooks)
        self.seal = Seal()
        self._problems = []
        self._aside = Aside(self._found_on)
        self._extension = RunbookChecksExtension()
        config.markdown_extensions.append(self._extension)  # type: ignore[arg-type]  # Python-Markdown takes both
        self._assets = bundles()
        config.extra_css.extend(uri for uri in self._assets if uri.endswith(".css"))
        config.extra_javascript.extend(uri for uri in self._assets if uri.endswith(".js"))
        gc.freeze()  # evidence is read once and stays: the collector would go through all of it again and again
        return config

    def on_files(self, files: Files, config: MkDocsConfig) -> Files:
        """Add the site's assets, learn where each page stands, and see that no page runs Python of its own."""
        macros = config.plugins.get("macros")
        if macros is not None:
            macros._env = sandboxed(macros.env)  # noqa: SLF001 - it has no other way in
        for uri, content in self._assets.items():
            files.append(File.generated(config, uri, content=content))
        read_lighter(config.plugins.values())
        urls = {self._path(file): file.url for file in files.documentation_pages()}
        self.lookup = Lookup(self._report.entries, urls, directory_urls=config.use_directory_urls)
        self._moved = moved(self._report.catalog.procedures, self.lookup)
        site = SiteMap(config.site_url or "", {page: urls[page] for page in self._pages & urls.keys()})
        self._linked = fragments(self.alerts or (), site)
        for page in sorted({entry.procedure.page for entry in self._report.entries} - urls.keys()):
            log.warning("%s is run, and is no page of this site: nobody reads it here", page)
        return files

    @event_priority(-100)
    def on_page_markdown(self, markdown: str, page: Page, **_: object) -> str:
        """Tell the extension what the scanner has of the page's source, whatever other plugins made of the text."""
        path = self._path(page.file)
        self._scan = self._report.catalog.scan_of(path) or scan(page.file.content_string, path)
        runbook = self._scan.runbook
        if runbook is None or path not in self._pages:
            self._extension.view = PageView()
            return markdown
        cards = {
            procedure.anchor: self.seal.put(
                card(
                    procedure,
                    runbook,
                    self.lookup.found(procedure.id),
                    self._needs(procedure, page.url),
                    self.lookup.evidence_href(procedure, page.url),
                    self._changes(procedure),
                )
            )
            for procedure in runbook.procedures
        }
        variables = page_variables(runbook, self._languages)
        self._extension.view = PageView(marked_fences(runbook), cards, variables)
        return markdown

    @event_priority(-100)
    def on_page_content(self, html: str, page: Page, **_: object) -> str:
        """Hold the finished page against the scanner; what differs is kept for on_env."""
        if self.seal.value in str(page.title):  # YAML makes a number or a date of some titles
            self._problems.append(in_a_title(self._path(page.file), 1))
        fences = self._extension.view.fences
        places = self._moved.get(self._path(page.file))
        end = signpost(places) if places else ""
        if not fences and not may_show_evidence(html):
            return html + end
        path = self._path(page.file)
        if self._report.catalog.scan_of(path):
            self._aside.ask(path, html)
        else:
            self._tell(self._compared(path, html, (), self._scan))
        if page.present_anchor_ids is not None:
            page.present_anchor_ids |= {fence.id for fence in fences}
        html = self.seal.take_off(html) + end
        runbook = self._scan.runbook if self._scan else None
        if not fences or runbook is None:
            return html
        variables = box(runbook, self._extension.view.variables.names, get_relative_url(".", page.url))
        return _below_title(html, self._banner(runbook) + variables)

    def on_nav(self, nav: Navigation, **_: object) -> Navigation:
        """Keep the navigation for the pages that are made after all others."""
        self._nav = nav
        return nav

    def on_post_page(self, output: str, page: Page, **_: object) -> str:
        """Tell programs that read the page of the feed; what a blog repeats of other pages has seals yet."""
        return self.seal.take_off(output).replace("</head>", f"{feed.link(page.url)}</head>", 1)

    @event_priority(-100)
    def on_env(self, env: Environment, files: Files, config: MkDocsConfig) -> Environment:
        """Fail the build when any page shows anything else than what runs, with every difference; else publish."""
        try:
            for found in self._aside.finish():
                self._tell(found)
        except RunbookError as error:
            raise PluginError(str(error)) from error
        if self._problems:
            raise PluginError("\n".join(map(str, sorted(set(self._problems)))))
        site = Publication(
            folder=Path(config.site_dir),
            checks=self._checks,
            report=self._report,
            lookup=self.lookup,
            built_at=self._built_at,
            base_url=config.site_url or "",
            site_name=config.site_name,
            frame=frame.render("evidence", env, self._nav, files, config),
            taken=frozenset(file.dest_uri for file in files if file.inclusion.is_in_serve()),  # type: ignore[no-untyped-call]
        )
        self._site, self._meanwhile = site, start(_PUBLISHERS, site)
        return env

    @event_priority(-110)  # after search, at -100, has written its index
    def on_post_build(self, **_: object) -> None:
        """See that all is published; raises PluginError when a file of it would lie outside the site."""
        self._collect_as_before()
        try:
            self._meanwhile.finish()
            for publish in _PUBLISHERS_OF_PAGES:
                publish(self._site)
        except RunbookError as error:
            raise PluginError(str(error)) from error
        if self._server is not None:
            self._watch(self._server)

    def on_build_error(self, **_: object) -> None:
        """Leave no process behind, and the collector as it was: `serve` goes on and builds again."""
        if hasattr(self, "_aside"):
            self._aside.stop()
        if hasattr(self, "_collected_at"):
            self._collect_as_before()

    def on_serve(self, server: LiveReloadServer, **_: object) -> LiveReloadServer:
        """Rebuild when the configuration, a trusted key, the evidence or a file that blocks name changes."""
        self._server, self._watched = server, frozenset()  # MkDocs keeps this plugin for the builds that follow
        self._watch(server)
        return server

    def on_shutdown(self, **_: object) -> None:
        """Forget the server."""
        self._server = None

    def _watch(self, server: LiveReloadServer) -> None:
        """Have the server watch what this build has read: a page that was edited may name other files than before."""
        (self._checks.root / self._checks.evidence).mkdir(parents=True, exist_ok=True)  # what is not there cannot be
        found = sources(self._checks, self._report.catalog) | {self._config_path}
        for path in sorted(found - self._watched):
            server.watch(str(path))
        self._watched |= found

    @property
    def built_at(self) -> datetime:
        """Return the moment that all of the site speaks of."""
        return self._built_at

    @property
    def several_environments(self) -> bool:
        """Return whether what is said has to name its environment."""
        return len(self._checks.environments) > 1

    @property
    def exemptions(self) -> tuple[Exemption, ...]:
        """Return what lets alerts go without a procedure on the day of the build."""
        today = self._built_at.date()
        return tuple(one for one in self._checks.alerts_without_runbook if one.until >= today)

    @property
    def first_environment(self) -> str:
        """Return the name of the environment that is meant where none is named."""
        return self._checks.environment().name

    def _collect_as_before(self) -> None:
        gc.unfreeze()
        gc.set_threshold(*self._collected_at)

    def refuse(self, page: Page, near: str, reason: str) -> str:
        """Keep a problem of a page's macros, at the first line that holds ``near``, and return nothing to show."""
        lines = page.file.content_string.splitlines()
        line = next((number for number, text in enumerate(lines, 1) if near in text), 1)
        self._problems.append(Problem(self._path(page.file), line, reason))
        return ""

    def _found_on(self, path: str, html: str) -> Found:
        """Return what is wrong with a page of the catalog as it is rendered, and which alerts lead nowhere on it."""
        found = self._report.catalog.scan_of(path)
        runbook = found.runbook if found else None
        fences = marked_fences(runbook) if runbook and path in self._pages else ()
        return self._compared(path, html, fences, found)

    def _compared(self, path: str, html: str, fences: Sequence[MarkedFence], found: Scan | None) -> Found:
        shown = read_page(html, self.seal.value)
        ids = {heading for _, heading in shown.headings}.union(self._moved.get(path, ()))
        return Found(tuple(page_problems(path, fences, found, shown)), tuple(self._lost(path, ids)))

    def _tell(self, found: Found) -> None:
        """Keep problems, and warn of alerts that lead nowhere, which makes a strict build fail."""
        self._problems.extend(found.problems)
        for lost in found.lost:
            log.warning("%s", lost)

    def _lost(self, path: str, ids: AbstractSet[str]) -> Iterator[Problem]:
        """Yield a problem for each alert that leads to a heading that a page as built has not."""
        for alert, fragment in self._linked.get(path, ()):
            if fragment not in ids:
                reason = f"alert {alert.name} leads to `#{fragment}`, which {path} as built does not have"
                yield Problem(alert.path, alert.line, reason, "see `runbook-checks alerts`")

    def _needs(self, procedure: Procedure, page_url: str) -> list[Need]:
        needed = (self._report.catalog.get(public_id) for public_id in needed_ids(procedure))
        return [Need(each.title, self.lookup.href(each, page_url)) for each in needed]

    def _banner(self, runbook: Runbook) -> str:
        found = [(procedure, self.lookup.found(procedure.id)) for procedure in runbook.procedures]
        firsts = [entries[0] for _, entries in found if entries]
        nowhere = [procedure for procedure, entries in found if not entries]
        return banner(firsts, nowhere, several=self.several_environments)

    def _changes(self, procedure: Procedure) -> list[tuple[Record, Changes]]:
        """Return what has changed since a procedure was last verified, or failed, in its environments, each once."""
        found: dict[Changes, Record] = {}
        for entry in self.lookup.found(procedure.id):
            since = entry.judgement.proven or entry.record
            if entry.parts and since is not None:
                found.setdefault(changes(since, procedure, entry.parts, procedure.source), since)
        return [(since, what) for what, since in found.items() if what.parts or what.diff]

    def _path(self, file: File) -> str:
        source = Path(file.abs_src_path) if file.abs_src_path else self._checks.root / file.src_uri
        if source.is_relative_to(self._checks.root):
            return source.relative_to(self._checks.root).as_posix()
        return file.src_uri


def _below_title(html: str, banner_html: str) -> str:
    """Return a page with a banner below the title that it begins with, or at its top."""
    end = html.find("</h1>") + len("</h1>") if html.lstrip().startswith("<h1") else 0
    return html[:end] + banner_html + html[end:]
