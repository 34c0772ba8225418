"""The segment: the training between two decisions, as a pure function."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.engine.network import Network, Step
from harness.ops import debug, ops_for, stream
from harness.training.batches import Batches, check, feeder
from harness.training.networks import construct, film_path, film_steps, keep, rebuilt
from harness.training.prepared import Data
from harness.training.scoring import host, measure
from harness.training.state import (
    Record,
    State,
    array_names,
    arrays_of,
    fresh,
    named_state,
    restore,
)
from harness.training.weights import weighted_targets


@foreign("a plugin")
def segment(
    config: Any, data: Data, state: Any = None, epochs: int | None = None
) -> tuple[Any, Any]:
    """Trains for some epochs: (state, records).

    config: a Config, or a list of Configs of one shape (then state and records are lists, one for
    each member). state: None to start, else what the last segment returned. epochs: how many, at
    most; None for all that are left.
    """
    return _segment(config, data, state, epochs)


def _segment(config: Any, data: Data, state: Any, epochs: int | None) -> tuple[Any, Any]:
    alone = isinstance(config, Config)
    configs: list[Config] = [config] if alone else list(config)
    states: list[State] | None = (
        None if state is None else [dict(s) for s in ([state] if alone else state)]
    )
    first = configs[0]
    ops = ops_for(first.device)
    batches = check(first, data)
    per_epoch = batches.steps
    total = first.epochs * per_epoch
    lead = () if alone else (len(configs),)
    key = (tuple(c.digest() for c in configs), alone, data.source.digest, debug.on)
    network = (
        construct(configs, data, alone) if states is None else rebuilt(configs, data, alone, key)
    )
    arena, shooting, where = (
        network.arena,
        film_steps(first, total),
        film_path(network, data.x.shape[1]),
    )
    if states is None:
        network.initialize()
        states = [fresh() for _ in configs]
        if where and 0 in shooting:
            _shoot(states, network, where, 0, alone)
    else:
        stacked = {
            k: states[0][k] if alone else np.stack([s[k] for s in states])
            for k in array_names(states[0])
        }
        restore(network, stacked)
    done = max(s["epoch"] for s in states)  # a member that stopped stays at its own epoch
    step = done * per_epoch
    last = first.epochs if epochs is None else min(first.epochs, done + epochs)
    own_order = len({_order_seed(c) for c in configs}) > 1
    t_train = weighted_targets(first, data, ops)

    def over(rows: int, step: Step) -> Callable[[Any, float], Any]:
        """A training step on the examples of an index (..., rows), with buffers of its own."""
        own = lead if own_order else ()
        xb, fill = feeder(data, ops, own, rows)
        tb = ops.empty((*own, rows, t_train.shape[1]), t_train.dtype)

        def train_on(index: Any, fraction: float) -> Any:
            fill(index)
            ops.gather(t_train, index, tb)
            return step(xb, tb, fraction)

        return train_on

    steps = [over(batches.rows, network.step)] * batches.whole
    if network.last_step is not None:
        steps.append(over(batches.last, network.last_step))
    losses = ops.empty((*lead, per_epoch), data.x.dtype)
    film_set = frozenset(shooting)
    left: dict[int, State] = {}  # members that have stopped: their arrays as they were then
    records: list[list[Record]] = [[] for _ in configs]
    with ops.quiet():
        for epoch in range(done + 1, last + 1):
            for p, each_state in enumerate(states):
                if each_state["stopped"] and p not in left:
                    left[p] = arrays_of(network, alone, p)
            if len(left) == len(states):
                break
            network.rekey(epoch)
            orders = [
                _order(c, epoch, len(data.x)) for c in (configs if own_order else configs[:1])
            ]
            order = ops.asarray(orders[0] if not own_order else np.stack(orders))
            ops.synchronize()
            filming, begun = 0.0, time.perf_counter()
            for k, train_on in enumerate(steps):
                index = order[..., k * batches.rows : (k + 1) * batches.rows]
                losses[..., k] = train_on(index, step / total)
                step += 1
                if step in film_set and where:
                    ops.synchronize()
                    shot = time.perf_counter()
                    _shoot(states, network, where, step, alone, left)
                    filming += time.perf_counter() - shot
            ops.synchronize()
            trained = time.perf_counter() - begun - filming
            begun = time.perf_counter()
            kept = None
            if network.theta is not None:
                kept = arena.value.copy()
                arena.value[...] = network.theta()
            metrics = measure(network, configs, data)
            evaluated = time.perf_counter() - begun
            host_losses, theta = host(losses), host(arena.value)
            spent = {"train_s": trained, "evaluate_s": evaluated, "capture_s": filming}
            seconds = {k: v / len(configs) for k, v in spent.items()}  # a member's share
            for p, each in enumerate(configs):
                if p in left:
                    continue
                row, weights = (host_losses, theta) if alone else (host_losses[p], theta[p])
                own = {k: float(v if alone else v[p]) for k, v in metrics.items()}
                record = _record(epoch, step, row, batches, weights, own, seconds)
                statistics = {
                    k: host(v if alone else v[p])
                    for k, v in named_state(network).items()
                    if k.startswith("layer/")
                }
                _follow(
                    each,
                    states[p],
                    record,
                    {"theta": weights, **statistics},
                    bool(data.x_valid.shape[0]),
                )
                records[p].append(record)
            if kept is not None:
                arena.value[...] = kept
    for p, each_state in enumerate(states):
        each_state |= left[p] if p in left else arrays_of(network, alone, p)
        each_state["step"] = each_state["epoch"] * per_epoch
    if last < first.epochs and not all(each_state["stopped"] for each_state in states):
        keep(key, network)
    return (states[0], records[0]) if alone else (states, records)


def early_stop(config: Config, state: State, records: list[Record]) -> str:
    """Says of a network that early stopping has ended where it stands and which epoch was the best;
    else "".
    """
    if (
        config.patience is None
        or not records
        or records[-1].bad_step is not None
        or not state["stopped"]
    ):
        return ""
    last = records[-1].epoch
    lowest = last - state["waited"]
    kept = f"; kept are the weights of epoch {state['best/epoch']}" if "best/epoch" in state else ""
    return (
        f"stopped early after epoch {last} of {config.epochs}: the validation loss was lowest at "
        f"epoch {lowest}, "
        f"{state['lowest']:.4f}{kept}"
    )


def _order_seed(config: Config) -> int:
    return config.seed if config.order_seed is None else config.order_seed


def _order(config: Config, epoch: int, n: int) -> np.ndarray:
    return np.random.Generator(
        np.random.Philox(stream(_order_seed(config), "order", epoch))
    ).permutation(n)


def _shoot(
    states: list[State], network: Network, where: str, step: int, alone: bool, left: Any = ()
) -> None:
    """A copy of the filmed weights into the state of each member that has not stopped."""
    weights = host(network.arena.view(network.arena.value, where))
    for p, state in enumerate(states):
        if p in left:
            continue
        state["film/steps"] = [*state["film/steps"], step]
        state["film/frames"] = [*state["film/frames"], (weights if alone else weights[p]).copy()]


def _record(
    epoch: int,
    step: int,
    losses: np.ndarray,
    batches: Batches,
    theta: np.ndarray,
    metrics: dict[str, float],
    seconds: dict[str, float],
) -> Record:
    bad = np.flatnonzero(~np.isfinite(losses))
    first_bad = step - len(losses) + int(bad[0]) + 1 if len(bad) else None
    if first_bad is None and not (
        np.isfinite(metrics.get("valid/loss", 0.0)) and np.isfinite(theta).all()
    ):
        first_bad = step  # the last update broke the weights
    mean = np.mean(losses, dtype=np.float64)
    if batches.last:  # over the examples, of which the last step has fewer
        mean = np.average(losses.astype(np.float64), weights=batches.sizes)
    metrics = {"train/loss": float(mean), **metrics}
    return Record(epoch, step, metrics, losses.copy(), dict(seconds), first_bad)


def _follow(
    config: Config, state: State, record: Record, arrays: dict[str, np.ndarray], has_valid: bool
) -> None:
    """Keeps what depends on the course so far: the best epoch, early stopping, divergence."""
    state["epoch"] = record.epoch
    if record.bad_step is not None:
        state["stopped"] = 1
        return
    if not has_valid:
        return
    entry = registry.find("metric", config.metric["name"])
    value = record.metrics[f"valid/{config.metric['name']}"] * (
        1 if entry.options["direction"] == "maximize" else -1
    )
    if config.select == "best" and value > state.get("best/value", -np.inf):
        state.update({"best/value": value, "best/epoch": record.epoch})
        # Weights and running statistics
        state.update({f"best/{k}": np.array(v) for k, v in arrays.items()})
    if config.patience is not None:
        lower = record.metrics["valid/loss"] < state.get("lowest", np.inf)
        state["waited"] = 0 if lower else state["waited"] + 1
        state["lowest"] = min(record.metrics["valid/loss"], state.get("lowest", np.inf))
        state["stopped"] = int(state["waited"] >= config.patience)
