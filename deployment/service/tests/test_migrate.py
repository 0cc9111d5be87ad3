from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
from conftest import query, run_service

from ia_service.migrate import LOCK_KEY, migration_files

OF_0_1_3 = "dd92d4f41f060672c7f70532ad4cb3ebbfcde37c898424328ca8cd6c35539fb2"  # V002 as ia-modules 0.1.3 carries it
NEWEST = migration_files()[-1].stem


@contextmanager
def session(url: str, *statements: str) -> Iterator[int]:
    """Somebody else's open transaction; its process id."""
    connection: Any = psycopg2.connect(url, application_name="somebody else")
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        yield connection.get_backend_pid()
    finally:
        connection.close()


def tables(url: str) -> list[tuple[object, ...]]:
    return query(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")


def test_check_tells_what_is_pending_and_changes_nothing(empty_database: str) -> None:
    checked = run_service("migrate", "--check", DATABASE_URL=empty_database)
    assert checked.returncode == 1
    assert checked.stdout.startswith("current: none\npending: V001__complete_schema, V002__hitl_schema, V003")
    assert query(empty_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_migrating_records_every_migration_with_its_checksum_and_a_second_run_does_nothing(empty_database: str) -> None:
    first = run_service("migrate", DATABASE_URL=empty_database)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.count("applied V") == len(migration_files())
    recorded = query(empty_database, "SELECT version FROM ia_migrations WHERE length(checksum) = 64 ORDER BY version")
    assert recorded == sorted((file.stem,) for file in migration_files())
    second = run_service("migrate", DATABASE_URL=empty_database)
    assert (second.returncode, second.stdout.splitlines()[-1].endswith("nothing to do")) == (0, True)
    assert run_service("migrate", "--check", DATABASE_URL=empty_database).returncode == 0


def test_two_migrators_at_once_take_turns(empty_database: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: run_service("migrate", DATABASE_URL=empty_database), range(2)))
    assert [run.returncode for run in both] == [0, 0], both
    assert sum(run.stdout.count("applied V") for run in both) == len(migration_files())


def test_a_migration_that_fails_leaves_the_old_schema(empty_database: str) -> None:
    # No table can refer to a pipeline_executions that lacks its key.
    query(empty_database, "CREATE TABLE pipeline_executions (execution_id TEXT, pipeline_id TEXT, status TEXT)")
    failed = run_service("migrate", DATABASE_URL=empty_database)
    assert failed.returncode == 1
    assert failed.stderr.startswith("ia-service: V001__complete_schema failed: the database says: there is no unique ")
    assert failed.stderr.endswith("; nothing was changed\n")
    assert failed.stderr.count("\n") == 1
    assert tables(empty_database) == [("pipeline_executions",)]


def test_to_stops_at_a_migration_and_a_later_run_goes_on_from_there(empty_database: str) -> None:
    first = run_service("migrate", "--to", "V002", DATABASE_URL=empty_database)
    assert first.stdout.splitlines()[:2] == ["applied V001__complete_schema", "applied V002__hitl_schema"]
    assert first.stdout.splitlines()[2].startswith("schema is at V002__hitl_schema; pending: V003__service_jobs")
    assert query(empty_database, "SELECT count(*) FROM ia_migrations") == [(2,)]
    again = run_service("migrate", "--to", "V002__hitl_schema", DATABASE_URL=empty_database)
    assert (again.returncode, again.stdout.count("applied")) == (0, 0)
    rest = run_service("migrate", DATABASE_URL=empty_database)
    assert rest.stdout.splitlines()[-1] == f"schema is current at {NEWEST}"


def test_a_migration_that_this_release_has_not_is_refused_before_anything_is_touched(empty_database: str) -> None:
    for option in ("--to", "--accept"):
        for name in ("V999", "V00"):
            refused = run_service("migrate", option, name, DATABASE_URL=empty_database)
            assert refused.returncode == 2
            assert (
                f"'{name}' is not one migration of this release; there are: V001__complete_schema, " in refused.stderr
            )
    assert tables(empty_database) == []


def test_a_failure_takes_back_the_migrations_before_it_too(empty_database: str) -> None:
    assert run_service("migrate", "--to", "V001", DATABASE_URL=empty_database).returncode == 0
    query(empty_database, "CREATE TABLE service_jobs (by_hand int)")
    before = tables(empty_database)
    failed = run_service("migrate", DATABASE_URL=empty_database)
    assert "V003__service_jobs failed: the database says: column" in failed.stderr
    assert tables(empty_database) == before
    assert query(empty_database, "SELECT version FROM ia_migrations") == [("V001__complete_schema",)]


def test_another_migrator_is_waited_for_in_bounded_time_and_named(empty_database: str) -> None:
    with session(empty_database, f"SELECT pg_advisory_xact_lock({LOCK_KEY})") as pid:
        begun = time.monotonic()
        refused = run_service("migrate", "--wait", "0.5", DATABASE_URL=empty_database)
        assert time.monotonic() - begun < 20
        assert refused.returncode == 1
        assert f"another migrator is at work: session {pid} (somebody else), for " in refused.stderr
        assert refused.stderr.endswith("waited 0.5 s; nothing was changed\n")
    assert tables(empty_database) == []


def test_a_migrator_at_work_on_another_database_is_not_in_the_way(empty_database: str, database: str) -> None:
    with session(database, f"SELECT pg_advisory_xact_lock({LOCK_KEY})"):
        assert run_service("migrate", "--wait", "0.5", DATABASE_URL=empty_database).returncode == 0


def test_a_table_in_use_is_waited_for_in_bounded_time_and_its_user_is_named(empty_database: str) -> None:
    assert run_service("migrate", "--to", "V002", DATABASE_URL=empty_database).returncode == 0
    before = tables(empty_database)
    with session(empty_database, "UPDATE pipeline_executions SET status = status") as pid:
        failed = run_service("migrate", "--table-wait", "0.5", DATABASE_URL=empty_database)
        assert failed.returncode == 1
        assert (
            "V003__service_jobs failed: somebody else uses a table that it changes, for more than 0.5 s"
            in failed.stderr
        )
        assert f"session {pid} (somebody else), for " in failed.stderr
        assert failed.stderr.endswith("nothing was changed\n")
    assert tables(empty_database) == before
    assert run_service("migrate", DATABASE_URL=empty_database).returncode == 0


def test_a_text_that_differs_is_refused_until_somebody_accepts_it(empty_database: str) -> None:
    assert run_service("migrate", "--to", "V003", DATABASE_URL=empty_database).returncode == 0
    query(empty_database, "UPDATE ia_migrations SET checksum = repeat('0', 64) WHERE version LIKE 'V003%'")
    before = tables(empty_database)
    checked = run_service("migrate", "--check", DATABASE_URL=empty_database)
    assert (checked.returncode, "differing: V003__service_jobs\n" in checked.stdout) == (1, True)
    refused = run_service("migrate", DATABASE_URL=empty_database)
    assert refused.returncode == 1
    assert "V003__service_jobs was applied with another text than this release carries" in refused.stderr
    assert tables(empty_database) == before
    other = run_service("migrate", "--accept", "V001", DATABASE_URL=empty_database)
    assert (other.returncode, tables(empty_database)) == (1, before)
    assert run_service("migrate", "--accept", "V003", DATABASE_URL=empty_database).returncode == 0
    assert run_service("migrate", "--check", DATABASE_URL=empty_database).returncode == 0


def test_a_database_of_a_newer_release_is_good_and_said_to_be_ahead(database: str) -> None:
    query(
        database,
        "INSERT INTO ia_migrations (version, filename, migration_type) VALUES ('V900__x', 'V900__x.sql', 'app')",
    )
    checked = run_service("migrate", "--check", DATABASE_URL=database)
    assert checked.returncode == 0
    assert checked.stdout == "current: V900__x\npending: none\nnote: V900__x was applied by a newer release\n"


def test_a_state_that_cannot_be_read_is_an_error_and_not_an_empty_database(database: str) -> None:
    query(database, "ALTER TABLE ia_migrations RENAME checksum TO lost")
    for arguments in (("migrate", "--check"), ("migrate",)):
        run = run_service(*arguments, DATABASE_URL=database)
        assert (run.returncode, run.stdout) == (1, "")
        assert 'the database says: column "checksum" does not exist' in run.stderr


def test_a_migrator_that_loses_its_server_at_the_commit_says_that_nobody_knows(empty_database: str) -> None:
    # A deferred trigger runs at the commit, and ends the session there.
    query(
        empty_database,
        """CREATE TABLE ia_migrations (
            id SERIAL PRIMARY KEY, version VARCHAR(255), filename VARCHAR(500), migration_type VARCHAR(50),
            description TEXT, applied_at TIMESTAMP DEFAULT NOW(), checksum VARCHAR(64));
        CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER hang_up AFTER INSERT ON ia_migrations DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION hang_up()""",
    )
    run = run_service("migrate", DATABASE_URL=empty_database)
    assert run.returncode == 1
    assert "the connection was lost at the very end" in run.stderr
    assert run.stderr.endswith("see with --check\n")
    assert "nothing was changed" not in run.stderr


def test_a_reference_that_the_older_v002_left_out_is_reconciled(database: str) -> None:
    query(database, "ALTER TABLE hitl_interactions DROP CONSTRAINT hitl_interactions_execution_id_fkey")
    query(database, "DELETE FROM ia_migrations WHERE version LIKE 'V004%'")
    query(database, f"UPDATE ia_migrations SET checksum = '{OF_0_1_3}' WHERE version LIKE 'V002%'")
    checked = run_service("migrate", "--check", DATABASE_URL=database)
    assert "V002__hitl_schema was applied by a release that carries another text" in checked.stdout
    assert run_service("migrate", DATABASE_URL=database).returncode == 0
    sql = "SELECT count(*) FROM pg_constraint WHERE conname = 'hitl_interactions_execution_id_fkey'"
    assert query(database, sql) == [(1,)]


def test_a_database_that_does_not_answer_is_one_clear_line() -> None:
    run = run_service("migrate", DATABASE_URL="postgresql://ia:secret@127.0.0.1:1/none")
    assert run.returncode == 1
    assert run.stderr.startswith("ia-service: the database does not answer: ")
    assert run.stderr.endswith("Connection refused\n")
    assert run.stderr.count("\n") == 1
    assert "secret" not in run.stderr
    assert "Traceback" not in run.stderr
