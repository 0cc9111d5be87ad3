"""What is known now about every procedure in every environment: the pages, held against the evidence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from runbook_checks.catalog import Catalog, load
from runbook_checks.changes import changed_parts, in_words
from runbook_checks.config import FILE_NAME
from runbook_checks.digest import digest_of, parts, shortened
from runbook_checks.errors import Problem, SourceError
from runbook_checks.files import FileHashes
from runbook_checks.keys import trusted_keys
from runbook_checks.languages import DEFAULTS, known
from runbook_checks.leaks import masked, masked_proof
from runbook_checks.need import NEVER, Need, worth
from runbook_checks.proof import proves
from runbook_checks.record import CHANGED, Evidence, Outcome
from runbook_checks.scopes import meant_for, scope_problems
from runbook_checks.status import Judgement, Status, counted, enough, judge, told
from runbook_checks.store import Store
from runbook_checks.trust import believe, believe_need, why_newest_is_refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook_checks.config import Config
    from runbook_checks.model import Procedure, Runbook
    from runbook_checks.record import Record

HISTORY = 50  # runs of a procedure that a report keeps
_ENDED = frozenset({Outcome.PASSED, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class Entry:
    """One procedure in one environment: what it is, what it is worth now, and the record that decides it."""

    procedure: Procedure
    runbook: Runbook
    environment: str
    digest: str
    judgement: Judgement
    history: tuple[Evidence, ...] = ()  # the newest runs, oldest first, at most HISTORY
    parts: tuple[
        tuple[str, str], ...
    ] = ()  # shortened, as they are now, of a procedure that has changed since it was last proven, or failed
    drill: Record | None = None  # of the newest drill that came to its fault and to an end
    need: Need = NEVER  # what its proof of need is worth
    older: Evidence | None = None  # that of the record that decides, where the history does not reach back to it

    @property
    def status(self) -> Status:
        """Return the procedure's status."""
        return self.judgement.status

    @property
    def reason(self) -> str:
        """Return why the status is what it is; empty when there is nothing to say."""
        return self.judgement.reason

    @property
    def record(self) -> Record | None:
        """Return the newest record that counts."""
        return self.judgement.record

    @property
    def decided(self) -> Evidence | None:
        """Return the evidence of the record that decides."""
        found = (one for one in self.history if one.record == self.record and not one.refused)
        return next(found, self.older)

    @property
    def took_s(self) -> float | None:
        """Return how long the deciding run took; None when nothing ran, or nobody saw it end."""
        return (self.record.duration_s or None) if self.record else None

    @property
    def verified_at(self) -> datetime | None:
        """Return when the procedure last passed."""
        return self.judgement.verified_at

    @property
    def expires_at(self) -> datetime | None:
        """Return when that pass expires."""
        return self.judgement.expires_at


@dataclass(frozen=True, slots=True)
class Report:
    """The catalog of all pages, and one entry per procedure and environment that it can be proven in, in page order."""

    catalog: Catalog
    entries: tuple[Entry, ...]
    strict: bool = False  # whether a pass from a tree with uncommitted changes counts for nothing
    forged: tuple[str, ...] = ()  # ``file:line: reason`` of evidence that is refused, not merely unsigned
    leaks: tuple[str, ...] = ()  # where evidence holds what looks like a secret; the report itself has it masked


