"""The releases of the service that the stack starts from: built once into the cache, linked into each instance."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
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
UNUSED_S = 3600.0


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
            raise StagingError(
                f"ia-service migrate of release {self.name} failed:\n{(done.stdout + done.stderr)[-2000:]}"
            )


def prepare_release(cache: Path, version: str) -> Release | None:
    """Build a release into the cache unless it is there; None while there is no service to build."""
    if not BUILD.exists():
        return None
    into = cache / "releases" / f"{version}-{_digest(version)}"
    if not (into / DONE).exists():
        with locked(cache / "releases.lock", "waiting for another prepare to build the release"):
            if not (into / DONE).exists():
                _build(version, into)
    found = [program.parent.parent for program in into.glob("*/bin/ia-service")]
    if len(found) != 1:
        raise StagingError(f"{into} should hold one release; remove it and try again")
    return Release(found[0].name, found[0], into.name)


def _build(version: str, into: Path) -> None:
    print(f"building the release on ia-modules {version}", flush=True)
    _remove_unused(into.parent)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    command = [str(BUILD), version, "--into", str(into)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StagingError(f"{BUILD.name} {version} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    (into / DONE).touch()


def _remove_unused(releases: Path) -> None:
    """Remove releases of sources that have changed since, unless an instance has them or might be about to."""
    claims = (releases.parent / "ports").glob("*")
    links = [link for claim in claims for link in Path(claim.read_text()).glob("releases/*")]
    used = {link.resolve().parent for link in links}
    for old in releases.glob("*/"):
        if old not in used and time.time() - old.stat().st_mtime > UNUSED_S:
            shutil.rmtree(old)


def _digest(version: str) -> str:
    """Return a digest of everything that a release is built from."""
    digest = hashlib.sha256()
    for path in sorted(_sources(version)):
        digest.update(f"{path.relative_to(DEPLOYMENT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _sources(version: str) -> Iterator[Path]:
    yield BUILD
    yield DEPLOYMENT / f"releases/ia-modules-{version}.txt"
    yield DEPLOYMENT / "service/pyproject.toml"
    for path in (DEPLOYMENT / "service/ia_service").rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield path
