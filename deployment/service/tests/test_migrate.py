from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from conftest import query, run_service

from ia_service.migrate import migration_files


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
    # V003 cannot refer to a pipeline_executions that lacks its key.
    query(empty_database, "CREATE TABLE pipeline_executions (execution_id TEXT, pipeline_id TEXT, status TEXT)")
    failed = run_service("migrate", DATABASE_URL=empty_database)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith("failed; nothing was changed")
    assert query(empty_database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == [
        ("pipeline_executions",)
    ]


def test_a_reference_that_the_older_v002_left_out_is_reconciled(database: str) -> None:
    query(database, "ALTER TABLE hitl_interactions DROP CONSTRAINT hitl_interactions_execution_id_fkey")
    query(database, "DELETE FROM ia_migrations WHERE version LIKE 'V004%'")
    query(database, "UPDATE ia_migrations SET checksum = repeat('0', 64) WHERE version LIKE 'V002%'")
    checked = run_service("migrate", "--check", DATABASE_URL=database)
    assert "V002__hitl_schema was applied by a release that carries another text" in checked.stdout
    assert run_service("migrate", DATABASE_URL=database).returncode == 0
    sql = "SELECT count(*) FROM pg_constraint WHERE conname = 'hitl_interactions_execution_id_fkey'"
    assert query(database, sql) == [(1,)]


def test_a_database_that_does_not_answer_is_one_clear_line() -> None:
    run = run_service("migrate", DATABASE_URL="postgresql://ia:secret@127.0.0.1:1/none")
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1] == "ia-service: the database does not answer"
    assert "secret" not in run.stderr
    assert "Traceback" not in run.stderr
