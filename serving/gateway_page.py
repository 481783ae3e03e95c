"""The page at `/`, off by default: one file, no build, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from serving.catalogue import Catalogue, Entry

MAX_TITLES = 20


@cache
def page() -> tuple[str, str]:
    """The HTML, and a policy that lets its own script and style run and no other."""
    html = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    script, style = (_digest(html, tag) for tag in ("script", "style"))
    policy = (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; "
        # The width of a bar is set by the script, which this allows and a text cannot.
        "style-src-attr 'unsafe-inline'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def find_titles(catalogue: Catalogue, query: str) -> list[Entry]:
    """Items whose text holds every word of the query; those that begin with it come first."""
    wanted, words = query.casefold().strip(), query.casefold().split()
    if not words:
        return []
    found = [
        entry for entry in catalogue.entries if all(word in entry.text.casefold() for word in words)
    ]
    found.sort(key=lambda entry: (not entry.text.casefold().startswith(wanted), entry.text))
    return found[:MAX_TITLES]


def _digest(html: str, tag: str) -> str:
    match = re.search(f"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    text = match[1] if match else ""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
