import asyncio

import pytest

from serving.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotReady,
    Overloaded,
    Unavailable,
)
from serving.retrying import Attempts, Retries, call, call_async


class Clock:
    """Time that passes only when told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def attempts(clock, timeout=10.0, draw=lambda low, high: high, **retries):
    return Attempts(Retries(**retries), timeout, clock=clock, draw=draw)


def test_pauses_double_up_to_the_cap_and_are_drawn_from_zero():
    drawn = []
    clock = Clock()
    tries = attempts(
        clock, attempts=6, base=0.1, cap=0.5, draw=lambda *bounds: drawn.append(bounds) or 0.0
    )
    for _ in range(5):
        tries.remaining()
        tries.pause_after(Unavailable("down"))
    assert drawn == [(0.0, 0.1), (0.0, 0.2), (0.0, 0.4), (0.0, 0.5), (0.0, 0.5)]


def test_no_more_attempts_than_allowed():
    tries = attempts(Clock(), attempts=2)
    error = Unavailable("down")
    tries.remaining()
    tries.pause_after(error)
    tries.remaining()
    with pytest.raises(Unavailable) as raised:
        tries.pause_after(error)
    assert raised.value is error


@pytest.mark.parametrize("kind", [InvalidArgument, Overloaded, DeadlineExceeded])
def test_what_is_not_tried_again(kind):
    tries = attempts(Clock(), attempts=9)
    tries.remaining()
    with pytest.raises(kind):
        tries.pause_after(kind("no"))


def test_a_server_that_is_not_ready_is_tried_again():
    tries = attempts(Clock(), base=0.5)
    tries.remaining()
    assert tries.pause_after(NotReady("loading")) == 0.5


def test_a_pause_never_passes_the_deadline():
    clock = Clock()
    tries = attempts(clock, timeout=1.0, attempts=9, base=0.4)
    tries.remaining()
    assert tries.pause_after(Unavailable("down")) == 0.4
    clock.now += 0.7
    assert tries.remaining() == pytest.approx(0.3)
    with pytest.raises(Unavailable):
        tries.pause_after(Unavailable("down"))  # 0.8 s would end after it
    clock.now += 0.3
    with pytest.raises(DeadlineExceeded, match=r"no answer in 1\.0 s"):
        tries.remaining()


def test_call_gives_each_attempt_what_is_left():
    given = []

    def send(left):
        given.append(left)
        if len(given) < 3:
            raise Unavailable("down")
        return "answer"

    retries = Retries(attempts=3, base=0.01, cap=0.01)
    assert call(Attempts(retries, 5.0), send) == "answer"
    assert 5.0 >= given[0] > given[1] > given[2] > 4.5

    async def send_async(left):
        return send(left)

    given.clear()
    assert asyncio.run(call_async(Attempts(retries, 5.0), send_async)) == "answer"
    assert len(given) == 3


@pytest.mark.parametrize("bad", [{"attempts": 0}, {"base": 0.0}, {"base": 2.0, "cap": 1.0}])
def test_retries_that_make_no_sense(bad):
    with pytest.raises(InvalidArgument, match="give at least one"):
        Retries(**bad)
