"""The ``promql`` command and a real Prometheus agree on what holds, what is missing and what is old."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest

from runbook_checks.promql import main

if TYPE_CHECKING:
    from stack.running_stack import Stack

SERVER_ERRORS = 'envoy_http_downstream_rq_xx{envoy_response_code_class="5"}'
PATIENCE_S = 20.0  # scrapes come every second


@pytest.fixture(scope="module")
def url(stack: Stack) -> str:
    return stack.env()["PROMETHEUS_URL"]


def ask(url: str, text: str, since_s: float = 0.0) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    status = main(["--since", str(since_s)], io.StringIO(text), out, err, {"PROMETHEUS_URL": url})
    return status, out.getvalue() + err.getvalue()


def poll(url: str, text: str, since_s: float = 0.0) -> tuple[int, str]:
    """Ask until it holds, as a check with ``within=`` does, and return the last answer."""
    deadline = time.monotonic() + PATIENCE_S
    while (answer := ask(url, text, since_s))[0] and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


@pytest.mark.parametrize(
    "text",
    [
        'sum(up{job="service"}) == 2',
        'up{job="service"} offset 1s == 1',
        'sum by (job) (up{job="service"}) >= 2 and on(job) sum by (job) (up{job="service"} offset 1s) > 0',
        f"(sum(increase({SERVER_ERRORS}[1m])) or vector(0)) == 0",
        "absent(no_such_metric) == 1",
        "absent(no_such_metric) == 1 or no_such_metric < 1",
    ],
)
def test_a_check_holds_on_a_healthy_stack_once_it_was_scraped_again(url: str, text: str) -> None:
    status, said = poll(url, text, since_s=time.time())
    assert status == 0, said


def test_a_check_that_does_not_hold_says_what_is(url: str) -> None:
    assert poll(url, 'sum(up{job="service"}) == 2')[0] == 0
    assert ask(url, 'sum(up{job="service"}) == 3') == (1, "promql: does not hold; the values are\n{} 2\n")
    assert ask(url, 'absent(up{job="service"}) == 1')[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "(sum(rate(no_such_metric[1m])) or vector(0)) < 1",
        'sum(up{job="service"}) == 2 unless no_such_metric',
        'no_such_metric offset 1s == 0 or sum(up{job="service"}) == 2',
    ],
)
def test_a_metric_that_does_not_exist_never_holds(url: str, text: str) -> None:
    status, said = ask(url, text)
    assert (status, "no_such_metric" in said, "there is no such series now" in said) == (1, True, True)


@pytest.mark.parametrize("text", ['up{job="service"} == 1', 'up{job="service"} offset 1s == 1', "absent(nothing) == 1"])
def test_a_sample_from_before_the_last_step_does_not_count(url: str, text: str) -> None:
    assert poll(url, text)[0] == 0
    changed_at_s = time.time() + 1
    status, said = ask(url, text, changed_at_s)
    assert (status, "no sample newer than the last step yet" in said) == (1, True)
    status, said = poll(url, text, changed_at_s)
    assert (status, time.time() > changed_at_s) == (0, True), said


def test_what_prometheus_cannot_read_is_refused(url: str) -> None:
    status, said = ask(url, "up >>> 1")
    assert (status, "Prometheus refuses the expression" in said) == (2, True)
