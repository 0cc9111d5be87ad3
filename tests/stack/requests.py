"""Executions asked of a real stack through its load balancer, and what its scripts say when shares are even."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stack.running_stack import Stack

SCRIPTS = "deployment/scripts"
EVEN = "service-a: 50 %\nservice-b: 50 %\n"


@contextmanager
def traffic(stack: Stack, **body: object) -> Iterator[None]:
    """Executions through the load balancer, from a few clients at once."""
    api, over = stack.env()["API_URL"], threading.Event()

    def ask() -> None:
        while not over.is_set():
            execute(api, **body)
            time.sleep(0.02)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        over.set()
        for client in clients:
            client.join()


def execute(api: str, **body: object) -> tuple[int, str]:
    """Ask for an execution; return the status of the answer, and its body."""
    order = {"pipeline": "transform", "input": {"text": "one"}} | body
    headers = {"Content-Type": "application/json"}
    try:
        with urlopen(Request(f"{api}/api/execute/pipeline", json.dumps(order).encode(), headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
