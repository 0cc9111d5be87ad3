"""Where pages will stand on the site, as ``mkdocs.yml`` says it, without building one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from runbook_checks.errors import UsageError
from runbook_checks.links import SiteMap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runbook_checks.config import Config


def site_map(config: Config, pages: Iterable[str]) -> SiteMap:
    """Return where pages, by their paths, stand on the site; those outside its folder are left out.

    Without an ``mkdocs.yml`` the site is MkDocs's default, and pages outside its folder stand where their files do.
    Raises UsageError for one that cannot be read.
    """
    from mkdocs.config.defaults import MkDocsConfig  # noqa: PLC0415 - who follows no link pays for none of it
    from mkdocs.exceptions import ConfigurationError  # noqa: PLC0415
    from mkdocs.structure.files import File  # noqa: PLC0415
    from mkdocs.utils.yaml import get_yaml_loader, yaml_load  # noqa: PLC0415

    path = config.root / config.mkdocs
    settings = {}
    if path.is_file():
        try:
            with path.open("rb") as file:
                settings = yaml_load(file, get_yaml_loader(config=MkDocsConfig()))
        except ConfigurationError as error:
            raise UsageError(f"{config.mkdocs}: {error}") from error
        if not isinstance(settings, dict):
            raise UsageError(f"{config.mkdocs} has no settings: write `key: value` lines")
    docs = (path.parent / (settings.get("docs_dir") or "docs")).resolve()
    directory_urls = settings.get("use_directory_urls", True)
    found = {}
    for page in pages:
        source = (config.root / page).resolve()
        if source.is_relative_to(docs):
            name = source.relative_to(docs).as_posix()
            found[page] = File(name, str(docs), "", use_directory_urls=directory_urls).url
        elif not path.is_file():
            found[page] = quote(page)
    return SiteMap(settings.get("site_url") or "", found)
