"""The built-in initializers: draw(rng, shape, fan_in, fan_out) -> float64 array of that shape."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from harness import checks
from harness.errors import UsageError
from harness.registry.decorators import initializer

Draw = Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]


@initializer()
def zeros() -> Draw:
    """w = 0"""
    return lambda rng, shape, fan_in, fan_out: np.zeros(shape)


@initializer()
def constant(value: float = 0.0) -> Draw:
    """w = value"""
    return lambda rng, shape, fan_in, fan_out: np.full(shape, float(value))


def _std_for(scale: Any) -> str:
    """What to write in place of an argument that went before std, and divided."""
    if checks.is_finite(scale) and scale > 0:
        return f"normal: scale={scale} divided the weights; write std={1.0 / scale:g}"
    return "normal: scale divided the weights; write std, their standard deviation"


@initializer(retired={"scale": _std_for})
def normal(std: float = 0.01, positive: bool = False) -> Draw:
    """w ~ N(0, std^2), or |N(0, std^2)| where positive

    The article's networks start from normal(std=0.01, positive=True); its initScale is 1 / std.
    """
    checks.real("normal: std", std, lambda value: value > 0, "must be a finite number above 0")

    def draw(
        rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> np.ndarray:
        # The article divides by 100. With a std of 0.01 this gives the same bits, which a product
        # would not.
        w = rng.standard_normal(shape) / (1.0 / std)
        if positive:
            return np.abs(w)
        return w

    return draw


@initializer()
def uniform(a: float = 0.0, b: float = 1.0) -> Draw:
    """w ~ U(a, b)"""
    if not (math.isfinite(a) and math.isfinite(b) and a < b):
        raise UsageError(f"uniform: a must be below b and both finite, got {a!r} and {b!r}")
    return lambda rng, shape, fan_in, fan_out: rng.uniform(a, b, shape)


def _scaled(name: str, form: str, variance: Callable[[int, int], float]) -> Draw:
    """Mean 0 and that variance; the uniform form reaches up to sqrt(3 variance)."""
    if form not in ("normal", "uniform"):
        raise UsageError(f"{name}: form must be 'normal' or 'uniform', got {form!r}")

    def draw(
        rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> np.ndarray:
        std = math.sqrt(variance(fan_in, fan_out))
        if form == "normal":
            return rng.standard_normal(shape) * std
        # U(-1, 1) has the variance 1/3.
        return rng.uniform(-1.0, 1.0, shape) * (std * math.sqrt(3.0))

    return draw


@initializer()
def he(form: str = "normal") -> Draw:
    """Var(w) = 2 / fan_in

    Reference: He, Zhang, Ren and Sun, ICCV 2015.
    """
    return _scaled("he", form, lambda fan_in, fan_out: 2.0 / fan_in)


@initializer()
def glorot(form: str = "uniform") -> Draw:
    """Var(w) = 2 / (fan_in + fan_out)

    Reference: Glorot and Bengio, AISTATS 2010.
    """
    return _scaled("glorot", form, lambda fan_in, fan_out: 2.0 / (fan_in + fan_out))


@initializer()
def lecun(form: str = "normal") -> Draw:
    """Var(w) = 1 / fan_in

    Reference: LeCun, Bottou, Orr and Mueller, Efficient BackProp, 1998.
    """
    return _scaled("lecun", form, lambda fan_in, fan_out: 1.0 / fan_in)


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with at least two axes: one axis is a row."""
    return (1, *shape) if len(shape) == 1 else shape


@initializer()
def orthogonal(gain: float = 1.0) -> Draw:
    """W^T W = gain^2 I, or W W^T = gain^2 I where there are fewer rows than columns

    The last two axes of the shape are a matrix (one axis is a row), drawn uniformly from all such
    matrices: the signs of the QR decomposition of normal numbers are made unique (Mezzadri 2007).
    Reference: Saxe, McClelland and Ganguli, ICLR 2014.
    """
    if not (math.isfinite(gain) and gain > 0):
        raise UsageError(f"orthogonal: gain is a length and must be above 0, got {gain!r}")

    def draw(
        rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> np.ndarray:
        normal = rng.standard_normal(_as_matrix(shape))
        is_wide = normal.shape[-2] < normal.shape[-1]
        # QR makes columns orthogonal; of a wide matrix it must be the rows.
        if is_wide:
            normal = normal.swapaxes(-1, -2)
        q, r = np.linalg.qr(normal)
        q *= gain * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
        if is_wide:
            q = q.swapaxes(-1, -2)
        return np.ascontiguousarray(q).reshape(shape)

    return draw


@initializer()
def sparse(k: int = 15, std: float = 1.0) -> Draw:
    """w ~ N(0, std^2) for k incoming weights of each unit, chosen at random; all others are 0

    A unit with fewer than k inputs gets all of them.
    PyTorch's sparse_ takes the share of zeros instead, and std 0.01.
    Reference: Martens, ICML 2010.
    """
    checks.whole("sparse: k, the incoming weights of a unit,", k, 1)
    checks.real("sparse: std", std, lambda value: value > 0, "must be above 0")

    def draw(
        rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int
    ) -> np.ndarray:
        matrix = _as_matrix(shape)
        w = rng.standard_normal(matrix) * std
        # For each unit a permutation of 0 .. fan_in - 1, whose values below k are the places.
        places = rng.random(matrix).argsort(axis=-2)
        return np.where(places < k, w, 0.0).reshape(shape)

    return draw
