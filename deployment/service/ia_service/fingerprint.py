"""The effective configuration, to be compared between replicas and to be shown without its secrets."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from typing import Any

from ia_service.settings import Settings

VARIABLES = {
    "database_url": "DATABASE_URL",
    "redis_url": "REDIS_URL",
    "name": "SERVICE_NAME",
    "log_level": "LOG_LEVEL",
    "pool_size": "POOL_SIZE",
    "pool_timeout_s": "POOL_TIMEOUT_SECONDS",
    "query_timeout_s": "QUERY_TIMEOUT_SECONDS",
    "max_running": "MAX_RUNNING",
    "max_queued": "MAX_QUEUED",
    "drain_s": "DRAIN_SECONDS",
    "shutdown_s": "SHUTDOWN_SECONDS",
    "stuck_after_s": "STUCK_AFTER_SECONDS",
    "reliability_cache_s": "RELIABILITY_CACHE_SECONDS",
    "paused_pipelines": "PAUSED_PIPELINES",
    "checkpoints_in_redis": "CHECKPOINTS",
    "checkpoint_s": "CHECKPOINT_SECONDS",
    "otlp_endpoint": "OTLP_ENDPOINT",
    "otlp_api_key": "OTLP_API_KEY",
    "otlp_grpc_listen": "OTLP_GRPC_LISTEN",
    "metrics_export_s": "METRICS_EXPORT_SECONDS",
    "statsd_address": "STATSD_ADDRESS",
    "cloudwatch_namespace": "CLOUDWATCH_NAMESPACE",
    "cloudwatch_region": "CLOUDWATCH_REGION",
    "datadog_api_key": "DATADOG_API_KEY",
    "datadog_app_key": "DATADOG_APP_KEY",
    "anonymous_refused": "ANONYMOUS",
    "session_secrets": "SESSION_SECRET",
    "session_s": "SESSION_SECONDS",
    "cookie_secure": "COOKIE_SECURE",
    "allowed_origins": "ALLOWED_ORIGINS",
    "proxy_hops": "PROXY_HOPS",
    "max_body_bytes": "MAX_BODY_BYTES",
    "rate_limit": "RATE_LIMIT",
    "sign_in_per_account": "SIGN_IN_PER_ACCOUNT",
    "sign_in_per_address": "SIGN_IN_PER_ADDRESS",
}

# What only one replica can have, so that no two need to agree.
_OWN = frozenset({"name", "otlp_grpc_listen"})
_SECRET = frozenset({"otlp_api_key", "datadog_api_key", "datadog_app_key"})

# From the first colon to the last @ before the path: a password may hold either, and anything that splits a URL.
_USERINFO = re.compile(r"^(\w+://[^:@/]*):[^/]*@")
_OPTION = re.compile(r"([?&]\w*pass\w*=)[^&]*", re.IGNORECASE)


def fingerprint(settings: Settings) -> str:
    """Return eight hex digits that differ when a setting does; what is each replica's own is left out."""
    effective = {name: value for name, value in asdict(settings).items() if name not in _OWN}
    return hashlib.sha256(json.dumps(effective, sort_keys=True).encode()).hexdigest()[:8]


def shown(settings: Settings) -> dict[str, Any]:
    """Return the settings by variable, passwords replaced."""
    secret = {name: "***" for name in _SECRET if getattr(settings, name)}
    values = asdict(settings) | secret | {"session_secrets": ["***" for _ in settings.session_secrets]}
    return {VARIABLES[name]: _without_password(value) for name, value in values.items()}


def _without_password(value: Any) -> Any:
    return _OPTION.sub(r"\1***", _USERINFO.sub(r"\1:***@", value)) if isinstance(value, str) else value
