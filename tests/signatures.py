"""Keys, and stores of signed records, for tests of trust."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from runbook_checks.record import Record, to_line
from runbook_checks.signing import PAYLOAD_TYPE, sign

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.store import Store

CI = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"c" * 32))
OTHER = CryptoSigner(Ed25519PrivateKey.from_private_bytes(b"o" * 32))
KEYS = (CI.public_key,)


def raw(record: Record) -> bytes:
    return to_line(record).encode().removesuffix(b"\n")


def envelope(record: Record, signer: CryptoSigner = CI) -> bytes:
    return sign(record, raw(record), signer)


def keep(store: Store, *records: Record, signer: CryptoSigner | None = CI) -> None:
    """Append records, each with its signature when there is a signer."""
    for record in records:
        kept = store.append(record)
        if signer is not None:
            store.append_signature(kept, envelope(kept, signer))


def rewrite(path: Path, old: str, new: str) -> None:
    """Edit a file, which must hold the old text."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def opened(line: bytes) -> dict[str, Any]:
    """Return the statement in an envelope."""
    found = json.loads(base64.b64decode(json.loads(line)["payload"]))
    assert isinstance(found, dict)
    return found


def sealed(payload: bytes, *signers: CryptoSigner, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """Return an envelope of any payload, really signed."""
    one = Envelope(payload, payload_type, {})
    for signer in signers:
        one.sign(signer)
    return json.dumps(one.to_dict()).encode()
