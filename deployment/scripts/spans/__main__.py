"""The command line of spans.sh."""

from __future__ import annotations

import argparse
import sys

from spans.reading import find, page, trace
from spans.sending import send
from spans.service import RefusedError


def main() -> int:
    """Carry out one command and return its exit status."""
    options = _parser().parse_args()
    try:
        status: int = options.run(options)
    except RefusedError as error:
        print(f"spans.sh: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="spans.sh", add_help=False)
    commands = parser.add_subparsers(required=True)
    sending = commands.add_parser("send", add_help=False)
    sending.add_argument("--clients", type=_positive, default=1)
    sending.add_argument("--spans", type=_positive, default=1)
    sending.add_argument("--same", action="store_true")
    sending.add_argument("--bytes", type=_positive, default=0)
    sending.add_argument("--malformed", type=_positive, default=0)
    sending.add_argument("--grpc")
    sending.set_defaults(run=send)
    finding = commands.add_parser("find", add_help=False)
    finding.add_argument("attribute_is")
    finding.add_argument("--attribute")
    finding.set_defaults(run=find)
    tracing = commands.add_parser("trace", add_help=False)
    tracing.add_argument("trace")
    tracing.set_defaults(run=trace)
    paging = commands.add_parser("page", add_help=False)
    paging.add_argument("trace")
    paging.add_argument("--limit", type=_positive, default=100)
    paging.set_defaults(run=page)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
