"""What the site makes of evidence that nobody signed, and of evidence that somebody forged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from mkdocs.__main__ import cli
from sample_site import build, record_of, write_sample
from signatures import keep, rewrite

from runbook_checks.config import load_config
from runbook_checks.keys import key_in_file, signer_of, write_keys
from runbook_checks.record import Outcome
from runbook_checks.report import HISTORY, Entry, load_report
from runbook_checks.signing import sign
from runbook_checks.store import Store

if TYPE_CHECKING:
    from pathlib import Path


def trusting(folder: Path) -> tuple[Path, Store, Entry]:
    """Write the sample without evidence, with a key that it trusts; return its folder, its store and one entry."""
    write_sample(folder, evidence=False)
    write_keys(folder / "key")
    config_file = folder / "runbook-checks.yml"
    config_file.write_text(f"trusted_keys: [key.pub]\n{config_file.read_text()}")
    config = load_config(config_file)
    entries = load_report(config, now=datetime.now(UTC)).entries
    (entry,) = (each for each in entries if each.procedure.anchor == "promote-replica")
    return folder, Store(folder / config.evidence), entry


@pytest.mark.parametrize("worth", ["signed", "unsigned", "forged"])
def test_forged_evidence_is_shown_as_not_counted_and_stops_a_strict_build_unsigned_evidence_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, worth: str
) -> None:
    folder, store, entry = trusting(tmp_path)
    now = datetime.now(UTC)
    keep(store, record_of(entry, now - timedelta(hours=1)), signer=None)
    if worth != "unsigned":
        (line,) = store.lines(entry.environment, entry.procedure.id)
        signer = signer_of(key_in_file(folder / "key"))
        store.append_signature(line.record, sign(line.record, line.raw, signer))
    path = store.path(entry.environment, entry.procedure.id)
    if worth == "forged":
        rewrite(path, '"attempts":1', '"attempts":2')
    html = (build(folder) / "operations/database/index.html").read_text()
    status = "verified" if worth == "signed" else "unverified"
    assert f'data-rb-procedure="database/promote-replica" data-rb-status="{status}"' in html
    assert ("its pass is not signed by a trusted key" in html) is (worth == "unsigned")
    assert ("the record was changed after it was signed" in html) is (worth == "forged")
    told = CliRunner().invoke(cli, ["build", "--strict", "-f", str(folder / "mkdocs.yml")])
    assert (f"{path}:1: the record was changed" in caplog.text) is (worth == "forged")
    assert bool(told.exit_code) is (worth == "forged"), told.output


def test_a_signed_pass_is_called_signed_however_many_runs_were_interrupted_since(tmp_path: Path) -> None:
    folder, store, entry = trusting(tmp_path)
    now = datetime.now(UTC)
    keep(store, record_of(entry, now - timedelta(hours=1)), signer=signer_of(key_in_file(folder / "key")))
    for minutes in range(HISTORY, 0, -1):
        store.append(record_of(entry, now - timedelta(minutes=minutes), Outcome.INTERRUPTED))
    site = build(folder)
    html = (site / "evidence/database/promote-replica/index.html").read_text()
    assert 'data-rb-status="verified"' in html
    assert "<dt>Signature</dt><dd>signed by key <code>" in html
    told = json.loads((site / "status.json").read_text())["procedures"]
    assert {one["id"]: one["signed"] for one in told}["database/promote-replica"] is True
