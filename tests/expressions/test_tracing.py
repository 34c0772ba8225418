"""Activations from expressions: values and slopes against closed forms and differences, kinks, far
out, refusals.
"""

import inspect
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import special

from harness import registry
from harness.errors import UsageError
from harness.expressions import backend, derive
from harness.ops import debug
from harness.registry import decorators, factories

Z = np.concatenate([np.linspace(-6.0, 6.0, 97), [-30.0, -0.3, 1e-8, 0.7, 30.0]])
FAR = np.array([-1000.0, -300.0, -100.0, -88.5, -50.0, 50.0, 88.5, 100.0, 300.0, 1000.0])


def pair(f: Callable[..., Any], inplace: bool = False, **kwargs: Any) -> registry.Activation:
    """What @activation makes of f, without a name in the registry."""
    parameters = factories.parameters("activation", "mine", f)
    options = {"inplace": inplace, "spelling": decorators.spelling("activation", parameters)}
    return registry.activation_pair(
        registry.Entry("activation", "mine", f, parameters, __file__, options), kwargs
    )


def run(f: Any, z: Any, xp: Any = np, **kwargs: Any) -> tuple[np.ndarray, np.ndarray]:
    """a = f(z) and f'(z)."""
    value, pullback = f if isinstance(f, tuple) else pair(f, **kwargs)
    z = np.array(z)
    a, da = np.full_like(z, np.nan), np.ones_like(z)
    # Graphs and slopes are tested here. In float64 passes do for that, and nothing is compiled.
    kernels = "numpy" if xp is np and z.dtype == np.float64 else backend.kernels()
    with backend.using(kernels):
        value(xp, z, a)
        out = a.copy()
        pullback(xp, z, a, da)
    return out, da


def quotient(f: Callable[..., Any], z: np.ndarray) -> np.ndarray:
    """f'(z) by central differences of fourth order in longdouble: errors near 1e-13 where f is
    smooth.
    """
    z, h = z.astype(np.longdouble), np.longdouble(2.0) ** -11
    with np.errstate(all="ignore"):
        return (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)


def sigma(z: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


# name -> expression, its value and its slope in closed form
CLOSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]] = {
    "identity": (lambda z: z, lambda z: z, lambda z: np.ones_like(z)),
    "tanh": (np.tanh, np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (
        lambda z: 1 / (1 + np.exp(-z)),
        special.expit,
        lambda z: special.expit(z) * special.expit(-z),
    ),
    "silu": (
        lambda z: z / (1 + np.exp(-z)),
        lambda z: z * sigma(z),
        lambda z: sigma(z) * (1 + z * special.expit(-z)),
    ),
    "tanhshrinkish": (
        lambda z: z * np.tanh(2.0 * z),
        lambda z: z * np.tanh(2 * z),
        lambda z: np.tanh(2 * z) + 2 * z / np.cosh(2 * z) ** 2,
    ),
    "relu": (lambda z: np.maximum(z, 0), lambda z: z * (z > 0), lambda z: 1.0 * (z > 0)),
    "leaky": (
        lambda z: np.where(z > 0, z, 0.1 * z),
        lambda z: z * np.where(z > 0, 1, 0.1),
        lambda z: np.where(z > 0, 1, 0.1),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.exp(z) - 1),
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "gelu": (
        lambda z: 0.5 * z * (1 + special.erf(z / np.sqrt(2))),
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi),
    ),
    "softplus": (lambda z: np.logaddexp(0, z), lambda z: -special.log_expit(-z), special.expit),
    "softsign": (
        lambda z: z / (1 + abs(z)),
        lambda z: z / (1 + np.abs(z)),
        lambda z: 1 / (1 + np.abs(z)) ** 2,
    ),
    "squareplus": (
        lambda z: (z + np.sqrt(z**2 + 4)) / 2,
        lambda z: (z + np.hypot(z, 2)) / 2,
        lambda z: (1 + z / np.hypot(z, 2)) / 2,
    ),
    "gaussian": (
        lambda z: np.exp(-z * z),
        lambda z: np.exp(-(z**2)),
        lambda z: -2 * z * np.exp(-(z**2)),
    ),
    "snake": (
        lambda z: z + np.sin(3.0 * z) ** 2 / 3.0,
        lambda z: z + np.sin(3 * z) ** 2 / 3,
        lambda z: 1 + np.sin(6 * z),
    ),
    "hard_swish": (
        lambda z: z * np.clip(z + 3, 0, 6) / 6,
        lambda z: z * np.clip(z + 3, 0, 6) / 6,
        lambda z: np.where(z > 3, 1, np.where(z > -3, (2 * z + 3) / 6, 0)),
    ),
    "cubic": (lambda z: z**3 - 2 * z, lambda z: z * z * z - 2 * z, lambda z: 3 * z * z - 2),
}


