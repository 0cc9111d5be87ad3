"""The accounts that attack and are attacked: random, and kept in files for their owner alone."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attack.wire import Answer, Target, UnusableError

if TYPE_CHECKING:
    from collections.abc import Mapping

ROLES = ("ada", "bob", "eve")


@dataclass(frozen=True, slots=True)
class Account:
    """A name and its password."""

    name: str
    password: str


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in account: its cookie, and the token that our own pages would send."""

    target: Target
    cookie: str
    token: str

    def headers(self) -> dict[str, str]:
        """Return what our own pages send."""
        return {"Cookie": self.cookie, "X-CSRF-Token": self.token}

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request as our own pages do."""
        return self.target.ask(method, path, body, {**self.headers(), **(headers or {})})

    def new_key(self, name: str) -> dict[str, str]:
        """Make an API key."""
        answer = self.ask("POST", "/api/keys", {"name": name})
        if answer.status != 201:  # noqa: PLR2004 - created
            raise UnusableError(f"no API key was made: {answer.status} {answer.error}")
        made: dict[str, str] = answer.json()
        remember(made["key"])
        return made


def folder() -> Path:
    """Return where accounts and the secrets that were seen are kept."""
    path = Path(os.environ["STACK_DIR"]) / "attack"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def new_account(role: str) -> Account:
    """Return an account that nobody has."""
    return Account(f"{role}-{secrets.token_hex(4)}", secrets.token_urlsafe(18))


def keep(role: str, account: Account) -> None:
    """Keep an account under its role."""
    path = folder() / f"{role}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(asdict(account)) + "\n")
    remember(account.password)


def kept(role: str) -> Account:
    """Return the account of a role; raises UnusableError."""
    try:
        return Account(**json.loads((folder() / f"{role}.json").read_text()))
    except FileNotFoundError:
        raise UnusableError(f"there is no account {role} yet; run: deployment/scripts/attack.sh accounts") from None


def remember(secret: str) -> None:
    """Add a secret to those that must be found nowhere."""
    path = folder() / "seen"
    path.touch(mode=0o600)
    with path.open("a") as file:
        file.write(secret + "\n")


def sign_in(target: Target, account: Account) -> Session:
    """Sign in; raises UnusableError."""
    answer = try_sign_in(target, account)
    session = session_of(target, answer)
    if session is None:
        raise UnusableError(f"{account.name} cannot sign in: {answer.status} {answer.error}")
    return session


def try_sign_in(target: Target, account: Account) -> Answer:
    """Ask for a session."""
    return target.ask("POST", "/api/session", {"name": account.name, "password": account.password})


def session_of(target: Target, answer: Answer) -> Session | None:
    """Return the session that an answer has started, if it has."""
    if answer.status != 200:  # noqa: PLR2004 - ok
        return None
    session = Session(target, answer.headers["set-cookie"].partition(";")[0], answer.json()["csrf_token"])
    remember(session.cookie.partition("=")[2])
    remember(session.token)
    return session


def make_accounts(target: Target) -> list[str]:
    """Make the three accounts; the first is an admin."""
    admin = new_account("ada")
    added = target.ask("POST", "/api/users", asdict(admin))
    if added.status == 401:  # noqa: PLR2004 - there is a first user
        admin = kept("ada")
    elif added.status != 201:  # noqa: PLR2004 - created
        raise UnusableError(f"no first user was made: {added.status} {added.error}")
    keep("ada", admin)
    session = sign_in(target, admin)
    for role in ROLES[1:]:
        account = new_account(role)
        answer = session.ask("POST", "/api/users", asdict(account))
        if answer.status != 201:  # noqa: PLR2004 - created
            raise UnusableError(f"{role} was not added: {answer.status} {answer.error}")
        keep(role, account)
    return [f"accounts: {', '.join(ROLES)}"]
