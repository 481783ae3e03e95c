import asyncio
import gzip
import json

import pytest

from serving.gateway_limits import Admission, Refusal, check_depth, check_head, read_body
from serving.gateway_settings import Limits
from tests.serving.gateway_world import ByHand, make_settings, open_client

HEAD = {b"content-type": b"application/json", b"content-length": b"10"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({b"content-encoding": b"gzip"}, 415),
        ({b"content-encoding": b"identity"}, 415),
        ({b"content-type": b"text/plain"}, 415),
        ({b"content-type": b""}, 415),
        ({b"content-length": b""}, 411),
        ({b"content-length": b"-1"}, 411),
        ({b"content-length": b"65537"}, 413),
        ({b"content-length": b"9" * 18}, 413),
    ],
)
def test_heads_that_are_refused(changes, status):
    with pytest.raises(Refusal) as raised:
        check_head({**HEAD, **changes})
    assert raised.value.status == status


def test_heads_that_are_not():
    assert check_head({**HEAD, b"content-length": b"65536"}) == 65536
    assert check_head({**HEAD, b"content-type": b"Application/JSON; charset=utf-8"}) == 10


def nested(depth):
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [nested(8), b'{"a": [[{}]]}', b'["' + b"[" * 100 + b'"]', b'["\\"' + b"{" * 50 + b'"]', b"]]]"],
)
def test_depth_that_passes(body):
    check_depth(body)


@pytest.mark.parametrize("body", [nested(9), b"[" * 65536, b'{"a":' * 9, b'["x"]' + nested(9)])
def test_depth_that_does_not(body):
    with pytest.raises(Refusal) as raised:
        check_depth(body)
    assert (raised.value.status, raised.value.code) == (400, "depth")


def test_a_body_that_does_not_come():
    async def read(messages, length, pause=0.0):
        async def receive():
            await asyncio.sleep(pause)
            return messages.pop(0)

        return await read_body(receive, length, 0.1)

    part = {"type": "http.request", "body": b"abc", "more_body": True}
    last = {**part, "more_body": False}
    assert asyncio.run(read([part, last], 6)) == b"abcabc"
    for messages, length, pause, status in (
        ([part] * 9, 6, 0.0, 413),
        ([part] * 9, 6, 1.0, 408),
        ([{"type": "http.disconnect"}], 6, 0.0, 400),
    ):
        with pytest.raises(Refusal) as raised:
            asyncio.run(read(list(messages), length, pause))
        assert raised.value.status == status


def test_admission_is_bounded_and_in_turn():
    async def run():
        admission = Admission(Limits(concurrency=1, queue=2, wait=5.0))
        order, begun = [], asyncio.Event()

        async def work(name, hold):
            async with admission.place():
                order.append(name)
                begun.set()
                await hold.wait()

        hold = asyncio.Event()
        tasks = [asyncio.create_task(work("a", hold))]
        await begun.wait()
        for name in "bc":
            tasks.append(asyncio.create_task(work(name, hold)))
            await asyncio.sleep(0)
        assert admission.waiting == 2
        with pytest.raises(Refusal) as raised:
            async with admission.place():
                pass
        assert (raised.value.status, raised.value.retry_after) == (503, 1)
        tasks[1].cancel()  # b goes away: its place in the queue is free again
        await asyncio.sleep(0.01)
        assert admission.waiting == 1
        hold.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == ["a", "c"]
        async with admission.place():  # nothing leaked
            pass

    asyncio.run(run())


def test_who_waits_too_long_is_told_so():
    async def run():
        admission = Admission(Limits(concurrency=1, queue=5, wait=0.05))
        async with admission.place():
            with pytest.raises(Refusal):
                async with admission.place():
                    pass
        async with admission.place():
            assert admission.waiting == 0

    asyncio.run(run())


@pytest.fixture
def client(tmp_path, described):
    with open_client(make_settings(tmp_path, described), ByHand()) as client:
        yield client


def test_a_bomb_is_not_unpacked(client):
    bomb = gzip.compress(b"0" * 10_000_000)
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = client.post("/v1/rank", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (415, "Content-Encoding")


def test_a_large_body_and_a_chunked_one(client):
    body = json.dumps({"candidates": [{"text": "x" * 4000}] * 20})
    headers = {"content-type": "application/json"}
    assert client.post("/v1/rank", content=body, headers=headers).status_code == 413
    chunks = (b"x" for _ in range(3))
    assert client.post("/v1/rank", content=chunks, headers=headers).status_code == 411


def test_the_largest_request_that_is_taken(client):
    body = {"candidates": [{"text": f"item {i}"} for i in range(1000)], "k": 100}
    answer = client.post("/v1/rank", json=body)
    assert answer.status_code == 200
    assert len(answer.json()["items"]) == 100
