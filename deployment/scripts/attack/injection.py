"""Payloads in every place that takes a text: rejected, or stored as they are, and never executed."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from attack.accounts import Session, kept, new_account, sign_in
from attack.payloads import Form

if TYPE_CHECKING:
    from pathlib import Path

    from attack.findings import Findings
    from attack.payloads import Payload, Payloads
    from attack.wire import Answer, Target

CREATED, OK, FAILURE = 201, 200, 500


@dataclass(slots=True)
class Tally:
    """What came of the payloads of one class."""

    payloads: int = 0
    requests: int = 0
    rejected: int = 0
    stored: int = 0
    slowest_s: float = 0
    broken: int = 0


@dataclass(slots=True)
class Injection:
    """One run over all payloads."""

    target: Target
    session: Session
    canary: Path
    leaks: tuple[str, ...]
    found: Findings
    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def send(self, payload: Payload) -> None:
        """Send one payload to every place."""
        self.tallies[payload.kind].payloads += 1
        if payload.form is Form.JSON:
            self._as_json(payload)
            return
        text = payload.text
        for path in ("/api/execute/status/{}", "/api/execute/{}", "/api/checkpoints/{}", "/{}"):
            self._ask(payload, "GET", path.format(quote(text, safe="")))
            # As it is, where that is a request at all.
            if text.isascii() and text.isprintable() and " " not in text:
                self._ask(payload, "GET", path.format(text))
        for query in ("/api/checkpoints/x?limit={}", "/api/reliability/metrics?window_s={}"):
            self._ask(payload, "GET", query.format(quote(text, safe="")))
        header = text.encode("ascii", "replace").decode().replace("\n", " ").replace("\r", " ").replace("\0", " ")
        for name in ("X-Request-ID", "Authorization", "User-Agent", "X-Forwarded-For"):
            self._ask(payload, "GET", "/api/pipelines", headers={name: header})
        self._ask(payload, "GET", "/api/pipelines", headers={"Authorization": f"Bearer {header}"})
        self._ask(payload, "POST", "/api/execute/pipeline", {"pipeline": text})
        self._ask(payload, "POST", "/api/users", {**asdict(new_account("x")), "name": text}, mine=True)
        self._ask(payload, "POST", "/api/execute/pipeline", text)
        self._stored(payload, {"text": text, text[:100]: text})
        key = self._ask(payload, "POST", "/api/keys", {"name": text[:100] or "x"}, mine=True)
        if key.status == CREATED:
            names = [each["name"] for each in self.session.ask("GET", "/api/keys").json()["keys"]]
            self._expect(payload, "a key's name as it is listed", text[:100] in names, wanted=True)
            self.session.ask("DELETE", f"/api/keys/{key.json()['key_id']}")

    def _as_json(self, payload: Payload) -> None:
        self._ask(payload, "POST", "/api/execute/pipeline", payload.text)
        self._ask(payload, "POST", "/api/users", payload.text, mine=True)
        self._ask(payload, "POST", "/api/keys", payload.text, mine=True)
        self._ask(payload, "POST", "/api/session", payload.text)
        if isinstance(payload.value, dict):
            self._ask(payload, "POST", "/api/execute/pipeline", {"pipeline": "transform", **payload.value})
            self._ask(payload, "POST", "/api/users", {**asdict(new_account("x")), **payload.value}, mine=True)
            self._stored(payload, {**payload.value, "text": "harmless"})
        self._stored(payload, {"text": "harmless", "nested": payload.value})

    def _stored(self, payload: Payload, data: dict[str, object]) -> None:
        """Run a pipeline on it: what comes back must be what was sent."""
        order = {"pipeline": "transform", "input": data, "wait_s": 10}
        started = self._ask(payload, "POST", "/api/execute/pipeline", order, mine=True)
        if started.status != OK:
            return
        job = started.json()["job_id"]
        shown = self._ask(payload, "GET", f"/api/execute/{job}", mine=True).json()
        if self._expect(payload, "the input as it was stored", shown["input"], wanted=data):
            self.tallies[payload.kind].stored += 1

    def _ask(  # noqa: PLR0913 - named, each of them
        self,
        payload: Payload,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        *,
        mine: bool = False,
    ) -> Answer:
        answer = (self.session if mine else self.target).ask(method, path, body, headers)
        tally = self.tallies[payload.kind]
        tally.requests += 1
        tally.rejected += 400 <= answer.status < FAILURE  # noqa: PLR2004 - the caller's error
        tally.slowest_s = max(tally.slowest_s, answer.seconds)
        where = f"{method} {path[:60]}"
        self._expect(payload, f"{where}: an answer", 0 < answer.status < FAILURE, wanted=True)
        if answer.status >= 300:  # noqa: PLR2004 - refused
            told = _without_echo(answer.text, payload.text)
            leaked = [word for word in self.leaks if word.lower() in told]
            self._expect(payload, f"{where}: words of our insides", leaked, wanted=[])
        self._expect(payload, f"{where}: kind of answer", answer.headers.get("content-type"), "application/json")
        executed = [each for each in payload.never if each in answer.text]
        self._expect(payload, f"{where}: signs that it was executed", executed, wanted=[])
        return answer

    def _expect(self, payload: Payload, what: str, found: object, wanted: object) -> bool:
        held = self.found.expect(f"{payload.kind} {payload.text[:40]!r}: {what}", found, wanted)
        self.tallies[payload.kind].broken += not held
        return held


def inject(target: Target, payloads: Payloads, kind: str | None, canary: Path, found: Findings) -> None:
    """Send all payloads, or those of one class."""
    run = Injection(target, sign_in(target, kept("bob")), canary, payloads.leaks, found)
    for payload in payloads.all:
        if kind in {None, payload.kind}:
            run.send(payload)
    for name, tally in sorted(run.tallies.items()):
        found.say(
            f"{name}: payloads {tally.payloads}, requests {tally.requests}, rejected {tally.rejected}, "
            f"stored as sent {tally.stored}, guards broken {tally.broken}"
        )
    total = [sum(getattr(tally, each) for tally in run.tallies.values()) for each in ("payloads", "requests", "broken")]
    slowest_s = max(tally.slowest_s for tally in run.tallies.values())
    counts = f"payloads: {total[0]}, requests: {total[1]}, guards broken: {total[2]}"
    found.say(f"{counts}, slowest answer: {slowest_s:.2f} s")
    found.expect("the file that a command would have made", canary.exists(), False)  # noqa: FBT003
    found.expect("bob's role", run.session.ask("GET", "/api/session").json()["role"], "member")


def _without_echo(text: str, payload: str) -> str:
    """Return an answer in small letters without the caller's own words, however they were quoted."""
    told = text
    for each in (payload, repr(payload)[1:-1], quote(payload, safe="")):
        for shown in (each, json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1]):
            if shown:
                told = told.replace(shown, "")
    return told.lower()
