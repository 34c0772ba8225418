"""What every loss must do."""

from typing import Any

import numpy as np

from harness import registry
from harness.registry.known import Entry, Spec
from harness.testing.layers import bind_alone
from harness.testing.samples import members_of
from harness.testing.suite import (
    ALLOWANCE,
    GRADIENT,
    UNITS,
    B,
    P,
    Suite,
    allocated,
    bad,
    different,
    quotient_error,
    random_numbers,
)


# Losses -------------------------------------------------------------------------------------------
def _bind_loss(
    spec: Any, lead: tuple[int, ...] = (), dtype: Any = np.float64, batch: int = B
) -> Any:
    return registry.make("loss", spec)(bind_alone("identity", lead, dtype, batch=batch).ctx, UNITS)


def _targets(lead: tuple[int, ...], rows: int, dtype: Any = np.float64) -> np.ndarray:
    """Indicator rows, good targets for a regression as well."""
    rng = np.random.default_rng(12)
    return np.eye(UNITS, dtype=dtype)[rng.integers(0, UNITS, (*lead, rows))]


def check_loss(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    y, t = random_numbers((B, UNITS)), _targets((), B)

    for lead in ((), (P,)):

        @suite.must(
            f"gradient{' in a population' if lead else ''}",
            "must be that of the mean over the batch",
            GRADIENT,
        )
        def _(lead: tuple[int, ...] = lead) -> float:
            y, t = random_numbers((*lead, B, UNITS)), _targets(lead, B)
            forward, rng = _bind_loss(spec, lead)[0], np.random.default_rng(3)
            forward(2.0 * y, t[..., ::-1, :])[1]()  # a call before, of which nothing may be left
            found = forward(y, t)[1]().copy()
            along = [rng.standard_normal(y.shape) for _ in range(5)]
            return max(quotient_error(lambda: forward(y, t)[0] / B, y, found, v) for v in along)

    @suite.must("y and t are not written", "y belongs to the last layer and t to the data")
    def _() -> float:
        taken, wanted = y.copy(), t.copy()
        _bind_loss(spec)[0](taken, wanted)[1]()
        return different(taken, y) + different(wanted, t)

    @suite.must(
        "networks share nothing",
        "two networks of one product must not touch each other; make buffers in bind",
    )
    def _() -> float:
        made = registry.make("loss", spec)
        (one, _), (other, _) = _bind_loss(made), _bind_loss(made)
        expected = one(y, t)[1]().copy()
        values, backward = one(y, t)
        kept = values.copy()
        other(2.0 * y, t[::-1])[1]()
        return different(kept, values) + different(expected, backward())

    @suite.must(
        "each example by itself", "the value of an example must depend on its own row alone"
    )
    def _() -> float:
        forward, mixed, others = _bind_loss(spec)[0], y.copy(), t.copy()
        mixed[2:], others[2:] = 3.0, 2.0 * t[1::-1]
        return different(forward(y, t)[0][:2].copy(), forward(mixed, others)[0][:2])

    @suite.must(
        "downhill to the targets",
        "500 small steps along -dy must bring predict(y) to t; mind the signs",
    )
    def _() -> float:
        forward, predict = _bind_loss(spec)
        found = y.copy()
        for _ in range(500):
            dy = forward(found, t)[1]()
            found -= 0.05 * dy / (np.max(np.abs(dy), axis=-1, keepdims=True) + 1e-300)
        return np.sum(np.argmax(predict(found), axis=-1) != np.argmax(t, axis=-1))

    @suite.must(
        "targets that members share",
        "t (B, O) with y (P, B, O) must be the same as a copy for each member",
    )
    def _() -> float:
        forward, ys = _bind_loss(spec, (P,))[0], random_numbers((P, B, UNITS))
        found = []
        for given in (t, np.repeat(t[None], P, axis=0)):
            values, backward = forward(ys, given)
            found.append((values.copy(), backward().copy()))
        return sum(map(different, *found))

    @suite.must("population row equals alone", "row p must equal, bit for bit, the same loss alone")
    def _() -> float:
        members = members_of("loss", spec)
        y, t = random_numbers((P, 9, UNITS), dtype=np.float32), _targets((P,), 9, np.float32)

        def run(loss: Any, lead: tuple[int, ...], y: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
            forward, predict = _bind_loss(loss, lead, np.float32, 9)
            values, backward = forward(y, t)
            return [values.copy(), backward().copy(), np.array(predict(y.copy()))]

        alone = [run(members[p], (), y[p], t[p]) for p in range(P)]
        together = run(registry.merge("loss", members), (P,), y, t)
        return sum(
            different(a, np.array(b))
            for a, b in zip(together, zip(*alone, strict=True), strict=True)
        )

    @suite.must("finite at large outputs in float32", "for y = +-1e4; shift before exp")
    def _() -> float:
        forward, predict = _bind_loss(spec, (), np.float32)
        large = (np.sign(y) * 1e4).astype(np.float32)
        values, backward = forward(large, t.astype(np.float32))
        return bad(values, backward(), predict(large))

    @suite.must(
        "shape and dtype are kept",
        "values (..., B), dy and predictions (..., B, O) in the dtype of y",
    )
    def _() -> float:
        forward, predict = _bind_loss(spec, (), np.float32)
        narrow = y.astype(np.float32)
        values, backward = forward(narrow, t.astype(np.float32))
        found = [(values, (B,)), (backward(), y.shape), (predict(narrow), y.shape)]
        return sum(a.shape != s or a.dtype != np.float32 for a, s in found)

    @suite.must(
        "second step allocates nothing",
        "take buffers from ctx.empty once, write with out=",
        ALLOWANCE,
    )
    def _() -> float:
        rows = 30_000
        forward, predict = _bind_loss(spec, (), np.float32, rows)
        y, t = random_numbers((rows, UNITS), dtype=np.float32), _targets((), rows, np.float32)
        return allocated(lambda: (forward(y, t)[1](), predict(y)))

    if reference is not None:

        @suite.must("values against the reference", "relative to 1 + |value|, in float64", 1e-12)
        def _() -> float:
            values, exact = _bind_loss(spec)[0](y, t)[0], np.asarray(reference(y, t))
            return np.max(np.abs(values - exact) / (1.0 + np.abs(exact)))
