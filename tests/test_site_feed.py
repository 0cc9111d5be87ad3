"""The feed tells of each change of a status once, under one name in every build, and any reader can read it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import feedparser
from publications import publication
from records import NOW, record
from sample_site import build, write_sample
from test_site_badges import PROCEDURE, entry

from runbook_checks.record import CHANGED, Evidence, Outcome, Record
from runbook_checks.report import HISTORY
from runbook_checks.site.feed import MOST, changes, link, publish
from runbook_checks.site.page_dates import last_commits
from runbook_checks.status import Judgement, Status

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from runbook_checks.report import Entry

PASSED, FAILED, BLOCKED = Outcome.PASSED, Outcome.FAILED, Outcome.BLOCKED
HOUR = timedelta(hours=1)


def ran(outcome: Outcome, hours_ago: float, **changed: Any) -> Record:
    return record(outcome=outcome, ended=NOW - hours_ago * HOUR, run=f"run-{hours_ago}", **changed)


def having(*records: Record, **changed: Any) -> Entry:
    return replace(entry(), history=tuple(map(Evidence, records)), **changed)


def told(one: Entry, written: dict[str, datetime] | None = None) -> list[tuple[str, str, float]]:
    found = changes(one, written or {}, NOW)
    return [(change.status, change.before, (NOW - change.at) / HOUR) for change in found]


def parsed(folder: Path, *entries: Entry, **settings: Any) -> Any:
    publish(publication(folder, entries, **settings))
    feed = feedparser.parse((folder / "feed.xml").read_bytes())
    assert not feed.bozo, feed.get("bozo_exception")
    assert feed.version == "atom10"
    return feed


def test_an_entry_is_an_outcome_that_is_not_the_one_before() -> None:
    history = [ran(PASSED, 9), ran(PASSED, 8), ran(FAILED, 7), ran(FAILED, 6), ran(PASSED, 5), ran(BLOCKED, 4)]
    assert told(having(*history)) == [
        ("verified", "", 9),
        ("failed", "verified", 7),
        ("verified", "failed", 5),
        ("blocked", "verified", 4),
    ]


def test_runs_that_do_not_count_change_nothing() -> None:
    history = (
        Evidence(ran(PASSED, 9)),
        Evidence(ran(Outcome.INTERRUPTED, 8)),
        Evidence(ran(FAILED, 7), refused="forged"),
        Evidence(ran(FAILED, -1)),
    )
    assert told(replace(entry(), history=history)) == [("verified", "", 9)]


def test_the_feed_calls_verified_only_what_counts() -> None:
    dirty = having(ran(FAILED, 9), ran(PASSED, 8, dirty=True))
    assert [change.status for change in changes(dirty, {}, NOW, strict=True)] == ["failed"]
    assert told(having(ran(FAILED, 9), ran(PASSED, 8, digest=CHANGED))) == [("failed", "", 9)]


def test_of_two_runs_that_ended_together_the_feed_ends_with_the_worse_as_the_status_does() -> None:
    assert told(having(ran(FAILED, 5), ran(PASSED, 5)))[-1][0] == "failed"


def test_a_failure_by_a_clock_that_is_a_little_ahead_is_told_when_it_counts() -> None:
    assert told(having(ran(PASSED, 5), ran(FAILED, -0.05)))[-1][0] == "failed"


def test_two_records_of_a_procedure_in_one_run_are_two_changes() -> None:
    runs = [replace(ran(outcome, hour), run="run") for outcome, hour in ((PASSED, 4), (FAILED, 3), (PASSED, 2))]
    assert len({change.id for change in changes(having(*runs), {}, NOW)}) == 3


def test_what_was_before_the_oldest_kept_run_is_not_made_up() -> None:
    kept = [ran(FAILED, 60), *(ran(PASSED, 50 - number) for number in range(HISTORY - 1))]
    assert told(having(*kept)) == [("verified", "failed", 50)]


def of_now(status: Status, **changed: Any) -> Entry:
    last = ran(PASSED, 5)
    judgement = Judgement(status, "why", last, NOW - 5 * HOUR, NOW - 2 * HOUR)
    return having(last, judgement=judgement, **changed)


def test_what_expired_did_so_when_its_pass_stopped_to_count() -> None:
    assert told(of_now(Status.EXPIRED)) == [("verified", "", 5), ("expired", "", 2)]


def test_what_is_stale_is_so_since_its_page_was_committed_but_not_before_it_was_proven() -> None:
    stale = of_now(Status.STALE)
    assert told(stale, {"docs/db.md": NOW - 3 * HOUR})[-1] == ("stale", "", 3)
    assert told(stale, {"docs/db.md": NOW - 99 * HOUR})[-1] == ("stale", "", 5)
    assert told(stale)[-1] == ("stale", "", 0)


def test_an_id_is_the_same_in_every_build_and_no_others() -> None:
    def ids(one: Entry, now: datetime = NOW) -> list[str]:
        return [change.id for change in changes(one, {}, now)]

    stale = of_now(Status.STALE)
    seen = [*ids(having(ran(PASSED, 3), ran(FAILED, 2))), *ids(of_now(Status.EXPIRED)), *ids(stale)]
    seen += ids(having(ran(PASSED, 3), environment="other"))
    seen += ids(having(ran(PASSED, 3), procedure=replace(PROCEDURE, anchor="other")))
    seen += ids(replace(stale, digest="sha256:2"))[1:]
    assert len(set(seen)) == len(seen) - 1  # of_now's run, which is in it twice
    assert ids(stale) == ids(stale, NOW + 9 * HOUR)
    assert all(each.startswith("urn:uuid:") for each in seen)


def test_a_reader_gets_title_reason_date_and_both_links(tmp_path: Path) -> None:
    failed = having(ran(FAILED, 2, reason="exit status 1"))
    feed = parsed(tmp_path, failed, base_url="https://ops.example/docs/")
    (one,) = feed.entries
    assert feed.feed.title == "Operations: status changes"
    assert feed.feed.links[1].href == "https://ops.example/docs/feed.xml"
    assert one.title == "Restore <all> & go: failed on staging"
    assert one.title_detail.type == one.summary_detail.type == "text/plain"
    assert one.summary == "db/restore is failed on staging: exit status 1"
    assert one.updated == feed.feed.updated == "2026-11-21T10:00:00+00:00"
    assert {each.rel: each.href for each in one.links} == {
        "alternate": "https://ops.example/docs/db/#restore",
        "related": "https://ops.example/docs/evidence/db/restore/",
    }
    assert (one.author, one.tags[0].term) == ("platform", "failed")


def test_a_pass_after_a_failure_and_one_from_uncommitted_changes_say_so(tmp_path: Path) -> None:
    newest = parsed(tmp_path, having(ran(FAILED, 2), ran(PASSED, 1, dirty=True))).entries[0]
    assert newest.summary == ("db/restore is verified after failed on staging: from a tree with uncommitted changes")


def test_the_newest_fifty_come_first_whatever_the_order_of_the_entries(tmp_path: Path) -> None:
    many = [having(ran(PASSED, hour), procedure=replace(PROCEDURE, anchor=f"p{hour}")) for hour in range(1, MOST + 11)]
    found = [one.title for one in parsed(tmp_path, *many).entries]
    first = (tmp_path / "feed.xml").read_text()
    assert len(found) == MOST
    assert [one.updated for one in parsed(tmp_path, *reversed(many)).entries] == sorted(
        (one.updated for one in parsed(tmp_path, *many).entries), reverse=True
    )
    assert (tmp_path / "feed.xml").read_text() == first


def test_a_site_where_nothing_ever_ran_has_a_feed_too(tmp_path: Path) -> None:
    feed = parsed(tmp_path, entry(Status.UNVERIFIED))
    assert (feed.entries, feed.feed.updated) == ([], NOW.isoformat())


def test_hostile_titles_and_reasons_are_text(tmp_path: Path) -> None:
    hostile = "</summary><script>x</script>&amp;]]> \x1b[31m\x00\x07\x7f\ud800\ufffe é 日本 😀"
    shown = "</summary><script>x</script>&amp;]]> [ESC][31m[NUL][BEL][DEL][U+D800]\ufffd é 日本 😀"
    one = having(ran(FAILED, 2, reason=hostile), procedure=replace(PROCEDURE, title=hostile))
    found = parsed(tmp_path, one).entries[0]
    assert found.title == f"{shown}: failed on staging"
    assert found.summary.endswith(shown)
    assert "<script" not in (tmp_path / "feed.xml").read_text()


def test_a_run_whose_id_is_half_a_character_has_an_entry(tmp_path: Path) -> None:
    (one,) = parsed(tmp_path, having(replace(ran(Outcome.FAILED, 1), run="\ud800"))).entries
    assert one.id.startswith("urn:uuid:")


def test_a_page_names_the_feed() -> None:
    assert link("operations/db/") == (
        '<link rel="alternate" type="application/atom+xml" title="Status changes" href="../../feed.xml">'
    )


def test_two_builds_have_the_same_ids_and_every_page_names_the_feed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    folder = write_sample(tmp_path)
    first = feedparser.parse((build(folder) / "feed.xml").read_bytes())
    site = build(folder)
    second = feedparser.parse((site / "feed.xml").read_bytes())
    assert [one.id for one in first.entries] == [one.id for one in second.entries]
    statuses = [one.tags[0].term for one in first.entries]
    assert sorted(statuses) == ["blocked", "expired", "failed", "stale", "verified", "verified", "verified"]
    for page in ("index.html", "operations/database/index.html"):
        assert (site / page).read_text().count('type="application/atom+xml"') == 1


def git(root: Path, *arguments: str, at: str = "2026-01-01T00:00:00+00:00") -> None:
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.example", *arguments],
        cwd=root,
        check=True,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "GIT_COMMITTER_DATE": at, "GIT_AUTHOR_DATE": at, "HOME": str(root)},
    )


def test_the_date_of_a_page_is_that_of_its_newest_commit(tmp_path: Path) -> None:
    root = tmp_path / "below"
    (root / "docs").mkdir(parents=True)
    git(tmp_path, "init")
    for number, name in enumerate(("a", "grün", "a"), 1):
        (root / f"docs/{name}.md").write_text(f"{number}")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-m", "x", at=f"2026-01-0{number}T00:00:00+00:00")
    assert last_commits(root, {"docs/a.md", "docs/grün.md", "docs/none.md"}) == {
        "docs/a.md": datetime(2026, 1, 3, tzinfo=UTC),
        "docs/grün.md": datetime(2026, 1, 2, tzinfo=UTC),
    }


def test_outside_git_no_page_has_a_date(tmp_path: Path) -> None:
    assert last_commits(tmp_path, {"a.md"}) == {}
    assert last_commits(tmp_path / "gone", {"a.md"}) == {}
    assert last_commits(tmp_path, set()) == {}
