"""Who works on an execution: a claim in ``service_jobs`` that its owner keeps fresh.

``taken_at`` is when the owner said last that it still works. A claim that was not refreshed for ``stuck_after_s``
belongs to nobody: an execution that is still running is stuck then, and may be resumed. PostgreSQL's clock decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from ia_service.database import PooledDatabase
from ia_service.errors import NotFoundError, NotResumableError
from ia_service.logs import request_id

INTERRUPTED_STEP = "interrupted: the replica that ran this step stopped working on it"

_LOOK = """
SELECT e.pipeline_id, e.status, e.completed_at, j.replica, j.taken_at,
       coalesce(j.taken_at, e.started_at) < LOCALTIMESTAMP - make_interval(secs => :after) AS stale
FROM pipeline_executions AS e LEFT JOIN service_jobs AS j USING (execution_id)
WHERE e.execution_id = :execution_id
"""
# The inner query instead of a join: one look at an index per running execution, however many have ended.
_STUCK = """
SELECT count(*) AS stuck FROM pipeline_executions AS e
WHERE e.status = 'running' AND NOT e.execution_id = ANY(:mine)
  AND coalesce((SELECT j.taken_at FROM service_jobs AS j WHERE j.execution_id = e.execution_id), e.started_at)
      < LOCALTIMESTAMP - make_interval(secs => :after)
"""
_TAKE = """
INSERT INTO service_jobs (execution_id, replica, release, request_id, taken_at)
VALUES (:execution_id, :replica, :release, :request_id, clock_timestamp())
"""
# One statement: whoever waited for the row sees that taken_at has changed and gets nothing.
_TAKE_OVER = """
WITH claim AS (
    INSERT INTO service_jobs AS j (execution_id, replica, release, request_id, taken_at)
    VALUES (:execution_id, :replica, :release, :request_id, clock_timestamp())
    ON CONFLICT (execution_id) DO UPDATE
    SET replica = excluded.replica, release = excluded.release, request_id = excluded.request_id,
        taken_at = excluded.taken_at
    WHERE j.taken_at = :seen
    RETURNING execution_id
), left_steps AS (
    UPDATE step_executions SET status = 'failed', completed_at = LOCALTIMESTAMP, error_message = :interrupted
    WHERE status = 'running' AND execution_id IN (SELECT execution_id FROM claim)
)
UPDATE pipeline_executions SET status = 'running', completed_at = NULL, error_message = NULL, execution_time_ms = NULL
WHERE execution_id IN (SELECT execution_id FROM claim)
RETURNING execution_id
"""
_REFRESH = """
UPDATE service_jobs SET taken_at = clock_timestamp()
WHERE execution_id = ANY(:ids) AND replica = :replica
RETURNING execution_id
"""


@dataclass(frozen=True, slots=True)
class Resumable:
    """An execution that nobody works on, as it was found."""

    id: str
    pipeline: str
    ended_at: datetime | None
    taken_at: datetime | None


class Claims:
    """The claims of one replica."""

    def __init__(self, replica: str, release: str, stuck_after_s: float) -> None:
        """Claim nothing yet."""
        self.stuck_after_s = stuck_after_s
        self.refresh_every_s = min(5.0, stuck_after_s / 5)
        self._owner = {"replica": replica, "release": release}

    def take(self, database: PooledDatabase, execution_id: str) -> None:
        """Claim a new execution."""
        database.execute(_TAKE, {**self._owner, "execution_id": execution_id, "request_id": request_id.get()})

    def refresh(self, database: PooledDatabase, ids: Iterable[str]) -> set[str]:
        """Say that this replica still works on these, and return those that are still its own."""
        rows = database.execute(_REFRESH, {"ids": list(ids), "replica": self._owner["replica"]})
        return {row["execution_id"] for row in rows}

    def count_stuck(self, database: PooledDatabase, mine: Iterable[str]) -> int:
        """Return how many executions are running without anybody working on them."""
        found = database.fetch_all(_STUCK, {"after": self.stuck_after_s, "mine": list(mine)})
        return int(found[0]["stuck"])

    def find_resumable(self, database: PooledDatabase, execution_id: str) -> Resumable:
        """Return an execution that may be resumed; raises NotFoundError or NotResumableError."""
        row = database.fetch_one(_LOOK, {"execution_id": execution_id, "after": self.stuck_after_s})
        if row is None:
            raise NotFoundError(f"there is no execution {execution_id!r}")
        if row["status"] == "running" and not row["stale"]:
            raise NotResumableError(
                f"{row['replica']} works on this execution, or did so within the last {self.stuck_after_s:g} s"
            )
        if row["status"] not in {"running", "failed", "cancelled"}:
            raise NotResumableError(f"this execution is {row['status']}")
        return Resumable(execution_id, row["pipeline_id"], row["completed_at"], row["taken_at"])

    def take_over(self, database: PooledDatabase, found: Resumable) -> None:
        """Claim an execution as it was found; raises NotResumableError when somebody else was quicker."""
        values = {"execution_id": found.id, "seen": found.taken_at, "interrupted": INTERRUPTED_STEP}
        if not database.execute(_TAKE_OVER, {**self._owner, **values, "request_id": request_id.get()}):
            raise NotResumableError("somebody else has just resumed this execution")
