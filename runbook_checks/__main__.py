"""``python -m runbook_checks``."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command line and leave with its exit code."""
    from runbook_checks.cli import main  # noqa: PLC0415 - the entry point stays importable on its own

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
