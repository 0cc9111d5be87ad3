from __future__ import annotations

from pathlib import Path

from runbook_checks import markdown
from runbook_checks.model import Span

SAMPLES = Path(__file__).parent / "samples" / "markdown"


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