@pytest.mark.parametrize("name", CLOSED)
def test_one_liners_equal_closed_forms(name: str) -> None:
    f, value, slope = CLOSED[name]
    a, da = run(f, Z)
    np.testing.assert_allclose(a, value(Z), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(da, slope(Z), rtol=1e-12, atol=1e-12)


# each operation with a slope at least once, on a domain where it is smooth
SMOOTH: dict[str, Callable[..., Any]] = {
    "add sub neg pos": lambda z: -(2 - z) + (+z) - (z - 1),
    "reciprocal divide": lambda z: np.reciprocal(z) - 3 / z + z / 4 + (z + 1) / (z + 2),
    "square sqrt cbrt": lambda z: np.square(z) * np.sqrt(z) + np.cbrt(z),
    "powers": lambda z: z**2 - z**3 + z**5 + z**-2 + z**0.5 + z**1.7 + z**12 + z**1 + z**0,
    "number to the power": lambda z: 2**z + np.power(0.5, z) + np.float_power(z, 1.5),
    "z to the power z": lambda z: z**z + z ** (1 - z),
    "exp": lambda z: np.exp(z) + np.exp2(-z) + np.expm1(z / 2),
    "log": lambda z: np.log(z) + np.log2(1 + z) * np.log10(z + 3) + np.log1p(z * z),
    "trigonometric": lambda z: np.sin(z) * np.cos(2 * z) + np.tan(z / 3) + np.arctan(z * z),
    "inverse hyperbolic": lambda z: np.arccosh(1.5 + z * z) + np.arctanh(z / np.hypot(z, 3)),
    "hyperbolic": lambda z: np.sinh(z / 2) + np.cosh(z / 3) * np.tanh(z) + np.arcsinh(3 * z),
    "logaddexp hypot": lambda z: np.logaddexp(z * z, 2 - z) + np.hypot(z, 1 - z),
    "abs sign heaviside": lambda z: (
        np.abs(1 - z) * np.sign(z - 1.3) + np.fabs(z) + z * np.heaviside(z - 1.2, 0.5)
    ),
    "maximum minimum": lambda z: np.maximum(z * z, 2 - z) * np.minimum(np.exp(z), 3 + z),
    "clip": lambda z: (
        np.clip(z * z, 0.5, 2) + np.clip(z, None, 2.2) * np.clip(z, min=1.1, max=None)
    ),
    "select": lambda z: np.select([z < 1.0, (z < 2.2) & ~(z > 1.8)], [z**2, 3 * z], z**3),
    "conditions": lambda z: np.where(
        (z > 1.0) ^ (z <= 2.0) | np.logical_and(z >= 2.2, z < 9), z, np.sin(z)
    ),
    "masks as numbers": lambda z: (
        z * (z > 1.2) + (z < 2.0) * z**2 + 2 * ((z > 0.5) * (z < 2.1) + (z > 1.8)) * z
    ),
    "like": lambda z: (
        z * np.full_like(z, 3.0) + np.ones_like(z) - np.zeros_like(z) + (z > 1.2).astype(float) * z
    ),
    "numpy scalars": lambda z: np.float32(2) * z - np.float64(0.5) * z**2 + np.array(3) * z,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_every_numpy_operation_against_differences(name: str) -> None:
    z = np.linspace(0.31, 2.51, 45)
    a, da = run(SMOOTH[name], z)
    np.testing.assert_allclose(a, SMOOTH[name](z), rtol=1e-13)
    np.testing.assert_allclose(da, quotient(SMOOTH[name], z).astype(float), rtol=1e-10, atol=1e-10)


SPECIAL: dict[str, Callable[..., Any]] = {
    "erf erfc erfcx": lambda z: special.erf(z) + 2 * special.erfc(z / 2) + special.erfcx(z / 3),
    "expit log_expit": lambda z: special.expit(2 * z) + special.log_expit(z),
    "ndtr log_ndtr": lambda z: z * special.ndtr(z) + special.log_ndtr(z),
    "xlogy entr": lambda z: special.xlogy(z, 1 + z * z) + special.entr(2 + np.tanh(z)),
    "softplus-like": lambda z: (
        special.xlogy(2.0, 3 + z * z) + np.logaddexp(z, -z) + special.expm1(z / 4)
    ),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_scipy_special_against_differences(name: str) -> None:
    z, h = np.linspace(-2.51, 2.51, 44), 2.0**-10
    f = SPECIAL[name]
    a, da = run(f, z)
    # Scipy has no longdouble
    near = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)
    np.testing.assert_allclose(a, f(z), rtol=1e-13)
    np.testing.assert_allclose(da, near, rtol=1e-9, atol=1e-9)


def test_no_operation_is_left_untested() -> None:
    text = inspect.getsource(inspect.getmodule(quotient))  # type: ignore[arg-type]
    known = {*derive.FACTORS, *derive.SLOPES} - {
        "add",
        "subtract",
        "multiply",
        "divide",
        "negative",
        "absolute",
        "power",
    }
    assert [op for op in known if f"np.{op}(" not in text and f"special.{op}(" not in text] == []


def random_expression(rng: np.random.Generator, z: Any, depth: int) -> Any:
    if depth == 0:
        return z if rng.random() < 0.7 else float(rng.uniform(-2, 2))
    u, v = (random_expression(rng, z, depth - 1) for _ in range(2))
    choice = [
        lambda: u + v,
        lambda: u - 0.5 * v,
        lambda: u * v,
        lambda: u / (1.5 + np.cos(v)),
        lambda: np.tanh(u) * v,
        lambda: np.exp(-np.abs(u)),
        lambda: np.maximum(u, v),
        lambda: np.minimum(u, 0.3),
        lambda: np.where(u > v, np.sin(u), v),
        lambda: np.log1p(np.square(u)),
        lambda: np.sqrt(1 + u**2),
        lambda: -u,
        lambda: np.arctan(u) ** 3,
    ]
    return choice[rng.integers(len(choice))]()


def test_random_expressions_against_differences() -> None:
    z = np.linspace(-1.9, 2.1, 60)
    checked = 0
    for seed in range(150):

        def f(z: Any, *, seed: int = seed) -> Any:
            return random_expression(np.random.default_rng(seed), z, 4) + 0.1 * z

        a, da = run(f, z)
        near = quotient(f, z).astype(float)
        # No kink nearby
        smooth = np.abs(near - quotient(f, z + 2e-4).astype(float)) < 1e-2 * (1 + np.abs(near))
        np.testing.assert_allclose(a, f(z), rtol=1e-12, atol=1e-12, err_msg=str(seed))
        bad = smooth & ~np.isclose(da, near, rtol=1e-7, atol=1e-7)
        # A kink within 2h spoils the quotient, not more
        assert bad.mean() <= 0.05, (seed, z[bad], da[bad], near[bad])
        checked += smooth.sum()
    assert checked > 5000


# Far out, kinks and branches ----------------------------------------------------------------------

# name -> expression with a finite value at FAR, and the limit of its slope
EXTREME: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: special.expit(z) * special.expit(-z)),
    "silu": (lambda z: z / (1 + np.exp(-z)), lambda z: 1.0 * (z > 0)),
    "silu as a product": (lambda z: z * (1 / (1 + np.exp(-z))), lambda z: 1.0 * (z > 0)),
    "mish": (lambda z: z * np.tanh(np.log1p(np.exp(z))), lambda z: 1.0 * (z > 0)),
    "softplus": (lambda z: np.logaddexp(z, 0), special.expit),
    "stable softplus": (lambda z: np.log1p(np.exp(-abs(z))) + np.maximum(z, 0), special.expit),
    "gelu": (lambda z: z * special.ndtr(z), lambda z: 1.0 * (z > 0)),
    "gelu with tanh": (
        lambda z: 0.5 * z * (1 + np.tanh(0.8 * (z + 0.045 * z**3))),
        lambda z: 1.0 * (z > 0),
    ),
    "elu": (lambda z: np.where(z > 0, z, np.exp(z) - 1), lambda z: np.exp(np.minimum(z, 0))),
    "gudermannian": (lambda z: np.arctan(np.exp(z)), lambda z: np.exp(-np.abs(z))),
    "gompertz": (lambda z: np.exp(-np.exp(-z)), lambda z: np.exp(-z - np.exp(-z))),
    "sech": (lambda z: 1 / np.cosh(z), lambda z: -np.sign(z) * 2 * np.exp(-np.abs(z))),
    "log of ndtr": (
        special.log_ndtr,
        lambda z: np.sqrt(2 / np.pi) / special.erfcx(-z / np.sqrt(2)),
    ),
    "high power": (lambda z: 1 / (1 + z**20), lambda z: np.zeros_like(z)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXTREME)
def test_slopes_far_out_are_the_limits(name: str, dtype: type) -> None:
    f, limit = EXTREME[name]
    with np.errstate(all="ignore"):
        expected = limit(FAR.astype(dtype).astype(float))
    a, da = run(f, FAR.astype(dtype))
    assert np.isfinite(a).all()
    assert da.dtype == dtype
    np.testing.assert_allclose(da, expected, rtol=1e-4, atol=1e-15)


def test_poles_stay_infinite_or_nan() -> None:
    # F'(0) is 1, but the expression passes through 1 / 0
    a, da = run(lambda z: 1 / (1 + 1 / z), np.zeros(1))
    assert a[0] == 0.0
    assert np.isnan(da[0])
    assert run(lambda z: np.sqrt(np.abs(z)), np.zeros(1))[1][0] == -np.inf


# expression, kink, slope just left of it
KINKS: dict[str, tuple[Callable[..., Any], float, float]] = {
    "relu": (lambda z: np.maximum(z, 0), 0.0, 0.0),
    "relu, operands swapped": (lambda z: np.maximum(0, z), 0.0, 0.0),
    "relu, as a mask": (lambda z: z * (z > 0), 0.0, 0.0),
    "relu, as a mask with the tie": (lambda z: z * (z >= 0), 0.0, 0.0),
    "relu of -z": (lambda z: np.maximum(-z, 0), 0.0, -1.0),
    "minimum": (lambda z: np.minimum(z, 0), 0.0, 1.0),
    "leaky": (lambda z: np.maximum(z, 0.1 * z), 0.0, 0.1),
    "maximum of two": (lambda z: np.maximum(np.sin(z), 0.5 * z), 0.0, 0.5),
    "abs": (np.abs, 0.0, -1.0),
    "clip, low": (lambda z: np.clip(z, -1, 2), -1.0, 0.0),
    "clip, high": (lambda z: np.clip(z, -1, 2), 2.0, 1.0),
    "where": (lambda z: np.where(z < 1, 2 * z, 5 * z), 1.0, 2.0),
    "where with the tie": (lambda z: np.where(z >= 1, 5 * z, 2 * z), 1.0, 2.0),
    "where on a square, rising": (lambda z: np.where(z * z >= 1, 5 * z, 2 * z), 1.0, 2.0),
    "where on a square, falling": (lambda z: np.where(z * z > 1, 5 * z, 2 * z), -1.0, 5.0),
    "step": (lambda z: z * np.heaviside(z, 0.5), 0.0, 0.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_have_the_slope_from_the_left(name: str) -> None:
    f, kink, slope = KINKS[name]
    assert run(f, np.array([kink]))[1][0] == slope
    assert run(f, np.array([kink - 1e-9]))[1][0] == pytest.approx(slope, abs=1e-6)


SMOOTH_AT_0: dict[str, tuple[Callable[..., Any], float]] = {
    "stable softplus": (lambda z: np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0), 0.5),
    "stable sigmoid": (
        lambda z: np.where(z >= 0, 1.0, np.exp(-np.abs(z))) / (1 + np.exp(-np.abs(z))),
        0.25,
    ),
    "symmetric logarithm": (lambda z: np.sign(z) * np.log1p(np.abs(z)), 1.0),
    "relu - relu of -z": (lambda z: np.maximum(z, 0) - np.maximum(-z, 0), 1.0),
    "z |z|": (lambda z: z * np.abs(z), 0.0),
    "softsign": (lambda z: z / (1 + np.abs(z)), 1.0),
    "square root of a sum": (lambda z: np.sqrt(1 + np.maximum(z, 0) ** 2), 0.0),
}


@pytest.mark.parametrize("name", SMOOTH_AT_0)
def test_kinks_that_cancel_leave_the_right_slope(name: str) -> None:
    f, slope = SMOOTH_AT_0[name]
    np.testing.assert_allclose(run(f, np.array([-1e-9, 0.0, 1e-9]))[1], slope, atol=1e-8)


def test_the_branch_that_is_not_taken_may_be_anything() -> None:
    z = np.array([-1000.0, -2.0, -1.0, -0.5, 0.0, 0.5, 900.0])
    a, da = run(lambda z: np.where(z > 0, np.log1p(z), z), z)
    np.testing.assert_allclose(a, np.where(z > 0, np.log1p(np.maximum(z, 0)), z))
    np.testing.assert_allclose(da, [1, 1, 1, 1, 1, 1 / 1.5, 1 / 901], rtol=1e-15)
    da = run(lambda z: 3 * np.tanh(np.where(z > 0, np.sqrt(z), np.exp(z) - 1)), z)[1]
    assert np.isfinite(da).all()
    a, da = run(lambda z: np.sqrt(2 * np.maximum(z, 0)), z)  # 0.5 / 0 * 0 on the left
    np.testing.assert_array_equal(da[:5], 0.0)
    np.testing.assert_allclose(da[5:], 1 / np.sqrt(2 * z[5:]))


# Refusals -----------------------------------------------------------------------------------------


def branch(z: Any) -> Any:
    return z if z > 0 else 0.1 * z


def added_in_place(z: Any) -> Any:
    y = np.exp(z)
    y += 1
    return y


def loop(z: Any) -> Any:
    return sum(each for each in z)


def written(z: Any) -> Any:
    z[0] = 0.0
    return z


def test_full_like_has_the_type_that_numpy_gives_it() -> None:
    z = np.random.default_rng(3).standard_normal((4, 5))
    for f in (
        lambda z: np.full_like(z, 0.5, dtype=int) * z + z,
        lambda z: np.where(np.ones_like(z, dtype=bool), z, 2 * z),
        lambda z: np.where(np.zeros_like(z > 0), z, 2 * z),
        lambda z: np.full_like(z, z > 0) * z,
        lambda z: np.full_like(z, True) * z,
        lambda z: np.where(np.full_like(z > 0, 0.5), z, 2 * z),
    ):
        np.testing.assert_array_equal(run(f, z)[0], f(z), strict=True)


def test_arrays_may_stand_where_z_is_not() -> None:
    z = np.random.default_rng(4).standard_normal((4, 5))
    row = np.linspace(-1.0, 1.0, 5)
    bound = np.full((1, 1), 0.5)
    for f in (
        lambda z, bound: z * np.clip(row, -0.3, bound),
        lambda z, bound: z * np.clip(0.7, 0.0, bound),
        lambda z, bound: np.select([z > 1.0, row > 0.0], [z, 2.0], 3.0) * z,
        lambda z, bound: z * np.heaviside(row, bound),
    ):
        np.testing.assert_array_equal(run(f, z, bound=bound)[0], f(z, bound))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_of_two_numbers_gives_these_numbers(dtype: Any) -> None:
    z = np.random.default_rng(5).standard_normal((4, 7)).astype(dtype)
    for p, q in (
        (1.0, 0.01),
        (0.01, 1.0),
        (-0.3, 1e-30),
        (1e30, -1e-30),
        (0.0, 0.7),
        (1.0, -1.0),
        (3.0, 0.0),
        (3.0, -0.0),
        (0.0, -0.0),
        (-0.0, 0.0),
        (-0.0, -2.0),
    ):
        a, da = run(lambda z, p=p, q=q: np.where(z > 0.1, p, q) * z, z)
        numbers = np.where(z > 0.1, dtype(p), dtype(q))
        np.testing.assert_array_equal(a, numbers * z, strict=True)
        np.testing.assert_array_equal(np.signbit(a), np.signbit(numbers * z))
        np.testing.assert_array_equal(da, numbers, strict=True)
    infinite = np.where(z > 0, dtype(np.inf), dtype(1.0)) + z
    np.testing.assert_array_equal(run(lambda z: np.where(z > 0, np.inf, 1.0) + z, z)[0], infinite)


@pytest.mark.parametrize(("dtype", "ulp"), [(np.float32, 4), (np.float64, 4)])
def test_what_is_composed_for_speed_equals_the_ufunc(dtype: Any, ulp: float) -> None:
    z = np.concatenate(
        [np.linspace(-20, 20, 401), FAR, [0.0, -0.0, np.inf, -np.inf, np.nan]]
    ).astype(dtype)
    for f in (
        lambda z: np.logaddexp(z, 0.0),
        lambda z: np.logaddexp(0.3 * z, -z),
        lambda z: -np.logaddexp(0.0, -z),
        lambda z: special.log_expit(z),
        lambda z: np.logaddexp(np.tanh(z), np.sin(z)) + special.log_expit(-z) * np.tanh(z),
    ):
        with np.errstate(all="ignore"):
            expected, (a, _) = f(z.astype(np.float64)), run(f, z)
            z_itself = z.copy()
            pair(f)[0](np, z_itself, z_itself)
        size = np.spacing(np.maximum(np.abs(expected), 1.0).astype(dtype))
        kept = np.isfinite(expected)
        assert np.max(np.abs(a[kept] - expected[kept]) / size[kept]) <= ulp
        np.testing.assert_array_equal(a[~kept], expected[~kept].astype(dtype))
        np.testing.assert_array_equal(z_itself, a)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_powers_of_members_have_the_bits_of_each_alone(dtype: Any) -> None:
    """Also where one member's exponent is 2, for which NumPy has another way than pow."""
    z = np.abs(np.random.default_rng(4).standard_normal((3, 9, 7))).astype(dtype)
    k = np.array([2.0, 1.7, 0.5], dtype).reshape(3, 1, 1)
    for f in (
        lambda z, k: z**k,
        lambda z, k: (1.0 + z) ** (k + 0.0) * 2.0**k,
        lambda z, k: z ** (-k) + k**k * z,
    ):
        together = run(f, z, k=k)
        for p in range(3):
            for found, alone in zip(together, run(f, z[p], k=k[p]), strict=True):
                np.testing.assert_array_equal(found[p], alone, strict=True)


def test_hyperparameters_that_are_asked_for_one_number_are_told_as_such() -> None:
    k = np.full((3, 1, 1), 0.5)
    for f in (
        lambda z, k: z * float(k),
        lambda z, k: z * math.exp(k),
        lambda z, k: z if k > 0 else -z,
    ):
        with pytest.raises(
            UsageError,
            match=r"got .*a Scalar hyperparameter.* do not annotate it "
            r"as Scalar",
        ):
            run(f, np.ones((3, 2, 2)), k=k)


REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "if": (branch, r"truth of z .*use np.where"),
    "max": (lambda z: max(z, 0.0), r"truth of z .*np.maximum"),
    "chained": (lambda z: np.where(0 < z < 1, z, 0), r"truth of z"),
    "math": (lambda z: math.tanh(z), r"as one number .*numpy or scipy"),
    "loop": (loop, r"len, a loop or an index"),
    "len": (lambda z: z * len(z), r"len, a loop or an index"),
    "index": (lambda z: z * z[0], r"len, a loop or an index"),
    "write": (written, r"len, a loop or an index"),
    "asarray": (lambda z: np.tanh(np.asarray(z)), r"needs an array"),
    "builtin round": (lambda z: round(z), r"z rounded"),
    "in place": (added_in_place, r"np.add in place or with out=.*y = y \+ 1"),
    "out": (lambda z: np.exp(z, out=z), r"np.exp in place"),
    "floor": (lambda z: np.floor(z), r"np.floor .*pair f, df"),
    "rint": (lambda z: np.rint(z) * z, r"np.rint"),
    "floordiv": (lambda z: z // 2, r"np.floor_divide"),
    "modulo": (lambda z: z % 2.0, r"np.remainder"),
    "round": (lambda z: np.round(z), r"np.round"),
    "sum": (lambda z: z / np.sum(z), r"np.sum .*every element alone"),
    "mean": (lambda z: z - np.mean(z), r"np.mean"),
    "method": (lambda z: z - z.mean(), r"z.mean"),
    "reduce": (lambda z: np.maximum.reduce(z), r"np.maximum.reduce"),
    "matmul": (lambda z: z @ z, r"np.matmul"),
    "sort": (lambda z: np.sort(z), r"np.sort"),
    "equal": (lambda z: np.where(z == 0, 1.0, z), r"np.equal \(==.*single points"),
    "not equal": (lambda z: np.where(z != 0, z, 1.0), r"np.not_equal"),
    "isnan": (lambda z: np.where(np.isnan(z), 0, z), r"np.isnan"),
    "minus a condition": (
        lambda z: -(z > 0) * z,
        r"np.negative of conditions .*np.where\(z > 0, "
        r"1.0, 0.0\)",
    ),
    "conditions subtracted": (lambda z: ((z > 1) - (z < -1)) * z, r"np.subtract of conditions"),
    "whole numbers of z": (lambda z: np.full_like(z, z, dtype=int), r"np.full_like with int64"),
    "unknown special": (lambda z: special.j0(z), r"scipy.special.j0"),
    "foreign ufunc": (lambda z: np.frompyfunc(math.sin, 1, 1)(z), r"the ufunc.sin"),
    "softmax": (special.softmax, r"got "),
    "number as condition": (lambda z: np.where(z, 1, 0), r"condition that is no comparison"),
    "and of numbers": (lambda z: np.logical_and(z, z > 0) * z, r"np.logical_and on numbers"),
    "dtype": (lambda z: z * z.dtype.type(2), r"z.dtype"),
    "integers": (lambda z: z.astype(int), r"astype"),
    "complex": (lambda z: z * 1j, r"operand 1j"),
    "text": (lambda z: np.where(z > 0, z, None), r"operand None"),
    "where with one argument": (lambda z: np.where(z > 0), r"np.where with other arguments"),
    "constant": (lambda z: 1.0, r"an expression of its first argument, got 1.0"),
    "nothing": (lambda z: None, r"an expression of its first argument, got None"),
    "three": (lambda z: (z, 1.0, z), r"an expression of its first argument, got \("),
    "no slope": (lambda z: (z, None), r"an expression of its first argument, got \("),
    "ones": (lambda z: np.ones_like(z), r"an expression of its first argument"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_slope_is_refused_by_name(name: str) -> None:
    f, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as caught:
        pair(f)
    assert "\n" not in str(caught.value)


def test_a_refusal_names_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "steps.py"
    file.write_text(
        "import numpy as np\nfrom scipy import special\nfrom harness import activation\n\n"
        "@activation()\ndef stairs_of_mine(z):\n    y = 2 * z\n    return np.floor(y)\n\n"
        "@activation()\ndef beyond_of_mine(z):\n    return special.log_softmax(z)\n"
    )
    registry.load_plugin(str(file))
    with pytest.raises(UsageError, match=r"np\.floor \(.*steps\.py, line 8, in stairs_of_mine\)"):
        registry.make("activation", "stairs_of_mine")
    with pytest.raises(UsageError, match=r"steps\.py, line 12, in beyond_of_mine"):
        registry.make("activation", "beyond_of_mine")


def test_errors_of_the_users_own_pass_through() -> None:
    with pytest.raises(ZeroDivisionError):
        pair(lambda z: z * (1 / 0))


# Populations, dtypes, buffers ---------------------------------------------------------------------


def swish(z: Any, beta: Any = 1.0, low: Any = -1.0) -> Any:
    return (
        np.maximum(z * np.tanh(np.abs(beta) * z), low)
        + np.where(beta == 0, z, 0 * z)
        + np.exp(-beta) * z
    )


def test_a_population_row_equals_the_network_alone() -> None:
    z = np.random.default_rng(1).standard_normal((3, 5, 4)).astype(np.float32)
    beta = np.array([0.0, 1.5, -2.0], np.float32).reshape(3, 1, 1)
    low = np.array([-0.5, 0.3, -9.0], np.float32).reshape(3, 1, 1)
    a, da = run(swish, z, beta=beta, low=low)
    assert (a.dtype, da.dtype) == (np.float32, np.float32)
    for p in range(3):
        one, slope = run(swish, z[p], beta=beta[p], low=low[p])
        np.testing.assert_array_equal(one, a[p])
        np.testing.assert_array_equal(slope, da[p])
        plain, plain_slope = run(swish, z[p], beta=float(beta[p, 0, 0]), low=float(low[p, 0, 0]))
        np.testing.assert_allclose(plain, a[p], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(plain_slope, da[p], rtol=1e-5, atol=1e-6)


def test_array_hyperparameters_are_read_at_every_call() -> None:
    beta = np.full((2, 1, 1), 2.0)
    f = pair(lambda z, beta: np.tanh(beta**2 * z), beta=beta)
    z = np.random.default_rng(2).standard_normal((2, 3, 4))
    run(f, z)
    beta[1] = 0.5
    a, da = run(f, z)
    np.testing.assert_allclose(a, np.tanh(beta**2 * z), rtol=1e-15)
    np.testing.assert_allclose(da, beta**2 / np.cosh(beta**2 * z) ** 2, rtol=1e-12, atol=1e-14)


def test_float32_is_computed_in_float32() -> None:
    z = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)
    scale = np.linspace(0.5, 2.0, 4)  # float64, one for each feature
    a, da = run(lambda z: np.float64(1.1) * z * np.tanh(np.sqrt(2 / np.pi) * z) * scale, z)
    x, s, c = z * np.float32(1.1), scale.astype(np.float32), np.float32(np.sqrt(2 / np.pi))
    np.testing.assert_array_equal(a, x * np.tanh(c * z) * s)
    assert (a.dtype, da.dtype) == (np.float32, np.float32)
    # 1e-60 is 0 in float32
    assert run(lambda z: z * np.full(1, 1e-60), np.full(1, 1e30, np.float32))[0] == 0.0
    value, _ = pair(lambda z: np.tanh(z) + 0.1)
    with pytest.raises(UsageError, match="given floats, got int64"):
        value(np, np.arange(3), np.arange(3))
    with pytest.raises(UsageError, match=r"shape \(3,\) of z, got \(2, 3\)"):
        run(lambda z: z * np.ones((2, 1)), np.ones(3))
    f = registry.Activation(*pair(swish))
    assert f(np.ones((2, 3), np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "f",
    [
        np.tanh,
        swish,
        lambda z: np.where(z > 0, z, np.exp(z)),
        lambda z: z,
        lambda z: np.where(z < 0, 0, z),
    ],
)
def test_out_may_be_z_and_nothing_else_is_written(f: Callable[..., Any]) -> None:
    z = np.random.default_rng(3).standard_normal((6, 5))
    frozen, a, da = z.copy(), np.empty_like(z), np.ones_like(z)
    frozen.flags.writeable = False
    value, pullback = pair(f)
    value(np, frozen, a)
    a.flags.writeable = False
    pullback(np, frozen, a, da)
    same = z.copy()
    value(np, same, same)
    np.testing.assert_array_equal(same, a)
    np.testing.assert_allclose(da, quotient(f, z).astype(float), rtol=1e-6, atol=1e-6)


def test_several_shapes_keep_their_own_buffers() -> None:
    f = pair(swish)
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((n, 3)) for n in range(1, 2 * backend.SHAPES)]
    for z in [*arrays, *arrays[::-1], arrays[0].astype(np.float32)]:
        a, da = run(f, z)
        np.testing.assert_allclose(a, swish(z), rtol=1e-5)
        np.testing.assert_allclose(da, run(swish, z)[1], rtol=1e-5)


@pytest.mark.parametrize(
    "f", [swish, *(CLOSED[n][0] for n in ("sigmoid", "gelu", "elu", "hard_swish"))]
)
def test_the_second_call_allocates_nothing(f: Callable[..., Any]) -> None:
    value, pullback = pair(f, **({"beta": np.full((1, 1), 0.5, np.float32)} if f is swish else {}))
    z = np.random.default_rng(5).standard_normal((100, 100)).astype(np.float32)
    a, da = np.empty_like(z), np.ones_like(z)

    def step() -> None:
        for rows in (100, 60):  # a training and an evaluation batch
            value(np, z[:rows], a[:rows])
            pullback(np, z[:rows], a[:rows], da[:rows])

    with debug.paused():
        step()
        tracemalloc.start()
        try:
            step()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 9000  # an array would take 40000, a mask 10000; views and frames take some 3000


def test_long_expressions_do_not_exhaust_the_stack() -> None:
    def series(z: Any) -> Any:
        total = 0.0 * z
        for k in range(1500):
            total = total * 0.5 + z * float(k % 3)
        return np.tanh(total)

    z = np.linspace(-0.2, 0.2, 7)
    np.testing.assert_allclose(run(series, z)[1], quotient(series, z).astype(float), rtol=1e-9)


def test_everything_runs_in_the_namespace_that_is_given() -> None:
    calls = []

    class Namespace:
        """NumPy's functions behind another name, as CuPy's are."""

        __name__ = "elsewhere"

        def __getattr__(self, name: str) -> Any:
            calls.append(name)
            return getattr(np, name)

    z = np.random.default_rng(6).standard_normal((4, 6))
    for f in (swish, lambda z: np.where(z > 0, z, np.expm1(z))):
        ours, here = run(f, z, Namespace()), run(f, z)
        np.testing.assert_array_equal(ours[0], here[0])
        np.testing.assert_array_equal(ours[1], here[1])
    assert {"tanh", "maximum", "expm1", "copyto", "empty"} <= set(calls)
    assert "putmask" not in calls


@pytest.mark.gpu
def test_cupy_equals_numpy() -> None:
    import cupy

    z = np.random.default_rng(7).standard_normal((3, 40, 30)).astype(np.float32)
    beta = np.array([0.5, 1.0, 2.0], np.float32).reshape(3, 1, 1)
    for f in (swish, CLOSED["gelu"][0], CLOSED["elu"][0], CLOSED["sigmoid"][0]):
        kwargs = {"beta": beta} if f is swish else {}
        value, pullback = pair(f, **{k: cupy.asarray(v) for k, v in kwargs.items()})
        there = cupy.asarray(z)
        a, da = cupy.empty_like(there), cupy.ones_like(there)
        value(cupy, there, a)
        expected = run(f, z, **kwargs)
        np.testing.assert_allclose(a.get(), expected[0], rtol=1e-5, atol=1e-6)
        pullback(cupy, there, a, da)
        np.testing.assert_allclose(da.get(), expected[1], rtol=1e-5, atol=1e-6)


# The other spellings ------------------------------------------------------------------------------


def article(z: Any, deriv: bool = False, scale: float = 2.0) -> Any:
    return scale * (1 - np.tanh(z) ** 2) if deriv else scale * np.tanh(z)


def two(f: Any, df: Any) -> Callable[..., Any]:
    return lambda: (f, df)


def half_of_a(z: Any, a: Any) -> Any:
    return 2.0 - a * a / 2.0


SPELLED: dict[str, registry.Activation] = {
    "deriv": pair(article),
    "pair": pair(two(lambda z: 2 * np.tanh(z), half_of_a)),
    "pair of z": pair(two(lambda z: 2 * np.tanh(z), lambda z: 2 / np.cosh(z) ** 2)),
    "pair with a bound constant": pair(
        two(lambda z: 2 * np.tanh(z), lambda z, c=2: c / np.cosh(z) ** 2)
    ),
    "pair with a by default": pair(two(lambda z: 2 * np.tanh(z), lambda z, a=None: 2 - a * a / 2)),
    "pair with any arguments": pair(
        two(lambda z: 2 * np.tanh(z), lambda *both: 2 - both[1] ** 2 / 2)
    ),
    "in place": pair(
        two(
            lambda xp, z, out: np.multiply(2.0, np.tanh(z), out=out),
            lambda xp, z, a, da: np.multiply(da, 2.0 - a * a / 2.0, out=da),
        ),
        inplace=True,
    ),
    "expression": pair(lambda z: 2 * np.tanh(z)),
}


@pytest.mark.parametrize("name", SPELLED)
def test_all_spellings_give_the_same_pair(name: str) -> None:
    z = np.linspace(-2, 2, 12).reshape(3, 4)
    for dtype in (np.float32, np.float64):
        a, da = run(SPELLED[name], z.astype(dtype))
        assert (a.dtype, da.dtype) == (dtype, dtype)
        tolerance = 1e-5 if dtype is np.float32 else 1e-13
        np.testing.assert_allclose(a, 2 * np.tanh(z), rtol=tolerance)
        np.testing.assert_allclose(da, 2 / np.cosh(z) ** 2, rtol=tolerance)


def test_a_ufunc_serves_as_slope() -> None:
    z = np.linspace(-2, 2, 5)
    np.testing.assert_array_equal(run(pair(two(np.sin, np.cos)), z)[1], np.cos(z))
    np.testing.assert_allclose(
        run(pair(two(lambda z: np.exp(z * z / 2), np.multiply)), z)[1], z * np.exp(z * z / 2)
    )


@pytest.mark.parametrize("made", [None, (np.sin,), (np.sin, 1.0), np.sin])
def test_a_factory_must_return_two_functions(made: Any) -> None:
    for inplace in (False, True):
        with pytest.raises(UsageError, match="'mine' must return two functions"):
            pair(lambda: made, inplace=inplace)


def test_keywords_reach_every_spelling() -> None:
    assert run(article, np.zeros(1), scale=3.0)[1][0] == 3.0
    assert run(lambda z, s: s * z, np.zeros(1), s=4)[1][0] == 4.0
    made = SimpleNamespace(
        f=lambda power=1: (lambda z: z**power, lambda z: power * z ** (power - 1))
    )
    assert run(made.f, np.full(1, 3.0), power=2)[1][0] == 6.0
