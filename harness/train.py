"""Training as a fold: segment(config, data, state, epochs) -> (state, records). No I/O, no callbacks, no clock in the
result.

The same config, data and state give the same next state and metrics, bit for bit, whichever process runs it. A list of
configs of one shape trains as a population: states and records are then one per member, equal to those of the member
trained alone.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config, stack
from harness.data import Dataset, Fitted, apply_scale, describe, fit, indicator, load_for, split
from harness.engine import Network, Step, build
from harness.errors import PluginError, UsageError, argument, in_layer, option
from harness.losses import weighing
from harness.ops import debug, ops_for, stream
from harness.steps import steps as chosen_steps

State = dict[str, Any]  # named arrays and whole numbers: everything that the next segment needs


@dataclass
class Record:
    """One epoch of one network. `losses` are the mean losses of its steps, each over the rows that it has; `bad_step`
    the first step that was not finite."""

    epoch: int
    step: int
    metrics: dict[str, float]
    losses: np.ndarray
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    bad_step: int | None = None


class Data(NamedTuple):
    """A data set ready for training: scaled, split, on the device. x (N, I), t (N, O) rows, y labels or rows on the
    host."""

    source: Dataset
    x: Any
    t: Any
    y: np.ndarray
    x_valid: Any
    t_valid: Any
    y_valid: np.ndarray
    fitted: Fitted
    raw: Any = None  # x as bytes, where scaling is a division: a batch of bytes is gathered in half the time
    weights: np.ndarray | None = None  # (N,) of the training rows, as the user gave them


_prepared: OrderedDict[tuple[Any, ...], Data] = OrderedDict()
_fitted: dict[tuple[Any, ...], Fitted] = {}
_MOST_FITTED = 64


def prepare(config: Config, dataset: Dataset | None = None, fitted: Fitted | None = None) -> Data:
    """Loads, splits, encodes and scales the data of a config, once per process (the last two are kept).

    fitted: what an earlier training part has decided, instead of this one. UsageError where it does not fit.
    """
    source = dataset if dataset is not None else load_for(config.data, config.missing)
    key = (
        source.digest,
        source.name,
        source.shape,
        config.valid,
        config.split_seed,
        config.scale,
        config.dtype,
        config.device,
        None if fitted is None else fitted.digest(),
    )
    if key in _prepared:
        _prepared.move_to_end(key)
        return _prepared[key]
    ops, dtype = ops_for(config.device), np.dtype(config.dtype)
    train, valid = parts(config, source)
    if fitted is None:
        fitted, x = fit(source, train, config.scale)
    else:
        x = fitted.features(source.table(train))
    x_valid = fitted.features(source.table(valid))
    y, y_valid = source.y[train], source.y[valid]
    rows = [targets(source, each, dtype) for each in (y, y_valid)]
    put = [ops.asarray(apply_scale(each, *fitted.scaling, dtype)) for each in (x, x_valid)]
    raw = ops.asarray(x) if x.dtype == np.uint8 and fitted.scaling[1].ndim == 0 else None
    weights = None if source.weights is None else source.weights[train]
    data = Data(source, put[0], ops.asarray(rows[0]), y, put[1], ops.asarray(rows[1]), y_valid, fitted, raw, weights)
    _prepared[key] = data
    while len(_prepared) > 2:
        _prepared.popitem(last=False)
    return data


def parts(config: Config, source: Dataset) -> tuple[Any, Any]:
    """The rows of a data set to train on, and those for validation: its own, or as the config splits it."""
    if source.valid_rows:
        rows = len(source.y) - source.valid_rows
        return slice(rows), slice(rows, None)
    if config.valid > 0:
        return split(source, config.valid, config.split_seed)
    return slice(None), slice(0)


def fitted_for(config: Config) -> tuple[Dataset, Fitted]:
    """A config's data set, and what its training part decides; the last ones are kept."""
    source = load_for(config.data, config.missing)
    key = source.digest, source.features, config.valid, config.split_seed, config.scale
    if key not in _fitted:
        _fitted[key] = fit(source, parts(config, source)[0], config.scale)[0]
        while len(_fitted) > _MOST_FITTED:
            del _fitted[next(iter(_fitted))]
    return source, _fitted[key]


