"""Every update rule and ingredient: by its paper, against PyTorch, in a population, interrupted,
and on digits.
"""

import io
from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import numpy as np
import pytest
from siblings import quick, tried_each_time

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.model import Model
from harness.testing.alone import RuleAlone, drive_alone
from harness.testing.conformance import assert_conforms
from harness.training.prepare import prepare
from harness.training.segment import segment

# A tall and a wide matrix and a column, which decay; a matrix that does not, and two biases. More
# than 128 numbers in a matrix: from there on NumPy adds in blocks, and a sum in a population could
# be another one.
SHAPES = {
    "tall": (31, 7),
    "wide": (6, 29),
    "column": (5, 1),
    "free": (3, 4),
    "bias": (1, 29),
    "last": (1, 1),
}
DECAYED = ("tall", "wide", "column")
N = sum(rows * columns for rows, columns in SHAPES.values())


def drive(
    rule: Any, lead: tuple[int, ...] = (), dtype: str = "float64", seeds: tuple[int, ...] = (3,)
) -> RuleAlone:
    """A rule over these parameters, whose gradients are what the caller says."""
    return drive_alone(rule, lead, dtype, list(seeds), shapes=SHAPES, decayed=DECAYED)


def merged(*specs: Any) -> Any:
    return registry.merge(
        "update_rule", [registry.canonical("update_rule", each) for each in specs]
    )


# The problem: a quadratic bowl with curvatures from 0.1 to 2 and noise, the same noise for both
# sides
rng = np.random.default_rng(0)
CURVATURE = rng.uniform(0.1, 2.0, N)
GOAL = rng.standard_normal(N)
NOISE = 0.3 * rng.standard_normal((1000, N))


def gradient(theta: np.ndarray, k: int) -> np.ndarray:
    return CURVATURE * (theta - GOAL) + NOISE[k]


# By the paper: a coroutine for each rule that takes the gradient of one parameter and gives its
# next value, or that and the value to evaluate with. Written from the papers, in their symbols, and
# not from harness/update

Book = Iterator[Any]


def adagrad(w: Any, decays: bool) -> Book:
    G = 0.0
    while True:
        g = yield w
        G = G + g**2
        w = w - 0.01 * g / (np.sqrt(G) + 1e-10)


def adadelta(x: Any, decays: bool) -> Book:
    Eg = Ed = 0.0
    while True:
        g = yield x
        Eg = 0.9 * Eg + 0.1 * g**2
        dx = -(np.sqrt(Ed + 1e-6) / np.sqrt(Eg + 1e-6)) * g
        Ed = 0.9 * Ed + 0.1 * dx**2
        x = x + dx


def rmsprop(w: Any, decays: bool) -> Book:
    r = 0.0
    while True:
        g = yield w
        r = 0.99 * r + 0.01 * g**2
        w = w - 0.01 * g / (np.sqrt(r) + 1e-8)


def rmsprop_centered(w: Any, decays: bool) -> Book:
    n = m = 0.0
    while True:
        g = yield w
        n = 0.9 * n + 0.1 * g**2
        m = 0.9 * m + 0.1 * g
        w = w - 0.01 * g / (np.sqrt(n - m**2) + 1e-3)


def amsgrad(x: Any, decays: bool) -> Book:
    m = v = top = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        top = np.maximum(top, v)
        x = x - 1e-3 * (m / (1 - 0.9**t)) / (np.sqrt(top / (1 - 0.999**t)) + 1e-8)


def adamax(x: Any, decays: bool) -> Book:
    m = u = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        u = np.maximum(0.999 * u, np.abs(g) + 1e-8)
        x = x - 2e-3 / (1 - 0.9**t) * m / u


def nadam(x: Any, decays: bool) -> Book:
    m = v = 0.0
    mus: list[float] = []

    def mu(t: int) -> float:
        return 0.9 * (1 - 0.5 * 0.96 ** (t * 0.004))

    while True:
        g = yield x
        mus.append(mu(len(mus) + 1))
        t = len(mus)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        g_hat = g / (1 - np.prod(mus))
        m_hat = m / (1 - np.prod([*mus, mu(t + 1)]))
        m_bar = (1 - mu(t)) * g_hat + mu(t + 1) * m_hat
        x = x - 2e-3 * m_bar / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)


def radam(x: Any, decays: bool) -> Book:
    m = v = 0.0
    t = 0
    rho_inf = 2 / (1 - 0.98) - 1
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        v = 0.98 * v + 0.02 * g**2
        m_hat = m / (1 - 0.9**t)
        rho = rho_inf - 2 * t * 0.98**t / (1 - 0.98**t)
        if rho > 5:
            r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            x = x - 0.01 * r * m_hat * sqrt(1 - 0.98**t) / (np.sqrt(v) + 1e-8)
        else:
            x = x - 0.01 * m_hat


def lion(x: Any, decays: bool) -> Book:
    m = 0.0
    while True:
        g = yield x
        c = 0.9 * m + 0.1 * g
        x = x - 0.002 * (np.sign(c) + (0.3 * x if decays else 0.0))
        m = 0.99 * m + 0.01 * g


def signsgd(x: Any, decays: bool) -> Book:
    while True:
        g = yield x
        x = x - 1e-3 * np.sign(g)


def rprop(w: Any, decays: bool) -> Book:
    step = np.full(w.shape, 0.01)
    last = np.zeros(w.shape)
    while True:
        g = yield w
        step = np.where(g * last > 0, np.minimum(step * 1.2, 50.0), step)
        step = np.where(g * last < 0, np.maximum(step * 0.5, 1e-6), step)
        last = np.where(g * last < 0, 0.0, g)
        w = w - np.sign(last) * step


def lars(w: Any, decays: bool) -> Book:
    v = 0.0
    while True:
        g = yield w
        if decays:
            g = g + 0.01 * w
            own = (
                0.02 * np.linalg.norm(w) / (np.linalg.norm(g - 0.01 * w) + 0.01 * np.linalg.norm(w))
            )
        else:
            own = 1.0
        v = 0.9 * v + 0.1 * own * g
        w = w - v


def lamb(x: Any, decays: bool) -> Book:
    m = v = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        r = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6)
        if decays:
            r = r + 0.01 * x
            r = r * np.linalg.norm(x) / np.linalg.norm(r)
        x = x - 1e-3 * r


def adabelief(x: Any, decays: bool) -> Book:
    m = s = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-16
        m_hat = m / (1 - 0.9**t)
        s_hat = s / (1 - 0.999**t)
        x = x - 1e-3 * m_hat / (np.sqrt(s_hat) + 1e-16)


def yogi(x: Any, decays: bool) -> Book:
    m = v = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        m = 0.9 * m + 0.1 * g
        v = v - 0.001 * np.sign(v - g**2) * g**2
        x = x - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-3)


def adan(theta: Any, decays: bool) -> Book:
    """The paper's betas are what is taken."""
    b1 = 0.02
    b2 = 0.08
    b3 = 0.01
    m = v = n = 0.0
    k = 0
    last = None
    while True:
        g = yield theta
        k += 1
        change = 0.0 if last is None else g - last
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * change
        n = (1 - b3) * n + b3 * (g + (1 - b2) * change) ** 2
        m_hat = m / (1 - (1 - b1) ** k)
        v_hat = v / (1 - (1 - b2) ** k)
        eta = 1e-3 / (np.sqrt(n / (1 - (1 - b3) ** k)) + 1e-8)
        theta = theta - eta * (m_hat + (1 - b2) * v_hat)
        theta = theta / (1 + 1e-3 * 0.3 * decays)
        last = g


