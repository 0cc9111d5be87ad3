from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg2
import pytest
from conftest import StartReplica, query, wait_until

from ia_service.refreshed import Refreshed

READERS = 100


class Source:
    """Counts how often it is asked, and can be told to fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.fails = False
        self.now = 0.0

    async def answer(self) -> int:
        self.asked += 1
        asked = self.asked
        await asyncio.sleep(0.01)
        if self.fails:
            raise OSError("no answer")
        return asked


@pytest.fixture
def source() -> Source:
    return Source()


def kept(source: Source, counts: Counter[str], at_most: int = 64) -> Refreshed[int]:
    return Refreshed(2, lambda outcome: counts.update([outcome]), at_most=at_most, clock=lambda: source.now)


def test_a_hundred_readers_of_an_old_answer_make_one_refresh(source: Source) -> None:
    counts: Counter[str] = Counter()

    async def run() -> None:
        cache = kept(source, counts)
        assert await cache.get("a", source.answer) == 1
        source.now = 1.9
        assert await cache.get("a", source.answer) == 1
        source.now = 2.0
        found = await asyncio.gather(*(cache.get("a", source.answer) for _ in range(READERS)))
        assert found == [2] * READERS

    asyncio.run(run())
    assert source.asked == 2
    assert counts == {"refreshed": 2, "hit": 1, "waited": READERS - 1}


def test_a_failure_reaches_all_who_waited_and_is_not_kept(source: Source) -> None:
    counts: Counter[str] = Counter()

    async def run() -> None:
        cache = kept(source, counts)
        source.fails = True
        found = await asyncio.gather(*(cache.get("a", source.answer) for _ in range(10)), return_exceptions=True)
        assert [str(each) for each in found] == ["no answer"] * 10
        source.fails = False
        assert await cache.get("a", source.answer) == 2

    asyncio.run(run())
    assert counts == {"failed": 1, "waited": 9, "refreshed": 1}


def test_a_reader_who_goes_away_takes_the_answer_from_nobody(source: Source) -> None:
    async def run() -> None:
        cache = kept(source, Counter())
        first = asyncio.create_task(cache.get("a", source.answer))
        await asyncio.sleep(0)
        second = asyncio.create_task(cache.get("a", source.answer))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 1

    asyncio.run(run())


def test_an_answer_is_as_old_as_its_question(source: Source) -> None:
    async def slow() -> int:
        source.now += 3
        return await source.answer()

    async def run() -> None:
        cache = kept(source, Counter())
        await cache.get("a", slow)
        await cache.get("a", slow)

    asyncio.run(run())
    assert source.asked == 2


def test_only_so_many_answers_are_kept(source: Source) -> None:
    async def run() -> None:
        cache = kept(source, Counter(), at_most=2)
        for key in ("a", "b", "c", "c", "b", "a"):
            await cache.get(key, source.answer)

    asyncio.run(run())
    assert source.asked == 4


def test_the_reliability_report_is_read_once_for_a_hundred_readers(database: str, start_replica: StartReplica) -> None:
    replica = start_replica(database, RELIABILITY_CACHE_SECONDS="60", QUERY_TIMEOUT_SECONDS="60")
    outcome = 'ia_service_cache_reads_total{cache="reliability",outcome="%s"}'
    holder = psycopg2.connect(database)
    try:
        # So that the first has not answered before the last has asked.
        holder.cursor().execute("LOCK TABLE reliability_steps IN ACCESS EXCLUSIVE MODE")
        limits = httpx.Limits(max_connections=READERS)
        with (
            httpx.Client(base_url=replica.url, limits=limits, timeout=60) as http,
            ThreadPoolExecutor(READERS) as readers,
        ):
            answers = [readers.submit(http.get, "/api/reliability/metrics") for _ in range(READERS)]
            wait_until(lambda: replica.metric(outcome % "waited") == READERS - 1, "all but one wait")
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            assert query(database, waiting) == [(1,)]
            holder.rollback()
            assert {answer.result().status_code for answer in answers} == {200}
            assert len({answer.result().json()["at"] for answer in answers}) == 1
    finally:
        holder.close()
    assert replica.metric(outcome % "refreshed") == 1
    replica.execute("transform", text="x")
    assert replica.http.get("/api/reliability/metrics").json()["total_steps"] == 0
    assert replica.http.get("/api/reliability/metrics?window_s=60").json()["total_steps"] == 2
