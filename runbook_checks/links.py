"""Where the ``runbook_url`` of an alert leads: to which page, which procedure, and with which values filled in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus, urlsplit

from runbook_checks.catalog import former_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook_checks.model import Procedure

_TEMPLATE = re.compile(r'\{\{(?:"(?:[^"\\]|\\.)*"|`[^`]*`|(?!\}\})[^"`])*\}\}', re.DOTALL)
_FILLED_IN = "\ue000"  # stands for a template while an address is taken apart
_PERMALINK = re.compile(r"(?:.*/)?p/([^/]+/[^/]+)/(?:index\.html)?")


@dataclass(frozen=True, slots=True)
class SiteMap:
    """Where the runbook pages of a site stand, by their paths, from its root, and where that is if anybody knows."""

    base_url: str = ""  # MkDocs's `site_url`
    pages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Link:
    """An address in its parts, without the scheme; the parameters are the names that its query gives a value."""

    host: str
    path: str  # as people read it, without %20
    fragment: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an address leads nowhere, and what to write instead."""

    reason: str
    suggestion: str = ""


def read_link(url: str) -> Link | Fault:
    """Return the parts of an address; templates of Prometheus may stand for values of its query only.

    A query after the fragment, ``…#id?A=1``, counts too: the site understands it.
    """
    text = _TEMPLATE.sub(_FILLED_IN, url)
    if "{{" in text or "}}" in text:
        return Fault("has a template that is not closed", "write `{{ … }}`")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        return Fault(f"cannot be read: {error}")
    fragment, _, more = parts.fragment.partition("?")
    pairs = [pair.partition("=") for query in (parts.query, more) for pair in query.split("&") if pair]
    names = tuple(unquote_plus(name) for name, _, _ in pairs)
    if any(_FILLED_IN in part for part in (parts.scheme, parts.netloc, parts.path, fragment, *names)):
        return Fault(
            "has a template outside the values of its query, so that nobody can tell where it leads",
            "write the page and the heading id out, and templates as in `?NAME={{ $labels.name }}`",
        )
    if parts.scheme not in {"http", "https"} or not parts.netloc or re.search(r"\s", text):
        return Fault("is not the address of a page", "write `https://…/page/#heading-id`")
    return Link(parts.netloc.lower(), unquote(parts.path) or "/", unquote(fragment), names)


def pages_of(link: Link, site: SiteMap) -> tuple[str, ...]:
    """Return the paths of the pages that a link can mean: more than one when the site's own address is not known."""
    path = _below(link, site)
    if path is None:
        return ()
    if site.base_url:
        return tuple(page for page, address in site.pages.items() if _plain(address) == path)
    return tuple(
        page
        for page, address in site.pages.items()
        if path == _plain(address)
        or (_plain(address) and path.endswith(f"/{_plain(address)}"))
        or path.endswith(f"/{page}")  # where a repository is read without a site
    )


def public_id_of(link: Link, site: SiteMap) -> str:
    """Return the public id in an address that has the form of a permalink, else nothing."""
    match = _PERMALINK.fullmatch(_below(link, site) or "")
    return match[1] if match and (not site.base_url or match.start(1) == len("p/")) else ""


def url_of(procedure: Procedure, site: SiteMap) -> str:
    """Return where a procedure stands, as a ``runbook_url``; it begins with ``…`` where the site's is not known."""
    base = site.base_url.rstrip("/") or "…"
    address = site.pages.get(procedure.page, "")
    return f"{base}/{'' if address == './' else address}#{procedure.anchor}"


def destination(link: Link, site: SiteMap, procedures: Iterable[Procedure]) -> Procedure | Fault:
    """Return the procedure that a link leads to, by its id or by an older one of the card's ``formerly``."""
    procedures = tuple(procedures)
    by_id = {former: procedure for procedure in procedures for former in former_ids(procedure)}
    by_id |= {procedure.id: procedure for procedure in procedures}
    pages = pages_of(link, site)
    permanent = by_id.get(public_id_of(link, site))
    if len(pages) + (permanent is not None) > 1:
        found = " or ".join((*pages, *([permanent.node_id] if permanent else [])))
        return Fault(f"can mean {found}", "write the address of the site as `site_url` into mkdocs.yml")
    if permanent is not None:
        if link.fragment not in {"", permanent.anchor}:
            return Fault(f"is the permalink of {permanent.id}, with another `#{link.fragment}`", "leave that out")
        return permanent
    if not pages:
        return Fault("leads to no page of the runbooks")
    if not link.fragment:
        return Fault(f"leads to {pages[0]}, and to no procedure of it", "end it with `#` and the heading's id")
    procedure = by_id.get(f"{PurePosixPath(pages[0]).stem}/{link.fragment}")
    if procedure is None:  # what `formerly` says of another page holds on the page that the procedure is on now, too
        here = (one for one in procedures if one.page == pages[0])
        former = (one for one in here if link.fragment in {name.rpartition("/")[2] for name in former_ids(one)})
        procedure = next(former, None)
    return procedure or Fault(f"leads to {pages[0]}, which has no procedure `#{link.fragment}`")


def follow(url: str, site: SiteMap, procedures: Iterable[Procedure]) -> Procedure | Fault:
    """Return the procedure that an address leads to, or why it leads to none."""
    link = read_link(url)
    return link if isinstance(link, Fault) else destination(link, site, procedures)


def _below(link: Link, site: SiteMap) -> str | None:
    """Return the path of a link from the root of the site; all of it where nobody knows that, None for another site."""
    if not site.base_url:
        return link.path.lstrip("/")
    base = urlsplit(site.base_url)
    root = f"{unquote(base.path).rstrip('/')}/"
    if link.host != base.netloc.lower() or not link.path.startswith(root):
        return None
    return link.path.removeprefix(root)


def _plain(address: str) -> str:
    return "" if address == "./" else unquote(address)
