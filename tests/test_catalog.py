from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook_checks.catalog import Catalog, former_ids, load
from runbook_checks.errors import SourceError, UsageError

FRONT = "---\nrunbook:\n  owner: platform\n---\n"


def page(*procedures: tuple[str, str]) -> str:
    return FRONT + "".join(
        f"## {anchor}\n```yaml {{.procedure}}\nneeds: [{needs}]\n```\n```bash {{.check}}\ntrue\n```\n"
        for anchor, needs in procedures
    )


def loaded(root: Path, **pages: str) -> Catalog:
    for name, text in pages.items():
        path = root / f"{name.replace('__', '/')}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return load(root, sorted(root.rglob("*.md")))


def refused(root: Path, **pages: str) -> list[str]:
    with pytest.raises(SourceError) as caught:
        loaded(root, **pages)
    return [str(problem) for problem in caught.value.problems]


def ids(catalog: Catalog, *words: str) -> list[str]:
    return [procedure.id for procedure in catalog.select(words)]


def test_needs_come_first_and_once(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, a=page(("top", "mid, b/low"), ("mid", "b/low")), b=page(("low", "")))
    assert [one.id for one in catalog.procedures] == ["a/top", "a/mid", "b/low"]
    assert [one.id for one in catalog.needs(catalog.get("a/top"))] == ["b/low", "a/mid"]
    assert catalog.needs(catalog.get("b/low")) == ()
    assert [one.id for one in catalog.in_needs_order(catalog.procedures)] == ["b/low", "a/mid", "a/top"]
    assert catalog.runbook_of(catalog.get("b/low")).path == "b.md"


def test_a_long_chain_of_needs_is_no_trouble(tmp_path: Path) -> None:
    chain = [(f"p{number}", f"p{number + 1}") for number in range(1500)]
    catalog = loaded(tmp_path, a=page(*chain, ("p1500", "")))
    assert len(catalog.needs(catalog.get("a/p0"))) == 1500


def test_words_select_by_any_name(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, docs__a=page(("one", ""), ("two", "")), docs__b=page(("two", ""), ("three", "")))
    assert ids(catalog, "a/one") == ["a/one"]
    assert ids(catalog, "docs/a.md::two") == ["a/two"]
    assert ids(catalog, "three", "one") == ["a/one", "b/three"]
    assert ids(catalog, "b") == ids(catalog, "docs/b.md") == ids(catalog, "b.md") == ["b/two", "b/three"]
    assert ids(catalog, "./docs/b.md", str(tmp_path / "docs" / "a.md")) == ["a/one", "a/two", "b/two", "b/three"]
    assert ids(catalog, "*/t*") == ["a/two", "b/two", "b/three"]
    assert ids(catalog) == []


def test_a_word_that_selects_nothing_or_too_much_is_refused(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, a=page(("restore", ""), ("two", "")), b=page(("two", "")))
    with pytest.raises(UsageError, match="did you mean `a/restore`"):
        catalog.select(["a/restor"])
    with pytest.raises(UsageError, match="selects no procedure"):
        catalog.select(["restore", "zzz*"])
    with pytest.raises(UsageError, match="write one of a/two, b/two"):
        catalog.select(["two"])
    with pytest.raises(UsageError, match="did you mean `a/restore`"):
        catalog.get("a/restor")


def test_ids_that_differ_in_capital_letters_only_are_refused(tmp_path: Path) -> None:
    text = "".join(f"## X {{#{anchor}}}\n```bash {{.check}}\ntrue\n```\n" for anchor in ("restore", "Restore"))
    assert refused(tmp_path, a=FRONT + text) == [
        (
            "a.md:9: the public id `a/Restore` differs from that of a.md:5 in capitals only; "
            "on many disks both would be one file of evidence: give a heading another id"
        )
    ]


def test_a_need_that_is_no_procedure_is_refused_at_its_card(tmp_path: Path) -> None:
    assert refused(tmp_path, a=page(("one", "tow"), ("two", "")), x__b=page(("three", "one"))) == [
        "a.md:6: needs `tow`, which is no procedure; did you mean `two`?",
        "x/b.md:6: needs `one`, which is no procedure; did you mean `a/one`?",
    ]


