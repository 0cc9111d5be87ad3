"""The proof of need on the real stack of a sample repository: what it says, and keeps."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from proving import IDLE, PAGE, good, proofs, standing
from repository import document

if TYPE_CHECKING:
    from repository import Repository

LOOK = "## Look { #look }\n```bash {.check}\ntrue\n```\n"


def test_all_is_proven_and_kept_and_stale_when_the_page_changes(repository: Repository) -> None:
    repository.only(good())
    assert standing(repository) == {"extra/good": None}
    done = repository.run("mutate", "--json")
    assert done.returncode == 0, done.stderr
    (proof,) = proofs(repository)
    assert document(done)["proofs"][0]["run"] == proof.run
    assert [(one.id, one.proven, one.by) for one in proof.blocks] == [
        ("good-make", True, "good-check-1"),
        ("good-check-1", True, "good-make"),
    ]
    assert (proof.services[0].name, proof.dirty) == ("web", True)
    assert repository.records("extra/good") == (), "a run without a step is no evidence of the procedure"
    assert repository.left() == ([], [])
    assert standing(repository) == {"extra/good": "proven"}
    assert "nothing to try" in repository.run("mutate", "--stale").stderr
    repository.replace(PAGE, "touch", "touch --")
    assert standing(repository) == {"extra/good": "stale"}
    assert repository.run("mutate", "--stale").returncode == 0
    assert len(proofs(repository)) == 2


def test_what_was_not_proven_stays_a_failure_until_it_is_or_has_a_reason(repository: Repository) -> None:
    """CI runs the same commit twice: the second run finds the proof of the first."""
    repository.only(good(), IDLE)
    assert repository.run("mutate", "--stale").returncode == 1
    assert repository.run("mutate", "--stale").returncode == 1, "nothing was mended"
    repository.only(good(card="unproven: {idle: nothing looks at it}"), IDLE)
    done = repository.run("mutate", "--stale")
    assert (done.returncode, done.stderr[:14]) == (0, "nothing to try"), done.stderr


@pytest.mark.parametrize("torn", [{"blocks": []}, {"ended_at": "2099-01-01T00:00:00+00:00"}])
def test_what_counts_for_nothing_is_tried_again(repository: Repository, torn: dict[str, Any]) -> None:
    repository.only(good())
    assert repository.run("mutate").returncode == 0
    path = repository.root / ".runbook-checks/evidence/local/extra/good.need.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **torn}) + "\n")
    assert standing(repository) == {"extra/good": None}
    assert "nothing to try" not in repository.run("mutate", "--stale").stderr
    assert len(proofs(repository)) == 2


def test_every_run_has_a_fresh_stack_and_what_the_procedure_needs(repository: Repository) -> None:
    repository.replace(
        "scripts/stack",
        "set -eu",
        'set -eu\n[ "$1" != up ] || echo up >>"$OLDPWD/stack.log"',
    )
    repository.replace("scripts/stack", '"$OLDPWD/stack.log"', f'"{repository.root}/stack.log"')
    base = '## Base { #base }\n```bash {.step}\necho base >>"$SITE/base"\n```\n```bash {.check}\ntrue\n```\n'
    repository.only(base, good(card="needs: [base]") + '```bash {.check}\ntest "$(cat "$SITE/base")" = base\n```\n')
    done = repository.run("mutate", "good")
    assert done.returncode == 1
    assert "check good-check-2: never refused anything" in done.stderr
    assert (repository.root / "stack.log").read_text() == "up\n" * 2


TWICE = """
## Twice {{ #twice }}
```bash {{.step #first}}
touch "$SITE/first"
```
```bash {{.check #sees-first}}
echo first >>asked.log
test -e "$SITE/first"
```
```bash {{.step #second}}
touch "$SITE/second"
```
```bash {{.check #sees-second}}
echo second >>asked.log
test -e "$SITE/{what}"
```
"""


def asked(repository: Repository) -> list[str]:
    return (repository.root / "asked.log").read_text().split()


def test_what_has_refused_already_is_not_asked_behind_what_noticed(repository: Repository) -> None:
    """The first run without a step asks everything; the second would ask a check for its whole time, for nothing."""
    behind = '```bash {.check #last}\necho last >>asked.log\ntest -e "$SITE/first" && test -e "$SITE/second"\n```\n'
    repository.only(TWICE.format(what="second") + behind)
    done = repository.run("mutate", "--json")
    assert done.returncode == 0, done.stderr
    (proof,) = proofs(repository, "extra/twice")
    assert [(one.id, one.by) for one in proof.blocks] == [
        ("first", "sees-first"),
        ("sees-first", "first"),
        ("second", "sees-second"),
        ("sees-second", "second"),
        ("last", "first"),
    ]
    assert asked(repository) == ["first", "second", "last"] * 2 + ["first", "second"]


def test_a_check_that_has_not_refused_yet_is_asked_whatever_noticed_before_it(repository: Repository) -> None:
    repository.only(TWICE.format(what="first"))
    done = repository.run("mutate", "--json")
    assert done.returncode == 1, "nothing misses the second step"
    (proof,) = proofs(repository, "extra/twice")
    assert [(one.id, one.proven) for one in proof.blocks] == [
        ("first", True),
        ("sees-first", True),
        ("second", False),
        ("sees-second", True),
    ]
    assert asked(repository) == ["first", "second"] * 3
    assert proof.trials[0].refused == ("sees-first", "sees-second")


def test_a_step_that_nobody_misses_exits_1_and_a_written_reason_excuses_it(repository: Repository) -> None:
    repository.only(good() + IDLE)
    done = repository.run("mutate")
    line = repository.line(PAGE, "#idle")
    assert done.returncode == 1
    assert f"{PAGE}:{line}: step idle: left out, and nothing noticed" in done.stderr
    assert "2 of 3 proven" in done.stderr
    assert standing(repository) == {"extra/good": "unproven"}
    repository.only(good(card="unproven:\n  idle: nothing on staging looks at it") + IDLE)
    assert repository.run("mutate").returncode == 0
    assert standing(repository) == {"extra/good": "proven"}


def test_a_reason_may_be_written_after_the_run_and_one_for_what_is_proven_is_refused(repository: Repository) -> None:
    repository.only(good(card="severity: info") + IDLE)
    assert repository.run("mutate").returncode == 1
    repository.replace(PAGE, "severity: info", "severity: info\nunproven: {idle: for show}")
    assert standing(repository) == {"extra/good": "proven"}
    repository.replace(PAGE, "{idle: for show}", "{idle: for show, good-make: no idea}")
    assert standing(repository) == {"extra/good": "unproven"}
    done = repository.run("mutate")
    assert done.returncode == 1
    assert "`unproven: good-make` has a reason, and it is proven: remove that" in done.stderr


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (
            "{good-mak: x}",
            "`unproven: good-mak` is no step, check or rollback of this procedure; did you mean `good-make`",
        ),
        ("{good-check-1: x}", "is an id that counts blocks, and is another one's when one is put before it; give"),
        ('{good-make: ""}', "`unproven: good-make` has no reason; say why nothing can prove it"),
        ("{good-make: null}", "`unproven: good-make` has no reason"),
        ("{good-make: ~}", "`unproven: good-make` has no reason"),
        ("{good-make: true}", "`unproven: good-make` has no reason"),
        ("{good-make: 5}", "`unproven: good-make` has no reason"),
        ("{good-make: TODO}", "`unproven: good-make` has no reason"),
        ("[good-make]", "`unproven:` must be `key: value` lines"),
    ],
)
def test_an_exception_that_cannot_be_meant_is_a_source_error(repository: Repository, reasons: str, said: str) -> None:
    repository.only(good(card=f"unproven: {reasons}"))
    done = repository.run("mutate")
    assert done.returncode == 2
    assert f"{PAGE}:" in done.stderr
    assert said in done.stderr


def test_a_procedure_that_fails_as_it_is_exits_1_with_the_reason_and_nothing_is_kept(repository: Repository) -> None:
    repository.only(good() + "```bash {.check}\nfalse\n```\n", good("fine"))
    done = repository.run("mutate")
    assert done.returncode == 1
    assert "extra/good does not pass as it is: docs/runbooks/extra.md:" in done.stderr
    assert proofs(repository) == []
    assert len(proofs(repository, "extra/fine")) == 1
    assert repository.left() == ([], [])


def test_what_is_changed_while_it_is_tried_proves_nothing(repository: Repository) -> None:
    repository.write("scripts/used", "true\n")
    repository.only(good() + '```bash {.cleanup}\necho >>"$(pwd)/scripts/used"\n```\n')
    done = repository.run("mutate")
    assert done.returncode == 1
    assert "extra/good: changed while it ran: file scripts/used; nothing is proven, and nothing kept" in done.stderr
    assert proofs(repository) == []


def test_where_nothing_can_be_left_out_it_says_so(repository: Repository) -> None:
    repository.only(LOOK)
    done = repository.run("mutate")
    assert done.returncode == 0
    assert "nothing to leave out" in done.stderr
    assert standing(repository) == {"extra/look": "nothing to leave out"}


def test_what_removes_all_of_its_folder_never_does_so_in_the_repository(repository: Repository) -> None:
    card = good("there") + '```bash {.step}\ncd "$SITE"\n```\n```bash {.step}\nfind . -name "*.md" -delete\n```\n'
    clean = '```bash {.cleanup}\nfind . -name "*.md" -delete\n```\n'
    repository.only(card + '```bash {.check}\ntest "$(pwd)" = "$SITE"\n```\n' + clean)
    done = repository.run("mutate", "--json")
    assert (repository.root / PAGE).exists(), done.stderr
    (proof,) = document(done)["proofs"]
    assert [one["came"] for one in proof["trials"]] == ["caught", "caught", "unnoticed"]


def test_a_cleanup_block_never_gets_what_a_left_out_block_had_named(repository: Repository) -> None:
    name = "```bash {.step}\necho id 7\n```\n```text {.expect}\nid <id>\n```\n"
    ended = '```bash {.check}\ntest "$id" = 7\n```\n```bash {.cleanup}\necho "$id" >>cleaned.log\n```\n'
    repository.only("## Named { #named }\n" + name + ended)
    repository.run("mutate")
    (proof,) = proofs(repository, "extra/named")
    assert [one.left_out for one in proof.trials] == [("named-step-1",)]
    assert (repository.root / "cleaned.log").read_text() == "7\n", "the baseline's alone"


def test_an_unset_variable_proves_nothing_in_any_language(repository: Repository) -> None:
    """The words of bash are those of the user's language: `ist nicht gesetzt`."""
    made = '```bash {.step #maker}\nmade=$(date)\n```\n```bash {.check}\neval "test -n \\"\\$ma""de\\""\n```\n'
    repository.only(good(), "## Made { #made }\n" + made)
    done = repository.run("mutate", "made", "--json", LC_ALL="C.UTF-8", LANGUAGE="de")
    assert [one["proven"] for one in document(done)["proofs"][0]["blocks"]] == [False, False], done.stderr


