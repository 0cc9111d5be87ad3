"""MkDocs' own command line, with our exit codes."""

from __future__ import annotations

from runbook_checks.errors import UsageError


def run(arguments: list[str]) -> int:
    """Carry out a command line of MkDocs and return 0, or 2 when it has said what is wrong; raises UsageError."""
    import click  # noqa: PLC0415 - loading both takes long
    from mkdocs.__main__ import cli  # noqa: PLC0415

    try:
        return int(cli.main(arguments, standalone_mode=False) or 0)
    except click.Abort as aborted:  # what click makes of an interrupt
        raise KeyboardInterrupt from aborted
    except click.ClickException as error:
        raise UsageError(error.format_message()) from error
    except SystemExit as ended:  # a strict build that failed has said why
        return UsageError.exit_code if ended.code else 0
