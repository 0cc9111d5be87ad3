"""What errexit masks is found by its syntax; each case is held against what bash really does."""

from __future__ import annotations

import os
import subprocess

import pytest

from runbook_checks.bash import find_bash
from runbook_checks.errexit import masked

BASH = find_bash(os.environ)
PRELUDE = "set -e -o pipefail; shopt -s inherit_errexit; fails() { false; }\n"

UNSEEN = {
    "and": "fails && echo migrated\necho done",
    "and, twice": "true && fails && true\necho done",
    "and, after or": "fails || fails && true\necho done",
    "and, in a loop": "for x in 1 2; do [ $x = 2 ] && true; done\necho done",
    "and, in the last round only": "for x in 1 2; do [ $x = 2 ] && true; done",
    "and, in a branch": "if true; then fails && true; else true; fi\necho done",
    "and, in a case": "case x in x) fails && true ;; esac\necho done",
    "and, in a group": "{ fails && true; }\necho done",
    "and, behind a heredoc": "grep x <<END && true\ny\nEND\necho done",
    "not": "! true\necho done",
    "not, of a pipeline": "! true | true\necho done",
    "condition": "if fails; true; then echo done; fi",
    "elif": "if false; then false; elif fails; true; then echo done; fi",
    "until": "until fails; true; do false; done",
    "group before or": "{ fails; true; } || false",
    "subshell before and": "(fails; true) && true",
    "substitution in a condition": "if x=$(fails; true); then echo done; fi",
    "words of for": "for x in $(fails); do echo $x; done",
    "words of for, quoted": 'for x in a "$(fails)"; do echo $x; done',
    "word of case": "case $(fails) in x) echo x ;; esac",
    "wait for anything": "fails & wait",
    "wait for anything, to its end": "fails & wait -f",
    "wait for several": 'fails & one=$!; true & other=$!\nwait "$one" "$other"',
    "wait for all of an array": 'fails & jobs=($!); true & jobs+=($!)\nwait "${jobs[@]}"',
    "a sourced file before and": ". <(echo 'fails; true') && true",
    "a sourced file in a condition": "if source <(echo 'fails; true'); then echo done; fi",
    "an array that is declared": "f() { local -a x=($(fails)); echo $x; }\nf",
    "an array of backticks": "f() { local -a x=(`fails`); echo $x; }\nf",
    "errexit off, as a builtin": "builtin set +e\nfails\necho done",
    "errexit off, by shopt": "shopt -uo errexit\nfails\necho done",
    "pipefail off, by shopt": "shopt -o -u pipefail\nfails | true",
    "errexit off in substitutions": "shopt -u inherit_errexit\nx=$(fails; true)",
    "errexit off": "set +e\nfails\necho done",
    "errexit off, by name": "set -u +o errexit\nfails\necho done",
    "pipefail off": "set +o pipefail\nfails | true",
    "trap of ERR": "trap 'exit 0' ERR\nfalse",
}
SEEN = {
    "one below the other": "echo one\nfails\necho done",
    "and, last": "true &&\n  fails",
    "and, last of a branch at the end": "if true; then fails && true; fi",
    "and, last of a case at the end": "case x in x) fails && true ;; esac",
    "and, in a subshell": "(fails && true)\necho done",
    "and, in a pipeline": "{ fails && true; } | cat\necho done",
    "and, last of a function": "f() { fails && true; }\nf\necho done",
    "and, in a substitution": "x=$(fails && true)\necho done",
    "and, handled": "fails && true || exit 1\necho done",
    "and, in a condition": "if true && fails; then true; else exit 1; fi\necho done",
    "or": "fails || exit 1\necho done",
    "right of and, last": "true && { fails; true; }",
    "not, last": "! true",
    "a job that is waited for": 'fails & job=$!\nwait "$job"\necho done',
    "a list that is waited for": 'fails && true & job=$!\nwait "$job"\necho done',
    "jobs that are waited for": 'fails & one=$!; true & other=$!\nwait "$one" && wait "$other"',
    "a sourced file, last": "true && . <(echo 'fails; true')",
    "an array": "x=($(fails))\necho done",
    "words of for, a variable": "x=$(fails)\nfor y in $x; do echo $y; done",
    "a loop's body": "while true; do fails; break; done\necho done",
    "comments": "true && fails\n# the end",
}


def passes(text: str) -> bool:
    done = subprocess.run([BASH, "-c", PRELUDE + text], capture_output=True, check=False, timeout=10)
    return done.returncode == 0


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_a_failure_that_bash_does_not_see_is_found(text: str) -> None:
    assert passes(text)
    assert len(masked(text)) == 1


@pytest.mark.parametrize("text", SEEN.values(), ids=SEEN)
def test_a_failure_that_bash_sees_is_left_alone(text: str) -> None:
    assert not passes(text)
    assert masked(text) == ()


def test_a_finding_has_its_line_and_says_what_to_write() -> None:
    (found,) = masked("echo one\n\nfalse & wait\necho two\n")
    assert (found.line, "process id" in found.reason, 'wait "$job"' in found.suggestion) == (3, True, True)


@pytest.mark.parametrize(
    "text",
    [
        "trap 'rm -r \"$dir\"' EXIT",
        "set -eu",
        "set -- +e",
        "wait -n",
        "wait -n 1 2",
        "shopt -u nullglob",
        "shopt -so errexit",
        ". ./a",
        "echo wait; echo set +e",
        "declare -a x=($((1 + 2)) '$(a)')",
    ],
)
def test_what_only_looks_alike_is_left_alone(text: str) -> None:
    assert masked(text) == ()
