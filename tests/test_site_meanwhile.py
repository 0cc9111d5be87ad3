"""Publishing beside the build: what is written, what is refused, and what happens when the other process ends."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from publications import publication

from runbook_checks.errors import UsageError
from runbook_checks.site import meanwhile

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.site.publication import Publication


def write(site: Publication) -> None:
    site.write("made.txt", str(os.getpid()))


def refuse(site: Publication) -> None:
    site.write("../outside.txt", "")


def end(_: Publication) -> None:
    os._exit(9)


@pytest.mark.parametrize("fork", [True, False])
def test_all_is_published_when_it_is_finished(tmp_path: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter
    monkeypatch.setattr(meanwhile, "can_fork", lambda: fork)
    meanwhile.start((write,), publication(tmp_path, ())).finish()
    assert (int((tmp_path / "made.txt").read_text()) != os.getpid()) is fork


@pytest.mark.parametrize("fork", [True, False])
def test_what_a_publisher_refuses_is_told(tmp_path: Path, fork: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter
    monkeypatch.setattr(meanwhile, "can_fork", lambda: fork)
    with pytest.raises(UsageError, match="would lie outside the site"):
        meanwhile.start((refuse, write), publication(tmp_path, ())).finish()
    assert not (tmp_path / "made.txt").exists()


def test_an_end_of_the_other_process_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meanwhile, "can_fork", lambda: True)
    with pytest.raises(UsageError, match="ended before it was done"):
        meanwhile.start((end,), publication(tmp_path, ())).finish()
