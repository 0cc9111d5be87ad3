"""Keys are written once, for their owner alone; only Ed25519 keys in PEM are taken, and no message holds a secret."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from runbook_checks.config import Config
from runbook_checks.errors import SourceError, UsageError
from runbook_checks.keys import (
    VARIABLE,
    key_in_file,
    key_in_variable,
    secret_of,
    signer_of,
    take_key,
    trusted_keys,
    without_key,
    write_keys,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes


def pem_of(key: PrivateKeyTypes, passphrase: bytes = b"") -> str:
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def public_pem_of(key: PrivateKeyTypes) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def trusting(root: Path, *names: str) -> Config:
    return Config(root, trusted_keys=names)


def test_a_pair_is_written_for_its_owner_and_signs_for_who_trusts_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        public = write_keys(tmp_path / "ci")
    finally:
        os.umask(old)
    assert public == tmp_path / "ci.pub"
    assert stat.S_IMODE((tmp_path / "ci").stat().st_mode) == 0o600
    (key,) = trusted_keys(trusting(tmp_path, "ci.pub"))
    assert signer_of(key_in_file(tmp_path / "ci")).public_key.keyid == key.keyid


@pytest.mark.parametrize("there", ["ci", "ci.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("precious")
    with pytest.raises(UsageError, match=f"{there} is there already"):
        write_keys(tmp_path / "ci")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "precious")]


def test_a_key_does_not_go_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "ci").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        write_keys(tmp_path / "ci")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        write_keys(tmp_path / "no/ci")


OURS = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (pem_of(rsa.generate_private_key(65537, 2048)), "no Ed25519 key"),
        (pem_of(ec.generate_private_key(ec.SECP256R1())), "no Ed25519 key"),
        (pem_of(x25519.X25519PrivateKey.generate()), "no Ed25519 key"),
        (pem_of(OURS, b"passphrase"), "is encrypted"),
        (public_pem_of(OURS), "no private key in PEM"),
        (pem_of(OURS)[:60], "no private key in PEM"),
        ("-----BEGIN nonsense", "no private key in PEM"),
        ("", "no private key in PEM"),
        ("\ud800", "no private key in PEM"),
    ],
)
def test_only_a_plain_ed25519_key_signs(pem: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        signer_of(pem)
    assert not any(line in str(caught.value) for line in pem.splitlines() if line)


def test_the_variable_holds_a_key_or_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(pem_of(OURS))
    assert key_in_variable(pem_of(OURS)) == key_in_variable(str(tmp_path / "key")) == key_in_file(tmp_path / "key")


@pytest.mark.parametrize("value", [secret_of(pem_of(OURS)), pem_of(OURS).replace("-----BEGIN", "BEGIN"), "x" * 5000])
def test_a_mangled_key_is_no_path_that_anybody_gets_to_read(value: str) -> None:
    with pytest.raises(UsageError, match="neither a private key in PEM nor the path of one") as caught:
        key_in_variable(value)
    assert value not in str(caught.value)
    assert secret_of(pem_of(OURS)) not in str(caught.value)


def test_the_secret_of_a_key_is_its_body() -> None:
    assert secret_of(pem_of(OURS)) == pem_of(OURS).splitlines()[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot be read: No such file"),
        ("", "not one public key in PEM"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "not a public key in PEM"),
        (public_pem_of(OURS) * 2, "not one public key in PEM"),
        (public_pem_of(rsa.generate_private_key(65537, 2048)), "no Ed25519 key"),
        (public_pem_of(ec.generate_private_key(ec.SECP256R1())), "no Ed25519 key"),
        (public_pem_of(x25519.X25519PrivateKey.generate()), "no Ed25519 key"),
        (pem_of(OURS), "this is a private key"),
        ("x" * 100_000, "no key: larger than 64 KiB"),
    ],
)
def test_a_trusted_key_that_is_none_is_refused_by_name(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        (tmp_path / "ci.pub").write_text(text)
    with pytest.raises(SourceError, match=rf"^ci\.pub:1: {reason}"):
        trusted_keys(trusting(tmp_path, "ci.pub"))


@pytest.mark.parametrize("name", ["ci.pub", ".runbook-checks/evidence/ci.pub"])  # the first is a link
def test_a_trusted_key_that_lies_with_the_evidence_is_refused(tmp_path: Path, name: str) -> None:
    evidence = tmp_path / Config(tmp_path).evidence
    evidence.mkdir(parents=True)
    key = evidence / "ci.pub"
    key.write_text(public_pem_of(OURS))
    (tmp_path / "ci.pub").symlink_to(key)
    with pytest.raises(SourceError, match="it lies in the folder of the evidence"):
        trusted_keys(trusting(tmp_path, name))


def test_all_that_is_wrong_with_trusted_keys_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        trusted_keys(trusting(tmp_path, "a.pub", "b.pub"))
    assert [problem.path for problem in caught.value.problems] == ["a.pub", "b.pub"]


def test_commands_that_are_not_ours_never_get_the_key() -> None:
    assert without_key({"A": "1", VARIABLE: "secret"}) == {"A": "1"}


def test_a_key_that_was_taken_is_nowhere_in_the_process_environment() -> None:
    code = f"""if True:
        import os, pathlib
        from runbook_checks.keys import take_key
        shown = lambda: pathlib.Path("/proc/self/environ").read_text()
        assert "s3cr3t" in shown()
        assert take_key(os.environ) == "s3cr3t é"
        assert take_key(os.environ) == ""
        assert "s3cr3t" not in shown() and "AFTER=kept" in shown(), shown()
        assert {VARIABLE!r} not in os.environ
    """
    environ = {**os.environ, VARIABLE: "s3cr3t é", "AFTER": "kept"}
    assert subprocess.run([sys.executable, "-c", code], env=environ, check=False).returncode == 0
    assert take_key({VARIABLE: "x"}) == "x"
