"""The sample site of ``tests/samples/site`` with evidence for every status, relative to now."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mkdocs.commands.build
import mkdocs.config

from runbook_checks.config import load_config
from runbook_checks.record import BlockRecord, Figure, Outcome, Record, Service
from runbook_checks.report import Entry, load_report
from runbook_checks.store import Store

SAMPLE = Path(__file__).parent / "samples" / "site"
EDITED_SINCE = (
    "```yaml {.procedure}\nseverity: critical\nreversible: true\n```\n\n"
    "```bash {.check #promoted}\npsql -c 'select <b>pg_is_in_recovery()</b>'\n```\n"
)
_PASSED, _FAILED = Outcome.PASSED, Outcome.FAILED
_NOW = datetime.now(UTC)
VERIFIED_AT = _NOW - timedelta(hours=3)  # `restore-database`; a day may end between a build and the look at it


def write_sample(folder: Path, *, evidence: bool = True, dirty: bool = False) -> Path:
    """Copy the sample site into a folder and write evidence for every status; return the folder."""
    shutil.copytree(SAMPLE, folder, dirs_exist_ok=True)
    if evidence:
        config = load_config(folder / "runbook-checks.yml")
        now = _NOW
        entries = {entry.procedure.anchor: entry for entry in load_report(config, now=now).entries}
        store = Store(folder / config.evidence)
        hours = timedelta(hours=1)
        for record in (
            record_of(entries["restore-database"], VERIFIED_AT, dirty=dirty),
            record_of(entries["back-up-database"], now - 200 * hours),
            record_of(
                entries["grow-disk"], now - 2 * hours, _FAILED, reason="check `disk-grown`: exit status 0, not 1"
            ),
            replace(
                record_of(entries["promote-replica"], now - 5 * hours, digest="sha256:edited-since"),
                source=EDITED_SINCE,
                parts=(("card", "0"), ("block promoted", "0"), ("file deployment/scripts/promote.sh", "0")),
            ),
            record_of(
                entries["replay-log"], now - hours, Outcome.BLOCKED, reason="needs database/grow-disk, which failed"
            ),
        ):
            store.append(record)
    return folder


def record_of(
    entry: Entry,
    ended_at: datetime,
    outcome: Outcome = _PASSED,
    *,
    digest: str = "",
    reason: str = "",
    dirty: bool = False,
) -> Record:
    """Return the evidence of a run of an entry's procedure."""
    figures = tuple(
        Figure(bound.name, 42.0, bound.unit, bound.minimum, bound.maximum) for bound in entry.procedure.card.figures
    )
    return Record(
        run="run-1",
        procedure=entry.procedure.id,
        page=entry.procedure.page,
        title=entry.procedure.title,
        outcome=outcome,
        reason=reason,
        digest=digest or entry.digest,
        environment=entry.environment,
        started_at=(ended_at - timedelta(seconds=14)).isoformat(),
        ended_at=ended_at.isoformat(),
        duration_s=14.0,
        commit="0123456789abcdef0123456789abcdef01234567",
        dirty=dirty,
        services=(Service("pipelines", "0.2.0"), Service("postgresql", "18.1")),
        blocks=tuple(
            BlockRecord(
                id=block.id,
                role=block.role.value,
                language=block.language,
                line=block.span.first,
                command=block.text,
                outcome=outcome if outcome is not Outcome.BLOCKED else Outcome.SKIPPED,
                exit_status=0,
                duration_s=1.5,
                attempts=1,
                message=f"{entry.procedure.page}:{block.span.first}: exit status 0, not 1"
                if outcome is _FAILED
                else "",
            )
            for block in entry.procedure.blocks
        ),
        figures=figures,
    )


def build(folder: Path) -> Path:
    """Build the site in a folder; return the built site. Raises click's Abort, or SystemExit from mkdocs-macros."""
    config = mkdocs.config.load_config(str(folder / "mkdocs.yml"), site_dir=str(folder / "built"))
    mkdocs.commands.build.build(config)
    return folder / "built"
