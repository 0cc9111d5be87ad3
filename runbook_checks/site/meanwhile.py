"""Publishes what lies beside the pages in a process of its own, while MkDocs renders the pages."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_checks.errors import RunbookError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from runbook_checks.site.publication import Publication

    Publisher = Callable[[Publication], None]


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """Publishers at work, or still to be called where they cannot work beside the build."""

    _publishers: Sequence[Publisher]
    _site: Publication
    _process: ForkProcess | None = None
    _answer: Connection | None = None

    def finish(self) -> None:
        """Wait until all is published; raises RunbookError with what a publisher refused."""
        if self._process is None or self._answer is None:
            for publish in self._publishers:
                publish(self._site)
            return
        try:
            reason = self._answer.recv()
        except EOFError:
            reason = "the process that writes evidence pages and badges ended before it was done"
        self._answer.close()
        self._process.join()
        if reason:
            raise UsageError(reason)


def start(publishers: Sequence[Publisher], site: Publication) -> Meanwhile:
    """Start publishers that need no rendered page; where a second process would gain nothing, finish() calls them."""
    if not can_fork():
        return Meanwhile(publishers, site)
    context = multiprocessing.get_context("fork")  # it has the whole report without a copy
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_publish, args=(sender, publishers, site), daemon=True)
    process.start()
    sender.close()
    return Meanwhile(publishers, site, process, receiver)


def can_fork() -> bool:
    """Tell whether a fork is safe, which it is not beside other threads or on macOS, and has a processor to run on."""
    return (
        sys.platform == "linux"
        and threading.active_count() == 1
        and len(os.sched_getaffinity(0)) > 1
        and not multiprocessing.current_process().daemon
    )


def _publish(sender: Connection, publishers: Sequence[Publisher], site: Publication) -> None:
    reason = ""
    try:
        for publish in publishers:
            publish(site)
    except (RunbookError, OSError) as error:  # the disk may be full
        reason = str(error)
    sender.send(reason)
