"""What the gateway costs: `python -m benchmarks.serving_overhead` prints a line of JSON.

The same question goes to the model server directly over gRPC and through the gateway, at the same
rate, in turns of a second, so that both meet the same noise. The overhead is the difference of
the quantiles.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.serving_setup import Caller, World, quantiles, save_toy, world
from serving.async_transports import AsyncGrpcTransport
from serving.client import AsyncClient


def _texts(folder: Path, count: int) -> list[str]:
    versions = [path for path in folder.iterdir() if path.name.isdigit()]
    newest = max(versions, key=lambda path: int(path.name))
    lines = (newest / "assets.extra" / "catalogue.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    return [texts[place % len(texts)] for place in range(count)]


async def _turn(
    ask: Callable[[], Awaitable[object]], rate: float, seconds: float, times: list[float]
) -> None:
    """An open loop for one turn."""

    async def one() -> None:
        began = time.perf_counter()
        await ask()
        times.append(time.perf_counter() - began)

    began, tasks = time.perf_counter(), []
    for count in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + count / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)


async def _measure(here: World, rate: float, turns: int) -> dict[str, Any]:
    texts = _texts(here.folder, 70)
    history, candidates = texts[:20], texts[20:]
    caller = Caller(here)
    request = caller.request(
        "/v1/rank",
        {
            "history": [{"text": text, "rating": 4.0} for text in history],
            "candidates": [{"text": text} for text in candidates],
        },
    )
    client = AsyncClient(AsyncGrpcTransport(here.grpc))

    async def direct() -> object:
        return await client.rank("", history, candidates, [4.0] * len(history))

    async def through() -> object:
        answer = await caller.ask(request)
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {answer.body[:200]!r}")
        return answer.json()

    times: dict[str, list[float]] = {"direct": [], "gateway": []}
    for ask in (direct, through):
        await _turn(ask, rate, 1.0, [])
    for _ in range(turns):
        await _turn(direct, rate, 1.0, times["direct"])
        await _turn(through, rate, 1.0, times["gateway"])
    await client.close()
    shown = {name: quantiles(seconds) for name, seconds in times.items()}
    return {
        "rate": rate,
        "requests": {name: len(seconds) for name, seconds in times.items()},
        **shown,
        "overhead": {
            key: round(shown["gateway"][key] - shown["direct"][key], 3) for key in shown["direct"]
        },
        "inside_the_gateway": _inside(here),
    }


def _inside(here: World) -> dict[str, float]:
    """From the gateway's own log: the time of a request that was not the model's."""
    lines = [
        json.loads(line)
        for line in (here.logs / "gateway.log").read_text().splitlines()
        if re.match(r'\{.*"route": "/v1/rank"', line)
    ]
    return quantiles([(row["ms"] - row["model_ms"]) / 1000 for row in lines if "model_ms" in row])


def measure(folder: Path | None, rate: float, turns: int) -> dict[str, Any]:
    """Ask in turns; before the model in `folder`, or before a small one."""
    with tempfile.TemporaryDirectory() as name:
        if folder is None:
            folder = Path(name) / "served"
            folder.mkdir()
            save_toy(folder, 1)
        with world(folder) as here:
            return asyncio.run(_measure(here, rate, turns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--served", type=Path, help="folder of versions, say served/ssrec")
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--turns", type=int, default=30, help="seconds each way")
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.served, parsed.rate, parsed.turns)))
