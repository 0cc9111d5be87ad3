"""The two releases that are deployed one after the other, built as an operator builds them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from conftest import RunningReplica, StartReplica, query, wait_until

BUILD = Path(__file__).parents[2] / "scripts" / "build.sh"
OLD, NEW = "0.1.3", "0.2.0"


def build(*arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUILD, *arguments], capture_output=True, text=True, env={**os.environ, **environ}, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {}
    folder = tmp_path_factory.mktemp("releases")
    for version in (OLD, NEW):
        run = build(version, "--into", folder)
        assert run.returncode == 0, run.stderr
        found[version] = Path(run.stdout.split(" is ready: ")[1].rpartition(" (")[0])
    return found


def service(release: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [release / "bin" / "ia-service", *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_release_says_what_it_is_and_is_not_built_twice(releases: dict[str, Path]) -> None:
    for version, folder in releases.items():
        manifest = json.loads((folder / "release.json").read_text())
        assert (manifest["release"], manifest["ia_modules_version"]) == (folder.name, version)
        assert json.loads(service(folder, "version").stdout)["release"] == folder.name
        assert build(version, "--into", folder.parent).stdout.endswith("(unchanged)\n")


def test_a_release_never_changes(releases: dict[str, Path]) -> None:
    manifest = releases[NEW] / "release.json"
    as_built = manifest.read_text()
    manifest.write_text(as_built.replace('"sources": "', '"sources": "other'))
    try:
        run = build(NEW, "--into", releases[NEW].parent)
    finally:
        manifest.write_text(as_built)
    assert (run.returncode, run.stdout) == (2, "")
    assert "built from other sources. A release never changes: raise the version" in run.stderr


def test_other_users_can_read_and_run_a_release(releases: dict[str, Path]) -> None:
    for folder in releases.values():
        modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
        assert [path for path, mode in modes.items() if not mode & 0o004] == []
        assert modes[folder / "bin" / "ia-service"] & 0o001


def test_no_release_appears_when_its_build_fails(tmp_path: Path) -> None:
    broken = tmp_path / "bin" / "uv"
    broken.parent.mkdir()
    broken.write_text('#!/bin/sh\ntouch "$0.called"\nexit 1\n')
    broken.chmod(0o755)
    into = tmp_path / "releases"
    run = build(NEW, "--into", into, PATH=f"{broken.parent}:{os.environ['PATH']}")
    assert run.returncode != 0
    assert broken.with_name("uv.called").exists()
    assert list(into.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "which ia-modules VERSION"), (("9.9",), "there are: 0.1.3 0.2.0"), (("--fast",), "unknown option --fast")],
)
def test_a_wrong_command_line_is_explained_with_status_2(arguments: tuple[str, ...], message: str) -> None:
    run = build(*arguments)
    assert run.returncode == 2
    assert message in run.stderr


def test_old_and_new_release_serve_one_database_and_the_old_one_can_return(
    releases: dict[str, Path], empty_database: str, start_replica: StartReplica
) -> None:
    old, new = releases[OLD], releases[NEW]

    def start(release: Path, name: str) -> RunningReplica:
        return start_replica(empty_database, name, python=release / "bin" / "python")

    assert service(old, "migrate", DATABASE_URL=empty_database).returncode == 0
    first = start(old, "first")
    before = first.execute("parallel", values=[1, 2])["job_id"]

    outcomes: list[object] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            outcomes.append(first.execute("transform", text="under load")["status"])

    loading = threading.Thread(target=load)
    loading.start()
    checked = service(new, "migrate", "--check", DATABASE_URL=empty_database)
    assert (checked.returncode, "pending: V004__reconcile_hitl_schema\n" in checked.stdout) == (1, True)
    assert "V002__hitl_schema was applied by a release that carries another text" in checked.stdout
    assert service(new, "migrate", DATABASE_URL=empty_database).returncode == 0
    second = start(new, "second")
    during = second.execute("loop", number=9)["job_id"]
    stop.set()
    loading.join()
    assert set(outcomes) == {"completed"}
    for replica in (first, second):
        assert replica.http.get("/health").status_code == 200
        for job in (before, during):
            assert replica.http.get(f"/api/execute/status/{job}").json()["status"] == "completed"

    os.kill(second.pid, signal.SIGTERM)
    os.waitpid(second.pid, 0)
    assert service(old, "migrate", "--check", DATABASE_URL=empty_database).returncode == 0
    back = start(old, "back")
    assert back.execute("conditional", items=[{"price": 5}])["status"] == "completed"
    taken = query(empty_database, "SELECT replica, min(release) FROM service_jobs GROUP BY replica")
    assert sorted(taken) == [("back", old.name), ("first", old.name), ("second", new.name)]


@pytest.mark.parametrize("version", [OLD, NEW])
def test_a_reader_never_sees_a_completed_execution_without_its_output(
    releases: dict[str, Path], database: str, start_replica: StartReplica, version: str
) -> None:
    replica = start_replica(database, python=releases[version] / "bin" / "python")
    job = replica.execute("slow", wait_s=0, seconds=0.2)["job_id"]
    seen: list[tuple[object, object]] = []

    def ended() -> bool:
        found = replica.http.get(f"/api/execute/{job}").json()
        seen.append((found["status"], found["output"] is None))
        return bool(found["status"] == "completed")

    wait_until(ended, "the execution ends")
    assert ("completed", True) not in seen


@pytest.mark.parametrize(("killed", "going_on"), [(OLD, OLD), (OLD, NEW), (NEW, OLD), (NEW, NEW)])
def test_what_one_release_has_begun_any_release_resumes_and_both_record_the_same(
    releases: dict[str, Path], database: str, start_replica: StartReplica, killed: str, going_on: str
) -> None:
    first = start_replica(database, "first", python=releases[killed] / "bin" / "python", STUCK_AFTER_SECONDS="1")
    second = start_replica(database, "second", python=releases[going_on] / "bin" / "python", STUCK_AFTER_SECONDS="1")
    job = first.execute("slow", wait_s=0, seconds=2)["job_id"]
    saved = f"/api/checkpoints/{job}"
    wait_until(lambda: second.http.get(saved).json()["checkpoints"] != [], "a checkpoint is saved")
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: second.metric("ia_service_executions_stuck") == 1, "it counts as stuck")
    resumed = second.http.post(f"/api/execute/{job}/resume", json={"wait_s": 20}).json()
    assert (resumed["status"], resumed["output"]["waited"], resumed["completed_steps"]) == ("completed", 2.0, 4)
    steps = second.http.get(f"/api/execute/{job}").json()["steps"]
    assert [s["step"] for s in steps if s["status"] == "completed"] == ["wait_1", "wait_2", "wait_3", "wait_4"]
    report = second.http.get("/api/reliability/metrics").json()
    assert report["total_workflows"] == 1
    failed = second.execute("fail", fail=True)["job_id"]
    assert second.http.post(f"/api/execute/{failed}/resume", json={"wait_s": 20}).json()["status"] == "failed"
    report = second.http.get("/api/reliability/metrics").json()
    assert report["steps"]["prepare"] == {"total": 1, "successful": 1, "validity_rate": 1.0}
    assert report["steps"]["fail"] == {"total": 2, "successful": 0, "validity_rate": 0.0}
