"""A GPU beside NumPy and PyTorch: everything registered gives the same there, and how fast it is.

    python tests/gpu_bench.py [--seconds 2] [--members 32 128 1024]
    python tests/gpu_bench.py --stand-in

The first table has the worst departure from NumPy of each kind of plugin, the second one the
microseconds of a training step of a member, for one network and for populations, beside PyTorch
(eager, and compiled by `torch.compile` where that works), and which share of the card's float32
rate its matrix products are. A step is also tried as one captured graph, which CuPy 14.2 refuses,
since the products are calls of cuBLAS. With --stand-in all of it runs on the stand-in for CuPy that the
tests use, in a minute and on small networks: what it times then is NumPy, but what would fail for
want of a function or an argument fails here too. PyTorch takes part where it can be imported.
"""

import harness  # isort: skip  # first: it sets one BLAS thread

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from harness import Config, mlp
from harness.data import from_arrays
from harness.ops import ops_for
from harness.registry.known import entries, find
from harness.registry.specs import canonical, text
from harness.testing.device import DEVICE, device_distance
from harness.testing.samples import examples
from harness.training.batches import feeder
from harness.training.networks import construct
from harness.training.prepare import prepare

STAND_IN = Path(__file__).parent / "stand_in"
KINDS = ("activation", "layer", "loss", "update_rule")
SIZES = (784, 100, 50, 10)
BATCH = 100
STEPS = 100  # of a block, after which the GPU is waited for


def departures() -> list[tuple[str, int, float, str]]:
    """For each kind, how many cases there are, the worst departure from NumPy, and whose it is."""
    rows = []
    for kind in KINDS:
        specs = [text(spec) for entry in entries(kind) for spec in examples(entry, {})]
        found = []
        for spec in specs:
            made = canonical(kind, spec)
            found.append((device_distance(find(kind, made["name"]), made), spec))
        rows.append((kind, len(specs), *max(found)))
    return rows


def per_step(block: Callable[[], None], seconds: float) -> float:
    """The microseconds of a step: the least of the blocks that fit into so many seconds."""
    block()  # kernels are compiled
    best = np.inf
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or best == np.inf:
        begun = time.perf_counter()
        block()
        best = min(best, time.perf_counter() - begun)
    return best / STEPS * 1e6


def ours(sizes: Sequence[int], members: int, captured: bool = False) -> Callable[[], None]:
    """A block of steps on the GPU: relu, sgd, each member with a learning rate of its own.

    Where it is captured, a step is recorded as one graph and replayed, all but its gathering.
    """
    ops = ops_for("gpu")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (BATCH * STEPS, sizes[0]), dtype=np.uint8)
    y = rng.integers(0, sizes[-1], len(x))
    config = Config(layers=mlp(list(sizes)), batch=BATCH, film=None, valid=0.0, device="gpu")
    data = prepare(config, from_arrays("random", x, y))
    configs = [config.replace(update=f"sgd({0.1 / (1 + k)})") for k in range(members)]
    network = construct(configs if members > 1 else configs[0], data)
    network.initialize()
    network.rekey(1)
    xb, fill = feeder(data, ops, (), BATCH)
    tb = ops.empty((BATCH, sizes[-1]), data.t.dtype)
    order = ops.asarray(rng.permutation(len(x)))

    def step() -> None:
        network.step(xb, tb, 0.0)

    if captured:
        step = graph_of(step)

    def block() -> None:
        for k in range(STEPS):
            index = order[k * BATCH : (k + 1) * BATCH]
            fill(index)
            ops.gather(data.t, index, tb)
            step()
        ops.synchronize()

    return block


def graph_of(run: Callable[[], None]) -> Callable[[], None]:
    """What replays all that a function launches, as one graph."""
    import cupy

    run()  # kernels are compiled, and memory is taken
    cupy.cuda.get_current_stream().synchronize()
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            run()
        except Exception:
            with suppress(Exception):  # what has been refused leaves no graph
                stream.end_capture()
            raise
        return stream.end_capture().launch


