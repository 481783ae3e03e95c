"""Three times what it can do: `python -m benchmarks.serving_overload` prints a line of JSON.

First what the gateway answers in a closed loop is its capacity. Then requests come at three times
that, as an open loop, while slow clients, gzip bombs and deep JSON come along; then it must
answer again at once.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.serving_setup import Caller, World, quantiles, save_toy, world

_BODY = {
    "history": [{"text": f"film {place}", "rating": 4.0} for place in range(20)],
    "candidates": [{"text": f"new {place}"} for place in range(50)],
}


async def _ask(caller: Caller, seen: Counter[str]) -> float:
    began = time.perf_counter()
    try:
        answer = await asyncio.wait_for(caller.ask(caller.request("/v1/rank", _BODY)), 30.0)
        seen[str(answer.status)] += 1
        if answer.status in (429, 503) and "retry-after" not in answer.head:
            seen["no retry-after"] += 1
    except (OSError, EOFError, TimeoutError) as error:
        seen[type(error).__name__] += 1
    return time.perf_counter() - began


async def _capacity(caller: Caller, seconds: float) -> float:
    """Requests a second of eight that ask again and again."""
    seen: Counter[str] = Counter()
    until = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < until:
            await _ask(caller, seen)

    await asyncio.gather(*(one() for _ in range(8)))
    return seen["200"] / seconds


async def _flood(caller: Caller, rate: float, seconds: float) -> tuple[Counter[str], list[float]]:
    seen: Counter[str] = Counter()
    times: list[float] = []
    tasks: set[asyncio.Task[None]] = set()

    async def one() -> None:
        times.append(await _ask(caller, seen))

    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        task = asyncio.create_task(one())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        count += 1
        await asyncio.sleep(max(0.0, began + count / rate - time.perf_counter()))
    await asyncio.gather(*tasks)
    return seen, times


async def _slow(here: World, seconds: float) -> int:
    """Clients that send a byte a second; how many the gateway cut off."""
    port = int(here.gateway_url.rpartition(":")[2])
    cut = 0

    async def one(head: bytes) -> None:
        nonlocal cut
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(head)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(1.0)
                if reader.at_eof():
                    break
        except OSError:
            pass
        cut += reader.at_eof() or bool(reader._buffer)  # type: ignore[attr-defined]
        writer.close()

    body = (
        f"POST /v1/rank HTTP/1.1\r\nHost: x\r\nX-API-Key: {here.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{"
    ).encode()
    await asyncio.gather(
        *(one(b"GET /health HTTP/1.1\r\nX-Slow: ") for _ in range(25)),
        *(one(body) for _ in range(25)),
    )
    return cut


async def _own_status(
    client: httpx2.AsyncClient, url: str, content: bytes, headers: dict[str, str]
) -> str:
    """What a request is answered for its own sake, once the flood leaves it a connection."""
    while True:
        answer = await client.post(url, content=content, headers=headers)
        if answer.status_code != 503:
            return str(answer.status_code)
        await asyncio.sleep(0.2)


async def _hostile(client: httpx2.AsyncClient, here: World) -> Counter[str]:
    bomb = gzip.compress(b"0" * 20_000_000)
    seen: Counter[str] = Counter()
    url = f"{here.gateway_url}/v1/rank"
    for content, more in (
        (bomb, {"Content-Encoding": "gzip"}),
        (b"[" * 60_000, {}),
        (b'{"a":' * 10_000, {}),
        (b"x" * 70_000, {}),
    ):
        for _ in range(5):
            seen[await _own_status(client, url, content, {**here.headers, **more})] += 1
    return seen


async def _measure(here: World, seconds: float) -> dict[str, Any]:
    caller = Caller(here)
    async with httpx2.AsyncClient(trust_env=False, timeout=30.0) as client:
        capacity = await _capacity(caller, min(10.0, seconds))
        await _flood(caller, capacity, 2.0)  # what is held once everything was in use
        before = here.resident("gateway")
        slow = asyncio.create_task(_slow(here, 12.0))
        (seen, times), hostile = await asyncio.gather(
            _flood(caller, 3 * capacity, seconds), _hostile(client, here)
        )
        after = here.resident("gateway")
        began, recovered = time.perf_counter(), None
        while time.perf_counter() - began < 30:
            again: Counter[str] = Counter()
            took = await _ask(caller, again)
            if again["200"] and took < 1.0:
                recovered = time.perf_counter() - began
                break
            await asyncio.sleep(0.1)
        return {
            "capacity": round(capacity, 1),
            "rate": round(3 * capacity, 1),
            "rate_reached": round(len(times) / seconds, 1),
            "seconds": seconds,
            "statuses": dict(seen),
            "only_200_429_503": set(seen) <= {"200", "429", "503"},
            "answers": quantiles(times),
            "memory_growth_mib": round(after - before, 1),
            "recovered_s": None if recovered is None else round(recovered, 2),
            "hostile": dict(hostile),
            "slow_clients_cut_off": await slow,
        }


def measure(folder: Path | None, seconds: float) -> dict[str, Any]:
    """Flood a gateway before the model in `folder`, or before a small one."""
    with tempfile.TemporaryDirectory() as name:
        if folder is None:
            folder = Path(name) / "served"
            folder.mkdir()
            save_toy(folder, 1)
        with world(folder) as here:
            return asyncio.run(_measure(here, seconds))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--served", type=Path, help="folder of versions, say served/ssrec")
    parser.add_argument("--seconds", type=float, default=60.0)
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.served, parsed.seconds)))
