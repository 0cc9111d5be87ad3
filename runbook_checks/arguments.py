"""The options of the command line: what can be asked, not what is done."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runbook_checks import __version__


def parser_of_commands() -> argparse.ArgumentParser:  # noqa: PLR0915 - one list of all options
    """Return the parser of the command line; what it parses has the name of its command as ``command``."""
    parser = argparse.ArgumentParser(
        prog="runbook-checks",
        description="Run the procedures of Markdown runbooks for real, and publish what they are worth.",
        epilog="Exit codes: 0 all verified, 1 a procedure failed, 2 usage or source error, 3 the stack is unavailable,"
        " 130 interrupted, 143 terminated.",
    )
    parser.add_argument("--version", action="version", version=f"runbook-checks {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="the configuration (default: the nearest above)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: str, text: str, to: Any = commands) -> argparse.ArgumentParser:  # noqa: ANN401 - argparse's private type
        one = to.add_parser(name, help=text, description=text, parents=[common])
        one.set_defaults(command=command)
        return one  # type: ignore[no-any-return]

    selection = "a public id, heading id, page, node id or pattern (default: everything)"
    one = add("list", "list", "List the procedures.")
    one.add_argument("selection", nargs="*", help=selection)
    one.add_argument("--json", action="store_true", help="print one JSON document")
    one = add("lint", "lint", "Say where a marked bash block would pass although a command in it failed.")
    one.add_argument("selection", nargs="*", help=selection)
    one.add_argument("--json", action="store_true", help="print one JSON document")
    for name, text in (
        ("verify", "Run procedures on a stack of their own and keep the evidence."),
        (
            "drill",
            "Verify only the procedures with a fault: it is made, and their alert must fire, arrive and go away.",
        ),
    ):
        one = add(name, "verify", text)
        one.set_defaults(drills=name == "drill")
        one.add_argument("selection", nargs="*", help=selection)
        one.add_argument("--environment", default="", metavar="NAME", help="where (default: the first configured)")
        one.add_argument("--json", action="store_true", help="print one JSON document on standard output")
        workers = "run side by side, each worker on its own stack"
        one.add_argument("-n", "--workers", default="0", metavar="N", help=workers)
        one.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="as in pytest: by name")
        one.add_argument("-m", dest="mark", metavar="EXPRESSION", help="as in pytest: by role, tag, destructive")
        one.add_argument("-x", "--exitfirst", action="store_true", help="stop at the first failure")
        one.add_argument(
            "--lf",
            action="store_true",
            help="only what failed last time in this environment, everything when nothing did",
        )
        one.add_argument("--junitxml", metavar="FILE", help="write a JUnit report")
    one = add("mutate", "mutate", "Leave out each block in turn and see that something notices: the proof of need.")
    one.add_argument("selection", nargs="*", help=selection)
    one.add_argument("--environment", default="", metavar="NAME", help="where (default: the first configured)")
    one.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    one.add_argument("-n", "--workers", default="0", metavar="N", help="side by side, each worker on its own stacks")
    one.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="as in pytest: by name")
    one.add_argument("-m", dest="mark", metavar="EXPRESSION", help="as in pytest: by role, tag, destructive")
    one.add_argument("--stale", action="store_true", help="only those that no whole proof of what is written now has")
    one.add_argument("--changed", metavar="COMMIT", help="only those that this commit has differently")
    one.add_argument("--within", metavar="DURATION", help="begin no run after this time, such as 10m")
    one = add("status", "status", "Say what every procedure is worth now.")
    one.add_argument("selection", nargs="*", help=selection)
    form = one.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON document")
    form.add_argument("--metrics", action="store_true", help="print metrics for Prometheus; exits 0 whatever they say")
    one.add_argument("--environment", default="", metavar="NAME", help="only there (default: every configured one)")
    one.add_argument("-m", dest="mark", metavar="EXPRESSION", help="only those whose marks are so, as in `verify -m`")
    one.add_argument("--strict", action="store_true", help="a pass from a tree with uncommitted changes does not count")
    one = add("alerts", "alerts", "Hold the alerts of rule files against the procedures that answer them, both ways.")
    one.add_argument("--environment", default="", metavar="NAME", help="whose status (default: the first configured)")
    one.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    group = commands.add_parser("stack", help="Bring the stack of an environment up and down by hand.")
    stack = group.add_subparsers(required=True, metavar="COMMAND")
    for name, text in (
        ("up", "Bring it up; safe to call twice."),
        ("down", "Take it down; nothing is left."),
        ("status", "Say whether it is healthy, and what it is made of."),
        ("env", 'Print its variables as lines for a shell: `eval "$(runbook-checks stack env)"`.'),
        ("logs", "Show its logs."),
    ):
        one = add(name, "stack", text, stack)
        one.add_argument("--environment", default="", metavar="NAME", help="which (default: the first configured)")
        one.set_defaults(action=name)
    group = commands.add_parser("evidence", help="Sign the evidence, and say what of it can be believed.")
    evidence = group.add_subparsers(required=True, metavar="COMMAND")
    one = add("keygen", "evidence", "Write a new signing key, and its public key beside it as `FILE.pub`.", evidence)
    where = "where the private key goes, never overwritten (default: runbook-checks.key)"
    one.add_argument("file", type=Path, metavar="FILE", nargs="?", default=Path("runbook-checks.key"), help=where)
    one.set_defaults(action="keygen")
    one = add("sign", "evidence", "Sign the records that are not signed yet.", evidence)
    one.add_argument("selection", nargs="*", help=selection)
    one.add_argument("--key", type=Path, metavar="FILE", help="the private key (default: $RUNBOOK_CHECKS_SIGNING_KEY)")
    one.add_argument("--environment", default="", metavar="NAME", help="only there (default: every configured one)")
    one.set_defaults(action="sign")
    one = add("check", "evidence", "Say which records are signed, unsigned or refused.", evidence)
    one.add_argument("selection", nargs="*", help=selection)
    one.add_argument("--json", action="store_true", help="print one JSON document")
    one.add_argument("--environment", default="", metavar="NAME", help="only there (default: every configured one)")
    one.set_defaults(action="check")
    group = commands.add_parser("site", help="Build or serve the site.")
    site = group.add_subparsers(required=True, metavar="COMMAND")
    for name, text in (("build", "Build the site, strictly."), ("serve", "Serve the site and rebuild on changes.")):
        one = add(name, "site", text, site)
        one.set_defaults(action=name, offline=False)
        if name == "build":
            one.add_argument(
                "--no-offline",
                dest="offline",
                action="store_false",
                default=True,
                help="make no offline.zip, the copy of the site that works without a network",
            )
    commands.add_parser("http", help="Send the HTTP request on standard input, as an `http` block does.")
    commands.add_parser(
        "promql", help="Ask Prometheus whether the query on standard input holds, as a `promql` block does."
    )
    return parser
