"""The sample site for real builds, and what a build that fails has said."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest
from click import ClickException
from sample_site import build, write_sample

if TYPE_CHECKING:
    from pathlib import Path

MACROS = """  - macros:
      modules: [runbook_checks.site.macros]
      on_error_fail: true
      on_undefined: strict
"""


OURS = "  - runbook-checks\n"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def plain(folder: Path) -> Path:
    """Write the sample without evidence and with MkDocs's own theme, which builds faster."""
    write_sample(folder, evidence=False)
    config = folder / "mkdocs.yml"
    config.write_text(re.sub(r"theme:\n(?:  .*\n)+", "theme: mkdocs\n", config.read_text()))
    return folder


def refused(folder: Path, caplog: pytest.LogCaptureFixture) -> str:
    with caplog.at_level(logging.ERROR), pytest.raises((ClickException, SystemExit)) as failure:
        build(folder)
    assert not isinstance(failure.value, SystemExit) or failure.value.code
    return "\n".join(record.getMessage() for record in caplog.records)