def ademamix(theta: Any, decays: bool) -> Book:
    m1 = m2 = v = 0.0
    t = 0
    while True:
        g = yield theta
        t += 1
        m1 = 0.9 * m1 + 0.1 * g
        m2 = 0.99 * m2 + 0.01 * g
        v = 0.999 * v + 0.001 * g**2
        m1_hat = m1 / (1 - 0.9**t)
        v_hat = v / (1 - 0.999**t)
        step = (m1_hat + 5.0 * m2) / (np.sqrt(v_hat) + 1e-8) + 0.1 * decays * theta
        theta = theta - 1e-3 * step


def simplified_ademamix(theta: Any, decays: bool) -> Book:
    m = v = 0.0
    t = 0
    while True:
        g = yield theta
        t += 1
        m = 0.99 * m + g
        v = 0.95 * v + 0.05 * g**2
        theta = theta - 1e-4 * (m + 2.0 * g) / (np.sqrt(v / (1 - 0.95**t)) + 1e-8)


def adopt(theta: Any, decays: bool) -> Book:
    m = 0.0
    g = yield theta
    v = g**2
    t = 0
    while True:
        g = yield theta
        t += 1
        normed = g / np.maximum(np.sqrt(v), 1e-6)
        m = 0.9 * m + 0.1 * np.clip(normed, -(t**0.25), t**0.25)
        theta = theta - 1e-3 * m
        v = 0.9999 * v + 0.0001 * g**2


def novograd(w: Any, decays: bool) -> Book:
    g = yield w
    # The paper leaves eps out at the first step; codes of the field have it at each.
    v = np.linalg.norm(g) ** 2
    m = g / (np.linalg.norm(g) + 1e-8) + 0.01 * decays * w
    while True:
        w = w - 0.01 * m
        g = yield w
        v = 0.98 * v + 0.02 * np.linalg.norm(g) ** 2
        m = 0.95 * m + (g / (np.sqrt(v) + 1e-8) + 0.01 * decays * w)


def fromage(w: Any, decays: bool) -> Book:
    while True:
        g = yield w
        size = np.linalg.norm(w)
        own = size / np.linalg.norm(g) if size > 0 else 1.0
        w = (w - 0.01 * own * g) / sqrt(1 + 0.01**2)


def muon(w: Any, decays: bool) -> Book:
    """Newton and Schulz on the singular values themselves: the polynomial is odd, so U and V
    stay.
    """
    b = 0.0
    while True:
        g = yield w
        b = 0.9 * b + g
        step = g + 0.9 * b
        if decays:
            U, s, Vt = np.linalg.svd(step, full_matrices=False)
            s = s / np.linalg.norm(s)
            for _ in range(4):
                s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
            step = U @ np.diag(s) @ Vt * sqrt(max(1, w.shape[1] / w.shape[0]))
        w = w - 0.01 * (step + (0.1 * w if decays else 0.0))


def adafactor(X: Any, decays: bool) -> Book:
    """As in the paper: the sums of rows and columns, and the whole square of a vector."""
    n, m = X.shape
    R = np.zeros(n)
    C = np.zeros(m)
    V = np.zeros((n, m))
    t = 0
    while True:
        G = yield X
        t += 1
        beta2 = 1 - t**-0.7
        squares = G**2 + 1e-30
        if min(n, m) == 1:
            V = beta2 * V + (1 - beta2) * squares
        else:
            for i in range(n):
                R[i] = beta2 * R[i] + (1 - beta2) * sum(squares[i, :])
            for j in range(m):
                C[j] = beta2 * C[j] + (1 - beta2) * sum(squares[:, j])
            V = np.outer(R, C) / sum(R)
        U = G / np.sqrt(V)
        U = U / max(1.0, sqrt(np.mean(U**2)) / 0.8)
        alpha = max(1e-3, sqrt(np.mean(X**2))) * min(0.03, 1 / sqrt(t))
        X = X - alpha * U - (0.03 * 0.1 * X if decays else 0.0)


def sm3(w: Any, decays: bool) -> Book:
    """SM3-II, where the sets of a matrix are its rows and its columns."""
    rows, columns = w.shape
    is_vector = min(rows, columns) == 1
    mu: dict[Any, float] = {}
    m = np.zeros(w.shape)
    while True:
        g = yield w.copy()
        new: dict[Any, float] = {}
        for i, j in np.ndindex(rows, columns):
            sets = [("each", i, j)] if is_vector else [("row", i), ("column", j)]
            nu = min(mu.get(r, 0.0) for r in sets) + g[i, j] ** 2
            m[i, j] = 0.8 * m[i, j] + 0.2 * (g[i, j] / sqrt(nu) if nu > 0 else 0.0)
            w[i, j] -= 0.1 * m[i, j]
            for r in sets:
                new[r] = max(new.get(r, 0.0), nu)
        mu = new


def optimistic_gradient_descent(x: Any, decays: bool) -> Book:
    """The last gradient is taken away again, as the paper has it with its alpha and beta."""
    before = None
    while True:
        g = yield x
        before = g if before is None else before
        x = x - (0.1 + 0.05) * g + 0.05 * before
        before = g


def optimistic_adam(theta: Any, decays: bool) -> Book:
    m = v = 0.0
    t = 0
    before = None
    while True:
        g = yield theta
        t += 1
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        step = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        before = step if before is None else before
        theta = theta - 2 * 1e-3 * step + 1e-3 * before
        before = step


def acprop(x: Any, decays: bool) -> Book:
    m = s = 0.0
    t = 0
    while True:
        g = yield x
        t += 1
        s_hat = 1.0 if t == 1 else s / (1 - 0.999 ** (t - 1))
        x = x - 1e-3 * g / (np.sqrt(s_hat) + 1e-16)
        m = 0.9 * m + 0.1 * g
        s = 0.999 * s + 0.001 * (g - m) ** 2 + 1e-16


def cocob(w: Any, decays: bool) -> Book:
    """Each coordinate alone; the paper's g is the negative of the gradient."""
    start = w.copy()
    L, G, reward, theta = (np.zeros(w.shape) for _ in range(4))
    while True:
        gradients = yield w.copy()
        for i in np.ndindex(*w.shape):
            g = -gradients[i]
            L[i] = max(L[i], abs(g))
            G[i] += abs(g)
            reward[i] = max(reward[i] + (w[i] - start[i]) * g, 0.0)
            theta[i] += g
            beta = theta[i] / (L[i] * max(G[i] + L[i], 50.0 * L[i]))
            w[i] = start[i] + beta * (L[i] + reward[i])


def asgd(w: Any, decays: bool) -> Book:
    """The mean is that of all parameters from the eleventh step on."""
    t = 0
    since: list[Any] = []
    mean = w
    while True:
        g = yield w, mean
        rate = 0.1 * (1 + 0.01 * 0.1 * t) ** -0.75
        t += 1
        w = w - rate * (g + (0.01 * w if decays else 0.0))
        since = [*since, w] if t > 11 else [w]
        mean = sum(since) / len(since)


