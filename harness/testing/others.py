"""What initializers, schedules, metrics, data sets and recorders must do."""

from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.data import load
from harness.recorders import Trained
from harness.registry.known import Entry, Spec
from harness.storage.paths import safe_path
from harness.testing.rules import walk
from harness.testing.suite import UNITS, I, P, Suite, bad, different
from harness.training.prepare import prepare
from harness.training.segment import segment


# Initializers, schedules, metrics -----------------------------------------------------------------
def initializer(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    draw = registry.make("initializer", spec)

    def drawn(shape: tuple[int, int], seed: int) -> Any:
        return draw(np.random.default_rng(seed), shape, *shape)

    @suite.must("finite float64 of the shape", "what draw(rng, shape, fan_in, fan_out) must return")
    def _() -> float:
        found = [(drawn(s, 1), s) for s in ((I, UNITS), (1, UNITS), (40, 30))]
        return sum(
            np.shape(w) != s or w.dtype != np.float64 or not np.isfinite(w).all() for w, s in found
        )

    @suite.must("same seed, same weights", "draw from the rng that is given, and from nothing else")
    def _() -> float:
        return different(drawn((40, 30), 1), drawn((40, 30), 1))

    @suite.must(
        "another seed, other weights", "weights that are not constant must depend on the rng"
    )
    def _() -> float:
        w = drawn((40, 30), 1)
        return np.ptp(w) > 0 and not different(w, drawn((40, 30), 2))


def schedule(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    at, grid = registry.make("schedule", spec), np.linspace(0.0, 1.0, 101).tolist()

    @suite.must("finite over the run", "at(t) must be a finite number for t in [0, 1]")
    def _() -> float:
        return bad([float(at(t)) for t in grid])

    @suite.must(
        "the same whenever asked", "at(t) must depend on t alone: a run may be resumed anywhere"
    )
    def _() -> float:
        return different([at(t) for t in grid], [at(t) for t in grid[::-1]][::-1])


def metric(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    score, rng, n = registry.make("metric", spec), np.random.default_rng(5), 10_001
    y: np.ndarray = rng.standard_normal((n, 2))
    good, poor, p = y, y[::-1], y + rng.standard_normal((P, n, 2))
    labelled = entry.options["task"] == "classification"
    if labelled:
        y, p = rng.integers(0, UNITS, n), rng.dirichlet(np.ones(UNITS), (P, n))
        good, poor = np.eye(UNITS)[y], np.eye(UNITS)[(y + 1) % UNITS]

    @suite.must(
        "population row equals alone",
        "predictions (P, N, O) must give (P,), each bit for bit as for (N, O)",
    )
    def _() -> float:
        wrong = 0.0
        for dtype in (np.float32, np.float64):
            q, truth = p.astype(dtype), y if labelled else y.astype(dtype)
            wrong += different(score(q, truth), np.array([score(q[k], truth) for k in range(P)]))
        return wrong

    @suite.must("inputs are not written", "predictions and truth are read by others too")
    def _() -> float:
        taken, truth = p.copy(), y.copy()
        score(taken, truth)
        return different(taken, p) + different(truth, y)

    @suite.must(
        "order of the examples", "the score must not depend on it; relative to 1 + |score|", 1e-9
    )
    def _() -> float:
        mixed, found = rng.permutation(n), float(score(p[0], y))
        return abs(found - float(score(p[0][mixed], y[mixed]))) / (1.0 + abs(found))

    @suite.must(
        "direction",
        f"the truth must score better than wrong answers; declared: {entry.options['direction']}",
    )
    def _() -> float:
        sign = 1.0 if entry.options["direction"] == "maximize" else -1.0
        return not sign * float(score(good, y)) > sign * float(score(poor, y))


# Data sets and recorders, held against what training and the books do with them -------------------
def _trained(data: Any, **options: Any) -> Trained:
    """A linear network on a data set after one epoch."""
    source = load(data)
    units, labelled = (len(source.classes), True) if source.classes else (source.y.shape[1], False)
    fits = {} if labelled else {"loss": "squared_error", "metric": "rmse"}
    sizes = {"batch": min(100, (len(source.x) + 1) // 2), "epochs": 1, "scale": "standardize"}
    layers = [{"name": "dense", "units": units}]
    config = Config(layers=layers, data=data, update="sgd(0.01)", **{**sizes, **fits, **options})
    prepared = prepare(config)
    state, records = segment(config, prepared)
    return Trained(config, prepared, state, records)


def dataset(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    @suite.must(
        "the same each time",
        "every process makes its own: seed your generator, depend on no clock or order",
    )
    def _() -> float:
        return registry.make("dataset", spec).digest != registry.make("dataset", spec).digest

    @suite.must(
        "a network trains on it",
        "one epoch of a linear network, standardized, must have a finite loss",
    )
    def _() -> float:
        (record,) = _trained(spec).records
        return bad(record.losses, *record.metrics.values())


def recorder(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    trained, record = (
        _trained("mnist14(rows=500)", film="film(frames=3)"),
        registry.make("recorder", spec),
    )
    kept = {k: np.copy(v) for k, v in walk(trained.state) if isinstance(v, np.ndarray)}

    @suite.must(
        "is a Report",
        "record(trained) must return Report(metrics: numbers by name, artifacts: bytes by path)",
    )
    def _() -> float:
        metrics, artifacts = record(trained)
        wrong = sum(not isinstance(k, str) or np.ndim(v) != 0 for k, v in metrics.items())
        return wrong + sum(
            not isinstance(v, bytes) or not safe_path(k) for k, v in artifacts.items()
        )

    @suite.must("finite numbers", "of a network that trains well")
    def _() -> float:
        return bad(*map(float, record(trained).metrics.values()))

    @suite.must("training is not written", "what a recorder reads belongs to the next recorder too")
    def _() -> float:
        return sum(
            different(v, kept[k]) for k, v in walk(trained.state) if isinstance(v, np.ndarray)
        )
