"""The local mail server: appends each mail to a file, one JSON document a line."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session


# No slots: with them Python 3.11.2, that of Debian 12, adds a member that raises, and aiosmtpd looks at all of them.
@dataclass(frozen=True)
class Mailbox:
    """Keeps every mail that it is given."""

    kept: Path

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        """Append one mail with the time of its arrival."""
        mail = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        body = mail.get_body(("plain", "html"))
        line = {
            "received_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": str(mail["subject"]),
            "body": body.get_content() if body else "",
        }
        with self.kept.open("a") as file:
            file.write(json.dumps(line) + "\n")
        return "250 kept"


async def serve(port: int, kept: Path) -> None:
    """Serve on the loopback interface until killed."""
    mailbox = Mailbox(kept)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    file = Path(sys.argv[2])
    file.touch()
    asyncio.run(serve(int(sys.argv[1]), file))
