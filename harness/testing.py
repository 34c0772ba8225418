"""The conformance suite: what every plugin must do, checked on whatever is registered under a name. Takes seconds.

    for outcome in check("layer", "dense"): print(outcome)     # a line per check
    assert_conforms("activation", "mine", beta=2.0)            # in a test
    check_module("my_plugins.py")                              # everything that a file or a module registers

Arguments without a default get an example by what they are declared to be (int, float, Scalar, LayerSpec, ...), or are
given by name as above. Axes as in the engine: P members, B batch, I and O features in and out, all different here.
"""

import sys
import traceback
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config
from harness.data import load
from harness.engine import Context, Network, build, layer_of
from harness.errors import UsageError, in_words
from harness.ops import cpu, debug, ops_for
from harness.recorders import Trained
from harness.registry import Entry, Spec
from harness.storage.paths import safe_path
from harness.train import prepare, segment

# Kinds of which every built-in name can be checked; data sets, some of which need a file, and recorders can be too
KINDS = ("activation", "layer", "update_rule", "loss", "initializer", "schedule", "metric")

P, B, I, UNITS = 3, 4, 7, 5
SEEDS = [11, 12, 13]
STEP = 1e-6  # of a difference quotient in float64
GRADIENT = 1e-6  # relative error allowed against it
# Where kinks, saturation and overflow of activations live, besides ordinary numbers
POINTS = [0.0, 1e-8, 0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 20.0, 1e3]
DEVICE = 1e-5  # of the norm of the parameters: float32 products in another order, one step
# What a call may allocate: Python objects and NumPy's own buffer of 8192 elements, but no array of these checks' sizes
ALLOWANCE = 100_000

Measure = Callable[[], Any]


class _Found(NamedTuple):
    """What a check measured, and what to add to its line if that is too much."""

    number: float
    note: str


class Outcome(NamedTuple):
    """One check: it holds if number <= limit. message: what must hold; raised: what came instead of a number."""

    name: str
    ok: bool
    number: float
    limit: float
    message: str
    raised: str = ""

    def __str__(self) -> str:
        if self.ok:
            return f"ok    {self.name}" + (f": {self.number:.3g} <= {self.limit:.3g}" if self.limit else "")
        if self.raised:
            return f"FAIL  {self.name}: {self.raised}; {self.message}"
        return f"FAIL  {self.name}: {self.number:.3g}, at most {self.limit:.3g} expected; {self.message}"


