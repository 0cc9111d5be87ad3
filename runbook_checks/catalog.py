"""All runbooks of a repository together: what they need of each other, and how to name what is in them."""

from __future__ import annotations

import gc
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from runbook_checks.card import did_you_mean
from runbook_checks.errors import Problem, SourceError, UsageError
from runbook_checks.markdown import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from runbook_checks.markdown import Scan
    from runbook_checks.model import Procedure, Runbook

_GLOB = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Catalog:
    """The runbooks of a repository, valid together: public ids are unique, every need exists, none goes in a circle."""

    root: Path
    pages: tuple[tuple[str, Scan], ...]  # by path; those too that are no runbooks
    runbooks: tuple[Runbook, ...] = field(init=False)
    procedures: tuple[Procedure, ...] = field(init=False)
    _by_id: dict[str, Procedure] = field(init=False, repr=False, compare=False)
    _scans: dict[str, Scan] = field(init=False, repr=False, compare=False)
    _runbooks: dict[str, Runbook] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the procedures, in the order of the pages."""
        runbooks = tuple(found.runbook for _, found in self.pages if found.runbook is not None)
        procedures = tuple(procedure for runbook in runbooks for procedure in runbook.procedures)
        object.__setattr__(self, "runbooks", runbooks)
        object.__setattr__(self, "procedures", procedures)
        object.__setattr__(self, "_by_id", {procedure.id: procedure for procedure in procedures})
        object.__setattr__(self, "_scans", dict(self.pages))
        object.__setattr__(self, "_runbooks", {runbook.path: runbook for runbook in runbooks})

    def scan_of(self, path: str) -> Scan | None:
        """Return what the scanner has of a page, or None for a page that is not in this catalog."""
        return self._scans.get(path)

    def runbook_of(self, procedure: Procedure) -> Runbook:
        """Return the runbook that a procedure of this catalog is in."""
        return self._runbooks[procedure.page]

    def get(self, public_id: str) -> Procedure:
        """Return the procedure with a public id; UsageError, naming close matches, for any other text."""
        if public_id not in self._by_id:
            raise UsageError(_unknown(public_id, self._by_id))
        return self._by_id[public_id]

    def needs(self, procedure: Procedure) -> tuple[Procedure, ...]:
        """Return all that a procedure needs, directly or not, prerequisites first, without itself."""
        return self.in_needs_order((procedure,))[:-1]

    def in_needs_order(self, procedures: Iterable[Procedure]) -> tuple[Procedure, ...]:
        """Return procedures and all that they need, each once, every one after what it needs."""
        ordered: dict[str, Procedure] = {}
        for wanted in procedures:
            path: list[tuple[Procedure, Iterator[str]]] = [(wanted, iter(needed_ids(wanted)))]
            while path:
                procedure, needs = path[-1]
                need = next((need for need in needs if need not in ordered), None)
                if need is None:
                    ordered.setdefault(procedure.id, procedure)
                    path.pop()
                else:
                    needed = self._by_id[need]
                    path.append((needed, iter(needed_ids(needed))))
        return tuple(ordered.values())

    def select(self, words: Iterable[str]) -> tuple[Procedure, ...]:
        """Return what words name, in page order.

        A word is a public id, a heading id that only one page has, a node id, a page's path, name or stem, or a glob
        pattern over any of these. UsageError, naming close matches, for a word that selects nothing.
        """
        chosen = {procedure.id for word in words for procedure in self._named(word)}
        return tuple(procedure for procedure in self.procedures if procedure.id in chosen)

    def _named(self, word: str) -> tuple[Procedure, ...]:
        page, colons, anchor = word.partition("::")
        plain = f"{self._relative(page)}{colons}{anchor}"
        found = tuple(one for one in self.procedures if word in _names(one) or plain in _names(one))
        if not found:
            found = tuple(one for one in self.procedures if one.anchor == word)
            if len(found) > 1:
                choices = ", ".join(one.id for one in found)
                raise UsageError(f"`{word}` names {len(found)} procedures: write one of {choices}")
        if not found and _GLOB.intersection(word):
            found = tuple(
                one for one in self.procedures if any(fnmatchcase(name, word) for name in (*_names(one), one.anchor))
            )
        if not found:
            names = {name for one in self.procedures for name in (*_names(one), one.anchor)}
            raise UsageError(_unknown(word, names))
        return found

    def _relative(self, page: str) -> str:
        path = os.path.normpath(page)
        return Path(os.path.relpath(path, self.root) if Path(path).is_absolute() else path).as_posix()


def load(
    root: Path,
    pages: Iterable[Path],
    check: Callable[[Procedure], Iterable[Problem]] = lambda _: (),
    *,
    condensed: bool = False,
) -> Catalog:
    """Return the catalog of pages below a folder; SourceError with every problem of every page.

    ``check`` returns what else is wrong with a procedure of a page that can be read.
    A ``condensed`` one takes far less memory, and is for running procedures: see Scan.condensed().
    """
    problems: list[Problem] = []
    scans = []
    base = root.resolve()
    real = cache(Path.resolve)  # few folders hold many pages
    names = dict.fromkeys(_name(root, page) for page in pages)
    with _only_growing():
        for name in names:
            text = _read(root, base, name, real, problems)
            if text is None:
                continue
            found = scan(text, name)
            problems.extend(found.problems)
            if found.runbook is not None and _is_linked(root, base, name, real):
                reason = "this runbook is reached by a symbolic link"
                problems.append(Problem(name, 1, reason, "put the page itself here"))
            if found.runbook is not None and not found.problems:
                problems.extend(problem for procedure in found.runbook.procedures for problem in check(procedure))
            scans.append((name, found.condensed() if condensed else found))
    catalog = Catalog(root, tuple(scans))
    problems.extend(_relations(catalog.procedures))
    if problems:
        raise SourceError(tuple(dict.fromkeys(problems)))
    return catalog


@contextmanager
def _only_growing() -> Iterator[None]:
    """Spare the search for garbage while all that is made stays and points to nothing newer."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def needed_ids(procedure: Procedure) -> tuple[str, ...]:
    """Return the public ids that a card's ``needs`` name."""
    return _public_ids(procedure, procedure.card.needs)


