from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import people
import pytest
from conftest import StartReplica, query
from people import SECRET, with_key

OPEN = {"COOKIE_SECURE": "no", "SESSION_SECRET": SECRET}


def test_a_hundred_keys_made_at_once_are_all_different_and_all_work(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        with ThreadPoolExecutor(20) as threads:
            made = list(threads.map(lambda n: ada.new_key(f"key {n}"), range(100)))
        for part in ("key", "prefix", "key_id"):
            assert len({each[part] for each in made}) == 100
        assert len(ada.get("/api/keys").json()["keys"]) == 100
        assert query(database, "SELECT count(*), count(DISTINCT key_hash) FROM api_keys") == [(100, 100)]

        def status(key: str) -> int:
            with with_key(replica.url, key) as http:
                return http.get("/api/pipelines").status_code

        with ThreadPoolExecutor(10) as threads:
            assert set(threads.map(status, [each["key"] for each in made])) == {200}


def test_a_wrong_altered_or_expired_key_is_refused(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        good, other = ada.new_key()["key"], ada.new_key()["key"]
        short = ada.new_key("short", lifetime_s=60)["key"]
    mixed = "_".join([*good.split("_", 2)[:2], other.split("_", 2)[2]])
    bad = ["iak_", good[:-1], good + "x", good.upper(), mixed, "iak_" + "0" * 16 + "_" + "A" * 43, "' OR 1=1 --"]
    for key in bad:
        refused = replica.http.get("/api/pipelines", headers={"authorization": f"Bearer {key}"})
        assert (refused.status_code, refused.json()["error"]) == (401, "unauthenticated"), key
    for value in (f"Basic {good}", f"Token {good}", good, "Bearer", ""):
        assert replica.http.get("/api/pipelines", headers={"authorization": value}).status_code == 401
    with with_key(replica.url, short) as http:
        assert http.get("/api/pipelines").status_code == 200
        query(database, "UPDATE api_keys SET expires_at = now() WHERE name = 'short'")
        assert http.get("/api/pipelines").status_code == 401
    with with_key(replica.url, good) as http:
        assert http.get("/api/pipelines").status_code == 200


def test_a_key_that_is_read_all_the_time_can_be_deleted_and_is_dead_from_then_on(
    database: str, start_replica: StartReplica
) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        made = ada.new_key()
        seen: list[tuple[bool, int]] = []
        deleted, stop = threading.Event(), threading.Event()

        def read() -> None:
            with with_key(replica.url, made["key"]) as http:
                while not stop.is_set():
                    after = deleted.is_set()
                    seen.append((after, http.get("/api/pipelines").status_code))

        readers = [threading.Thread(target=read) for _ in range(8)]
        for reader in readers:
            reader.start()
        while len(seen) < 50:
            stop.wait(0.01)
        assert ada.delete(f"/api/keys/{made['key_id']}").status_code == 204
        deleted.set()
        so_far = len(seen)
        while len(seen) < so_far + 50:
            stop.wait(0.01)
        stop.set()
        for reader in readers:
            reader.join()
        assert {status for after, status in seen if not after} <= {200, 401}
        assert {status for after, status in seen if after} == {401}
        assert ada.delete(f"/api/keys/{made['key_id']}").status_code == 404


def test_a_user_sees_and_deletes_their_own_keys_alone(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        people.add(ada, "bob")
        made = ada.new_key("ada's")
        with people.sign_in(replica.url, "bob") as bob:
            assert bob.get("/api/keys").json() == {"keys": []}
            assert bob.delete(f"/api/keys/{made['key_id']}").status_code == 404
            assert bob.delete("/api/keys/not-a-uuid").status_code == 422
        assert [key["name"] for key in ada.get("/api/keys").json()["keys"]] == ["ada's"]


def test_a_user_has_a_bounded_number_of_keys(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, **OPEN)
    with people.found(replica.url) as ada:
        filled = "SELECT user_id, 'k', left(md5(n::text), 16), md5(n::text) || md5(n::text), NULL"
        columns = "user_id, name, prefix, key_hash, expires_at"
        query(database, f"INSERT INTO api_keys ({columns}) {filled} FROM users, generate_series(1, 1000) AS n")
        refused = ada.post("/api/keys", {"name": "one more"})
        assert (refused.status_code, refused.json()["error"]) == (409, "too_many")


@pytest.mark.parametrize(
    "body", [{"name": ""}, {"name": "a\nb"}, {"name": "k", "lifetime_s": 0}, {"name": "k", "x": 1}]
)
def test_a_bad_order_for_a_key_is_refused(database: str, start_replica: StartReplica, body: dict[str, object]) -> None:
    with people.found(start_replica(database, **OPEN).url) as ada:
        assert ada.post("/api/keys", body).status_code == 422
