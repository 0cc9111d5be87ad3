"""A drill: the alert is silent, the fault makes it fire, somebody is told, and only the steps make it go away."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from runbook_checks.links import Fault
from runbook_checks.model import DRILL_FIGURES, Role, runs_in
from runbook_checks.monitoring import NoAnswerError
from runbook_checks.proof import proving_checks
from runbook_checks.record import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runbook_checks.model import Block, Procedure
    from runbook_checks.monitoring import Monitoring, Notification

POLL_S = 0.25
SOUND_S = 5.0  # what is well before the fault says so by then
CLOCK_SKEW_S = 5.0  # a notification that arrives later than now has another clock
SETTLE_S = 20.0  # what starts again at the end may take so long to look as before
_NAMED = 5  # differences that a reason names
_FAULT, _FIRED, _NOTIFIED = "fault", "fired", "notified"
_BEGUN, _ENDED, _RESOLVED, _TOLD = "steps begun", "steps ended", "resolved", "resolution delivered"
MOMENTS = (_FAULT, _FIRED, _NOTIFIED, _BEGUN, _ENDED, _RESOLVED, _TOLD)
_MEASURES = dict(zip(DRILL_FIGURES, (_FIRED, _NOTIFIED, _RESOLVED), strict=True))


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since the epoch that never go back, and a pause."""

    _offset_s: float = field(default_factory=lambda: time.time() - time.monotonic())

    def now(self) -> float:
        """Return the time."""
        return time.monotonic() + self._offset_s

    def pause(self, duration_s: float) -> None:
        """Let some time pass."""
        time.sleep(duration_s)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question: why the drill has failed, or ''.

    Where it is ``unanswered``, monitoring was silent at least once: without that the drill might not have failed.
    """

    reason: str = ""
    unanswered: bool = False


class Drill:
    """What a drill asks between the blocks of a procedure."""

    def __init__(
        self,
        procedure: Procedure,
        environment: str,
        monitoring: Monitoring,
        holds_now: Callable[[Block, float], bool],
        clock: Clock | None = None,
    ) -> None:
        """Begin; ``holds_now`` asks a check once, of samples that are newer than a time."""
        self.procedure = procedure
        self.alerts = procedure.card.alerts
        self.monitoring = monitoring
        self.settings = monitoring.settings
        self.environment = environment
        self.holds_now = holds_now
        self.clock = clock or Clock()
        self.at: dict[str, float] = {}
        self.silent = False  # whether monitoring once gave no answer: what was seen may have happened earlier
        self._broken_from = 0.0  # when the fault blocks began
        self._before: tuple[str, ...] = ()
        self._sound: list[Block] = []  # the checks that held before the fault, and can show it
        fault = next(block for block in procedure.blocks if block.role is Role.FAULT and runs_in(block, environment))
        self._where = f"{procedure.page}:{fault.span.first}"

    def take_snapshot(self) -> Answer:
        """Note what must be the same afterwards."""
        try:
            self._before = self.monitoring.snapshot()
        except NoAnswerError as error:
            return self._unanswered(error)
        return Answer()

    def is_sound(self) -> Answer:
        """See that a check after the last step holds: what never did would fail for another reason than the fault."""
        asked = proving_checks(self.procedure, self.environment)

        def not_holding() -> str:
            self._sound += [one for one in asked if one not in self._sound and self.holds_now(one, 0.0)]
            return "" if len(self._sound) == len(asked) else "no check after the last step holds before the fault"

        answer = self._until(not_holding, SOUND_S)
        return Answer() if self._sound else self._failed(f"{answer.reason}: none could show it")

    def is_silent(self) -> Answer:
        """See that no alert of the card is there yet, and that the fault may begin."""
        try:
            reason = already(self.alerts, self.monitoring.alerts())
        except NoAnswerError as error:
            return self._unanswered(error)
        self._broken_from = self.clock.now()
        return self._failed(reason)

    def is_noticed(self) -> Answer:
        """See that every alert fires and was delivered with the address of this procedure."""
        self._mark(_FAULT)
        fired: set[str] = set()

        def not_firing() -> str:
            fired.update(name for name, state in self.monitoring.alerts().items() if state == "firing")
            missing = [name for name in self.alerts if name not in fired]
            return f"{_names(missing)} never fired within {self.settings.within_s:g} s of the fault" if missing else ""

        if (answer := self._until(not_firing)).reason:
            return answer
        self._mark(_FIRED)
        return self._delivered("firing", self._broken_from, _NOTIFIED)

    def bites(self) -> Answer:
        """See that a check that held before the fault does not hold now, or soon: its samples may be from before."""
        nothing = "the checks hold while the fault is on: they prove nothing"
        return self._until(lambda: "" if self._shown() else nothing)

    def lasts(self) -> Answer:
        """See that alerts and fault stay without the steps, and that the steps may begin.

        An alert may outlast by minutes what it tells of: only a check says that nobody has to mend anything.
        """
        end = self.clock.now() + self.settings.hold_s
        silence: NoAnswerError | None = None
        while True:
            try:
                states, silence = self.monitoring.alerts(), None
            except NoAnswerError as error:
                states, silence = dict.fromkeys(self.alerts, "firing"), error
            gone = [name for name in self.alerts if states.get(name) != "firing"]
            if gone:
                return self._failed(f"not needed: {_names(gone)} went away without the steps")
            if self.clock.now() >= end:
                break
            self.clock.pause(min(POLL_S, max(0.0, end - self.clock.now())))
        if silence is not None:
            return self._unanswered(silence)
        if (answer := self._until(self._healed_alone, SOUND_S)).reason:
            return answer
        self._mark(_BEGUN)
        return Answer()

    def heals(self) -> Answer:
        """See that every alert is resolved, and that this was delivered."""
        self._mark(_ENDED)

        def still_there() -> str:
            states = self.monitoring.alerts()
            there = [name for name in self.alerts if name in states]
            return f"{_names(there)} never resolved within {self.settings.within_s:g} s of the steps" if there else ""

        if (answer := self._until(still_there)).reason:
            return answer
        self._mark(_RESOLVED)
        if (answer := self._delivered("resolved", self.at[_BEGUN], _TOLD)).reason:
            return answer
        back: list[str] = []

        def asked_again() -> str:
            states = self.monitoring.alerts()
            back[:] = [name for name in self.alerts if name in states]
            return ""

        answer = self._until(asked_again)
        return answer if answer.reason else self._failed(f"{_names(back)} came back after the steps" if back else "")

    def is_as_before(self) -> Answer:
        """See that the snapshot is what it was, now or soon."""
        return self._until(lambda: differences(self._before, self.monitoring.snapshot()), SETTLE_S)

    def moments(self) -> tuple[Moment, ...]:
        """Return what happened when."""
        return tuple(Moment(name, _at(self.at[name], "milliseconds")) for name in MOMENTS if name in self.at)

    def figures(self) -> Mapping[str, float]:
        """Return the seconds from the fault to what a drill measures."""
        return {
            name: round(self.at[moment] - self.at[_FAULT], 3) for name, moment in _MEASURES.items() if moment in self.at
        }

    def _delivered(self, status: str, since: float, moment: str) -> Answer:
        """See that somebody is told of every alert; that one fires, never with an address that leads elsewhere."""
        about: list[Notification] = []

        def untold() -> str:
            all_told = self.monitoring.notifications()
            told = (one for one in all_told if one.status == status and one.at >= since)
            about[:] = [one for one in told if one.alert in self.alerts]
            ahead_s = max((one.at for one in about), default=0.0) - self.clock.now()
            if ahead_s > CLOCK_SKEW_S:
                return f"a notification is dated {ahead_s:.0f} s in the future: it may be from before the fault"
            missing = [name for name in self.alerts if name not in {one.alert for one in about}]
            if not missing:
                return ""
            why = left_open(missing, all_told) if status == "firing" else ""
            return f"nobody was told in time that {_names(missing)} is {status}{why}"

        if (answer := self._until(untold)).reason:
            return answer
        arrived = [next(one.at for one in about if one.alert == name) for name in self.alerts]
        self.at[moment] = max(*arrived, *self.at.values())  # an earlier one was noticed later
        astray = [reason for one in about if status == "firing" and (reason := self._astray(one))]
        return self._failed("; ".join(dict.fromkeys(astray)))

    def _shown(self) -> bool:
        """Return whether a check shows the fault by the samples that there are: a want of new ones shows nothing."""
        return any(not self.holds_now(check, 0.0) for check in self._sound)

    def _healed_alone(self) -> str:
        """Return that what the fault has broken is well again, or ''."""
        return "" if self._shown() else "not needed: the checks hold again without the steps, and only the alert stays"

    def _astray(self, one: Notification) -> str:
        """Return why the address in a notification does not lead to this procedure, or ''."""
        if not one.runbook_url:
            return f"{one.alert} was delivered without a runbook_url"
        found = self.monitoring.leads(one.runbook_url)
        if isinstance(found, Fault):
            return f"{one.alert} was delivered with a runbook_url that {found.reason}: {one.runbook_url}"
        elsewhere = found.id != self.procedure.id
        return f"{one.alert} was delivered with the runbook_url of {found.id}: {one.runbook_url}" if elsewhere else ""

    def _until(self, why_not: Callable[[], str], within_s: float | None = None) -> Answer:
        """Ask until the answer is '', or the time is over; then return the last answer, and whether any was missing."""
        end = self.clock.now() + (self.settings.within_s if within_s is None else within_s)
        silence: NoAnswerError | None = None
        while True:
            try:
                reason, missing = why_not(), None
            except NoAnswerError as error:
                reason, missing = "", error
            silence = missing or silence
            if missing is None and not reason:
                self.silent = self.silent or silence is not None
                return Answer()
            if self.clock.now() >= end:
                return self._failed(reason) if silence is None else self._unanswered(silence, reason)
            self.clock.pause(POLL_S)

    def _mark(self, moment: str) -> None:
        self.at[moment] = max([self.clock.now(), *self.at.values()])

    def _failed(self, reason: str) -> Answer:
        return Answer(f"{self._where}: {reason}" if reason else "")

    def _unanswered(self, silence: NoAnswerError, reason: str = "") -> Answer:
        """Return that monitoring gave no answer, or, when the last answer is known, not always."""
        self.silent = True
        how = "did not always answer" if reason else "gave no answer"
        told = f"{self._where}: monitoring {how}, and nobody can say whether the steps are at fault: {silence}"
        return Answer(f"{told}; its last answer: {reason}" if reason else told, unanswered=True)


def already(alerts: Iterable[str], states: Mapping[str, str]) -> str:
    """Return which alerts are not silent, or ''."""
    return "; ".join(
        f"{name} fires already" if states[name] == "firing" else f"{name} is {states[name]} already"
        for name in alerts
        if name in states
    )


def left_open(alerts: Sequence[str], told: Iterable[Notification]) -> str:
    """Return why Alertmanager may hold back that alerts fire, or ''.

    It remembers what it has told, not what fires, and tells the same again only after its ``repeat_interval``:
    https://prometheus.io/docs/alerting/latest/configuration/#route
    """
    last = {one.alert: one for one in sorted(told, key=lambda one: one.at)}
    still = [last[name] for name in alerts if name in last and last[name].status == "firing"]
    return "".join(
        f"; {one.alert} was told to fire at {_at(one.at, 'seconds')}, and its end was never told: "
        "Alertmanager tells the same again only after its repeat_interval"
        for one in still
    )


def differences(before: Sequence[str], after: Sequence[str]) -> str:
    """Return which lines of a snapshot are not the same, or ''."""
    gone = [f"- {line}" for line in before if line not in set(after)]
    new = [f"+ {line}" for line in after if line not in set(before)]
    if not gone and not new:
        return (
            "" if sorted(before) == sorted(after) else "the stack is not as before: lines of the snapshot are repeated"
        )
    named = [*gone[:_NAMED], *new[:_NAMED]]
    left = len(gone) + len(new) - len(named)
    return "\n".join(["the stack is not as before:", *named, *([f"and {left} more"] if left else [])])


def _names(alerts: Iterable[str]) -> str:
    return ", ".join(alerts)


def _at(since_epoch_s: float, precision: str) -> str:
    return datetime.fromtimestamp(since_epoch_s, UTC).isoformat(timespec=precision)
