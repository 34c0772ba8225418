"""Rules that look at a parameter as a whole: its norm, or the matrix that it is."""

from math import sqrt
from typing import Any

from harness.builtin.updates.adaptive import check_adam, deviation, moments
from harness.builtin.updates.common import (
    State,
    add_decay,
    arrays,
    below_one,
    norm,
    not_negative,
    part,
    positive,
    scalars,
    weights,
    whole,
)
from harness.builtin.updates.elementwise import elementwise
from harness.engine.arena import Arena
from harness.engine.contracts import Rule
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import update_rule
from harness.registry.known import Scalar


def _decayed(arena: Arena) -> list[slice]:
    """Where the parameters that decay lie, one slice for each."""
    return [at for at, _ in arena.slices.values() if at.stop <= arena.decayed]


def _matrices(arena: Arena) -> list[tuple[slice, tuple[int, ...]]]:
    """Where weights lie that are one matrix each."""
    return [(at, shape) for at, shape in weights(arena) if len(shape) == 2]


@update_rule()
def lars(
    learning_rate: Scalar = 0.1,
    decay: Scalar = 0.9,
    weight_decay: Scalar = 1e-4,
    trust: Scalar = 1e-3,
) -> Rule:
    """v <- decay * v + learning_rate * trust * |W| / |d| * (g + weight_decay * W), u = -v

    |d| = |g| + weight_decay * |W|.
    v (..., n); norms of each parameter by itself.
    Parameters that do not decay (biases), and those that are 0, take momentum's step: v <- decay *
    v + learning_rate * g.
    Reference: You, Gitman and Ginsburg, 2017.
    """
    positive("lars", learning_rate=learning_rate, trust=trust)
    below_one("lars", decay=decay)
    not_negative("lars", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena, learning_rate=learning_rate, decay=decay, weight_decay=weight_decay, trust=trust
        )
        return {**arrays(arena, "v", "scratch", "squares"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        v = state["v"]
        k = arena.decayed
        rate = state["weight_decay"]
        s = state["scratch"]
        squares = state["squares"]
        xp.multiply(u[..., :k], u[..., :k], out=s[..., :k])
        xp.multiply(arena.value[..., :k], arena.value[..., :k], out=squares[..., :k])
        ratios = []
        for at in _decayed(arena):
            size = norm(xp, squares[..., at])
            below = norm(xp, s[..., at])
            below += rate * size
            both = (size > 0) & (below > 0)
            # Divided by 1 where the ratio is not taken, so that nothing is divided by 0.
            ratio = state["trust"] * size / xp.where(both, below, 1)
            ratios.append((at, xp.where(both, ratio, 1)))
        # Norms are those of the gradient itself, before the decay is added to it.
        add_decay(u, arena, rate, s)
        for at, ratio in ratios:
            xp.multiply(u[..., at], ratio, out=u[..., at])
        xp.multiply(u, state["learning_rate"], out=u)
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, u, out=v)
        xp.negative(v, out=u)

    return Rule(init, update)


@update_rule()
def lamb(
    learning_rate: Scalar = 1e-3,
    beta1: Scalar = 0.9,
    beta2: Scalar = 0.999,
    eps: Scalar = 1e-6,
    weight_decay: Scalar = 0.01,
) -> Rule:
    """r = m' / (sqrt(v') + eps) + weight_decay * W, u = -learning_rate * |W| / |r| * r

    m', v' as in adam, m, v (..., n); norms of each parameter by itself.
    The ratio is 1 for parameters that do not decay (biases) and where either norm is 0.
    Reference: You et al., ICLR 2020 (with phi(z) = z).
    """
    check_adam("lamb", learning_rate, beta1, beta2, eps)
    not_negative("lamb", weight_decay=weight_decay)

    def direction(g, m, v, *, theta, decays, step, beta1, beta2, eps, weight_decay):
        m, v = moments(g, m, v, beta1, beta2)
        r = m * (1 / (1 - beta1**step)) / (deviation(v, beta2, step) + eps)
        return r + weight_decay * decays * theta, m, v

    inner = elementwise(direction, beta1=beta1, beta2=beta2, eps=eps, weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        numbers = scalars(arena, learning_rate=learning_rate, factor=0.0)
        return {**inner.init(arena), **arrays(arena, "scratch"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        k = arena.decayed
        factor = state["factor"]
        inner.update(u, arena, state)
        places = _decayed(arena)
        # One scratch holds the squares of the parameters first, and those of the update then.
        xp.multiply(arena.value[..., :k], arena.value[..., :k], out=s[..., :k])
        sizes = [norm(xp, s[..., at]) for at in places]
        xp.multiply(u[..., :k], u[..., :k], out=s[..., :k])
        for at, size in zip(places, sizes, strict=True):
            below = norm(xp, s[..., at])
            both = (size > 0) & (below > 0)
            ratio = xp.where(both, size / xp.where(both, below, 1), 1)
            xp.multiply(u[..., at], ratio, out=u[..., at])
        xp.multiply(u, xp.negative(state["learning_rate"], out=factor), out=u)

    return Rule(init, update)


@update_rule()
def novograd(
    learning_rate: Scalar = 0.01,
    beta1: Scalar = 0.95,
    beta2: Scalar = 0.98,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 0.0,
) -> Rule:
    """m <- beta1 m + g / (sqrt(v) + eps) + weight_decay * W, u = -learning_rate * m

    v <- beta2 v + (1 - beta2) |g|^2, one number for each parameter (a matrix, or a row of biases);
    |g|^2 itself at the first step.
    m (..., n), v (..., as many as there are parameters).
    Weights decay, biases do not.
    Reference: Ginsburg et al., Stochastic gradient methods with layer-wise adaptive moments, 2019
    (arXiv:1905.11286).
    """
    check_adam("novograd", learning_rate, beta1, beta2, eps)
    not_negative("novograd", weight_decay=weight_decay)

    def init(arena: Arena) -> State:
        numbers = scalars(
            arena,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            eps=eps,
            weight_decay=weight_decay,
        )
        shape = (*arena.value.shape[:-1], len(arena.slices))
        v = arena.xp.zeros(shape, arena.value.dtype)
        return {"v": v, **arrays(arena, "m", "scratch"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        m = state["m"]
        s = state["scratch"]
        kept = xp.where(state["step"] > 1, state["beta2"], 0)
        xp.multiply(u, u, out=s)
        for i, (at, _) in enumerate(arena.slices.values()):
            v = state["v"][..., i : i + 1]
            v[...] = kept * v + (1 - kept) * xp.add.reduce(s[..., at], axis=-1, keepdims=True)
            xp.divide(u[..., at], xp.sqrt(v) + state["eps"], out=u[..., at])
        add_decay(u, arena, state["weight_decay"], s)
        xp.multiply(m, state["beta1"], out=m)
        xp.add(m, u, out=m)
        xp.multiply(m, -state["learning_rate"], out=u)

    return Rule(init, update)


@update_rule()
def fromage(learning_rate: Scalar = 0.01) -> Rule:
    """W <- (W - learning_rate * |W| / |g| * g) / sqrt(1 + learning_rate^2)

    u is the difference; norms of each parameter (a matrix, or a row of biases) by itself.
    The ratio |W| / |g| is 1 where either norm is 0.
    Reference: Bernstein, Vahdat, Yue and Liu, On the distance between two neural networks and the
    stability of learning, NeurIPS 2020.
    """
    positive("fromage", learning_rate=learning_rate)

    def init(arena: Arena) -> State:
        numbers = scalars(arena, learning_rate=learning_rate)
        return {**arrays(arena, "scratch", "squares"), **numbers}

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        squares = state["squares"]
        rate = state["learning_rate"]
        shrink = 1 / xp.sqrt(1 + rate * rate)
        xp.multiply(u, u, out=s)
        xp.multiply(arena.value, arena.value, out=squares)
        for at, _ in arena.slices.values():
            size = norm(xp, squares[..., at])
            below = norm(xp, s[..., at])
            both = (size > 0) & (below > 0)
            ratio = xp.where(both, size / xp.where(both, below, 1), 1)
            xp.multiply(u[..., at], -rate * ratio * shrink, out=u[..., at])
        xp.multiply(arena.value, shrink - 1, out=s)
        xp.add(u, s, out=u)

    return Rule(init, update)


# A x + B x^3 + C x^5 drives every singular value into about [0.7, 1.2]. The coefficients are
# Jordan's, as in PyTorch.
A = 3.4445
B = -4.775
C = 2.0315


def _orthogonalize(
    xp: Any, u: Array, s: Array, at: slice, shape: tuple[int, ...], state: State, steps: int
) -> None:
    """Makes the matrix X (..., I, O) at `at` of u nearly orthogonal, the smaller side first.

    s is scratch at the same place.
    """
    k = min(shape)
    tall = shape[0] > shape[1]
    x = part(u, at, shape)
    y = part(s, at, shape)
    gram, power = (part(state[name], slice(k * k), (k, k)) for name in ("gram", "power"))
    diagonal = state["power"][..., : k * k : k + 1]
    for _ in range(steps):
        turned = xp.swapaxes(x, -1, -2)
        if tall:
            xp.matmul(turned, x, out=gram)
        else:
            xp.matmul(x, turned, out=gram)
        xp.matmul(gram, gram, out=power)
        xp.multiply(power, C, out=power)
        xp.multiply(gram, B, out=gram)
        xp.add(power, gram, out=power)
        xp.add(diagonal, A, out=diagonal)
        if tall:
            xp.matmul(x, power, out=y)
        else:
            xp.matmul(power, x, out=y)
        x, y = y, x  # the next step writes where this one has read
    if steps % 2:  # the last result lies in the scratch
        u[..., at] = s[..., at]


def _gain(shape: tuple[int, ...], adjust: str) -> float:
    """The s of muon for a matrix (I, O)."""
    I, O = shape
    if adjust == "original":
        return sqrt(max(1.0, O / I))
    return 0.2 * sqrt(max(I, O))


@update_rule()
def muon(
    learning_rate: Scalar = 1e-3,
    weight_decay: Scalar = 0.1,
    decay: Scalar = 0.95,
    eps: Scalar = 1e-7,
    ns_steps: int = 5,
    adjust: str = "original",
) -> Rule:
    """v <- decay * v + g, u = -learning_rate * (s * orthogonal(g + decay * v) + weight_decay * W)

    orthogonal(X) is about U V^T of X = U S V^T: ns_steps times X <- a X + b (X X^T) X + c (X X^T)^2
    X from X / |X|.
    s = sqrt(max(1, O / I)) for W (I, O), or with adjust="match_rms_adamw" 0.2 sqrt(max(I, O)).
    v (..., n); gram and power hold products X X^T.
    Biases and what else is no weight matrix take
    nesterov(learning_rate, decay).
    PyTorch's Muon refuses them, calls decay momentum, and computes orthogonal in bfloat16.
    Reference: Jordan et al., Muon, 2024; the second s: Liu et al., Muon is scalable for LLM
    training, 2025.
    """
    positive("muon", learning_rate=learning_rate, eps=eps)
    below_one("muon", decay=decay)
    not_negative("muon", weight_decay=weight_decay)
    whole("muon", "ns_steps", ns_steps)
    if adjust not in ("original", "match_rms_adamw"):
        raise UsageError(f"muon: adjust must be 'original' or 'match_rms_adamw', got {adjust!r}")

    def look_ahead(g, v, *, decay):
        v = decay * v + g
        return g + decay * v, v

    inner = elementwise(look_ahead, decay=decay)

    def init(arena: Arena) -> State:
        # Products lie in the smaller side; the largest matrix needs the most room.
        side = max((min(shape) for _, shape in _matrices(arena)), default=0)
        lead = arena.value.shape[:-1]
        dtype = arena.value.dtype
        products = {name: arena.xp.zeros((*lead, side * side), dtype) for name in ("gram", "power")}
        return {
            **inner.init(arena),
            **products,
            **arrays(arena, "scratch"),
            **scalars(
                arena, learning_rate=learning_rate, eps=eps, weight_decay=weight_decay, factor=0.0
            ),
        }

    def update(u: Array, arena: Arena, state: State) -> None:
        xp = arena.xp
        s = state["scratch"]
        inner.update(u, arena, state)
        xp.multiply(u, u, out=s)
        for at, shape in _matrices(arena):
            xp.divide(u[..., at], xp.maximum(norm(xp, s[..., at]), state["eps"]), out=u[..., at])
            _orthogonalize(xp, u, s, at, shape, state, ns_steps)
            xp.multiply(u[..., at], _gain(shape, adjust), out=u[..., at])
        add_decay(u, arena, state["weight_decay"], s)
        xp.multiply(u, xp.negative(state["learning_rate"], out=state["factor"]), out=u)

    return Rule(init, update)