def schedule_free_sgd(x: Any, decays: bool) -> Book:
    z = y = x
    t = 0
    while True:
        g = yield y, x
        if decays:
            g = g + 0.01 * y
        t += 1
        z = z - 0.5 * g
        x = (1 - 1 / t) * x + 1 / t * z
        y = (1 - 0.9) * z + 0.9 * x


def schedule_free_adamw(x: Any, decays: bool) -> Book:
    z = y = x
    v = 0.0
    t = 0
    while True:
        g = yield y, x
        t += 1
        v = 0.999 * v + 0.001 * g**2
        z = (
            z
            - 0.01 * g / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
            - 0.01 * (0.1 * y if decays else 0.0)
        )
        x = (1 - 1 / t) * x + 1 / t * z
        y = (1 - 0.9) * z + 0.9 * x


def sgd_ema(w: Any, decays: bool) -> Book:
    past: list[Any] = []
    mean = w
    while True:
        g = yield w, mean
        w = w - 0.01 * g
        past = [*past[-300:], w]  # 0.9^300 is 2e-14
        weight = 0.9 ** np.arange(len(past))[::-1]
        mean = np.tensordot(weight / weight.sum(), np.array(past), 1)


def sgd_lookahead(w: Any, decays: bool) -> Book:
    slow = w
    t = 0
    while True:
        g = yield w, slow
        t += 1
        w = w - 0.1 * g
        if t % 6 == 0:
            slow = slow + 0.4 * (w - slow)
            w = slow


def sgd_max_norm(w: Any, decays: bool) -> Book:
    while True:
        g = yield w
        w = w - 0.1 * g
        if decays:
            for j in range(w.shape[1]):
                w[:, j] *= min(1.0, 1.5 / np.linalg.norm(w[:, j]))


def centralized_sgd(w: Any, decays: bool) -> Book:
    while True:
        g = yield w
        w = w - 0.1 * (g - g.mean(axis=0) if decays else g)


def l1_sgd(w: Any, decays: bool) -> Book:
    while True:
        g = yield w
        w = w - 0.1 * (g + (0.05 * np.sign(w) if decays else 0.0))


def shrinking_sgd(w: Any, decays: bool) -> Book:
    while True:
        g = yield w
        w = w * (0.999 if decays else 1.0) - 0.1 * g


BOOKS: list[tuple[str, Callable[..., Book]]] = [
    ("adagrad", adagrad),
    ("adadelta", adadelta),
    ("rmsprop", rmsprop),
    ("rmsprop(alpha=0.9, eps=0.001, centered=True)", rmsprop_centered),
    ("amsgrad", amsgrad),
    ("adamax", adamax),
    ("nadam", nadam),
    ("radam(0.01, beta2=0.98)", radam),
    ("lion(0.002, weight_decay=0.3)", lion),
    ("signsgd", signsgd),
    ("rprop", rprop),
    ("lars(weight_decay=0.01, trust=0.02)", lars),
    ("lamb", lamb),
    ("adabelief", adabelief),
    ("yogi", yogi),
    ("adan(weight_decay=0.3)", adan),
    ("ademamix(beta3=0.99, weight_decay=0.1)", ademamix),
    ("simplified_ademamix(1e-4, alpha=2.0)", simplified_ademamix),
    ("adopt", adopt),
    ("novograd(weight_decay=0.01)", novograd),
    ("fromage", fromage),
    ("muon(0.01, decay=0.9, ns_steps=4)", muon),
    (
        "adafactor(0.03, beta2_decay=-0.7, clipping=0.8, weight_decay=0.1)",
        adafactor,
    ),
    ("sm3(0.1, beta1=0.8)", sm3),
    ("optimistic_gradient_descent(0.1, optimism=0.5)", optimistic_gradient_descent),
    ("optimistic_adam", optimistic_adam),
    ("acprop(eps=1e-16)", acprop),
    ("cocob(50.0)", cocob),
    ("asgd(0.1, weight_decay=0.01, t0=10)", asgd),
    ("schedule_free_sgd(0.5, weight_decay=0.01)", schedule_free_sgd),
    ("schedule_free_adamw(0.01, weight_decay=0.1)", schedule_free_adamw),
    ("compose(sgd(0.01), ema(0.9))", sgd_ema),
    ("compose(sgd(0.1), lookahead(6, alpha=0.4))", sgd_lookahead),
    ("compose(sgd(0.1), max_norm(1.5))", sgd_max_norm),
    ("compose(centralize, sgd(0.1))", centralized_sgd),
    ("compose(l1(0.05), sgd(0.1))", l1_sgd),
    ("compose(sgd(0.1), decoupled_weight_decay(0.001))", shrinking_sgd),
]


@pytest.mark.parametrize(
    ("spec", "book"),
    quick(BOOKS, lambda pair: tried_each_time(pair[0])),
    ids=[book.__name__ for _, book in BOOKS],
)
def test_thousand_steps(spec: str, book: Callable[..., Book]) -> None:
    """Both go down the bowl on their own for 1000 steps in float64; the largest difference relative
    to the way gone.
    """
    ours = drive(spec)
    arena = ours.network.arena
    start = ours.theta.copy()
    books = {
        path: book(arena.view(start, path).copy(), path[2:] in DECAYED) for path in arena.slices
    }
    theirs = start.copy()
    evaluated = start.copy()

    def write(path: str, found: Any) -> None:
        both = found if isinstance(found, tuple) else (found, found)
        for flat, each in zip((theirs, evaluated), both, strict=True):
            arena.view(flat, path)[...] = each

    for path, each in books.items():
        write(path, next(each))
    for k in range(1000):
        ours.step(lambda theta, k=k: gradient(theta, k), k / 1000)
        g = gradient(theirs, k)
        for path, each in books.items():
            write(path, each.send(arena.view(g, path)))
        if k % 50 in (0, 5, 49):
            gone = np.max(np.abs(theirs - start))
            np.testing.assert_allclose(ours.theta, theirs, rtol=0, atol=1e-10 * gone)
            np.testing.assert_allclose(ours.evaluated, evaluated, rtol=0, atol=1e-10 * gone)
    assert np.sum(CURVATURE * (evaluated - GOAL) ** 2) < 0.9 * np.sum(
        CURVATURE * (start - GOAL) ** 2
    )


# Against PyTorch ----------------------------------------------------------------------------------

