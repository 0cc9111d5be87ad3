"""Attacks on the ways in: the first user, sessions, keys, passwords, other people's work."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from attack.accounts import Session, keep, kept, new_account, remember, session_of, sign_in, try_sign_in
from attack.wire import Answer, Target, UnusableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from attack.findings import Findings

CREATED, NO_CONTENT, UNKNOWN, FORBIDDEN, NOT_FOUND, LIMITED = 201, 204, 401, 403, 404, 429
OK = 200
PER_USER = 10  # sessions that one user may have at once
_THREADS = 20
_AT_ONCE = 8  # below SIGN_IN_PER_ACCOUNT


def at_once(count: int, ask: Callable[[int], Answer]) -> list[Answer]:
    """Return `count` answers, asked for by many threads that begin together."""
    threads = min(count, _THREADS)
    together = threading.Barrier(threads)

    def begin(number: int) -> Answer:
        if number < threads:
            together.wait(10)
        return ask(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(count)))


def race(target: Target, count: int, found: Findings) -> None:
    """Let many ask at once to be the first user."""
    accounts = [new_account("ada") for _ in range(count)]
    answers = at_once(count, lambda number: target.ask("POST", "/api/users", asdict(accounts[number])))
    won = [account for account, answer in zip(accounts, answers, strict=True) if answer.status == CREATED]
    refused = [answer for answer in answers if answer.status == UNKNOWN]
    if not won and len(refused) == count:
        raise UnusableError("there are users already; this wants a service without any")
    found.say(f"first users: {len(won)} of {count}, refused: {len(refused)}")
    found.expect("first users", len(won), 1)
    found.expect("refused", len(refused), count - 1)
    if won:
        keep("ada", won[0])


def forge(target: Target, found: Findings) -> None:
    """Change a session's cookie in many ways."""
    session = sign_in(target, kept("ada"))
    name, _, good = session.cookie.partition("=")
    payload, stamp, signature = good.split(".")
    swapped = [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(0, len(good) - 1, 4)]
    others = [
        *(good[:-1], good + "x", good + good, payload, f"{payload}.{stamp}", f"{payload}.{stamp}.", f"..{signature}"),
        *(f"{payload}.{stamp}.{signature[::-1]}", f"{payload}.AAAAAA.{signature}", good.swapcase()),
        *("null", "true", "0", "admin", '""', "{}", "' OR '1'='1", "../../etc/passwd", "%00", "x" * 4000),
    ]
    forged = [each for each in swapped + others if each != good]
    refused = 0
    for each in forged:
        answer = target.ask("GET", "/api/session", headers={"Cookie": f"{name}={each}"})
        refused += found.expect(f"cookie {each[:20]}…", answer.status, UNKNOWN)
    true_one = session.ask("GET", "/api/session").status
    found.expect("the true cookie", true_one, OK)
    found.say(f"forged cookies refused: {refused} of {len(forged)}")


def sign_ins(target: Target, count: int, found: Findings) -> None:
    """Sign in as often at once as the limit lets, again and again; sign out of one session many times at once."""
    account = kept("bob")
    rounds = [min(_AT_ONCE, count - begun) for begun in range(0, count, _AT_ONCE)]
    answers = [at_once(size, lambda _: try_sign_in(target, account)) for size in rounds]
    sessions = [[session for answer in each if (session := session_of(target, answer))] for each in answers]
    started = [session for each in sessions for session in each]
    alive = [session for session in started if session.ask("GET", "/api/session").status == OK]
    found.say(f"sign-ins: {count}, {_AT_ONCE} at once, sessions: {len(started)}, alive: {len(alive)}")
    found.expect("sessions", len(started), count)
    found.expect("different cookies", len({session.cookie for session in started}), count)
    found.expect("sessions that live", len(alive), min(PER_USER, count))
    found.expect("sessions of the last round that live", [each for each in sessions[-1] if each not in alive], [])
    if len(alive) < 2:  # noqa: PLR2004 - one to end, one to stay
        return
    ended = Counter(answer.status for answer in at_once(count, lambda _: alive[0].ask("DELETE", "/api/session")))
    found.say(f"sign-outs of one session at once: {count}, ended: {ended[NO_CONTENT]}, came too late: {ended[UNKNOWN]}")
    found.expect("sign-outs", dict(ended), {NO_CONTENT: 1, UNKNOWN: count - 1})
    found.expect("the session after its end", alive[0].ask("GET", "/api/session").status, UNKNOWN)
    found.expect("another session", alive[1].ask("GET", "/api/session").status, OK)


