"""The cost of a training step beside its own matrix products, for networks of several kinds.

`python tests/bench.py --steps [BLOCKS]` prints the table, and one of what a layer adds to the step
of the same network with relu alone. PyTorch (eager) and JAX (a whole block of
steps compiled as one program, `lax.scan`) take part where they can be imported.
"""

import harness  # isort: skip  # first: it sets one BLAS thread

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from harness import Config
from harness.data import from_arrays
from harness.expressions import backend
from harness.ops import cpu as ops
from harness.training.batches import feeder
from harness.training.networks import construct
from harness.training.prepare import prepare

Block = Callable[[], None]


@dataclass(frozen=True)
class Network:
    """What is trained: sizes, what stands behind each hidden dense layer, the rule; and how many.

    Members of a population differ in their learning rate, and have one seed, as in a sweep.
    """

    sizes: tuple[int, ...]
    batch: int
    behind: tuple[str, ...] = ("relu",)
    rule: str = "sgd(0.1)"
    members: int = 1
    dtype: str = "float32"

    @property
    def layers(self) -> list[str]:
        hidden = [name for units in self.sizes[1:-1] for name in (f"dense({units})", *self.behind)]
        return [*hidden, f"dense({self.sizes[-1]})"]

    @property
    def steps(self) -> int:
        """The steps of a block: about a tenth of a second."""
        products = sum(6 * i * o * self.batch for i, o in pairwise(self.sizes))
        return max(8, min(400, int(0.1 / (self.members * products / 40e9 + 40e-6))))

    @property
    def lead(self) -> tuple[int, ...]:
        return () if self.members == 1 else (self.members,)

    def __str__(self) -> str:
        shape = "-".join(map(str, self.sizes))
        many = f"{self.members} of " if self.lead else ""
        rule = self.rule.split("(")[0]
        kind = "" if self.dtype == "float32" else f", {self.dtype}"
        return f"{many}{shape}, batch {self.batch}, {', '.join(self.behind)}, {rule}{kind}"


MAIN = (784, 100, 50, 10)
NETWORKS = [
    Network(MAIN, 100),
    Network(MAIN, 100, ("gelu",), "adam(0.001)"),
    Network(MAIN, 100, ("tanh", "dropout(0.5)"), "momentum(0.1)"),
    Network((784, 800, 10), 100),
    Network((784, 1024, 1024, 1024, 10), 128),
    Network((64, 32, 10), 32),
    Network((64, 32, 10), 32, members=8),
    Network(MAIN, 100, ("batch_norm", "relu")),
    Network(MAIN, 100, ("layer_norm", "relu")),
    Network(MAIN, 100, ("prelu",)),
    Network(MAIN, 100, ("maxout(50)",)),
    Network(MAIN, 100, ("glu(50)",)),
    Network(MAIN, 100, dtype="float64"),
    Network(MAIN, 100, ("gelu",), "adam(0.001)", dtype="float64"),
]


def data_of(network: Network) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = network.steps * network.batch
    x = rng.integers(0, 256, (rows, network.sizes[0]), dtype=np.uint8)
    return x, rng.integers(0, network.sizes[-1], rows)


def ours(network: Network, kernels: str) -> Block:
    """A block of steps as `segment` runs them: gather, forward, loss, backward, update."""
    x, y = data_of(network)
    config = Config(
        layers=network.layers,
        update=network.rule,
        batch=network.batch,
        dtype=network.dtype,
        film=None,
        valid=0.0,
    )
    data = prepare(config, from_arrays("random", x, y))
    with backend.using(kernels):
        rates = [
            float(network.rule.rstrip(")").split("(")[1]) / k for k in range(1, 1 + network.members)
        ]
        name = network.rule.split("(")[0]
        members = [config.replace(update=f"{name}({rate})") for rate in rates]
        built = construct(members if network.lead else config, data)
        built.initialize()
        built.rekey(1)
        xb, fill = feeder(data, ops, (), network.batch)
        tb = np.empty((network.batch, network.sizes[-1]), network.dtype)
        rng = np.random.default_rng(0)
        losses = np.empty((*network.lead, network.steps), network.dtype)

        def block() -> None:
            order = rng.permutation(len(y))
            with ops.quiet():
                for k in range(network.steps):
                    index = order[k * network.batch : (k + 1) * network.batch]
                    fill(index)
                    ops.gather(data.t, index, tb)
                    losses[..., k] = built.step(xb, tb, 0.0)

        block()  # loops are compiled, and plans are made, with this backend
    return block


