"""A row of measured values as a chart: inline SVG of build time, readable without scripts, styled by the page."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from leather import Line, Linear, Ordinal, Series
from leather.shapes import Shape
from leather.svg import stringify
from markupsafe import Markup

from runbook_checks.site.ansi import named
from runbook_checks.site.render import format_number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, _HEIGHT = 640, 200
_TOP, _BOTTOM = 34, 30  # room for words above the highest line, and for dates
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_GUTTER = 64  # on the left, for the words of the grid
_LABEL_WIDTH, _LABEL_HEIGHT = 150, 24  # about what the words of a bound take
_LINES = 2  # of the grid, above its lowest
_FAR = 4  # a bound so many times as high as all that was measured would press the line flat
_SMALLEST = 1e-100  # what is nearer to nothing is nothing
_ROUND = (0.0, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)

# One shape per kind of point, so that nobody has to tell colours apart; each begins at its point.
MARKS = {
    "passed": "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0",
    "failed": "m-5-5l10 10m0-10l-10 10",
    "blocked": "m-4.5-4.5h9v9h-9z",
    "interrupted": "m0-6l6 11h-12z",
}


@dataclass(frozen=True, slots=True)
class Point:
    """A value, finite, and the name of its mark."""

    value: float
    mark: str


@dataclass(frozen=True, slots=True)
class Bound:
    """A line that the values must keep to, and its words."""

    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What a chart shows, the oldest point first; ``key`` makes its ids unique on the page."""

    key: str
    title: str
    description: str  # what it shows, in words and with the numbers
    points: tuple[Point, ...]
    first: str  # the words below the first point
    last: str
    unit: str = ""
    bounds: tuple[Bound, ...] = ()


@lru_cache(maxsize=2048)
def svg(chart: Chart) -> Markup:
    """Return a chart of at least one point as inline SVG, 16 by 5."""
    values = [point.value for point in chart.points]
    near = [bound for bound in chart.bounds if abs(bound.value) <= _FAR * max(map(abs, values))]
    shown = [0.0, *values, *(bound.value for bound in near)]
    x, y = _Slots(range(len(values))), _Level(min(shown), max(shown))
    places = [(x.project(number, 0, WIDTH), y.project(value, _PLOT_HEIGHT, 0)) for number, value in enumerate(values)]
    plot = ET.Element("g", transform=f"translate(0 {_TOP})")
    for tick in y.ticks():
        _line(plot, "rb-grid", y.project(tick, _PLOT_HEIGHT, 0), _with_unit(tick, chart.unit))
    for bound in chart.bounds:
        if bound in near:
            at = y.project(bound.value, _PLOT_HEIGHT, 0)
            _line(plot, "rb-bound", at, bound.words, at_end=_is_free_at_end(at, places))
        else:
            words = f"{bound.words}, far {'above' if bound.value > 0 else 'below'}"
            write(plot, "rb-bound rb-end", WIDTH, 16 - _TOP, words)
    write(plot, "rb-date", 0, _PLOT_HEIGHT + 22, chart.first)
    write(plot, "rb-date rb-end", WIDTH, _PLOT_HEIGHT + 22, chart.last)
    series = Series([(number, point.value, point.mark) for number, point in enumerate(chart.points)])
    for shape in (Line("currentColor", 1.5), _Marks()):
        plot.append(shape.to_svg(WIDTH, _PLOT_HEIGHT, x, y, series, iter(())))
    return Markup(stringify(framed(chart.key, chart.title, chart.description, plot, _HEIGHT)))  # noqa: S704 - ElementTree escapes all text


