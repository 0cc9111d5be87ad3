"""What an instance is made of, asked from the programs themselves."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedded.instance import Instance
    from embedded.toolbox import Toolbox

NUMBER = re.compile(r"\d+(?:\.\d+)+")
PROGRAMS = {
    "postgres": "postgres",
    "valkey": "valkey-server",
    "envoy": "envoy",
    "prometheus": "prometheus",
    "alertmanager": "alertmanager",
}


def services(instance: Instance) -> tuple[tuple[str, str], ...]:
    """Return name and version of each service, the replicas first, whose version is the release that they run."""
    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        versions = list(pool.map(lambda program: _version(instance.tools, program), PROGRAMS.values()))
    currents = sorted((instance.path / "replicas").glob("*/current"))
    replicas = [(f"service-{current.parent.name}", current.readlink().name) for current in currents]
    return (*replicas, *zip(PROGRAMS, versions, strict=True))


def _version(tools: Toolbox, program: str) -> str:
    path = str(tools.program(program).resolve())
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    # Some begin with their own path, which has numbers too.
    found = NUMBER.search((done.stdout + done.stderr).replace(path, ""))
    return found.group() if found else "unknown"
