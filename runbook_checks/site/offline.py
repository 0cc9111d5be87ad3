"""Builds the offline edition, in a process of its own, while the site itself is built."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.errors import UsageError
from runbook_checks.site.edition import NAME, Edition, pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from mkdocs.config.defaults import MkDocsConfig

OFFERED = "RUNBOOK_CHECKS_OFFLINE"  # set while a site is built that will have an offline edition: its pages link to it
_WORKER = "assets/javascripts/iframe-worker.js"  # Material's plugin knows it by its name, and adds no other
_SPAWN = multiprocessing.get_context("spawn")
_STOP_WITHIN_S = 5.0


class OfflineError(UsageError):
    """The offline edition could not be built."""


@dataclass(frozen=True, slots=True)
class _Built:
    """Where an edition waits, and the site that it belongs to."""

    edition: Path
    site: Path


@dataclass(frozen=True, slots=True)
class _Failed:
    reason: str


@dataclass(frozen=True, slots=True)
class Building:
    """An edition that is being built."""

    _answer: Connection

    def place(self) -> Path:
        """Wait for the edition and put it into the site, whole or not at all; raises OfflineError when it failed."""
        try:
            answer = self._answer.recv()
        except EOFError:
            answer = _Failed("its process ended before it was done")
        if not isinstance(answer, _Built):
            raise OfflineError(f"the offline edition could not be built, `--no-offline` leaves it out: {answer.reason}")
        target = answer.site / NAME
        waiting = answer.site / f".{NAME}.{os.getpid()}"
        try:
            shutil.copyfile(answer.edition, waiting)
            waiting.replace(target)
        finally:
            waiting.unlink(missing_ok=True)
        return target


@contextmanager
def building(config_file: Path) -> Iterator[Building]:
    """Build the edition of a MkDocs configuration meanwhile; on leaving nothing goes on, and nothing is left over."""
    with tempfile.TemporaryDirectory(prefix="runbook-checks-offline-") as folder:
        receiver, sender = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_answer, args=(sender, str(config_file), folder), daemon=True)
        offered = os.environ.get(OFFERED)
        process.start()
        sender.close()
        os.environ[OFFERED] = NAME
        try:
            yield Building(receiver)
        finally:
            del os.environ[OFFERED]
            if offered is not None:
                os.environ[OFFERED] = offered
            receiver.close()
            process.terminate()
            process.join(_STOP_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()


def build(config_file: Path, folder: Path, built_at: datetime) -> _Built:
    """Build the edition below a folder; raises what MkDocs raises."""
    import mkdocs.commands.build  # noqa: PLC0415 - only what this process needs
    import mkdocs.config  # noqa: PLC0415

    config = mkdocs.config.load_config(str(config_file), strict=True, use_directory_urls=False)
    site, config.site_dir = Path(config.site_dir), str(folder / "site")
    keep_to_itself(config)
    config.plugins.on_startup(command="build", dirty=False)
    try:
        mkdocs.commands.build.build(config)
    finally:
        config.plugins.on_shutdown()
    index = folder / "site" / "search" / "search_index.json"
    if index.is_file():  # Material's plugin has copied it before ours has put the alerts in
        index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")
    worker = folder / "site" / _WORKER
    worker.parent.mkdir(parents=True, exist_ok=True)
    worker.write_bytes(files("runbook_checks.site").joinpath("vendor", "iframe-worker.js").read_bytes())
    pack(folder / "site", Edition(config.site_name, built_at, config.site_url or ""), folder / NAME)
    return _Built(folder / NAME, site)


def keep_to_itself(config: MkDocsConfig) -> None:
    """Leave out of a configuration what needs a server or another host, and let search work without them."""
    config.extra_css = [uri for uri in config.extra_css if "//" not in uri]
    config.extra_javascript = [script for script in config.extra_javascript if "//" not in str(script)]
    for name in ("analytics", "consent", "version"):
        config.extra.pop(name, None)
    config.repo_url = config.edit_uri = config.edit_uri_template = None  # Material asks the host for stars and forks
    config.extra["polyfills"] = [_WORKER]
    if config.theme.name == "material":
        from mkdocs.plugins import get_plugins  # noqa: PLC0415 - only what this process needs

        config.theme["font"] = False
        config.theme["features"] = [
            name for name in config.theme.get("features") or () if not name.startswith("navigation.instant")
        ]
        if not {"offline", "material/offline"}.intersection(config.plugins):
            plugin = get_plugins()["material/offline"].load()()
            plugin.load_config({})
            config.plugins["material/offline"] = plugin


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def _answer(sender: Connection, config_file: str, folder: str) -> None:
    """Build and send the answer: the work of the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # the main build has said it
    os.environ.pop(OFFERED, None)
    kept = _Kept()
    logging.getLogger().addHandler(kept)
    try:
        answer: _Built | _Failed = build(Path(config_file), Path(folder), datetime.now(UTC))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it was, the command says so and fails
        answer = _Failed("\n".join((*kept.messages, str(error))))
    sender.send(answer)
