#!/usr/bin/env python3
"""A TCP line to a server that can be made silent, or made to talk nonsense. See `line.py --help`."""

from __future__ import annotations

import argparse
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

NONSENSE = b"\x00HTTP/1.1 418 I am no database\r\n\r\n" * 4
POLL_S = 0.05


def main() -> None:
    """Forward until told to end."""
    options = _parser().parse_args()
    host, _, port = options.target.rpartition(":")
    options.state.write_text("pass\n")
    listener = socket.create_server(("127.0.0.1", 0))
    part = options.port.with_suffix(".part")
    part.write_text(f"{listener.getsockname()[1]}\n")
    part.rename(options.port)
    while True:
        near, _ = listener.accept()
        threading.Thread(target=_serve, args=(near, (host, int(port)), options.state), daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deployment/staging/faults/line.py",
        description="Forward a free loopback port to TARGET until TERM. STATE is read at every piece of an answer: "
        "`pass` forwards it, `silent` keeps it back, `nonsense` sends something else in its place. For tests only.",
    )
    parser.add_argument("target", metavar="TARGET", help="host:port of the server")
    parser.add_argument("state", type=Path, metavar="STATE", help="the file to read; written with `pass` at the start")
    parser.add_argument("port", type=Path, metavar="PORT", help="the file that gets the port, once it is open")
    return parser


def _serve(near: socket.socket, target: tuple[str, int], state: Path) -> None:
    with near, suppress(OSError), socket.create_connection(target) as far:
        threading.Thread(target=_forward, args=(near, far, None), daemon=True).start()
        _forward(far, near, state)


def _forward(source: socket.socket, sink: socket.socket, state: Path | None) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            while state is not None and _is(state, "silent"):
                time.sleep(POLL_S)
            sink.sendall(NONSENSE if state is not None and _is(state, "nonsense") else data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


def _is(state: Path, word: str) -> bool:
    return state.read_text().strip() == word


if __name__ == "__main__":
    main()
