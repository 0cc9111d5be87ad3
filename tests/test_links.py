"""Addresses in alerts lead to one procedure or say why not; nothing is guessed."""

from __future__ import annotations

import pytest

from runbook_checks.links import Fault, Link, SiteMap, destination, follow, pages_of, read_link, url_of
from runbook_checks.model import Card, Procedure

PAGES = {
    "docs/index.md": "./",
    "docs/operations/db.md": "operations/db/",
    "docs/db.md": "db/",
    "docs/web server.md": "web%20server/",
}
SOMEWHERE = SiteMap(pages=PAGES)
KNOWN = SiteMap("https://ops.example/base/", PAGES)
RESTORE = Procedure(
    "docs/operations/db.md", "restore", "Restore", 3, Card(5, formerly=("recover", "web server/db")), ()
)
LOOK = Procedure("docs/web server.md", "look", "Look", 3, Card(), ())


def link(url: str) -> Link:
    found = read_link(url)
    assert isinstance(found, Link)
    return found


def test_a_link_is_read_in_its_parts() -> None:
    url = "https://Ops.example/a%20b/?INSTANCE={{ $labels.instance }}&on=1#restore"
    assert read_link(url) == Link("ops.example", "/a b/", "restore", ("INSTANCE", "on"))
    assert read_link("http://ops.example") == Link("ops.example", "/")


def test_a_query_after_the_fragment_counts() -> None:
    assert link("https://ops.example/db/#restore?INSTANCE={{ $labels.instance }}").parameters == ("INSTANCE",)


@pytest.mark.parametrize(
    "value",
    [
        "{{ $labels.instance }}",
        "{{ $labels.instance | urlquery }}",
        "{{$labels.a}}:{{ $labels.b }}",
        '{{ printf "}}#%s?&" $labels.a }}',
        "{{ `}}` }}",
        '{{ reReplaceAll "\\"" "" $labels.a }}',
    ],
)
def test_values_of_the_query_may_be_templates(value: str) -> None:
    assert read_link(f"https://ops.example/db/?A={value}#restore") == Link("ops.example", "/db/", "restore", ("A",))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://{{ $externalLabels.site }}/db/#restore", "a template outside the values of its query"),
        ("https://ops.example/{{ $labels.page }}/#restore", "a template outside"),
        ("https://ops.example/db/#{{ $labels.alertname }}", "a template outside"),
        ("https://ops.example/db/?{{ $labels.name }}=1#restore", "a template outside"),
        ("{{ $externalURL }}", "a template outside"),
        ("https://ops.example/db/?A={{ $labels.a }#restore", "a template that is not closed"),
        ("https://ops.example/db/?A=$labels.a }}#restore", "a template that is not closed"),
        ("operations/db/#restore", "is not the address of a page"),
        ("//ops.example/db/#restore", "is not the address of a page"),
        ("ftp://ops.example/db/#restore", "is not the address of a page"),
        ("https://ops.example/my db/#restore", "is not the address of a page"),
        ("https://[ops.example/db/", "cannot be read"),
        ("TODO", "is not the address of a page"),
    ],
)
def test_what_leads_nowhere_for_sure_is_refused(url: str, reason: str) -> None:
    found = read_link(url)
    assert isinstance(found, Fault)
    assert reason in found.reason


def test_a_template_that_never_ends_is_read_fast() -> None:
    assert isinstance(read_link("https://ops.example/?A={{ " + '"a" ' * 5000), Fault)


@pytest.mark.parametrize(
    ("url", "pages"),
    [
        ("https://any.example/web%20server/#x", ["docs/web server.md"]),
        ("https://any.example/base/web%20server/#x", ["docs/web server.md"]),
        ("https://any.example/db/", ["docs/db.md"]),
        ("https://any.example/operations/db/", ["docs/operations/db.md", "docs/db.md"]),  # `…/operations` may be a base
        ("https://any.example/", ["docs/index.md"]),
        ("https://git.example/o/r/blob/main/docs/db.md#x", ["docs/db.md"]),
        ("https://git.example/o/r/blob/main/docs/web%20server.md", ["docs/web server.md"]),
        ("https://git.example/o/r/blob/main/mydocs/db.md#x", []),
        ("https://any.example/base/", []),
        ("https://any.example/olddb/", []),
        ("https://any.example/db", []),
        ("https://any.example/db.html", []),
        ("https://any.example/db/more/", []),
    ],
)
def test_without_the_sites_address_whole_parts_of_the_path_must_fit(url: str, pages: list[str]) -> None:
    assert list(pages_of(link(url), SOMEWHERE)) == pages


