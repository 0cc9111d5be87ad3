"""The Atom feed of the site: whose status changed, when, and why."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from feedgenerator import Atom1Feed
from markupsafe import Markup
from mkdocs.utils import get_relative_url

from runbook_checks.record import Outcome
from runbook_checks.report import HISTORY
from runbook_checks.site.page_dates import last_commits
from runbook_checks.site.xml_text import legal
from runbook_checks.status import Status, counted, proves_something

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from runbook_checks.record import Record
    from runbook_checks.report import Entry
    from runbook_checks.site.publication import Publication

FILE = "feed.xml"
MOST = 50  # changes that a feed tells of
_WORDS = {Outcome.PASSED: "verified", Outcome.FAILED: "failed", Outcome.BLOCKED: "blocked"}


@dataclass(frozen=True, slots=True)
class Change:
    """A status that a procedure got in an environment; ``cause`` is the run or the digest that tells it from others."""

    entry: Entry
    status: str
    at: datetime  # UTC
    cause: str
    before: str = ""
    reason: str = ""

    @property
    def of(self) -> tuple[str, str]:
        """Return whose status changed: the procedure's public id, and the environment."""
        return self.entry.procedure.id, self.entry.environment

    @property
    def id(self) -> str:
        """Return a name that this change has in every build, and no other change."""
        told = " ".join((*self.of, self.status, self.cause))
        written = told.encode(errors="backslashreplace").decode()  # half a character, of an edited record
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, written)}"


def publish(site: Publication) -> None:
    """Write ``feed.xml``."""
    stale = {entry.procedure.page for entry in site.entries if entry.status is Status.STALE}
    written = last_commits(site.checks.root, stale)
    strict = site.report.strict
    found = [each for entry in site.entries for each in changes(entry, written, site.built_at, strict=strict)]
    numbered = sorted(enumerate(found), key=lambda pair: (pair[1].at, pair[1].of, pair[0]), reverse=True)
    site.write(FILE, _atom(site, [change for _, change in numbered[:MOST]]))


def link(page_url: str) -> Markup:
    """Return what tells programs that read a page of the site where the feed is."""
    return Markup('<link rel="alternate" type="application/atom+xml" title="Status changes" href="{}">').format(
        get_relative_url(FILE, page_url)
    )


def changes(entry: Entry, written: Mapping[str, datetime], now: datetime, *, strict: bool = False) -> Iterator[Change]:
    """Yield what changed for a procedure in an environment: each other outcome of a run, and what time or an edit did.

    ``written`` says when pages were last committed; a page that is not in it counts as written ``now``.
    """
    outcomes = tuple(_outcomes(entry, now, strict=strict))
    yield from outcomes
    record = entry.record
    if record is None:
        return
    told_at = max(
        [_ended_at(record), *(change.at for change in outcomes)]
    )  # what is so now is dated after all before it
    if entry.status is Status.STALE:
        edited_at = written.get(entry.procedure.page, now).astimezone(UTC)
        yield Change(entry, "stale", max(told_at, edited_at), entry.digest, "", entry.reason)
    if entry.expires_at and entry.status is Status.EXPIRED:
        expired_at = max(told_at, entry.expires_at)
        yield Change(entry, "expired", expired_at, f"{record.run} {record.ended_at}", "", entry.reason)


def _outcomes(entry: Entry, now: datetime, *, strict: bool) -> Iterator[Change]:
    believed = (evidence.record for evidence in entry.history if not evidence.refused)
    told = [
        record
        for record in counted(believed, now=now, strict=strict)
        if record.outcome is not Outcome.PASSED or proves_something(record)
    ]
    # What was before the oldest run that is kept is not known.
    before = told.pop(0) if told and len(entry.history) >= HISTORY else None
    at = datetime.min.replace(tzinfo=UTC)
    for record in told:
        at = max(at, _ended_at(record))  # clocks differ: what decides later is not dated earlier
        if before is None or record.outcome is not before.outcome:
            uncommitted = "from a tree with uncommitted changes" if record.dirty else ""
            yield Change(
                entry,
                _WORDS[record.outcome],
                at,
                f"{record.run} {record.ended_at}",  # on several stacks, a run has several records of a procedure
                _WORDS[before.outcome] if before else "",
                record.reason or uncommitted,
            )
        before = record


def _ended_at(record: Record) -> datetime:
    return datetime.fromisoformat(record.ended_at).astimezone(UTC)


def _atom(site: Publication, newest: Iterable[Change]) -> str:
    feed = _Feed(
        title=legal(f"{site.site_name}: status changes"),
        link=site.base_url or "./",
        description="",
        language="en",
        author_name=legal(site.site_name),
        feed_url=urljoin(site.base_url, FILE) if site.base_url else None,
        feed_guid=f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, site.base_url or site.site_name)}",
        updated=site.built_at,
    )
    for change in newest:
        procedure = change.entry.procedure
        before = f" after {change.before}" if change.before else ""
        feed.add_item(
            title=legal(f"{procedure.title or procedure.id}: {change.status} on {change.entry.environment}"),
            link=site.url(procedure) or site.evidence_url(procedure),
            description=None,
            unique_id=change.id,
            updateddate=change.at,
            author_name=legal(change.entry.runbook.owner) or None,
            categories=(change.status,),
            summary=legal(
                f"{procedure.id} is {change.status}{before} on {change.entry.environment}"
                + (f": {change.reason}" if change.reason else "")
            ),
            evidence=site.evidence_url(procedure),
        )
    return str(feed.writeString("utf-8")) + "\n"


class _Feed(Atom1Feed):  # type: ignore[misc]  # feedgenerator has no types
    """Atom whose summaries are plain text, with a second link."""

    def latest_post_date(self) -> datetime:
        """Return when the newest change was; without any, when the site was built."""
        found: datetime = max((item["updateddate"] for item in self.items), default=self.feed["updated"])
        return found

    def add_item_elements(self, handler: Any, item: dict[str, Any]) -> None:  # noqa: ANN401 - no types there
        """Write an entry."""
        super().add_item_elements(handler, item)
        handler.addQuickElement("link", "", {"rel": "related", "title": "Evidence", "href": item["evidence"]})
        handler.addQuickElement("summary", item["summary"], {"type": "text"})
