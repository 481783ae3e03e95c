"""Hot swaps under load: `python -m benchmarks.serving_swaps` prints a line of JSON.

Requests come at a steady rate, as an open loop; a new version appears again and again. Each
version's scores tell it, so an answer of two versions would show.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.serving_setup import Caller, World, quantiles, save_toy, world

_BODIES = (
    ("rank", {"history": [{"text": "Heat"}], "candidates": [{"id": "i1"}, {"text": "new"}]}),
    ("recommend", {"history": [{"id": "i0", "rating": 4.0}], "k": 2}),
    ("explain", {"history": [{"id": "i0"}, {"id": "i2"}], "candidate": {"id": "i1"}}),
    ("rank", {"candidates": [{"id": "i3"}, {"id": "i1"}], "explain": True}),
    ("similar", {"item": {"id": "i2"}, "k": 2}),
)


class _Load:
    """Sends requests at a rate and checks every answer."""

    def __init__(self, here: World, rate: float) -> None:
        self._caller, self._pause = Caller(here), 1.0 / rate
        self._requests = [self._caller.request(f"/v1/{route}", body) for route, body in _BODIES]
        self.seconds: list[tuple[float, float]] = []  # (when, how long)
        self.failed: list[str] = []
        self.mixed = 0
        self.versions: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        tasks, count, began = set(), 0, time.perf_counter()
        while not stop.is_set():
            task = asyncio.create_task(self._ask(count))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            count += 1
            await asyncio.sleep(max(0.0, began + count * self._pause - time.perf_counter()))
        await asyncio.gather(*tasks)

    async def _ask(self, count: int) -> None:
        place = count % len(_BODIES)
        began = time.perf_counter()
        try:
            answer = await asyncio.wait_for(self._caller.ask(self._requests[place]), 30.0)
            if answer.status != 200:
                self.failed.append(f"{_BODIES[place][0]} {answer.status} {answer.body[:80]!r}")
                return
            self._check(answer.json())
        except (OSError, EOFError, TimeoutError) as error:
            self.failed.append(f"{_BODIES[place][0]} {type(error).__name__}")
        self.seconds.append((began, time.perf_counter() - began))

    def _check(self, body: dict[str, Any]) -> None:
        version = body["model_version"]
        self.versions.add(version)
        for item in body["items"]:
            if int(item.get("rating", version)) != version:  # rating = version + less than 1
                self.mixed += 1


async def _measure(folder: Path, here: World, swaps: int, rate: float, pause: float) -> Any:
    load, stop = _Load(here, rate), asyncio.Event()
    running = asyncio.create_task(load.run(stop))
    await asyncio.sleep(max(5.0, pause * 2))
    began = time.perf_counter()
    for version in range(2, swaps + 2):
        (folder / f".ready-{version}").rename(folder / str(version))
        until = time.perf_counter() + 60
        while version not in load.versions and time.perf_counter() < until:
            await asyncio.sleep(0.05)
        await asyncio.sleep(pause)
    ended = time.perf_counter()
    await asyncio.sleep(max(5.0, pause * 2))
    stop.set()
    await running
    swapping = [s for when, s in load.seconds if began <= when < ended]
    steady = [s for when, s in load.seconds if not began <= when < ended]
    return {
        "requests": len(load.seconds) + len(load.failed),
        "failed": len(load.failed),
        "failures": sorted(set(load.failed))[:5],
        "mixed": load.mixed,
        "versions": len(load.versions),
        "steady": quantiles(steady),
        "swapping": quantiles(swapping),
        "p99_ratio": round(
            quantiles(swapping)["p99_ms"] / max(quantiles(steady)["p99_ms"], 1e-9), 2
        ),
    }


def measure(swaps: int, rate: float, pause: float) -> dict[str, Any]:
    """Swap `swaps` times under `rate` requests a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "served"
        folder.mkdir()
        save_toy(folder, 1)
        for version in range(2, swaps + 2):  # made beforehand: their making is not measured
            save_toy(folder, version).rename(folder / f".ready-{version}")
        with world(folder) as here:
            return {
                "swaps": swaps,
                "rate": rate,
                **asyncio.run(_measure(folder, here, swaps, rate, pause)),
            }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds after each swap")
    parsed = parser.parse_args()
    print(json.dumps(measure(parsed.swaps, parsed.rate, parsed.pause)))
