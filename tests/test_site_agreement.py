"""For any evidence, all that the site and the command line say of it is the same; nothing is greener than the rest."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import feedparser
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from publications import publication
from records import NOW, record
from rich.console import Console
from test_site_badges import PROCEDURE

from runbook_checks.alerts import coverage
from runbook_checks.model import Runbook
from runbook_checks.record import CHANGED, Evidence, Outcome
from runbook_checks.report import Entry
from runbook_checks.site import badges, feed, metrics, render, status_json
from runbook_checks.site.overview import overview
from runbook_checks.status import Status, judge, told
from runbook_checks.tables import status_table
from runbook_checks.trust import why_newest_is_refused

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENTS = ("staging", "other")
PLACES = tuple((anchor, environment) for anchor in ("a", "b", "c") for environment in ENVIRONMENTS)
DIGEST = "sha256:1"
WEEK = timedelta(days=7)
MINUTES = (-2, 0, 0, 4, 6, 60, 60, 600, 60 * 24 * 6, 60 * 24 * 8)  # before now; few, so that there are ties


@st.composite
def evidence(draw: st.DrawFn) -> Evidence:
    outcome = draw(st.sampled_from([one for one in Outcome if one is not Outcome.SKIPPED]))
    minutes = draw(st.sampled_from(MINUTES)) if draw(st.booleans()) else -draw(st.sampled_from((3, 5, 6, 9000)))
    ran = record(
        run=f"r{draw(st.integers(0, 3))}",
        outcome=outcome,
        ended=NOW - timedelta(minutes=minutes),
        digest=draw(st.sampled_from((DIGEST, DIGEST, "sha256:2", CHANGED))),
        dirty=draw(st.booleans()),
        reason=draw(st.sampled_from(("", "why"))),
    )
    refused = "forged" if outcome is Outcome.PASSED and draw(st.integers(0, 3)) == 0 else ""
    return Evidence(ran, refused=refused)


def entry(place: tuple[str, str], found: Sequence[Evidence], *, strict: bool) -> Entry:
    anchor, environment = place
    history = sorted(found, key=lambda one: datetime.fromisoformat(one.record.ended_at))
    believed = [one.record for one in history if not one.refused]
    judgement = judge(believed, digest=DIGEST, verify_every_s=WEEK.total_seconds(), now=NOW, strict=strict)
    judgement = told(judgement, why_newest_is_refused(history))
    procedure = replace(PROCEDURE, anchor=anchor, title=anchor)
    return Entry(procedure, Runbook("docs/db.md", "DB"), environment, DIGEST, judgement, tuple(history))


def published(folder: Path, entries: Sequence[Entry], *, strict: bool) -> dict[str, Any]:
    site = publication(folder, entries, ENVIRONMENTS)
    site = replace(site, report=replace(site.report, strict=strict))
    for module in (badges, feed, metrics, status_json):
        module.publish(site)
    samples = [
        sample
        for family in text_string_to_metric_families((folder / "metrics.prom").read_text())
        for sample in family.samples
    ]
    return {
        "status": json.loads((folder / "status.json").read_text())["procedures"],
        "samples": samples,
        "shields": {path.stem: json.loads(path.read_text()) for path in folder.glob("badges/**/*.json")},
        "svg": {path.stem: path.read_text() for path in folder.glob("badges/**/*.svg")},
        "feed": feedparser.parse((folder / "feed.xml").read_bytes()).entries,
    }


@settings(max_examples=60)
@given(found=st.lists(st.lists(evidence(), max_size=6), min_size=6, max_size=6), strict=st.booleans())
def test_every_output_says_the_same_of_any_evidence(found: list[list[Evidence]], *, strict: bool) -> None:
    entries = [entry(place, one, strict=strict) for place, one in zip(PLACES, found, strict=True)]
    with TemporaryDirectory() as folder:
        out = published(Path(folder), entries, strict=strict)
    for one, told_of in zip(entries, out["status"], strict=True):
        labels = {"procedure": one.procedure.id, "environment": one.environment}
        of_it = [sample for sample in out["samples"] if labels.items() <= sample.labels.items()]
        word = one.status.value
        name = f"{one.procedure.anchor}.{one.environment}"
        assert told_of["status"] == word
        assert [sample.labels["status"] for sample in of_it if "status" in sample.labels and sample.value] == [word]
        assert out["shields"][name]["message"].startswith(word)
        assert f" on {one.environment}" in out["shields"][name]["message"]
        assert f": {out['shields'][name]['message']}</title>" in out["svg"][name]
        assert f'data-rb-status="{word}"' in render.card(one.procedure, one.runbook, [one], [])
        for key, metric in (("verified_at", "last_success"), ("expires_at", "expires"), ("duration_s", "duration")):
            values = [sample.value for sample in of_it if f"runbook_procedure_{metric}" in sample.name]
            moment = told_of[key]
            expected = datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else moment
            assert values == ([] if expected is None else [expected])
        if one.status is Status.VERIFIED:
            assert told_of["verified_at"] is not None
            assert datetime.fromisoformat(told_of["expires_at"]) > NOW
            assert not (strict and told_of["dirty"])
        here = [
            each.tags[0].term
            for each in out["feed"]
            if each.title == f"{one.procedure.title}: {each.tags[0].term} on {one.environment}"
        ]
        assert here[:1] == ([] if one.status is Status.UNVERIFIED else [word])
    assert len({each.id for each in out["feed"]}) == len(out["feed"])
    first = [one for one in entries if one.environment == ENVIRONMENTS[0]]
    counts = Counter(one["status"] for one in out["status"] if one["environment"] == ENVIRONMENTS[0])
    view = overview(ENVIRONMENTS[0], first, coverage((), first), NOW)
    assert {status.value: count for status, count in view.counts if count} == dict(counts)
    assert view.attention == 3 - counts["verified"] == len(view.first) + view.further
    for name in ("db", "all"):
        assert out["shields"][name]["message"].startswith(f"{counts['verified']} of 3 verified on staging as of")
        assert (out["shields"][name]["color"] == badges.colour(Status.VERIFIED)) == (counts["verified"] == 3)
    banner = re.sub(r"<[^>]*>", "", render.banner(first, several=True))
    assert ("All 3 procedures verified on staging" in banner) == (counts["verified"] == 3)
    if view.attention:
        assert f"{view.attention} of 3 procedures" in banner
    console = Console(width=200, file=StringIO())
    console.print(status_table(entries))
    lines = console.file.getvalue().splitlines()[1:]  # type: ignore[attr-defined]
    assert [line.split()[0] for line in lines if line[:1].strip()] == [one["status"] for one in out["status"]]