# Ours, theirs, their options (weight decay for what decays only)
TORCH: list[tuple[str, str, dict[str, Any]]] = [
    ("sgd(0.05)", "SGD", {"lr": 0.05}),
    ("momentum(0.05, 0.8)", "SGD", {"lr": 0.05, "momentum": 0.8}),
    ("nesterov(0.05)", "SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    (
        "compose(weight_decay(0.1), momentum(0.05))",
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    ),
    ("adagrad", "Adagrad", {}),
    ("adadelta", "Adadelta", {}),
    ("rmsprop", "RMSprop", {}),
    ("rmsprop(centered=True)", "RMSprop", {"centered": True}),
    ("compose(rmsprop, trace(0.9))", "RMSprop", {"momentum": 0.9}),
    ("adam", "Adam", {}),
    ("compose(weight_decay(0.1), adam)", "Adam", {"weight_decay": 0.1}),
    ("amsgrad", "Adam", {"amsgrad": True}),
    ("adamw", "AdamW", {"weight_decay": 0.01}),
    ("adamax", "Adamax", {}),
    ("nadam", "NAdam", {}),
    ("radam", "RAdam", {}),
    ("rprop", "Rprop", {}),
    ("muon", "Muon", {"weight_decay": 0.1}),
    (
        "muon(adjust='match_rms_adamw', weight_decay=0.0)",
        "Muon",
        {"adjust_lr_fn": "match_rms_adamw"},
    ),
    ("adafactor", "Adafactor", {}),
    # every option away from its default
    (
        "adafactor(0.03, -0.7, eps2=0.3, clipping=1.2, weight_decay=0.1)",
        "Adafactor",
        {"lr": 0.03, "beta2_decay": -0.7, "eps": (None, 0.3), "d": 1.2, "weight_decay": 0.1},
    ),
    ("adagrad(0.03, eps=1e-3)", "Adagrad", {"lr": 0.03, "eps": 1e-3}),
    ("adadelta(0.5, rho=0.8, eps=1e-4)", "Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4}),
    ("rmsprop(0.004, alpha=0.8, eps=1e-3)", "RMSprop", {"lr": 0.004, "alpha": 0.8, "eps": 1e-3}),
    ("adam(0.004, 0.7, 0.95, eps=1e-3)", "Adam", {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-3}),
    (
        "amsgrad(0.004, 0.7, 0.9, 1e-3)",
        "Adam",
        {"lr": 0.004, "betas": (0.7, 0.9), "eps": 1e-3, "amsgrad": True},
    ),
    (
        "adamw(0.004, 0.7, 0.95, 1e-3, 0.3)",
        "AdamW",
        {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-3, "weight_decay": 0.3},
    ),
    ("adamax(0.004, 0.7, 0.95, 1e-3)", "Adamax", {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-3}),
    (
        "nadam(0.004, 0.7, 0.95, 1e-3, 0.02)",
        "NAdam",
        {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-3, "momentum_decay": 0.02},
    ),
    ("radam(0.004, 0.7, 0.95, 1e-3)", "RAdam", {"lr": 0.004, "betas": (0.7, 0.95), "eps": 1e-3}),
    (
        "rprop(0.02, 0.4, 1.3, 0.05, 5.0)",
        "Rprop",
        {"lr": 0.02, "etas": (0.4, 1.3), "step_sizes": (1e-3, 0.1)},
    ),
    (
        "compose(weight_decay(0.1), rmsprop, trace(0.5))",
        "RMSprop",
        {"momentum": 0.5, "weight_decay": 0.1},
    ),
    ("compose(weight_decay(0.1), adagrad)", "Adagrad", {"weight_decay": 0.1}),
    ("compose(weight_decay(0.1), adadelta)", "Adadelta", {"weight_decay": 0.1}),
    ("compose(weight_decay(0.1), adamax)", "Adamax", {"weight_decay": 0.1}),
    ("compose(weight_decay(0.1), nadam)", "NAdam", {"weight_decay": 0.1}),
    ("compose(weight_decay(0.1), radam)", "RAdam", {"weight_decay": 0.1}),
]


@pytest.mark.parametrize(("spec", "name", "options"), TORCH, ids=[spec for spec, _, _ in TORCH])
def test_pytorch(
    spec: str, name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not among the dependencies; with it installed this runs"
    )
    if not hasattr(torch.optim, name):
        pytest.skip(f"PyTorch {torch.__version__} has no {name}")
    # Muon rounds to bfloat16, 3 digits, and NAdam a product to the default dtype: left out, to
    # compare 10 digits
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
    ours = drive(spec)
    arena = ours.network.arena
    start = ours.theta.copy()
    # theirs are (out, in), ours (in, out)
    theirs = {
        path: torch.tensor(arena.view(start, path).T.copy(), requires_grad=True)
        for path in arena.slices
    }
    decay = options.get("weight_decay", 0.0)
    groups = [
        {"params": [p], "weight_decay": decay if path[2:] in DECAYED else 0.0}
        for path, p in theirs.items()
    ]
    if name == "Rprop":
        groups = [{"params": list(theirs.values())}]
    matrices = [path for path in theirs if path[2:] in DECAYED]
    # It takes matrices only; what we do with the others is compared with theirs for that
    if name == "Muon":
        groups = groups[: len(matrices)]
    optimizers = [
        getattr(torch.optim, name)(
            groups, **{k: v for k, v in options.items() if k != "weight_decay"}
        )
    ]
    if name == "Muon":
        rest = [p for path, p in theirs.items() if path not in matrices]
        optimizers.append(torch.optim.SGD(rest, lr=1e-3, momentum=0.95, nesterov=True))
    found = start.copy()
    for k in range(300):
        ours.step(lambda theta, k=k: gradient(theta, k), k / 300)
        g = gradient(found, k)
        for path, p in theirs.items():
            p.grad = torch.tensor(arena.view(g, path).T.copy())
        for each in optimizers:
            each.step()
        for path, p in theirs.items():
            arena.view(found, path)[...] = p.detach().numpy().T
        np.testing.assert_allclose(
            ours.theta, found, rtol=0, atol=1e-10 * np.max(np.abs(found - start))
        )


def test_pytorch_asgd() -> None:
    """Its average too, which starts one step later; PyTorch rounds its rate to float32."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not among the dependencies; with it installed this runs"
    )
    ours = drive("asgd(0.1, 0.01, 0.6, t0=11)")
    arena = ours.network.arena
    start = ours.theta.copy()
    found = start.copy()
    # A parameter that decays: PyTorch decays all of them.
    w = arena.view(found, "0/wide")
    p = torch.tensor(w.copy(), requires_grad=True)
    theirs = torch.optim.ASGD([p], lr=0.1, lambd=0.01, alpha=0.6, t0=10)
    for k in range(300):
        ours.step(lambda theta, k=k: gradient(theta, k), k / 300)
        p.grad = torch.tensor(arena.view(gradient(found, k), "0/wide").copy())
        theirs.step()
        w[...] = p.detach().numpy()
    limit = 1e-6 * np.max(np.abs(w - arena.view(start, "0/wide")))
    np.testing.assert_allclose(ours.parameter("wide"), w, rtol=0, atol=limit)
    mean = arena.view(ours.evaluated, "0/wide")
    np.testing.assert_allclose(mean, theirs.state[p]["ax"].numpy(), rtol=0, atol=limit)
    assert np.max(np.abs(mean - w)) > 100 * limit


def test_pytorch_max_norm() -> None:
    """torch.renorm over the columns of each weight matrix, to the 1e-7 that PyTorch adds to the
    norm.
    """
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not among the dependencies; with it installed this runs"
    )
    ours = drive("compose(sgd(0.1), max_norm(0.9))")
    arena = ours.network.arena
    before = ours.theta.copy()
    ours.step(np.zeros(N))
    shortened = 0
    for path in arena.slices:
        found = arena.view(ours.theta, path)
        expected = arena.view(before, path)
        if path[2:] in DECAYED:
            expected = torch.renorm(torch.tensor(expected.copy()), 2, 1, 0.9).numpy()
            shortened += np.sum(np.abs(np.linalg.norm(expected, axis=0) - 0.9) < 1e-6)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert shortened > 0


def test_pytorch_clipping() -> None:
    """clip_value exactly; clip_norm to the 1e-6 that PyTorch adds to the norm."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not among the dependencies; with it installed this runs"
    )
    p = torch.zeros(N, dtype=torch.float64)
    for spec, clip, tolerance in (
        ("clip_value(0.25)", torch.nn.utils.clip_grad_value_, 0.0),
        ("clip_norm(0.25)", torch.nn.utils.clip_grad_norm_, 1e-6),
    ):
        ours = drive(spec)
        g = NOISE[0].copy()
        ours.theta[...] = 0.0
        p.grad = torch.tensor(g)
        clip([p], 0.25)
        ours.step(g)
        np.testing.assert_allclose(ours.theta, p.grad.numpy(), rtol=tolerance)


