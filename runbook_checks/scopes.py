"""Which procedures are meant to run in which environment, and what words choose of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.config import FILE_NAME
from runbook_checks.errors import Problem, UsageError
from runbook_checks.model import is_drill
from runbook_checks.proof import proves

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config, Environment
    from runbook_checks.model import Procedure


def meant_for(catalog: Catalog, environment: Environment) -> frozenset[str]:
    """Return the public ids of what is meant to run in an environment: what it names, and what that needs.

    Everything for one that names nothing; raises UsageError for a name that selects nothing.
    """
    if not environment.procedures:
        return frozenset(one.id for one in catalog.procedures)
    named = catalog.select(pattern.text for pattern in environment.procedures)
    return frozenset(one.id for one in catalog.in_needs_order(named))


def chosen(catalog: Catalog, words: Sequence[str], environment: Environment | None = None) -> tuple[Procedure, ...]:
    """Return what words name, everything for none, in page order; in an environment, only what is meant to run there.

    Raises UsageError for a word that selects nothing, or nothing that is meant to run there.
    """
    found = catalog.select(words) if words else catalog.procedures
    if environment is None or not environment.procedures:
        return found
    meant = meant_for(catalog, environment)
    for word in words:
        if not any(one.id in meant for one in catalog.select((word,))):
            named = ", ".join(pattern.text for pattern in environment.procedures)
            raise UsageError(
                f"`{word}` is not meant to run in environment {environment.name}, whose `procedures` in {FILE_NAME}"
                f" are {named}; add it there, or choose another environment"
            )
    return tuple(one for one in found if one.id in meant)


def refuse_idle(catalog: Catalog, words: Sequence[str], environment: Environment, *, drills: bool = False) -> None:
    """Raise UsageError for a word that selects only what cannot fail in an environment, or only what is no drill."""
    for word in words:
        found = catalog.select((word,))
        if drills and not any(is_drill(one, environment.name) for one in found):
            raise UsageError(f"`{word}` selects no procedure to drill: none has a fault block for {environment.name}")
        if not any(proves(one, environment.name) for one in found):
            raise UsageError(
                f"nothing of what `{word}` selects could fail in environment {environment.name}: its checks are for"
                " others; choose another environment"
            )


def scope_problems(catalog: Catalog, config: Config) -> Iterator[Problem]:
    """Yield every name under ``procedures`` that selects nothing, and every block that could never run."""
    for environment in config.environments:
        wrong = tuple(_wrong_patterns(catalog, environment))
        yield from wrong
        meant = frozenset(one.id for one in catalog.procedures) if wrong else meant_for(catalog, environment)
        for procedure in catalog.procedures:
            if procedure.id in meant:
                continue
            for block in procedure.blocks:
                if block.environment == environment.name:
                    yield Problem(
                        procedure.page,
                        block.span.first,
                        f"this block is for environment `{environment.name}`, where {procedure.id} is not meant to run",
                        f"name it under `procedures` of {environment.name} in {FILE_NAME}, or take the block out",
                    )


def _wrong_patterns(catalog: Catalog, environment: Environment) -> Iterable[Problem]:
    for pattern in environment.procedures:
        try:
            catalog.select((pattern.text,))
        except UsageError as error:
            reason, _, hint = str(error).partition("; ")
            yield Problem(pattern.path, pattern.line, f"environment {environment.name}: {reason}", hint)
