"""Keys, signatures and verdicts for the evidence of a whole repository, as the command line answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runbook_checks.errors import UsageError
from runbook_checks.keys import VARIABLE, key_in_file, key_in_variable, signer_of, trusted_keys, write_keys
from runbook_checks.signing import short, sign
from runbook_checks.store import Store
from runbook_checks.tables import verdicts_table
from runbook_checks.trust import Examined, Verdict, Worth, examine, examine_need

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.table import Table
    from securesystemslib.signer import SSlibKey

    from runbook_checks.config import Config
    from runbook_checks.model import Procedure


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to show, to note beside it, and to print as JSON, and whether it found what must not be."""

    shown: Table | str
    notes: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False


def keygen(path: Path) -> Answer:
    """Write a new key and its public key; raises UsageError when a file of either name is there."""
    public = write_keys(path)
    return Answer(
        f"{path}: the private key; keep it secret, never commit it\n"
        f"{public}: the public key; commit it, and list it under `trusted_keys`"
    )


def pem_of(file: Path | None, environ: Mapping[str, str]) -> str:
    """Return the text of the key to sign with; raises UsageError when none is named or it cannot be read."""
    if file is not None:
        return key_in_file(file)
    if environ.get(VARIABLE):
        return key_in_variable(environ[VARIABLE])
    raise UsageError(f"there is no key to sign with: give `--key FILE`, or set {VARIABLE}")


def sign_all(config: Config, procedures: Iterable[Procedure], environment: str, pem: str) -> Answer:
    """Sign every record and proof that neither this key nor a trusted one has signed; who signs vouches for them."""
    signer, trusted = signer_of(pem), trusted_keys(config)
    found = tuple(_examined(config, procedures, environment, (*trusted, signer.public_key)))
    verdicts = [each for examined in found for each in examined.verdicts]
    store = Store(config.root / config.evidence)
    unsigned = {
        each.raw: (each.record, examined.signatures)
        for examined in found
        for each in examined.verdicts
        if each.worth is Worth.UNSIGNED and examined.signatures
    }
    for raw, (record, path) in unsigned.items():
        store.append_envelope(path, sign(record, raw, signer))
    already = sum(each.worth is Worth.SIGNED for each in verdicts)
    notes = _refused(verdicts)
    if trusted and signer.public_key.keyid not in {key.keyid for key in trusted}:
        notes = (*notes, "this key is none of `trusted_keys`: nobody there believes what it signs")
    said = f"{len(unsigned)} records signed by {short(signer.public_key.keyid)}, {already} were signed already"
    return Answer(said, notes, failed=bool(_refused(verdicts)))


def check_all(config: Config, procedures: Iterable[Procedure], environment: str) -> Answer:
    """Say what every record and proof is worth; where keys are trusted, an unsigned one is not as it should be."""
    trusted = trusted_keys(config)
    verdicts = [each for one in _examined(config, procedures, environment, trusted) for each in one.verdicts]
    wanted = {Worth.SIGNED} if trusted else {Worth.SIGNED, Worth.UNSIGNED}
    return Answer(
        verdicts_table(verdicts) if verdicts else "there is no evidence yet",
        _refused(verdicts),
        {"records": [verdict_document(each) for each in verdicts]},
        failed=any(each.worth not in wanted for each in verdicts),
    )


def verdict_document(verdict: Verdict) -> dict[str, Any]:
    """Return what ``evidence check --json`` says about a record."""
    return {
        "procedure": verdict.record.procedure,
        "environment": verdict.record.environment,
        "run": verdict.record.run,
        "outcome": verdict.record.outcome.value,
        "ended_at": verdict.record.ended_at,
        "place": verdict.place,
        "worth": verdict.worth.value,
        "reason": verdict.reason,
        "signed_by": short(verdict.signed_by),
    }


def _refused(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    return tuple(f"{each.place}: {each.reason}" for each in verdicts if each.worth is Worth.REFUSED)


def _examined(
    config: Config, procedures: Iterable[Procedure], environment: str, keys: Sequence[SSlibKey]
) -> Iterator[Examined]:
    store = Store(config.root / config.evidence)
    names = [environment] if environment else [one.name for one in config.environments]
    for procedure in procedures:
        for name in names:
            yield examine(store, name, procedure.id, keys)
            yield examine_need(store, name, procedure.id, keys)
