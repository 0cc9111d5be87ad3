"""What the folder of a run is now: asked again when something may have changed, and never told as it was."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from runbook_checks import checkout as module
from runbook_checks.checkout import Checkout, git_state
from runbook_checks.files import FileHashes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    subprocess.run(("git", "-C", str(root), *identity, *arguments), check=True, capture_output=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a checkout with some folders, one of them empty, and some that are ignored."""
    root = tmp_path / "repository"
    folders = ("docs/deep/er", "scripts", "empty", ".runbook-checks/evidence", "build/part", "logs")
    for folder in (*folders, "alike/objects", "alike/hooks"):
        (root / folder).mkdir(parents=True)
    (root / ".gitignore").write_text("/build/\n*.log\n")
    (root / ".runbook-checks" / ".gitignore").write_text("*\n")
    (root / "docs" / "deep" / "er" / "page.md").write_text("one\n")
    (root / "scripts" / "act.sh").write_text("echo one\n")
    (root / "logs" / "a.log").touch()
    (root / "alike" / "HEAD").touch()
    (root / "alike" / "hooks" / "act.sh").write_text("echo one\n")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return root


class Asked:
    """Counts how often git is asked for the state of a folder."""

    count = 0


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    counted = Asked()

    def counting(root: Path) -> tuple[str, bool]:
        counted.count += 1
        return git_state(root)

    monkeypatch.setattr(module, "git_state", counting)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 1000.0)  # what the kernel tells is what is tried here
    return counted


@pytest.fixture
def checkout(root: Path, asked: Asked) -> Iterator[Checkout]:
    with Checkout(root) as one:
        assert one.state() == git_state(root)
        assert not one.state()[1]
        assert asked.count == 1
        yield one


def in_same_tick(root: Path) -> None:
    path = root / "scripts" / "act.sh"
    before = path.stat()
    path.write_text("echo two\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def in_a_folder_made_later(root: Path) -> None:
    (root / "later").mkdir()
    (root / "later" / "file").write_text("x")


def by_another_process(root: Path) -> None:
    subprocess.run(["sh", "-c", "echo 3 >>docs/deep/er/page.md"], cwd=root, check=True)


def beside_what_is_ignored(root: Path) -> None:
    (root / "logs" / "new").touch()


def below_what_looks_like_git(root: Path) -> None:
    (root / "alike" / "hooks" / "act.sh").write_text("echo two\n")


def many(root: Path) -> None:
    for number in range(20_000):  # more than the kernel keeps for us
        (root / "build" / "x").touch()
        (root / "docs" / f"{number % 2}").touch()
    for number in range(2):
        (root / "docs" / f"{number}").unlink()
    (root / "empty" / "x").touch()


def becomes_a_link(root: Path) -> None:
    (root / "scripts" / "act.sh").unlink()
    (root / "scripts" / "act.sh").symlink_to("../docs")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is edited": lambda root: (root / "scripts" / "act.sh").write_text("echo 2\n"),
    "a file is edited, with its old size and time": in_same_tick,
    "a file is edited by another process": by_another_process,
    "a file comes into an empty folder": lambda root: (root / "empty" / "new").touch(),
    "a file comes with its folder": in_a_folder_made_later,
    "a file comes into a folder of which all is ignored": beside_what_is_ignored,
    "a file is edited below a folder that looks like git's own": below_what_looks_like_git,
    "a file may be executed": lambda root: (root / "scripts" / "act.sh").chmod(0o755),
    "a file goes": lambda root: (root / "scripts" / "act.sh").unlink(),
    "a file moves": lambda root: (root / "scripts" / "act.sh").rename(root / "docs" / "act.sh"),
    "a folder moves": lambda root: (root / "docs" / "deep").rename(root / "empty" / "deep"),
    "a file becomes a link to a folder": becomes_a_link,
    "something is committed": lambda root: git(root, "commit", "-q", "--allow-empty", "-m", "second"),
    "another branch is checked out": lambda root: git(root, "switch", "-q", "-c", "other"),
    "the branch is moved": lambda root: git(root, "update-ref", "refs/heads/x", "HEAD"),
    "git is told to look away": lambda root: git(root, "update-index", "--assume-unchanged", "scripts/act.sh"),
    "something is ignored no longer": lambda root: (root / ".gitignore").write_text(""),
    "something is excluded": lambda root: (root / ".git" / "info" / "exclude").write_text("scripts\n"),
    "more happens than the kernel keeps": many,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen_at_once(root: Path, checkout: Checkout, change: Callable[[Path], object]) -> None:
    known = checkout.hashes()
    change(root)
    assert checkout.state() == git_state(root)
    now, files = checkout.hashes(), FileHashes(root)
    assert now is not known
    assert now.matching(["*", "docs/**/*"]) == files.matching(["*", "docs/**/*"])
    assert now.hash("scripts/act.sh") == files.hash("scripts/act.sh")


def test_what_changes_after_a_change_is_seen_too(root: Path, checkout: Checkout) -> None:
    in_a_folder_made_later(root)
    assert checkout.state()[1]
    git(root, "add", "-A")
    git(root, "commit", "-qm", "second")
    assert checkout.state() == (git_state(root)[0], False)
    (root / "later" / "file").write_text("y")  # in a folder that was not there when we began
    assert checkout.state()[1]


def test_git_is_not_asked_again_when_nothing_has_changed(root: Path, checkout: Checkout, asked: Asked) -> None:
    known = checkout.hashes()
    for number in range(20):
        (root / ".runbook-checks" / "evidence" / "record").write_text(f"{number}")  # our own
        (root / "build" / "part" / f"{number}").touch()
        (root / "scripts" / "act.sh").read_text()
        git(root, "--no-optional-locks", "status")
        assert checkout.state() == git_state(root)
        assert checkout.hashes() is known
    assert asked.count == 1


def test_an_ignored_file_that_was_read_is_read_again_when_it_changes(root: Path, checkout: Checkout) -> None:
    path = root / "build" / "made.sh"
    path.write_text("echo 1\n")
    os.utime(path, (1, 1))
    before = checkout.hashes().hash("build/made.sh")
    path.write_text("echo 2\n")
    assert checkout.hashes().hash("build/made.sh") != before


def test_an_ignored_file_that_comes_later_is_found(root: Path, checkout: Checkout) -> None:
    assert checkout.hashes().matching(["build/*.sh"]) == ()
    (root / "build" / "made.sh").touch()
    assert checkout.hashes().matching(["build/*.sh"]) == ("build/made.sh",)


def test_a_file_that_has_just_changed_is_not_believed_to_be_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.files._TICK_NS", 10**12)  # on a busy machine a moment is long
    hashes = FileHashes(root)
    hashes.hash("scripts/act.sh")
    assert not hashes.hold()  # written a moment ago: it could be written again within one tick of the disk's clock
    old = FileHashes(root)
    old.hash("nothing/there")
    assert old.hold()
    (root / "nothing").mkdir()
    (root / "nothing" / "there").touch()
    assert not old.hold()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: os.link(root / "scripts" / "act.sh", root.parent / "other-name"),
        lambda root: (root / "docs" / "link").symlink_to(root / "build"),
        lambda root: (root / "docs" / "link").symlink_to(root / "build" / "later"),
    ],
    ids=["a file with another name", "a link to a folder", "a link to nothing"],
)
def test_where_something_could_change_untold_git_is_asked_each_time(
    root: Path, asked: Asked, spoil: Callable[[Path], object]
) -> None:
    spoil(root)
    with Checkout(root) as one:
        assert one.state() == one.state() == git_state(root)
        assert asked.count == 2
        (root.parent / "other-name").write_text("echo 2\n")
        assert one.state() == git_state(root)


