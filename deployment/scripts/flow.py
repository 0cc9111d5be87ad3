"""What a client does with one replica, from the list of pipelines to the metrics: run by try-release.sh."""

from __future__ import annotations

import json
import sys
import time
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_S = 40
WAIT_S = 20
METRICS_S = 20
# How the example of each pipeline ends; a slow one has nothing to add.
ENDS = {
    "transform": "completed",
    "conditional": "completed",
    "loop": "completed",
    "parallel": "completed",
    "fail": "failed",
}


class FlowError(Exception):
    """An answer is not what a client needs; the text says which."""


def main(arguments: list[str]) -> int:
    """Go through the flow at one address; 0 when all of it works."""
    (url,) = arguments
    try:
        executions, steps, checkpoints = flow(url.rstrip("/"))
    except (FlowError, OSError, KeyError, ValueError) as error:
        print(f"flow: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    print(f"{executions} executions, {steps} steps, {checkpoints} checkpoints")
    return 0


def flow(url: str) -> tuple[int, int, int]:
    """List, execute, ask for status, steps and checkpoints, and read the metrics; return how many of each there are."""
    examples = {each["id"]: each["example_input"] for each in _ask(f"{url}/api/pipelines")["pipelines"]}
    before = _steps_so_far(url)
    steps = checkpoints = 0
    for pipeline, end in ENDS.items():
        order = {"pipeline": pipeline, "input": examples[pipeline], "wait_s": WAIT_S}
        started = _ask(f"{url}/api/execute/pipeline", order)
        job = started["job_id"]
        status = _ask(f"{url}/api/execute/status/{job}")
        _expect(f"the status of {pipeline}", status["status"], end)
        whole = _ask(f"{url}/api/execute/{job}")
        _expect(f"the output of {pipeline}", whole["output"], started["output"])
        ended = [step for step in whole["steps"] if step["status"] in {"completed", "failed"}]
        kept = _ask(f"{url}/api/checkpoints/{job}?limit=100")["checkpoints"]
        if not ended or not kept:
            raise FlowError(f"{pipeline} has {len(ended)} steps that ended and {len(kept)} checkpoints")
        steps, checkpoints = steps + len(ended), checkpoints + len(kept)
    # A replica keeps its report for a moment.
    deadline = time.monotonic() + METRICS_S
    while (counted := _steps_so_far(url) - before) < steps and time.monotonic() < deadline:
        time.sleep(0.2)
    _expect("the steps in the reliability metrics", counted, steps)
    with urlopen(f"{url}/metrics", timeout=TIMEOUT_S) as answer:  # noqa: S310  # the replica that we have started
        page = answer.read().decode()
    for pipeline, end in ENDS.items():
        line = f'ia_service_executions_total{{outcome="{end}",pipeline="{pipeline}"}}'
        if not any(each.startswith(line) and float(each.split()[-1]) >= 1 for each in page.splitlines()):
            raise FlowError(f"/metrics does not count {pipeline}")
    return len(ENDS), steps, checkpoints


def _steps_so_far(url: str) -> int:
    return int(_ask(f"{url}/api/reliability/metrics?window_s=86400")["total_steps"])


def _ask(url: str, order: dict[str, Any] | None = None) -> dict[str, Any]:
    body = None if order is None else json.dumps(order).encode()
    request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310  # the same replica
    try:
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        raise FlowError(f"{url} answers {error.code}: {error.read().decode(errors='replace')}") from error


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise FlowError(f"{what} is {found!r}, not {wanted!r}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