def make_keys(target: Target, count: int, found: Findings) -> None:
    """Make many API keys at once, and use each."""
    session = sign_in(target, kept("bob"))
    answers = at_once(count, lambda number: session.ask("POST", "/api/keys", {"name": f"key {number}"}))
    made = [answer.json() for answer in answers if answer.status == CREATED]
    texts = {each["key"] for each in made}
    for text in texts:
        remember(text)
    found.say(f"keys made at once: {count}, different: {len(texts)}")
    found.expect("keys", (len(made), len(texts), len({each["prefix"] for each in made})), (count, count, count))
    used = at_once(len(made), lambda number: _with_key(target, made[number]["key"], "GET", "/api/pipelines"))
    works = sum(answer.status == OK for answer in used)
    found.expect("keys that work", works, count)
    listed = session.ask("GET", "/api/keys").text
    found.expect("keys that the list shows", sum(text in listed for text in texts), 0)
    gone = at_once(len(made), lambda number: session.ask("DELETE", f"/api/keys/{made[number]['key_id']}"))
    found.expect("keys that were deleted", sum(answer.status == NO_CONTENT for answer in gone), count)
    dead = at_once(len(made), lambda number: _with_key(target, made[number]["key"], "GET", "/api/pipelines"))
    refused = sum(answer.status == UNKNOWN for answer in dead)
    found.expect("keys that are refused after that", refused, count)
    found.say(f"worked: {works}, refused after they were deleted: {refused}")


def delete_while_read(target: Target, found: Findings) -> None:
    """Delete a key that many use at that moment."""
    session = sign_in(target, kept("bob"))
    made = session.new_key("read by many")
    deleted, seen = threading.Event(), Counter[tuple[bool, int]]()
    lock = threading.Lock()

    def read() -> None:
        for _ in range(200):
            after = deleted.is_set()
            status = _with_key(target, made["key"], "GET", "/api/pipelines").status
            with lock:
                seen[after, status] += 1
                if seen[True, UNKNOWN] >= _THREADS:
                    return

    with ThreadPoolExecutor(8) as pool:
        reading = [pool.submit(read) for _ in range(8)]
        while seen[False, OK] < _THREADS and not all(each.done() for each in reading):
            threading.Event().wait(0.01)
        found.expect("the deletion", session.ask("DELETE", f"/api/keys/{made['key_id']}").status, NO_CONTENT)
        deleted.set()
    found.say(f"read before: {seen[False, OK]}, refused after: {seen[True, UNKNOWN]}, let in after: {seen[True, OK]}")
    found.expect("readers before and after", (seen[False, OK] > 0, seen[True, UNKNOWN] > 0), (True, True))
    right = {(False, OK), (False, UNKNOWN), (True, UNKNOWN)}
    found.expect("other answers", {each: count for each, count in seen.items() if each not in right}, {})


def others(target: Target, found: Findings) -> None:
    """Try to see what somebody else has started."""
    bob, eve = (sign_in(target, kept(role)) for role in ("bob", "eve"))
    key = eve.new_key("eve's")["key"]
    strangers: dict[str, Callable[[str, str], Answer]] = {
        "eve": eve.ask,
        "eve with a key": lambda method, path: _with_key(target, key, method, path),
        "somebody": target.ask,
        "ada, the admin": sign_in(target, kept("ada")).ask,
    }
    order = {"pipeline": "transform", "input": {"text": "mine"}, "wait_s": 10}
    job = bob.ask("POST", "/api/execute/pipeline", order).json()["job_id"]
    routes = [("GET", f"/api/execute/status/{job}"), ("GET", f"/api/execute/{job}"), ("GET", f"/api/checkpoints/{job}")]
    routes.append(("POST", f"/api/execute/{job}/resume"))
    hidden = 0
    for name, ask in strangers.items():
        for method, path in routes:
            hidden += found.expect(f"{name}: {method} {path}", ask(method, path).status, NOT_FOUND)
    for method, path in routes[:3]:
        found.expect(f"bob: {method} {path}", bob.ask(method, path).status, OK)
    found.say(f"tries to see or to resume what is bob's: {len(strangers) * len(routes)}, not found: {hidden}")
    theirs = bob.new_key("bob's")
    taken = eve.ask("DELETE", f"/api/keys/{theirs['key_id']}").status
    found.expect("eve deletes bob's key", taken, NOT_FOUND)
    found.expect("bob's key", _with_key(target, theirs["key"], "GET", "/api/pipelines").status, OK)
    raised = eve.ask("POST", "/api/users", {**asdict(new_account("ada")), "role": "admin"}).status
    found.expect("eve adds an admin", raised, FORBIDDEN)
    found.expect("eve lists the users", eve.ask("GET", "/api/users").status, FORBIDDEN)
    found.say("eve cannot delete bob's key, add an admin or list the users")


