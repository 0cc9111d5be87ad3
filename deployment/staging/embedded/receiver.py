"""The local alert receiver: appends each notification of Alertmanager to a file, one JSON document a line."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent; answers GET with what it has kept."""

    protocol_version = "HTTP/1.1"
    kept: Path

    def do_POST(self) -> None:
        """Append the body with the time of its arrival."""
        try:
            notification = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        except ValueError:
            self._answer(400, b'{"error": "not JSON"}\n')
            return
        received_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept = {"received_at": received_at, "path": self.path, "notification": notification}
        with self.kept.open("a") as file:
            file.write(json.dumps(kept) + "\n")
        self._answer(200, b"{}\n")

    def do_GET(self) -> None:
        """Return all that was kept, one JSON document a line."""
        self._answer(200, self.kept.read_bytes())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(port: int, kept: Path) -> None:
    """Serve on the loopback interface until killed."""
    kept.touch()
    Receiver.kept = kept
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
