"""Configuration: environment variables in, one immutable value out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

GRAPHS = Path(__file__).parent / "graphs"
_PORTS = 65_536
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class ConfigurationError(Exception):
    """A variable is missing or unusable; the text is one line that names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What one replica needs to know."""

    database_url: str
    redis_url: str
    name: str = "ia-service"
    log_level: str = "INFO"
    pool_size: int = 10
    pool_timeout_s: float = 2.0
    query_timeout_s: float = 5.0
    max_running: int = 16
    max_queued: int = 500
    drain_s: float = 1.0
    shutdown_s: float = 10.0
    stuck_after_s: float = 300.0
    reliability_cache_s: float = 2.0
    paused_pipelines: tuple[str, ...] = ()


def read_settings(environ: Mapping[str, str], *, redis_required: bool = True) -> Settings:
    """Return the settings that the environment describes; raises ConfigurationError."""
    return Settings(
        database_url=_database_url(environ),
        redis_url=_redis_url(environ) if redis_required else "",
        name=environ.get("SERVICE_NAME", "") or "ia-service",
        log_level=_level(environ),
        pool_size=int(_number(environ, "POOL_SIZE", 10, minimum=1, maximum=500)),
        pool_timeout_s=_number(environ, "POOL_TIMEOUT_SECONDS", 2, minimum=0.01, maximum=60),
        query_timeout_s=_number(environ, "QUERY_TIMEOUT_SECONDS", 5, minimum=0.05, maximum=600),
        max_running=int(_number(environ, "MAX_RUNNING", 16, minimum=1, maximum=500)),
        max_queued=int(_number(environ, "MAX_QUEUED", 500, minimum=0, maximum=100_000)),
        drain_s=_number(environ, "DRAIN_SECONDS", 1, minimum=0, maximum=300),
        shutdown_s=_number(environ, "SHUTDOWN_SECONDS", 10, minimum=0, maximum=3600),
        stuck_after_s=_number(environ, "STUCK_AFTER_SECONDS", 300, minimum=1, maximum=86_400),
        reliability_cache_s=_number(environ, "RELIABILITY_CACHE_SECONDS", 2, minimum=0, maximum=3600),
        paused_pipelines=_paused(environ),
    )


def _database_url(environ: Mapping[str, str]) -> str:
    """Return the address of one server or of several, ``host:port,host:port``, which only libpq can read."""
    value = _url(environ, "DATABASE_URL", ("postgresql", "postgres"))
    try:
        parts = parse_dsn(value)
        hosts, ports = (parts.get(name, "").split(",") for name in ("host", "port"))
        usable = len(ports) in {1, len(hosts)} and all(port == "" or 0 < int(port) < _PORTS for port in ports)
    except (psycopg2.ProgrammingError, ValueError):
        usable = False
    if not usable:
        raise _unusable("DATABASE_URL", "postgresql")
    return value


def _redis_url(environ: Mapping[str, str]) -> str:
    import redis  # noqa: PLC0415  # a tenth of a second that the other commands save

    value = _url(environ, "REDIS_URL", ("redis", "rediss", "unix"))
    try:
        _ = urlsplit(value).port
        # Makes a connection object, connects nothing: an option that it does not know is found now, not at 3 a.m.
        redis.Redis.from_url(value).connection_pool.make_connection()
    except (TypeError, ValueError):
        raise _unusable("REDIS_URL", "redis") from None
    return value


def _url(environ: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigurationError(f"{name} is not set; expected {schemes[0]}://…")
    try:
        parts = urlsplit(value)
        complete = parts.scheme in schemes and bool(parts.netloc or parts.path)
    except ValueError:
        complete = False
    if not complete:
        raise _unusable(name, schemes[0])
    return value


def _unusable(name: str, scheme: str) -> ConfigurationError:
    # The value itself is not repeated: it may hold a password.
    return ConfigurationError(f"{name} is not a usable address; expected {scheme}://…")


def _number(environ: Mapping[str, str], name: str, default: float, *, minimum: float, maximum: float) -> float:
    text = environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = minimum - 1
    if not minimum <= value <= maximum:
        raise ConfigurationError(f"{name} is {text!r}; expected a number from {minimum:g} to {maximum:g}")
    return value


def _paused(environ: Mapping[str, str]) -> tuple[str, ...]:
    names = {name.strip() for name in environ.get("PAUSED_PIPELINES", "").split(",")} - {""}
    known = sorted(file.stem for file in GRAPHS.glob("*.json"))
    if unknown := sorted(names - set(known)):
        raise ConfigurationError(f"PAUSED_PIPELINES names {', '.join(unknown)}; there are: {', '.join(known)}")
    return tuple(sorted(names))


def _level(environ: Mapping[str, str]) -> str:
    level = environ.get("LOG_LEVEL", "").strip().upper() or "INFO"
    if level not in LOG_LEVELS:
        raise ConfigurationError(f"LOG_LEVEL is {level!r}; expected one of {', '.join(LOG_LEVELS)}")
    return level
