"""The scripts of the runbooks, run by hand as it were: on a real stack, with only the variables that it prints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack

SCRIPTS = "deployment/scripts"


@pytest.fixture
def backup(stack: Stack) -> Iterator[str]:
    """A backup of a database with 50 odd rows more than the service's own; returns its id."""
    stack.query("""create table "Odd t" (a int primary key, b text);
        insert into "Odd t" select n, repeat('x''"%é', n % 4) from generate_series(1, 50) n""")
    done = stack.shell(f"{SCRIPTS}/backup.sh")
    assert done.returncode == 0, done.stderr
    yield done.stdout.split()[1]
    stack.query('drop table if exists "Odd t"')


def folder(stack: Stack, backup: str) -> Path:
    return Path(stack.env()["BACKUP_DIR"]) / backup


def test_a_manifest_says_what_was_backed_up(stack: Stack, backup: str) -> None:
    manifest = json.loads((folder(stack, backup) / "manifest.json").read_text())
    dump = folder(stack, backup) / "database.dump"
    assert manifest["id"] == backup
    assert manifest["size_bytes"] == dump.stat().st_size
    assert manifest["tables"]["public.Odd t"]["rows"] == 50
    assert manifest["rows"] == sum(table["rows"] for table in manifest["tables"].values())


def test_a_backup_restored_elsewhere_holds_the_same_data(stack: Stack, backup: str) -> None:
    done = stack.shell(f"{SCRIPTS}/restore.sh --latest --into proof")
    rows = json.loads((folder(stack, backup) / "manifest.json").read_text())["rows"]
    assert done.stdout == f"restored {rows} rows from backup {backup}\n", done.stderr
    here, there = (stack.shell(f"{SCRIPTS}/fingerprint.sh {name}").stdout for name in ("", "proof"))
    assert '"public.Odd t": {"rows": 50, ' in here
    assert here == there
    stack.query("drop database proof")


def test_a_lost_database_comes_back_and_the_service_with_it(stack: Stack, backup: str) -> None:
    before = stack.shell(f"{SCRIPTS}/fingerprint.sh").stdout
    assert "Odd t" in before
    assert stack.shell('dropdb --force --maintenance-db="${DATABASE_URL%/*}/postgres" ia_modules').returncode == 0
    done = stack.shell(f"{SCRIPTS}/restore.sh {backup}")
    assert done.returncode == 0, done.stderr
    assert stack.shell(f"{SCRIPTS}/fingerprint.sh").stdout == before
    assert stack.run("up").returncode == 0
    assert stack.run("health").returncode == 0


def test_a_database_that_holds_tables_is_replaced_only_when_told_to(stack: Stack, backup: str) -> None:
    stack.query('delete from "Odd t"')
    refused = stack.shell(f"{SCRIPTS}/restore.sh {backup}")
    assert refused.returncode == 1
    assert "say --replace" in refused.stderr
    assert stack.query('select count(*) from "Odd t"') == "0"
    assert stack.shell(f"{SCRIPTS}/restore.sh {backup} --replace").returncode == 0
    assert stack.query('select count(*) from "Odd t"') == "50"


def test_a_damaged_backup_is_refused_before_anything_is_touched(stack: Stack, backup: str) -> None:
    dump = folder(stack, backup) / "database.dump"
    dump.write_bytes(dump.read_bytes()[:-1] + b"!")
    done = stack.shell(f"{SCRIPTS}/restore.sh {backup} --replace")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert stack.query('select count(*) from "Odd t"') == "50"


def test_a_backup_whose_rows_are_not_those_of_its_manifest_is_not_put_in_place(stack: Stack, backup: str) -> None:
    manifest = folder(stack, backup) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"rows": 50', '"rows": 51'))
    done = stack.shell(f"{SCRIPTS}/restore.sh {backup} --replace")
    assert done.returncode == 1
    assert "differs from the manifest" in done.stderr
    assert stack.query("select count(*) from pg_database where datname like '%restoring%'") == "0"


def test_a_backup_that_fails_leaves_nothing_behind(stack: Stack) -> None:
    backups = Path(stack.env()["BACKUP_DIR"])
    before = set(backups.iterdir())
    done = stack.shell(f'DATABASE_URL="${{DATABASE_URL}}_gone" {SCRIPTS}/backup.sh')
    assert done.returncode != 0
    assert 'database "ia_modules_gone" does not exist' in done.stderr
    assert set(backups.iterdir()) == before


@pytest.mark.parametrize("script", ["backup", "restore", "fingerprint", "deploy", "rollback", "migrate"])
def test_each_script_explains_itself_and_says_what_it_lacks(stack: Stack, script: str) -> None:
    assert stack.shell(f"{SCRIPTS}/{script}.sh --help").stdout.startswith(f"Usage: {SCRIPTS}/{script}.sh")
    bare = stack.shell(
        f"env -i PATH=/usr/bin:/bin {SCRIPTS}/{script}.sh {'' if script in {'backup', 'rollback'} else 'x'}"
    )
    assert bare.returncode == 2
    assert "is not set; take it from" in bare.stderr


def test_a_release_that_does_not_start_stops_the_deploy_and_the_rollback_heals(stack: Stack) -> None:
    variables = stack.env()
    program = Path(variables["RELEASES_DIR"]) / "broken/bin/ia-service"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\n[ "$1" = migrate ] || { echo "no such library"; exit 1; }\n')
    program.chmod(0o755)
    before = (Path(variables["REPLICAS_DIR"]) / ".deployed").read_text()

    deploy = stack.shell(f"{SCRIPTS}/deploy.sh broken", HEALTHY_S="2")
    assert deploy.returncode == 1
    assert "service-a: not healthy on broken within 2 s; stopped here" in deploy.stderr
    assert "no such library" in deploy.stderr
    with urlopen(f"{variables['API_URL']}/health", timeout=5) as answer:
        assert json.load(answer)["replica"] == "service-b"

    rollback = stack.shell(f"{SCRIPTS}/rollback.sh")
    assert rollback.returncode == 0, rollback.stderr
    assert rollback.stdout.endswith(f"rolled back to {before.strip()} on 2 replicas\n")
    assert stack.run("health").returncode == 0
    again = stack.shell(f"{SCRIPTS}/rollback.sh")
    assert again.returncode == 1
    assert "no previous release is recorded" in again.stderr


def test_an_unknown_release_is_refused_with_the_command_that_builds_it(stack: Stack) -> None:
    done = stack.shell(f"{SCRIPTS}/deploy.sh 9.9.9")
    assert done.returncode == 2
    assert f"build it with: {SCRIPTS}/build.sh 9.9.9" in done.stderr
