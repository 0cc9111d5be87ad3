"""Which disks tell this machine of all that happens to them, and what a watch is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runbook_checks.watching import Watch, tells_all

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
30 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 30 0:50 / /home/a rw - nfs4 server:/export rw
32 31 0:51 / /home/a/local rw - xfs /dev/vdb rw
33 30 0:52 / /with\\040space rw - fuse.sshfs host: rw
34 30 0:53 / /twice rw - ext4 /dev/vdc rw
35 34 0:54 / /twice rw - 9p host rw
"""


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        ("/srv/x", True),
        ("/", True),
        ("/home/a/x", False),
        ("/home/a", False),
        ("/home/ab", True),
        ("/home/a/local/x", True),
        ("/with space/x", False),
        ("/twice/x", False),
        ("/proc/self", False),
    ],
)
def test_a_disk_that_other_machines_write_to_is_not_believed(folder: str, *, told: bool) -> None:
    assert tells_all(folder, MOUNTS) is told


def test_without_a_table_of_mounts_nothing_is_believed() -> None:
    assert not tells_all("/srv", "")
    assert not tells_all("/srv", "nonsense\n - ext4")


def test_a_watch_tells_of_a_change_once(tmp_path: Path) -> None:
    with Watch() as watch:
        assert watch.begin(str(tmp_path))
        assert watch.quiet()
        (tmp_path / "file").write_text("x")
        assert not watch.quiet()
        assert watch.quiet()
        (tmp_path / "file").read_text()
        assert watch.quiet()


def test_a_link_and_what_is_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    with Watch() as watch:
        assert not watch.begin(str(tmp_path / "file"))
        assert not watch.begin(str(tmp_path / "link"))
        assert not watch.begin(str(tmp_path / "nothing"))


def test_a_watch_that_was_given_back_is_never_quiet(tmp_path: Path) -> None:
    with Watch() as watch:
        assert watch.begin(str(tmp_path))
    assert not watch.quiet()
    assert not watch.begin(str(tmp_path))
