"""The keys that sign records and the keys that are trusted: Ed25519, in PEM files, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runbook_checks.errors import Problem, SourceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner, SSlibKey

    from runbook_checks.config import Config

VARIABLE = "RUNBOOK_CHECKS_SIGNING_KEY"  # a private key's text, or the path of its file
_BEGIN = "-----BEGIN "
_LARGEST_BYTES = 64 * 1024


def without_key(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for commands that are not ours: they never see the signing key."""
    return {name: value for name, value in environ.items() if name != VARIABLE}


def write_keys(path: Path) -> Path:
    """Write a new private key, for its owner alone, and its public key beside it; return the public key's path.

    Raises UsageError when a file of either name is there: a key is never overwritten.
    """
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - loading it costs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public_pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = path.with_name(f"{path.name}.pub")
    if public.exists() or public.is_symlink():
        raise UsageError(f"{public} is there already: a key is never overwritten")
    _write_new(path, pem, mode=0o600)
    _write_new(public, public_pem, mode=0o644)
    return public


def take_key(environ: MutableMapping[str, str]) -> str:
    """Take the signing key out of a process's own environment, and return its variable's value; ``""`` for none.

    The value is wiped where the system shows it, too (``/proc/<pid>/environ``): what this process starts cannot look
    it up here. Who started this process may still show it.
    """
    value = environ.get(VARIABLE, "")
    if value and environ is os.environ:
        import ctypes  # noqa: PLC0415 - few sign

        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        where = libc.getenv(VARIABLE.encode())
        if where:
            ctypes.memset(where, 0, len(os.fsencode(value)))
    environ.pop(VARIABLE, None)
    return value


def key_in_file(path: Path) -> str:
    """Return the text of a private key's file; raises UsageError when it cannot be read."""
    try:
        return _read(path)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def key_in_variable(value: str) -> str:
    """Return the text of the private key that the variable holds or names; raises UsageError, without the value."""
    if value.lstrip().startswith(_BEGIN):
        return value
    try:
        return _read(Path(value))
    except ValueError as error:
        raise UsageError(f"{VARIABLE} is neither a private key in PEM nor the path of one: {error}") from error


def secret_of(pem: str) -> str:
    """Return what must never be shown of a private key in PEM: all but its first and last line."""
    return "\n".join(line for line in pem.split("\n") if line.strip() and not line.startswith("-----"))


def signer_of(pem: str) -> CryptoSigner:
    """Return what signs with a private key in PEM; raises UsageError, which never holds any of the key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - loading it costs
    from securesystemslib.signer import CryptoSigner  # noqa: PLC0415

    key = _private_key(pem)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the signing key is no Ed25519 key; `runbook-checks evidence keygen` writes one")
    return CryptoSigner(key)


def trusted_keys(config: Config) -> tuple[SSlibKey, ...]:
    """Return the public keys that a configuration trusts; raises SourceError, naming the file, for what is none."""
    problems, keys = [], []
    for name in config.trusted_keys:
        try:
            keys.append(_trusted_key(config, name))
        except ValueError as error:
            problems.append(Problem(name, 1, str(error)))
    if problems:
        raise SourceError(tuple(problems))
    return tuple(keys)


def _trusted_key(config: Config, name: str) -> SSlibKey:
    path = config.root / name
    if path.resolve().is_relative_to((config.root / config.evidence).resolve()):
        raise ValueError("it lies in the folder of the evidence: who can write there could have their own key trusted")
    return _public_key(_read(path))


def _public_key(pem: str) -> SSlibKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - loading it costs
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415
    from securesystemslib.signer import SSlibKey  # noqa: PLC0415

    if "PRIVATE KEY" in pem:
        raise ValueError("this is a private key: who reads it can sign; take it away, make a new one, trust its `.pub`")
    if pem.count(_BEGIN) != 1:
        raise ValueError("not one public key in PEM; name each key's own file")
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("no Ed25519 key, and no other kind is accepted")  # noqa: TRY004 - what the file holds
    return SSlibKey.from_crypto(key)


def _private_key(pem: str) -> Ed25519PrivateKey | object:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - loading it costs
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        return load_pem_private_key(pem.encode(errors="replace"), password=None)
    except TypeError as error:  # cryptography's word for a key that is encrypted
        raise UsageError(
            "the signing key is encrypted, and nobody is asked for a passphrase here; keep an unencrypted one where"
            " secrets are kept (`openssl pkey -in FILE -out NEW`)"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            "the signing key is no private key in PEM (PKCS 8); `runbook-checks evidence keygen` writes one"
        ) from error


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST_BYTES:
        raise ValueError(f"no key: larger than {_LARGEST_BYTES // 1024} KiB")
    return data.decode(errors="replace")


def _write_new(path: Path, data: bytes, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already: a key is never overwritten") from error
    except OSError as error:
        raise UsageError(f"{path}: the key could not be written: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
