"""The commands of attack.sh."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from attack import entry, search
from attack.accounts import folder, make_accounts
from attack.findings import Findings
from attack.injection import inject
from attack.payloads import read_payloads
from attack.wire import Target, UnusableError, target_of

PAYLOADS = Path("deployment/security/payloads.toml")
MOST = 500
ATTACKS = {
    "forge": entry.forge,
    "delete-while-read": entry.delete_while_read,
    "others": entry.others,
    "cross-site": entry.cross_site,
}
ATTACKS_OF_MANY = {
    "race": entry.race,
    "sign-ins": entry.sign_ins,
    "keys": entry.make_keys,
    "guess": entry.guess,
}
COUNTS = {"race": 20, "sign-ins": 24, "keys": 100, "guess": 30}


def main() -> int:
    """Run one attack and return its exit status."""
    given = _parser().parse_args()
    found = Findings()
    try:
        _run(given, target_of(os.environ["API_URL"]), found)
    except UnusableError as error:
        print(f"attack.sh: {error}", file=sys.stderr)
        return 2
    print("\n".join(found.lines))
    for each in found.broken:
        print(f"attack.sh: {each}", file=sys.stderr)
    return 1 if found.broken else 0


def _run(given: argparse.Namespace, target: Target, found: Findings) -> None:
    if attack := ATTACKS.get(given.command):
        attack(target, found)
        return
    if attack_of_many := ATTACKS_OF_MANY.get(given.command):
        attack_of_many(target, given.count, found)
        return
    match given.command:
        case "accounts":
            found.lines += make_accounts(target)
        case "inject":
            canary = folder() / "canary"
            canary.unlink(missing_ok=True)
            payloads = read_payloads(given.payloads, str(canary))
            kinds = sorted({payload.kind for payload in payloads.all})
            if given.kind not in {None, *kinds}:
                raise UnusableError(f"{given.payloads} has no class {given.kind!r}; there are: {', '.join(kinds)}")
            inject(target, payloads, given.kind, canary, found)
        case _:
            search.search(given.folders, found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="attack.sh", description="attack.sh --help tells more")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, count in COUNTS.items():
        commands.add_parser(name).add_argument("count", nargs="?", type=_count, default=count)
    for name in ("accounts", *ATTACKS):
        commands.add_parser(name)
    inject_parser = commands.add_parser("inject")
    inject_parser.add_argument("--class", dest="kind")
    inject_parser.add_argument("--payloads", type=Path, default=PAYLOADS)
    commands.add_parser("secrets").add_argument("folders", nargs="*", type=_folder)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 < int(text) <= MOST:
        raise argparse.ArgumentTypeError(f"expected a number from 2 to {MOST}, not {text!r}")
    return int(text)


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return path


if __name__ == "__main__":
    sys.exit(main())
