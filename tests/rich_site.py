"""The sample site with a page of every kind, built with its offline edition, for tests of what readers can reach."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from responder import RUNBOOK
from sample_site import build, record_of, write_sample
from signatures import rewrite
from test_site_home_browser import HOME, RULES

from runbook_checks.config import load_config
from runbook_checks.keys import key_in_file, signer_of, write_keys
from runbook_checks.model import acts, runs_in
from runbook_checks.need import Proof, Tried, signed_as, to_line
from runbook_checks.record import Outcome
from runbook_checks.report import Entry, load_report
from runbook_checks.signing import sign
from runbook_checks.site.offline import OFFERED
from runbook_checks.store import Store

STYLES = Path(__file__).parent.parent / "docs/assets/site.css"
LONG = (
    "".join(f"\x1b[{30 + line % 8}mline {line}\x1b[0m {'of a long output ' * 9}\n" for line in range(16)) + "\x07\x00"
)


@dataclass(frozen=True, slots=True)
class RichSite:
    """The built site, and its offline edition as it lies on a disk."""

    site: Path
    offline: Path


def build_rich_site(folder: Path) -> RichSite:
    """Build it with evidence of every status, of many runs with long outputs, and of one edited after it was signed."""
    write_sample(folder)
    (folder / "docs/index.md").write_text(HOME)
    (folder / "docs/operations/follow.md").write_text(RUNBOOK)
    (folder / "docs/assets").mkdir(exist_ok=True)
    (folder / "docs/assets/site.css").write_bytes(STYLES.read_bytes())
    (folder / "rules.yml").write_text(RULES)
    write_keys(folder / "key")
    with (folder / "runbook-checks.yml").open("a") as file:
        file.write("alerts: [rules.yml]\ntrusted_keys: [key.pub]\n")
    config = folder / "mkdocs.yml"
    config.write_text(config.read_text().replace("plugins:\n", "plugins:\n  - search\n"))
    with config.open("a") as file:
        file.write("extra_css: [assets/site.css]\n")
    _add_runs(folder)
    environment = {key: value for key, value in os.environ.items() if key not in {"CI", OFFERED}}
    done = subprocess.run(
        (sys.executable, "-m", "runbook_checks", "site", "build"),
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / "site/offline.zip") as packed:
        packed.extractall(folder / "unzipped")
    (offline,) = (folder / "unzipped").iterdir()
    store = Store(folder / load_config(folder / "runbook-checks.yml").evidence)
    rewrite(store.path("staging", "database/rotate-password"), '"attempts":1', '"attempts":2')
    return RichSite(build(folder), offline)


def proof_of(entry: Entry, ended_at: datetime) -> Proof:
    """Return a proof of need of an entry's procedure, of which its last block is not proven."""
    acting = [block for block in entry.procedure.blocks if acts(block) and runs_in(block, entry.environment)]
    last = acting[-1]
    run = record_of(entry, ended_at)
    return Proof(
        run=run.run,
        procedure=run.procedure,
        page=run.page,
        title=run.title,
        digest=entry.digest,
        environment=run.environment,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration_s=60.0,
        commit=run.commit,
        dirty=False,
        services=run.services,
        trials=(),
        blocks=tuple(
            Tried(block.id, block.role.value, block.span.first, proven=block is not last, by=last.id, reason="not seen")
            for block in acting
        ),
    )


def _add_runs(folder: Path) -> None:
    config = load_config(folder / "runbook-checks.yml")
    store = Store(folder / config.evidence)
    now = datetime.now(UTC)
    entries = {entry.procedure.id: entry for entry in load_report(config, now=now).entries}
    for minutes in range(150, 0, -5):
        outcome = Outcome.FAILED if minutes % 7 == 0 else Outcome.PASSED
        run = record_of(entries["database/restore-database"], now - timedelta(minutes=minutes), outcome)
        blocks = tuple(replace(block, stdout=LONG, stderr="a warning\n") for block in run.blocks)
        store.append(replace(run, duration_s=100.0 + minutes % 11, blocks=blocks))
    store.append(record_of(entries["database/rotate-password"], now - timedelta(minutes=1)))
    signer = signer_of(key_in_file(folder / "key"))
    need = proof_of(entries["database/restore-database"], now)
    store.append_need(need, sign(signed_as(need), to_line(need).encode().removesuffix(b"\n"), signer))
    for entry in entries.values():
        for line in store.lines(entry.environment, entry.procedure.id):
            store.append_signature(line.record, sign(line.record, line.raw, signer))
