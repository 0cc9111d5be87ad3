"""Real builds of the sample site: what comes out, and what fails them."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import mkdocs.commands.build
import mkdocs.config
import pytest
from click import ClickException
from mkdocs.livereload import LiveReloadServer
from sample_site import build, record_of, write_sample
from site_builds import MACROS, OURS, edit, plain

from runbook_checks.config import load_config
from runbook_checks.keys import write_keys
from runbook_checks.report import load_report
from runbook_checks.store import Store

REPOSITORY = Path(__file__).parent.parent


STATUSES = {
    "restore-database": "verified",
    "back-up-database": "expired",
    "grow-disk": "failed",
    "promote-replica": "stale",
    "rotate-password": "unverified",
    "replay-log": "blocked",
}


@pytest.fixture(autouse=True)
def _not_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(write_sample(tmp_path_factory.mktemp("site")))


def with_alert(folder: Path, url: str) -> Path:
    plain(folder)
    with (folder / "runbook-checks.yml").open("a") as file:
        file.write("alerts: [rules.yml]\n")
    rule = f"{{alert: DatabaseDown, annotations: {{runbook_url: '{url}'}}}}"
    (folder / "rules.yml").write_text(f"groups:\n  - rules:\n    - {rule}\n")
    return folder


@pytest.mark.parametrize(
    ("url", "lost"),
    [
        ("https://ops.example/operations/database/#restore-database", ""),
        ("https://ops.example/base/operations/database/?INSTANCE={{ $labels.instance }}#grow-disk", ""),
        ("https://ops.example/p/database/restore-database/", ""),
        ("https://ops.example/operations/database/#restore-the-database", "restore-the-database"),
        ("https://ops.example/operations/database/#recover-database", "recover-database"),
    ],
)
def test_a_build_warns_of_an_alert_that_leads_to_no_heading_of_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, lost: str
) -> None:
    build(with_alert(tmp_path, url))
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    told = [message for message in warned if "alert" in message]  # the folder's name has that word too
    expected = (
        f"rules.yml:3: alert DatabaseDown leads to `#{lost}`, which docs/operations/database.md as built does not "
        "have; see `runbook-checks alerts`"
    )
    assert [message.rpartition("runbook-checks: ")[2] for message in told] == ([expected] if lost else [])


def test_an_alert_may_lead_to_an_older_id_of_a_heading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = with_alert(tmp_path, "https://ops.example/operations/database/#recover-database")
    page = folder / "docs/operations/database.md"
    edit(page, "needs: [back-up-database]\n", "needs: [back-up-database]\nformerly: [recover-database]\n")
    build(folder)
    assert "as built does not have" not in caplog.text


def test_a_strict_build_fails_of_an_alert_that_leads_to_no_heading(tmp_path: Path) -> None:
    folder = with_alert(tmp_path, "https://ops.example/operations/database/#gone")
    config = mkdocs.config.load_config(str(folder / "mkdocs.yml"), site_dir=str(folder / "built"), strict=True)
    with pytest.raises(ClickException, match="Aborted with 1 warnings in strict mode"):
        mkdocs.commands.build.build(config)


def test_status_json_has_every_procedure_with_its_status(built: Path) -> None:
    document = json.loads((built / "status.json").read_text())
    assert {each["id"].split("/")[1]: each["status"] for each in document["procedures"]} == STATUSES
    assert document["procedures"][0]["url"] == "operations/database/#restore-database"


def test_every_card_and_badge_on_the_page_has_its_status(built: Path) -> None:
    html = (built / "operations/database/index.html").read_text()
    assert dict(re.findall(r'data-rb-card="([^"]*)"[^>]*data-rb-status="([^"]*)"', html)) == STATUSES
    assert (built / "badges/database/grow-disk.svg").exists()


def test_macros_work_outside_of_code_and_nowhere_else(built: Path) -> None:
    html = (built / "index.html").read_text()
    text = re.sub(r"<[^>]+>", "", html)
    assert "The database: verified" in text
    assert "It took 42 s the last time" in text
    assert "docker ps --format '{{.Names}}'" in text
    assert 'echo "${#arr[@]}" {% raw %}' in text
    assert '{{ badge("code") }}' in text.replace("&quot;", '"')
    assert '<h1 id="home">Sample operations' in html
    assert re.search(r"<title>\s*Sample operations\s*</title>", html)


def resources(site: Path) -> list[str]:
    """Return what the pages and style sheets of a built site make a browser load."""
    found: list[str] = []

    class Resources(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            values = dict(attrs)
            relations = (values.get("rel") or "").split()
            if tag == "link" and {"canonical", "prev", "next"}.isdisjoint(relations):
                found.append(values.get("href") or "")
            if tag in {"script", "img", "iframe", "source", "video", "audio", "embed"}:
                found.append(values.get("src") or "")

    for page in site.rglob("*.html"):
        Resources().feed(page.read_text())
    for sheet in site.rglob("*.css"):
        found.extend(re.findall(r"""(?:url\(|@import\s+)["']?([^"')\s]+)""", sheet.read_text()))
    assert len(found) > 10
    return found


def from_elsewhere(site: Path) -> list[str]:
    return [each for each in resources(site) if re.match(r"(?:https?:)?//", each)]


def test_nothing_is_loaded_from_another_host(built: Path) -> None:
    assert from_elsewhere(built) == []


def test_the_site_of_this_repository_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    config = mkdocs.config.load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    mkdocs.commands.build.build(config)
    assert from_elsewhere(tmp_path) == []
    assert 'class="mermaid"' not in "".join(page.read_text() for page in tmp_path.rglob("*.html")), (
        "Material would fetch it"
    )


def test_a_second_build_in_the_same_process_gives_the_same_page(tmp_path: Path) -> None:
    page = "operations/database/index.html"
    first = (build(plain(tmp_path)) / page).read_text()
    assert first == (build(tmp_path) / page).read_text()


def test_the_order_of_the_plugins_does_not_matter(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    edit(folder / "mkdocs.yml", MACROS + OURS, OURS + MACROS)
    assert "The database:" in (build(folder) / "index.html").read_text()


def test_no_seal_is_published(built: Path) -> None:
    assert all("data-rb-seal" not in page.read_text() for page in built.rglob("*.html"))


def test_no_seal_is_published_where_a_blog_repeats_the_beginning_of_a_post(tmp_path: Path) -> None:
    folder = write_sample(tmp_path)
    edit(folder / "mkdocs.yml", "plugins:\n", "plugins:\n  - blog\n")
    (folder / "docs/blog/posts").mkdir(parents=True)
    (folder / "docs/blog/index.md").write_text("# Blog\n")
    post = '---\ndate: 2026-11-20\n---\n# Post\n\nNow {{ badge("database/grow-disk") }}.\n\n<!-- more -->\n\nMore.\n'
    (folder / "docs/blog/posts/one.md").write_text(post)
    shown = (build(folder) / "blog/index.html").read_text()
    assert 'class="rb-badge" data-rb-status="failed"' in shown
    assert "rb-seal" not in shown


POST = """---
date: 2026-11-{day}
runbook: {{}}
---
# {name}

## Mend it {{ #{name} }}

```yaml {{.procedure}}
severity: critical
```

```bash {{.check #{name}-check}}
true
```

<!-- more -->

More.
"""


def test_what_a_blog_repeats_of_a_runbook_has_no_status_least_of_all_that_of_another(tmp_path: Path) -> None:
    folder = write_sample(tmp_path, evidence=False)
    edit(folder / "mkdocs.yml", "plugins:\n", "plugins:\n  - blog\n")
    edit(folder / "runbook-checks.yml", "pages: [docs/operations]", "pages: [docs/blog/posts, docs/operations]")
    (folder / "docs/blog/posts").mkdir(parents=True)
    (folder / "docs/blog/index.md").write_text("# Blog\n")
    for day, name in ((20, "alpha"), (21, "beta")):
        (folder / f"docs/blog/posts/{name}.md").write_text(POST.format(day=day, name=name))
    config = load_config(folder / "runbook-checks.yml")
    (entry,) = (one for one in load_report(config, now=datetime.now(UTC)).entries if one.procedure.anchor == "alpha")
    Store(folder / config.evidence).append(record_of(entry, datetime.now(UTC)))
    site = build(folder)
    assert (
        'data-rb-procedure="alpha/alpha" data-rb-status="verified"'
        in (site / "blog/2026/11/20/alpha/index.html").read_text()
    )
    for page in (site / "blog/index.html", site / "blog/archive/2026/index.html"):
        html = page.read_text()
        assert 'id="alpha-check"' in html
        assert 'id="beta-check"' in html
        assert "data-rb-procedure" not in html
        assert "data-rb-status" not in html


@pytest.mark.parametrize(
    ("strict", "ci", "status"),
    [("", "", "verified"), ("", "true", "unverified"), ("true", "", "unverified"), ("false", "true", "verified")],
)
def test_evidence_from_uncommitted_changes_is_green_only_where_that_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strict: str, ci: str, status: str
) -> None:
    folder = plain(tmp_path)
    config = load_config(folder / "runbook-checks.yml")
    now = datetime.now(UTC)
    (entry,) = (each for each in load_report(config, now=now).entries if each.procedure.anchor == "promote-replica")
    Store(folder / config.evidence).append(record_of(entry, now - timedelta(hours=1), dirty=True))
    if strict:
        edit(folder / "mkdocs.yml", OURS, f"  - runbook-checks:\n      strict_evidence: {strict}\n")
    monkeypatch.setenv("CI", ci)
    html = (build(folder) / "operations/database/index.html").read_text()
    assert f'data-rb-procedure="database/promote-replica" data-rb-status="{status}"' in html
    assert ("uncommitted changes" in html) is True


def test_what_is_meant_to_run_in_no_environment_is_shown_as_unverified(tmp_path: Path) -> None:
    folder = plain(tmp_path)
    (folder / "docs/index.md").write_text("# Home\n")
    meant = "    disposable: true\n    procedures: [database/restore-database]\n"
    edit(folder / "runbook-checks.yml", "    disposable: true\n", meant)
    other = "---\nrunbook: {}\n---\n\n# Other\n\n## Look { #look }\n\n```bash {.check #looked}\ntrue\n```\n"
    (folder / "docs/operations/other.md").write_text(other)
    site = build(folder)
    html = (site / "operations/database/index.html").read_text()
    assert 'data-rb-procedure="database/grow-disk" data-rb-status="unverified"' in html
    assert "It is meant to run in no environment." in html
    assert "6 of 6 procedures are not proven as written" in html
    assert (
        'data-rb-procedure="other/look" data-rb-status="unverified"'
        in (site / "operations/other/index.html").read_text()
    )
    told = json.loads((site / "status.json").read_text())["procedures"]
    assert [one["id"] for one in told] == [
        "database/restore-database",
        "database/back-up-database",
    ]  # and what it needs


def test_a_page_that_runs_nowhere_may_be_no_page_of_the_site(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = plain(tmp_path)
    (folder / "docs/index.md").write_text("# Home\n")
    meant = "    disposable: true\n    procedures: [database/restore-database]\n"
    edit(folder / "runbook-checks.yml", "    disposable: true\n", meant)
    edit(folder / "runbook-checks.yml", "[docs/operations]", "[docs/operations, elsewhere]")
    (folder / "elsewhere").mkdir()
    other = "---\nrunbook: {}\n---\n\n# Other\n\n## Look { #look }\n\n```bash {.check #looked}\ntrue\n```\n"
    (folder / "elsewhere/other.md").write_text(other)
    with caplog.at_level(logging.WARNING):
        build(folder)
    assert not caplog.records


@pytest.mark.parametrize("title", ["2026", "2026-11-27"])
def test_a_title_may_be_what_yaml_takes_for_no_text(tmp_path: Path, title: str) -> None:
    folder = plain(tmp_path)
    edit(folder / "mkdocs.yml", MACROS, "")  # which takes no such title
    (folder / "docs/year.md").write_text(f"---\ntitle: {title}\n---\n\nA year.\n")
    assert "A year." in (build(folder) / "year/index.html").read_text()


def test_a_runbook_that_is_no_page_of_the_site_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = plain(tmp_path)
    (folder / "elsewhere").mkdir()
    (folder / "docs/operations/database.md").replace(folder / "elsewhere/database.md")
    edit(folder / "runbook-checks.yml", "[docs/operations]", "[elsewhere]")
    edit(folder / "docs/index.md", "See [the restore](operations/database.md#restore-database)", "")
    with caplog.at_level(logging.WARNING):
        build(folder)
    assert any(
        "elsewhere/database.md is run, and is no page of this site" in each.getMessage() for each in caplog.records
    )


def test_serving_watches_evidence_configuration_keys_and_the_files_that_blocks_name_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = plain(tmp_path)
    (folder / "scripts").mkdir()
    (folder / "scripts/restore.sh").write_text(". scripts/common.sh\n")
    (folder / "scripts/common.sh").write_text("true\n")
    (folder / "scripts/other.sh").write_text("true\n")
    write_keys(folder / "key")
    with (folder / "runbook-checks.yml").open("a") as file:
        file.write("trusted_keys: [key.pub]\n")
    page = folder / "docs/operations/database.md"
    edit(page, "{.rollback}\n", "{.rollback}\nscripts/restore.sh\n")
    config = mkdocs.config.load_config(str(folder / "mkdocs.yml"), site_dir=str(folder / "built"))
    mkdocs.commands.build.build(config)
    watched: list[str] = []
    monkeypatch.setattr(LiveReloadServer, "watch", lambda _, path: watched.append(path))
    server = LiveReloadServer(lambda: None, "127.0.0.1", 0, str(folder / "built"))
    config.plugins.on_serve(server, config=config, builder=lambda: None)
    server.server_close()
    assert sorted(Path(path).relative_to(folder).as_posix() for path in watched) == [
        *("evidence", "key.pub", "runbook-checks.yml", "scripts/common.sh", "scripts/restore.sh")
    ]
    watched.clear()
    edit(page, "scripts/restore.sh\n", "scripts/other.sh\n")
    build(folder)  # as `serve` does: MkDocs loads its configuration anew and keeps the plugin
    config.plugins.on_shutdown()
    assert watched == [str(folder / "scripts/other.sh")]
