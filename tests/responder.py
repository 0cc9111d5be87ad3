"""A page that a responder follows, built and served, and what a responder does with it in a browser."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from sample_site import build, write_sample
from test_site_browser import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

RUNBOOK = r"""---
title: Follow me
runbook:
  owner: platform
---

# Follow me

Now [look at it](#look) or [at another page](database.md).

## Mend it { #mend }

1. Say what is wrong: it is down. Do not guess.

    ```bash {.step #bare}
    printf '[%s]' pre$INSTANCE $INSTANCE
    ```

2. Then

    ```bash {.step #quoted title="Mend *it*"}
    printf '[%s]' "a $INSTANCE b" "${INSTANCE:-none}" "$(printf '<%s>' "$INSTANCE")"
    ```
    ```text {.expect}
    mended <job_id> of ...
    ```

    ```bash {.step #heredoc}
    cat <<END
    see $INSTANCE, and ${INSTANCE}
    END
    ```

    ```bash {.check #kept}
    for one in $INSTANCE; do printf '[%s]' "${one}" "${INSTANCE%.*}"; done
    ```

    ```bash {.check #captured}
    printf '[%s]' "$job_id"
    ```

    ```python {.check #snake}
    import os
    print("[" + os.environ["INSTANCE"] + "]", "$INSTANCE")
    ```

    ```http {.check #ask}
    GET $API_URL/of
    X-Instance: $INSTANCE
    ```

    ```bash {.check #secret}
    printf '[%s]' "$API_TOKEN" "$DATABASE_URL"
    ```

```bash {.cleanup #sweep}
echo "$INSTANCE"
```

## Look { #look }

```console
$ echo one
one
$ echo two \
>   three
two three
```

```bash {.check #look-here}
printf '[%s]' "näher 🚒 $INSTANCE"
```

```bash {.check #blank}
printf '[%s]' a\BLANK
```
""".replace("BLANK", " ")


def write(folder: Path, text: str = RUNBOOK) -> Path:
    write_sample(folder)
    (folder / "docs/operations/follow.md").write_text(text)
    with (folder / "mkdocs.yml").open("a") as config:
        config.write("site_url: https://runbooks.example/\n")  # instant navigation needs a sitemap
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CI", raising=False)
        return build(write(tmp_path_factory.mktemp("follow")))


@pytest.fixture(scope="module")
def base(site: Path) -> Iterator[str]:
    with serving(site) as address:
        sitemap = site / "sitemap.xml"  # Material navigates without loading to pages of this address only
        sitemap.write_text(sitemap.read_text().replace("https://runbooks.example/", address))
        yield address


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message) if dialog.type == "alert" else None)
    yield page
    assert errors == []


def follow(page: Page, base: str, anchor: str = "", **values: str) -> None:
    page.goto(f"{base}operations/follow/{'?' + urlencode(values, quote_via=quote) if values else ''}{anchor}")
    page.wait_for_selector(".rb-tick", state="attached")


def fill(page: Page, name: str, value: str) -> None:
    page.evaluate("document.querySelector('.rb-vars').open = true")
    page.fill(f"[data-rb-name={name}]", value)
    page.keyboard.press("Tab")


def copied(page: Page, block: str) -> str:
    page.evaluate("navigator.clipboard.writeText('nothing')")
    page.locator(f"#{block}").scroll_into_view_if_needed()
    page.click(f"#{block} [data-clipboard-target]")
    return str(page.evaluate("navigator.clipboard.readText()"))


def paste(text: str, **environ: str) -> str:
    """Run a text as if it was typed, history expansion included."""
    typed = f"set -o history -o histexpand\n{text}\n"
    done = subprocess.run(
        ["bash", "--norc"],
        input=typed.encode(),
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == b""
    return done.stdout.decode()


def shown(page: Page, block: str) -> str:
    return str(page.locator(f"#{block} code").evaluate("code => code.textContent")).strip()


def stored(page: Page, kind: str) -> dict[str, Any]:
    return dict(page.evaluate(f"Object.fromEntries(Object.entries({kind}).filter(([key]) => key.startsWith('rb:')))"))


def tick(page: Page, name: str) -> None:
    page.get_by_role("checkbox", name=name).check()
