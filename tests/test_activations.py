"""The built-in activations: values and slopes against mpmath in units in the last place, kinks, PyTorch, aliasing.

`python tests/test_activations.py` prints the measured errors beside the allowed ones.
"""

import tracemalloc
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest

from harness import registry
from harness.errors import UsageError
from harness.testing import assert_conforms

DTYPES = (np.float32, np.float64)
mp.mp.dps = 60


class Case(NamedTuple):
    """An activation at some hyperparameters, the textbook formula for it, and the errors allowed."""

    name: str
    given: dict[str, Any]
    f: Callable[..., Any]  # of z and the hyperparameters, in mpmath
    kinks: dict[float, float]  # slopes at kinks
    ulp: tuple[float, float, float, float]  # value and slope in float32, value and slope in float64
    of_one: bool = False  # count the slope's error in units of max(|f'|, 1), not of |f'|

    @property
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **self.given}

    def __str__(self) -> str:
        return registry.text(self.spec)


def sigma(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def clip(z: Any, low: Any, high: Any) -> Any:
    return min(max(z, low), high)


def elu(z: Any, alpha: Any) -> Any:
    return z if z > 0 else alpha * mp.expm1(z)


def tanh_gelu(z: Any, approximate: str) -> Any:
    return z / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf("0.044715") * z**3)))


SCALE, ALPHA = mp.mpf("1.0507009873554804934193349852946"), mp.mpf("1.6732632423543772848170429916717")
third = mp.mpf(2) / 3

