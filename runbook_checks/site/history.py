"""The runs of a procedure as charts: how long they took, and each figure with its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runbook_checks.record import Outcome
from runbook_checks.site.charts import Bound, Chart, Point, svg
from runbook_checks.site.render import format_bounds, format_duration, format_moment, format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markupsafe import Markup

    from runbook_checks.record import Evidence, Figure, Record

_DRAWN = frozenset({Outcome.PASSED, Outcome.FAILED, Outcome.BLOCKED, Outcome.INTERRUPTED})
_LARGEST = 1e12  # what is larger is no measurement, and no axis has room for its digits
_SECONDS = ((7200.0, "h", 3600.0), (120.0, "min", 60.0), (0.0, "s", 1.0))


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart with its title and what it shows in words; without a chart where there is nothing to compare."""

    title: str
    words: str
    svg: Markup | None = None
    marks: tuple[tuple[str, str], ...] = ()  # each mark that it uses, and what it means


def drawings(history: Sequence[Evidence], key: str) -> tuple[Drawing, ...]:
    """Return a chart of the durations and one per figure of the runs that are believed, the oldest first."""
    runs = [each.record for each in history if not each.refused]
    names = dict.fromkeys(figure.name for run in runs for figure in run.figures)
    return (
        _durations(runs, f"{key}-runs"),
        *(_figure(runs, name, f"{key}-figure-{number}") for number, name in enumerate(names, 1)),
    )


def _durations(runs: Sequence[Record], key: str) -> Drawing:
    drawn = [run for run in runs if run.outcome in _DRAWN and 0 <= run.duration_s < _LARGEST]
    if len(drawn) < 2:  # noqa: PLR2004 - two make a line
        return Drawing("Duration", "A chart of the durations needs two runs.")
    seconds = [run.duration_s for run in drawn]
    words = _in_words([format_duration(each) for each in seconds], seconds)
    _, unit, size = next(each for each in _SECONDS if max(seconds) >= each[0])
    points = tuple(Point(run.duration_s / size, run.outcome.value) for run in drawn)
    return _drawing("Duration", words, points, drawn, key, unit=unit, marks=_marks(points))


def _figure(runs: Sequence[Record], name: str, key: str) -> Drawing:
    measured = [(run, figure) for run in runs for figure in run.figures if _plain(figure, name)]
    if len(measured) < 2:  # noqa: PLR2004
        return Drawing(name, f"A chart of {name} needs two runs that measured it.")
    newest = measured[-1][1]
    unit = f" {newest.unit}" if newest.unit else ""
    values = [figure.value for _, figure in measured]
    words = _in_words([format_number(value) + unit for value in values], values)
    bounds = tuple(
        Bound(value, f"{word} {format_number(value)}{unit}")
        for value, word in ((newest.minimum, "at least"), (newest.maximum, "at most"))
        if value is not None and abs(value) < _LARGEST
    )
    words += f" The bound is {format_bounds(newest)}." if bounds else " It has no bound."
    points = tuple(Point(figure.value, "passed" if figure.kept else "failed") for _, figure in measured)
    marks = (("passed", "bound kept"), ("failed", "bound broken")) if bounds else ()
    used = tuple((mark, meaning) for mark, meaning in marks if any(point.mark == mark for point in points))
    runs = [run for run, _ in measured]
    return _drawing(name, words, points, runs, key, unit=newest.unit, bounds=bounds, marks=used)


def _plain(figure: Figure, name: str) -> bool:
    return figure.name == name and abs(figure.value) < _LARGEST


def _drawing(  # noqa: PLR0913
    title: str,
    words: str,
    points: tuple[Point, ...],
    runs: Sequence[Record],
    key: str,
    *,
    unit: str,
    marks: tuple[tuple[str, str], ...],
    bounds: tuple[Bound, ...] = (),
) -> Drawing:
    first, last = (format_moment(run.ended_at) for run in (runs[0], runs[-1]))
    chart = Chart(key, f"{title}, run by run", words, points, first, last, unit, bounds)
    return Drawing(title, words, svg(chart), marks)


def _marks(points: Sequence[Point]) -> tuple[tuple[str, str], ...]:
    used = {point.mark for point in points}
    return tuple((outcome.value, outcome.value) for outcome in Outcome if outcome.value in used)


def _in_words(told: Sequence[str], values: Sequence[float]) -> str:
    lowest, highest = told[values.index(min(values))], told[values.index(max(values))]
    spread = f"always {lowest}" if lowest == highest else f"between {lowest} and {highest}"
    return f"{len(told)} runs: first {told[0]}, last {told[-1]}, {spread}."
