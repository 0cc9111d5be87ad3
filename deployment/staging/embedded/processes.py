"""The processes of an instance: started under one supervisor, found again by the mark in their environment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any
from xmlrpc.client import ServerProxy

import psutil

from embedded.errors import StagingError
from embedded.instance import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from embedded.instance import Instance
    from embedded.toolbox import Toolbox

GRACE_S = 20.0
KILL_S = 5.0


def start(instance: Instance, tools: Toolbox) -> None:
    """Start the supervisor, which starts everything else; returns when it has gone to the background."""
    environ = os.environ | {MARK: instance.id}
    command = [str(tools.python), str(tools.program("supervisord").resolve()), "-c", str(instance.supervisor_conf)]
    log = instance.path / "logs/start.log"
    with log.open("w") as output:
        # Output goes to a file: a background supervisor that holds the caller's pipe would keep the caller waiting.
        done = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=instance.path, check=False
        )
    if done.returncode:
        raise StagingError(f"supervisord did not start:\n{log.read_text()[-2000:]}")
    # It goes to the background first and says who it is afterwards: until then it would be taken for dead.
    deadline = time.monotonic() + KILL_S
    while supervisor_pid(instance) is None:
        if time.monotonic() > deadline:
            raise StagingError(f"supervisord did not say within {KILL_S:g} s that it runs:\n{log.read_text()[-2000:]}")
        time.sleep(0.01)
    # Its loop sleeps a second before it starts anything, unless a connection wakes it.
    socket.create_connection(("127.0.0.1", instance.ports["supervisor"]), timeout=KILL_S).close()


def find(instance_id: str) -> list[psutil.Process]:
    """Return the instance's processes that still run, with the descendants that hide their environment."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == instance_id:
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for process in found.values() if process.pid != os.getpid()]


def supervisor_pid(instance: Instance) -> int | None:
    """Return the process id of the instance's running supervisor, or None."""
    try:
        pid = int((instance.path / "supervisord.pid").read_text())
        return pid if psutil.Process(pid).environ().get(MARK) == instance.id else None
    except (OSError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def stop_gently(instance: Instance) -> None:
    """Stop everything in good order, for a stack whose data is kept: the replicas first, then what they rely on."""
    if supervisor_pid(instance) is None:
        return
    address = f"http://stack:{instance.supervisor_password}@127.0.0.1:{instance.ports['supervisor']}/RPC2"
    with ServerProxy(address) as supervisor:
        for replicas in (True, False):
            # Told one by one without waiting: the supervisor's own shutdown takes a second for each program.
            told: list[Any] = supervisor.supervisor.getAllProcessInfo()  # type: ignore[assignment]
            running = [p for p in told if p["pid"] and p["name"].startswith("service-") == replicas]
            for program in running:
                supervisor.supervisor.stopProcess(program["name"], False)  # noqa: FBT003 - XML-RPC knows no names
            _wait([psutil.Process(p["pid"]) for p in running if psutil.pid_exists(p["pid"])], GRACE_S)


def end(instance_id: str) -> int:
    """End every process of the instance at once; return how many there were.

    PostgreSQL is told to quit without a checkpoint rather than killed: killed, it would leave its shared memory behind.
    """
    first = find(instance_id)
    for process in first:
        try:
            if process.name() == "supervisord" or "supervisord" in " ".join(process.cmdline()[:2]):
                process.kill()
        except psutil.NoSuchProcess:
            continue
    for process in first:
        try:
            process.send_signal(signal.SIGQUIT if process.name() == "postgres" else signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    _wait(first)
    # Whatever is still there, or was started in the meantime, has had its chance.
    left = [*filter(_runs, first), *find(instance_id)]
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _wait(left)
    if stubborn := [str(process.pid) for process in left if _runs(process)]:
        raise StagingError(f"processes that do not end: {', '.join(stubborn)}")
    return len(first)


def _wait(processes: list[psutil.Process], limit_s: float = KILL_S) -> None:
    # Polled here: psutil.wait_procs waits for one after the other, which takes seconds for what ends at once.
    deadline = time.monotonic() + limit_s
    while any(map(_runs, processes)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    """Whether a process still runs; one that only waits for its parent to notice does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_shared_memory(database_folder: Path) -> None:
    """Remove the shared memory segment that a killed PostgreSQL left, which its lock file names."""
    try:
        lines = (database_folder / "data/postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return
    ipcrm = shutil.which("ipcrm")
    if ipcrm and len(lines) > 6:  # noqa: PLR2004 - the seventh line is "key id"
        # Gone already when PostgreSQL itself removed it: nothing to say then.
        subprocess.run([ipcrm, "-m", lines[6].split()[-1]], capture_output=True, check=False)
