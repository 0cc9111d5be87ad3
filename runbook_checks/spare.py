"""A shell that begins before it is asked for, while the runner still writes down what the procedure before it did."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from runbook_checks.shell import Session

if TYPE_CHECKING:
    from collections.abc import Mapping


class Spare:
    """At most one session, begun and unused; a context manager, with which it ends.

    It begins when the blocks before it have ended, and all that they left running but daemons, which live on anyway:
    so it is as fresh as one that begins later.
    """

    def __init__(self) -> None:
        """Begin without one."""
        self._begun: tuple[dict[str, Any], Session] | None = None

    def begin(self, environ: Mapping[str, str], **asked: Any) -> None:  # noqa: ANN401 - what a Session takes
        """Begin a session for the next one who asks for the same; where that cannot be, there is none."""
        self.end()
        asked["environ"] = dict(environ)
        with suppress(OSError):
            self._begun = asked, Session(**asked).__enter__()

    def take(self, **asked: Any) -> Session | None:  # noqa: ANN401 - what a Session takes
        """Return the session if it was begun for just this and nothing has happened to it since; else end it."""
        if self._begun is not None:
            begun_for, session = self._begun
            if begun_for == asked and session.is_fresh():
                self._begun = None
                return session
        self.end()
        return None

    def end(self) -> None:
        """End the session that nobody has asked for, if there is one."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun[1].close()

    def __enter__(self) -> Self:
        """Return the spare itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.end()
