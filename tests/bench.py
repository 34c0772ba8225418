"""Speed as ratios: things run in turn, in blocks of steps, in one process on one thread; medians
over the blocks.

    tox -e bench
    python tests/bench.py [--blocks 40] [--populations | --sweeps 3 | --ceiling 160]

Prints a Markdown table with the machine's name. PyTorch takes part where it can be imported. With
--populations the table is that of training many networks of one shape as one batched computation,
against each of them alone; with --sweeps that of whole sweeps with one worker and with two, and of
what the driver does beside training, and whole sweeps with two workers beside what a user would
write by hand (`tests/idiom.py`), in turn; with --idiom the latter alone; with --ceiling what one driver gets through when
its workers take no time.
"""

import harness  # isort: skip  # first: it sets one BLAS thread

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from itertools import pairwise
from pathlib import Path

import ceiling
import idiom
import numpy as np
import steps

from harness import Config, mlp
from harness.data import from_arrays
from harness.ops import cpu as ops
from harness.studies.sweep import sweep
from harness.training.batches import feeder
from harness.training.networks import construct
from harness.training.prepare import prepare
from harness.training.segment import segment
from harness.trials.population import population_that_pays

SIZES, BATCH, STEPS = [784, 100, 50, 10], 100, 50
SHAPES = (
    "64-32-10",
    "64-32-16-10",
    "196-32-10",
    "196-100-10",
    "784-32-10",
    "784-100-10",
    "784-100-50-10",
    "784-200-100-10",
    "784-300-10",
)
MEMBERS = (2, 4, 8, 16, 32)
ROWS = BATCH * STEPS
SPENT = ("ask", "sampler", "write", "log", "ship")  # what a driver does beside training


def machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(
                line.split(":")[1].strip() for line in file if line.startswith("model name")
            )
    except (OSError, StopIteration):
        pass
    return (
        f"{name}, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}"
    )


def steps_of(sizes, activation="relu", update="sgd(0.1)", batch=BATCH, seed=0):
    """One block of training steps as `segment` runs them: gather, forward, loss, backward,
    update.
    """
    config = Config(
        layers=mlp(sizes, activation=activation),
        update=update,
        batch=batch,
        film=None,
        valid=0.9,
        seed=seed,
    )
    data = prepare(config)
    network = construct(config, data)
    network.initialize()
    network.rekey(1)
    (xb, fill), tb = feeder(data, ops, (), batch), np.empty((batch, sizes[-1]), np.float32)
    order = np.random.default_rng(0).permutation(len(data.x))
    losses = np.empty(STEPS, np.float32)

    def block() -> None:
        for k in range(STEPS):
            index = order[k * batch : (k + 1) * batch]
            fill(index)
            ops.gather(data.t, index, tb)
            losses[k] = network.step(xb, tb, 0.0)

    return block, data


def products_of(sizes, batch=BATCH):
    """The matrix products that such a step cannot do without, into ready buffers, and nothing
    else.
    """
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape, dtype=np.float32)  # noqa: E731
    xs = [draw(batch, n) for n in sizes]
    ws = [draw(i, o) for i, o in pairwise(sizes)]
    dws, dxs = [np.empty_like(w) for w in ws], [np.empty_like(x) for x in xs]

    def block() -> None:
        for _ in range(STEPS):
            for k, w in enumerate(ws):
                np.matmul(xs[k], w, out=dxs[k + 1])
            for k in range(len(ws) - 1, -1, -1):
                np.matmul(xs[k].T, xs[k + 1], out=dws[k])
                if k:
                    np.matmul(xs[k + 1], ws[k].T, out=dxs[k])

    return block


def sklearn_of(sizes, data):
    from sklearn.neural_network import MLPClassifier

    x, y = np.ascontiguousarray(data.x[:ROWS]), data.y[:ROWS]
    net = MLPClassifier(
        tuple(sizes[1:-1]),
        solver="sgd",
        alpha=0.0,
        batch_size=BATCH,
        learning_rate_init=0.1,
        momentum=0.0,
        nesterovs_momentum=False,
    )
    net.partial_fit(x, y, classes=np.arange(sizes[-1]))
    return lambda: net.partial_fit(x, y)


def torch_of(sizes, data):
    import torch

    torch.set_num_threads(1)
    x, y = torch.from_numpy(np.ascontiguousarray(data.x[:ROWS])), torch.from_numpy(data.y[:ROWS])
    layers = []
    for i, o in pairwise(sizes):
        layers += [torch.nn.Linear(i, o), torch.nn.ReLU()]
    net, loss = torch.nn.Sequential(*layers[:-1]), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def block() -> None:
        order = torch.randperm(ROWS)
        for k in range(STEPS):
            index = order[k * BATCH : (k + 1) * BATCH]
            optimizer.zero_grad()
            loss(net(x[index]), y[index]).backward()
            optimizer.step()

    return block


def alternate(blocks, count, clock=time.perf_counter):
    """Seconds of each block of each contender, run in turn; the first round is a warm-up."""
    seconds = {name: [] for name in blocks}
    for k in range(count + 1):
        for name, block in blocks.items():
            begun = clock()
            block()
            if k:
                seconds[name].append(clock() - begun)
    return seconds