CASES = [
    Case("absolute", {}, abs, {0: 0}, (0, 0, 0, 0)),
    Case("arctan", {}, mp.atan, {}, (4, 4, 4, 4)),
    Case("celu", {"alpha": 1.0}, lambda z, alpha: z if z > 0 else alpha * mp.expm1(z / alpha), {}, (4, 4, 4, 4)),
    Case("celu", {"alpha": 0.7}, lambda z, alpha: z if z > 0 else alpha * mp.expm1(z / alpha), {0: 1}, (4, 4, 4, 4)),
    Case("elu", {"alpha": 1.0}, elu, {}, (4, 4, 4, 4)),
    Case("elu", {"alpha": 0.3}, elu, {0: 0.3}, (4, 4, 4, 4)),
    Case("erf", {}, mp.erf, {}, (4, 4, 4, 4)),
    Case("gaussian", {}, lambda z: mp.exp(-z * z), {}, (4, 4, 4, 4)),
    Case("gelu", {"approximate": "none"}, lambda z, approximate: z * mp.ncdf(z), {}, (4, 4, 4, 4)),
    Case("gelu", {"approximate": "tanh"}, tanh_gelu, {}, (4, 4, 4, 4)),
    Case("hard_sigmoid", {}, lambda z: clip(z + 3, 0, 6) / 6, {-3: 0, 3: 0}, (4, 4, 4, 4)),
    Case("hard_swish", {}, lambda z: z * clip(z + 3, 0, 6) / 6, {-3: 0, 3: 1}, (4, 4, 4, 4)),
    Case("hard_tanh", {"min_val": -1.0, "max_val": 1.0}, lambda z, min_val, max_val: clip(z, min_val, max_val), {-1: 0, 1: 0}, (4, 4, 4, 4)),
    Case("hard_tanh", {"min_val": -0.5, "max_val": 3.0}, lambda z, min_val, max_val: clip(z, min_val, max_val), {-0.5: 0, 3: 0}, (4, 4, 4, 4)),
    Case("hardshrink", {"lambd": 0.5}, lambda z, lambd: z if abs(z) > lambd else 0 * z, {-0.5: 0, 0.5: 0}, (4, 4, 4, 4)),
    Case("identity", {}, lambda z: z, {}, (4, 4, 4, 4)),
    Case("isru", {"alpha": 1.0}, lambda z, alpha: z / mp.sqrt(1 + alpha * z * z), {}, (4, 4, 4, 4)),
    Case("isru", {"alpha": 0.3}, lambda z, alpha: z / mp.sqrt(1 + alpha * z * z), {}, (4, 4, 4, 4)),
    Case("leaky_relu", {"slope": 0.01}, lambda z, slope: z if z > 0 else slope * z, {0: 0.01}, (4, 4, 4, 4)),
    Case("leaky_relu", {"slope": -1.7}, lambda z, slope: z if z > 0 else slope * z, {0: -1.7}, (4, 4, 4, 4)),
    Case("lecun_tanh", {}, lambda z: mp.mpf("1.7159") * mp.tanh(2 * z / 3), {}, (4, 4, 4, 4)),
    Case("log_sigmoid", {}, lambda z: -mp.log1p(mp.exp(-z)), {}, (4, 4, 4, 4)),
    Case("mish", {}, lambda z: z * mp.tanh(mp.log1p(mp.exp(z))), {}, (4, 4, 4, 4)),
    Case("penalized_tanh", {"slope": 0.25}, lambda z, slope: mp.tanh(z) * (1 if z > 0 else slope), {0: 0.25}, (4, 4, 4, 4)),
    Case("relu", {}, lambda z: max(z, 0 * z), {0: 0}, (4, 4, 4, 4)),
    Case("relu6", {}, lambda z: clip(z, 0 * z, 6), {0: 0, 6: 0}, (4, 4, 4, 4)),
    Case("selu", {}, lambda z: SCALE * elu(z, ALPHA), {0: float(SCALE * ALPHA)}, (4, 4, 4, 4)),
    Case("sigmoid", {}, sigma, {}, (4, 4, 4, 4)),
    Case("silu", {"beta": 1.0}, lambda z, beta: z * sigma(beta * z), {}, (4, 4, 4, 4)),
    Case("silu", {"beta": 1.702}, lambda z, beta: z * sigma(beta * z), {}, (4, 4, 4, 4)),
    Case("sin", {"omega": 1.0}, lambda z, omega: mp.sin(omega * z), {}, (4, 4, 4, 4)),
    Case("smelu", {"beta": 0.7}, lambda z, beta: clip(z + beta, 0, 2 * beta) ** 2 / (4 * beta) + max(z - beta, 0), {}, (4, 4, 4, 4)),
    Case("snake", {"alpha": 1.0}, lambda z, alpha: z + mp.sin(alpha * z) ** 2 / alpha, {}, (4, 4, 4, 4)),
    Case("softplus", {"beta": 1.0}, lambda z, beta: mp.log1p(mp.exp(beta * z)) / beta, {}, (4, 4, 4, 4)),
    Case("softplus", {"beta": 2.3}, lambda z, beta: mp.log1p(mp.exp(beta * z)) / beta, {}, (4, 4, 4, 4)),
    Case("softshrink", {"lambd": 0.5}, lambda z, lambd: z - clip(z, -lambd, lambd), {-0.5: 0, 0.5: 0}, (4, 4, 4, 4)),
    Case("softsign", {}, lambda z: z / (1 + abs(z)), {}, (4, 4, 4, 4)),
    Case("square", {}, lambda z: z * z, {}, (4, 4, 4, 4)),
    Case("squared_relu", {}, lambda z: max(z, 0 * z) ** 2, {0: 0}, (4, 4, 4, 4)),
    Case("squareplus", {"b": 4.0}, lambda z, b: (z + mp.sqrt(z * z + b)) / 2, {}, (4, 4, 4, 4)),
    Case("squareplus", {"b": 0.1}, lambda z, b: (z + mp.sqrt(z * z + b)) / 2, {}, (4, 4, 4, 4)),
    Case("tanh", {}, mp.tanh, {}, (4, 4, 4, 4)),
    Case("tanhshrink", {}, lambda z: z - mp.tanh(z), {}, (4, 4, 4, 4)),
    Case("telu", {}, lambda z: z * mp.tanh(mp.exp(z)), {}, (4, 4, 4, 4)),
    Case("threshold", {"threshold": 1.0, "value": 0.0}, lambda z, threshold, value: z if z > threshold else value, {1: 0}, (4, 4, 4, 4)),
]  # fmt: skip

