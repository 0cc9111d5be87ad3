"""``python -m runbook_checks``."""

from __future__ import annotations

import os
import sys


def run() -> None:
    """Run the command line and leave with its exit code."""
    try:
        from runbook_checks.cli import main  # noqa: PLC0415 - the entry point stays importable on its own

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to end
        code = 130
    if code in {130, 143}:  # Python ends itself by SIGINT when it came inside of exec(), whoever has caught it
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
