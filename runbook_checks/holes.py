"""What keeps an alert from its procedure, or a procedure from its alert, with places and what to write instead."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from runbook_checks.errors import Problem
from runbook_checks.links import Fault, Link, follow, pages_of, read_link, url_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from runbook_checks.alerts import Alert
    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Exemption
    from runbook_checks.links import SiteMap
    from runbook_checks.model import Procedure, Runbook


def holes(  # noqa: PLR0913 - all that alerts are held against
    alerts: Sequence[Alert],
    catalog: Catalog,
    site: SiteMap,
    *,
    exemptions: Iterable[Exemption],
    today: date,
    variables: Callable[[Runbook], Collection[str]],
) -> tuple[Problem, ...]:
    """Return every hole in the coverage of alerts; ``variables`` says what links can fill in on a page."""
    exempt = {exemption.alert: exemption for exemption in exemptions}
    named: dict[str, Procedure] = {}
    for procedure in catalog.procedures:
        for name in procedure.card.alerts:
            named.setdefault(name, procedure)
    answers = {name: procedure for name, procedure in named.items() if name in {alert.name for alert in alerts}}
    problems: list[Problem] = []
    for alert in alerts:
        found = _followed(alert, catalog, site, named.get(alert.name))
        if isinstance(found, Problem):
            problems += [found] if alert.name not in exempt or alert.name in named else []
            continue
        answers.setdefault(alert.name, found)
        problems.extend(_unanswered(alert, found))
        problems.extend(_unread(alert, found, catalog, variables))
    problems.extend(_contradictions(alerts))
    problems.extend(_unraised(alerts, catalog.procedures))
    for exemption in exempt.values():
        problems.extend(_moot(exemption, alerts, answers, today))
    return tuple(sorted(set(problems)))


def fragments(alerts: Iterable[Alert], site: SiteMap) -> dict[str, tuple[tuple[Alert, str], ...]]:
    """Return, by page, the alerts that lead to it, each with the fragment that must be there."""
    found: dict[str, tuple[tuple[Alert, str], ...]] = {}
    for alert in alerts:
        link = read_link(alert.runbook_url)
        pages = pages_of(link, site) if isinstance(link, Link) else ()
        if isinstance(link, Link) and len(pages) == 1 and link.fragment:
            found[pages[0]] = (*found.get(pages[0], ()), (alert, link.fragment))
    return found


def _followed(alert: Alert, catalog: Catalog, site: SiteMap, named: Procedure | None) -> Procedure | Problem:
    """Return the procedure that an alert's link leads to, or what is wrong with the link."""
    if not alert.runbook_url:
        fault = Fault("has no `runbook_url`")
    else:
        found = follow(alert.runbook_url, site, catalog.procedures)
        if not isinstance(found, Fault):
            return found
        fault = Fault(f"has a `runbook_url` that {found.reason}", found.suggestion)
    suggestion = fault.suggestion
    if named is not None:
        suggestion = suggestion or f"write `runbook_url: {url_of(named, site)}`"
    instead = "write its procedure and lead there, or name the alert under `alerts_without_runbook`"
    return Problem(alert.path, alert.line, f"alert {alert.name} {fault.reason}", suggestion or instead)


def _unanswered(alert: Alert, procedure: Procedure) -> Iterator[Problem]:
    if alert.name not in procedure.card.alerts:
        yield Problem(
            procedure.page,
            procedure.card.line or procedure.line,
            f"the card of `{procedure.anchor}` does not name alert {alert.name}, which leads here "
            f"from {alert.path}:{alert.line}",
            f"write `alerts: [{', '.join((*procedure.card.alerts, alert.name))}]` into the card, or lead it elsewhere",
        )


def _unread(
    alert: Alert, procedure: Procedure, catalog: Catalog, variables: Callable[[Runbook], Collection[str]]
) -> Iterator[Problem]:
    link = read_link(alert.runbook_url)
    parameters = () if isinstance(link, Fault) else link.parameters
    names = variables(catalog.runbook_of(procedure)) if parameters else ()
    for parameter in parameters:
        if parameter not in names:
            yield Problem(
                alert.path,
                alert.line,
                f"alert {alert.name} fills in `{parameter}`, which is no variable of {procedure.page}",
                _close(parameter, names) or f"the page has {', '.join(sorted(names)) or 'none: leave it out'}",
            )


def _contradictions(alerts: Iterable[Alert]) -> Iterator[Problem]:
    firsts: dict[str, Alert] = {}
    for alert in alerts:
        first = firsts.setdefault(alert.name, alert) if alert.runbook_url else alert
        if first.runbook_url != alert.runbook_url:
            yield Problem(
                alert.path,
                alert.line,
                f"alert {alert.name} leads elsewhere than at {first.path}:{first.line}",
                f"write `runbook_url: {first.runbook_url}` here too, or give one of them another name",
            )


def _unraised(alerts: Iterable[Alert], procedures: Iterable[Procedure]) -> Iterator[Problem]:
    raised = {alert.name for alert in alerts}
    for procedure in procedures:
        for name in procedure.card.alerts:
            if name not in raised:
                yield Problem(
                    procedure.page,
                    procedure.card.line,
                    f"the card of `{procedure.anchor}` names alert {name}, and no rule raises it",
                    _close(name, raised) or "write the rule, or take it out of the card",
                )


def _moot(
    exemption: Exemption, alerts: Iterable[Alert], answers: Mapping[str, Procedure], today: date
) -> Iterator[Problem]:
    """Yield why an exception does not hold."""

    def problem(reason: str, suggestion: str) -> Problem:
        return Problem(
            exemption.path, exemption.line, f"the exception for alert {exemption.alert} {reason}", suggestion
        )

    raised = {alert.name for alert in alerts}
    if exemption.alert not in raised:
        yield problem("is for one that no rule raises", _close(exemption.alert, raised) or "take it out")
    elif exemption.alert in answers:
        yield problem(f"is not needed: {answers[exemption.alert].id} answers it", "take it out")
    elif exemption.until < today:
        yield problem(
            f"ended on {exemption.until}",
            f"{exemption.owner} writes the procedure, or a new date and the reason for it",
        )


def _close(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word[:100], sorted(known), 1)
    return f"did you mean `{close[0]}`?" if close else ""
