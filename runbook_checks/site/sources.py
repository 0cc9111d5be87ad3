"""The files that a built site depends on, apart from its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.digest import parts
from runbook_checks.files import FileHashes

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config


def sources(checks: Config, catalog: Catalog) -> frozenset[Path]:
    """Return the evidence's folder, alert rules, trusted keys, and what blocks, stacks and languages name."""
    hashes = FileHashes(checks.root)
    keys = {
        key
        for environment in checks.environments
        for procedure in catalog.procedures
        for key in parts(checks, environment, procedure, catalog, hashes)
    }
    named = (checks.root / key.partition(" ")[2] for key in keys if key.startswith(("file ", "stack ")))
    trusted = (checks.root / name for name in checks.trusted_keys)
    return frozenset({checks.root / checks.evidence, *checks.alert_paths(), *named, *trusted})