class _Suite:
    """Collects outcomes; a check that raises has failed. origin: the plugin's file, of which a line is told."""

    def __init__(self, origin: str) -> None:
        self.outcomes: list[Outcome] = []
        self.suffix, self.origin, self.told = "", origin, set[str]()

    def must(self, name: str, message: str, limit: float = 0) -> Callable[[Measure], None]:
        """Decorates a function that measures a number, and runs it at once."""

        def run(measure: Measure) -> None:
            self.add(name, message, limit, measure)

        return run

    def add(self, name: str, message: str, limit: float, measure: Measure) -> None:
        raised = ""
        try:
            with foreign(f"what is checked here ({name})"):
                found = measure()
                number = float(found.number if isinstance(found, _Found) else found)
            if isinstance(found, _Found) and not number <= limit:
                message += f"; {found.note}"
        except Exception as error:  # whatever a plugin raises is the finding
            raised, number = self._told(error), np.inf
        self.outcomes.append(Outcome(name + self.suffix, bool(number <= limit), number, limit, message, raised))

    def _told(self, error: Exception) -> str:
        """What was raised, and at which line of the plugin; the same once more is only "again"."""
        words, own = (
            in_words(error),
            [f for f in traceback.extract_tb(error.__traceback__) if f.filename == self.origin],
        )
        kind, _, text = words.partition(": ")
        if own:
            kind += f" at {Path(self.origin).name}:{own[-1].lineno}"
        elif isinstance(error, UsageError):  # a sentence of ours, which needs no name
            return text
        again = f"{kind}{text}" in self.told
        self.told.add(f"{kind}{text}")
        return f"{kind} again" if again else f"{kind}: {text}"

    def groups(self, *groups: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Groups of checks, one after the other; what a group needs before its first check may fail too."""
        for group in groups:
            before = [o for o in self.outcomes if o.name == "runs" + self.suffix]
            self.add("runs", "building it and calling it once must work", 0, lambda: group(self, *args) or 0)  # noqa: B023
            again = before and self.outcomes[-1].raised.endswith(" again")  # one line of it is enough
            if self.outcomes[-1].name == "runs" + self.suffix and (self.outcomes[-1].ok or again):
                del self.outcomes[-1]


def check(kind: str, name: str, *, reference: Callable[..., Any] | None = None, **arguments: Any) -> list[Outcome]:
    """All checks of one registered name, with these arguments; without them its defaults and examples.

    reference: an independent slow formula to hold the values against. For an activation f(z) on longdouble; for an
    update rule u(g, theta, step, memory, decayed), memory a dict of its own; for a loss the values (B,) of (y, t).
    """
    if kind not in _CHECKS:
        raise UsageError(f"the suite checks {', '.join(_CHECKS)}, got {kind!r}; choose one of them")
    entry = registry.find(kind, name)
    suite = _Suite(entry.origin)
    specs = examples(entry, arguments)
    for spec in specs:
        suite.suffix = f" [{registry.text(spec)}]" if len(specs) > 1 else ""
        told = "the factory must take these arguments and return a function or a product"
        suite.add("can be made", told, 0, lambda: registry.make(kind, spec).spec != spec)  # noqa: B023
        if suite.outcomes[-1].ok:
            with np.errstate(all="ignore"):
                suite.groups(*_CHECKS[kind], args=(entry, spec, reference))
    return suite.outcomes


def assert_conforms(kind: str, name: str, **options: Any) -> list[Outcome]:
    """check, for a test: AssertionError with the lines that failed."""
    outcomes = check(kind, name, **options)
    failed = [str(each) for each in outcomes if not each.ok]
    assert not failed, f"{kind} {name}:\n" + "\n".join(failed)
    return outcomes


def check_module(plugin: str | Path | ModuleType) -> dict[str, list[Outcome]]:
    """Checks everything that a file, a module's name or a module registers: {"layer mine": outcomes}."""
    return {f"{e.kind} {e.name}": check(e.kind, e.name) for e in registered_by(plugin)}


def registered_by(plugin: str | Path | ModuleType) -> list[Entry]:
    """What a file, a module's name or a module registers; UsageError where that is nothing."""
    if isinstance(plugin, ModuleType):
        file = plugin.__file__
    else:
        registry.load_plugin(plugin)
        file = sys.modules[str(plugin)].__file__ if str(plugin) in sys.modules else str(plugin)
    path = Path(file or "").expanduser().resolve()
    inside = path.parent if path.name == "__init__.py" else path
    found = [
        entry
        for entry in registry.entries()
        if any(Path(file).resolve().is_relative_to(inside) for file in (entry.origin, entry.registrar or entry.origin))
    ]
    if not found:
        what = ", ".join(_CHECKS)
        raise UsageError(f"a plugin must register something to check ({what}), {path} does not; decorate a function")
    return found


# Examples -------------------------------------------------------------------------------------------------------------


def examples(entry: Entry, given: dict[str, Any]) -> list[Spec]:
    """Specs to check a name with: the given arguments, its defaults, and examples where neither says anything."""
    filled: list[dict[str, Any]] = [{"name": entry.name, **given}]
    for key, parameter in entry.parameters.items():
        rest = parameter.kind is parameter.VAR_POSITIONAL
        needed = rest or (parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD)
        if needed and key not in given:
            filled = [{**spec, key: value} for spec in filled for value in _example(entry, key, rest)]
    return [registry.canonical(entry.kind, spec) for spec in filled]


def _example(entry: Entry, key: str, rest: bool) -> list[Any]:
    """Values for one argument, or for all arguments of a *rest."""
    sizes = [{"name": "dense", "units": units} for units in (UNITS, I)]  # another number of features, and the same
    role, annotation = entry.role(key), entry.parameters[key].annotation
    if rest and role in ("layer", "update_rule"):
        return [[size, "tanh"] for size in sizes] if role == "layer" else [["clip_norm", "sgd"]]
    single = {
        "scalar": 0.5,
        "layer": sizes[0],
        "activation": "tanh",
        "update_rule": "sgd",
        "initializer": "he",
        "int": UNITS,
        "float": 0.5,
        "bool": False,
    }
    what = role or getattr(annotation, "__name__", annotation)
    if what not in single:
        raise UsageError(
            f"the suite has no example for argument {key!r} of {entry.kind} {entry.signature}; "
            f"annotate it (int, float, Scalar, LayerSpec, ...), give it a default, or check {entry.name}({key}=...)"
        )
    return [[single[what]] if rest else single[what]]


def _members(kind: str, spec: Spec) -> list[Spec]:
    """The spec once for each member, its scalars different; the same ones where the factory refuses the others."""

    def vary(kind: str, spec: Spec, factor: float) -> Spec:
        entry, changed = registry.find(kind, spec["name"]), dict(spec)
        for key, value in registry.arguments(entry, spec).items():
            role = entry.role(key)
            if role == "scalar" and isinstance(value, int | float) and not isinstance(value, bool):
                changed[key] = value * factor
            elif role not in (None, "scalar"):
                nested = value if isinstance(value, list) else [value]
                varied = [vary(str(role), v, factor) if isinstance(v, dict) else v for v in nested]
                changed[key] = varied if isinstance(value, list) else varied[0]
        return registry.canonical(kind, changed)

    try:
        members = [vary(kind, spec, 1.0 - 0.1 * p) for p in range(P)]
        for each in members:
            registry.make(kind, each)
    except UsageError:
        return [spec] * P
    return members


# Measuring ------------------------------------------------------------------------------------------------------------


def _different(a: Any, b: Any) -> float:
    """How many elements differ (NaN equals NaN); infinite where shape or type do."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return np.inf
    return float(np.sum(~((a == b) | ((a != a) & (b != b)))))


def _bad(*arrays: Any) -> float:
    """How many elements are not finite."""
    return float(sum(np.sum(~np.isfinite(a)) for a in arrays))


def _numbers(shape: tuple[int, ...], seed: int = 1, extreme: bool = False, dtype: Any = np.float64) -> np.ndarray:
    """Normal numbers; where extreme, 0, tiny and large ones of both signs among them."""
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal(shape)
    return (x * rng.choice([0.0, 1e-8, 1.0, 30.0, 1e3], shape) if extreme else x).astype(dtype)


def _allocated(call: Callable[[], Any]) -> float:
    """The most bytes held during a call beyond those held before; the first calls do not count."""
    ours = not tracemalloc.is_tracing()
    with debug.paused():  # it looks at copies
        call()
        call()
        if ours:
            tracemalloc.start()
        try:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            if ours:
                tracemalloc.stop()


def _error(f: Callable[[], np.ndarray], array: np.ndarray, gradient: np.ndarray, direction: np.ndarray) -> float:
    """Relative error of gradient . direction against a central difference of sum(f()), allowing for rounding."""
    saved, sums, rounding = array.copy(), [], 0.0
    for sign in (1.0, -1.0):
        array[...] = saved + sign * STEP * direction
        values = f()
        sums.append(np.sum(values))
        rounding += 20 * np.finfo(np.float64).eps * np.sum(np.abs(values)) / STEP
    array[...] = saved
    numeric, terms = (sums[0] - sums[1]) / (2 * STEP), gradient * direction
    size = max(np.sum(np.abs(terms)), abs(numeric), 1e-12) + rounding / GRADIENT
    error = abs(np.sum(terms) - numeric) / size
    return error if np.isfinite(error) else np.inf


class _Bound(NamedTuple):
    """A layer in a network of its own, with its bindings for training and for evaluation."""

    network: Network
    ctx: Context
    train: Callable[[np.ndarray], Any]  # x -> y, backward; random streams and layer state begin anew at each call
    evaluate: Callable[[np.ndarray], np.ndarray]
    outputs: int


def _bind(
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
        [spy], features, loss="squared_error", rule="sgd", seeds=seeds, lead=lead, dtype=dtype, ops=cpu, **sizes
    )
    network.initialize()
    value = network.arena.value
    value += (0.1 * _numbers(value.shape, seeds[0])).astype(dtype)  # biases would be 0 otherwise
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


# Layers ---------------------------------------------------------------------------------------------------------------


def _gradients(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """<J^T dy, v> against the derivative along v, for random dy and v: all entries of a gradient at once."""
    for lead, extreme in (((), False), ((P,), False), ((), True)):
        where = (" at extreme inputs" if extreme else "") + (" in a population" if lead else "")
        bound = _bind(spec, lead)
        arena, rng = bound.network.arena, np.random.default_rng(3)
        x, dy = _numbers((*lead, B, I), 1, extreme), _numbers((*lead, B, bound.outputs), 2)
        bound.train(_numbers(x.shape, 4))[1](_numbers(dy.shape, 5))  # a call before, of which nothing may be left
        arena.grad[...] = np.nan  # what is added to, or left out, stays NaN
        gradients = {"x": (x, np.array(bound.train(x)[1](dy.copy())))}
        grad = arena.grad.copy()
        gradients |= {p.removeprefix("0/"): (arena.view(arena.value, p), arena.view(grad, p)) for p in arena.slices}
        for name, (array, gradient) in gradients.items():

            @suite.must(
                f"gradient of {name}{where}", "must be the derivative of sum(y * dy); written, not added", GRADIENT
            )
            def _(bound=bound, x=x, dy=dy, array=array, gradient=gradient, rng=rng, extreme=extreme) -> float:  # type: ignore[no-untyped-def]
                # at extreme inputs steps in proportion, so that no kink at 0 is crossed
                size = np.abs(array) if extreme else 1.0
                along = [size * rng.standard_normal(array.shape) for _ in range(3)]
                return max(_error(lambda: bound.train(x)[0] * dy, array, gradient, v) for v in along)

    @suite.must("gradient at 0 from both sides", "at a kink a slope must lie between those of its two sides", 1e-4)
    def _() -> float:
        bound, x = _bind(spec, features=3), _numbers((B, 3))

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
        bound = _bind(spec)
        y, backward = bound.train(np.zeros((B, I)))
        return _bad(y) + _bad(backward(_numbers(y.shape)), bound.network.arena.grad)


def _ownership(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """Whose array is whose, and until when. Everything is held against one plain forward and backward."""
    product = layer_of(spec)
    one, other, x = _bind(product), _bind(product, seeds=[21]), _numbers((B, I))
    dy = _numbers((B, one.outputs), 2)

    def run(bound: _Bound, between: Callable[[np.ndarray], None] = lambda y: None) -> list[np.ndarray]:
        bound.network.arena.grad[...] = np.nan
        y, backward = bound.train(x.copy())
        seen = y.copy()
        between(y)
        return [seen, bound.network.arena.grad.copy(), np.array(backward(dy.copy())), bound.network.arena.grad.copy()]

    expected = run(one)

    def same(found: list[np.ndarray]) -> float:
        return sum(map(_different, found, expected))

    def trash(y: np.ndarray) -> None:
        if one.ctx.output_is_scratch:
            y[...] = np.nan

    @suite.must("x is not written", "forward and backward must leave x as it is: it belongs to the layer below")
    def _() -> float:
        taken = x.copy()
        y, backward = one.train(taken)
        changed = _different(taken, x)
        trash(y)
        backward(dy.copy())
        changed += _different(taken, x)
        one.evaluate(taken)
        return changed + _different(taken, x)

    @suite.must("same stream, same result", "equal inputs must give equal bits; draw with ctx.random only")
    def _() -> float:
        return same(run(one))

    @suite.must("output as scratch", "ctx.output_is_scratch = True promises that backward does not read y")
    def _() -> float:
        return same(run(one, trash))

    @suite.must("input as scratch", "with ctx.input_is_scratch the results must be the same")
    def _() -> float:
        return same(run(_bind(product, scratch=True)))

    @suite.must("gradients without dx", "without ctx.input_needs_grad the gradients must be the same")
    def _() -> float:
        found = run(_bind(product, needs=False))
        return _different(found[0], expected[0]) + _different(found[3], expected[3])

    @suite.must("networks share nothing", "two networks of one product must not touch each other; make buffers in bind")
    def _() -> float:
        def between(y: np.ndarray) -> None:
            other.train(_numbers((B, I), 5))[1](_numbers(dy.shape, 6))
            one.evaluate(_numbers((B, I), 7))

        return same(run(one, between))

    @suite.must("returned arrays live", "y and dx must keep their values until the layer's next call")
    def _() -> float:
        y, backward = one.train(x.copy())
        kept = y.copy()
        _, their_backward = other.train(_numbers((B, I), 5))
        one.evaluate(_numbers((B, I), 7))
        changed = _different(kept, y)
        dx = backward(dy.copy())
        kept = dx.copy()
        their_backward(_numbers(dy.shape, 6))
        one.evaluate(_numbers((B, I), 8))
        arena = one.network.arena
        inside = [np.shares_memory(a, b) for a in (y, dx) for b in (arena.value, arena.grad)]
        return changed + _different(kept, dx) + sum(inside)

    @suite.must("backward is linear", "backward(2^k dy) must be exactly 2^k backward(dy)")
    def _() -> float:
        wrong = 0.0
        for factor in (2.0**9, 2.0**-9):
            dx = one.train(x.copy())[1](dy * factor)
            wrong += _different(dx / factor, expected[2]) + _different(one.network.arena.grad / factor, expected[3])
        return wrong


def _modes(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    bound, x = _bind(spec), _numbers((B, I))
    network = bound.network
    bound.train(x)

    @suite.must("evaluation takes each example by itself", "in evaluation a row of y must depend on its row of x alone")
    def _() -> float:
        mixed = _numbers((B, I), 9)
        mixed[:2] = x[:2]
        return _different(bound.evaluate(x)[:2].copy(), bound.evaluate(mixed)[:2])

    @suite.must("evaluation changes nothing", "it must be free of chance and leave parameters and state as they are")
    def _() -> float:
        arrays = [network.arena.value, network.arena.grad, *network.layer_state.values()]
        kept = [a.copy() for a in arrays]
        network.rekey(1)
        first = bound.evaluate(x).copy()
        network.rekey(2)
        return _different(first, bound.evaluate(x)) + sum(map(_different, kept, arrays))

    @suite.must("training writes its state alone", "forward and backward must leave the parameters as they are")
    def _() -> float:
        fresh = _bind(spec)
        kept = fresh.network.arena.value.copy()
        y, backward = fresh.train(x)
        backward(_numbers(y.shape, 2))
        return _different(kept, fresh.network.arena.value)

    @suite.must("what it remembers is state", "another network with the same parameters and ctx.state must equal this")
    def _() -> float:
        twin = _bind(spec)
        bound.train(_numbers((B, I), 3))
        twin.network.arena.value[...] = network.arena.value
        for key, array in twin.network.layer_state.items():
            array[...] = network.layer_state[key]
        return _different(bound.evaluate(x), twin.evaluate(x))

    @suite.must("training differs by chance or state", "without ctx.random or ctx.state it must equal evaluation", 1e-9)
    def _() -> float:
        y = bound.train(x)[0].copy()
        others = (_bind(spec, seeds=[seed], like=network).train(x)[0] for seed in range(21, 37))
        if network.layer_state or any(_different(y, other) for other in others):
            return 0.0
        return np.max(np.abs(y - bound.evaluate(x))) / (1.0 + np.max(np.abs(y)))


def _single_precision(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    @suite.must(
        "shape and dtype are kept", "y (..., B, O), dx (..., B, I) in the dtype of x; np.float64 promotes float32"
    )
    def _() -> float:
        wrong = 0
        for lead in ((), (P,)):
            bound, x = _bind(spec, lead, np.float32), _numbers((*lead, B, I), dtype=np.float32)
            seen = bound.evaluate(x)
            y, backward = bound.train(x)
            dx = backward(_numbers((*lead, B, bound.outputs), 2, dtype=np.float32))
            shapes = (*lead, B, bound.outputs), (*lead, B, bound.outputs), x.shape
            wrong += sum(a.dtype != np.float32 or a.shape != s for a, s in zip((seen, y, dx), shapes, strict=True))
        return wrong

    @suite.must("finite at large inputs in float32", "y and dx must not overflow on the way where the result does not")
    def _() -> float:
        found = []
        for dtype in (np.float64, np.float32):
            bound, x = _bind(spec, (), dtype), _numbers((B, I), 1, True, np.float32)
            y, backward = bound.train(x.astype(dtype))
            seen = y.astype(np.float32)
            found.append([seen, backward(_numbers(y.shape, 2, dtype=dtype)).astype(np.float32)])
        return sum(np.sum(np.isfinite(wide) & ~np.isfinite(narrow)) for wide, narrow in zip(*found, strict=True))

    if entry.kind == "activation" and not entry.options.get("inplace"):
        return

    @suite.must("second step allocates nothing", "take buffers from ctx.empty once, write with out=", ALLOWANCE)
    def _() -> float:
        size = {"units": 500} if spec.get("units") == UNITS else {}
        bound = _bind({**spec, **size}, (), np.float32, features=601, batch=120)
        x, dy = (_numbers((120, k), dtype=np.float32) for k in (601, bound.outputs))
        return _allocated(lambda: bound.train(x)[1](dy))


def _rows(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    """Three steps of training and an evaluation, of a population and of each member alone."""
    members = _members("layer", spec)
    told = "row p of a population must equal, bit for bit, the same layer trained alone"
    for shared in (False, True):

        @suite.must(f"population row equals alone{', shared inputs' if shared else ''}", told)
        def _(shared: bool = shared) -> float:
            x, t = _numbers((P, 3, 11, I), dtype=np.float32), _numbers((P, 3, 11, 2), 2, dtype=np.float32)
            unseen, end = _numbers((9, I), 3, dtype=np.float32), {"name": "dense", "units": 2}

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
                _different(np.asarray(a[p]), b) for p in range(P) for a, b in zip(together, train(p), strict=True)
            )


# Activations ----------------------------------------------------------------------------------------------------------


def _elementwise(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    value, pullback = registry.make("activation", spec)
    special, ordinary = np.array([[-p for p in POINTS], POINTS]), 3.0 * _numbers((4, 12))

    def f(z: np.ndarray) -> np.ndarray:
        out = np.full_like(z, np.nan)
        value(np, z.copy(), out)
        return out

    def slope(z: np.ndarray) -> np.ndarray:
        da = np.ones_like(z)
        pullback(np, z.copy(), f(z), da)
        return da

    def outside(*points: np.ndarray) -> _Found:
        """How far slopes lie outside of the one-sided difference quotients, which agree where f is smooth."""
        z = np.concatenate([each.ravel() for each in points])
        h = np.where(np.abs(z) < 1e-6, np.maximum(np.abs(z) / 4, 1e-9), STEP * np.maximum(np.abs(z), 1.0))
        middle, found = f(z), slope(z)
        noise = 8 * np.finfo(np.float64).eps * (np.abs(middle) + 1e-3) / h
        sides = [(4 * f(z + s) - f(z + 2 * s) - 3 * middle) / (2 * s) for s in (-h, h)]
        low, high = np.minimum(*sides), np.maximum(*sides)
        error = np.maximum(np.maximum(low - found, found - high) - noise, 0.0) / (1.0 + np.abs(low) + np.abs(high))
        error = np.where(np.isfinite(found), error, np.inf)
        k = int(np.argmax(error))
        between = (
            f"{low[k]:.6g}"
            if np.isclose(low[k], high[k], 1e-4, 1e-6, equal_nan=True)
            else f"{low[k]:.6g} to {high[k]:.6g}"
        )
        return _Found(error[k], f"at z = {z[k]:.6g} it is {found[k]:.6g} and should be {between}")

    told = "the pullback must multiply da by the slope of value; at a kink by one between those of its two sides"
    everywhere = np.linspace(-21.3, 21.3, 1701)  # 0.025 apart: where a piece of its own may hide
    suite.add("slope at ordinary inputs", told, 1e-6, lambda: outside(ordinary, everywhere))
    suite.add("slope at 0, tiny, round and large inputs", told, 1e-5, lambda: outside(special))

    @suite.must("elementwise", "an element of f(z) must depend on that element of z alone; otherwise it is a layer")
    def _() -> float:
        order = np.random.default_rng(4).permutation(ordinary.size)
        mixed = ordinary.reshape(-1)[order].reshape(6, 8)
        return _different(f(ordinary).reshape(-1)[order], f(mixed).reshape(-1))

    if entry.options["spelling"] == "expression":

        @suite.must(
            "expression as on arrays", "f(z) of an array must be what tracing made of it, without chance", 1e-12
        )
        def traced() -> float:
            z = np.concatenate([special.ravel(), ordinary.ravel()])
            given, found = registry.arguments(entry, spec), f(z)
            plain = np.asarray(entry.factory(z.copy(), **given), dtype=z.dtype)
            error = np.abs(found - plain) / (1.0 + np.abs(plain))
            return np.max(np.where((found == plain) | ((found != found) & (plain != plain)), 0.0, error))

    @suite.must("value does not write z", "value(xp, z, out) must leave z as it is")
    def _() -> float:
        z = ordinary.copy()
        value(np, z, np.empty_like(z))
        return _different(z, ordinary)

    @suite.must("float32 agrees with float64", "also at large inputs, where a careless formula overflows", 1e-5)
    def _() -> float:
        z = np.concatenate([special.ravel(), [-1e4, -100.0, 100.0, 1e4], ordinary.ravel()]).astype(np.float32)
        worst = []
        for g in (f, slope):
            wide, narrow = g(z.astype(np.float64)), g(z).astype(np.float64)
            error = np.abs(wide - narrow) / np.maximum(np.maximum(np.abs(wide), np.abs(z)), 1.0)
            worst.append(np.max(error[np.abs(wide) < 3e38]))
        return np.max(worst)

    if reference is not None:

        @suite.must("value against the reference, in ULP", "units in the last place of max(|f|, 1), float64", 4)
        def _() -> float:
            z = np.concatenate([special.ravel(), ordinary.ravel(), np.linspace(-8, 8, 1601)])
            exact = np.asarray(reference(z.astype(np.longdouble)))
            return np.max(np.abs(f(z) - exact) / np.spacing(np.maximum(np.abs(exact), 1.0).astype(np.float64)))


# Update rules ---------------------------------------------------------------------------------------------------------


class _Driven(NamedTuple):
    network: Network
    theta: np.ndarray
    step: Callable[..., None]  # gradient (..., n) or a function of theta; fraction of the run


def _drive(
    rule: Any, lead: tuple[int, ...] = (), dtype: Any = np.float64, seeds: Any = None, shape: tuple[int, int] = (7, 5)
) -> _Driven:
    """A network of one matrix and one bias whose gradients are what the caller says."""
    given: dict[str, Any] = {}

    def probe(ctx: Context, width: int) -> Any:
        ctx.param("W", shape, "normal(scale=1)")
        ctx.param("b", (1, shape[1]), "normal(scale=1)", decay=False)
        y = ctx.empty(2)
        y[...] = 0.0

        def backward(dy: np.ndarray) -> np.ndarray:
            arena = network.arena
            arena.grad[...] = given["g"](arena.value) if callable(given["g"]) else given["g"]
            return dy

        return (lambda x, train: (y, backward)), 2

    seeds, sizes = seeds or SEEDS[: lead[0] if lead else 1], {"batch": 1, "eval_batch": 1}
    network = build([probe], 2, loss="squared_error", rule=rule, seeds=seeds, lead=lead, dtype=dtype, ops=cpu, **sizes)
    network.initialize()
    network.rekey(1)
    x = np.zeros((*lead, 1, 2), dtype)

    def step(g: Any, fraction: float = 0.0) -> None:
        given["g"] = g
        network.step(x, x, fraction)

    return _Driven(network, network.arena.value, step)


def _walk(state: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    for key, value in state.items():
        if isinstance(value, dict):
            yield from _walk(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _rule(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    gradients = _numbers((20, P, 7 * 5 + 5))

    def run(driven: _Driven, which: Any = 0, ks: Iterable[int] = range(10)) -> np.ndarray:
        for k in ks:
            driven.step(gradients[k][which].astype(driven.theta.dtype), k / 20)
        return driven.theta.copy()

    @suite.must("population row equals alone", "row p must equal, bit for bit, the same rule alone; see arena.scalar")
    def _() -> float:
        members, ks = _members("update_rule", spec), range(20)
        together = run(_drive(registry.merge("update_rule", members), (P,), np.float32), slice(None), ks)
        alone = [run(_drive(members[p], (), np.float32, [SEEDS[p]]), p, ks) for p in range(P)]
        return _different(together, np.array(alone))

    @suite.must("saved and restored midway", "all that a rule remembers must be in its named state")
    def _() -> float:
        first, second = _drive(spec), _drive(spec)
        run(first)
        run(second, 1, range(1))  # a composition names some of its state at the first step
        saved = {k: v.copy() for k, v in _walk(first.network.rule_state)}
        second.theta[...] = first.theta
        for k, v in _walk(second.network.rule_state):
            v[...] = saved[k]
        for each in (first, second):
            each.network.rekey(2)
        return _different(run(first, 0, range(10, 20)), run(second, 0, range(10, 20)))

    @suite.must("networks share nothing", "two networks of one rule must keep their states apart; make state in init")
    def _() -> float:
        made = registry.make("update_rule", spec)
        expected, one, other = run(_drive(spec)), _drive(made), _drive(made, seeds=[21])
        for k in range(10):
            run(one, 0, [k])
            run(other, 1, [k])
        return _different(expected, one.theta)

    @suite.must("update writes u alone", "the engine adds u to the parameters; write those in project, after the step")
    def _() -> float:
        made, changed = registry.make("update_rule", spec), [0.0]

        def update(u: np.ndarray, arena: Any, state: dict[str, Any]) -> None:
            kept = arena.value.copy()
            made.update(u, arena, state)
            changed[0] += _different(kept, arena.value)

        watched = made._replace(update=update)
        watched.spec = made.spec
        run(_drive(watched))
        return changed[0]

    @suite.must("same stream, same result", "equal gradients must give equal bits; draw with arena.random only")
    def _() -> float:
        return _different(run(_drive(spec)), run(_drive(spec)))

    @suite.must("shape and dtype of the state", "(..., n) in the dtype of the parameters, and scalars (..., 1)")
    def _() -> float:
        wrong = 0
        for lead in ((), (P,)):
            driven = _drive(spec, lead, np.float32)
            run(driven, slice(None) if lead else 0)
            for _, array in _walk(driven.network.rule_state):
                wide = array.shape[-1] != 1 and array.dtype.kind == "f" and array.dtype != np.float32
                wrong += array.shape[: len(lead)] != lead or wide
        return wrong

    @suite.must("finite for gradients of 0, tiny and large", "a step must not divide 0 by 0, or overflow")
    def _() -> float:
        wrong = 0.0
        for dtype in (np.float32, np.float64):
            for size in (0.0, 1e-12, 1e4):
                driven = _drive(spec, (), dtype)
                for k in range(3):
                    driven.step((size * gradients[k, 0]).astype(dtype), k / 20)
                wrong += _bad(driven.theta)
        return wrong

    @suite.must("second step allocates nothing", "keep scratch in the state, write with out=", ALLOWANCE)
    def _() -> float:
        driven = _drive(spec, (), np.float32, shape=(300, 200))
        g = _numbers(driven.theta.shape, dtype=np.float32)
        return _allocated(lambda: driven.step(g))

    if registry.make("update_rule", spec).evaluate is not None:

        @suite.must(
            "parameters for evaluation",
            "evaluate must keep shape, dtype and rows, give the same when asked again, and leave theta",
        )
        def _() -> float:
            members, found = _members("update_rule", spec), []
            merged = registry.merge("update_rule", members)
            together = _drive(merged, (P,), np.float32)
            run(together, slice(None))
            alone = [_drive(members[p], (), np.float32, [SEEDS[p]]) for p in range(P)]
            for p, driven in enumerate(alone):
                run(driven, p)
            for driven in (together, *alone):
                kept, theta = driven.theta.copy(), driven.network.theta or (lambda: None)
                found.append(np.array(theta()))
                if _different(found[-1], theta()) + _different(kept, driven.theta):
                    return np.inf
            return _different(found[0], np.array(found[1:]))

    given = registry.arguments(entry, spec)
    numbers = [k for k, v in given.items() if entry.role(k) == "scalar" and isinstance(v, int | float)]
    if numbers:

        @suite.must(
            "scalars may be scheduled", "a constant schedule must equal the number; read scalars from the state"
        )
        def _() -> float:
            expected, wrong = run(_drive(spec)), 0.0
            for key in numbers:
                start = float(given[key])
                constant, linear = {"name": "constant", "value": start}, {"name": "linear", "start": start}
                wrong += _different(expected, run(_drive({**spec, key: constant})))
                moved = run(_drive({**spec, key: {**linear, "end": start / 2}}))
                wrong += _bad(moved) + (key == "learning_rate" and not _different(expected, moved))
            return wrong

    if "learning_rate" in numbers:

        @suite.must("learning rate 0 changes nothing", "parameters must stay as they are")
        def idle() -> float:  # three functions of one name in a row of ifs are overloads to mypy
            driven = _drive({**spec, "learning_rate": {"name": "constant", "value": 0.0}})
            return _different(driven.theta.copy(), run(driven))

    if "learning_rate" in entry.parameters:

        @suite.must("descends", "300 steps must lower a quadratic bowl, relative to its start; mind the sign", 0.995)
        def descent() -> float:
            driven = _drive(spec)
            away = _numbers(driven.theta.shape, 8)
            goal = driven.theta + away
            for k in range(300):
                driven.step(lambda theta: theta - goal, k / 300)
            return np.sum((driven.theta - goal) ** 2) / np.sum(away**2)

    if reference is not None:

        @suite.must("1000 steps against the reference", "relative to how far the parameters went, in float64", 1e-9)
        def trajectory() -> float:
            driven, rng = _drive(spec), np.random.default_rng(6)
            theta, memory, worst = driven.theta.copy(), {}, 0.0  # type: ignore[var-annotated]
            start = theta.copy()
            for k in range(1, 1001):
                g = rng.standard_normal(theta.shape) + 0.3 * theta
                driven.step(g, (k - 1) / 1000)
                theta = theta + reference(g.copy(), theta.copy(), k, memory, driven.network.arena.decayed)
                gone = max(np.max(np.abs(theta - start)), 1e-300)
                worst = max(worst, np.max(np.abs(theta - driven.theta)) / gone)
            return worst


# Losses ---------------------------------------------------------------------------------------------------------------


def _bind_loss(spec: Any, lead: tuple[int, ...] = (), dtype: Any = np.float64, batch: int = B) -> Any:
    return registry.make("loss", spec)(_bind("identity", lead, dtype, batch=batch).ctx, UNITS)


def _targets(lead: tuple[int, ...], rows: int, dtype: Any = np.float64) -> np.ndarray:
    """Indicator rows, good targets for a regression as well."""
    rng = np.random.default_rng(12)
    return np.eye(UNITS, dtype=dtype)[rng.integers(0, UNITS, (*lead, rows))]


def _loss(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    y, t = _numbers((B, UNITS)), _targets((), B)

    for lead in ((), (P,)):

        @suite.must(
            f"gradient{' in a population' if lead else ''}", "must be that of the mean over the batch", GRADIENT
        )
        def _(lead: tuple[int, ...] = lead) -> float:
            y, t = _numbers((*lead, B, UNITS)), _targets(lead, B)
            forward, rng = _bind_loss(spec, lead)[0], np.random.default_rng(3)
            forward(2.0 * y, t[..., ::-1, :])[1]()  # a call before, of which nothing may be left
            found = forward(y, t)[1]().copy()
            along = [rng.standard_normal(y.shape) for _ in range(5)]
            return max(_error(lambda: forward(y, t)[0] / B, y, found, v) for v in along)

    @suite.must("y and t are not written", "y belongs to the last layer and t to the data")
    def _() -> float:
        taken, wanted = y.copy(), t.copy()
        _bind_loss(spec)[0](taken, wanted)[1]()
        return _different(taken, y) + _different(wanted, t)

    @suite.must("networks share nothing", "two networks of one product must not touch each other; make buffers in bind")
    def _() -> float:
        made = registry.make("loss", spec)
        (one, _), (other, _) = _bind_loss(made), _bind_loss(made)
        expected = one(y, t)[1]().copy()
        values, backward = one(y, t)
        kept = values.copy()
        other(2.0 * y, t[::-1])[1]()
        return _different(kept, values) + _different(expected, backward())

    @suite.must("each example by itself", "the value of an example must depend on its own row alone")
    def _() -> float:
        forward, mixed, others = _bind_loss(spec)[0], y.copy(), t.copy()
        mixed[2:], others[2:] = 3.0, 2.0 * t[1::-1]
        return _different(forward(y, t)[0][:2].copy(), forward(mixed, others)[0][:2])

    @suite.must("downhill to the targets", "500 small steps along -dy must bring predict(y) to t; mind the signs")
    def _() -> float:
        forward, predict = _bind_loss(spec)
        found = y.copy()
        for _ in range(500):
            dy = forward(found, t)[1]()
            found -= 0.05 * dy / (np.max(np.abs(dy), axis=-1, keepdims=True) + 1e-300)
        return np.sum(np.argmax(predict(found), axis=-1) != np.argmax(t, axis=-1))

    @suite.must("targets that members share", "t (B, O) with y (P, B, O) must be the same as a copy for each member")
    def _() -> float:
        forward, ys = _bind_loss(spec, (P,))[0], _numbers((P, B, UNITS))
        found = []
        for given in (t, np.repeat(t[None], P, axis=0)):
            values, backward = forward(ys, given)
            found.append((values.copy(), backward().copy()))
        return sum(map(_different, *found))

    @suite.must("population row equals alone", "row p must equal, bit for bit, the same loss alone")
    def _() -> float:
        members = _members("loss", spec)
        y, t = _numbers((P, 9, UNITS), dtype=np.float32), _targets((P,), 9, np.float32)

        def run(loss: Any, lead: tuple[int, ...], y: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
            forward, predict = _bind_loss(loss, lead, np.float32, 9)
            values, backward = forward(y, t)
            return [values.copy(), backward().copy(), np.array(predict(y.copy()))]

        alone = [run(members[p], (), y[p], t[p]) for p in range(P)]
        together = run(registry.merge("loss", members), (P,), y, t)
        return sum(_different(a, np.array(b)) for a, b in zip(together, zip(*alone, strict=True), strict=True))

    @suite.must("finite at large outputs in float32", "for y = +-1e4; shift before exp")
    def _() -> float:
        forward, predict = _bind_loss(spec, (), np.float32)
        large = (np.sign(y) * 1e4).astype(np.float32)
        values, backward = forward(large, t.astype(np.float32))
        return _bad(values, backward(), predict(large))

    @suite.must("shape and dtype are kept", "values (..., B), dy and predictions (..., B, O) in the dtype of y")
    def _() -> float:
        forward, predict = _bind_loss(spec, (), np.float32)
        narrow = y.astype(np.float32)
        values, backward = forward(narrow, t.astype(np.float32))
        found = [(values, (B,)), (backward(), y.shape), (predict(narrow), y.shape)]
        return sum(a.shape != s or a.dtype != np.float32 for a, s in found)

    @suite.must("second step allocates nothing", "take buffers from ctx.empty once, write with out=", ALLOWANCE)
    def _() -> float:
        rows = 30_000
        forward, predict = _bind_loss(spec, (), np.float32, rows)
        y, t = _numbers((rows, UNITS), dtype=np.float32), _targets((), rows, np.float32)
        return _allocated(lambda: (forward(y, t)[1](), predict(y)))

    if reference is not None:

        @suite.must("values against the reference", "relative to 1 + |value|, in float64", 1e-12)
        def _() -> float:
            values, exact = _bind_loss(spec)[0](y, t)[0], np.asarray(reference(y, t))
            return np.max(np.abs(values - exact) / (1.0 + np.abs(exact)))


# Initializers, schedules, metrics -------------------------------------------------------------------------------------


def _initializer(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    draw = registry.make("initializer", spec)

    def drawn(shape: tuple[int, int], seed: int) -> Any:
        return draw(np.random.default_rng(seed), shape, *shape)

    @suite.must("finite float64 of the shape", "what draw(rng, shape, fan_in, fan_out) must return")
    def _() -> float:
        found = [(drawn(s, 1), s) for s in ((I, UNITS), (1, UNITS), (40, 30))]
        return sum(np.shape(w) != s or w.dtype != np.float64 or not np.isfinite(w).all() for w, s in found)

    @suite.must("same seed, same weights", "draw from the rng that is given, and from nothing else")
    def _() -> float:
        return _different(drawn((40, 30), 1), drawn((40, 30), 1))

    @suite.must("another seed, other weights", "weights that are not constant must depend on the rng")
    def _() -> float:
        w = drawn((40, 30), 1)
        return np.ptp(w) > 0 and not _different(w, drawn((40, 30), 2))


def _schedule(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    at, grid = registry.make("schedule", spec), np.linspace(0.0, 1.0, 101).tolist()

    @suite.must("finite over the run", "at(t) must be a finite number for t in [0, 1]")
    def _() -> float:
        return _bad([float(at(t)) for t in grid])

    @suite.must("the same whenever asked", "at(t) must depend on t alone: a run may be resumed anywhere")
    def _() -> float:
        return _different([at(t) for t in grid], [at(t) for t in grid[::-1]][::-1])


def _metric(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    score, rng, n = registry.make("metric", spec), np.random.default_rng(5), 10_001
    y: np.ndarray = rng.standard_normal((n, 2))
    good, poor, p = y, y[::-1], y + rng.standard_normal((P, n, 2))
    labelled = entry.options["task"] == "classification"
    if labelled:
        y, p = rng.integers(0, UNITS, n), rng.dirichlet(np.ones(UNITS), (P, n))
        good, poor = np.eye(UNITS)[y], np.eye(UNITS)[(y + 1) % UNITS]

    @suite.must("population row equals alone", "predictions (P, N, O) must give (P,), each bit for bit as for (N, O)")
    def _() -> float:
        wrong = 0.0
        for dtype in (np.float32, np.float64):
            q, truth = p.astype(dtype), y if labelled else y.astype(dtype)
            wrong += _different(score(q, truth), np.array([score(q[k], truth) for k in range(P)]))
        return wrong

    @suite.must("inputs are not written", "predictions and truth are read by others too")
    def _() -> float:
        taken, truth = p.copy(), y.copy()
        score(taken, truth)
        return _different(taken, p) + _different(truth, y)

    @suite.must("order of the examples", "the score must not depend on it; relative to 1 + |score|", 1e-9)
    def _() -> float:
        mixed, found = rng.permutation(n), float(score(p[0], y))
        return abs(found - float(score(p[0][mixed], y[mixed]))) / (1.0 + abs(found))

    @suite.must("direction", f"the truth must score better than wrong answers; declared: {entry.options['direction']}")
    def _() -> float:
        sign = 1.0 if entry.options["direction"] == "maximize" else -1.0
        return not sign * float(score(good, y)) > sign * float(score(poor, y))


# Data sets and recorders, held against what training and the books do with them ---------------------------------------


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


def _dataset(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    @suite.must("the same each time", "every process makes its own: seed your generator, depend on no clock or order")
    def _() -> float:
        return registry.make("dataset", spec).digest != registry.make("dataset", spec).digest

    @suite.must("a network trains on it", "one epoch of a linear network, standardized, must have a finite loss")
    def _() -> float:
        (record,) = _trained(spec).records
        return _bad(record.losses, *record.metrics.values())


def _recorder(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    trained, record = _trained("mnist14(rows=500)", film="film(frames=3)"), registry.make("recorder", spec)
    kept = {k: np.copy(v) for k, v in _walk(trained.state) if isinstance(v, np.ndarray)}

    @suite.must("is a Report", "record(trained) must return Report(metrics: numbers by name, artifacts: bytes by path)")
    def _() -> float:
        metrics, artifacts = record(trained)
        wrong = sum(not isinstance(k, str) or np.ndim(v) != 0 for k, v in metrics.items())
        return wrong + sum(not isinstance(v, bytes) or not safe_path(k) for k, v in artifacts.items())

    @suite.must("finite numbers", "of a network that trains well")
    def _() -> float:
        return _bad(*map(float, record(trained).metrics.values()))

    @suite.must("training is not written", "what a recorder reads belongs to the next recorder too")
    def _() -> float:
        return sum(_different(v, kept[k]) for k, v in _walk(trained.state) if isinstance(v, np.ndarray))


_LAYER = (_gradients, _ownership, _modes, _single_precision, _rows)
# On a GPU ------------------------------------------------------------------------------------------------------------


@cache
def _has_gpu() -> bool:
    try:
        ops_for("gpu")
    except UsageError:
        return False
    return True


def _device(suite: _Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    if _has_gpu():
        message = "on the GPU a step from NumPy's state must come to NumPy's parameters, relative to their norm"
        suite.add("same on the GPU", message, DEVICE, lambda: device_distance(entry, spec))


def device_distance(entry: Entry, spec: Spec, device: str = "gpu") -> float:
    """|theta on the device - theta on NumPy| / |theta on NumPy|, after a full-batch step from the state that NumPy has
    after two.

    Of a plugin with randomness, which the devices draw from different streams: 0 if the step is no farther off than
    three times that with another seed. Of one that digits cannot be trained with: 0.
    """
    fields: dict[str, Any] = {"layers": ["dense(24)", "tanh", "dense(10)"]}
    if entry.kind in ("activation", "layer"):
        fields["layers"] = ["dense(24)", spec, "tanh", "dense(10)"]
    elif entry.kind == "loss":
        fields["loss"] = spec
    else:
        alone = "learning_rate" in entry.parameters
        fields["update"] = spec if alone else {"name": "compose", "rules": [spec, "sgd(0.1)"]}
    try:
        config = Config(data="mnist14(rows=500)", batch="full", epochs=3, film=None, **fields)
        state, _ = segment(config, prepare(config), epochs=2)
    except UsageError:
        return 0.0

    def step(config: Config) -> np.ndarray:
        return segment(config, prepare(config), state)[0]["theta"]

    here, there, other = (step(config.replace(**each)) for each in ({}, {"device": device}, {"seed": 1}))
    norm, off, noise = (float(np.linalg.norm(each)) for each in (here, there - here, other - here))
    return 0.0 if noise > DEVICE * norm and off < 3 * noise else off / norm


_CHECKS: dict[str, tuple[Callable[..., None], ...]] = {
    "activation": (_elementwise, *_LAYER, _device),
    "layer": (*_LAYER, _device),
    "update_rule": (_rule, _device),
    "loss": (_loss, _device),
    "initializer": (_initializer,),
    "schedule": (_schedule,),
    "metric": (_metric,),
    "dataset": (_dataset,),
    "recorder": (_recorder,),
}
