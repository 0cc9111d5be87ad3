"""What a reader has to fill in: what the blocks for readers read and none of them sets, with the quotes around it."""

from __future__ import annotations

import pytest

from runbook_checks.languages import DEFAULTS
from runbook_checks.markdown import scan
from runbook_checks.site.variables import BlockVariables, Context, PageVariables, page_variables, read_bash, written

FRONT = "---\nrunbook: {owner: platform}\n---\n"


def variables(body: str, table: dict[str, str] | None = None) -> PageVariables:
    found = scan(FRONT + body, "docs/page.md")
    assert found.problems == ()
    assert found.runbook is not None
    return page_variables(found.runbook, table or DEFAULTS)


def procedure(*blocks: str, anchor: str = "proc") -> str:
    return f"## P {{#{anchor}}}\n\n" + "\n\n".join(blocks) + "\n"


def block(text: str, attributes: str = ".step", language: str = "bash", expect: str = "") -> str:
    fence = f"```{language} {{{attributes}}}\n{text}\n```"
    return fence + (f"\n```text {{.expect}}\n{expect}\n```" if expect else "")


CHECK = block("true", ".check")


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("cmd $X", Context.BARE),
        ("cmd pre${X}post", Context.BARE),
        ("a=$X", Context.BARE),
        ('cmd "$X"', Context.DOUBLE_QUOTED),
        ('cmd "${X:?say which}"', Context.DOUBLE_QUOTED),
        ('cmd "${X:-none}"', Context.DOUBLE_QUOTED),
        ('cmd "$(other $X)"', Context.BARE),
        ('cmd "$(other "$X")"', Context.DOUBLE_QUOTED),
        ("cat <<END\nsee $X\nEND", Context.HEREDOC),
        ("cat <<END\nsee $(cmd $X)\nEND", Context.BARE),
        ('[[ "$X" == a ]]', Context.DOUBLE_QUOTED),
        ("cat <<END\n$X: $(date)\nEND", Context.HEREDOC),
        ("cat <<END > $X\na\nEND", Context.BARE),
        ("cat <<END\n$X\nEND", Context.KEPT),  # END would end it, and the next line would be a command
        ("cat <<END\nat `date`: $X\nEND", Context.KEPT),
        ("cat <<END\n\\$5 for $X\nEND", Context.KEPT),  # the grammar takes this line for words of `cat`
        ("cat <<END\na $$(cmd $X)\nEND", Context.KEPT),  # no command: `$$`, then a bracket
        ("[[ a == $X ]]", Context.KEPT),
        ("[[ a =~ $X ]]", Context.KEPT),
        ("case a in $X) ;; esac", Context.KEPT),
        ("for i in $X; do echo; done", Context.KEPT),
        ("list=($X)", Context.KEPT),
        ("$X --help", Context.KEPT),
        ("cmd $X>file", Context.KEPT),
        ("cmd $X<file", Context.KEPT),
        ("cmd `other $X`", Context.KEPT),
        ("echo $(( X + 1 ))", Context.KEPT),
        ("echo $(( $X + 1 ))", Context.KEPT),
        ("(( X > 1 ))", Context.KEPT),
        ('cmd "${X%.*}"', Context.KEPT),
        ('cmd "${#X}"', Context.KEPT),
        ('cmd "${X[0]}"', Context.KEPT),
        ('cmd "${X@Q}"', Context.KEPT),
    ],
)
def test_the_context_is_that_of_the_nearest_quotes_and_only_the_variable_will_do_where_a_value_is_not_a_word(
    text: str, context: Context
) -> None:
    (use,) = read_bash(text).uses
    assert (use.name, use.context) == ("X", context)


@pytest.mark.parametrize("text", ["echo '$X'", "cat <<'END'\n$X\nEND", r"echo \$X", "echo $'$X'", "# $X", "echo X"])
def test_what_is_not_expanded_is_no_use(text: str) -> None:
    assert read_bash(text).uses == ()


def test_an_offset_counts_characters_and_a_page_gets_utf_16_units() -> None:
    text = 'echo "näher 🚒 $X"'
    (use,) = read_bash(text).uses
    assert text[use.offset : use.offset + use.length] == "$X"
    assert written((use,), text) == f"{len(text[: use.offset].encode('utf-16-le')) // 2}:2:qX"
    assert written((use,), text) == "15:2:qX"


@pytest.mark.parametrize(
    "text",
    [
        "X=1",
        "X+=1",
        "X[0]=1",
        "for X in a; do :; done",
        "select X in a; do :; done",
        "for (( X = 0; X < 3; X++ )); do :; done",
        "(( X = 3 ))",
        "(( X++ ))",
        ": ${X:=1}",
        "f() { local X; }",
        "declare -a X",
        "declare X=1",
        "readonly X=1",
        "export X=1",
        "read -r X",
        "while read -r a X; do :; done <file",
        "mapfile -t X <file",
        "printf -v X '%s' a",
        "getopts ab X",
        "let X=1",
        "exec {X}>file",
        "wait -p X",
        "eval 'X=1'",
        "unset X",
    ],
)
def test_a_block_that_sets_a_variable_itself_does_not_ask_for_it(text: str) -> None:
    assert "X" in read_bash(text).assigned
    assert variables(procedure(block(f'{text}\necho "$X"'), CHECK)).names == ()


