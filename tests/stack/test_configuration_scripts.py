"""The scripts that change settings and passwords of all replicas, on a real stack."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from stack.requests import SCRIPTS
from stack.running_stack import ROOT

if TYPE_CHECKING:
    from stack.running_stack import Stack


def test_a_weak_password_is_refused(stack: Stack) -> None:
    done = stack.shell(f"{SCRIPTS}/rotate.sh redis", NEW_PASSWORD="short")
    assert done.returncode == 2
    assert "at least 16" in done.stderr
    assert "short" not in done.stderr.replace("rotate.sh", "")


def test_a_rotation_ends_what_was_opened_with_the_old_password(stack: Stack) -> None:
    login = urlsplit(stack.env()["REDIS_URL"])
    assert login.hostname
    assert login.port
    assert login.password
    with socket.create_connection((login.hostname, login.port), timeout=60) as before:
        before.sendall(f"AUTH {login.password}\r\n".encode())
        assert before.recv(100) == b"+OK\r\n"
        # Redis counts the age of a connection in whole seconds.
        time.sleep(2)
        try:
            done = stack.shell(f"{SCRIPTS}/rotate.sh redis", NEW_PASSWORD="another-password-of-24")
            assert done.returncode == 0, done.stderr
            assert done.stderr == ""
            assert "redis: the old password is removed, 1 connections from before are closed" in done.stdout
            assert before.recv(100) == b""
        finally:
            back = stack.shell(f"{SCRIPTS}/rotate.sh redis", NEW_PASSWORD=login.password)
    assert back.returncode == 0, back.stderr


def test_a_configuration_that_does_not_come_up_is_put_back(stack: Stack) -> None:
    file = Path(stack.env()["SERVICE_ENV"])
    before = file.read_text()
    done = stack.shell(f"{SCRIPTS}/reconfigure.sh REDIS_URL=redis://127.0.0.1:1/0 LOG_LEVEL=INFO", HEALTHY_S="3")
    assert done.returncode == 1
    assert "service-a does not come up with the new configuration" in done.stderr
    assert done.stdout.endswith("put back the configuration from before\n")
    assert file.read_text() == before
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stack.run("health").returncode == 0


def test_values_come_back_as_they_were_given(tmp_path: Path) -> None:
    odd = """it's "$(rm -r x)" `y` $HOME \\ #"""
    program = f"""
        source {SCRIPTS}/configuration.sh
        SERVICE_ENV={tmp_path}/service.env
        before=$'# kept\\nA=1\\nB='"'two'"$'\\nA=3'
        changed "$(changed "$(changed "$before" A "$ODD")" B '')" NEW 5 >"$SERVICE_ENV"
        cat "$SERVICE_ENV" && configured A
    """
    command = ["bash", "-euc", program]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"ODD": odd}, capture_output=True, text=True, check=True)
    quoted = odd.replace("'", "'\\''")
    assert done.stdout == f"# kept\nA='{quoted}'\nNEW='5'\n{odd}"
