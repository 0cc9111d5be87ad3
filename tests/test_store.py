"""The store keeps records whole, whatever happened to the file before."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, record

from runbook_checks.record import BlockRecord, Outcome, to_line
from runbook_checks.store import Store, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.record import Record


NEXT = "2026-11-21T11:00:00.002+00:00"


def merged(store: Store, *records: Record) -> None:
    """Put records into a file as concatenating files does."""
    path = store.path("staging", "page/one")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(map(to_line, records)))


def test_records_come_back_oldest_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    newer, older = record(run="new"), record(run="old", ended=NOW - timedelta(days=2))
    merged(store, newer, older)  # evidence of two machines: order in the file says nothing
    assert store.read("staging", "page/one") == (older, newer)


def test_a_record_that_is_kept_after_one_dated_later_says_so_and_another_does_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    passed, failed = record(run="before"), record(ended=NOW - timedelta(hours=3), outcome=Outcome.FAILED)
    assert store.append(passed) == passed
    kept = store.append(failed)
    assert kept == replace(failed, no_earlier_than="2026-11-21T11:00:00.001+00:00")
    assert store.append(failed).no_earlier_than == "2026-11-21T11:00:00.002+00:00"  # one after the other
    assert store.append(later := record(ended=NOW)) == later
    assert store.read("staging", "page/one") == (kept, replace(kept, no_earlier_than=NEXT), passed, later)
    elsewhere = replace(failed, environment="other")
    assert store.append(elsewhere) == elsewhere


def test_one_dated_later_is_found_before_torn_lines_and_in_front_of_much_output(tmp_path: Path) -> None:
    store = Store(tmp_path)
    long = BlockRecord("b", "step", "bash", 7, "true\n", Outcome.PASSED, 0, 'x" "ended_at":"2099' * 200_000)
    store.append(record(blocks=(long,)))
    path = store.path("staging", "page/one")
    with path.open("ab") as file:
        file.write(
            b'{"ended_at":"tomorrow","no_earlier_than":"0001-01-01T00:00:00+20:00"}\n{"ended_at":"\xff"}\n{"torn'
        )
    assert store.append(record(ended=NOW - timedelta(days=1))).no_earlier_than == NEXT.replace("002", "001")


def test_a_date_at_the_end_of_time_is_no_traceback(tmp_path: Path) -> None:
    store = Store(tmp_path)
    merged(store, record(ended=datetime.max.replace(tzinfo=UTC)))
    assert store.append(record()).no_earlier_than == "9999-12-31T23:59:59.999+00:00"
    assert store.append(record()).no_earlier_than == "9999-12-31T23:59:59.999+00:00"


def test_order_is_that_of_time_whatever_the_time_zone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    later, earlier = (
        record(ended=NOW),
        record(ended=(NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=9)))),
    )
    store.append(earlier)
    store.append(later)
    assert store.read("staging", "page/one") == (earlier, later)


def test_a_folder_that_cannot_be_written_is_told_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Store(tmp_path / "new/folder").prepare()
    with pytest.raises(StoreError, match="evidence cannot be written there"):
        Store(tmp_path / "file/folder").prepare()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_evidence_is_neither_read_from_nor_written_to_what_is_no_regular_file(tmp_path: Path, kind: str) -> None:
    store, elsewhere = Store(tmp_path / "evidence"), tmp_path / "elsewhere"
    elsewhere.write_text(to_line(record()))
    path = store.path("staging", "page/one")
    path.parent.mkdir(parents=True)
    match kind:
        case "link":
            path.symlink_to(elsewhere)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with pytest.raises(StoreError, match="could not be read"):
        store.read("staging", "page/one")
    with pytest.raises(StoreError, match="could not be written"):
        store.append(record())
    assert elsewhere.read_text() == to_line(record())


def test_a_stray_record_cannot_write_to_the_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    store.append(record())
    with store.path("staging", "page/one").open("a") as file:
        file.write(to_line(record(procedure="\x1b[2J\ud800\u202e")))
    store.read("staging", "page/one")
    assert "skipped a record of \\x1b[2J\\ud800\\u202e in staging" in caplog.text


def test_a_procedure_that_never_ran_has_no_records(tmp_path: Path) -> None:
    assert Store(tmp_path).read("staging", "page/one") == ()


def test_a_torn_last_line_does_not_swallow_the_next_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    store.append(record(run="first"))
    path = store.path("staging", "page/one")
    with path.open("a") as file:
        file.write(to_line(record(run="torn"))[:40])
    store.append(record(run="second"))
    with caplog.at_level(logging.WARNING):
        assert [one.run for one in store.read("staging", "page/one")] == ["first", "second"]
    assert f"{path}:2" in caplog.text


def test_an_unreadable_line_is_skipped_wherever_it_stands(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    store.append(record())
    path = store.path("staging", "page/one")
    path.write_bytes(b"\xff\xfe\n" + path.read_bytes() + b"\nnonsense\n")
    assert store.read("staging", "page/one") == (record(),)
    assert caplog.text.count("skipped") == 2


GARBAGE = st.one_of(st.binary(max_size=40), st.integers(1, 200).map(lambda end: to_line(record()).encode()[:end]))


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), GARBAGE), max_size=12))
def test_whatever_is_written_between_records_they_come_back_whole(tmp_path: Path, between: list[bytes | None]) -> None:
    """None stands for a record, the rest for what a killed writer, or somebody else, has left in the file."""
    store, kept = Store(tmp_path), []
    path = store.path("staging", "page/one")
    path.unlink(missing_ok=True)
    for number, garbage in enumerate(between):
        if garbage is None:
            kept.append(record(run=str(number)))
            store.append(kept[-1])
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(garbage)
            if garbage:
                store.append(record(run=f"after-{number}"))
                kept.append(record(run=f"after-{number}"))
    assert store.read("staging", "page/one") == tuple(kept)


def test_a_record_of_another_schema_is_never_skipped_into_green(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(record())
    path = store.path("staging", "page/one")
    with path.open("a") as file:
        file.write(to_line(record(outcome=Outcome.FAILED)).replace('"schema_version":2', '"schema_version":3'))
    with pytest.raises(StoreError, match=r"one\.jsonl:2: schema version 3 is not 2: use the version"):
        store.read("staging", "page/one")


def test_records_of_the_older_schema_are_read_beside_ours(tmp_path: Path) -> None:
    store = Store(tmp_path)
    old = record(run="old", schema_version=1, source="", parts=(), ended=NOW - timedelta(days=2))
    store.append(old)
    store.append(record())
    assert store.read("staging", "page/one") == (old, record())


def test_a_record_of_another_procedure_or_environment_never_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for other in (record(procedure="page/two"), record(environment="production")):
        path = store.path("staging", "page/one")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_line(other))
        assert store.read("staging", "page/one") == ()


@pytest.mark.parametrize("anchor", ["one.dsse", "one.DSSE", "one.dsse.dsse", "one"])
def test_no_procedure_keeps_its_records_where_another_keeps_its_signatures(tmp_path: Path, anchor: str) -> None:
    store = Store(tmp_path)
    store.append(record(procedure=f"page/{anchor}"))
    store.append_signature(record(), b"{}\n")
    store.append_signature(record(), b"[]\n")
    assert store.read("staging", f"page/{anchor}") == (record(procedure=f"page/{anchor}"),)
    assert store.envelopes(store.signatures_path("staging", "page/one")) == ((1, b"{}"), (2, b"[]"))
    names = [path.name.lower() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(set(names)) == 2  # also where upper and lower case are the same


def test_a_torn_signature_does_not_swallow_the_next_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append_signature(record(), b"{torn")
    store.append_signature(record(), b"{}\n")
    assert store.envelopes(store.signatures_path("staging", "page/one")) == ((1, b"{torn"), (2, b"{}"))


@pytest.mark.parametrize("anchor", ["..", ".", "a/../../b", "a.b", "ü b"])
def test_no_name_leaves_the_folder(tmp_path: Path, anchor: str) -> None:
    store = Store(tmp_path)
    store.append(record(procedure=f"page/{anchor}"))
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".jsonl"]
    assert store.read("staging", f"page/{anchor}") == (record(procedure=f"page/{anchor}"),)


def test_a_full_disk_is_a_clear_error_and_the_old_evidence_is_intact(tmp_path: Path) -> None:

    store = Store(tmp_path)
    store.append(record(run="first"))
    before = store.path("staging", "page/one").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limit[1]))
    try:
        with pytest.raises(StoreError, match="could not be written"):
            store.append(record(run="second"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, old)
    assert store.path("staging", "page/one").read_bytes() == before


def _append_forever(root: Path, writer: int) -> None:
    store, number = Store(root), 0
    while True:
        store.append(record(run=f"{writer}-{number}"))
        number += 1


def test_writers_that_are_killed_lose_nothing_and_tear_at_most_their_own_line(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_forever, args=(tmp_path, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    path = Store(tmp_path).path("staging", "page/one")
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_size > 300_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for writer in writers:
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    runs = [one.run for one in Store(tmp_path).read("staging", "page/one")]
    for one in range(3):
        numbers = sorted(int(run.split("-")[1]) for run in runs if run.startswith(f"{one}-"))
        assert numbers == list(range(len(numbers)))