def load_report(config: Config, *, now: datetime, strict: bool = False, history: bool = True) -> Report:
    """Return what the evidence says at ``now``; raises SourceError for pages and trusted keys that cannot be read.

    Without ``history`` entries have of it what decides their status, and no drill, unless evidence is signed.
    """
    catalog = load_catalog(config)
    store = Store(config.root / config.evidence)
    hashes = FileHashes(config.root)
    keys = trusted_keys(config)
    meant = {environment.name: meant_for(catalog, environment) for environment in config.environments}
    entries = []
    forged: list[str] = []
    leaks: list[str] = []
    for procedure in catalog.procedures:
        runbook = catalog.runbook_of(procedure)
        every_s = runbook.verify_every_s or config.verify_every_s
        for environment in config.environments:
            if not proves(procedure, environment.name) or procedure.id not in meant[environment.name]:
                continue
            covered = parts(config, environment, procedure, catalog, hashes)
            current = digest_of(covered)
            if history or keys:
                evidence, refused = believe(store, environment.name, procedure.id, keys)
            else:
                evidence, refused = deciding(store, environment.name, procedure.id, now=now, strict=strict), ()
            forged.extend(refused)
            evidence, found = _masked(evidence)
            leaks.extend(f"{store.path(environment.name, procedure.id)}: {one}" for one in found)
            judgement = judge(
                [one.record for one in evidence if not one.refused],
                digest=current,
                verify_every_s=every_s,
                now=now,
                strict=strict,
            )
            newest = evidence[-HISTORY:]
            since = judgement.proven or judgement.record
            edited = since is not None and since.digest != current
            now_covered = shortened(covered) if edited else ()
            if judgement.status is Status.STALE and since is not None and not _changed_while_it_ran(judgement):
                changed = in_words(changed_parts(since, procedure, now_covered))
                judgement = replace(judgement, reason=f"changed since then: {changed}") if changed else judgement
            judgement = told(judgement, why_newest_is_refused(evidence))
            proofs, doubt, refused = believe_need(store, environment.name, procedure.id, keys)
            forged.extend(refused)
            cleaned = tuple(map(masked_proof, proofs))
            where = store.need_path(environment.name, procedure.id)
            leaks.extend(f"{where}: {one}" for _, found in cleaned for one in found)
            proofs = tuple(proof for proof, _ in cleaned)
            need = worth(proofs, procedure, digest=current, now=now, strict=strict, doubt=doubt)
            drill = _newest_drill(evidence, now, strict=strict)
            older = next((one for one in evidence[:-HISTORY] if one.record is judgement.record), None)
            entries.append(
                Entry(procedure, runbook, environment.name, current, judgement, newest, now_covered, drill, need, older)
            )
    return Report(catalog, tuple(entries), strict, tuple(forged), tuple(dict.fromkeys(leaks)))


def deciding(
    store: Store, environment: str, procedure: str, *, now: datetime, strict: bool = False
) -> tuple[Evidence, ...]:
    """Return as many of the newest records, oldest first, as judge() needs to say what it says of all."""
    taken: list[Record] = []
    for kept_at, read in store.newest_first(environment, procedure):
        if taken and enough(taken[::-1], kept_at, now=now, strict=strict):
            break
        record = read()
        if record is not None:
            taken.append(record)
    taken.reverse()
    in_order = sorted(taken, key=lambda record: datetime.fromisoformat(record.ended_at))
    return tuple(map(Evidence, in_order))


def _masked(evidence: tuple[Evidence, ...]) -> tuple[tuple[Evidence, ...], tuple[str, ...]]:
    """Return evidence as it may be published, and where what looks like a secret is in the file itself."""
    shown: list[Evidence] = []
    told_of: list[str] = []
    for one in evidence:
        record, found = masked(one.record)
        shown.append(replace(one, record=record) if found else one)
        told_of.extend(found)
    return tuple(shown), tuple(told_of)


def _newest_drill(evidence: Iterable[Evidence], now: datetime, *, strict: bool) -> Record | None:
    """Return the record that has the moments of a drill, passed or failed, and decides of those that count."""
    drills = (one.record for one in evidence if one.record.moments and not one.refused)
    ended = [record for record in drills if record.outcome in _ENDED]
    return next(reversed(counted(ended, now=now, strict=strict)), None)


def _changed_while_it_ran(judgement: Judgement) -> bool:
    return judgement.record is not None and judgement.record.digest == CHANGED


def load_catalog(config: Config, *, condensed: bool = False) -> Catalog:
    """Return all pages of a configuration; raises SourceError, with every problem, for what cannot be run.

    A ``condensed`` one is for running procedures: see catalog.load().
    """
    languages = sorted(known({**DEFAULTS, **dict(config.languages)}))
    environments = [environment.name for environment in config.environments]
    check = partial(_unknown, languages=languages, environments=environments)
    catalog = load(config.root, config.page_paths(), check, condensed=condensed)
    if problems := tuple(scope_problems(catalog, config)):
        raise SourceError(problems)
    return catalog


def _unknown(procedure: Procedure, *, languages: Sequence[str], environments: Sequence[str]) -> Iterator[Problem]:
    """Yield the languages and environments of a procedure's blocks that a configuration does not know."""
    for block in procedure.blocks:
        if block.language not in languages:
            reason = f"`{block.language}` is not a language that can be run"
            hint = f"use one of {', '.join(languages)}, or name its command under `languages:` in {FILE_NAME}"
            yield Problem(procedure.page, block.span.first, reason, hint)
        if block.environment and block.environment not in environments:
            reason = f"there is no environment `{block.environment}` in {FILE_NAME}"
            yield Problem(procedure.page, block.span.first, reason, f"it has {', '.join(environments)}")
