"""Which worker runs which procedures: those that share prerequisites stay together, so that these run once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from runbook_checks.catalog import Catalog
    from runbook_checks.model import Procedure


class ByNeeds:
    """A pytest plugin for the controller that hands procedures to workers group by group."""

    def __init__(self, groups: Mapping[str, str]) -> None:
        """Take the group of every node id."""
        self.groups = groups

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> LoadScopeScheduling:
        """Return the scheduler that keeps groups together."""
        return _Scheduling(config, log, self.groups)


def groups_of(catalog: Catalog, procedures: Iterable[Procedure]) -> dict[str, str]:
    """Return the group of each procedure by node id; one that needs another, or the same third one, is in its group."""
    leader: dict[str, str] = {}

    def find(one: str) -> str:
        while leader.setdefault(one, one) != one:
            one = leader[one]
        return one

    procedures = tuple(procedures)
    for procedure in procedures:
        for need in catalog.needs(procedure):
            leader[find(need.id)] = find(procedure.id)
    return {procedure.node_id: find(procedure.id) for procedure in procedures}


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    def __init__(self, config: pytest.Config, log: Producer, groups: Mapping[str, str]) -> None:
        super().__init__(config, log)
        self._groups = groups

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.get(nodeid, nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """Give a lost worker's work to the others, but for what it was running: a step never runs twice.

        xdist would give them what is done too, and who gets nothing else waits for ever (pytest-xdist issue 1378).
        """
        units = self.assigned_work[node]
        running = next((name for unit in units.values() for name, done in unit.items() if not done), None)
        for unit in units.values():
            if running in unit:
                unit[running] = True
        self.assigned_work[node] = {scope: unit for scope, unit in units.items() if not all(unit.values())}
        super().remove_node(node)
        return running

    def _reschedule(self, node: WorkerController) -> None:
        """Give nothing to who replaces a lost worker and has yet to say what it knows: schedule() does, as it says so.

        xdist would end the whole run (KeyError) when another worker is lost at that moment.
        """
        if node in self.registered_collections:
            super()._reschedule(node)

    def schedule(self) -> None:
        """Give who replaces a lost worker a second group too: the first procedure begins when the next is known."""
        super().schedule()
        for node in self.nodes:
            if self.workqueue and self._pending_of(self.assigned_work[node]) == 1:
                self._reschedule(node)
