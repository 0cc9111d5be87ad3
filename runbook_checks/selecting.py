"""Which procedures' proofs of need are to be tried: those that lack one, or that a commit has differently."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.config import FILE_NAME, load_config
from runbook_checks.digest import digest_of, parts
from runbook_checks.durations import seconds
from runbook_checks.errors import RunbookError, UsageError
from runbook_checks.files import FileHashes
from runbook_checks.keys import trusted_keys
from runbook_checks.need import Standing, worth
from runbook_checks.proof import proves
from runbook_checks.report import load_catalog
from runbook_checks.store import Store
from runbook_checks.tags import marks_of, matcher
from runbook_checks.trust import believe_need

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment
    from runbook_checks.model import Procedure

_GIT_TIMEOUT_S = 60.0
_OF_THE_STACK = ("environment ", "stack ")  # how the names of parts begin that are the same for every procedure


def until(within: str | None) -> str:
    """Return the end of a duration that begins now, in seconds since the epoch, ``0`` for none; UsageError for none."""
    if within is None:
        return "0"
    try:
        return str(time.time() + seconds(within))
    except ValueError as error:
        raise UsageError(f"--within {within}: {error}") from error


def to_mutate(  # noqa: PLR0913 - what can be asked for
    config: Config,
    catalog: Catalog,
    environment: Environment,
    procedures: Sequence[Procedure],
    *,
    stale: bool,
    changed: str | None,
    mark: str = "",
) -> tuple[Procedure, ...]:
    """Return the procedures to try: with ``stale`` those without a believed, whole proof of what is written now.

    With ``changed``, a commit, only those that it does not have or has differently: blocks, card, what they name and
    need. A change of the stack alone changes no procedure here. ``mark`` is an expression of marks that they must have.
    Raises UsageError when there is nothing to choose from.
    """
    found = tuple(one for one in procedures if proves(one, environment.name))
    if not found:
        raise UsageError("there is no procedure to mutate")
    if changed is not None and not changed.strip():
        raise UsageError("--changed: name a commit; it is empty, perhaps a variable that is not set")
    if not (stale or changed):
        return found
    if mark:
        matches = matcher(mark)
        found = tuple(one for one in found if matches(marks_of(one, catalog.runbook_of(one))))
    hashes = FileHashes(config.root)
    now = {one.id: parts(config, environment, one, catalog, hashes) for one in found}
    if changed:
        then = own_at(config, environment.name, changed)
        found = tuple(one for one in found if then.get(one.id) != _own(now[one.id]))
    if stale:
        store, keys = Store(config.root / config.evidence), trusted_keys(config)
        moment = datetime.now(UTC)

        def lacks_one(one: Procedure) -> bool:
            proofs, _, _ = believe_need(store, environment.name, one.id, keys)
            need = worth(proofs, one, digest=digest_of(now[one.id]), now=moment, strict=False)
            return need.standing not in {Standing.PROVEN, Standing.NOTHING}

        found = tuple(filter(lacks_one, found))
    return found


def own_at(config: Config, environment: str, commit: str) -> Mapping[str, Mapping[str, str]]:
    """Return the own parts of all procedures of a commit, by public id; none where its pages could not be read.

    Raises UsageError for what git does not know as a commit.
    """
    with tempfile.TemporaryDirectory(prefix="runbook-checks-") as folder:
        _extract(config.root, commit, Path(folder))
        try:
            then = load_config(Path(folder) / FILE_NAME)
            catalog = load_catalog(then)
            there = then.environment(environment)
        except (RunbookError, OSError):
            return {}
        hashes = FileHashes(then.root)
        return {one.id: _own(parts(then, there, one, catalog, hashes)) for one in catalog.procedures}


def _own(covered: Mapping[str, str]) -> Mapping[str, str]:
    """Return the parts of a digest that are a procedure's own; blocks by their order, not by their ids."""
    found = {name: value for name, value in covered.items() if not name.startswith(_OF_THE_STACK)}
    blocks = [found.pop(name) for name in list(found) if name.startswith("block ")]
    return {**found, "blocks": " ".join(blocks)}


def _extract(root: Path, commit: str, folder: Path) -> None:
    """Write the files of a commit, those of the configuration's folder, into a folder."""
    hashed = _git(root, commit, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}").decode().strip()
    files = _git(root, commit, "archive", "--format=tar", f"{hashed}:./")
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(folder, filter=_inside)  # noqa: S202 - the filter is that of data, less what it refuses


def _inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return what is written of a file: nothing of a link that leads elsewhere, which a commit does not have."""
    try:
        return tarfile.data_filter(member, folder)
    except tarfile.FilterError:
        return None


def _git(root: Path, commit: str, *arguments: str) -> bytes:
    """Return what git prints about a commit; raises UsageError when it does not know it."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_TIMEOUT_S, check=False)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:  # ValueError: a NUL in the name
        raise UsageError(f"--changed {commit}: git cannot say what it has: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise UsageError(f"--changed {commit}: git cannot say what it has: {said}")
    return done.stdout
