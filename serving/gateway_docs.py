"""The OpenAPI description as one static page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{background:#f4f4f6;border-radius:4px;padding:.1rem .3rem}"
    "pre{padding:.8rem;overflow:auto}summary{cursor:pointer;font-weight:600}"
    "td,th{text-align:left;padding:.15rem .8rem .15rem 0;vertical-align:top}"
)


def openapi_page(schema: Mapping[str, Any]) -> str:
    """HTML of every path, its request and its answers, then of every schema."""
    paths = "".join(
        _operation(path, method, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    parts = schema.get("components", {}).get("schemas", {})
    schemas = "".join(
        f'<details id="{escape(name)}"><summary>{escape(name)}</summary>'
        f"<pre>{escape(json.dumps(body, indent=2, ensure_ascii=False))}</pre></details>"
        for name, body in sorted(parts.items())
    )
    title = escape(schema["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><h1>{title}</h1>"
        '<p>The same, for machines: <a href="/openapi.json">openapi.json</a>. Every request '
        "to <code>/v1/</code> shows a key in <code>X-API-Key</code> or a bearer token.</p>"
        f"{paths}<h2>Schemas</h2>{schemas}</html>"
    )


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    rows = "".join(
        f"<tr><td>{escape(status)}<td>{escape(answer.get('description', ''))}"
        f"<td>{_link(answer.get('content', {}).get('application/json', {}))}"
        for status, answer in operation.get("responses", {}).items()
    )
    takes = f"<p>Takes {_link(body)}</p>" if body else ""
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>"
        f"<p>{escape(operation.get('description', ''))}</p>{takes}<table>{rows}</table>"
    )


def _link(content: Mapping[str, Any]) -> str:
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return f'<a href="#{escape(name)}">{escape(name)}</a>' if name else ""
