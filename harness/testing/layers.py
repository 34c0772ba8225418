"""What every layer must do in training and in evaluation, in float32, and in a population."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from harness import registry
from harness.registry.known import Spec
from harness.testing.alone import LayerAlone, bind_alone
from harness.testing.measures import (
    ALLOWANCE,
    SEEDS,
    UNITS,
    B,
    I,
    P,
    allocated,
    different,
    random_numbers,
)
from harness.testing.samples import members_of
from harness.testing.suite import Check, Subject, Suite
from harness.training.alone import build_alone

# Training and evaluation --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Trained:
    """A layer after a step of training, and the x of that step."""

    spec: Spec
    layer: LayerAlone
    x: np.ndarray


def modes(suite: Suite, subject: Subject) -> None:
    """The checks of training against evaluation."""
    layer = bind_alone(subject.spec)
    x = random_numbers((B, I))
    layer.train(x)
    suite.run(_MODES, _Trained(subject.spec, layer, x))


def _rows_by_themselves(bench: _Trained) -> float:
    # Two rows among others.
    mixed = random_numbers((B, I), 9)
    mixed[:2] = bench.x[:2]
    expected = bench.layer.evaluate(bench.x)[:2].copy()
    return different(expected, bench.layer.evaluate(mixed)[:2])


def _evaluation_changes(bench: _Trained) -> float:
    network = bench.layer.network
    arrays = [network.arena.value, network.arena.grad, *network.layer_state.values()]
    kept = [array.copy() for array in arrays]
    # Other random streams: chance would show.
    network.rekey(1)
    first = bench.layer.evaluate(bench.x).copy()
    network.rekey(2)
    by_chance = different(first, bench.layer.evaluate(bench.x))
    return by_chance + sum(map(different, kept, arrays))


def _training_writes_parameters(bench: _Trained) -> float:
    fresh = bind_alone(bench.spec)
    kept = fresh.network.arena.value.copy()
    y, backward = fresh.train(bench.x)
    backward(random_numbers(y.shape, 2))
    return different(kept, fresh.network.arena.value)


def _differs_from_twin(bench: _Trained) -> float:
    """Evaluation against that of another network, to which parameters and state were copied."""
    network = bench.layer.network
    twin = bind_alone(bench.spec)
    # The layer has seen more than the twin, and may remember it in its state alone.
    bench.layer.train(random_numbers((B, I), 3))
    twin.network.arena.value[...] = network.arena.value
    for key, array in twin.network.layer_state.items():
        array[...] = network.layer_state[key]
    return different(bench.layer.evaluate(bench.x), twin.evaluate(bench.x))


def _training_against_evaluation(bench: _Trained) -> float:
    network = bench.layer.network
    y, _ = bench.layer.train(bench.x)
    y = y.copy()  # evaluation may write to the same array
    if network.layer_state or _depends_on_seed(bench, y):
        return 0.0
    return np.max(np.abs(y - bench.layer.evaluate(bench.x))) / (1.0 + np.max(np.abs(y)))


def _depends_on_seed(bench: _Trained, y: np.ndarray) -> bool:
    """Whether y is another one with one of 16 other seeds: a mask may be the same by chance."""
    for seed in range(21, 37):
        other = bind_alone(bench.spec, seeds=[seed], like=bench.layer.network)
        if different(y, other.train(bench.x)[0]):
            return True
    return False


_MODES = (
    Check(
        "evaluation takes each example by itself",
        "in evaluation a row of y must depend on its row of x alone",
        _rows_by_themselves,
    ),
    Check(
        "evaluation changes nothing",
        "it must be free of chance and leave parameters and state as they are",
        _evaluation_changes,
    ),
    Check(
        "training writes its state alone",
        "forward and backward must leave the parameters as they are",
        _training_writes_parameters,
    ),
    Check(
        "what it remembers is state",
        "another network with the same parameters and ctx.state must equal this",
        _differs_from_twin,
    ),
    Check(
        "training differs by chance or state",
        "without ctx.random or ctx.state it must equal evaluation",
        _training_against_evaluation,
        1e-9,
    ),
)

# float32 ------------------------------------------------------------------------------------------


def single_precision(suite: Suite, subject: Subject) -> None:
    """The checks of a layer in float32, in which networks are trained."""
    suite.run(_SINGLE_PRECISION, subject)


def _shape_or_dtype_is_wrong(subject: Subject) -> int:
    wrong = 0
    for lead in ((), (P,)):
        layer = bind_alone(subject.spec, lead, np.float32)
        x = random_numbers((*lead, B, I), dtype=np.float32)
        y_shape = (*lead, B, layer.outputs)
        evaluated = layer.evaluate(x)
        y, backward = layer.train(x)
        dx = backward(random_numbers(y_shape, 2, dtype=np.float32))
        for array, shape in ((evaluated, y_shape), (y, y_shape), (dx, x.shape)):
            wrong += array.dtype != np.float32 or array.shape != shape
    return wrong


def _overflows(subject: Subject) -> float:
    """How many elements are finite where float64 is used on the way, and not in float32."""
    x = random_numbers((B, I), 1, True, np.float32)

    def step(dtype: type) -> list[np.ndarray]:
        """(y, dx) rounded to float32."""
        layer = bind_alone(subject.spec, (), dtype)
        y, backward = layer.train(x.astype(dtype))
        y_rounded = y.astype(np.float32)
        dx = backward(random_numbers(y.shape, 2, dtype=dtype))
        return [y_rounded, dx.astype(np.float32)]

    pairs = zip(step(np.float64), step(np.float32), strict=True)
    return sum(np.sum(np.isfinite(wide) & ~np.isfinite(narrow)) for wide, narrow in pairs)


def _writes_in_place(subject: Subject) -> bool:
    """Whether it is no activation that may allocate, such as a pair of plain functions."""
    entry = subject.entry
    return entry.kind != "activation" or bool(entry.options.get("inplace"))


def _bytes_of_a_step(subject: Subject) -> float:
    spec = dict(subject.spec)
    # An array of the example's few units would stay within the allowance.
    if spec.get("units") == UNITS:
        spec["units"] = 500
    layer = bind_alone(spec, (), np.float32, features=601, batch=120)
    x = random_numbers((120, 601), dtype=np.float32)
    dy = random_numbers((120, layer.outputs), dtype=np.float32)

    def step() -> None:
        y, backward = layer.train(x)
        del y  # nobody holds it: a layer that makes y anew may make dx in the same place
        backward(dy)

    return allocated(step)


_SINGLE_PRECISION = (
    Check(
        "shape and dtype are kept",
        "y (..., B, O), dx (..., B, I) in the dtype of x; np.float64 promotes float32",
        _shape_or_dtype_is_wrong,
    ),
    Check(
        "finite at large inputs in float32",
        "y and dx must not overflow on the way where the result does not",
        _overflows,
    ),
    Check(
        "second step allocates nothing",
        "take buffers from ctx.empty once, write with out=",
        _bytes_of_a_step,
        ALLOWANCE,
        applies=_writes_in_place,
    ),
)

# Populations --------------------------------------------------------------------------------------


def rows(suite: Suite, subject: Subject) -> None:
    """The checks of a population against each of its members alone."""
    suite.run(_ROWS, members_of("layer", subject.spec))


class _Examples(NamedTuple):
    """What a population is trained on in three steps of 11 rows, and evaluated on."""

    x: np.ndarray  # (P, 3, 11, I)
    t: np.ndarray  # (P, 3, 11, 2)
    unseen: np.ndarray  # (9, I)


def _row_differs(members: list[Spec], shared: bool) -> float:
    """How many elements differ; shared: whether all members see the same inputs."""
    examples = _Examples(
        x=random_numbers((P, 3, 11, I), dtype=np.float32),
        t=random_numbers((P, 3, 11, 2), 2, dtype=np.float32),
        unseen=random_numbers((9, I), 3, dtype=np.float32),
    )
    together = _three_steps(members, None, examples, shared)
    wrong = 0.0
    for p in range(P):
        alone = _three_steps(members, p, examples, shared)
        for of_population, of_member in zip(together, alone, strict=True):
            wrong += different(np.asarray(of_population[p]), of_member)
    return wrong


def _three_steps(
    members: list[Spec], member: int | None, examples: _Examples, shared: bool
) -> list[np.ndarray]:
    """Losses, parameters, an evaluation and the layer state after three steps of training.

    member: which one is trained alone; None trains them all as a population.
    """
    if member is None:
        layer = registry.merge("layer", members)
        lead: tuple[int, ...] = (P,)
        seeds = SEEDS
        x = examples.x
        t = examples.t
    else:
        layer = members[member]
        lead = ()
        seeds = [SEEDS[member]]
        x = examples.x[member]
        t = examples.t[member]
    # A layer below, unless shared inputs are to reach this one as they are.
    layers = [layer, {"name": "dense", "units": 2}]
    if not shared:
        layers.insert(0, {"name": "dense", "units": 6})
    network = build_alone(
        layers,
        I,
        rule="momentum(learning_rate=0.05)",
        seeds=seeds,
        lead=lead,
        batch=11,
        eval_batch=9,
        dtype=np.float32,
    )
    network.initialize()
    network.rekey(1)
    # Members that share their inputs get one array without an axis of members.
    if shared:
        x = examples.x[0]
    losses = []
    for k in range(3):
        batch = np.ascontiguousarray(x[..., k, :, :])
        targets = np.ascontiguousarray(t[..., k, :, :])
        losses.append(np.array(network.step(batch, targets, k / 3)))
    # Last what the layer remembers, such as running means.
    states = [network.layer_state[key] for key in sorted(network.layer_state)]
    return [*losses, network.arena.value, np.array(network.evaluate(examples.unseen)), *states]


_ROW = "row p of a population must equal, bit for bit, the same layer trained alone"
_ROWS = (
    Check("population row equals alone", _ROW, partial(_row_differs, shared=False)),
    Check("population row equals alone, shared inputs", _ROW, partial(_row_differs, shared=True)),
)
