"""What the command line has chosen, told to pytest and its workers: no list of ten thousand arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runbook_checks.config import FILE_NAME, load_config
from runbook_checks.pytest_plugin import CHOSEN_INPUT
from runbook_checks.sharing import CHOSEN, RUNBOOKS, Runbooks, choice_of

if TYPE_CHECKING:
    from runbook_checks.catalog import Catalog
    from runbook_checks.config import Config


class Chosen:
    """The command line's choice of procedures: these are collected and no others, and what it has read is not again."""

    def __init__(self, node_ids: tuple[str, ...], config: Config, catalog: Catalog) -> None:
        """Choose procedures by their node ids, in the order in which they are to run."""
        self.node_ids = node_ids
        self.config = config
        self.catalog = catalog

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Leave the choice where the collectors find it."""
        config.stash[CHOSEN] = choice_of(self.node_ids, config.rootpath)
        path = self.config.root / FILE_NAME
        if path.is_file() and load_config(path) == self.config:  # it may have been given another one
            config.stash.setdefault(RUNBOOKS, {})[path] = Runbooks(self.config, self.catalog, config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - xdist's own
        """Tell a worker."""
        node.workerinput[CHOSEN_INPUT] = list(self.node_ids)