def test_nor_does_one_that_only_a_sourced_file_sets(repository: Repository) -> None:
    repository.write("address", "export ADDRESS=$SITE_URL\n")
    asks = "```http {.check}\nGET $ADDRESS/\n```\n"
    repository.only("## Ask { #ask }\n```bash {.step #load}\n. ./address\n```\n" + asks)
    done = repository.run("mutate", "ask", "--json")
    assert [one["proven"] for one in document(done)["proofs"][0]["blocks"]] == [False, False], done.stderr


def test_where_keys_are_trusted_only_a_signed_proof_counts(repository: Repository) -> None:
    repository.only(good())
    assert repository.run("evidence", "keygen", "k").returncode == 0
    repository.replace("runbook-checks.yml", "verify_every: 7d", "verify_every: 7d\ntrusted_keys: [k.pub]")
    assert repository.run("mutate").returncode == 0
    assert standing(repository) == {"extra/good": None}, "nobody signed it"
    assert repository.run("mutate", "--stale", RUNBOOK_CHECKS_SIGNING_KEY="k").returncode == 0
    assert standing(repository) == {"extra/good": "proven"}
    path = ".runbook-checks/evidence/local/extra/good.need.jsonl"
    (repository.root / path).write_text((repository.root / path).read_text().replace("good-make", "good-fake"))
    assert standing(repository) == {"extra/good": None}, "it was changed after it was signed"
    repository.replace(path, '"proven":true', '"proven":false')
    assert standing(repository) == {"extra/good": "unproven"}, "bad news needs no signature"
    check = repository.run("evidence", "check")
    assert (check.returncode, "extra/good#need" in check.stdout) == (1, True)
    assert f"{repository.root / path}:2: the record was changed after it was signed" in check.stderr


def test_proofs_are_signed_and_checked_by_hand_as_records_are(repository: Repository) -> None:
    repository.only(good())
    assert repository.run("evidence", "keygen", "k").returncode == 0
    repository.replace("runbook-checks.yml", "verify_every: 7d", "verify_every: 7d\ntrusted_keys: [k.pub]")
    assert repository.run("mutate").returncode == 0
    assert repository.run("evidence", "check").returncode == 1, "nobody signed it"
    signed = repository.run("evidence", "sign", "--key", "k")
    assert (signed.returncode, signed.stdout.split()[0]) == (0, "1")
    assert standing(repository) == {"extra/good": "proven"}
    checked = document(repository.run("evidence", "check", "--json"))["records"]
    assert [(one["procedure"], one["worth"]) for one in checked] == [("extra/good#need", "signed")]
    assert repository.run("evidence", "sign", "--key", "k").stdout.split()[0] == "0"
