"""Three small components, the second with checkpoints; run as a process to be killed.

A line tells of everything written, so that a test can kill it at any of these moments.
"""

import hashlib
import sys
import time
from pathlib import Path

from pipeline.runner import Component, run


def written(what):
    print(f"wrote {what}", flush=True)
    time.sleep(0.002)


def source(context):
    for number in range(5):
        (context.output / f"{number}.txt").write_text(str(number) * 1000)
        written(number)


def train(context):
    state = context.work / "state"
    step, value = 0, b""
    if state.exists():
        head, _, value = state.read_bytes().partition(b"\n")
        step = int(head)
        with (context.work.parents[1] / "resumed").open("a") as log:
            log.write(f"{step}\n")
    data = b"".join(path.read_bytes() for path in sorted(context.inputs["Source"].glob("*.txt")))
    while step < 20:
        step, value = step + 1, hashlib.sha256(value + data).hexdigest().encode()
        part = state.with_suffix(".part")
        part.write_bytes(b"%d\n%s" % (step, value))
        part.rename(state)
        written(step)
    (context.output / "model").write_bytes(value)


def report(context):
    model = (context.inputs["Train"] / "model").read_bytes()
    for number in range(5):
        (context.output / f"page{number}").write_bytes(model * (number + 1))
        written(number)


COMPONENTS = (
    Component("Source", source, settings=lambda config: config),
    Component("Train", train, ("Source",)),
    Component("Report", report, ("Train",)),
)

if __name__ == "__main__":
    run(COMPONENTS, {"seed": 1}, root=Path(sys.argv[1]), base=Path())
