from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import people
import psycopg2
import pytest
from conftest import RunningReplica, StartReplica, create_database, query, replica_starter, wait_until
from itsdangerous import URLSafeTimedSerializer
from people import PASSWORD, SECRET, Person, cookies_of

from ia_service import sessions, users
from ia_service.database import Pool, PooledDatabase
from ia_service.errors import CrossSiteError, NotConfiguredError, UnauthenticatedError
from ia_service.passwords import Passwords
from ia_service.sessions import PER_USER, Seal

OPEN = {"COOKIE_SECURE": "no", "SESSION_SECRET": SECRET, "SIGN_IN_PER_ACCOUNT": "500/minute"}


@pytest.fixture(scope="module")
def house(place: Path, postgres: int, valkey: str, migrated: str) -> Iterator[RunningReplica]:
    """One replica with Ada, who is its admin, and Bob and Eve, who are not."""
    with replica_starter(place, valkey) as start:
        replica = start(create_database(postgres, migrated), "house", **OPEN, SIGN_IN_PER_ADDRESS="5000/minute")
        with people.found(replica.url) as ada:
            people.add(ada, "bob")
            people.add(ada, "eve")
        yield replica


@pytest.fixture
def ada(house: RunningReplica) -> Iterator[Person]:
    with people.sign_in(house.url, "ada") as person:
        yield person


@pytest.fixture
def bob(house: RunningReplica) -> Iterator[Person]:
    with people.sign_in(house.url, "bob") as person:
        yield person


def test_of_many_who_want_to_be_the_first_user_one_is_and_becomes_admin(
    database: str, start_replica: StartReplica
) -> None:
    replicas = [start_replica(database, name, **OPEN) for name in ("one", "other")]

    def ask(number: int) -> int:
        body = {"name": f"user{number}", "password": PASSWORD}
        return replicas[number % 2].http.post("/api/users", json=body).status_code

    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(ask, range(20)))
    assert sorted(answers) == [201] + [401] * 19
    assert query(database, "SELECT role, founder FROM users") == [("admin", True)]


def test_the_database_itself_refuses_a_second_first_user(database: str) -> None:
    query(database, "INSERT INTO users (name, password_hash, role, founder) VALUES ('a', 'x', 'admin', TRUE)")
    with pytest.raises(Exception, match="idx_users_one_founder"):
        query(database, "INSERT INTO users (name, password_hash, role, founder) VALUES ('b', 'x', 'admin', TRUE)")


def test_only_an_admin_adds_lists_and_removes_users(house: RunningReplica, ada: Person, bob: Person) -> None:
    new = {"name": "carol", "password": PASSWORD}
    assert house.http.post("/api/users", json=new).status_code == 401
    assert house.http.get("/api/users").status_code == 401
    for refused in (bob.post("/api/users", new), bob.get("/api/users"), bob.delete("/api/users/eve")):
        assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")
    added = ada.post("/api/users", new)
    assert (added.status_code, added.json()["role"]) == (201, "member")
    assert ada.post("/api/users", {**new, "name": "Carol"}).json()["error"] == "already_exists"
    assert "carol" in [user["name"] for user in ada.get("/api/users").json()["users"]]
    assert ada.delete("/api/users/ada").status_code == 403
    with people.sign_in(house.url, "carol") as carol:
        key = carol.new_key()["key"]
        assert ada.delete("/api/users/carol").status_code == 204
        assert carol.get("/api/session").status_code == 401
    with people.with_key(house.url, key) as http:
        assert http.get("/api/pipelines").status_code == 401
    assert ada.delete("/api/users/carol").status_code == 404


@pytest.mark.parametrize(
    ("name", "password"),
    [("x", PASSWORD), ("<b>", PASSWORD), ("a b", PASSWORD), ("dave", "too short"), ("dave", "x" * 129)],
)
def test_a_bad_name_or_password_is_refused_and_not_repeated(ada: Person, name: str, password: str) -> None:
    refused = ada.post("/api/users", {"name": name, "password": password})
    assert (refused.status_code, refused.json()["error"]) == (422, "invalid_request")
    assert password not in refused.text