def torch_block(sizes: Sequence[int], compiled: bool) -> Callable[[], None]:
    """The same steps of one network with PyTorch, whose data lie on the GPU too."""
    import torch
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers: list[Any] = []
    for i, o in pairwise(sizes[:-1]):
        layers += [nn.Linear(i, o), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Linear(*sizes[-2:])).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.rand(BATCH * STEPS, sizes[0], device=device)
    y = torch.randint(0, sizes[-1], (len(x),), device=device)
    loss_of = nn.CrossEntropyLoss()

    def step(xb: Any, yb: Any) -> None:
        optimizer.zero_grad()
        loss_of(net(xb), yb).backward()
        optimizer.step()

    run = torch.compile(step) if compiled else step

    def block() -> None:
        order = torch.randperm(len(x), device=device)
        for k in range(STEPS):
            index = order[k * BATCH : (k + 1) * BATCH]
            run(x[index], y[index])
        if device == "cuda":
            torch.cuda.synchronize()

    return block


def operations(sizes: Sequence[int]) -> int:
    """The multiplications and additions of the matrix products of a step."""
    both = sum(i * o for i, o in pairwise(sizes))
    return 2 * BATCH * (3 * both - sizes[0] * sizes[1])


def card() -> tuple[str, float]:
    """The name of the GPU, and how many float32 operations it does in a microsecond at most."""
    import cupy

    if not hasattr(cupy, "cuda") or not hasattr(cupy.cuda.runtime, "getDeviceProperties"):
        return "the stand-in for CuPy, on NumPy", np.inf
    about = cupy.cuda.runtime.getDeviceProperties(0)
    # Two operations for each of 128 units of a multiprocessor; clockRate is in kHz.
    rate = 2 * 128 * about["multiProcessorCount"] * about["clockRate"] / 1e3
    return about["name"].decode(), rate


def show(sizes: Sequence[int], members: Sequence[int], seconds: float) -> None:
    """Print the table of times."""
    name, most = card()
    shape = "-".join(map(str, sizes))
    print(f"\n{shape}, batch {BATCH}, relu, sgd, float32, on {name}:\n")
    print("| what | us a step of a member | share of the float32 rate |\n|---|---|---|")

    def line(what: str, each: float) -> None:
        share = "-" if most == np.inf else f"{operations(sizes) / each / most:.3f}"
        print(f"| {what} | {each:.1f} | {share} |", flush=True)

    for count in (1, *members):
        what = "one network" if count == 1 else f"a population of {count}"
        line(f"harness, {what}", per_step(ours(sizes, count), seconds) / count)
    try:
        line("harness, one network, a step as a graph", per_step(ours(sizes, 1, True), seconds))
    except Exception as error:
        print(
            f"| harness, one network, a step as a graph | {type(error).__name__} | - |", flush=True
        )
    for compiled in (False, True):
        what = f"PyTorch {'compiled' if compiled else 'eager'}, one network"
        try:
            line(what, per_step(torch_block(sizes, compiled), seconds))
        except Exception as error:  # it may lack a compiler, or not be there at all
            print(f"| {what} | {type(error).__name__} | - |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each thing is timed")
    parser.add_argument("--members", type=int, nargs="*", default=[32, 128, 1024])
    parser.add_argument("--stand-in", action="store_true", help="run on NumPy in CuPy's place")
    given = parser.parse_args()
    sizes: Sequence[int] = SIZES
    members = given.members
    seconds = given.seconds
    if given.stand_in:
        sys.path.insert(0, str(STAND_IN))
        sizes = (64, 16, 10)
        members = [4]
        seconds = 0.0
    try:
        ops_for("gpu")
    except harness.UsageError as error:
        print(f"{error}; --stand-in runs all of this without one", file=sys.stderr)
        return 2
    print("| kind | cases | worst departure from NumPy | of |\n|---|---|---|---|")
    far = False
    for kind, count, worst, spec in departures():
        print(f"| {kind} | {count} | {worst:.1e} | {spec} |", flush=True)
        far |= worst > DEVICE
    show(sizes, members, seconds)
    return int(far)


if __name__ == "__main__":
    sys.exit(main())