def former_ids(procedure: Procedure) -> tuple[str, ...]:
    """Return the public ids that a procedure once had, which a card's ``formerly`` names."""
    return _public_ids(procedure, procedure.card.formerly)


def _public_ids(procedure: Procedure, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name if "/" in name else f"{procedure.id.partition('/')[0]}/{name}" for name in names)


def _name(root: Path, page: Path) -> str:
    return Path(os.path.relpath(root / page, root)).as_posix()


def _is_linked(root: Path, base: Path, name: str, real: Callable[[Path], Path]) -> bool:
    path = root / name
    return path.is_symlink() or real(path.parent) != (base / name).parent


def _read(root: Path, base: Path, name: str, real: Callable[[Path], Path], problems: list[Problem]) -> str | None:
    path = root / name
    try:
        folder = path.resolve().parent if path.is_symlink() else real(path.parent)
        if name.startswith("../") or not folder.is_relative_to(base):
            problems.append(Problem(name, 1, "this page is outside the folder of the configuration"))
            return None
        if path.exists() and not path.is_file():
            problems.append(Problem(name, 1, "this page is not a regular file"))
            return None
        data = path.read_bytes()
    except OSError as error:
        problems.append(Problem(name, 1, f"this page cannot be read: {error.strerror or error}"))
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.append(Problem(name, line, f"not UTF-8: byte 0x{data[error.start]:02x}", "save the page as UTF-8"))
        return None


def _relations(procedures: tuple[Procedure, ...]) -> Iterator[Problem]:
    by_id: dict[str, Procedure] = {}
    for procedure in procedures:
        if (first := by_id.setdefault(procedure.id, procedure)) is not procedure:
            yield Problem(
                procedure.page,
                procedure.line,
                f"the public id `{procedure.id}` is already that of {first.page}:{first.line}",
                "rename a page or give a heading another id",
            )
    yield from _same_file(by_id)
    yield from _former(procedures, by_id)
    graph: dict[str, set[str]] = {}
    for procedure in procedures:
        graph[procedure.id] = set()
        for need, public_id in zip(procedure.card.needs, needed_ids(procedure), strict=True):
            needed = by_id.get(public_id)
            if needed is None or ("/" not in need and needed.page != procedure.page):
                known = [one.anchor for one in procedures if one.page == procedure.page and one != procedure]
                suggestion = did_you_mean(need, [*known, *by_id]) if len(by_id) > 1 else ""
                yield Problem(procedure.page, procedure.card.line, f"needs `{need}`, which is no procedure", suggestion)
            else:
                graph[procedure.id].add(public_id)
    yield from _cycles(graph, by_id)


def _same_file(by_id: Mapping[str, Procedure]) -> Iterator[Problem]:
    """Yield a problem for each id that names the files of another one where a disk knows no capital letters."""
    files: dict[str, Procedure] = {}
    for procedure in by_id.values():
        first = files.setdefault(procedure.id.casefold(), procedure)
        if first is not procedure:
            yield Problem(
                procedure.page,
                procedure.line,
                f"the public id `{procedure.id}` differs from that of {first.page}:{first.line} in capitals only",
                "on many disks both would be one file of evidence: give a heading another id",
            )


def _former(procedures: Iterable[Procedure], by_id: Mapping[str, Procedure]) -> Iterator[Problem]:
    """Yield a problem for each old id that leads to more than one procedure."""
    claimed: dict[str, Procedure] = {}
    for procedure in procedures:
        for former in former_ids(procedure):
            other = by_id.get(former) or claimed.get(former)
            if other is not None:
                whose = "its own" if other is procedure else f"that of {other.page}:{other.line}"
                yield Problem(
                    procedure.page,
                    procedure.card.line,
                    f"formerly `{former}`, which is already {whose}",
                    "an old id leads to one procedure: take it out of the other card, or out of this one",
                )
            claimed.setdefault(former, procedure)


def _cycles(graph: dict[str, set[str]], by_id: dict[str, Procedure]) -> Iterator[Problem]:
    """Yield a problem per cycle, at the card of its first procedure, until none is left."""
    order = {public_id: number for number, public_id in enumerate(by_id)}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle = error.args[1][::-1][:-1]  # each needs the next
        else:
            return
        start = cycle.index(min(cycle, key=order.__getitem__))
        cycle = [*cycle[start:], *cycle[:start]]
        first = by_id[cycle[0]]
        yield Problem(first.page, first.card.line, f"needs go in a circle: {' → '.join((*cycle, cycle[0]))}")
        graph[cycle[-1]].discard(cycle[0])


def _names(procedure: Procedure) -> tuple[str, ...]:
    page = PurePosixPath(procedure.page)
    return procedure.id, procedure.node_id, procedure.page, page.name, page.stem


def _unknown(word: str, known: Iterable[str]) -> str:
    counted = Counter(known)
    close = get_close_matches(word[:200], list(counted), n=3)
    hint = f"did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else "see `runbook-checks list`"
    return f"`{word}` selects no procedure; {hint}"