def test_no_secret_is_in_the_log_and_a_key_is_shown_once(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN, LOG_LEVEL="DEBUG")
    with people.found(replica.url) as ada:
        key = ada.new_key()["key"]
        secrets = [SECRET, PASSWORD, *cookies_of(ada.http).values(), ada.csrf["x-csrf-token"], key, key[21:]]
        with people.with_key(replica.url, key) as http:
            assert http.get("/api/pipelines").status_code == 200
        listed = ada.get("/api/keys").text
        assert key[4:20] in listed
        assert key[21:] not in listed
        said = replica.log.read_text()
        assert '"path": "/api/keys"' in said
        assert [secret for secret in secrets if secret in said] == []


def test_the_log_says_who_did_what_and_no_name_that_nobody_has(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **{**OPEN, "SIGN_IN_PER_ACCOUNT": "2/minute"})
    with people.found(replica.url) as ada:
        people.add(ada, "bob")
        made = ada.new_key()
        ada.delete(f"/api/keys/{made['key_id']}")
        ada.delete("/api/users/bob")
        ada.delete("/api/session")
    for name in ("ada", "ada", "ada", "my secret passphrase"):
        replica.http.post("/api/session", json={"name": name, "password": "wrong"})
    lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
    said = [(line["message"], line.get("user"), line.get("reason")) for line in lines if "audit" in line["logger"]]
    assert said == [
        ("first user added", "ada", None),
        ("signed in", "ada", None),
        ("user added", "bob", None),
        ("key made", "ada", None),
        ("key deleted", "ada", None),
        ("user removed", "bob", None),
        ("signed out", "ada", None),
        ("sign-in refused", "ada", "wrong"),
        ("sign-in refused", "ada", "wrong"),
        ("sign-in refused", None, "too many tries"),
        ("sign-in refused", "unknown", "wrong"),
    ]
    assert "passphrase" not in replica.log.read_text()


