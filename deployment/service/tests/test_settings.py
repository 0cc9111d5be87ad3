from __future__ import annotations

import socket

import pytest
from conftest import run_service

from ia_service.settings import ConfigurationError, read_settings

GOOD = {"DATABASE_URL": "postgresql://u:secret@127.0.0.1:5432/d", "REDIS_URL": "redis://127.0.0.1:6379/0"}


def test_defaults_fill_what_is_not_set() -> None:
    settings = read_settings(GOOD)
    assert (settings.pool_size, settings.log_level, settings.name) == (10, "INFO", "ia-service")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1:5432,127.0.0.1:5433/d?target_session_attrs=read-write",
        "postgresql://u:p@h,i:5433/d",
        "postgresql:///d?host=/run/postgresql",
        "postgresql:///d?host=h,i&port=5433",
    ],
)
def test_a_database_may_be_several_servers(url: str) -> None:
    assert read_settings(GOOD | {"DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://h/d"),
        ("DATABASE_URL", "postgresql://u:secret@h:port/d"),
        ("DATABASE_URL", "postgresql://u:secret%zz@h/d"),
        ("DATABASE_URL", "postgresql://u:secret@h/d?colour=red"),
        ("DATABASE_URL", "postgresql://u:secret@h:5432,i:port/d"),
        ("DATABASE_URL", "postgresql://u:secret@h:5432,i:65536/d"),
        ("DATABASE_URL", "postgresql://u:secret@h,i,j/d?port=1,2"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://:secret@127.0.0.1:6379/0?colour=red"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "many"),
        ("POOL_SIZE", "nan"),
        ("LOG_LEVEL", "loud"),
        ("DRAIN_SECONDS", "-1"),
        ("STUCK_AFTER_SECONDS", "0"),
        ("CHECKPOINTS", "disk"),
        ("CHECKPOINT_SECONDS", "0"),
        ("OTLP_ENDPOINT", "collector:4318"),
        ("OTLP_GRPC_LISTEN", "4317"),
        ("OTLP_GRPC_LISTEN", "127.0.0.1:0"),
        ("STATSD_ADDRESS", "127.0.0.1:many"),
        ("METRICS_EXPORT_SECONDS", "0"),
        ("ANONYMOUS", "perhaps"),
        ("SESSION_SECRET", "a short secret"),
        ("SESSION_SECRET", f"{'long enough' * 3},a short secret"),
        ("SESSION_SECONDS", "0"),
        ("COOKIE_SECURE", "perhaps"),
        ("ALLOWED_ORIGINS", "https://ops.example/path"),
        ("ALLOWED_ORIGINS", "ops.example"),
        ("PROXY_HOPS", "-1"),
        ("MAX_BODY_BYTES", "10"),
        ("RATE_LIMIT", "often"),
        ("SIGN_IN_PER_ACCOUNT", "none"),
        ("SIGN_IN_PER_ADDRESS", "0/minute"),
    ],
)
def test_a_bad_value_is_refused_by_name_and_without_the_password(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is ") as refusal:
        read_settings(GOOD | {name: value})
    assert "secret" not in str(refusal.value)


def test_the_command_refuses_a_bad_configuration_with_one_line_and_status_2() -> None:
    for command in ("serve", "migrate"):
        run = run_service(command)
        assert (run.returncode, run.stderr) == (2, "ia-service: DATABASE_URL is not set; expected postgresql://…\n")


@pytest.mark.parametrize("port", ["no", "0", "65536"])
def test_an_unusable_port_is_a_usage_error(port: str) -> None:
    assert run_service("serve", "--port", port).returncode == 2


def test_a_port_that_is_taken_is_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = run_service("serve", "--port", str(port), **GOOD)
    assert (run.returncode, run.stderr) == (
        1,
        f"ia-service: cannot listen on 127.0.0.1 port {port}: Address already in use\n",
    )