def resolved(config: Config) -> dict[str, Any]:
    """What identifies a config: its settings with all that its data decides, such as the scale "auto".

    UsageError where the data cannot be had. `inputs` is but a check, and is left out.
    """
    source, fitted = fitted_for(config)
    unused = ["inputs", "data", "missing"]
    if source.valid_rows:
        unused += ["valid", "split_seed"]
    settings = {name: value for name, value in config.settings().items() if name not in unused}
    held = source.valid_rows or round(config.valid * len(source.y))
    settings.pop("drop_last", None)
    settings["batch"] = batches_of(config, len(source.y) - held)  # as the rows come out
    return {**settings, "data": source.digest, "shape": source.shape, "scale": fitted.scale, "fitted": fitted.digest()}


def decided(config: Config) -> str:
    """What has been guessed and decided of a config's data, in a line for its user; empty where nothing was."""
    source, fitted = fitted_for(config)
    return "; ".join([*source.notes, *describe(fitted, config.scale)])


def targets(source: Dataset, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Labels (N,) -> indicator rows (N, K); rows of a regression stay rows."""
    return indicator(y, len(source.classes), dtype) if source.task == "classification" else y.astype(dtype)


def feeder(data: Data, ops: Any, lead: tuple[int, ...], batch: int) -> tuple[Any, Callable[[Any], None]]:
    """(xb, fill): fill(index) writes the scaled rows of a batch into xb (..., B, I); index is (..., B)."""
    xp, features = ops.xp, data.x.shape[1]
    xb = ops.empty((*lead, batch, features), data.x.dtype)
    if data.raw is None:
        return xb, lambda index: ops.gather(data.x, index, xb)
    raw, divisor = ops.empty(xb.shape, data.raw.dtype), xb.dtype.type(data.fitted.scaling[1])

    def fill(index: Any) -> None:
        ops.gather(data.raw, index, raw)
        xp.copyto(xb, raw)
        xp.divide(xb, divisor, out=xb)  # the same bits as those of data.x

    return xb, fill


class Batches(NamedTuple):
    """How the rows of an epoch are cut into steps."""

    rows: int  # of each whole batch
    whole: int  # how many of those there are
    last: int  # rows of the shorter batch after them; 0 where there is none

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return self.whole + bool(self.last)

    @property
    def sizes(self) -> list[int]:
        """The rows of each step."""
        return [self.rows] * self.whole + [self.last] * bool(self.last)


def batches_of(config: Config, rows: int) -> Batches:
    """How a config cuts so many rows of a training part into batches; none is whole where drop_last leaves out all."""
    batch = rows if config.batch == "full" else config.batch
    if config.drop_last:
        return Batches(batch, rows // batch, 0)
    batch = min(batch, rows)
    return Batches(batch, rows // batch, rows % batch)


def check(config: Config, data: Data) -> Batches:
    """The batches of a config on its data, or a UsageError that says what does not fit."""
    n, features = data.x.shape
    if config.inputs is not None and config.inputs != features:
        raise UsageError(
            f"the network takes {config.inputs} inputs but data set {data.source.name!r} has {features} features; "
            f"give {argument('sizes')} that start with {features}, or with None for as many as there are"
        )
    batches = batches_of(config, n)
    if not batches.whole:
        raise UsageError(
            f"with {argument('drop_last')} {argument('batch')} must not exceed the training part, got "
            f"{batches.rows} for {n} examples; choose a smaller batch or 'full', or leave {argument('drop_last')} out"
        )
    if not len(data.y_valid) and (config.patience is not None or config.select == "best"):
        asked = argument("patience") if config.patience is not None else option("select", "best")
        raise UsageError(f"{asked} needs a validation part, got {option('valid', 0)}; give a share such as 0.2")
    if config.class_weight is not None:
        class_weights(config, data.source.name, data.source.classes)
    entry = registry.find("metric", config.metric["name"])
    if entry.options["task"] != data.source.task:
        raise UsageError(
            f"metric {entry.name!r} is for {entry.options['task']}, data set {data.source.name!r} is for "
            f"{data.source.task}; choose another metric"
        )
    return batches


def example_weights(config: Config, data: Data) -> np.ndarray | None:
    """w_i = s_i c_(y_i), times what makes their mean 1: the weight (N,) of each training row in the loss; or None.

    s_i is the row's own weight, 1 where there is none. c_k is the weight of class k: that of a dict, or for "balanced"
    one over the sum of s_i in the class. As the mean is 1, only the ratios of weights count, the learning rate keeps
    its meaning, and a row of weight 3 in a full batch is the same as three rows.
    """
    if config.class_weight is None and data.weights is None:
        return None
    weights = np.ones(len(data.y)) if data.weights is None else data.weights.astype(np.float64)
    if config.class_weight is not None:
        classes = data.source.classes
        if config.class_weight == "balanced":
            totals = np.bincount(data.y, weights, len(classes))
            of_class = 1.0 / np.where(totals > 0, totals, 1.0)
        else:
            of_class = class_weights(config, data.source.name, classes)
        weights = weights * of_class[data.y]
    total = weights.sum()
    if not total > 0:
        raise UsageError("some row of the training part must have a weight above 0, but all are 0; correct the weights")
    return weights * (len(weights) / total)


def _weighted_targets(config: Config, data: Data, ops: Any) -> Any:
    """The targets (N, O), with the weights of the examples as one column more where they have some."""
    weights = example_weights(config, data)
    if weights is None:
        return data.t
    t = ops.empty((len(data.t), data.t.shape[1] + 1), data.t.dtype)
    t[:, :-1] = data.t
    t[:, -1] = ops.asarray(weights, data.t.dtype)
    return t


def class_weights(config: Config, name: str, classes: tuple[str, ...]) -> np.ndarray:
    """The weights (K,) that a config gives to the classes of a data set; UsageError where it names others."""
    if not classes:
        raise UsageError(f"class_weight is for classes, and data set {name!r} has none; leave it out")
    if config.class_weight == "balanced":
        return np.ones(len(classes))
    for label in config.class_weight:
        if label not in classes:
            raise UsageError(
                f"class_weight must name the classes of data set {name!r}, got {label!r}; "
                f"{registry.suggest(label, classes)}"
            )
    missing = [label for label in classes if label not in config.class_weight]
    if missing:
        raise UsageError(
            f"class_weight must name every class, but {missing[0]!r} is missing; give it a weight, such as 1"
        )
    return np.array([config.class_weight[label] for label in classes])


def planned_steps(config: Config, data: Data) -> int:
    """How many training steps the whole run has."""
    return config.epochs * check(config, data).steps


@foreign("a plugin")
def construct(configs: list[Config], data: Data, alone: bool, rows: int | None = None) -> Network:
    """The network of a config, or of a population. `rows` overrides the batch size."""
    config = configs[0]
    batches = Batches(rows, 1, 0) if rows else check(config, data)
    merged = config if alone else stack(configs)
    loss, takes = merged.loss, registry.find("loss", merged.loss["name"]).parameters
    labels, columns = data.source.task == "classification", data.t.shape[1]
    if "two_classes" in takes:
        loss = {**loss, "two_classes": labels and columns == 2}
    network = build(
        merged.layers, data.x.shape[1], loss=weighing(registry.make("loss", loss), columns), rule=merged.update,
        seeds=[c.seed for c in configs],
        lead=() if alone else (len(configs),), batch=batches.rows, last_batch=batches.last,
        eval_batch=config.eval_batch, dtype=config.dtype, ops=ops_for(config.device),
    )  # fmt: skip
    single = network.outputs == 1 and loss.get("two_classes", False)
    if network.outputs != columns and not single:
        what = f"{columns} classes" if labels else f"{columns} target columns"
        raise UsageError(
            f"the last layer gives {network.outputs} outputs but data set {data.source.name!r} has {what}; end with "
            f"dense({columns})"
        )
    return network


# Networks between two segments: building one takes a tenth of a segment of one epoch where data and network are small,
# and nothing beside the training of a large one
KEPT, LARGEST = 8, 1 << 18  # networks at most, and parameters of one
_kept: OrderedDict[Any, tuple[Any, Network]] = OrderedDict()


def _rebuilt(configs: list[Config], data: Data, alone: bool, key: Any) -> Network:
    """The network of a segment that goes on, kept from the one before in this process, or built.

    Only for exactly the same configs: their scalars live in closures. Whoever takes it restores its arrays; it is out
    of the store as long as it trains, so that one whose training raises does not come back.
    """
    table, network = _kept.pop(key, (None, None))
    return network if network is not None and table == registry.table() else construct(configs, data, alone)


def _keep(key: Any, network: Network) -> None:
    if network.arena.value.size <= LARGEST:
        _kept[key] = registry.table(), network
        while len(_kept) > KEPT:
            _kept.popitem(last=False)


def film_path(network: Network, features: int) -> str | None:
    """The parameter that a film shows: the first trained matrix of the inputs, normally "0/W"; None without one.

    Frozen weights do not move, and what lies above them has no picture.
    """
    shapes = ((path, shape) for path, (_, shape) in network.arena.slices.items())
    return next((path for path, shape in shapes if len(shape) == 2 and shape[0] == features > 1), None)


def film_steps(config: Config, total: int) -> tuple[int, ...]:
    """The steps at which a film's frames are taken."""
    if config.film is None:
        return ()
    keys = ("frames", "every", "steps", "spacing")
    given = registry.arguments(registry.find("recorder", config.film["name"]), config.film)
    return chosen_steps(total, **{k: given[k] for k in keys if given.get(k) is not None})


# State: flat names -> arrays, so that it is an .npz when written down
# ---------------------------------------------------


def _named(network: Network) -> dict[str, Any]:
    """All arrays of a network by name, the network's own buffers."""
    named = {"theta": network.arena.value}

    def walk(prefix: str, state: dict[str, Any]) -> None:
        for k, v in state.items():
            if isinstance(v, dict):
                walk(f"{prefix}{k}/", v)
            else:
                named[prefix + k] = v

    walk("rule/", network.rule_state)
    walk("layer/", network.layer_state)
    walk("frozen/", network.frozen)
    return named


def restore(network: Network, state: State) -> None:
    """Writes a state's arrays into a network's buffers; UsageError where the state is of another network."""
    for name, target in _named(network).items():
        if name in state and np.shape(state[name]) == target.shape:
            target[...] = network.arena.xp.asarray(state[name])
        elif not (name.endswith("/step") and name.count("/") > 1):  # a composition's inner step is the outer one
            raise UsageError(
                f"the state does not fit the network: {name!r} is {np.shape(state.get(name, ()))}, "
                f"must be {target.shape}"
            )


@foreign("a plugin")
def evaluate(network: Network, x: Any, t: Any, eval_batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and mean loss (...,) over all rows, in batches of one size, the tail padded and masked.

    x (N, I), t (N, K) -> predictions (..., N, K), also where one output answers for two classes.
    """
    n = len(x)
    lead = network.arena.value.shape[:-1]
    predictions = np.empty((*lead, n, t.shape[1]), network.arena.value.dtype)
    total = np.zeros(lead)
    pad_x = pad_t = None
    for at in range(0, n, eval_batch):
        k = min(eval_batch, n - at)
        xb, tb = x[at : at + k], t[at : at + k]
        if k < eval_batch:
            pad_x = network.arena.xp.zeros((eval_batch, x.shape[1]), x.dtype)
            pad_t = network.arena.xp.zeros((eval_batch, t.shape[1]), t.dtype)
            pad_x[:k], pad_t[:k] = xb, tb
            xb, tb = pad_x, pad_t
        y = network.evaluate(xb)
        total += _host(network.losses(y, tb)[..., :k]).sum(axis=-1, dtype=np.float64)
        predictions[..., at : at + k, :] = _host(network.predict(y)[..., :k, :])
    return predictions, total / max(n, 1)


def _host(a: Any) -> np.ndarray:
    return a.get() if hasattr(a, "get") else a


@foreign("a plugin")
def score(config: Config, source: Dataset, predictions: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The config's metric and the usual ones of the task, by name."""
    usual = ("accuracy",) if source.task == "classification" else ("rmse", "r2")
    specs = {m: {"name": m} for m in usual} | {config.metric["name"]: config.metric}
    found = {name: registry.make("metric", spec)(predictions, y) for name, spec in specs.items()}
    for name, value in found.items():
        if np.shape(value) != predictions.shape[:-2] or np.asarray(value).dtype.kind not in "biuf":
            raise PluginError(
                f"the metric {name!r} must give a number (...,) for predictions (..., N, O), got "
                f"{type(value).__name__} {np.shape(value)} for {predictions.shape}; reduce over axis=-1"
            )
    return found


@foreign("a plugin")
def segment(config: Any, data: Data, state: Any = None, epochs: int | None = None) -> tuple[Any, Any]:
    """Trains for some epochs: (state, records).

    config: a Config, or a list of Configs of one shape (then state and records are lists, one for each member). state:
    None to start, else what the last segment returned. epochs: how many, at most; None for all that are left.
    """
    try:
        return _segment(config, data, state, epochs)
    except Exception as error:
        first = config if isinstance(config, Config) else config[0]
        in_layer(error, [registry.text(each) for each in first.layers])
        raise


def _segment(config: Any, data: Data, state: Any, epochs: int | None) -> tuple[Any, Any]:
    alone = isinstance(config, Config)
    configs: list[Config] = [config] if alone else list(config)
    states: list[State] | None = None if state is None else [dict(s) for s in ([state] if alone else state)]
    first = configs[0]
    ops = ops_for(first.device)
    batches = check(first, data)
    per_epoch = batches.steps
    total = first.epochs * per_epoch
    lead = () if alone else (len(configs),)
    key = (tuple(c.digest() for c in configs), alone, data.source.digest, debug.on)
    network = construct(configs, data, alone) if states is None else _rebuilt(configs, data, alone, key)
    arena, shooting, where = network.arena, film_steps(first, total), film_path(network, data.x.shape[1])
    if states is None:
        network.initialize()
        states = [_fresh() for _ in configs]
        if where and 0 in shooting:
            _shoot(states, network, where, 0, alone)
    else:
        stacked = {k: states[0][k] if alone else np.stack([s[k] for s in states]) for k in _arrays(states[0])}
        restore(network, stacked)
    done = max(s["epoch"] for s in states)  # a member that stopped stays at its own epoch
    step = done * per_epoch
    last = first.epochs if epochs is None else min(first.epochs, done + epochs)
    own_order = len({_order_seed(c) for c in configs}) > 1
    t_train = _weighted_targets(first, data, ops)

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
                    left[p] = _arrays_of(network, alone, p)
            if len(left) == len(states):
                break
            network.rekey(epoch)
            orders = [_order(c, epoch, len(data.x)) for c in (configs if own_order else configs[:1])]
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
            metrics = _measure(network, configs, data)
            evaluated = time.perf_counter() - begun
            host_losses, theta = _host(losses), _host(arena.value)
            spent = {"train_s": trained, "evaluate_s": evaluated, "capture_s": filming}
            seconds = {k: v / len(configs) for k, v in spent.items()}  # a member's share
            for p, each in enumerate(configs):
                if p in left:
                    continue
                row, weights = (host_losses, theta) if alone else (host_losses[p], theta[p])
                own = {k: float(v if alone else v[p]) for k, v in metrics.items()}
                record = _record(epoch, step, row, batches, weights, own, seconds)
                statistics = {
                    k: _host(v if alone else v[p]) for k, v in _named(network).items() if k.startswith("layer/")
                }
                _follow(each, states[p], record, {"theta": weights, **statistics}, bool(data.x_valid.shape[0]))
                records[p].append(record)
            if kept is not None:
                arena.value[...] = kept
    for p, each_state in enumerate(states):
        each_state |= left[p] if p in left else _arrays_of(network, alone, p)
        each_state["step"] = each_state["epoch"] * per_epoch
    if last < first.epochs and not all(each_state["stopped"] for each_state in states):
        _keep(key, network)
    return (states[0], records[0]) if alone else (states, records)


def early_stop(config: Config, state: State, records: list[Record]) -> str:
    """Says of a network that early stopping has ended where it stands and which epoch was the best; else ""."""
    if config.patience is None or not records or records[-1].bad_step is not None or not state["stopped"]:
        return ""
    last = records[-1].epoch
    lowest = last - state["waited"]
    kept = f"; kept are the weights of epoch {state['best/epoch']}" if "best/epoch" in state else ""
    return (
        f"stopped early after epoch {last} of {config.epochs}: the validation loss was lowest at epoch {lowest}, "
        f"{state['lowest']:.4f}{kept}"
    )


def digest(state: State, records: list[Record]) -> str:
    """SHA-256 of a result, 16 hexadecimal digits: the bytes of the weights and every metric, without the seconds.

    Equal digests are identical results, of which nobody had to keep the weights.
    """
    theta = state["theta"]
    sha = hashlib.sha256(np.where(np.isnan(theta), theta.dtype.type(np.nan), theta).tobytes())  # one NaN for all
    sha.update(repr([(r.epoch, r.step, r.bad_step, sorted(r.metrics.items())) for r in records]).encode())
    return sha.hexdigest()[:16]


def _fresh() -> State:
    return {"epoch": 0, "step": 0, "stopped": 0, "waited": 0, "film/steps": [], "film/frames": []}


def _arrays_of(network: Network, alone: bool, p: int) -> State:
    return {k: np.array(_host(v) if alone else _host(v[p])) for k, v in _named(network).items()}


def _arrays(state: State) -> list[str]:
    return [k for k in state if k == "theta" or k.startswith(("rule/", "layer/", "frozen/"))]


def _order_seed(config: Config) -> int:
    return config.seed if config.order_seed is None else config.order_seed


def _order(config: Config, epoch: int, n: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(stream(_order_seed(config), "order", epoch))).permutation(n)


def _shoot(states: list[State], network: Network, where: str, step: int, alone: bool, left: Any = ()) -> None:
    """A copy of the filmed weights into the state of each member that has not stopped."""
    weights = _host(network.arena.view(network.arena.value, where))
    for p, state in enumerate(states):
        if p in left:
            continue
        state["film/steps"] = [*state["film/steps"], step]
        state["film/frames"] = [*state["film/frames"], (weights if alone else weights[p]).copy()]


def _measure(network: Network, configs: list[Config], data: Data) -> dict[str, Any]:
    if not len(data.x_valid):
        return {}
    predictions, loss = evaluate(network, data.x_valid, data.t_valid, configs[0].eval_batch)
    found = score(configs[0], data.source, predictions, data.y_valid)
    return {"valid/loss": loss, **{f"valid/{k}": v for k, v in found.items()}}


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
    if first_bad is None and not (np.isfinite(metrics.get("valid/loss", 0.0)) and np.isfinite(theta).all()):
        first_bad = step  # the last update broke the weights
    mean = np.mean(losses, dtype=np.float64)
    if batches.last:  # over the examples, of which the last step has fewer
        mean = np.average(losses.astype(np.float64), weights=batches.sizes)
    metrics = {"train/loss": float(mean), **metrics}
    return Record(epoch, step, metrics, losses.copy(), dict(seconds), first_bad)


def _follow(config: Config, state: State, record: Record, arrays: dict[str, np.ndarray], has_valid: bool) -> None:
    """Keeps what depends on the course so far: the best epoch, early stopping, divergence."""
    state["epoch"] = record.epoch
    if record.bad_step is not None:
        state["stopped"] = 1
        return
    if not has_valid:
        return
    entry = registry.find("metric", config.metric["name"])
    value = record.metrics[f"valid/{config.metric['name']}"] * (1 if entry.options["direction"] == "maximize" else -1)
    if config.select == "best" and value > state.get("best/value", -np.inf):
        state.update({"best/value": value, "best/epoch": record.epoch})
        state.update({f"best/{k}": np.array(v) for k, v in arrays.items()})  # weights and running statistics
    if config.patience is not None:
        lower = record.metrics["valid/loss"] < state.get("lowest", np.inf)
        state["waited"] = 0 if lower else state["waited"] + 1
        state["lowest"] = min(record.metrics["valid/loss"], state.get("lowest", np.inf))
        state["stopped"] = int(state["waited"] >= config.patience)