def test_the_table_holds_no_password_session_or_key(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        key = ada.new_key()["key"]
        kept = repr(query(database, "SELECT u, s, k FROM users AS u, user_sessions AS s, api_keys AS k"))
        assert "$argon2id$" in kept
        for secret in (PASSWORD, *cookies_of(ada.http).values(), key, key.split("_", 2)[2]):
            assert secret not in kept


def test_the_cookie_is_for_this_host_over_https_and_no_script_reads_it(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, SESSION_SECRET=SECRET)
    body = {"name": "ada", "password": PASSWORD}
    assert replica.http.post("/api/users", json=body).status_code == 201
    kept = replica.http.post("/api/session", json=body).headers["set-cookie"]
    assert kept.startswith("__Host-ia-session=")
    assert {part.strip().lower() for part in kept.split(";")[1:]} == {
        *("httponly", "secure", "samesite=strict", "path=/", "max-age=43200"),
    }


@pytest.mark.parametrize(("name", "password"), [("ada", "not the password"), ("nobody", PASSWORD), ("a\0b", PASSWORD)])
def test_a_wrong_name_and_a_wrong_password_get_the_same_answer(house: RunningReplica, name: str, password: str) -> None:
    refused = house.http.post("/api/session", json={"name": name, "password": password})
    assert refused.status_code == 401
    assert refused.json()["message"] == "this name and password do not belong together"
    assert "set-cookie" not in refused.headers


def test_a_tampered_made_up_or_foreign_cookie_is_refused(house: RunningReplica, ada: Person) -> None:
    (name, good), *_ = cookies_of(ada.http).items()
    foreign = URLSafeTimedSerializer("another secret, which is long enough", salt="ia-session").dumps("token")
    flipped = good[:5] + ("A" if good[5] != "A" else "B") + good[6:]
    for bad in (flipped, good[:-1], good.rpartition(".")[0], foreign, "", "null", "é", "' OR 1=1 --", good + good):
        refused = house.http.get("/api/session", headers={b"cookie": f"{name}={bad}".encode()})
        assert (refused.status_code, refused.json()["error"]) == (401, "unauthenticated"), bad
        assert refused.headers["www-authenticate"] == "Bearer"
    assert ada.get("/api/session").json()["name"] == "ada"


def test_a_cookie_that_is_well_signed_but_unknown_is_refused(house: RunningReplica) -> None:
    cookie, _ = Seal((SECRET,), 60).new_cookie()
    assert house.http.get("/api/session", headers={"cookie": f"ia-session={cookie}"}).status_code == 401


def test_an_expired_session_is_refused_by_its_signature_and_by_its_row(
    database: str, start_replica: StartReplica
) -> None:
    short = start_replica(database, **OPEN, SESSION_SECONDS="6")
    longer = start_replica(database, **OPEN)
    with people.found(short.url) as ada:
        assert ada.get("/api/session").status_code == 200
        cookie = {"cookie": f"ia-session={cookies_of(ada.http)['ia-session']}"}
        wait_until(lambda: short.http.get("/api/session", headers=cookie).status_code == 401, "the session ends")
        # This one takes the signature for twelve hours, but the row ends, six seconds after it was written.
        wait_until(lambda: longer.http.get("/api/session", headers=cookie).status_code == 401, "the row ends")
    with people.sign_in(longer.url, "ada"):
        assert query(database, "SELECT count(*) FROM user_sessions") == [(1,)]


def test_any_replica_knows_a_session_and_a_new_secret_keeps_the_old_sessions(
    database: str, start_replica: StartReplica
) -> None:
    one = start_replica(database, "one", **OPEN)
    other = start_replica(database, "other", **{**OPEN, "SESSION_SECRET": f"{SECRET},{SECRET} and newer"})
    stranger = start_replica(database, "stranger", **{**OPEN, "SESSION_SECRET": f"{SECRET} and newer"})
    with people.found(one.url) as ada:
        cookie = {"cookie": f"ia-session={cookies_of(ada.http)['ia-session']}"}
    assert other.http.get("/api/session", headers=cookie).status_code == 200
    assert stranger.http.get("/api/session", headers=cookie).status_code == 401


def test_sign_out_ends_this_session_alone_and_only_once(house: RunningReplica, bob: Person) -> None:
    with people.sign_in(house.url, "bob") as elsewhere:
        cookie = {"cookie": f"ia-session={cookies_of(bob.http)['ia-session']}", **bob.csrf}
        with ThreadPoolExecutor(10) as threads:
            outs = [threads.submit(house.http.delete, "/api/session", headers=cookie) for _ in range(10)]
        assert sorted(out.result().status_code for out in outs) == [204] + [401] * 9
        assert house.http.get("/api/session", headers=cookie).status_code == 401
        assert elsewhere.get("/api/session").status_code == 200


def test_many_sign_ins_at_once_all_work_and_the_newest_sessions_stay(house: RunningReplica) -> None:
    with ThreadPoolExecutor(10) as threads:
        persons = list(threads.map(lambda _: people.sign_in(house.url, "eve"), range(PER_USER + 10)))
    alive = [person for person in persons if person.get("/api/session").status_code == 200]
    assert len({cookies_of(person.http)["ia-session"] for person in persons}) == PER_USER + 10
    assert len(alive) == PER_USER
    for person in persons:
        person.http.close()


def test_signing_in_and_out_at_once_leaves_no_session_and_no_error(house: RunningReplica) -> None:
    def in_and_out(_: int) -> tuple[int, int]:
        with people.sign_in(house.url, "eve") as eve:
            return eve.delete("/api/session").status_code, eve.get("/api/session").status_code

    with ThreadPoolExecutor(8) as threads:
        ended = set(threads.map(in_and_out, range(24)))
    assert ended == {(204, 401)}


def test_what_changes_anything_with_a_cookie_needs_the_sessions_own_token(ada: Person, bob: Person) -> None:
    for headers in ({}, {"x-csrf-token": "made up"}, {"x-csrf-token": "\xe9"}, bob.csrf):
        encoded = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        refused = ada.http.post("/api/keys", json={"name": "k"}, headers=encoded)
        assert (refused.status_code, refused.json()["error"]) == (403, "cross_site")
        assert ada.http.delete("/api/session", headers=encoded).status_code == 403
        assert (
            ada.http.post("/api/execute/pipeline", json={"pipeline": "transform"}, headers=encoded).status_code == 403
        )
    assert ada.post("/api/keys", {"name": "k"}).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
def test_another_site_gets_nothing_done_even_with_the_token(
    house: RunningReplica, ada: Person, headers: dict[str, str]
) -> None:
    refused = ada.http.post("/api/keys", json={"name": "k"}, headers={**ada.csrf, **headers})
    assert (refused.status_code, refused.json()["error"]) == (403, "cross_site")
    credentials = {"name": "bob", "password": PASSWORD}
    assert house.http.post("/api/session", json=credentials, headers=headers).status_code == 403


def test_our_own_site_and_those_that_are_allowed_get_in(
    house: RunningReplica, ada: Person, database: str, start_replica: StartReplica
) -> None:
    own = {**ada.csrf, "origin": house.url}
    assert ada.http.post("/api/keys", json={"name": "k"}, headers=own).status_code == 201
    allowing = start_replica(database, **OPEN, ALLOWED_ORIGINS="https://ops.example")
    with people.found(allowing.url) as admin:
        headers = {**admin.csrf, "origin": "https://ops.example", "sec-fetch-site": "cross-site"}
        assert admin.http.post("/api/keys", json={"name": "k"}, headers=headers).status_code == 201


def test_without_a_secret_nobody_signs_in_and_the_rest_works(replica: RunningReplica) -> None:
    refused = replica.http.post("/api/session", json={"name": "ada", "password": PASSWORD})
    assert (refused.status_code, refused.json()["error"]) == (503, "not_configured")
    assert replica.http.get("/api/session", headers={"cookie": "__Host-ia-session=x"}).status_code == 401
    assert replica.execute("transform", text="x")["status"] == "completed"


def test_a_seal_takes_nothing_that_it_did_not_make() -> None:
    seal = Seal((SECRET,), 60)
    cookie, session_hash = seal.new_cookie()
    assert seal.session_hash(cookie) == session_hash
    seal.check_csrf_token(session_hash, seal.csrf_token(session_hash))
    with pytest.raises(CrossSiteError):
        seal.check_csrf_token("0" * 64, seal.csrf_token(session_hash))
    with pytest.raises(UnauthenticatedError):
        Seal((f"{SECRET}!",), 60).session_hash(cookie)
    with pytest.raises(NotConfiguredError):
        Seal((), 60).new_cookie()


def test_of_two_sign_ins_that_end_old_sessions_at_once_none_keeps_the_other_from_it(database: str) -> None:
    query(database, "INSERT INTO users (name, password_hash, role) VALUES ('eve', 'x', 'member')")
    ((user,),) = query(database, "SELECT user_id::text FROM users")
    values = "SELECT md5(n::text) || md5(n::text), user_id, 'infinity' FROM users, generate_series(1, 12) AS n"
    query(database, f"INSERT INTO user_sessions (session_hash, user_id, expires_at) {values}")
    pool = Pool(database, size=1, wait_s=10, query_s=20, name="test")
    pooled = PooledDatabase(database, pool)
    with psycopg2.connect(database) as other:
        whose = {"user_id": user, "kept": PER_USER}
        other.cursor().execute(*pooled._convert_params(sessions._END_OLDEST, whose))
        sessions.start(pooled, "a" * 64, str(user), 60)
    other.close()
    assert query(database, "SELECT count(*) FROM user_sessions") == [(PER_USER,)]
    pool.close()


def test_a_cookie_ends_by_its_own_date_whatever_the_database_says() -> None:
    seal = Seal((SECRET,), 1)
    cookie, _ = seal.new_cookie()

    def refused() -> bool:
        try:
            seal.session_hash(cookie)
        except UnauthenticatedError:
            return True
        return False

    assert Seal((SECRET,), 60).session_hash(cookie)
    wait_until(refused, "the cookie ends")


def test_when_the_first_user_is_gone_the_others_keep_a_new_first_one_out(database: str) -> None:
    query(database, "INSERT INTO users (name, password_hash, role) VALUES ('bob', 'x', 'member')")
    pool = Pool(database, size=1, wait_s=1, query_s=5, name="test")
    assert users.add_first(PooledDatabase(database, pool), "eve", "x") is None
    pool.close()


def test_nobody_has_the_password_that_stands_in_for_those_of_unknown_names() -> None:
    passwords = Passwords()
    assert not asyncio.run(passwords.matches(None, "nobody's"))
    kept = asyncio.run(passwords.hashed("right"))
    assert [asyncio.run(passwords.matches(kept, each)) for each in ("right", "wrong")] == [True, False]


def test_a_key_is_no_session(house: RunningReplica, bob: Person) -> None:
    with people.with_key(house.url, bob.new_key()["key"]) as http:
        for refused in (
            http.get("/api/session"),
            http.delete("/api/session"),
            http.post("/api/keys", json={"name": "another"}),
            http.get("/api/keys"),
        ):
            assert (refused.status_code, refused.json()["error"]) == (403, "forbidden")


def test_a_client_without_any_answer_is_anonymous(house: RunningReplica) -> None:
    assert httpx.get(f"{house.url}/api/session").status_code == 401
    assert httpx.get(f"{house.url}/api/pipelines").status_code == 200