@pytest.mark.parametrize(
    ("url", "pages"),
    [
        ("https://ops.example/base/operations/db/", ["docs/operations/db.md"]),
        ("http://OPS.example/base/db/", ["docs/db.md"]),
        ("https://ops.example/base/", ["docs/index.md"]),
        ("https://ops.example/db/", []),
        ("https://ops.example/base/more/db/", []),
        ("https://ops.example/basement/db/", []),
        ("https://other.example/base/db/", []),
        ("https://ops.example/base/docs/db.md", []),
    ],
)
def test_with_the_sites_address_a_link_begins_with_it(url: str, pages: list[str]) -> None:
    assert list(pages_of(link(url), KNOWN)) == pages


def test_without_directory_urls_pages_end_in_html() -> None:
    site = SiteMap(pages={"docs/db.md": "db.html", "docs/index.md": "index.html"})
    assert pages_of(link("https://any.example/base/db.html#x"), site) == ("docs/db.md",)
    assert pages_of(link("https://any.example/db/#x"), site) == ()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("operations/db/#restore", RESTORE),
        ("operations/db/#recover", RESTORE),
        ("operations/db/#db", RESTORE),
        ("web%20server/#db", RESTORE),
        ("web%20server/#look", LOOK),
        ("p/db/restore/", RESTORE),
        ("p/db/restore/index.html", RESTORE),
        ("p/db/recover/?INSTANCE=1", RESTORE),
        ("p/web%20server/look/#look", LOOK),
        ("p/db/restore/#look", "is the permalink of db/restore, with another `#look`"),
        ("p/db/gone/", "leads to no page of the runbooks"),
        ("more/p/db/restore/", "leads to no page of the runbooks"),
        ("gone/#restore", "leads to no page of the runbooks"),
        ("operations/db/", "leads to docs/operations/db.md, and to no procedure of it"),
        ("operations/db/#restor", "leads to docs/operations/db.md, which has no procedure `#restor`"),
        ("operations/db/#look", "which has no procedure `#look`"),
    ],
)
def test_a_link_leads_to_a_procedure_or_says_why_not(url: str, expected: Procedure | str) -> None:
    found = destination(link(f"https://ops.example/base/{url}"), KNOWN, [RESTORE, LOOK])
    assert expected == found or (isinstance(found, Fault) and str(expected) in found.reason)


@pytest.mark.parametrize("base", ["", "/base", "/a/b"])
def test_without_the_sites_address_permalinks_are_found_too(base: str) -> None:
    assert destination(link(f"https://any.example{base}/p/db/restore/"), SOMEWHERE, [RESTORE]) == RESTORE


def test_what_can_mean_two_is_refused() -> None:
    found = destination(link("https://any.example/operations/db/#restore"), SOMEWHERE, [RESTORE])
    assert isinstance(found, Fault)
    assert found.reason == "can mean docs/operations/db.md or docs/db.md"
    site = SiteMap(pages={"docs/db/restore.md": "db/restore/"})
    found = destination(link("https://any.example/p/db/restore/"), site, [RESTORE])
    assert isinstance(found, Fault)
    assert found.reason == "can mean docs/db/restore.md or docs/operations/db.md::restore"


def test_the_address_of_a_procedure_is_what_its_link_says() -> None:
    assert url_of(RESTORE, KNOWN) == "https://ops.example/base/operations/db/#restore"
    assert url_of(RESTORE, SOMEWHERE) == "…/operations/db/#restore"
    assert destination(link(url_of(RESTORE, KNOWN)), KNOWN, [RESTORE]) == RESTORE


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://ops.example/base/operations/db/?A={{ $labels.a }}#restore", RESTORE),
        ("https://ops.example/base/operations/db/#look", "which has no procedure `#look`"),
        ("https://other.example/base/operations/db/#restore", "leads to no page"),
        ("TODO", "is not the address of a page"),
        ("", "is not the address of a page"),
    ],
)
def test_an_address_is_followed_to_a_procedure_or_a_reason(url: str, expected: Procedure | str) -> None:
    found = follow(url, KNOWN, [RESTORE, LOOK])
    assert expected == found or (isinstance(found, Fault) and str(expected) in found.reason)