def test_every_cycle_of_needs_is_named_whole(tmp_path: Path) -> None:
    assert refused(
        tmp_path, a=page(("one", "two"), ("two", "b/three"), ("self", "self")), b=page(("three", "a/one"))
    ) == [
        "a.md:6: needs go in a circle: a/one → a/two → b/three → a/one",
        "a.md:20: needs go in a circle: a/self → a/self",
    ]


def test_an_old_id_that_leads_to_two_procedures_is_refused_at_its_card(tmp_path: Path) -> None:
    text = page(("one", ""), ("two", "")).replace("needs: []", "formerly: [gone, a/two, b/gone, one]", 1)
    assert refused(tmp_path, a=text, b=page(("gone", ""))) == [
        (
            "a.md:6: formerly `a/one`, which is already its own; "
            "an old id leads to one procedure: take it out of the other card, or out of this one"
        ),
        (
            "a.md:6: formerly `a/two`, which is already that of a.md:12; "
            "an old id leads to one procedure: take it out of the other card, or out of this one"
        ),
        (
            "a.md:6: formerly `b/gone`, which is already that of b.md:5; "
            "an old id leads to one procedure: take it out of the other card, or out of this one"
        ),
    ]


def test_an_old_id_that_two_cards_claim_is_refused(tmp_path: Path) -> None:
    one = page(("one", "")).replace("needs: []", "formerly: [gone, a/gone]")
    two = page(("two", "")).replace("needs: []", "formerly: [a/gone]")
    found = [problem.partition(";")[0] for problem in refused(tmp_path, a=one, b=two)]
    assert found == [
        "a.md:6: formerly `a/gone`, which is already its own",
        "b.md:6: formerly `a/gone`, which is already that of a.md:5",
    ]


def test_old_ids_are_public_ids(tmp_path: Path) -> None:
    text = page(("one", "")).replace("needs: []", "formerly: [gone, b/other]")
    assert former_ids(loaded(tmp_path, a=text).get("a/one")) == ("a/gone", "b/other")


def test_one_public_id_for_two_procedures_is_refused_naming_both(tmp_path: Path) -> None:
    (problem,) = refused(tmp_path, x__a=page(("one", "")), y__a=page(("one", "")))
    assert problem.startswith("y/a.md:5: the public id `a/one` is already that of x/a.md:5")


def test_the_problems_of_all_pages_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "latin.md").write_bytes(b"# A\n\xe9\n")
    (tmp_path / "folder.md").mkdir()
    (tmp_path / "gone.md").symlink_to("nowhere")
    found = refused(tmp_path, a=FRONT + "## A\n```bash {.step}\nx\n```\n", b=FRONT + "```bash {.stp}\nx\n```\n")
    assert [problem.split(": ")[0] for problem in found] == [
        "a.md:5",
        "b.md:5",
        "folder.md:1",
        "gone.md:1",
        "latin.md:2",
    ]
    assert "not UTF-8: byte 0xe9" in found[4]


def test_a_page_outside_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.md").write_text("# A\n", encoding="utf-8")
    (root / "link.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(SourceError) as caught:
        load(root, [Path("../secret.md"), root / "link.md", tmp_path / "secret.md"])
    assert [problem.path for problem in caught.value.problems] == ["../secret.md", "link.md"]
    assert {problem.reason for problem in caught.value.problems} == {
        "this page is outside the folder of the configuration"
    }


def test_a_runbook_that_is_a_link_is_refused_and_a_link_to_prose_is_not(tmp_path: Path) -> None:
    (tmp_path / "prose.txt").write_text("# A\n")
    (tmp_path / "prose.md").symlink_to("prose.txt")
    assert [name for name, _ in loaded(tmp_path, a=page(("one", ""))).pages] == ["a.md", "prose.md"]
    (tmp_path / "b.md").symlink_to("a.md")
    assert refused(tmp_path) == ["b.md:1: this runbook is reached by a symbolic link; put the page itself here"]


def test_a_page_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert refused(tmp_path) == ["pipe.md:1: this page is not a regular file"]


def test_every_page_keeps_what_the_scanner_has_of_it(tmp_path: Path) -> None:
    catalog = loaded(tmp_path, a=page(("top", "")), prose="# Only prose\n")
    found, prose = catalog.scan_of("a.md"), catalog.scan_of("prose.md")
    assert found is not None
    assert found.runbook is catalog.runbooks[0]
    assert prose is not None
    assert [heading.title for heading in prose.headings] == ["Only prose"]
    assert catalog.scan_of("elsewhere.md") is None
