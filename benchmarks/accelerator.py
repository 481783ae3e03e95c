"""Run the programs of `benchmarks.programs` on whatever chip JAX finds, beside PyTorch on it.

    python -m benchmarks.accelerator FOLDER                run, on a GPU or a TPU
    python -m benchmarks.accelerator FOLDER --tpu v5e:2x2  compile for a TPU that is not there

It needs JAX and NumPy (and libtpu to compile for a TPU; PyTorch and Transformers in the Python
that BENCH_PYTHON names), but no TensorFlow. `python -m benchmarks --page-only` writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import RESULTS
from benchmarks.machine import versions
from benchmarks.measuring import interleave, timed
from benchmarks.results import Comparison, Fact, Result, save
from benchmarks.torch_side import NAMES, TorchSide

# Memory is taken as it is needed: PyTorch is to have room beside.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
os.environ["JAX_ENABLE_X64"] = "true"  # or JAX would cut seeds and counts to 32 bits
JOINT, MICRO_BATCH = "joint reading, {}", 256
MINILM_SIZE = {"width": 384, "layers": 6}


@dataclass(frozen=True)
class Program:
    """A train step of some batches: StableHLO, its parameters, and which outputs replace which."""

    module: str
    parameters: list[np.ndarray]
    batches: list[list[np.ndarray]]
    aliases: Mapping[int, int]
    pairs: Sequence[int]
    losses: Sequence[float]

    @classmethod
    def read(cls, folder: Path, index: Mapping[str, Any]) -> Program:
        """Read what `programs.write_program` wrote, and draw what it left out."""
        from jaxlib import xla_client

        computation = xla_client.XlaComputation((folder / f"{index['stem']}.hlo").read_bytes())
        head = computation.as_hlo_text().split("\n", 1)[0]
        aliases = re.findall(r"\{(\d+)\}: \((\d+), \{\}", head)
        module = xla_client._xla.mlir.xla_computation_to_mlir_module(computation)
        # XLA's own dialect has a copy, which StableHLO has not.
        module = re.sub(
            r"mhlo\.copy (%\S+) : (tensor<[^>]*>)", r"stablehlo.reshape \1 : (\2) -> \2", module
        )
        arrays = np.load(folder / f"{index['stem']}.npz")
        drawn = {int(number): how for number, how in index["drawn"].items()}
        parameters = [
            drawn_weights(**drawn[number]) if number in drawn else arrays[f"p{number}"]
            for number in range(index["parameters"])
        ]
        size = range(index["batch"])
        first = [parameters[place] for place in size]
        others = [
            [arrays[f"b{number}_{place}"] for place in size]
            for number in range(1, len(index["pairs"]))
        ]
        return cls(
            module=module,
            parameters=parameters,
            batches=[first, *others],
            aliases={int(output): int(parameter) for output, parameter in aliases},
            pairs=index["pairs"],
            losses=index["losses"],
        )


class Side:
    """A program on a chip: its weights stay there, its batches are sent."""

    def __init__(self, program: Program) -> None:
        """Compile it and send the weights."""
        import jax
        from jaxlib import xla_client

        self.program, self._device = program, jax.devices()[0]
        self._put = jax.device_put
        started = time.perf_counter()
        self._step = self._device.client.compile_and_load(
            program.module, xla_client.DeviceList((self._device,)), xla_client.CompileOptions()
        )
        self.compiling = time.perf_counter() - started
        self._state = [self._put(array, self._device) for array in program.parameters]
        self.losses: list[float] = []

    def run(self) -> float:
        """Make an update for each batch; give the pairs."""
        for batch in self.program.batches:
            self._state[: len(batch)] = [self._put(array, self._device) for array in batch]
            outputs = self._step.execute_sharded(self._state)
            loss, *new = [one[0] for one in outputs.disassemble_into_single_device_arrays()]
            for output, value in enumerate(new, 1):
                self._state[self.program.aliases[output]] = value
            self.losses.append(float(loss))
        return sum(self.program.pairs)


def drawn_weights(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Weights as BERT starts with them; the same numbers wherever they are drawn."""
    return np.random.default_rng(seed).normal(0.0, 0.02, shape).astype(np.float32)


