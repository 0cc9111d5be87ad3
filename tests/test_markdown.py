from __future__ import annotations

import html
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rendering import render

from runbook_checks import markdown
from runbook_checks.blocks import captures
from runbook_checks.expect import compare
from runbook_checks.headings import plain, slugify
from runbook_checks.model import Expectation, Match, Procedure, Span, Stream

SAMPLES = Path(__file__).parent / "samples" / "markdown"
FRONT = "---\nrunbook:\n  owner: platform\n---\n"
CHECK = "```bash {.check}\ntrue\n```\n"


def problems(body: str) -> list[tuple[int, str]]:
    """Return line (counted from the body's first line) and text of every problem of a runbook page."""
    found = markdown.scan(FRONT + body, "page.md").problems
    return [(problem.line - 4, f"{problem.reason}; {problem.suggestion}") for problem in found]


def procedures(body: str) -> tuple[Procedure, ...]:
    scan = markdown.scan(FRONT + body, "page.md")
    assert scan.problems == ()
    assert scan.runbook is not None
    return scan.runbook.procedures


def test_a_runbook_page_becomes_its_procedures_and_blocks() -> None:
    scan = markdown.scan((SAMPLES / "restore.md").read_text(encoding="utf-8"), "docs/restore.md")
    assert scan.problems == ()
    assert scan.runbook is not None
    ids = {procedure.id: [block.id for block in procedure.blocks] for procedure in scan.runbook.procedures}
    assert ids == {
        "restore/back-up-database": ["back-up-database-step-1"],
        "restore/restore-database": [
            "restore",
            "healthy",
            "error-ratio",
            "restore-database-cleanup-1",
            "restore-database-rollback-1",
        ],
    }
    restore = scan.runbook.procedures[1].blocks[0]
    assert restore.text == "deployment/scripts/restore.sh --latest\n"
    assert (restore.span, restore.timeout_s) == (Span(39, 41), 300.0)
    assert [expected.text for expected in restore.expectations] == ["restored <rows> rows from backup <backup_id>"]


@pytest.mark.parametrize("name", ["restore.md", "nested.md"])
def test_the_site_shows_exactly_the_texts_that_are_run(name: str) -> None:
    page = (SAMPLES / name).read_text(encoding="utf-8")
    scan, shown = markdown.scan(page, name), render(page)
    assert scan.problems == ()
    assert [fence.text.strip("\n") for fence in scan.fences] == [code.strip("\n") for code in shown.codes]
    assert [(fence.span.first, fence.span.last) for fence in scan.fences] == [(a, b) for a, b, _ in shown.fences]
    assert [(heading.level, heading.id) for heading in scan.headings] == [(a, b) for a, b, _ in shown.headings]
    assert [heading.title for heading in scan.headings] == [html.unescape(title) for _, _, title in shown.headings]


def test_every_attribute_of_a_block_arrives() -> None:
    (procedure,) = procedures(
        "## A\n```http {.check #up title='It is up' timeout=5s within=1m every=500ms status=200|2xx "
        'environment=staging exit=3 linenums="1"}\nGET /\n```\n'
    )
    (block,) = procedure.blocks
    assert (block.id, block.title, block.timeout_s, block.within_s, block.every_s) == ("up", "It is up", 5, 60, 0.5)
    assert (block.http_status, block.environment, block.exit_status) == ("200|2xx", "staging", 3)


def test_expectations_belong_to_the_block_before_them() -> None:
    (procedure,) = procedures(
        "## A\n```bash {.step}\na\n```\nprose\n```text {.expect match=exact}\nx\n\n```\n"
        "```text {.expect stream=stderr}\n```\n```bash {.step}\nb\n```\n"
    )
    first, second = procedure.blocks
    assert [(one.text, one.match, one.stream) for one in first.expectations] == [
        ("x\n", Match.EXACT, Stream.STDOUT),
        ("", Match.LIKE, Stream.STDERR),
    ]
    assert second.expectations == ()


def test_a_procedure_is_the_section_with_the_card_or_else_of_level_two() -> None:
    found = procedures(
        f"# Page\n## A\n{CHECK}### Verify\n{CHECK}### Own\n```yaml {{.procedure}}\nseverity: info\n```\n{CHECK}"
        f"#### Deeper\n{CHECK}## B\n{CHECK}"
    )
    assert [(one.anchor, len(one.blocks)) for one in found] == [("a", 2), ("own", 2), ("b", 1)]


