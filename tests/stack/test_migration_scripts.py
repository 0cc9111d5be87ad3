"""What the migrations page proves its promises with: each of these must also be able to say no."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from stack.running_stack import Stack

SCRIPTS = "deployment/scripts"
BEFORE, AFTER = "t_before", "t_after"


def script(stack: Stack, command: str) -> CompletedProcess[str]:
    return stack.shell(f"{SCRIPTS}/{command}")


def on(stack: Stack, database: str, sql: str) -> None:
    done = stack.shell(f'psql -XqAt -v ON_ERROR_STOP=1 "${{DATABASE_URL%/*}}/{database}" -c "$SQL"', SQL=sql)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def one(stack: Stack) -> Iterator[Stack]:
    """A database of the time of V001, with rows."""
    made = stack.shell(f"deployment/staging/old-database.sh {BEFORE} V001")
    assert (made.returncode, made.stdout) == (0, f"{BEFORE} is at V001__complete_schema: 4120 rows\n"), made.stderr
    yield stack
    stack.query(f"DROP DATABASE {BEFORE} WITH (FORCE)")


@pytest.fixture
def two(one: Stack) -> Iterator[Stack]:
    """The same, and a copy to damage."""
    one.query(f"CREATE DATABASE {AFTER} TEMPLATE {BEFORE}")
    yield one
    one.query(f"DROP DATABASE {AFTER} WITH (FORCE)")


@pytest.mark.parametrize(
    "command",
    [f"{SCRIPTS}/data-kept.sh a b", f"{SCRIPTS}/same-schema.sh a b", f"{SCRIPTS}/try-release.sh x --database y"],
)
def test_each_explains_itself_and_says_what_it_lacks(stack: Stack, command: str) -> None:
    name = command.split(maxsplit=1)[0]
    assert stack.shell(f"{name} --help").stdout.startswith(f"Usage: {name}")
    for wrong in ("", "only-one", "--unknown", "a ''"):
        refused = stack.shell(f"{name} {wrong}")
        assert (refused.returncode, refused.stderr.startswith("Usage: ")) == (2, True), wrong
    bare = stack.shell(f"env -i PATH=$PATH {command}")
    assert bare.returncode == 2
    assert "is not set; take it from" in bare.stderr


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("DELETE FROM execution_logs WHERE id = (SELECT min(id) FROM execution_logs)", "public.execution_logs"),
        ("UPDATE pipelines SET name = 'other' WHERE id = 'p1'", "public.pipelines"),
        ("UPDATE pipelines SET description = '' WHERE id = 'p1'", "public.pipelines"),
        ("INSERT INTO pipelines (id, name) VALUES ('new', 'new')", "public.pipelines"),
        ("ALTER TABLE pipelines DROP COLUMN description", "lacks what t_before has"),
        ("DROP TABLE execution_logs", "lacks what t_before has"),
    ],
)
def test_data_that_is_not_kept_is_told(two: Stack, damage: str, told: str) -> None:
    on(two, AFTER, damage)
    done = script(two, f"data-kept.sh {BEFORE} {AFTER}")
    assert done.returncode == 1
    assert told in done.stdout + done.stderr
    assert "kept:" not in done.stdout


def test_what_a_migration_adds_does_not_count(two: Stack) -> None:
    on(two, AFTER, "ALTER TABLE pipelines ADD COLUMN owner text DEFAULT 'nobody'; CREATE TABLE more (a int)")
    on(two, AFTER, "INSERT INTO ia_migrations (version, filename, migration_type) VALUES ('V9', 'V9.sql', 'app')")
    done = script(two, f"data-kept.sh {BEFORE} {AFTER}")
    assert (done.returncode, done.stdout.endswith(" tables, 4120 rows\n")) == (0, True), done.stderr


def test_a_database_without_tables_or_none_at_all_is_never_kept(two: Stack) -> None:
    two.query("CREATE DATABASE t_empty")
    empty = script(two, f"data-kept.sh t_empty {AFTER}")
    two.query("DROP DATABASE t_empty")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "t_empty has no tables to compare" in empty.stderr
    for arguments in (f"t_nowhere {AFTER}", f"{BEFORE} t_nowhere"):
        gone = script(two, f"data-kept.sh {arguments}")
        assert (gone.returncode != 0, gone.stdout) == (True, "")
        assert 'database "t_nowhere" does not exist' in gone.stderr


def test_schemas_that_differ_are_told(two: Stack) -> None:
    assert script(two, f"same-schema.sh {BEFORE} {AFTER}").stdout.startswith("same schema: ")
    on(two, AFTER, "ALTER TABLE pipelines ALTER COLUMN description SET DEFAULT 'none'")
    done = script(two, f"same-schema.sh {BEFORE} {AFTER}")
    assert done.returncode == 1
    assert "DEFAULT 'none'" in done.stdout
    assert "same schema" not in done.stdout


def test_a_release_is_tried_on_a_database_that_has_its_schema_and_refused_on_one_that_has_not(two: Stack) -> None:
    release = two.shell('cat "$REPLICAS_DIR/.deployed"').stdout.strip()
    refused = two.shell(f"{SCRIPTS}/try-release.sh {release} --database {AFTER}")
    assert refused.returncode == 1
    assert f"{release} does not come up on {AFTER}" in refused.stderr
    assert "pending; run: ia-service migrate" in refused.stderr
    assert script(two, f"migrate.sh {release} --database {AFTER}").returncode == 0
    tried = script(two, f"try-release.sh {release} --database {AFTER}")
    assert tried.returncode == 0, tried.stderr
    assert tried.stdout.startswith(f"release {release} works on {AFTER}: 5 executions, ")
    assert two.query("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'trial%'") == "0"
    on(two, AFTER, "ALTER TABLE pipeline_checkpoints RENAME COLUMN state TO lost")
    broken = script(two, f"try-release.sh {release} --database {AFTER}")
    assert broken.returncode == 1
    assert "flow: " in broken.stderr
    assert "works on" not in broken.stdout


def test_a_database_of_another_name_is_migrated_and_the_services_own_is_left_alone(two: Stack) -> None:
    before = two.query("SELECT count(*) FROM ia_migrations")
    done = script(two, f"migrate.sh 0.1.3 --database {AFTER} --to V002")
    assert done.stdout.startswith("applied V002__hitl_schema\nschema is at V002__hitl_schema; pending: V003"), (
        done.stderr
    )
    assert two.query("SELECT count(*) FROM ia_migrations") == before
    for wrong in (
        "0.1.3 --database 'a/b'",
        "0.1.3 --database",
        "0.1.3 0.2.0",
        "0.1.3 --unknown",
        "0.1.3 --to V999",
        "--check",
    ):
        assert script(two, f"migrate.sh {wrong}").returncode == 2, wrong
