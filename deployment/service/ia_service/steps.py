"""The steps that the service's pipelines are made of; each returns only what it adds to the data."""

from __future__ import annotations

import asyncio
import hashlib
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ia_modules.pipeline.core import Step

MAX_SECONDS = 600.0
MAX_VALUES = 100_000

_STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "mean": statistics.fmean,
    "median": statistics.median,
    "spread": statistics.pstdev,
}


class RequestedFailure(Exception):  # noqa: N818  # an order carried out, not an accident
    """The input asked for this failure."""


class CleanText(Step):  # type: ignore[misc]  # the library has no types
    """Normalise the spaces and the case of ``text``."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the cleaned text and its words."""
        words = str(data.get("text", "")).casefold().split()
        return {"clean_text": " ".join(words), "words": words}


class CountWords(Step):  # type: ignore[misc]
    """Count the words that ``CleanText`` found."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the counts and a digest of the text."""
        words = data["words"]
        digest = hashlib.sha256(data["clean_text"].encode()).hexdigest()
        return {"word_count": len(words), "distinct_words": len(set(words)), "digest": digest}


class ScoreOrder(Step):  # type: ignore[misc]
    """Add up an order's ``items`` and decide whether a person must look at it."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the total of price times quantity."""
        total = sum(float(i["price"]) * int(i.get("quantity", 1)) for i in data.get("items", []))
        return {"total": round(total, 2)}


class Decide(Step):  # type: ignore[misc]
    """Record the decision that the graph's condition led to."""

    async def run(self, _data: dict[str, Any]) -> dict[str, Any]:
        """Return the decision named in the step's configuration."""
        return {"decision": self.config["decision"]}


class ReadValues(Step):  # type: ignore[misc]
    """Check that ``values`` are numbers."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the numbers; raises ValueError for anything else, or for too many."""
        values = [float(v) for v in data.get("values", [])]
        if not values or len(values) > MAX_VALUES or not all(map(math.isfinite, values)):
            raise ValueError(f"values must hold 1 to {MAX_VALUES} finite numbers")
        return {"values": values}


class Measure(Step):  # type: ignore[misc]
    """Compute one statistic of ``values``."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the statistic named in the step's configuration."""
        name = self.config["statistic"]
        return {name: _STATISTICS[name](data["values"])}


class JoinMeasures(Step):  # type: ignore[misc]
    """Bring the branches together."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return one summary of what the branches found."""
        return {"summary": {name: data[name] for name in ("mean", "median", "spread")}}


class Refine(Step):  # type: ignore[misc]
    """Take one step of Newton's method towards the square root of ``number``."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the better guess and how far it is off; raises ValueError for a negative number."""
        number = float(data.get("number", 2))
        if number < 0 or not math.isfinite(number):
            raise ValueError("number must be finite and not negative")
        guess = float(data.get("guess", max(number, 1.0)))
        better = (guess + number / guess) / 2
        return {
            "guess": better,
            "iterations": int(data.get("iterations", 0)) + 1,
            "converged": abs(better * better - number) <= 1e-9 * max(number, 1.0),
        }


class FailOnRequest(Step):  # type: ignore[misc]
    """Fail when the input says ``fail``."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return that all went well; raises RequestedFailure."""
        if data.get("fail"):
            raise RequestedFailure("the input asked for a failure")
        return {"failed": False}


class SlowOnRequest(Step):  # type: ignore[misc]
    """Take its share of the ``seconds`` that the input asks for."""

    async def run(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return how long this step waited; raises ValueError beyond the limit."""
        seconds = float(data.get("seconds", 0))
        if not 0 <= seconds <= MAX_SECONDS:
            raise ValueError(f"seconds must be from 0 to {MAX_SECONDS:g}")
        share = seconds * float(self.config["share"])
        await asyncio.sleep(share)
        return {"waited": float(data.get("waited", 0)) + share}