def expression_against_inplace(blocks):
    """The one-expression form of silu against the built-in in-place pair: value and pullback at
    100x100, float32.
    """
    from harness import activation
    from harness.registry.products import make

    @activation("silu_expression")
    def silu_expression(z, beta=1.0):
        return z / (1 + np.exp(-beta * z))

    z = np.random.default_rng(0).standard_normal((100, 100)).astype(np.float32)

    def runner(name):
        value, pullback = make("activation", name)
        scratch, a, da = np.empty_like(z), np.empty_like(z), np.empty_like(z)

        def block() -> None:
            for _ in range(200):
                np.copyto(scratch, z)  # the pullback may use it up
                value(np, scratch, a)
                da.fill(1)
                pullback(np, scratch, a, da)

        return block

    seconds = alternate(
        {"expression": runner("silu_expression"), "in place": runner("silu")}, blocks
    )
    ratios = [e / p for e, p in zip(seconds["expression"], seconds["in place"], strict=True)]
    one, other = (1e6 * statistics.median(seconds[k]) / 200 for k in ("expression", "in place"))
    return (
        f"silu, value and pullback at 100x100: {one:.0f} us as one expression, {other:.0f} us in "
        f"place, ratio " + (f"{statistics.median(ratios):.2f} (target: at most 4).")
    )


def populations(shape, batch, seeds, blocks):
    """Time of a member's trial in populations of 2, 4, ... 32 relative to the trial alone: medians
    over the blocks.

    A trial is 3 epochs of 50 steps with a validation part of a fifth, as in a sweep. Learning rates
    differ; with seeds "own" the order of the data does too. Processor time, so that a busy machine
    does no harm.
    """
    sizes, rng = [int(n) for n in shape.split("-")], np.random.default_rng(0)
    x = rng.integers(0, 256, (batch * 63, sizes[0]), dtype=np.uint8)
    source = from_arrays("random", x, rng.integers(0, sizes[-1], len(x)))
    base = Config(layers=mlp(sizes, activation="relu"), batch=batch, film=None)
    members = [
        base.replace(update=f"sgd({0.01 * (p + 1)})", seed=p * (seeds == "own"))
        for p in range(max(MEMBERS))
    ]
    data = prepare(base, source)

    def trial(count):
        return lambda: segment(members[0] if count == 1 else members[:count], data)

    seconds = alternate({count: trial(count) for count in (1, *MEMBERS)}, blocks, time.process_time)
    alone = statistics.median(seconds[1])
    ratios = [
        statistics.median(t / n / a for t, a in zip(seconds[n], seconds[1], strict=True))
        for n in MEMBERS
    ]
    cells = " | ".join(f"{ratio:.2f}" for ratio in ratios)
    pays = population_that_pays(base)
    return f"| {shape} | {batch} | {seeds} | {1000 * alone:.0f} | {cells} | {pays} |"


@sweep(name="bench", sampler="RandomSampler", seed=1, film="none")
def space(trial):
    return Config(
        layers=mlp(SIZES),
        update=f"sgd({trial.suggest_float('rate', 0.03, 1.0, log=True)})",
        epochs=2,
    )


def sweeps(rounds):
    """Sweeps of 10 and of 40 networks on the full MNIST, with one worker and with two, in turn.

    The difference is the time of 30 trials without what it takes to start. Beside it the
    milliseconds of a trial that the driver has spent on asking, writing, logging and shipping, in
    the sweep of 40.
    """
    from mlflow import MlflowClient

    print(
        f"{'-'.join(map(str, SIZES))}, 2 epochs of 48,000 digits, no film; medians of {rounds} "
        f"rounds"
    )
    print(f"{machine()}; harness {harness.__version__}\n")
    trial_s, spent = {1: [], 2: []}, {1: [], 2: []}
    for k in range(rounds):
        for workers in trial_s:
            with tempfile.TemporaryDirectory() as root:
                os.environ["HARNESS_ROOT"] = root
                seconds = []
                for trials in (10, 40):
                    begun = time.perf_counter()
                    space.run(name=f"{k} {workers} {trials}", workers=workers, trials=trials)
                    seconds.append(time.perf_counter() - begun)
                trial_s[workers].append((seconds[1] - seconds[0]) / 30)
                (run,) = MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db").search_runs(
                    ["1"],
                    f"tags.\"harness.kind\" = 'sweep' and attributes.run_name = '{k} {workers} 40'",
                )
                spent[workers].append([run.data.metrics[f"time/{what}_s"] / 0.04 for what in SPENT])
    print(
        f"| workers | s a trial | ms of it: {' | '.join(SPENT)} |\n|---|---|{'---|' * len(SPENT)}"
    )
    for workers, times in trial_s.items():
        cells = " | ".join(
            f"{statistics.median(column):.1f}" for column in zip(*spent[workers], strict=True)
        )
        print(f"| {workers} | {statistics.median(times):.3f} | {cells} |")
    ratio = statistics.median(a / b for a, b in zip(trial_s[1], trial_s[2], strict=True))
    print(
        f"\nTwo workers train {ratio:.2f} times as many trials in the same time (target: at "
        f"least 1.7)."
    )


