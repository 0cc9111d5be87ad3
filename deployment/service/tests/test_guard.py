from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import httpx
import people
import pytest
from conftest import RunningReplica, StartReplica, free_port, query, wait_until
from people import PASSWORD, SECRET, Person, cookies_of, with_key
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from ia_service.guard import client_address
from ia_service.headers import SECURITY_HEADERS
from ia_service.settings import Settings

OPEN = {"COOKIE_SECURE": "no", "SESSION_SECRET": SECRET}
EXECUTE = "/api/execute/pipeline"


@pytest.mark.parametrize(
    "path", ["/health", "/ready", "/version", "/metrics", "/api/pipelines", "/nowhere", "/api/users"]
)
def test_every_answer_carries_the_security_headers(replica: RunningReplica, path: str) -> None:
    answer = replica.http.get(path)
    assert SECURITY_HEADERS.items() <= dict(answer.headers).items()
    assert "server" not in answer.headers


def test_nothing_is_served_that_loads_scripts_from_elsewhere(replica: RunningReplica) -> None:
    assert [replica.http.get(path).status_code for path in ("/docs", "/redoc")] == [404, 404]


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_body_that_is_not_said_to_be_json_is_refused(replica: RunningReplica, media: str) -> None:
    body = b'{"pipeline": "transform"}'
    refused = replica.http.post(EXECUTE, content=body, headers={"content-type": media} if media else {})
    assert (refused.status_code, refused.json()["error"]) == (415, "unsupported_media_type")


def test_a_body_that_is_too_long_is_refused_said_so_or_not(database: str, start_replica: StartReplica) -> None:
    small = start_replica(database, MAX_BODY_BYTES="2000")

    def pieces() -> Iterator[bytes]:
        yield b'{"pipeline": "transform", "input": {"text": "'
        for _ in range(100):
            yield b"x" * 100
        yield b'"}}'

    for content in (b"".join(pieces()), pieces()):
        refused = small.http.post(EXECUTE, content=content, headers={"content-type": "application/json"})
        assert (refused.status_code, refused.json()["error"]) == (413, "too_large")
        assert SECURITY_HEADERS.items() <= dict(refused.headers).items()
    assert query(database, "SELECT count(*) FROM pipeline_executions") == [(0,)]
    assert small.execute("transform", text="x" * 1000)["status"] == "completed"


def test_a_path_that_no_database_takes_is_not_found(replica: RunningReplica) -> None:
    refused = replica.http.get("/api/execute/status/a%00b")
    assert (refused.status_code, refused.json()["error"]) == (404, "not_found")


ROUTES = [
    ("GET", "/api/pipelines"),
    ("POST", EXECUTE),
    ("POST", "/api/execute/x/resume"),
    ("GET", "/api/execute/status/x"),
    ("GET", "/api/execute/x"),
    ("GET", "/api/checkpoints/x"),
    ("GET", "/api/reliability/metrics"),
    ("GET", "/api/users"),
    ("GET", "/api/session"),
    ("GET", "/api/keys"),
    ("GET", "/api/nowhere"),
    ("GET", "/nowhere"),
    ("GET", "/openapi.json"),
    ("GET", "//api/pipelines"),
]


def test_where_anonymous_callers_are_refused_every_route_demands_a_caller(
    database: str, start_replica: StartReplica
) -> None:
    closed = start_replica(database, **OPEN, ANONYMOUS="refuse")
    for method, path in ROUTES:
        refused = closed.http.request(method, path)
        assert (refused.status_code, refused.json()["error"]) == (401, "unauthenticated"), path
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"{closed.url.replace('http', 'ws')}/ws/executions")
    for path in ("/health", "/ready", "/version", "/metrics"):
        assert closed.http.get(path).status_code == 200
    with people.found(closed.url) as ada:
        assert ada.get("/api/pipelines").status_code == 200
        assert closed.http.post("/api/users", json={"name": "eve", "password": PASSWORD}).status_code == 401
        with with_key(closed.url, ada.new_key()["key"]) as http:
            ended = http.post(EXECUTE, json={"pipeline": "transform", "input": {"text": "x"}, "wait_s": 20}).json()
            assert ended["status"] == "completed"


