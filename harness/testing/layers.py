"""What every layer must do."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.engine.chain import layer_of
from harness.engine.context import Context
from harness.engine.network import Network, build
from harness.ops import cpu
from harness.registry.known import Entry, Spec
from harness.testing.samples import members_of
from harness.testing.suite import (
    ALLOWANCE,
    GRADIENT,
    SEEDS,
    STEP,
    UNITS,
    B,
    I,
    P,
    Suite,
    allocated,
    bad,
    different,
    quotient_error,
    random_numbers,
)


class _Bound(NamedTuple):
    """A layer in a network of its own, with its bindings for training and for evaluation."""

    network: Network
    ctx: Context
    # X -> y, backward; random streams and layer state begin anew at each call
    train: Callable[[np.ndarray], Any]
    evaluate: Callable[[np.ndarray], np.ndarray]
    outputs: int


def bind_alone(
    layer: Any,
    lead: tuple[int, ...] = (),
    dtype: Any = np.float64,
    features: int = I,
    batch: int = B,
    seeds: list[int] | None = None,
    needs: bool = True,
    scratch: bool = False,
    like: Network | None = None,
) -> _Bound:
    bind, made, seeds = layer_of(layer), [], seeds or SEEDS[: lead[0] if lead else 1]

    def spy(ctx: Context, width: int) -> Any:
        ctx.input_needs_grad, ctx.input_is_scratch = needs, scratch
        forward, outputs = bind(ctx, width)
        made.append((ctx, forward, outputs))
        return forward, outputs

    sizes = {"batch": batch, "eval_batch": batch}
    network = build(
        [spy],
        features,
        loss="squared_error",
        rule="sgd",
        seeds=seeds,
        lead=lead,
        dtype=dtype,
        ops=cpu,
        **sizes,
    )
    network.initialize()
    value = network.arena.value
    # Biases would be 0 otherwise
    value += (0.1 * random_numbers(value.shape, seeds[0])).astype(dtype)
    if like is not None:  # the same parameters, with random streams of its own
        value[...] = like.arena.value
        for path, array in network.frozen.items():
            array[...] = like.frozen[path]
    _, (ctx, forward, outputs), (_, evaluate, _) = made
    kept = {k: v.copy() for k, v in network.layer_state.items()}

    def train(x: np.ndarray) -> Any:
        network.rekey(1)
        for k, v in kept.items():
            network.layer_state[k][...] = v
        return forward(x, True)

    return _Bound(network, ctx, train, lambda x: evaluate(x, False)[0], outputs)


# Layers -------------------------------------------------------------------------------------------
def check_gradients(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """<J^T dy, v> against the derivative along v, for random dy and v: all entries of a gradient at
    once.
    """
    for lead, extreme in (((), False), ((P,), False), ((), True)):
        where = (" at extreme inputs" if extreme else "") + (" in a population" if lead else "")
        bound = bind_alone(spec, lead)
        arena, rng = bound.network.arena, np.random.default_rng(3)
        x, dy = (
            random_numbers((*lead, B, I), 1, extreme),
            random_numbers((*lead, B, bound.outputs), 2),
        )
        bound.train(random_numbers(x.shape, 4))[1](
            random_numbers(dy.shape, 5)
        )  # a call before, of which nothing may be left
        arena.grad[...] = np.nan  # what is added to, or left out, stays NaN
        gradients = {"x": (x, np.array(bound.train(x)[1](dy.copy())))}
        grad = arena.grad.copy()
        gradients |= {
            p.removeprefix("0/"): (arena.view(arena.value, p), arena.view(grad, p))
            for p in arena.slices
        }
        for name, (array, gradient) in gradients.items():

            @suite.must(
                f"gradient of {name}{where}",
                "must be the derivative of sum(y * dy); written, not added",
                GRADIENT,
            )
            def _(
                bound=bound, x=x, dy=dy, array=array, gradient=gradient, rng=rng, extreme=extreme
            ) -> float:  # type: ignore[no-untyped-def]
                # at extreme inputs steps in proportion, so that no kink at 0 is crossed
                size = np.abs(array) if extreme else 1.0
                along = [size * rng.standard_normal(array.shape) for _ in range(3)]
                return max(
                    quotient_error(lambda: bound.train(x)[0] * dy, array, gradient, v)
                    for v in along
                )

    @suite.must(
        "gradient at 0 from both sides",
        "at a kink a slope must lie between those of its two sides",
        1e-4,
    )
    def _() -> float:
        bound, x = bind_alone(spec, features=3), random_numbers((B, 3))

        def at(value: float) -> np.ndarray:
            x[0, 1] = value
            return bound.train(x)[0].copy()

        left, right, middle = at(-STEP), at(STEP), at(0.0)
        low, high = np.sort([(middle - left) / STEP, (right - middle) / STEP], axis=0)
        slopes = np.empty_like(middle)
        for index in np.ndindex(middle.shape):
            dy = np.zeros_like(middle)
            dy[index] = 1.0
            slopes[index] = bound.train(x)[1](dy)[0, 1]
        return np.max(np.maximum(low - slopes, slopes - high) / (1.0 + np.abs(low) + np.abs(high)))

    @suite.must("finite where all inputs are 0", "y, dx and gradients must be finite for x = 0")
    def _() -> float:
        bound = bind_alone(spec)
        y, backward = bound.train(np.zeros((B, I)))
        return bad(y) + bad(backward(random_numbers(y.shape)), bound.network.arena.grad)


def ownership(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """Whose array is whose, and until when. Everything is held against one plain forward and
    backward.
    """
    product = layer_of(spec)
    one, other, x = bind_alone(product), bind_alone(product, seeds=[21]), random_numbers((B, I))
    dy = random_numbers((B, one.outputs), 2)

    def run(
        bound: _Bound, between: Callable[[np.ndarray], None] = lambda y: None
    ) -> list[np.ndarray]:
        bound.network.arena.grad[...] = np.nan
        y, backward = bound.train(x.copy())
        seen = y.copy()
        between(y)
        return [
            seen,
            bound.network.arena.grad.copy(),
            np.array(backward(dy.copy())),
            bound.network.arena.grad.copy(),
        ]

    expected = run(one)

    def same(found: list[np.ndarray]) -> float:
        return sum(map(different, found, expected))

    def trash(y: np.ndarray) -> None:
        if one.ctx.output_is_scratch:
            y[...] = np.nan

    @suite.must(
        "x is not written",
        "forward and backward must leave x as it is: it belongs to the layer below",
    )
    def _() -> float:
        taken = x.copy()
        y, backward = one.train(taken)
        changed = different(taken, x)
        trash(y)
        backward(dy.copy())
        changed += different(taken, x)
        one.evaluate(taken)
        return changed + different(taken, x)

    @suite.must(
        "same stream, same result", "equal inputs must give equal bits; draw with ctx.random only"
    )
    def _() -> float:
        return same(run(one))

    @suite.must(
        "output as scratch", "ctx.output_is_scratch = True promises that backward does not read y"
    )
    def _() -> float:
        return same(run(one, trash))

    @suite.must("input as scratch", "with ctx.input_is_scratch the results must be the same")
    def _() -> float:
        return same(run(bind_alone(product, scratch=True)))

    @suite.must(
        "gradients without dx", "without ctx.input_needs_grad the gradients must be the same"
    )
    def _() -> float:
        found = run(bind_alone(product, needs=False))
        return different(found[0], expected[0]) + different(found[3], expected[3])

    @suite.must(
        "networks share nothing",
        "two networks of one product must not touch each other; make buffers in bind",
    )
    def _() -> float:
        def between(y: np.ndarray) -> None:
            other.train(random_numbers((B, I), 5))[1](random_numbers(dy.shape, 6))
            one.evaluate(random_numbers((B, I), 7))

        return same(run(one, between))

    @suite.must(
        "returned arrays live", "y and dx must keep their values until the layer's next call"
    )
    def _() -> float:
        y, backward = one.train(x.copy())
        kept = y.copy()
        _, their_backward = other.train(random_numbers((B, I), 5))
        one.evaluate(random_numbers((B, I), 7))
        changed = different(kept, y)
        dx = backward(dy.copy())
        kept = dx.copy()
        their_backward(random_numbers(dy.shape, 6))
        one.evaluate(random_numbers((B, I), 8))
        arena = one.network.arena
        inside = [np.shares_memory(a, b) for a in (y, dx) for b in (arena.value, arena.grad)]
        return changed + different(kept, dx) + sum(inside)

    @suite.must("backward is linear", "backward(2^k dy) must be exactly 2^k backward(dy)")
    def _() -> float:
        wrong = 0.0
        for factor in (2.0**9, 2.0**-9):
            dx = one.train(x.copy())[1](dy * factor)
            wrong += different(dx / factor, expected[2]) + different(
                one.network.arena.grad / factor, expected[3]
            )
        return wrong


def modes(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    bound, x = bind_alone(spec), random_numbers((B, I))
    network = bound.network
    bound.train(x)

    @suite.must(
        "evaluation takes each example by itself",
        "in evaluation a row of y must depend on its row of x alone",
    )
    def _() -> float:
        mixed = random_numbers((B, I), 9)
        mixed[:2] = x[:2]
        return different(bound.evaluate(x)[:2].copy(), bound.evaluate(mixed)[:2])

    @suite.must(
        "evaluation changes nothing",
        "it must be free of chance and leave parameters and state as they are",
    )
    def _() -> float:
        arrays = [network.arena.value, network.arena.grad, *network.layer_state.values()]
        kept = [a.copy() for a in arrays]
        network.rekey(1)
        first = bound.evaluate(x).copy()
        network.rekey(2)
        return different(first, bound.evaluate(x)) + sum(map(different, kept, arrays))

    @suite.must(
        "training writes its state alone",
        "forward and backward must leave the parameters as they are",
    )
    def _() -> float:
        fresh = bind_alone(spec)
        kept = fresh.network.arena.value.copy()
        y, backward = fresh.train(x)
        backward(random_numbers(y.shape, 2))
        return different(kept, fresh.network.arena.value)

    @suite.must(
        "what it remembers is state",
        "another network with the same parameters and ctx.state must equal this",
    )
    def _() -> float:
        twin = bind_alone(spec)
        bound.train(random_numbers((B, I), 3))
        twin.network.arena.value[...] = network.arena.value
        for key, array in twin.network.layer_state.items():
            array[...] = network.layer_state[key]
        return different(bound.evaluate(x), twin.evaluate(x))

    @suite.must(
        "training differs by chance or state",
        "without ctx.random or ctx.state it must equal evaluation",
        1e-9,
    )
    def _() -> float:
        y = bound.train(x)[0].copy()
        others = (
            bind_alone(spec, seeds=[seed], like=network).train(x)[0] for seed in range(21, 37)
        )
        if network.layer_state or any(different(y, other) for other in others):
            return 0.0
        return np.max(np.abs(y - bound.evaluate(x))) / (1.0 + np.max(np.abs(y)))


def single_precision(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    @suite.must(
        "shape and dtype are kept",
        "y (..., B, O), dx (..., B, I) in the dtype of x; np.float64 promotes float32",
    )
    def _() -> float:
        wrong = 0
        for lead in ((), (P,)):
            bound, x = (
                bind_alone(spec, lead, np.float32),
                random_numbers((*lead, B, I), dtype=np.float32),
            )
            seen = bound.evaluate(x)
            y, backward = bound.train(x)
            dx = backward(random_numbers((*lead, B, bound.outputs), 2, dtype=np.float32))
            shapes = (*lead, B, bound.outputs), (*lead, B, bound.outputs), x.shape
            wrong += sum(
                a.dtype != np.float32 or a.shape != s
                for a, s in zip((seen, y, dx), shapes, strict=True)
            )
        return wrong

    @suite.must(
        "finite at large inputs in float32",
        "y and dx must not overflow on the way where the result does not",
    )
    def _() -> float:
        found = []
        for dtype in (np.float64, np.float32):
            bound, x = bind_alone(spec, (), dtype), random_numbers((B, I), 1, True, np.float32)
            y, backward = bound.train(x.astype(dtype))
            seen = y.astype(np.float32)
            found.append(
                [seen, backward(random_numbers(y.shape, 2, dtype=dtype)).astype(np.float32)]
            )
        return sum(
            np.sum(np.isfinite(wide) & ~np.isfinite(narrow))
            for wide, narrow in zip(*found, strict=True)
        )

    if entry.kind == "activation" and not entry.options.get("inplace"):
        return

    @suite.must(
        "second step allocates nothing",
        "take buffers from ctx.empty once, write with out=",
        ALLOWANCE,
    )
    def _() -> float:
        size = {"units": 500} if spec.get("units") == UNITS else {}
        bound = bind_alone({**spec, **size}, (), np.float32, features=601, batch=120)
        x, dy = (random_numbers((120, k), dtype=np.float32) for k in (601, bound.outputs))
        return allocated(lambda: bound.train(x)[1](dy))


def rows(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """Three steps of training and an evaluation, of a population and of each member alone."""
    members = members_of("layer", spec)
    told = "row p of a population must equal, bit for bit, the same layer trained alone"
    for shared in (False, True):

        @suite.must(f"population row equals alone{', shared inputs' if shared else ''}", told)
        def _(shared: bool = shared) -> float:
            x, t = (
                random_numbers((P, 3, 11, I), dtype=np.float32),
                random_numbers((P, 3, 11, 2), 2, dtype=np.float32),
            )
            unseen, end = random_numbers((9, I), 3, dtype=np.float32), {"name": "dense", "units": 2}

            def train(p: int | None) -> list[np.ndarray]:
                layer = registry.merge("layer", members) if p is None else members[p]
                network = build(
                    [layer, end] if shared else [{"name": "dense", "units": 6}, layer, end],
                    I,
                    loss="squared_error",
                    rule="momentum(learning_rate=0.05)",
                    seeds=SEEDS if p is None else [SEEDS[p]],
                    lead=(P,) if p is None else (),
                    batch=11,
                    eval_batch=9,
                    dtype=np.float32,
                    ops=cpu,
                )
                network.initialize()
                network.rekey(1)
                found, which = [], slice(None) if p is None else p
                for k in range(3):
                    xb, tb = (np.ascontiguousarray(a[which, k]) for a in (x, t))
                    found.append(np.array(network.step(x[0, k] if shared else xb, tb, k / 3)))
                states = [network.layer_state[k] for k in sorted(network.layer_state)]
                return [*found, network.arena.value, np.array(network.evaluate(unseen)), *states]

            together = train(None)
            return sum(
                different(np.asarray(a[p]), b)
                for p in range(P)
                for a, b in zip(together, train(p), strict=True)
            )