def run(folder: Path, *, quick: bool) -> Result:
    """Run all programs in turns, the joint reading beside PyTorch, and compare the losses."""
    import jax

    index = json.loads((folder / "programs.json").read_text())
    sides: dict[str, Side] = {}
    for name, how in index["programs"].items():
        sides[name] = Side(Program.read(folder, how))
        print(f"{name}: compiled in {sides[name].compiling:.1f} s", flush=True)
    with TorchSide(tuple(NAMES)) as torch:
        bert = torch.fresh_folder(
            folder / "bert",
            (folder / "vocab.txt").read_text().split("\n")[:-1],
            dropout=0.0,
            **({} if quick else MINILM_SIZE),
        )
        torch.load(bert, folder / "steps.json", index["rate"], micro_batch=MICRO_BATCH)
        steps = len(sides[JOINT.format("float32")].program.pairs)
        alternatives = torch.alternatives(steps)
        alternatives |= {name: timed(side.run) for name, side in sides.items()}
        runs = interleave(alternatives, rounds=2 if quick else 7, warm_up=2)
        said = torch.versions()
    device = jax.devices()[0]
    low, high = sides[JOINT.format("bfloat16")], sides[JOINT.format("float32")].losses[:4]
    return Result(
        name="accelerator",
        title="Train steps on another chip",
        text=_text(device.device_kind, said, versions(("jax", "jaxlib"))),
        unit="pairs",
        runs=runs,
        comparisons=[
            *(
                Comparison(JOINT.format(dtype), other, None, "wall")
                for dtype in ("bfloat16", "float32")
                for other in NAMES.values()
            ),
            Comparison(JOINT.format("bfloat16"), JOINT.format("float32"), None, "wall"),
        ],
        facts=[
            *(Fact(f"compiling {name}", side.compiling, "s") for name, side in sides.items()),
            Fact("greatest difference of a bfloat16 loss, the same steps", _apart(low, high)),
        ],
        checks={
            f"{name}: the first losses of a CPU, to 0.01": _apart(side, side.program.losses) < 0.01
            for name, side in sides.items()
            if side.program.losses
        },
    )


def compile_for_tpu(folder: Path, topology: str) -> Result:
    """Compile all programs for a TPU by its own compiler, which needs no TPU."""
    from jax._src.interpreters.mlir import make_ir_context
    from jax._src.lib.mlir import ir
    from jax.experimental import topologies
    from jaxlib import xla_client

    device = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices[0]
    index, facts = json.loads((folder / "programs.json").read_text()), []
    for name, how in index["programs"].items():
        program, started = Program.read(folder, how), time.perf_counter()
        with make_ir_context():
            made = device.client.compile(
                ir.Module.parse(program.module),
                xla_client.DeviceList((device,)),
                xla_client.CompileOptions(),
            )
        memory = made.get_compiled_memory_stats()
        room = memory.argument_size_in_bytes + memory.temp_size_in_bytes
        facts += [
            Fact(f"{name}: memory of weights, slots, batch and step", room / 1e9, "GB"),
            Fact(f"{name}: compiling", time.perf_counter() - started, "s"),
        ]
        print(f"{name}: compiled, {room / 1e9:.2f} GB", flush=True)
    return Result(
        name="tpu",
        title="Compiled for a TPU",
        text=f"""
The same train steps, compiled by libtpu for one chip of a {device.device_kind}
(`python -m benchmarks.accelerator FOLDER --tpu {topology}`): no TPU was there, so nothing was run.
A TPU has static shapes and no strings or hash tables: that a step
compiles says that it keeps to them.""",
        facts=facts,
    )


def main() -> int:
    """Run or compile, keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tpu", help="a topology, as v5e:2x2: compile for it, run nothing")
    parser.add_argument("--quick", action="store_true", help="programs written with --quick")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parsed = parser.parse_args()
    if parsed.tpu:
        # What a TPU's machine would tell libtpu.
        os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
        os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
        os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    found = (
        compile_for_tpu(parsed.folder, parsed.tpu)
        if parsed.tpu
        else run(parsed.folder, quick=parsed.quick)
    )
    commit = json.loads((parsed.folder / "programs.json").read_text())["commit"]
    print(f"result: {save(found, parsed.results, quick=parsed.quick, commit=commit)}")
    return 0


def _apart(side: Side, expected: Sequence[float]) -> float:
    """The greatest difference of the first losses from those expected."""
    found = side.losses[: len(expected)]
    return float(np.abs(np.asarray(found) - np.asarray(expected)).max())


def _text(chip: str, torch: str, others: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {version}" for name, version in others.items())
    return f"""
{chip}. What XLA is given of `train.loop.xla: true`, written by `python -m benchmarks.programs
FOLDER` and run by JAX ({said}) with `python -m benchmarks.accelerator FOLDER`: no TensorFlow is on
that machine. Weights are drawn, batches are sent to the chip for each step, reading them is not
counted on either side. *masked tokens* and *two-level reading* are
those of `configs/movielens-100k.yaml`, of 256 users a step; the *joint reading* is a BERT of 6
layers, 384 wide, 64 users a step with up to 16 targets and 20 events each, without dropout.
*{NAMES["classic"]}*: `BertForSequenceClassification`, padded to 128, float32. *{NAMES["best"]}*:
sorted by length, dynamic padding, bfloat16 autocast; *compiled*: `model.compile(dynamic=True)`
besides. All of the same pairs, tokenized and collated before, in batches of {MICRO_BATCH}, one
update for all ({torch}). float32 programs multiply in TF32 where a chip has it, as XLA does
unless told."""


if __name__ == "__main__":
    sys.exit(main())
