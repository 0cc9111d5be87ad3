"""Which release this process runs from."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ia_service import __version__


@dataclass(frozen=True, slots=True)
class Release:
    """The versions that make up a running service."""

    release: str
    service_version: str
    ia_modules_version: str
    python: str


def read_release(prefix: Path | None = None) -> Release:
    """Return what ``release.json`` at the root of the release directory says, or derive it from what is installed."""
    library = version("ia-modules")
    name = f"{__version__}+ia{library}"
    file = (prefix or Path(sys.prefix)) / "release.json"
    if file.is_file():
        name = str(json.loads(file.read_text(encoding="utf-8"))["release"])
    return Release(name, __version__, library, platform.python_version())
