"""The built-in initializers: draw(rng, shape, fan_in, fan_out) -> float64 array of that shape."""

import math
from collections.abc import Callable

import numpy as np

from harness.errors import UsageError
from harness.registry import initializer

Draw = Callable[[np.random.Generator, tuple[int, ...], int, int], np.ndarray]


@initializer()
def zeros() -> Draw:
    """w = 0"""
    return lambda rng, shape, fan_in, fan_out: np.zeros(shape)


@initializer()
def constant(value: float = 0.0) -> Draw:
    """w = value"""
    return lambda rng, shape, fan_in, fan_out: np.full(shape, float(value))


@initializer()
def normal(scale: float = 100.0, positive: bool = False) -> Draw:
    """w ~ N(0, 1) / scale, or |N(0, 1)| / scale where positive

    scale divides, as the article's initScale does: its networks start from normal(scale=100, positive=True).
    """
    if not scale > 0:
        raise UsageError(f"normal: scale divides the weights and must be above 0, got {scale!r}")

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
        w = rng.standard_normal(shape) / scale
        return np.abs(w) if positive else w

    return draw


def _scaled(name: str, form: str, variance: Callable[[int, int], float]) -> Draw:
    if form not in ("normal", "uniform"):
        raise UsageError(f"{name}: form must be 'normal' or 'uniform', got {form!r}")

    def draw(rng: np.random.Generator, shape: tuple[int, ...], fan_in: int, fan_out: int) -> np.ndarray:
        std = math.sqrt(variance(fan_in, fan_out))
        if form == "normal":
            return rng.standard_normal(shape) * std
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