EVEN = [0.0, 1e-30, 1e-12, 1e-8, 1e-4, 1e-3, 0.01, 0.1, 0.25, 0.3, 0.7, 0.999, 1.001, 1.3, 1.7, 2.0, 2.5, 4.0, 5.0, 7.0]
EVEN += [8.5, 9.3, 12.0, 15.0, 17.0, 19.9, 20.1, 25.0, 30.0, 37.0, 50.0, 80.0, 100.0, 300.0, 700.0, 1e3, 1e4]


def points(dtype: Any) -> np.ndarray:
    """0, tiny, ordinary and extreme numbers of both signs, kinks and their neighbours."""
    near = [f(dtype(k), dtype(s)) for k in (0.5, 1.0, 3.0, 6.0) for s in (-np.inf, np.inf) for f in (np.nextafter,)]
    plus = np.array([*EVEN, 0.5, 1.0, 3.0, 6.0, *near], dtype)
    return np.unique(np.concatenate([-plus, plus])).reshape(1, -1)


def run(spec: Any, z: np.ndarray, **arrays: Any) -> tuple[np.ndarray, np.ndarray]:
    """f(z) and f'(z); hyperparameters that are given as arrays take the place of those of the spec."""
    entry = registry.find("activation", spec["name"])
    value, pullback = registry.activation_pair(entry, {**registry.arguments(entry, spec), **arrays})
    a, da = np.full_like(z, np.nan), np.ones_like(z)
    value(np, z.copy(), a)
    kept = a.copy()
    pullback(np, z.copy(), a, da)
    return kept, da


def scalars(spec: Any, dtype: Any, members: int = 0) -> dict[str, np.ndarray]:
    """The numeric hyperparameters as the engine hands them over: (1, 1), or (P, 1, 1), a tenth more for each member."""
    entry = registry.find("activation", spec["name"])
    given = {k: v for k, v in registry.arguments(entry, spec).items() if entry.role(k) == "scalar"}
    if not members:
        return {k: np.full((1, 1), v, dtype) for k, v in given.items()}
    return {k: np.array([v * (1 + p / 10) for p in range(members)], dtype).reshape(-1, 1, 1) for k, v in given.items()}


@cache
def exact(number: int, dtype: Any) -> tuple[list[Any], list[Any]]:
    """Values and slopes of a case at the points, to 60 digits and more."""
    case, z = CASES[number], points(dtype).ravel()
    arrays = scalars(case.spec, dtype)
    given = {k: mp.mpf(float(arrays[k].item())) if k in arrays else v for k, v in case.given.items()}
    kinks = {float(dtype(k)): v for k, v in case.kinks.items()}
    values, slopes = [], []
    with mp.workdps(700):
        for x in z.tolist():
            values.append(mp.mpf(case.f(mp.mpf(x), **given)))
            known = float(dtype(kinks[x])) if x in kinks else None
            slopes.append(mp.diff(lambda t: case.f(t, **given), mp.mpf(x)) if known is None else mp.mpf(known))
    return values, slopes


def ulps(found: np.ndarray, exact: list[Any], least: float = 0.0) -> np.ndarray:
    """Errors in units in the last place of max(|exact|, least). What is near the underflow may be flushed to 0."""
    info = np.finfo(found.dtype)
    unit, flushed = mp.mpf(float(info.eps)), mp.mpf(float(info.tiny)) / float(info.eps)
    errors = []
    for x, y in zip(found.ravel().tolist(), exact, strict=True):
        size = max(abs(y), mp.mpf(least), flushed)
        spacing = unit * mp.mpf(2) ** mp.floor(mp.log(size, 2))
        errors.append(float(abs(mp.mpf(x) - y) / spacing) if np.isfinite(x) else np.inf)
    return np.array(errors)


def measured(number: int) -> list[float]:
    """The largest errors of a case in ULP, in the order of Case.ulp."""
    case, found = CASES[number], []
    for dtype in DTYPES:
        with np.errstate(all="raise", under="ignore"):
            a, da = run(case.spec, points(dtype), **scalars(case.spec, dtype))
        values, slopes = exact(number, dtype)
        found += [ulps(a, values).max(), ulps(da, slopes, float(case.of_one)).max()]
    return found


if __name__ == "__main__":
    for number, case in enumerate(CASES):
        print(f"{case!s:45s}", *(f"{x:10.4g}" for x in measured(number)), f"   {case.ulp} {case.of_one}")
