"""``status.json`` is what its schema says, the schema is what the reference says, and both are what the code writes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from documentation import CODE, documented, section
from jsonschema import Draft202012Validator, ValidationError
from publications import publication
from records import record
from sample_site import build, write_sample
from test_site_badges import DAY, PROCEDURE, RECORD, entry

from runbook_checks.documents import status_document
from runbook_checks.model import Card
from runbook_checks.record import Evidence
from runbook_checks.site.status_json import SCHEMA, publish
from runbook_checks.status import Status

if TYPE_CHECKING:
    from pathlib import Path

    from runbook_checks.report import Entry

SCHEMA_DOCUMENT = json.loads(SCHEMA.read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA_DOCUMENT, format_checker=Draft202012Validator.FORMAT_CHECKER)
OF_A_PROCEDURE = SCHEMA_DOCUMENT["properties"]["procedures"]["items"]["properties"]


def write(folder: Path, *entries: Entry, **settings: Any) -> dict[str, Any]:
    publish(publication(folder, entries, **settings))
    document = json.loads((folder / "status.json").read_text())
    assert isinstance(document, dict)
    return document


def all_schemas(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [*below, *(found for each in below for found in all_schemas(each))]


def test_the_schema_is_valid_and_describes_each_property() -> None:
    Draft202012Validator.check_schema(SCHEMA_DOCUMENT)
    assert SCHEMA_DOCUMENT["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert re.fullmatch(r"urn:[a-z0-9-]+:\S+", SCHEMA_DOCUMENT["$id"])
    plain = [{"type": "string"}]
    assert [each for each in all_schemas(SCHEMA_DOCUMENT) if "description" not in each and each not in plain] == []


def test_schema_reference_and_code_name_the_same_keys_in_the_same_order() -> None:
    entries = [replace(entry(), history=(Evidence(RECORD),))]
    (written,) = status_document(entries, DAY)["procedures"]
    assert list(written) == list(OF_A_PROCEDURE)
    assert list(OF_A_PROCEDURE) == documented("site.md", "status-json")
    assert list(written["figures"][0]) == list(OF_A_PROCEDURE["figures"]["items"]["properties"])
    row = next(line for line in section("site.md", "status-json") if line.startswith("| `figures`"))
    assert CODE.findall(row.split("|")[2]) == list(OF_A_PROCEDURE["figures"]["items"]["properties"])


def test_the_reference_says_of_a_key_what_the_schema_says() -> None:
    rows = [line.split("|") for line in section("site.md", "status-json") if line.startswith("| `")]
    told = {row[1].strip(" `"): re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", "|".join(row[2:-1])).strip() for row in rows}
    schema = {key: each["description"].removesuffix(".") for key, each in OF_A_PROCEDURE.items() if key != "figures"}
    assert {key: text.casefold() for key, text in told.items() if key != "figures"} == {
        key: text.casefold() for key, text in schema.items()
    }


def test_the_schema_knows_every_status() -> None:
    assert OF_A_PROCEDURE["status"]["enum"] == [status.value for status in Status]


def test_a_built_site_has_a_valid_status_json_and_its_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    site = build(write_sample(tmp_path))
    document = json.loads((site / "status.json").read_text())
    assert len(document["procedures"]) == 6
    VALIDATOR.validate(document)
    assert json.loads((site / "schemas/status.json").read_text()) == SCHEMA_DOCUMENT


@pytest.mark.parametrize("status", Status)
def test_every_status_is_valid_with_and_without_a_site(tmp_path: Path, status: Status) -> None:
    VALIDATOR.validate(write(tmp_path, entry(status)))
    VALIDATOR.validate(write(tmp_path, entry(status), base_url="https://ops.example/docs/"))
    VALIDATOR.validate(status_document([entry(status)], DAY))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("verified_at", "yesterday"),
        ("expires_at", "2026-11-21T07:30:00"),  # no time zone
        ("url", "two words"),
        ("status", "green"),
        ("id", "restore"),
        ("duration_s", "14"),
        ("signed", "yes"),
        ("tags", [1]),
        ("figures", [{"name": "rto"}]),
    ],
)
def test_the_schema_refuses(key: str, value: object) -> None:
    document = status_document([entry()], DAY)
    document["procedures"][0][key] = value
    with pytest.raises(ValidationError):
        VALIDATOR.validate(document)


def test_the_schema_lets_new_keys_in_and_wants_the_old_ones() -> None:
    document = status_document([entry()], DAY)
    document["procedures"][0]["new"] = document["new"] = 1
    VALIDATOR.validate(document)
    del document["procedures"][0]["digest"]
    with pytest.raises(ValidationError, match="digest"):
        VALIDATOR.validate(document)


def test_addresses_are_absolute_on_a_site_that_has_one(tmp_path: Path) -> None:
    (here,) = write(tmp_path, entry(), base_url="https://ops.example/docs/")["procedures"]
    assert here["url"] == "https://ops.example/docs/db/#restore"
    assert here["evidence_url"] == "https://ops.example/docs/evidence/db/restore/"
    assert here["permalink"] == "https://ops.example/docs/p/db/restore/"
    (there,) = write(tmp_path, entry())["procedures"]
    assert (there["evidence_url"], there["permalink"]) == ("evidence/db/restore/", "p/db/restore/")


def test_the_key_that_signed_counts_for_the_deciding_record_only(tmp_path: Path) -> None:
    deciding = entry().record
    assert deciding is not None
    told = replace(entry(), judgement=replace(entry().judgement, record=deciding))
    for history, expected in (
        ((Evidence(deciding, signed_by="k"),), True),
        ((Evidence(deciding),), False),
        ((Evidence(record(), signed_by="k"),), None),
        ((), None),
    ):
        found = write(tmp_path, replace(told, history=history))["procedures"][0]["signed"]
        assert found is expected


def test_tags_are_those_of_page_and_card_each_once(tmp_path: Path) -> None:
    tagged = replace(
        entry(),
        runbook=replace(entry().runbook, tags=("db", "slow")),
        procedure=replace(PROCEDURE, card=Card(tags=("slow", "weekly"))),
    )
    assert write(tmp_path, tagged)["procedures"][0]["tags"] == ["db", "slow", "weekly"]


def test_a_procedure_whose_page_is_not_on_the_site_has_no_address_but_its_evidence_has(tmp_path: Path) -> None:
    site = publication(tmp_path, [entry()], base_url="https://ops.example/docs/")
    publish(replace(site, lookup=replace(site.lookup, urls={})))
    (off,) = json.loads((tmp_path / "status.json").read_text())["procedures"]
    assert (off["url"], off["permalink"]) == ("", "")
    assert off["evidence_url"] == "https://ops.example/docs/evidence/db/restore/"