@pytest.mark.parametrize("text", ['X=1 cmd "$X"', 'export X\necho "$X"', 'echo "${X:?}"', "echo X=1 $X"])
def test_what_sets_it_for_one_command_or_only_exports_it_still_asks(text: str) -> None:
    assert variables(procedure(block(text), CHECK)).names == ("X",)


def test_a_text_that_bash_cannot_be_sure_of_asks_for_nothing() -> None:
    assert read_bash('echo "$X').uses == ()


@pytest.mark.parametrize("name", ["HOME", "PATH", "RANDOM", "BASH_SOURCE", "PIPESTATUS", "1", "?", "@", "_", "LC_ALL"])
def test_what_is_the_shells_own_is_not_asked_for(name: str) -> None:
    assert variables(procedure(block(f'echo "${{{name}}}"'), CHECK)).names == ()


def test_only_blocks_for_readers_count_so_that_what_a_setup_sets_is_asked_for() -> None:
    page = variables(
        procedure(
            block("incident=$(new)", ".setup"),
            block('close "$incident"'),
            block('rm "$OTHER"', ".cleanup"),
            block('back "$API_URL"', ".rollback"),
            CHECK,
        )
    )
    assert page.names == ("API_URL", "incident")  # the environment's come first


def test_a_procedure_sets_a_variable_for_itself_and_for_no_other() -> None:
    page = variables(
        procedure(block("at=$(date)"), block('echo "$at"'), CHECK) + procedure(block('echo "$at"'), CHECK, anchor="two")
    )
    assert page.names == ("at",)
    assert page.blocks["proc-step-2"].shown == ()
    assert [use.name for use in page.blocks["two-step-1"].shown] == ["at"]


def test_a_capture_that_a_later_block_reads_is_filled_in_where_it_is_shown_first() -> None:
    page = variables(
        procedure(
            block("backup", ".step #backup", expect="backup <backup_id> of <rows> rows"),
            block('look "$backup_id"', ".check #look", expect="<backup_id>"),
            block('again "$backup_id"', ".check"),
        )
    )
    assert page.names == ()
    assert page.blocks["backup"].captures == ("backup_id",)
    assert page.blocks["look"].captures == ()
    assert [use.name for use in page.blocks["look"].shown] == ["backup_id"]


def test_a_capture_never_overwrites_a_variable_that_a_block_before_it_has_read() -> None:
    page = variables(procedure(block('echo "$release"', expect="<release>"), block('echo "$release"', ".check")))
    assert page.names == ("release",)
    assert page.blocks["proc-step-1"].captures == ()


def test_what_a_setup_captures_no_reader_sees() -> None:
    page = variables(procedure(block("new", ".setup", expect="<made>"), block('echo "$made"'), CHECK))
    assert page.names == ("made",)


def test_requests_and_queries_are_read_by_the_tools_own_rules() -> None:
    request = "# not $THIS\nGET $API_URL/${PART}?price=$$5\nX-Who: $WHO"
    page = variables(
        procedure(block(request, ".check #get", "http"), block('up{job="$JOB"} < 1', ".check #ask", "promql"))
    )
    assert page.names == ("API_URL", "PART", "WHO", "JOB", "PROMETHEUS_URL")
    found = page.blocks["get"]
    assert [(use.name, use.context) for use in found.shown] == [
        (name, Context.VERBATIM) for name in ("API_URL", "PART", "WHO")
    ]
    assert [request[use.offset : use.offset + use.length] for use in found.shown] == ["$API_URL", "${PART}", "$WHO"]
    assert {use.context for use in found.run_uses} == {Context.DOUBLE_QUOTED}


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("sql", "SELECT $1, '$X';", ("DATABASE_URL",)),
        ("sql", "\\getenv who WHO\nSELECT :'who';", ("DATABASE_URL", "WHO")),
        ("python", 'import os\nprint(os.environ["X"], os.environ.get("Y"), os.getenv("Z"), "$W")', ("X", "Y", "Z")),
        ("sh", 'y=1; echo "$X" "$y"', ("X",)),
    ],
)
def test_other_languages_read_what_their_command_and_their_environment_say(
    language: str, text: str, names: tuple[str, ...]
) -> None:
    assert variables(procedure(block(text, ".check", language))).names == names


def test_a_command_of_the_configuration_is_read_too() -> None:
    page = variables(procedure(block("SELECT 1;", ".check", "cql")), {**DEFAULTS, "cql": 'cqlsh "$CASSANDRA_HOST"'})
    assert page.names == ("CASSANDRA_HOST",)


def test_a_block_of_bash_carries_no_second_text() -> None:
    page = variables(procedure(block('echo "$X"', ".check #go")))
    assert page.blocks["go"] == BlockVariables(shown=page.blocks["go"].shown)
