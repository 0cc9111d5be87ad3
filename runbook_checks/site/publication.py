"""What is published beside the pages, and how a file of it gets into the built site."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from runbook_checks.errors import UsageError
from runbook_checks.site.frame import BARE, Frame

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from runbook_checks.config import Config
    from runbook_checks.model import Procedure
    from runbook_checks.report import Entry, Report
    from runbook_checks.site.lookup import Lookup


@dataclass(frozen=True, slots=True)
class Publication:
    """A built site in its folder, and all that is known of what it shows; ``base_url`` may be empty."""

    folder: Path
    checks: Config
    report: Report
    lookup: Lookup
    built_at: datetime
    base_url: str = ""
    site_name: str = ""
    frame: Frame = BARE  # the theme around an evidence page
    taken: frozenset[str] = frozenset()  # names of the files that MkDocs writes

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Return one entry per procedure and environment, in page order."""
        return self.report.entries

    @property
    def environments(self) -> tuple[str, ...]:
        """Return the names of the configured environments, the first one first."""
        return tuple(environment.name for environment in self.checks.environments)

    def url(self, procedure: Procedure) -> str:
        """Return a procedure's address: absolute when the site has one, else from the site's root; empty for none."""
        return urljoin(self.base_url, url) if (url := self.lookup.url(procedure)) else ""

    def permalink(self, procedure: Procedure) -> str:
        """Return the address of a procedure that survives renames, as url() does; empty when it is not on the site."""
        return urljoin(self.base_url, self.lookup.permalink(procedure)) if self.lookup.url(procedure) else ""

    def evidence_url(self, procedure: Procedure) -> str:
        """Return the address of a procedure's evidence, as url() does."""
        return urljoin(self.base_url, self.lookup.evidence_url(procedure))

    def write(self, name: str, text: str) -> None:
        """Write a file of the site whole or not at all; raises UsageError when it would lie outside the site.

        Neither may a name lead out of the folder that it begins with, to a file of the site that is not ours, nor be
        that of a page or a file of the docs: which of the two is published would be a matter of luck.
        """
        if name in self.taken:
            raise UsageError(
                f"the site has a file {name!r} of its own, where evidence is published; give it another name"
            )
        folder = os.path.normpath(self.folder)
        path = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118 - once for each file of the site: fast
        if ".." in name.split("/") or not path.startswith(f"{folder}{os.sep}"):
            raise UsageError(
                f"the file {name!r} would lie outside the site or its folder there; give the heading another id"
            )
        write_whole(path, text)


def write_whole(path: str, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part; half a character becomes ``?``."""
    folder = os.path.dirname(path)  # noqa: PTH120
    name = f"{folder}/.{os.getpid()}.part"
    try:
        descriptor = _new(name)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        descriptor = _new(name)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(text.encode(errors="replace"))
    os.replace(name, path)  # noqa: PTH105


def _new(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