def products(network: Network) -> Block:
    """The matrix products that such a step cannot do without, into ready buffers."""
    rng = np.random.default_rng(0)
    lead = network.lead
    dtype: Any = np.dtype(network.dtype)
    xs = [rng.standard_normal((*lead, network.batch, n), dtype=dtype) for n in network.sizes]
    ws = [rng.standard_normal((*lead, *ab), dtype=dtype) for ab in pairwise(network.sizes)]
    # Members of one seed see the same rows.
    xs[0] = rng.standard_normal((network.batch, network.sizes[0]), dtype=dtype)
    dws = [np.empty_like(w) for w in ws]
    outs = [np.empty_like(x) for x in xs]

    def block() -> None:
        for _ in range(network.steps):
            for k, w in enumerate(ws):
                np.matmul(xs[k], w, out=outs[k + 1])
            for k in range(len(ws) - 1, -1, -1):
                np.matmul(xs[k].swapaxes(-1, -2), xs[k + 1], out=dws[k])
                if k:
                    np.matmul(xs[k + 1], ws[k].swapaxes(-1, -2), out=outs[k])

    return block


def torch_eager(network: Network) -> Block:
    if network.lead:
        raise NotImplementedError
    import torch
    from torch import nn

    torch.set_num_threads(1)
    behind = {
        "relu": lambda units: nn.ReLU(),
        "gelu": lambda units: nn.GELU(),
        "tanh": lambda units: nn.Tanh(),
        "dropout(0.5)": lambda units: nn.Dropout(0.5),
        "batch_norm": nn.BatchNorm1d,
        "layer_norm": nn.LayerNorm,
        "prelu": nn.PReLU,
    }
    layers: list[Any] = []
    for i, o in pairwise(network.sizes[:-1]):
        layers += [nn.Linear(i, o), *(behind[name](o) for name in network.behind)]
    net = nn.Sequential(*layers, nn.Linear(*network.sizes[-2:])).to(getattr(torch, network.dtype))
    name, rate = network.rule.rstrip(")").split("(")
    optimizer: Any = torch.optim.SGD(
        net.parameters(), lr=float(rate), momentum=0.9 * (name == "momentum")
    )
    if name == "adam":
        optimizer = torch.optim.Adam(net.parameters(), lr=float(rate))
    x, y = data_of(network)
    features = torch.from_numpy((x / 255).astype(network.dtype))
    targets = torch.from_numpy(y)
    loss = nn.CrossEntropyLoss()

    def block() -> None:
        order = torch.randperm(len(y))
        for k in range(network.steps):
            index = order[k * network.batch : (k + 1) * network.batch]
            optimizer.zero_grad()
            loss(net(features[index]), targets[index]).backward()
            optimizer.step()

    return block