# Members of a population, single precision --------------------------------------------------------

MEMBERS = [  # every rule with three members, every scalar different
    ["sgd(0.1)", "sgd(0.2)", "sgd(linear(0.3))"],
    ["momentum(0.1, 0.9)", "momentum(0.2, 0.5)", "momentum(0.1, 0.0)"],
    ["nesterov(0.1, 0.9)", "nesterov(0.2, 0.5)", "nesterov(0.1, linear(0.9, 0.5))"],
    ["signsgd(0.1)", "signsgd(0.01)", "signsgd(one_cycle(0.1))"],
    ["lion", "lion(0.01, 0.8, 0.95, 0.1)", "lion(0.003, weight_decay=linear(0.3))"],
    ["rprop", "rprop(0.1, 0.4, 1.1, 0.1, 1.5)", "rprop(cosine(0.1))"],
    ["adagrad", "adagrad(0.1, 1e-6)", "adagrad(exponential(0.1, 0.01))"],
    ["adadelta", "adadelta(0.5, 0.8, 1e-4)", "adadelta(rho=linear(0.9, 0.5))"],
    ["rmsprop", "rmsprop(0.1, 0.9, 1e-4)", "rmsprop(cosine(0.1))"],
    [
        "rmsprop(centered=True)",
        "rmsprop(0.1, 0.9, 1e-4, centered=True)",
        "rmsprop(cosine(0.1), centered=True)",
    ],
    ["adam", "adam(0.1, 0.8, 0.9, 1e-4)", "adam(cosine(0.1))"],
    ["adamw", "adamw(0.1, 0.8, 0.9, 1e-4, 0.1)", "adamw(cosine(0.1), weight_decay=linear(0.1))"],
    ["amsgrad", "amsgrad(0.1, 0.8, 0.9, 1e-4)", "amsgrad(cosine(0.1))"],
    ["adamax", "adamax(0.1, 0.8, 0.9, 1e-4)", "adamax(cosine(0.1), beta1=linear(0.9, 0.5))"],
    ["nadam", "nadam(0.1, 0.8, 0.9, 1e-4, 0.01)", "nadam(cosine(0.1))"],
    ["radam", "radam(0.1, 0.8, 0.9, 1e-4)", "radam(cosine(0.1), beta2=0.5)"],
    ["adabelief", "adabelief(0.1, 0.8, 0.9, 1e-4)", "adabelief(cosine(0.1))"],
    ["yogi", "yogi(0.1, 0.8, 0.9, 1e-4)", "yogi(cosine(0.1))"],
    ["adan", "adan(0.1, 0.8, 0.9, 0.7, 1e-4, 0.1)", "adan(cosine(0.1), weight_decay=linear(0.1))"],
    [
        "ademamix",
        "ademamix(0.1, 0.8, 0.9, 0.99, 2.0, 1e-4, 0.1)",
        "ademamix(cosine(0.1), alpha=linear(0.0, 5.0))",
    ],
    [
        "simplified_ademamix",
        "simplified_ademamix(0.01, 0.9, 0.99, 3.0, 1e-4)",
        "simplified_ademamix(cosine(0.01), alpha=linear(0.0, 5.0))",
    ],
    ["adopt", "adopt(0.1, 0.8, 0.9, 1e-4)", "adopt(cosine(0.1))"],
    ["acprop", "acprop(0.1, 0.8, 0.9, 1e-4)", "acprop(cosine(0.01))"],
    [
        "optimistic_adam",
        "optimistic_adam(0.1, 0.8, 0.9, 1e-4, 0.5)",
        "optimistic_adam(cosine(0.1), optimism=linear(1.0))",
    ],
    [
        "optimistic_gradient_descent",
        "optimistic_gradient_descent(0.2, 0.5)",
        "optimistic_gradient_descent(cosine(0.1), linear(1.0))",
    ],
    ["cocob", "cocob(20.0)", "cocob(linear(100.0, 50.0))"],
    [
        "adafactor",
        "adafactor(0.1, -0.5, 1e-8, 0.1, 0.7, 0.1)",
        "adafactor(cosine(0.1), weight_decay=linear(0.1))",
    ],
    ["sm3", "sm3(0.2, 0.5)", "sm3(cosine(0.1), beta1=linear(0.9, 0.5))"],
    ["asgd", "asgd(0.1, 0.1, 0.5, 10)", "asgd(cosine(0.1), t0=5)"],
    ["novograd", "novograd(0.1, 0.8, 0.9, 1e-4, 0.1)", "novograd(cosine(0.1))"],
    ["fromage", "fromage(0.1)", "fromage(cosine(0.1))"],
    ["lars", "lars(0.5, 0.5, 0.1, 0.01)", "lars(cosine(0.1))"],
    ["lamb", "lamb(0.1, 0.8, 0.9, 1e-4, 0.1)", "lamb(cosine(0.1))"],
    ["muon", "muon(0.1, 0.0, 0.8, 1e-4)", "muon(cosine(0.1), weight_decay=linear(0.1))"],
    [
        "schedule_free_sgd",
        "schedule_free_sgd(0.1, 0.5, 0.1)",
        "schedule_free_sgd(warmup(0.3), beta=linear(0.5, 0.9))",
    ],
    [
        "schedule_free_adamw",
        "schedule_free_adamw(0.1, 0.5, 0.9, 1e-4, 0.1)",
        "schedule_free_adamw(warmup(0.3))",
    ],
    [
        "compose(trace(0.9), scale(-0.1))",
        "compose(trace(0.5), scale(-0.2))",
        "compose(trace(0.0), scale(linear(-0.1)))",
    ],
    ["compose(l1, sgd)", "compose(l1(0.1), sgd)", "compose(l1(linear(0.1)), sgd)"],
    [
        "compose(weight_decay, sgd)",
        "compose(weight_decay(0.1), sgd)",
        "compose(weight_decay(linear(0.1)), sgd)",
    ],
    [f"compose(sgd, decoupled_weight_decay({rate}))" for rate in ("0.0", "0.1", "linear(0.1)")],
    [f"compose(clip_norm({limit}), sgd)" for limit in ("0.1", "100", "linear(0.1, 3.0)")],
    [f"compose(clip_value({limit}), sgd)" for limit in ("0.1", "100", "linear(0.1, 3.0)")],
    [
        "compose(centralize, sgd(0.1))",
        "compose(centralize, sgd(0.2))",
        "compose(centralize, sgd(0.3))",
    ],
    [f"compose(gradient_noise({noise}), sgd)" for noise in ("0.0", "0.5, 0.1", "linear(0.5)")],
    [f"compose(sgd, max_norm({limit}))" for limit in ("0.5", "100", "linear(3.0, 0.5)")],
    [f"compose(sgd, lookahead(3, {alpha}))" for alpha in ("0.5", "1.0", "linear(0.1, 0.5)")],
    [f"compose(sgd, ema({decay}))" for decay in ("0.0", "0.9", "linear(0.5, 0.9)")],
]


