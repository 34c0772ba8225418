"""Speed as ratios: things run in turn, in blocks of steps, in one process on one thread; medians over the blocks.

    tox -e bench                                  python tests/bench.py [--blocks 40]

Prints a Markdown table with the machine's name. PyTorch takes part where it can be imported.
"""

import harness  # isort: skip  # first: it sets one BLAS thread

import argparse
import platform
import statistics
import time
import warnings
from itertools import pairwise

import numpy as np

from harness import Config, mlp
from harness.ops import cpu as ops
from harness.train import construct, feeder, prepare

SIZES, BATCH, STEPS = [784, 100, 50, 10], 100, 50
ROWS = BATCH * STEPS


def machine() -> str:
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}"


def steps_of(sizes, activation="relu", update="sgd(0.1)", batch=BATCH, seed=0):
    """One block of training steps as `segment` runs them: gather, forward, loss, backward, update."""
    config = Config(
        layers=mlp(sizes, activation=activation), update=update, batch=batch, film=None, valid=0.9, seed=seed
    )
    data = prepare(config)
    network = construct([config], data, True)
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
    """The matrix products that such a step cannot do without, into ready buffers, and nothing else."""
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


def alternate(blocks, count):
    """Seconds of each block of each contender, run in turn; the first round is a warm-up."""
    seconds = {name: [] for name in blocks}
    for k in range(count + 1):
        for name, block in blocks.items():
            begun = time.perf_counter()
            block()
            if k:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def expression_against_inplace(blocks):
    """The one-expression form of silu against the built-in in-place pair: value and pullback at 100x100, float32."""
    from harness import activation
    from harness.registry import make

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

    seconds = alternate({"expression": runner("silu_expression"), "in place": runner("silu")}, blocks)
    ratios = [e / p for e, p in zip(seconds["expression"], seconds["in place"], strict=True)]
    one, other = (1e6 * statistics.median(seconds[k]) / 200 for k in ("expression", "in place"))
    return f"silu, value and pullback at 100x100: {one:.0f} us as one expression, {other:.0f} us in place, ratio " + (
        f"{statistics.median(ratios):.2f} (target: at most 4)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=40, help="blocks of each contender (at least 30 for a report)")
    blocks_wanted = parser.parse_args().blocks
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
        print(f"| {name} | {1e6 * statistics.median(times) / STEPS:.0f} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    against = [h / p for h, p in zip(seconds["harness"], seconds["its matrix products alone"], strict=True)]
    print(f"\nA whole step takes {statistics.median(against):.2f} times its own matrix products (target: at most 1.8).")
    print(f"\n{expression_against_inplace(blocks_wanted)}")


if __name__ == "__main__":
    main()
