"""What was stored: by attribute, by trace, and page by page."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from spans.service import RefusedError, Service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SHOWN = 20
PERCENTILES = 20


def find(options: argparse.Namespace) -> int:
    """Print the spans with an attribute."""
    spans = Service().get("/api/spans", attribute=options.attribute_is, limit=1000)["spans"]
    for span in spans:
        shown = f" {span['attributes'].get(options.attribute, '-')}" if options.attribute else ""
        print(f"{span['trace_id']}: {span['name']}{shown}")
    print(f"{len(spans)} found")
    return 0


def trace(options: argparse.Namespace) -> int:
    """Print a trace, and how long it took to read."""
    service, begun = Service(), time.monotonic()
    spans: list[dict[str, Any]] = []
    for page, _ in _pages(service, f"/api/traces/{options.trace}", limit=1000):
        spans += page
    milliseconds = (time.monotonic() - begun) * 1000
    ids = {span["span_id"] for span in spans}
    if len(spans) <= SHOWN:
        for span in spans:
            print(f"{'  ' * _depth(span, spans)}{span['name']}")
    print(f"{len(spans)} spans, {len(spans) - len(ids)} twice, read in {milliseconds:.0f} ms")
    return 0


def page(options: argparse.Namespace) -> int:
    """Go through all spans from the first of a trace on, and print how long the pages took."""
    service = Service()
    found, took = [], []
    for spans, milliseconds in _pages(
        service, "/api/spans", limit=options.limit, after=_before(service, options.trace)
    ):
        found += [span["span_id"] for span in spans if span["trace_id"] == options.trace]
        took.append(milliseconds)
    p95 = statistics.quantiles(took, n=PERCENTILES)[-1] if len(took) > 1 else took[0]
    print(
        f"{len(found)} spans of the trace in {len(took)} pages, {len(found) - len(set(found))} twice, "
        f"median {statistics.median(took):.1f} ms, p95 {p95:.1f} ms a page"
    )
    return 0


def _pages(service: Service, path: str, **parameters: str | int) -> Iterator[tuple[list[dict[str, Any]], float]]:
    while True:
        begun = time.monotonic()
        answer = service.get(path, **parameters)
        yield answer["spans"], (time.monotonic() - begun) * 1000
        if answer["next"] is None:
            return
        parameters["after"] = answer["next"]


def _before(service: Service, trace_id: str) -> int:
    numbers = [span["number"] for page, _ in _pages(service, f"/api/traces/{trace_id}", limit=1000) for span in page]
    if not numbers:
        raise RefusedError(f"there is no trace {trace_id}")
    return int(min(numbers)) - 1


def _depth(span: dict[str, Any], spans: list[dict[str, Any]]) -> int:
    parents = {each["span_id"]: each["parent_span_id"] for each in spans}
    depth, parent = 0, span["parent_span_id"]
    while parent in parents and depth < len(spans):
        depth, parent = depth + 1, parents[parent]
    return depth