def cross_site(target: Target, found: Findings) -> None:
    """Send what another site could make a browser send with somebody's session."""
    ada = sign_in(target, kept("ada"))
    bare = replace(ada, token="")
    form = "name=k"
    as_form = {"Content-Type": "application/x-www-form-urlencoded"}
    elsewhere = {"Origin": "https://elsewhere.example"}
    tries: list[tuple[str, Session, object, dict[str, str]]] = [
        ("without the token", bare, {"name": "k"}, {}),
        ("with another session's token", replace(ada, token=sign_in(target, kept("ada")).token), {"name": "k"}, {}),
        ("with a token that was made up", replace(ada, token="A" * 43), {"name": "k"}, {}),
        ("from another site", ada, {"name": "k"}, elsewhere),
        ("from a page without an origin", ada, {"name": "k"}, {"Origin": "null"}),
        ("marked as cross-site", ada, {"name": "k"}, {"Sec-Fetch-Site": "cross-site"}),
        ("a form from another site", bare, form, {**as_form, **elsewhere}),
        ("a form as text", ada, '{"name": "k"}', {"Content-Type": "text/plain"}),
    ]
    before = len(ada.ask("GET", "/api/keys").json()["keys"])
    refused = 0
    for what, session, body, headers in tries:
        answer = session.ask("POST", "/api/keys", body, headers)
        refused += found.expect(what, answer.status in {FORBIDDEN, 415}, True)  # noqa: FBT003
    credentials = asdict(kept("bob"))
    refused += found.expect(
        "a sign-in from another site", target.ask("POST", "/api/session", credentials, elsewhere).status, FORBIDDEN
    )
    found.expect("keys that were made", len(ada.ask("GET", "/api/keys").json()["keys"]) - before, 0)
    own = {"Origin": f"http://{target.host}:{target.port}"}
    found.expect("our own site", ada.ask("POST", "/api/keys", {"name": "k"}, own).status, CREATED)
    found.say(f"requests from other sites refused: {refused} of {len(tries) + 1}")


def guess(target: Target, count: int, found: Findings) -> None:
    """Try passwords, and in the end the right one."""
    account = kept("eve")
    wrong = [replace(account, password=new_account("eve").password) for _ in range(count)]
    answers = [try_sign_in(target, each) for each in wrong]
    looked_at = sum(answer.status == UNKNOWN for answer in answers)
    limited = [answer for answer in answers if answer.status == LIMITED]
    found.expect("other answers", count - looked_at - len(limited), 0)
    found.say(f"guesses: {count}, looked at: {looked_at}, refused: {len(limited)}")
    last = try_sign_in(target, account)
    found.expect("the right password after that", last.status, LIMITED)
    wait_s = int(last.headers.get("retry-after", "0"))
    found.expect("seconds to wait are told", 0 < wait_s <= 60, True)  # noqa: FBT003, PLR2004
    bob = try_sign_in(target, kept("bob")).status
    found.expect("somebody else", bob, OK)
    found.say(f"the right password: {last.status}, worth another try after {wait_s} s; somebody else: {bob}")


def _with_key(target: Target, key: str, method: str, path: str) -> Answer:
    return target.ask(method, path, headers={"Authorization": f"Bearer {key}"})