def framed(key: str, title: str, description: str, plot: ET.Element, height: int) -> ET.Element:
    """Return a picture with its title and what it shows in words; ``key`` makes its ids unique on the page."""
    title_id, description_id = f"{key}-title", f"{key}-text"
    root = ET.Element("svg", viewBox=f"0 0 {WIDTH} {height}", role="img")
    root.set("class", "rb-chart")
    root.set("aria-labelledby", f"{title_id} {description_id}")
    ET.SubElement(root, "title", id=title_id).text = named(title)
    ET.SubElement(root, "desc", id=description_id).text = named(description)
    root.append(plot)
    return root


def _line(plot: ET.Element, name: str, y: float, words: str, *, at_end: bool = False) -> None:
    group = ET.SubElement(plot, "g")
    group.set("class", name)
    ET.SubElement(group, "path", d=f"M0 {y:g}h{WIDTH}")
    start = 0 if name == "rb-grid" else _GUTTER
    write(group, "rb-end" if at_end else "", WIDTH if at_end else start, y - 5, words)


def _is_free_at_end(y: float, places: Sequence[tuple[float, float]]) -> bool:
    """Return whether the words above a line hide fewer points at its end than at its start."""
    hidden = [x for x, point_y in places if y - _LABEL_HEIGHT < point_y < y + 4]
    at_end = sum(x > WIDTH - _LABEL_WIDTH for x in hidden)
    return at_end <= sum(x < _GUTTER + _LABEL_WIDTH for x in hidden)


def write(parent: ET.Element, name: str, x: float, y: float, words: str) -> None:
    """Add words to a picture, with the class of that name."""
    text = ET.SubElement(parent, "text", x=f"{x:g}", y=f"{y:g}")
    if name:
        text.set("class", name)
    text.text = named(words)


def _with_unit(value: float, unit: str) -> str:
    return f"{format_number(value)} {unit}".rstrip()


class _Slots(Ordinal):  # type: ignore[misc]  # leather has no types
    """One slot for each run, all of one width: runs come in bursts, and by their dates they would hide one another."""

    def project(self, value: int, range_min: float, range_max: float) -> float:
        return round(float(super().project(value, range_min + _GUTTER, range_max)), 1)


class _Level:
    """A linear scale for values of any size: leather's, of the values brought to between 1 and 10."""

    def __init__(self, lowest: float, highest: float) -> None:
        largest = max(-lowest, highest)
        self._size = 10.0 ** math.floor(math.log10(largest)) if largest > _SMALLEST else 1.0
        self._linear = _linear(0.0 - _round_up(-lowest / self._size), _round_up(highest / self._size))

    def project(self, value: float, range_min: float, range_max: float) -> float:
        return round(float(self._linear.project(value / self._size, range_min, range_max)), 1)

    def ticks(self) -> list[float]:
        ticks = self._linear.ticks()[:: max(1, math.ceil((len(self._linear.ticks()) - 1) / _LINES))]
        return [float(tick) * self._size for tick in ticks]


def _round_up(value: float) -> float:
    return next((round_one for round_one in _ROUND if value <= round_one), value)


@lru_cache(maxsize=256)
def _linear(lowest: float, highest: float) -> Linear:
    """Return leather's scale; its search for good ticks takes milliseconds, so it is asked for few different ones."""
    return Linear(lowest, highest)


class _Marks(Shape):  # type: ignore[misc]  # leather has no types
    """The points, each in the shape of its mark; all of one mark in one path, which keeps a page light."""

    def validate_series(self, series: Series) -> None:
        """Take any series whose rows end with a mark."""

    def to_svg(
        self, width: float, height: float, x: _Slots, y: _Level, series: Series, _palette: Iterator[str]
    ) -> ET.Element:
        group = ET.Element("g")
        paths: dict[str, str] = {}
        for point in series.data():
            mark = point.row[2]
            at = f"M{x.project(point.x, 0, width):g} {y.project(point.y, height, 0):g}"
            paths[mark] = paths.get(mark, "") + at + MARKS[mark]
        for mark, path in paths.items():
            ET.SubElement(group, "path", d=path).set("class", f"rb-mark rb-mark--{mark}")
        return group
