#!/usr/bin/env python3
"""Take pictures of a built site: desktop and phone, light and dark; fail when a page is wider than its window."""

from __future__ import annotations

import argparse
import functools
import http.server
import shutil
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Request

WIDTHS = {"desktop": 1280, "phone": 360}
SCHEMES = ("light", "dark")


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the pictures are the output."""


def main(arguments: list[str] | None = None) -> int:
    """Take the pictures; return 1 when a page scrolls sideways or asks another host for something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="folder of the built site")
    parser.add_argument("pictures", type=Path, help="folder for the PNG files")
    parser.add_argument("pages", nargs="*", default=[""], help="addresses below the site's root, such as operations/")
    parser.add_argument("--chromium", default=shutil.which("chromium") or "/usr/bin/chromium")
    given = parser.parse_args(arguments)
    given.pictures.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(_QuietHandler, directory=str(given.site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_address[1]}/"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            complaints = [line for page in given.pages for line in _pictures(browser, base, page, given.pictures)]
            browser.close()
        server.shutdown()
    for line in complaints:
        print(line, file=sys.stderr)
    return 1 if complaints else 0


def _pictures(browser: Browser, base: str, page_url: str, folder: Path) -> Iterator[str]:
    for device, width in WIDTHS.items():
        for scheme in SCHEMES:
            context = browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme="dark" if scheme == "dark" else "light",
                device_scale_factor=1.5 if device == "phone" else 1,
            )
            page = context.new_page()
            asked: list[str] = []
            page.on("request", functools.partial(_note, asked))
            page.goto(base + page_url, wait_until="load")
            name = f"{page_url.strip('/').replace('/', '-') or 'home'}-{device}-{scheme}"
            page.screenshot(path=str(folder / f"{name}.png"), full_page=True)
            wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            if wide > 0:
                yield f"{name}: {wide} px wider than the window"
            yield from (f"{name}: asks {url}" for url in asked if not url.startswith((base, "data:", "blob:")))
            print(folder / f"{name}.png")
            context.close()


def _note(asked: list[str], request: Request) -> None:
    asked.append(request.url)


if __name__ == "__main__":
    sys.exit(main())
