"""The server process: on SIGTERM it drains first, so that a load balancer lets go before the socket closes."""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import socket
from types import FrameType

import uvicorn

from ia_service.api import create_app
from ia_service.replica import Replica


class DrainingServer(uvicorn.Server):
    """A uvicorn server whose first signal starts the drain and whose second ends it at once."""

    def __init__(self, config: uvicorn.Config, replica: Replica) -> None:
        """Serve ``config`` for ``replica``."""
        super().__init__(config)
        self._replica = replica
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to stop."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Start the drain; the exit status stays 0, for this is an orderly end."""
        if self._loop is None or self._replica.draining:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
            return
        # A handler runs between any two instructions: let the loop do the work, and wake it.
        self._loop.call_soon_threadsafe(self._drain, self._loop)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        self._replica.drain()
        loop.call_later(self._replica.settings.drain_s, self._stop)

    def _stop(self) -> None:
        self.should_exit = True
        self._replica.stop_soon()
        # Whatever hangs then: its stack is in the log, and the process ends before somebody has to kill it.
        faulthandler.dump_traceback_later(self._replica.end_within_s, exit=True)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # asyncio does so only for sockets that it makes itself. Without it each answer waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve(replica: Replica, listener: socket.socket) -> None:
    """Serve on ``listener`` until SIGTERM or SIGINT."""
    config = uvicorn.Config(
        create_app(replica),
        http="httptools",
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # guard.py says whom we believe about addresses
        timeout_keep_alive=75,
        timeout_graceful_shutdown=int(replica.settings.shutdown_s) + 1,
    )
    DrainingServer(config, replica).run(sockets=[listener])
