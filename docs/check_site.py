"""Checks a built site: `python docs/check_site.py docs/_build/html` its links and names, `--browser` also in Chromium.

Each public name has a place in the reference, each link and anchor leads somewhere, and nothing is loaded from
elsewhere. The browser needs `pip install -e ".[browser]"` and Chromium, whose path `--chromium` gives. In it each page
is opened, narrow and wide, light and dark (those of the reference, which are alike, in turn): no error in the console,
nothing wider than the window, and text that is readable by the rules of axe-core (a contrast of 4.5, or of 3 for large
text); search finds what it should.
"""

import argparse
import contextlib
import functools
import itertools
import os
import re
import sys
import threading
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

PUBLIC_NAMES = Path(__file__).parents[1] / "tests" / "support" / "public_names.txt"
WIDTHS = (400, 1400)
SCHEMES = ("light", "dark")
SEARCHES = {"skip_padding": "jm.skip_padding.html", "LSTM": "jm.layers.LSTM.html"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon") and "href" in found:
            self.loaded.append(found["href"])
        if "src" in found:
            self.loaded.append(found["src"])


@functools.cache
def pages(site: Path) -> dict[str, Page]:
    """All pages of a site by their files."""
    files = (file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts)
    return {os.path.abspath(file): Page(file) for file in files}


def broken_links(site: Path) -> tuple[int, list[str]]:
    """How many links within the site there are, and those that lead nowhere, or load something from elsewhere."""
    found, number, broken = pages(site), 0, []
    exists = functools.cache(os.path.exists)
    for file, page in found.items():
        where = Path(os.path.relpath(file, site)).as_posix()
        for link in [*page.links, *page.loaded]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if link in page.loaded and parts.scheme != "data":
                    broken.append(f"{where}: loads {link}")
                continue
            number += 1
            target = os.path.normpath(os.path.join(os.path.dirname(file), unquote(parts.path))) if parts.path else file
            if not exists(target):
                broken.append(f"{where}: {link}: no such file")
            elif parts.fragment and target in found and unquote(parts.fragment) not in found[target].anchors:
                broken.append(f"{where}: {link}: no such place in the page")
    return number, broken


def missing_names(site: Path) -> list[str]:
    """Public names, and members of the classes of `jm`, that the inventory of the site does not have."""
    _, packed = (site / "objects.inv").read_bytes().split(b"zlib.\n", 1)
    there = {line.split(b" ")[0].decode() for line in zlib.decompress(packed).splitlines()}
    listed = re.findall(r"^jm((?:\.\w+)+)", PUBLIC_NAMES.read_text("utf-8"), re.MULTILINE)
    rooms = {name.rpartition(".")[0] for name in listed if name.rpartition(".")[0].islower()}
    names = [f"jmask{name}" for name in listed if name not in rooms]
    return [f"the reference has no {name}" for name in names if name not in there and name != "jmask.layers.Layer"]


def serve(site: Path) -> str:
    """Serves a folder on this machine, and returns its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            with contextlib.suppress(ConnectionError):  # the page was closed before all of it was loaded
                super().copyfile(source, outputfile)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def troubles(page: Any, address: str, axe: Any) -> Iterator[str]:
    """What is wrong with a page in a browser."""
    messages: list[str] = []

    def note(message: Any) -> None:
        if message.type in ("error", "warning"):
            messages.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(address)
    yield from (f"console: {message}" for message in messages)
    width, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    if width > window:
        yield f"{width} pixels wide in a window of {window}"
    if axe is not None:
        result = axe.run(page, options={"runOnly": ["color-contrast"]})
        for violation in result.response["violations"]:
            yield from (f"contrast: {node['html'][:100]}: {node['any'][0]['message']}" for node in violation["nodes"])


def in_a_browser(site: Path, chromium: str | None, only: str) -> tuple[int, list[str]]:
    """How many times a page was opened, and what was wrong."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    base, opened, wrong = serve(site), 0, []
    files = [Path(os.path.relpath(file, site)).as_posix() for file in pages(site)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for turn, (width, scheme) in enumerate(itertools.product(WIDTHS, SCHEMES)):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            for number, file in enumerate(files):
                alike = file.startswith(("api/", "_modules/"))  # each of these once, and the contrast of some
                if only not in file or (alike and number % 4 != turn):
                    continue
                page = context.new_page()
                found = troubles(page, f"{base}/{file}", None if alike and number % 7 else Axe())
                wrong += [f"{file}, {width} pixels, {scheme}: {trouble}" for trouble in found]
                opened += 1
                page.close()
            context.close()
        page = browser.new_page()
        for words, target in SEARCHES.items():
            page.goto(f"{base}/search.html?q={words}")
            page.wait_for_selector("#search-results li a")
            links = page.eval_on_selector_all("#search-results li a", "found => found.map(a => a.href)")
            if not any(urlsplit(link).path.endswith(target) for link in links):
                wrong.append(f"a search for {words} does not find {target}, but {links[:5]}")
        browser.close()
    return opened, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="the folder of the built site")
    parser.add_argument("--browser", action="store_true", help="also open each page in Chromium")
    parser.add_argument("--chromium", help="the program, by default the one that playwright has installed")
    parser.add_argument("--only", default="", help="open only pages whose path has this in it")
    options = parser.parse_args()
    number, wrong = broken_links(options.site)
    wrong += missing_names(options.site)
    print(f"{len(pages(options.site))} pages, {number} links")
    if options.browser:
        opened, found = in_a_browser(options.site, options.chromium, options.only)
        wrong += found
        print(f"pages were opened {opened} times")
    print(*wrong, sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