def beside_the_idiom(rounds):
    """Whole commands of 24 and of 60 trials, two workers against two processes, in turn.

    The difference is the time of 36 trials without what it takes to start. The harness trains in
    populations where they pay, as it does by default; where they do, also each network alone.
    """
    print(f"{machine()}; harness {harness.__version__}; medians of {rounds} rounds\n")
    print("| network | which | s for 24 trials | s for 60 | ms a trial |\n|---|---|---|---|---|")
    here = Path(__file__).parent
    for shape in ("784-100-50-10", "64-32-10"):
        scripts = {
            "harness": ["idiom_harness.py"],
            "harness, population=1": ["idiom_harness.py", "1"],
            "idiom": ["idiom.py"],
        }
        if population_that_pays(_config_of(shape)) == 1:
            del scripts["harness, population=1"]
        seconds = {which: [] for which in scripts}
        for _ in range(rounds):
            for which, (script, *more) in scripts.items():
                times = [_command(here / script, shape, trials, more) for trials in (24, 60)]
                seconds[which].append(times)
        for which, times in seconds.items():
            few, many = (statistics.median(column) for column in zip(*times, strict=True))
            one = statistics.median((b - a) / 36 for a, b in times)
            print(f"| {shape} | {which} | {few:.1f} | {many:.1f} | {1000 * one:.0f} |", flush=True)


def _config_of(shape):
    sizes = [int(units) for units in shape.split("-")]
    return Config(layers=mlp(sizes), batch=idiom.SHAPES[shape]["batch"])


def _command(script, shape, trials, more=()):
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, script, folder, shape, str(trials), "2", *more],
            check=True,
            env={**os.environ, "HARNESS_ROOT": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--blocks", type=int, default=40, help="blocks of each contender (at least 30 for a report)"
    )
    parser.add_argument(
        "--populations",
        action="store_true",
        help="populations against networks alone, nothing else",
    )
    parser.add_argument(
        "--steps", type=int, metavar="BLOCKS", help="steps of several networks, nothing else"
    )
    parser.add_argument(
        "--sweeps", type=int, metavar="ROUNDS", help="one worker against two, nothing else"
    )
    parser.add_argument(
        "--idiom", type=int, metavar="ROUNDS", help="sweeps beside the idiom, nothing else"
    )
    parser.add_argument(
        "--ceiling", type=int, metavar="TRIALS", help="instant workers, nothing else"
    )
    given = parser.parse_args()
    if given.steps:
        print(machine())
        steps.table(given.steps)
        return
    if given.idiom:
        beside_the_idiom(given.idiom)
        return
    if given.ceiling:
        print(f"{machine()}; harness {harness.__version__}\n")
        ceiling.table(given.ceiling)
        return
    if given.sweeps:
        sweeps(given.sweeps)
        beside_the_idiom(given.sweeps)
        return
    blocks_wanted = given.blocks
    if given.populations:
        print(f"relu, sgd, float32, one thread; {blocks_wanted} alternating blocks")
        print(f"{machine()}; harness {harness.__version__}\n")
        print(
            f"| network | batch | seeds | ms alone | {' | '.join(f'of {n}' for n in MEMBERS)} | "
            f"auto |"
        )
        print(f"|---|---|---|---|{'---|' * len(MEMBERS)}---|")
        for seeds in ("one", "own"):
            for batch in (32, 100):
                for shape in SHAPES:
                    print(populations(shape, batch, seeds, blocks_wanted), flush=True)
        return
    ours, data = steps_of(SIZES)
    contenders = {
        "harness": ours,
        "its matrix products alone": products_of(SIZES),
        "scikit-learn MLPClassifier": sklearn_of(SIZES, data),
    }
    try:
        contenders["PyTorch eager"] = torch_of(SIZES, data)
    except ImportError:
        print("PyTorch cannot be imported here and is left out.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds = alternate(contenders, blocks_wanted)
    print(
        f"\n{'-'.join(map(str, SIZES))}, batch {BATCH}, relu, sgd, float32, one thread; "
        f"{blocks_wanted} alternating blocks of {STEPS} steps"
    )
    print(f"{machine()}; harness {harness.__version__}\n")
    print("| | us a step, median | ratio to harness, median | quartiles |\n|---|---|---|---|")
    for name, times in seconds.items():
        ratios = [t / h for t, h in zip(times, seconds["harness"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {name} | {1e6 * statistics.median(times) / STEPS:.0f} | {middle:.2f} | {low:.2f} "
            f"to {high:.2f} |"
        )
    against = [
        h / p for h, p in zip(seconds["harness"], seconds["its matrix products alone"], strict=True)
    ]
    print(
        f"\nA whole step takes {statistics.median(against):.2f} times its own matrix products "
        f"(target: at most 1.8)."
    )
    print(f"\n{expression_against_inplace(blocks_wanted)}")


if __name__ == "__main__":
    main()