def jax_scan(network: Network) -> Block:
    """All steps of a block as one compiled program; members of a population through vmap."""
    if network.behind not in (("relu",), ("gelu",)) or network.dtype != "float32":
        raise NotImplementedError
    import jax
    import jax.numpy as jnp

    act = {"relu": jax.nn.relu, "gelu": lambda z: jax.nn.gelu(z, approximate=False)}
    f = act[network.behind[0]]
    adam = network.rule.startswith("adam")
    rate = float(network.rule.rstrip(")").split("(")[1])
    x, y = data_of(network)
    bytes_ = jnp.asarray(x)
    targets = jnp.asarray(y)
    rng = np.random.default_rng(0)
    theta = [
        (
            jnp.asarray(rng.standard_normal((i, o)) * np.sqrt(2 / i), jnp.float32),
            jnp.zeros(o, jnp.float32),
        )
        for i, o in pairwise(network.sizes)
    ]

    def loss_of(theta: Any, xb: Any, tb: Any) -> Any:
        for k, (w, b) in enumerate(theta):
            xb = xb @ w + b
            if k < len(theta) - 1:
                xb = f(xb)
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(xb), tb[:, None], 1))

    def update(theta: Any, m: Any, v: Any, g: Any, step: Any, rate: Any) -> Any:
        tree = jax.tree_util.tree_map
        if not adam:
            return tree(lambda w, d: w - rate * d, theta, g), m, v
        m = tree(lambda a, d: 0.9 * a + 0.1 * d, m, g)
        v = tree(lambda a, d: 0.999 * a + 0.001 * d * d, v, g)
        c1 = 1 / (1 - 0.9**step)
        c2 = 1 / (1 - 0.999**step)
        theta = tree(lambda w, a, b: w - rate * a * c1 / (jnp.sqrt(b * c2) + 1e-8), theta, m, v)
        return theta, m, v

    def member(carry: Any, rate: Any, xb: Any, tb: Any) -> Any:
        theta, m, v, step = carry
        value, g = jax.value_and_grad(loss_of)(theta, xb, tb)
        theta, m, v = update(theta, m, v, g, step + 1.0, rate)
        return (theta, m, v, step + 1.0), value

    # Members differ in their learning rate, and see the same rows.
    members = jax.vmap(member, in_axes=(0, 0, None, None)) if network.lead else member

    @jax.jit
    def run(carry: Any, order: Any) -> Any:
        def one(carry: Any, index: Any) -> Any:
            return members(carry, rates, bytes_[index].astype(jnp.float32) / 255, targets[index])

        return jax.lax.scan(one, carry, order)

    zeros = jax.tree_util.tree_map(jnp.zeros_like, theta)
    first: Any = (theta, zeros, zeros, 0.0)
    rates: Any = rate
    if network.lead:
        rates = rate / jnp.arange(1.0, 1.0 + network.members)
        first = jax.tree_util.tree_map(
            lambda a: jnp.stack([jnp.asarray(a)] * network.members), first
        )
    carry = [first]

    def block() -> None:
        order = rng.permutation(len(y)).reshape(network.steps, network.batch)
        carry[0], losses = run(carry[0], order)
        losses.block_until_ready()

    return block


CONTENDERS: dict[str, Callable[[Network], Block]] = {
    "its products": products,
    "harness": lambda network: ours(network, "numba"),
    "harness, NumPy passes": lambda network: ours(network, "numpy"),
    "PyTorch eager": torch_eager,
    "JAX scan": jax_scan,
}


def measured(network: Network, blocks: int) -> str:
    """One row of the table: microseconds a step, and the median ratio to the products."""
    contenders: dict[str, Block] = {}
    for name, contender in CONTENDERS.items():
        try:
            contenders[name] = contender(network)
        except (ImportError, KeyError, NotImplementedError):
            continue
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for k in range(blocks + 1):
        for name, block in contenders.items():
            begun = time.perf_counter()
            block()
            if k:  # the first round is a warm-up
                seconds[name].append((time.perf_counter() - begun) / network.steps)
    cells = []
    for name in CONTENDERS:
        if name not in seconds:
            cells.append("-")
            continue
        ratios = [a / b for a, b in zip(seconds[name], seconds["its products"], strict=True)]
        middle = 1e6 * statistics.median(seconds[name])
        cells.append(f"{middle:.0f} us, {statistics.median(ratios):.2f}")
    return f"| {network} | {' | '.join(cells)} |"


def beside_relu(networks: list[Network], blocks: int) -> None:
    """Print what networks take beside the first of them, all of them in turn."""
    contenders = [ours(network, "numba") for network in networks]
    seconds: list[list[float]] = [[] for _ in networks]
    for _ in range(blocks):
        for block, taken in zip(contenders, seconds, strict=True):
            begun = time.perf_counter()
            block()
            taken.append(time.perf_counter() - begun)
    print(f"\n| | beside {networks[0]}: median, quartiles |\n|---|---|")
    for network, taken in zip(networks[1:], seconds[1:], strict=True):
        ratios = [a / b for a, b in zip(taken, seconds[0], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {', '.join(network.behind)} | {middle:.2f}, {low:.2f} to {high:.2f} |")


def table(blocks: int) -> None:
    """Print the tables, row by row."""
    # XLA would use all cores.
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"
    print(f"harness {harness.__version__}; one thread; {blocks} alternating blocks")
    print(f"| | {' | '.join(CONTENDERS)} |")
    print(f"|---|{'---|' * len(CONTENDERS)}")
    for network in NETWORKS:
        print(measured(network, blocks), flush=True)
    same = [
        each
        for each in NETWORKS
        if (each.sizes, each.rule, each.dtype) == (MAIN, NETWORKS[0].rule, "float32")
    ]
    beside_relu(same, 4 * blocks)