@pytest.fixture
def two(database: str, start_replica: StartReplica) -> Iterator[tuple[RunningReplica, Person, Person]]:
    replica = start_replica(database, **OPEN, STUCK_AFTER_SECONDS="1")
    with people.found(replica.url) as ada:
        people.add(ada, "bob")
        with people.sign_in(replica.url, "bob") as bob:
            yield replica, ada, bob


def test_what_somebody_has_started_is_there_for_nobody_else(two: tuple[RunningReplica, Person, Person]) -> None:
    replica, ada, bob = two
    order = {"pipeline": "fail", "input": {"fail": True}, "wait_s": 20}
    with with_key(replica.url, ada.new_key()["key"]) as hers, with_key(replica.url, bob.new_key()["key"]) as his:
        by_session, by_key = (
            answer.json()["job_id"] for answer in (ada.post(EXECUTE, order), hers.post(EXECUTE, json=order))
        )
        for job in (by_session, by_key):
            reads = [f"/api/execute/status/{job}", f"/api/execute/{job}", f"/api/checkpoints/{job}"]
            for path in reads:
                assert [who.get(path).status_code for who in (ada.http, hers)] == [200, 200]
                for who in (bob.http, his, replica.http):
                    refused = who.get(path)
                    assert (refused.status_code, refused.json()["message"]) == (404, f"there is no execution {job!r}")
            resume = f"/api/execute/{job}/resume"
            assert [
                bob.post(resume).status_code,
                his.post(resume).status_code,
                replica.http.post(resume).status_code,
            ] == [404] * 3
            assert hers.post(resume, json={"wait_s": 20}).status_code == 200
            # It is hers still.
            assert [who.get(reads[0]).status_code for who in (hers, his, replica.http)] == [200, 404, 404]
    anonymous = replica.execute("transform", text="for all")["job_id"]
    assert [who.get(f"/api/execute/{anonymous}").status_code for who in (ada.http, bob.http, replica.http)] == [200] * 3


def test_updates_of_what_somebody_owns_are_sent_to_them_alone(
    two: tuple[RunningReplica, Person, Person], database: str, start_replica: StartReplica
) -> None:
    replica, ada, bob = two
    other = start_replica(database, "other", **OPEN)
    address = f"{other.url.replace('http', 'ws')}/ws/executions"
    cookies = [{"cookie": f"ia-session={cookies_of(person.http)['ia-session']}"} for person in (ada, bob)]
    order = {"pipeline": "slow", "input": {"seconds": 4}}
    hers = ada.post(EXECUTE, order).json()["job_id"]
    with (
        connect(f"{address}/{hers}", additional_headers=cookies[0]) as owner,
        connect(address, additional_headers=cookies[1]) as stranger,
        connect(address) as anybody,
    ):
        with connect(f"{address}/{hers}", additional_headers=cookies[1]) as socket:
            assert json.loads(socket.recv(timeout=30))["data"]["error"] == "not_found"
        assert json.loads(owner.recv(timeout=30))["type"] == "snapshot"
        kinds = set()
        while True:
            update = json.loads(owner.recv(timeout=30))
            kinds.add(update["type"])
            if update["type"] == "execution_update" and update["data"]["status"] == "completed":
                break
        assert kinds == {"step_update", "execution_update"}
        replica.execute("transform", text="for all")
        for socket in (stranger, anybody):
            seen = [json.loads(socket.recv(timeout=30))["data"]["execution_id"] for _ in range(3)]
            assert hers not in seen


def test_a_socket_opened_by_another_site_with_a_session_is_refused(two: tuple[RunningReplica, Person, Person]) -> None:
    replica, ada, _ = two
    address = f"{replica.url.replace('http', 'ws')}/ws/executions"
    cookie = {"cookie": f"ia-session={cookies_of(ada.http)['ia-session']}"}
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, additional_headers=cookie, origin=Origin("https://evil.example"))
    with connect(address, additional_headers=cookie, origin=Origin(replica.url)) as socket:
        socket.close()
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        connect(address, additional_headers={"authorization": "Bearer nonsense"})