def test_where_the_kernel_tells_nothing_git_is_asked_each_time(
    root: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runbook_checks.watching._inotify", lambda: None)
    with Checkout(root) as one:
        assert one.state() == one.state()
        assert asked.count == 2
        assert one.hashes() is not one.hashes()


def test_too_many_folders_are_not_watched(root: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_FOLDERS", 3)
    with Checkout(root) as one:
        assert one.state() == one.state()
        assert asked.count == 2


def test_git_is_asked_again_after_a_while_whatever_the_kernel_tells(
    root: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr(module, "_SHARE", 0.0)
    with Checkout(root) as one:
        assert one.state() == one.state()
        assert asked.count == 2


def test_a_change_above_the_folder_or_in_another_worktree_is_seen(root: Path, asked: Asked) -> None:
    git(root, "worktree", "add", "-q", "../second")
    second = root.parent / "second"
    with Checkout(second / "docs") as one:
        assert one.state() == one.state() == git_state(second)
        assert asked.count == 1
        (second / "scripts" / "new").touch()
        assert one.state()[1]
        git(second, "add", "-A")
        git(second, "commit", "-qm", "third")
        assert one.state() == git_state(second)
        assert not one.state()[1]


def test_a_folder_that_is_no_checkout_is_always_dirty_until_it_is_one(tmp_path: Path, asked: Asked) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / ".runbook-checks").mkdir()
    with Checkout(tmp_path) as one:
        assert one.state() == one.state() == ("", True)
        (tmp_path / ".runbook-checks" / "record").touch()
        assert one.state() == ("", True)
        assert asked.count == 1
        (tmp_path / "docs" / "a.sh").touch()
        assert one.hashes().matching(["docs"]) == ("docs/a.sh",)
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", "docs")
        git(tmp_path, "commit", "-qm", "first")
        assert one.state() == git_state(tmp_path)
        assert one.state()[0]


def test_after_its_end_it_still_answers_by_asking(root: Path, asked: Asked) -> None:
    with Checkout(root) as one:
        assert not one.state()[1]
    (root / "empty" / "new").touch()
    assert one.state()[1]
    assert asked.count == 2
