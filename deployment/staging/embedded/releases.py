"""The releases of the service that the stack starts from: built once into the cache, linked into each instance."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import DONE, locked
from embedded.errors import StagingError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOYMENT = Path(__file__).parent.parent.parent
BUILD = DEPLOYMENT / "scripts/build.sh"
# What an instance starts with; the deployment runbook builds and deploys the next one.
FIRST = "0.1.3"


@dataclass(frozen=True, slots=True)
class Release:
    """A built release directory; ``key`` changes with everything that it was built from."""

    name: str
    folder: Path
    key: str

    @property
    def program(self) -> Path:
        """The service's own command."""
        return self.folder / "bin/ia-service"

    def migrate(self, database_url: str) -> None:
        """Bring the schema of a database to what this release needs; raise StagingError with its output."""
        environ = os.environ | {"DATABASE_URL": database_url}
        done = subprocess.run([str(self.program), "migrate"], env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise StagingError(f"ia-service migrate of release {self.name} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def release(cache: Path, version: str) -> Release | None:
    """Return the release for the sources as they are, built or not; None while there is no service to build."""
    if not BUILD.exists():
        return None
    key = hashlib.sha256()
    for path in sorted(_sources()):
        key.update(f"{path.relative_to(DEPLOYMENT)}\0".encode() + path.read_bytes())
    name = f"{version}-{key.hexdigest()[:12]}"
    return Release(version, cache / "releases" / name / version, name)


def prepare_release(cache: Path, version: str) -> Release | None:
    """Build a release into the cache unless it is there; None while there is no service to build."""
    wanted = release(cache, version)
    if wanted is None or (wanted.folder.parent / DONE).exists():
        return wanted
    with locked(cache / "releases.lock", "waiting for another prepare to build the release"):
        into = wanted.folder.parent
        if (into / DONE).exists():
            return wanted
        print(f"building release {version} of the service", flush=True)
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        done = subprocess.run(
            [str(BUILD), version, "--into", str(into)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not wanted.program.exists():
            raise StagingError(f"{BUILD.name} {version} failed:\n{(done.stdout + done.stderr)[-3000:]}")
        (into / DONE).touch()
    return wanted


def _sources() -> Iterator[Path]:
    yield BUILD
    for path in (DEPLOYMENT / "service").rglob("*"):
        if path.is_file() and not {"__pycache__", "tests", ".venv", "build", "dist"} & set(path.parts):
            yield path