def test_an_implied_id_gives_way_to_one_that_the_page_uses() -> None:
    (procedure,) = procedures(f"## A\n{CHECK}```bash {{.check #a-check-1}}\ntrue\n```\n")
    assert [block.id for block in procedure.blocks] == ["a-check-1-2", "a-check-1"]


def test_a_plain_fence_is_never_a_block() -> None:
    (procedure,) = procedures(f"## A\n```bash\nrm -rf /\n```\n```bash {{.no-copy}}\nrm -rf /\n```\n{CHECK}")
    assert [block.text for block in procedure.blocks] == ["true\n"]


def test_a_mark_inside_a_longer_fence_is_only_text() -> None:
    (procedure,) = procedures(f"## A\n````markdown\n{CHECK}````\n{CHECK}")
    assert len(procedure.blocks) == 1


@pytest.mark.parametrize(
    ("body", "line", "words"),
    [
        pytest.param(
            f"## A\n```bash {{.stpe}}\nx\n```\n{CHECK}", 2, "unknown role `.stpe`; did you mean `step`", id="role"
        ),
        pytest.param("## A\n```bash {.check timout=5m}\nx\n```\n", 2, "unknown attribute `timout`", id="attribute"),
        pytest.param("## A\n```bash {.check .step}\nx\n```\n", 2, "one role, not `.check` and `.step`", id="two roles"),
        pytest.param("## A\n```bash {.check timeout=5}\nx\n```\n", 2, "`5` is not a duration", id="duration"),
        pytest.param("## A\n```bash {.check timeout=0s}\nx\n```\n", 2, "more than zero", id="no time"),
        pytest.param("## A\n```bash {.check exit=256}\nx\n```\n", 2, "not an exit status", id="exit"),
        pytest.param("## A\n```bash {.check exit=1 exit=2}\nx\n```\n", 2, "`exit` is given twice", id="twice"),
        pytest.param("## A\n```bash {.check a = b}\nx\n```\n", 2, "cannot read", id="attribute list"),
        pytest.param("## A\n```http {.check status=2x}\nGET /\n```\n", 2, "not an HTTP status", id="status"),
        pytest.param("## A\n```bash {.check status=200}\nx\n```\n", 2, "belongs on an http block", id="status on bash"),
        pytest.param(
            f"## A\n```bash {{.step within=1s}}\nx\n```\n{CHECK}", 2, "runs exactly once", id="within on step"
        ),
        pytest.param("## A\n```bash {.check every=1s}\nx\n```\n", 2, "never polls", id="every alone"),
        pytest.param("## A\n```bash {.check environment='a b'}\nx\n```\n", 2, "name of an environment", id="env"),
        pytest.param("## A\n```bash {.check #a/b}\nx\n```\n", 2, "cannot be an id", id="id"),
        pytest.param("## A\n``` {.bash .check}\nx\n```\n", 2, "the language comes first", id="language"),
        pytest.param("## A\n```bash {.check}\n\n```\n", 2, "the block is empty", id="empty"),
        pytest.param('## A\n```promql {.check}\nrate(x{a!="<"}[1m])\n```\n', 3, "needs a comparison", id="promql"),
        pytest.param(
            f"## A\n{CHECK}```text {{.expect exit=1}}\nx\n```\n", 5, "write `exit=1` there", id="exit on expect"
        ),
        pytest.param(f"## A\n{CHECK}```text {{.expect #x}}\nx\n```\n", 5, "has no id", id="id on expect"),
        pytest.param(f"## A\n{CHECK}```text {{.expect match=likely}}\nx\n```\n", 5, "did you mean `like`", id="match"),
        pytest.param(f"## A\n{CHECK}```text {{.expect stream=err}}\nx\n```\n", 5, "did you mean `stderr`", id="stream"),
        pytest.param(
            f'## A\n{CHECK}```json {{.expect match=json}}\n{{\n"a": }}\n```\n', 7, "not valid JSON", id="json"
        ),
        pytest.param(f"## A\n{CHECK}```text {{.expect match=regex}}\nx\n(\n```\n", 7, "not valid", id="regex"),
        pytest.param(f"## A\n{CHECK}```text {{.expect match=contains}}\n```\n", 5, "contains nothing", id="contains"),
        pytest.param(
            f"## A\n{CHECK}```text {{.expect}}\nx\n<Rows>\n```\n", 7, "`<Rows>` cannot be a capture", id="name"
        ),
        pytest.param(
            f"## A\n{CHECK}```text {{.expect}}\nx\n```\n```text {{.expect}}\ny\n```\n",
            8,
            "second expectation",
            id="two",
        ),
        pytest.param(f"## A\n```text {{.expect}}\nx\n```\n{CHECK}", 2, "no block before it", id="lone expectation"),
        pytest.param(
            f"## A\n{CHECK}## B\n```text {{.expect}}\nx\n```\n", 6, "no block before it", id="expectation elsewhere"
        ),
        pytest.param(f"# A\n{CHECK}", 2, "outside any procedure", id="outside"),
        pytest.param(f"## A\n```yaml {{.procedure}}\n```\n## B\n{CHECK}", 2, "a card without blocks", id="idle card"),
        pytest.param(
            f"## A\n```yaml {{.procedure}}\n```\n```yaml {{.procedure}}\n```\n{CHECK}", 4, "second card", id="two cards"
        ),
        pytest.param(f"```yaml {{.procedure}}\n```\n## A\n{CHECK}", 1, "outside any section", id="card on top"),
        pytest.param(f"## A\n```json {{.procedure}}\n```\n{CHECK}", 2, "a card is YAML", id="card language"),
        pytest.param("## A\n```bash {.step}\nx\n```\n", 1, "proves nothing", id="nothing proven"),
        pytest.param(
            "## A\n```bash {.setup}\nx\n```\n```text {.expect}\nx\n```\n", 1, "proves nothing", id="only setup"
        ),
        pytest.param(
            "## A\n```bash {.step}\nx\n```\n```text {.expect}\n...\n\n```\n", 5, "can never fail", id="only dots"
        ),
        pytest.param(
            "## A\n```bash {.step}\nx\n```\n```text {.expect match=regex}\n.*\n```\n",
            5,
            "can never fail",
            id="any text",
        ),
        pytest.param(f"## A {{#x}}\n## B {{#x}}\n{CHECK}", 2, "`x` is already used on line 5", id="heading ids"),
        pytest.param("## A\n```bash {.check #a}\nx\n```\n", 2, "`a` is already used", id="id of a heading"),
        pytest.param(
            f"## A {{#{'a' * 201}}}\n{CHECK}", 1, "names files, and this one has 201 characters", id="long id"
        ),
        pytest.param(f"## A {{#a:b}}\n{CHECK}", 1, "cannot be the id of a procedure", id="procedure id"),
        pytest.param(
            f"## A\n```yaml {{.procedure}}\nfigures: {{rws: {{min: 1}}}}\n```\n{CHECK}```text {{.expect}}\n<rows>\n```\n",
            2,
            "did you mean `rows`",
            id="figure",
        ),
        # what the site and GitHub read differently
        pytest.param(f"## A\n{CHECK}```bash {{.check}}\nx\n", 5, "never closed", id="unclosed"),
        pytest.param("## A\n```bash {.check}\nx\n````\n", 4, "GitHub closes", id="longer end"),
        pytest.param("## A\n```bash {.check}\nx\n  ```\n", 4, "GitHub closes", id="indented end"),
        pytest.param("## A\n- a\n\n    ```bash {.check}\n  x\n    ```\n", 5, "indented less", id="less indented"),
        pytest.param("## A\n1. a\n\n   ```bash {.check}\n   x\n   ```\n", 4, "indented by 3 spaces", id="three spaces"),
        pytest.param("## A\n[^1]: a\n\n    ```bash {.check}\n    x\n    ```\n", 4, "in no list item", id="footnote"),
        pytest.param(
            "## A\nprose\n\n    ```bash {.check}\n    x\n    ```\n", 4, "indented code block", id="code block"
        ),
        pytest.param(
            "## A\n100. a\n\n    ```bash {.check}\n    x\n    ```\n", 4, "in no list item", id="wide list item"
        ),
        pytest.param("## A\n- a\n\n\t```bash {.check}\n\tx\n\t```\n", 4, "holds a tab", id="tab"),
        pytest.param("## A\n```bash {.check}\nx\n\u202ey\n```\n", 4, "U+202E (right-to-left override)", id="bidi"),
        pytest.param("## A\n```bash {.check}\nx\x07\n```\n", 3, "U+0007 (a control character)", id="control character"),
        pytest.param("## A\n<!--\n```bash {.check}\nx\n```\n-->\n", 3, "HTML comment", id="comment"),
        pytest.param(f"## A\n{CHECK}<!-- x\n", 5, "never closed", id="open comment"),
        pytest.param("## A\n```bash .check\nx\n```\n", 2, "info string is not understood", id="info string"),
        pytest.param("## A\n```bash {.check title='a `b`'}\nx\n```\n", 2, "backtick", id="backtick"),
        pytest.param("## A\n- ```bash {.check}\n  x\n  ```\n", 2, "line of its list item", id="fence in item line"),
        pytest.param(f"A\n---\n{CHECK}", 2, "underlined", id="setext"),
        pytest.param(f"##A\n{CHECK}", 1, "GitHub does not", id="no space"),
        pytest.param(f"## A\n ## B\n{CHECK}", 2, "the site does not", id="indented heading"),
        pytest.param(f"## A\n- a\n\n    ## B\n{CHECK}", 4, "a heading inside a list", id="nested heading"),
        pytest.param("## A\n<div>\n```bash {.check}\nx\n```\n</div>\n", 3, "part of the HTML", id="html"),
        pytest.param("## A\n    code\n```bash {.check}\nx\n```\n", 3, "indented code above", id="after code"),
        pytest.param("## A\n> ```bash {.check}\n> x\n\n> ```\n", 4, "blank line", id="blank in quotation"),
        pytest.param("## A\n>   ```bash {.check}\n>   x\n>   ```\n", 2, "right after its `> `", id="deep in quotation"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(body: str, line: int, words: str) -> None:
    found = problems(body)
    assert any(at == line and words in text for at, text in found), found


@pytest.mark.parametrize(
    "body",
    [
        "## A\n```bash {.step}\nx\n```\n```text {.expect match=contains}\na\n```\n```text {.expect match=regex}\n^b\n```\n",
        "## A\n```bash {.step}\nx\n```\n```text {.expect}\n\\<b>\n...\n```\n",
        '## A\n```promql {.check}\nup{a="b"} == 1\n```\n',
        f"## A\n{CHECK}\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n",
        f"## A\n\n`<!--` and ```` ``` ````\n\n{CHECK}",
        "## A\n```bash {.check}\ncat <<'EOF'\n# no heading\n    ```\n<!-- no comment\nEOF\n```\n",
    ],
)
def test_what_reads_alike_everywhere_is_accepted(body: str) -> None:
    assert problems(body) == []


def test_a_page_that_is_no_runbook_is_left_alone_unless_it_marks_a_fence() -> None:
    assert markdown.scan("A\n===\n```bash foo\n\n```yaml {.annotate}\nx", "page.md").problems == ()
    (problem,) = markdown.scan(f"# A\n\n{CHECK}", "page.md").problems
    assert (problem.line, problem.path) == (3, "page.md")
    assert markdown.scan("# A\n\n    ```bash {.step}\n    x\n    ```\n", "page.md").problems == ()


def test_is_runbook_is_true_for_a_broken_one_too() -> None:
    assert markdown.is_runbook(FRONT)
    assert markdown.is_runbook("---\nrunbook: {\n---\n")
    assert not markdown.is_runbook("---\ntitle: x\n---\nrunbook: x\n")


@pytest.mark.parametrize(
    ("match", "text", "output"),
    [
        (Match.LIKE, "<a> \\<b> <c_1> <a>", "1 <b> 2 1"),
        (Match.JSON, '{"a": "<b>"}', '{"a": 1}'),
        (Match.REGEX, r"(?P<rows>\d+) (?:rows|row)", "12 rows"),
        (Match.REGEX, r"(?<=x)(?<rows>\d+)(?<!y)", "x12"),
        (Match.EXACT, "<a>", "<a>"),
    ],
)
def test_captures_are_those_that_matching_binds(match: Match, text: str, output: str) -> None:
    expectation = Expectation(text, match, Stream.STDOUT, Span(1, 2))
    assert set(captures(expectation)) == {name for name, _ in compare(expectation, output, "p.md").captures}


@pytest.mark.parametrize(
    ("markup", "title"),
    [
        ("Use `a_b` *now* and __then__", "Use a_b now and then"),
        ("[Link](x.md) ![image](y.png) \\*star\\* &amp; <b>bold</b>", "Link *star* & bold"),
        ("snake_case_name", "snake_case_name"),
    ],
)
def test_a_title_is_plain_text(markup: str, title: str) -> None:
    assert plain(markup) == title


def test_slugs_are_those_of_python_markdown() -> None:
    assert slugify("Über den  Fluß - (now)!") == "uber-den-flu-now"


# ruff: noqa: E501  a case of the tables stays on its line
PREFIXES = st.sampled_from(["", "", "", "    ", "    ", "        ", "> ", "   ", "  ", ">"])
PIECES = st.sampled_from(
    [
        "```bash {.step}",
        "```",
        "```",
        "````",
        "~~~",
        "```bash",
        "echo hi",
        "",
        "- item",
        "1. item",
        "!!! note",
        '=== "Tab"',
        "## Foo",
        "## Foo {#bar}",
        "# `x_y` *z*",
        "text",
        "```bash foo",
        '```bash linenums="1"',
        "<!-- x",
        "-->",
        "```{.python .step}",
        "~~~sh {.check}",
        "100. item",
        "  - item",
    ]
)
FENCES = st.builds(
    lambda prefix, code: f"{prefix}```bash {{.check}}\n{prefix}{code}\n{prefix}```",
    st.sampled_from(["", "    ", "        ", "> "]),
    st.integers().map("echo {}".format),
)
PAGES = st.lists(st.builds(str.__add__, PREFIXES, PIECES) | FENCES | st.just(""), max_size=14).map("\n".join)


@pytest.mark.parametrize(
    "unseen",
    [chr(code) for code in (0x85, 0xA0, 0xAD, 0x180E, 0x200B, 0x200D, 0x2028, 0x2029, 0x202E, 0x2066, 0x2800, 0x3164)],
)
@pytest.mark.parametrize("place", ["command", "expectation", "card", "info string"])
def test_what_no_reader_sees_is_refused_in_every_marked_fence_and_allowed_in_prose(unseen: str, place: str) -> None:
    texts = {"command": "true", "expectation": "fine", "card": "DatabaseDown", "info string": "Look"}
    page = (
        f"## A\n{unseen}\n\n```yaml {{.procedure}}\nalerts: [DatabaseDown]\n```\n\n"
        '```bash {.step title="Look"}\ntrue\n```\n```text {.expect}\nfine\n```\n'
    )
    assert markdown.scan(FRONT + page, "p.md").problems == ()
    found = markdown.scan(FRONT + page.replace(texts[place], f"{texts[place]}{unseen}"), "p.md").problems
    assert any(f"a marked fence holds U+{ord(unseen):04X}" in problem.reason for problem in found)


def test_signs_in_colour_and_letters_of_any_script_are_seen() -> None:
    assert markdown.scan(f"{FRONT}## A\n```bash {{.check}}\necho 'é 日本 → ⚠\ufe0f'\n```\n", "p.md").problems == ()


@settings(max_examples=80)
@given(PAGES)
def test_fences_are_exactly_those_that_superfences_finds(page: str) -> None:
    fences = markdown.scan(page, "page.md").fences
    found = [(fence.span.first, fence.span.last, fence.text.rstrip("\n")) for fence in fences]
    assert found == [(first, last, text.rstrip("\n")) for first, last, text in render(page).fences]


@settings(max_examples=80)
@given(PAGES)
def test_a_marked_fence_without_a_problem_is_shown_in_its_place(page: str) -> None:
    """Problems of a missing procedure or expectation do not matter here: a whole page of checks is asked."""
    scan = markdown.scan(f"{FRONT}\n## Top\n\n{page}\n", "page.md")
    if scan.problems:
        return
    shown = iter(code.strip("\n") for code in render(f"{FRONT}\n## Top\n\n{page}\n").codes)
    assert all(fence.text.strip("\n") in shown for fence in scan.fences if fence.marked)


@settings(max_examples=150)
@given(st.text() | PAGES, st.sampled_from(["", FRONT, "---\n", "---\nrunbook:\n"]))
def test_scanning_never_raises(text: str, front: str) -> None:
    scan = markdown.scan(front + text, "page.md")
    assert all(problem.line >= 1 for problem in scan.problems)
