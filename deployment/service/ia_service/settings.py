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
SECRET_LENGTH = 32
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
    checkpoints_in_redis: bool = False
    checkpoint_s: float = 86_400.0
    otlp_endpoint: str = ""
    otlp_api_key: str = ""
    otlp_grpc_listen: str = ""
    metrics_export_s: float = 10.0
    statsd_address: str = ""
    cloudwatch_namespace: str = ""
    cloudwatch_region: str = "us-east-1"
    datadog_api_key: str = ""
    datadog_app_key: str = ""
    anonymous_refused: bool = False
    session_secrets: tuple[str, ...] = ()
    session_s: float = 43_200.0
    cookie_secure: bool = True
    allowed_origins: tuple[str, ...] = ()
    proxy_hops: int = 0
    max_body_bytes: int = 2_097_152
    rate_limit: str = "1000/second"
    sign_in_per_account: str = "10/minute"
    sign_in_per_address: str = "300/minute"

    @property
    def cookie_name(self) -> str:
        """Return the session cookie's name; the prefix makes browsers insist on HTTPS and on this host."""
        return "__Host-ia-session" if self.cookie_secure else "ia-session"


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
        checkpoints_in_redis=_choice(environ, "CHECKPOINTS", ("database", "redis")) == "redis",
        checkpoint_s=_number(environ, "CHECKPOINT_SECONDS", 86_400, minimum=1, maximum=30 * 86_400),
        otlp_endpoint=_endpoint(environ, "OTLP_ENDPOINT"),
        otlp_api_key=environ.get("OTLP_API_KEY", "").strip(),
        otlp_grpc_listen=_address(environ, "OTLP_GRPC_LISTEN"),
        metrics_export_s=_number(environ, "METRICS_EXPORT_SECONDS", 10, minimum=0.1, maximum=3600),
        statsd_address=_address(environ, "STATSD_ADDRESS"),
        cloudwatch_namespace=environ.get("CLOUDWATCH_NAMESPACE", "").strip(),
        cloudwatch_region=environ.get("CLOUDWATCH_REGION", "").strip() or "us-east-1",
        datadog_api_key=environ.get("DATADOG_API_KEY", "").strip(),
        datadog_app_key=environ.get("DATADOG_APP_KEY", "").strip(),
        anonymous_refused=_choice(environ, "ANONYMOUS", ("allow", "refuse")) == "refuse",
        session_secrets=_session_secrets(environ),
        session_s=_number(environ, "SESSION_SECONDS", 43_200, minimum=1, maximum=30 * 86_400),
        cookie_secure=_choice(environ, "COOKIE_SECURE", ("yes", "no")) == "yes",
        allowed_origins=_origins(environ),
        proxy_hops=int(_number(environ, "PROXY_HOPS", 0, minimum=0, maximum=10)),
        max_body_bytes=int(_number(environ, "MAX_BODY_BYTES", 2_097_152, minimum=1024, maximum=1_073_741_824)),
        rate_limit=_rate(environ, "RATE_LIMIT", "1000/second", may_be_none=True),
        sign_in_per_account=_rate(environ, "SIGN_IN_PER_ACCOUNT", "10/minute"),
        sign_in_per_address=_rate(environ, "SIGN_IN_PER_ADDRESS", "300/minute"),
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


def _endpoint(environ: Mapping[str, str], name: str) -> str:
    return _url(environ, name, ("http", "https")) if environ.get(name, "").strip() else ""


def _address(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    host, _, port = value.rpartition(":")
    if value and not (host and port.isdecimal() and 0 < int(port) < _PORTS):
        raise ConfigurationError(f"{name} is {value!r}; expected host:port")
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


def _choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """Return one of ``choices``, of which the first is the default."""
    value = environ.get(name, "").strip().lower() or choices[0]
    if value not in choices:
        raise ConfigurationError(f"{name} is {value!r}; expected {' or '.join(choices)}")
    return value


def _session_secrets(environ: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(each.strip() for each in environ.get("SESSION_SECRET", "").split(",") if each.strip())
    if any(len(each) < SECRET_LENGTH for each in found):
        # The value itself is not repeated.
        raise ConfigurationError(f"SESSION_SECRET is too short; expected at least {SECRET_LENGTH} characters each")
    return found


def _origins(environ: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(each.strip() for each in environ.get("ALLOWED_ORIGINS", "").split(",") if each.strip())
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in {"http", "https"} or each != f"{parts.scheme}://{parts.netloc}":
            raise ConfigurationError(f"ALLOWED_ORIGINS is {each!r}; expected https://host, without a path")
    return found


def _rate(environ: Mapping[str, str], name: str, default: str, *, may_be_none: bool = False) -> str:
    value = environ.get(name, "").strip().lower()
    if not value or (may_be_none and value == "none"):
        return value or default
    from limits import parse  # noqa: PLC0415  # a tenth of a second that the other commands save

    try:
        item = parse(value)
        usable = item.amount > 0 and item.multiples > 0
    except ValueError:
        usable = False
    if not usable:
        usual = f"{default!r}{' or none' if may_be_none else ''}"
        raise ConfigurationError(f"{name} is {value!r}; expected a rate like {usual}")
    return value


def _level(environ: Mapping[str, str]) -> str:
    level = environ.get("LOG_LEVEL", "").strip().upper() or "INFO"
    if level not in LOG_LEVELS:
        raise ConfigurationError(f"LOG_LEVEL is {level!r}; expected one of {', '.join(LOG_LEVELS)}")
    return level