def test_who_guesses_passwords_is_stopped_even_with_the_right_one(database: str, start_replica: StartReplica) -> None:
    name = f"ada-{free_port()}"
    one = start_replica(database, "one", **OPEN, SIGN_IN_PER_ACCOUNT="5/minute")
    other = start_replica(database, "other", **OPEN, SIGN_IN_PER_ACCOUNT="5/minute")
    assert one.http.post("/api/users", json={"name": name, "password": PASSWORD}).status_code == 201

    def guess(replica: RunningReplica, password: str, account: str = name) -> httpx.Response:
        return replica.http.post("/api/session", json={"name": account, "password": password})

    assert guess(one, PASSWORD).status_code == 200
    # Counted together, whichever replica is asked and however the name is written.
    tried = [guess((one, other)[n % 2], "guess", (name, name.upper())[n % 2]).status_code for n in range(5)]
    assert tried == [401] * 5
    for replica in (one, other):
        refused = guess(replica, PASSWORD)
        assert (refused.status_code, refused.json()["error"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 60
    assert guess(one, "guess", "somebody-else").status_code == 401


def test_who_tries_many_accounts_is_stopped_by_their_address(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN, SIGN_IN_PER_ADDRESS="5/minute", PROXY_HOPS="1")
    address = {"x-forwarded-for": f"203.0.113.7, 198.51.100.{free_port() % 250}:{free_port()}"}
    statuses = [
        replica.http.post("/api/session", json={"name": f"u{n}", "password": "x"}, headers=address).status_code
        for n in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2
    elsewhere = {"x-forwarded-for": f"{address['x-forwarded-for']}, 192.0.2.1"}
    assert replica.http.post("/api/session", json={"name": "u", "password": "x"}, headers=elsewhere).status_code == 401


def test_guesses_are_limited_while_redis_is_away(database: str, start_replica: StartReplica) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    replica = start_replica(database, **OPEN, REDIS_URL=nowhere, SIGN_IN_PER_ACCOUNT="3/minute")
    body = {"name": "ada", "password": "guess"}
    statuses = [replica.http.post("/api/session", json=body).status_code for _ in range(5)]
    assert statuses == [401] * 3 + [429] * 2
    assert "sign-ins are counted on this replica alone" in replica.log.read_text()


def test_requests_beyond_the_general_limit_are_refused_but_for_probes(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, RATE_LIMIT="5/minute")
    answers = [replica.http.get("/api/pipelines") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert {replica.http.get("/ready").status_code for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("hops", "forwarded", "expected"),
    [
        (0, "203.0.113.7", "10.0.0.1"),
        (1, "203.0.113.7", "203.0.113.7"),
        (1, "made up, 203.0.113.7", "203.0.113.7"),
        (2, "made up, 203.0.113.7, 10.0.0.9", "203.0.113.7"),
        (2, "203.0.113.7", "10.0.0.1"),
        (1, "", "10.0.0.1"),
    ],
)
def test_only_what_our_own_proxies_say_about_addresses_is_believed(hops: int, forwarded: str, expected: str) -> None:
    scope = {"type": "http", "client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_address(scope, Settings("", "", proxy_hops=hops)) == expected


def test_a_database_that_is_away_is_a_clear_503_for_who_has_a_key(start_replica: StartReplica) -> None:
    replica = start_replica("postgresql://ia@127.0.0.1:1/none", **OPEN)
    key = f"iak_{'0' * 16}_{'A' * 43}"
    refused = replica.http.get("/api/pipelines", headers={"authorization": f"Bearer {key}"})
    assert (refused.status_code, refused.json()["error"]) == (503, "database_unavailable")
    assert replica.http.get("/api/pipelines").status_code == 200


def test_a_database_from_before_users_serves_who_needs_none(database: str, start_replica: StartReplica) -> None:
    query(database, "DROP TABLE api_keys, user_sessions, users")
    query(database, "DELETE FROM ia_migrations WHERE version LIKE 'V005%'")
    replica = start_replica(database, **OPEN)
    assert replica.http.get("/health").json()["checks"]["migrations"]["pending"] == ["V005__identity"]
    assert replica.execute("transform", text="x")["status"] == "completed"
    refused = replica.http.post("/api/users", json={"name": "ada", "password": PASSWORD})
    assert (refused.status_code, refused.json()["error"]) == (503, "not_migrated")


def test_a_replica_with_sign_ins_still_ends_in_good_order(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url):
        os.kill(replica.pid, signal.SIGTERM)
        wait_until(lambda: '"message": "stopped"' in replica.log.read_text(), "the replica stops")
    assert "Traceback" not in replica.log.read_text()