def uses(spec: Any) -> set[str]:
    nested = spec.get("rules", [])
    return {spec["name"]}.union(*map(uses, nested))


def test_every_rule_is_here() -> None:
    covered = set().union(*(uses(registry.canonical("update_rule", each[0])) for each in MEMBERS))
    built_in = {e.name for e in registry.entries("update_rule") if "updates" in e.origin}
    assert covered == built_in
    assert len(built_in) == 48


@pytest.mark.parametrize(
    "specs",
    quick(MEMBERS, lambda specs: tried_each_time(specs[0])),
    ids=[specs[0] for specs in MEMBERS],
)
def test_population_row_equals_alone(specs: list[str]) -> None:
    seeds = (5, 6, 7)
    together = drive(merged(*specs), (3,), "float32", seeds)
    alone = [
        drive(merged(spec), (), "float32", (seed,)) for spec, seed in zip(specs, seeds, strict=True)
    ]
    factors = np.array([[1.0], [0.5], [2.0]], "float32")
    curvature = CURVATURE.astype("float32")
    goal = GOAL.astype("float32")
    for k in range(30):
        noise = NOISE[k].astype("float32")
        together.step(
            lambda theta, noise=noise: factors * curvature * (theta - goal) + noise, k / 30
        )
        for p, each in enumerate(alone):
            each.step(
                lambda theta, noise=noise, p=p: factors[p] * curvature * (theta - goal) + noise,
                k / 30,
            )
    assert together.theta.dtype == together.evaluated.dtype == np.float32
    assert np.isfinite(together.theta).all()
    np.testing.assert_array_equal(together.theta, [each.theta for each in alone])
    np.testing.assert_array_equal(together.evaluated, [each.evaluated for each in alone])


@pytest.mark.parametrize(
    "options",
    [
        {"name": "rmsprop", "centered": True},
        {"name": "muon", "adjust": "match_rms_adamw", "ns_steps": 2},
        {"name": "lookahead", "every": 1},
        {"name": "compose", "rules": ["centralize", "gradient_noise", "lamb", "max_norm", "ema"]},
    ],
    ids=lambda options: options["name"],
)
def test_conformance_of_options(options: dict[str, Any]) -> None:
    assert_conforms("update_rule", **options)


@pytest.mark.parametrize(
    "spec", quick([specs[0] for specs in MEMBERS if "noise" not in specs[0]], tried_each_time)
)
def test_float32_stays_near_float64(spec: str) -> None:
    """1000 steps in both precisions, relative to the way gone. Signs, and so steps of lion, may
    differ near 0.
    """
    precise = drive(spec)
    single = drive(spec, (), "float32")
    start = single.theta.copy()
    precise.theta[...] = start
    for k in range(1000):
        g = gradient(precise.theta, k)
        for each in (precise, single):
            each.step(g, k / 1000)
    gone = np.max(np.abs(precise.evaluated - start))
    assert np.max(np.abs(precise.evaluated - single.evaluated)) < 5e-3 * gone


# Rules as compositions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fused", "parts"),
    [
        ("momentum(0.05, 0.8)", "compose(trace(0.8), scale(-0.05))"),
        ("adamw(0.25, weight_decay=0.5)", "compose(adam(0.25), decoupled_weight_decay(0.125))"),
        ("signsgd(0.5)", "lion(0.5, beta1=0.0)"),
        ("schedule_free_sgd(0.5, beta=0.0)", "sgd(0.5)"),
    ],
)
def test_twins_are_equal(fused: str, parts: str) -> None:
    one = drive(fused)
    other = drive(parts)
    for k in range(20):
        for each in (one, other):
            each.step(lambda theta, k=k: gradient(theta, k))
    np.testing.assert_array_equal(one.theta, other.theta)


def test_parameters_that_are_no_matrices() -> None:
    """Muon's biases take nesterov's steps, lars' momentum's, lamb's adam's."""
    for spec, plain in (
        ("muon(0.1, decay=0.5)", "nesterov(0.1, 0.5)"),
        ("lars(0.1)", "momentum(0.1)"),
        ("lamb(eps=1e-8)", "adam"),
    ):
        one = drive(spec)
        other = drive(plain)
        for k in range(10):
            for each in (one, other):
                each.step(lambda theta, k=k: gradient(theta, k))
        for name in ("free", "bias", "last"):
            np.testing.assert_allclose(one.parameter(name), other.parameter(name), rtol=1e-13)
        assert np.abs(one.parameter("wide") - other.parameter("wide")).max() > 1e-4


def test_weights_of_zero() -> None:
    """Rules that divide by norms: weights or gradients that are all 0 leave numbers behind."""
    for spec in (
        "lars(weight_decay=0.0)",
        "lamb(weight_decay=0.0)",
        "muon",
        "novograd",
        "fromage",
        "adafactor",
        "sm3",
        "cocob",
    ):
        driven = drive(spec)
        driven.theta[...] = 0.0
        driven.step(np.zeros(N))
        np.testing.assert_array_equal(driven.theta, 0.0)
        driven.step(NOISE[0])
        assert np.isfinite(driven.theta).all()
        assert np.any(driven.parameter("tall") != 0)


@pytest.mark.parametrize("beta2_decay", [0.0, -1e-9])
def test_adafactor_without_a_memory_takes_gradients_that_become_small(beta2_decay: float) -> None:
    """The mean is then the last square, also where the one before it was far larger."""
    driven = drive({"name": "adafactor", "beta2_decay": beta2_decay}, dtype="float32")
    for size in (1.0, 1e-5):
        before = driven.theta.copy()
        driven.step(np.full(N, size, np.float32))
        moved = np.abs(driven.theta - before)
        assert np.all(moved > 1e-6)


@pytest.mark.parametrize("spec", ["adafactor", "sm3", "cocob", "acprop"])
def test_gradients_that_stay_zero(spec: str) -> None:
    """Those of a row, as of a pixel that is always black, and of a column, as of a dead unit."""
    driven = drive(spec, (), "float32")
    before = driven.theta.copy()
    for k in range(20):
        g = NOISE[k].astype("float32")
        matrix = driven.network.arena.view(g, "0/tall")
        matrix[2] = 0.0
        matrix[:, 3] = 0.0
        driven.step(g)
    assert np.isfinite(driven.theta).all()
    same = driven.parameter("tall") == driven.network.arena.view(before, "0/tall")
    assert same[2].all()
    assert same[:, 3].all()
    assert np.sum(same) == 31 + 7 - 1


