"""One evidence page per procedure: what it says, what it looks like from outside, and that nothing in it is active."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import mkdocs.commands.build
import mkdocs.config
import pytest
from markupsafe import Markup
from publications import publication
from records import NOW, record
from sample_site import build, record_of, write_sample
from test_site_badges import PROCEDURE, entry

from runbook_checks.config import load_config
from runbook_checks.model import Block, Role, Span
from runbook_checks.record import BlockRecord, Evidence, Figure, Moment, Outcome, Service
from runbook_checks.report import load_report
from runbook_checks.site import evidence_pages
from runbook_checks.site.evidence_pages import output
from runbook_checks.site.frame import cut
from runbook_checks.status import Status
from runbook_checks.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.record import Record
    from runbook_checks.report import Entry

PAGE = "evidence/db/restore/index.html"


@pytest.fixture(autouse=True)
def _not_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


def with_history(*history: Evidence, decided: Record | None = None, environment: str = "staging") -> Entry:
    one = entry(environment=environment)
    decided = decided or (history[-1].record if history else None)
    return replace(one, judgement=replace(one.judgement, record=decided), history=history)


def page_of(folder: Path, *entries: Entry, environments: tuple[str, ...] = ("staging", "other")) -> str:
    evidence_pages.publish(publication(folder, entries, environments))
    return (folder / PAGE).read_text()


def words(html: str) -> str:
    text = re.sub(r"<(desc|title)\b.*?</\1>|<[^>]+>", " ", html, flags=re.DOTALL)
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        text = text.replace(entity, char)
    return " ".join(text.split())


def test_the_deciding_run_is_told_block_by_block(tmp_path: Path) -> None:
    block = BlockRecord(
        id="restore",
        role="step",
        language="bash",
        line=7,
        command="scripts/restore.sh --latest\n",
        outcome=Outcome.FAILED,
        exit_status=3,
        stdout="\x1b[32mrestored\x1b[0m 5 rows\n",
        stderr="warning: slow\n",
        stderr_cut=1234,
        duration_s=61.0,
        attempts=2,
        message="docs/db.md:7: exit status 3, not 0",
    )
    run = record(
        blocks=(block,),
        outcome=Outcome.FAILED,
        reason="step `restore`: exit status 3, not 0",
        commit="0123456789abcdef",
        dirty=True,
        services=(Service("postgresql", "18.1"),),
        figures=(Figure("rto", 310.0, "s", None, 300.0, kept=False),),
        digest="sha256:abc",
        duration_s=75.0,
    )
    html = page_of(tmp_path, with_history(Evidence(run)))
    text = words(html)
    for told in (
        "Outcome failed",
        "When 2026-11-21 11:00 UTC",
        "Took 1 min 15 s",
        "Commit 0123456789ab uncommitted changes",
        "Signature not signed",
        "Reason step `restore`: exit status 3, not 0",
        "postgresql 18.1",
        "sha256:abc , not what the page says now",
        "rto 310 s (bound broken) at most 300 s",
        "step restore failed 1 min 1 s 2 attempts exit status 3",
        "bash scripts/restore.sh --latest docs/db.md:7: exit status 3, not 0",
        "standard output restored 5 rows",
        "standard error, 1,234 bytes left out in the middle when it was recorded warning: slow",
        "/evidence/staging/db/restore.jsonl , one line of JSON per run; the run that decides is r1",
    ):
        assert told in text
    assert '<span class="rb-ansi-green">restored</span> 5 rows' in html


def test_a_block_that_is_still_on_the_page_is_linked_with_its_title_and_another_is_not(tmp_path: Path) -> None:
    block = Block("drop", Role.STEP, "bash", "dropdb\n", Span(9, 11), "Drop <it>")
    ran = BlockRecord("drop", "step", "bash", 9, "dropdb\n", Outcome.PASSED)
    one = with_history(Evidence(record(blocks=(ran, replace(ran, id="gone")))))
    html = page_of(tmp_path, replace(one, procedure=replace(PROCEDURE, blocks=(block,))))
    assert '<a href="../../../db/#drop">Drop &lt;it&gt;</a>' in html
    assert "<span>gone</span>" in html
    assert "#gone" not in html


def test_the_page_leads_back_to_the_procedure(tmp_path: Path) -> None:
    assert '<a href="../../../db/#restore">' in page_of(tmp_path, with_history())


def test_each_environment_has_its_section_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    signed = with_history(Evidence(record(), signed_by="ci-2026"))
    html = page_of(tmp_path, signed, with_history(environment="other"))
    assert re.findall(r'<h2 id="([^"]+)"', html) == ["on-staging", "on-other"]
    assert "signed by key ci-2026" in words(html)


def test_of_a_huge_output_only_what_is_shown_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def styled(text: str) -> Markup:
        read.append(text)
        return Markup()

    monkeypatch.setattr(evidence_pages, "styled", styled)
    output("standard output", "\x1b[31mx" * (1 << 20), 0)
    assert sum(map(len, read)) == 64 * 1024


def test_ids_and_roles_of_an_edited_record_stay_in_their_attributes(tmp_path: Path) -> None:
    table = "\n".join(["x" * 60] * 5)
    odd = BlockRecord("a\x1bb", "st\x1bep", "bash", 1, "true", Outcome.PASSED, 0, table, attempts=1)
    html = page_of(tmp_path, with_history(Evidence(record(blocks=(odd,)))))
    assert 'aria-label="standard output of a[ESC]b"' in html
    assert 'data-rb-role="st[ESC]ep"' in html


def test_refused_evidence_is_loud_and_is_told_with_its_reason(tmp_path: Path) -> None:
    good, forged = record(), record(run="r2", ended=NOW - timedelta(minutes=5))
    reason = "the signature is not that of any trusted key"
    entry = with_history(Evidence(good), Evidence(forged, refused=reason), decided=good)
    html = page_of(tmp_path, entry)
    assert '<div class="rb-refused" role="note">' in html
    assert "1 of the newest 2 records is refused and counts for nothing." in words(html)
    assert f"2026-11-21 11:55 UTC : {reason}" in words(html)
    assert f"passed refused: {reason}" in words(html)


@pytest.mark.parametrize("changes", [{"signed_by": "<script>\x1b"}, {"refused": "<script>\x1b"}])
def test_a_signature_is_text(tmp_path: Path, changes: dict[str, str]) -> None:
    html = page_of(tmp_path, with_history(Evidence(record(), **changes)))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html


def test_a_refused_copy_of_the_deciding_record_does_not_decide(tmp_path: Path) -> None:
    good = record()
    copy, signed = Evidence(good, refused="it is not signed"), Evidence(good, signed_by="ci-2026")
    html = page_of(tmp_path, with_history(copy, signed))
    assert "Signature signed by key ci-2026" in words(html)


def test_runs_beyond_ten_are_folded_and_the_newest_come_first(tmp_path: Path) -> None:
    history = [Evidence(record(run=f"r{hours}", ended=NOW - timedelta(hours=hours))) for hours in range(12, 0, -1)]
    html = page_of(tmp_path, with_history(*history))
    moments = re.findall(r'<th scope="row"><time class="rb-at" datetime="([^"]+)">', html)
    assert moments == sorted(moments, reverse=True)
    assert len(moments) == 12
    shown, folded = html.split("<summary>2 older runs</summary>")
    assert shown.count('<tr><th scope="row"><time') == 10
    assert folded.count('<tr><th scope="row"><time') == 2
    assert html.count('<svg viewBox="0 0 640 200" role="img"') == 2


def test_a_procedure_that_never_ran_has_a_page_that_says_so(tmp_path: Path) -> None:
    text = words(page_of(tmp_path, entry(Status.UNVERIFIED)))
    assert text.endswith(
        "Evidence staging unverified Nothing proves this procedure. Never run. Proof of need Never tried."
    )


def test_a_drill_is_told_moment_by_moment_in_words_and_as_a_picture(tmp_path: Path) -> None:
    moments = (Moment("fault", "2026-11-21T11:00:00+00:00"), Moment("fired", "2026-11-21T11:00:06.200+00:00"))
    html = page_of(tmp_path, with_history(Evidence(record(moments=moments))))
    assert "Moment After the fault Meaning fault 0 s the fault is made fired 6.2 s every alert of the card" in words(
        html
    )
    (picture,) = re.findall(r'<svg viewBox="0 0 640 66".*?</svg>', html, re.DOTALL)
    assert ET.fromstring(picture).get("aria-labelledby") == "rb-1-drill-title rb-1-drill-text"
    assert "After the fault: fired 6.2 s." in picture
    assert "drill" not in page_of(tmp_path, with_history(Evidence(record())))


def test_moments_are_text_whatever_their_order(tmp_path: Path) -> None:
    moments = (Moment("<script>\x1b", "2026-11-21T11:00:00+00:00"), Moment("odd", "2026-11-21T10:00:00+00:00"))
    html = page_of(tmp_path, with_history(Evidence(record(moments=moments))))
    assert "<script" not in html
    assert "\x1b" not in html
    assert "NaN" not in html


@pytest.mark.parametrize(
    ("text", "folded", "table"),
    [
        ("one\n", False, False),
        ("line\n" * 12, False, False),
        ("line\n" * 13, True, False),
        ("x" * 2001, True, False),
        (f"{'a' * 60}\n" * 5, False, True),
        (f"{'a' * 161}\n" * 5, False, False),
    ],
)
def test_long_output_is_folded_and_tables_are_not_broken(text: str, folded: bool, table: bool) -> None:  # noqa: FBT001
    shown = output("standard output", text, 0)
    assert shown is not None
    assert (shown.folded, shown.table) == (folded, table)


def test_lines_are_counted_with_or_without_a_last_newline() -> None:
    assert [one.lines for text in ("a", "a\n", "a\nb") if (one := output("o", text, 0))] == [1, 1, 2]
    assert output("o", "", 0) is None
    assert output("o", "", 5) is not None


def test_very_long_output_keeps_its_beginning_and_its_end_and_says_what_is_missing() -> None:
    shown = output("standard output", "begin" + "é" * 100_000 + "end", 0)
    assert shown is not None
    assert shown.html.startswith("begin")
    assert shown.html.endswith("end")
    assert len(shown.html) < 66_000
    assert "68,944 bytes more are only in the file of evidence" in shown.html.replace("\n", "")


def test_a_frame_is_filled_as_often_as_it_names_a_part() -> None:
    frame = cut("<title>T</title><a href='A'>T</a>C", {"A": "address", "T": "title", "C": "content"})
    filled = frame.fill(address="x/y", title="a < b & T", content="<p>A C</p>")
    assert filled == "<title>a &lt; b &amp; T</title><a href='x/y'>a &lt; b &amp; T</a><p>A C</p>"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        folder = write_sample(tmp_path_factory.mktemp("site"))
        config = folder / "mkdocs.yml"
        config.write_text(
            f"site_url: https://example.org/ops/\n{config.read_text()}".replace("plugins:\n", "plugins:\n  - search\n")
        )
        return build(folder)


def test_every_procedure_has_a_page_that_looks_like_the_site(built: Path) -> None:
    pages = sorted(path.parent.name for path in (built / "evidence").rglob("index.html"))
    assert pages == [
        *("back-up-database", "grow-disk", "promote-replica", "replay-log", "restore-database", "rotate-password")
    ]
    html = (built / "evidence/database/restore-database/index.html").read_text()
    assert "<title>Evidence: Restore the database - Sample operations</title>" in html
    assert html.count("<h1") == 1
    assert '<link rel="canonical" href="https://example.org/ops/evidence/database/restore-database/">' in html
    assert 'data-md-component="header"' in html
    assert 'href="../../../operations/database/"' in html
    assert 'href="../../../operations/database/#restore-database"' in html
    assert not re.search(r"rb[atc][0-9a-f]{16}", html)


def test_evidence_pages_are_in_neither_sitemap_nor_search_nor_navigation(built: Path) -> None:
    assert "evidence" not in (built / "sitemap.xml").read_text()
    assert "Evidence:" not in (built / "search/search_index.json").read_text()
    navigation = (built / "404.html").read_text()
    assert 'href="/ops/operations/database/"' in navigation
    assert "/ops/evidence/" not in navigation


@pytest.mark.parametrize("theme", ["mkdocs", "readthedocs"])
@pytest.mark.parametrize("directory_urls", [True, False])
def test_another_theme_and_addresses_without_folders_work(tmp_path: Path, theme: str, directory_urls: bool) -> None:  # noqa: FBT001
    folder = write_sample(tmp_path)
    path = folder / "mkdocs.yml"
    path.write_text(re.sub(r"theme:\n(?:  .*\n)+", f"theme: {theme}\n", path.read_text()))
    config = mkdocs.config.load_config(
        str(path), site_dir=str(folder / "built"), use_directory_urls=directory_urls, strict=True
    )
    mkdocs.commands.build.build(config)
    name, up = ("index.html", "../../../") if directory_urls else (".html", "../../")
    page = (
        folder
        / "built/evidence/database"
        / (f"restore-database/{name}" if directory_urls else f"restore-database{name}")
    )
    html = page.read_text()
    target = "operations/database/#restore" if directory_urls else "operations/database.html#restore"
    assert f'href="{up}{target}-database"' in html
    assert f'href="{up}assets/runbook-checks.' in html
    assert "<h1>Evidence: Restore the database</h1>" in html


def test_a_title_and_a_page_name_that_need_quoting_are_quoted(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, evidence=False)
    (folder / "docs/operations/database.md").rename(folder / "docs/operations/größe & 100%.md")
    index = folder / "docs/index.md"
    index.write_text("# Home\n")
    page = folder / "docs/operations/größe & 100%.md"
    page.write_text(page.read_text().replace("## Grow the disk", '## Grow `<disk>` & "more"'))
    html = (build(folder) / "evidence/größe & 100%/grow-disk/index.html").read_text()
    assert "<title>Evidence: Grow &lt;disk&gt; &amp; &quot;more&quot; - Sample operations</title>" in html
    assert '<a href="../../../operations/gr%C3%B6%C3%9Fe%20%26%20100%25/#grow-disk">' in html


def test_evidence_that_is_no_unicode_is_shown_and_does_not_end_the_build(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, evidence=False)
    config = load_config(folder / "runbook-checks.yml")
    one = next(
        each for each in load_report(config, now=datetime.now(UTC)).entries if each.procedure.anchor == "grow-disk"
    )
    run = record_of(one, datetime.now(UTC) - timedelta(hours=1), Outcome.FAILED, reason="half \ud800 a pair")
    Store(folder / config.evidence).append(run)
    html = (build(folder) / "evidence/database/grow-disk/index.html").read_text()
    assert "[U+D800]" in html
