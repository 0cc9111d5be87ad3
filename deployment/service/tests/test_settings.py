from __future__ import annotations

import pytest
from conftest import run_service

from ia_service.settings import ConfigurationError, read_settings

GOOD = {"DATABASE_URL": "postgresql://u:secret@127.0.0.1:5432/d", "REDIS_URL": "redis://127.0.0.1:6379/0"}


def test_defaults_fill_what_is_not_set() -> None:
    settings = read_settings(GOOD)
    assert (settings.pool_size, settings.log_level, settings.name) == (10, "INFO", "ia-service")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://h/d"),
        ("DATABASE_URL", "postgresql://u:secret@h:port/d"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "many"),
        ("POOL_SIZE", "nan"),
        ("LOG_LEVEL", "loud"),
        ("DRAIN_SECONDS", "-1"),
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


def test_an_unusable_port_is_a_usage_error() -> None:
    assert run_service("serve", "--port", "no").returncode == 2