def test_variance_below_zero() -> None:
    """Where all gradients are the same, rounding makes v - m^2 negative for some: the root must not
    be of that.
    """
    driven = drive("rmsprop(alpha=0.5, centered=True)", (), "float32")
    for _ in range(100):
        driven.step(NOISE[0].astype("float32"))
    assert np.isfinite(driven.theta).all()


# Ingredients by hand ------------------------------------------------------------------------------


def test_max_norm_by_hand() -> None:
    driven = drive("compose(scale(1.0), max_norm(2.0))")
    driven.theta[...] = 0.0
    driven.parameter("tall")[:2, 0] = 3.0, 4.0  # norm 5
    driven.parameter("tall")[:2, 1] = 1.2, 1.6  # norm 2
    driven.parameter("bias")[...] = 9.0
    driven.step(np.zeros(N))
    np.testing.assert_allclose(driven.parameter("tall")[:2, 0], [1.2, 1.6], rtol=1e-15)
    np.testing.assert_array_equal(driven.parameter("tall")[:2, 1], [1.2, 1.6])
    np.testing.assert_array_equal(driven.parameter("bias"), 9.0)


def test_orthogonal_steps_of_muon() -> None:
    """Singular values of a step lie near 1, whatever those of the gradient are; s of the wide one
    is sqrt(29 / 6).
    """
    driven = drive("muon(1.0, weight_decay=0.0)")
    driven.theta[...] = 0.0
    driven.step(1e3 * NOISE[0])
    for name, longer in (("tall", 1.0), ("wide", sqrt(29 / 6)), ("column", 1.0)):
        values = np.linalg.svd(driven.parameter(name) / longer, compute_uv=False)
        assert values.min() > 0.6
        assert values.max() < 1.3


def test_gradient_noise() -> None:
    """Variance eta / step^gamma, mean 0, no neighbour alike; another seed or epoch draws other
    numbers.
    """
    driven = drive("compose(gradient_noise(4.0, gamma=1.0), scale(1.0))")
    drawn = []
    for _ in range(200):
        driven.theta[...] = 0.0
        driven.step(np.zeros(N))
        drawn.append(driven.theta.copy())
    z = np.array(drawn) * np.sqrt(np.arange(1, 201))[:, None] / 2.0
    assert abs(z.mean()) < 4 / sqrt(z.size)
    assert abs(z.var() - 1) < 4 * sqrt(2 / z.size)
    assert abs((z**4).mean() - 3) < 4 * sqrt(96 / z.size)
    half = (N + 1) // 2
    assert abs(np.mean(z[:, : N - half] * z[:, half:])) < 4 / sqrt(z.size / 2)
    assert len(np.unique(z)) == z.size
    other = drive("compose(gradient_noise(4.0, gamma=1.0), scale(1.0))", seeds=(4,))
    other.theta[...] = 0.0
    other.step(np.zeros(N))
    assert not np.any(other.theta == drawn[0])
    again = drive("compose(gradient_noise(4.0, gamma=1.0), scale(1.0))")
    again.network.rekey(2)
    again.theta[...] = 0.0
    again.step(np.zeros(N))
    assert not np.any(again.theta == drawn[0])


@pytest.mark.parametrize(
    "spec",
    [
        "asgd",
        "schedule_free_sgd",
        "schedule_free_adamw",
        "compose(sgd, ema)",
        "compose(sgd, lookahead)",
    ],
)
def test_evaluated_before_the_first_step(spec: str) -> None:
    driven = drive(spec)
    np.testing.assert_array_equal(driven.evaluated, driven.theta)
    before = driven.theta.copy()
    driven.evaluated[...] = 0.0  # what is evaluated is a copy
    np.testing.assert_array_equal(driven.theta, before)


def test_schedule_free_weighs_by_the_learning_rate() -> None:
    """x is the mean of all z, each weighted by the square of its learning rate; here 1, 1, 2 with g
    = 1, 2, 4.
    """
    driven = drive("schedule_free_sgd(piecewise(1.0, 2.0, at=[0.5]), beta=0.5)")
    driven.theta[...] = 0.0
    for k, g in enumerate((1.0, 2.0, 4.0)):
        driven.step(np.full(N, g), k / 4 if k < 2 else 0.5)
    z1 = -1.0
    z2 = -3.0
    z3 = -11.0
    x = (z1 + z2 + 4 * z3) / 6
    np.testing.assert_allclose(driven.evaluated, x, rtol=1e-14)
    np.testing.assert_allclose(driven.theta, (z3 + x) / 2, rtol=1e-14)


def test_scheduled_learning_rates() -> None:
    """At every step the rule has the learning rate of the schedule: two steps of adam are of these
    lengths.
    """
    driven = drive("adam(piecewise(0.5, 0.25, at=[0.5]))")
    driven.theta[...] = 0.0
    driven.step(np.ones(N), 0.0)
    np.testing.assert_allclose(driven.theta, -0.5, rtol=1e-7)
    driven.step(np.ones(N), 0.5)
    np.testing.assert_allclose(driven.theta, -0.75, rtol=1e-7)
    for spec in ("signsgd", "lion", "rprop"):
        driven = drive(f"{spec}(linear(1.0))")
        driven.theta[...] = 0.0
        driven.step(np.ones(N), 0.75)
        np.testing.assert_array_equal(driven.theta, -0.25)


# Training -----------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "layers": mlp([196, 9, 10]),
    "data": "mnist14(rows=300)",
    "batch": 40,
    "epochs": 4,
    "film": None,
}


def written(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a file."""
    file = io.BytesIO()
    np.savez(file, **{k: np.asarray(v) for k, v in state.items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as back:
        return {k: back[k] if back[k].ndim else back[k].item() for k in back.files}


@pytest.mark.parametrize(
    "specs",
    quick(MEMBERS, lambda specs: tried_each_time(specs[0])),
    ids=[specs[0] for specs in MEMBERS],
)
def test_training_goes_on_where_it_stopped(specs: list[str]) -> None:
    """Saved after two of four epochs and restored: the same bits as without, in a population the
    same as alone.
    """
    configs = [Config(**SMALL, update=spec, seed=p) for p, spec in enumerate(specs[:2])]
    data = prepare(configs[0])
    whole, records = segment(configs[0], data)
    half, first = segment(configs[0], data, None, 2)
    end, last = segment(configs[0], data, written(half))
    assert whole.keys() == end.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], end[name], err_msg=name)
    assert [r.metrics for r in records] == [r.metrics for r in first + last]
    states, each = segment(configs, data)
    np.testing.assert_array_equal(states[0]["theta"], whole["theta"])
    assert [r.metrics for r in each[0]] == [r.metrics for r in records]


def test_predicts_with_what_is_evaluated() -> None:
    """The metrics of an epoch, predict, score and the weights shown are those of the average."""
    data: dict[str, Any] = {**SMALL, "valid": 0.5}
    net = Model(**data, update="compose(sgd(0.5), ema(0.9))").fit()
    plain = Model(**data, update="sgd(0.5)").fit()
    # What a segment of these configs ends with is what the networks have learned
    state, _ = segment(net.config, prepare(net.config))
    trained, _ = segment(plain.config, prepare(plain.config))
    # The average changes nothing about training
    np.testing.assert_array_equal(state["theta"], trained["theta"])
    shown = np.concatenate([net.weights[name].ravel() for name in ("0/W", "2/W", "0/b", "2/b")])
    np.testing.assert_array_equal(shown, state["rule/1/mean"])
    assert np.abs(shown - state["theta"]).max() > 1e-3
    mean = Model(**data, update="sgd(0.5)").fit()
    for name, value in net.weights.items():
        mean[name] = value
    x = prepare(net.config).source.x
    np.testing.assert_array_equal(net.predict_proba(x), mean.predict_proba(x))
    assert np.any(net.predict_proba(x) != plain.predict_proba(x))
    assert net.history[-1]["valid/loss"] != plain.history[-1]["valid/loss"]
    # the same from a longer run in which the fourth epoch is not the last one: evaluation leaves no
    # trace
    longer = Model(**{**data, "epochs": 5}, update="compose(sgd(0.5), ema(0.9))").fit(epochs=4)
    np.testing.assert_array_equal(longer.predict_proba(x), net.predict_proba(x))


DIGITS = [  # each at a setting found by a few tries; 5 epochs of 47 steps on 1500 digits
    *(
        "sgd(0.5)",
        "momentum(0.1)",
        "nesterov(0.1)",
        "signsgd(0.003)",
        "lion(0.001)",
        "rprop",
        "adagrad(0.03)",
        "adadelta",
    ),
    *(
        "rmsprop(0.003)",
        "rmsprop(0.003, centered=True)",
        "adam(0.005)",
        "adamw(0.005)",
        "amsgrad(0.005)",
        "adamax(0.01)",
    ),
    *(
        "nadam(0.005)",
        "radam(0.01)",
        "lars(0.1, trust=0.02)",
        "lamb(0.01)",
        "muon(0.02)",
        "schedule_free_sgd",
    ),
    *(
        "adabelief(0.005)",
        "yogi(0.01)",
        "adan(0.01)",
        "ademamix(0.002)",
        "simplified_ademamix(0.0001, alpha=2.0)",
        "adopt(0.005)",
        "novograd(0.01)",
        "fromage(0.02)",
        "acprop(0.003)",
        "optimistic_adam(0.003)",
        "optimistic_gradient_descent(0.3, 0.2)",
        "cocob",
        "adafactor(0.1)",
        "sm3(0.1)",
        "asgd(0.5)",
    ),
    *(
        "schedule_free_adamw(0.01)",
        "compose(weight_decay, clip_norm(1.0), momentum(0.1), ema(0.95))",
    ),
    *(
        "compose(centralize, gradient_noise(1e-4), sgd(0.5), max_norm(2.0), lookahead(5))",
        "compose(l1, clip_value, sgd(0.5))",
    ),
    "compose(trace(0.9), scale(-0.1), decoupled_weight_decay)",
]


@pytest.mark.parametrize("rule", quick(DIGITS, tried_each_time))
def test_learns_digits(rule: str) -> None:
    full = {"batch": "full", "epochs": 60} if rule == "rprop" else {"batch": 32, "epochs": 5}
    layers = mlp([196, 30, 10], init="he")
    config = Config(layers=layers, data="mnist14", update=rule, film=None, valid=0.25, **full)
    _, records = segment(config, prepare(config))
    assert records[-1].metrics["valid/accuracy"] >= 0.85


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("adagrad(eps=0.0)", "adagrad: eps must be above 0, got 0.0"),
        ("adadelta(rho=1.0)", r"adadelta: rho must be in \[0, 1\), got 1.0"),
        ("rmsprop(alpha=-0.1)", r"rmsprop: alpha must be in \[0, 1\), got -0.1"),
        ("lion(weight_decay=-1.0)", "lion: weight_decay must be 0 or above, got -1.0"),
        ("rprop(eta_plus=1.0)", "rprop: eta_plus must be above 1, got 1.0"),
        ("rprop(eta_minus=1.0)", r"rprop: eta_minus must be in \[0, 1\), got 1.0"),
        ("nadam(momentum_decay=-1.0)", "nadam: momentum_decay must be 0 or above, got -1.0"),
        ("adan(beta3=1.0)", r"adan: beta3 must be in \[0, 1\), got 1.0"),
        ("ademamix(alpha=-1.0)", "ademamix: alpha must be 0 or above, got -1.0"),
        (
            "simplified_ademamix(alpha=-1.0)",
            "simplified_ademamix: alpha must be 0 or above, got -1.0",
        ),
        ("acprop(eps=0.0)", "acprop: eps must be above 0, got 0.0"),
        ("optimistic_adam(beta2=1.0)", r"optimistic_adam: beta2 must be in \[0, 1\), got 1.0"),
        (
            "optimistic_adam(optimism=-1.0)",
            "optimistic_adam: optimism must be 0 or above, got -1.0",
        ),
        (
            "optimistic_gradient_descent(optimism=-1.0)",
            "optimistic_gradient_descent: optimism must be 0 or above, got -1.0",
        ),
        ("cocob(0.0)", "cocob: alpha must be above 0, got 0.0"),
        ("adafactor(beta2_decay=0.8)", "adafactor: beta2_decay must be 0 or below, got 0.8"),
        ("adafactor(clipping=0.0)", "adafactor: clipping must be above 0, got 0.0"),
        ("adafactor(weight_decay=-1.0)", "adafactor: weight_decay must be 0 or above, got -1.0"),
        ("sm3(beta1=1.0)", r"sm3: beta1 must be in \[0, 1\), got 1.0"),
        ("asgd(t0=-1.0)", "asgd: t0 must be 0 or above, got -1.0"),
        ("novograd(weight_decay=-1)", "novograd: weight_decay must be 0 or above, got -1"),
        ("fromage(0.0)", "fromage: learning_rate must be above 0, got 0.0"),
        ("lars(trust=0)", "lars: trust must be above 0, got 0"),
        ("muon(ns_steps=0)", "muon: ns_steps must be a whole number of at least 1, got 0"),
        ("muon(adjust='rms')", "muon: adjust must be 'original' or 'match_rms_adamw', got 'rms'"),
        ("schedule_free_sgd(beta=1.0)", r"schedule_free_sgd: beta must be in \[0, 1\), got 1.0"),
        ("lookahead(2.5)", "lookahead: every must be a whole number of at least 1, got 2.5"),
        ("lookahead(alpha=0.0)", r"lookahead: alpha must be in \(0, 1\], got 0.0"),
        ("ema(1.0)", r"ema: decay must be in \[0, 1\), got 1.0"),
        (
            "decoupled_weight_decay(1.0)",
            r"decoupled_weight_decay: rate must be in \[0, 1\), got 1.0",
        ),
        ("gradient_noise(eta=-1.0)", "gradient_noise: eta must be 0 or above, got -1.0"),
        ("max_norm(0.0)", "max_norm: limit must be above 0, got 0.0"),
        ("l1(-1.0)", "l1: rate must be 0 or above, got -1.0"),
        (
            "compose(schedule_free_sgd, ema)",
            "at most one rule may keep other parameters for evaluation",
        ),
    ],
)
def test_refused(spec: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.make("update_rule", spec)
