"""The float32 functions of compiled loops are as near to the true values as docs/float32.md says."""

import math

import mpmath
import numpy as np
import polynomials
import pytest
import ulp
from numba import njit

from harness.expressions import angles, exponentials, float32, gaussian, scalars

MODULES = (angles, exponentials, gaussian)
NAMES = sorted(float32.FLOAT32)

# 2^-149, the largest denormal, the smallest normal number, the largest number
EDGES = np.array([2.0**-149, 2.0**-126 - 2.0**-149, 2.0**-126, 3.4028235e38], np.float32)


def sample() -> np.ndarray:
    """Two million float32 numbers: of all sizes, of everyday size, and around edges."""
    rng = np.random.default_rng(11)
    bits = rng.integers(0, 2**32, 900_000, dtype=np.uint32).view(np.float32)
    usual = rng.uniform(-20, 20, 800_000)
    wide = rng.uniform(-110, 110, 280_000)
    # Neighbours of all powers of two, and of where results overflow, become denormal or vanish
    places = np.concatenate([2.0 ** np.arange(-149, 128), EXTREMES]).astype(np.float32)
    near = places.view(np.uint32)[:, None] + np.arange(-20, 21)
    near = near.astype(np.uint32).ravel().view(np.float32)
    parts = [bits, usual, wide, near, -near, EDGES, -EDGES]
    return np.concatenate([np.asarray(part, np.float32) for part in parts])


EXTREMES = np.array(
    [88.72284, 87.33655, 103.97208, 89.41599, 17.32868, 9.010914, 3.919206, 10.05421, 14.16966]
)


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    return sample()


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_within_the_bounds(name: str, numbers: np.ndarray) -> None:
    error = ulp.measure(name, numbers)
    i = error.argmax()
    assert error[i] <= ulp.BOUNDS[name], f"{name}({numbers[i]!r})"


def value(name: str, x: float) -> float:
    out = np.empty(1, np.float32)
    ulp.loop(name)(np.array([x], np.float32), out)
    return float(out[0])


# What is exact: at infinities, at zeros, outside of the domain
EXACT = [
    ("exp", [(-math.inf, 0.0), (math.inf, math.inf), (0.0, 1.0), (88.73, math.inf), (-104.0, 0.0)]),
    ("exp", [(-103.0, 2.0**-149), (-100.0, 27 * 2.0**-149)]),
    ("expm1", [(-math.inf, -1.0), (math.inf, math.inf), (0.0, 0.0), (-0.0, -0.0), (-30.0, -1.0)]),
    ("log", [(0.0, -math.inf), (-0.0, -math.inf), (math.inf, math.inf), (1.0, 0.0)]),
    ("log", [(-1.0, math.nan), (-math.inf, math.nan)]),
    ("log1p", [(-1.0, -math.inf), (math.inf, math.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("log1p", [(-1.5, math.nan), (-math.inf, math.nan)]),
    ("tanh", [(-math.inf, -1.0), (math.inf, 1.0), (0.0, 0.0), (-0.0, -0.0)]),
    ("expit", [(-math.inf, 0.0), (math.inf, 1.0), (0.0, 0.5), (-0.0, 0.5)]),
    ("log_expit", [(-math.inf, -math.inf), (math.inf, -0.0)]),
    ("softplus", [(-math.inf, 0.0), (math.inf, math.inf)]),
    ("erf", [(-math.inf, -1.0), (math.inf, 1.0), (0.0, 0.0), (-0.0, -0.0)]),
    ("erfc", [(-math.inf, 2.0), (math.inf, 0.0), (0.0, 1.0)]),
    ("ndtr", [(-math.inf, 0.0), (math.inf, 1.0), (0.0, 0.5)]),
    ("exp2", [(-math.inf, 0.0), (math.inf, math.inf), (0.0, 1.0), (7.0, 128.0), (128.0, math.inf)]),
    ("exp2", [(-149.0, 2.0**-149), (-127.0, 2.0**-127), (-151.0, 0.0)]),
    ("log2", [(0.0, -math.inf), (math.inf, math.inf), (1.0, 0.0), (2.0**-149, -149.0)]),
    ("log2", [(1024.0, 10.0), (-1.0, math.nan)]),
    ("log10", [(0.0, -math.inf), (math.inf, math.inf), (1.0, 0.0), (1e10, 10.0), (-1.0, math.nan)]),
    ("sinh", [(-math.inf, -math.inf), (math.inf, math.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("sinh", [(90.0, math.inf), (-90.0, -math.inf)]),
    ("cosh", [(-math.inf, math.inf), (math.inf, math.inf), (0.0, 1.0), (-90.0, math.inf)]),
    ("sin", [(-math.inf, math.nan), (math.inf, math.nan), (0.0, 0.0), (-0.0, -0.0)]),
    ("cos", [(-math.inf, math.nan), (math.inf, math.nan), (0.0, 1.0)]),
    ("arctan", [(-math.inf, -np.float32(np.pi / 2)), (math.inf, np.float32(np.pi / 2))]),
    ("arctan", [(0.0, 0.0), (-0.0, -0.0)]),
]


@pytest.mark.parametrize(("name", "pairs"), EXACT)
def test_special_values_are_exact(name: str, pairs: list[tuple[float, float]]) -> None:
    for x, expected in pairs:
        got = value(name, x)
        assert np.array_equal(got, expected, equal_nan=True), f"{name}({x}) = {got}"
        assert math.copysign(1, got) == math.copysign(1, expected) or math.isnan(expected)


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan(name: str) -> None:
    assert math.isnan(value(name, math.nan))


def test_denormals_go_through() -> None:
    smallest = 2.0**-149
    for name in ("arctan", "expm1", "log1p", "sin", "sinh", "tanh"):
        assert value(name, smallest) == smallest
        assert value(name, -smallest) == -smallest
    assert value("log", smallest) == np.float32(-149 * math.log(2))
    assert value("expit", -103.0) == smallest


@pytest.mark.parametrize("name", NAMES)
def test_places_and_surroundings_change_no_bit(name: str) -> None:
    function = float32.FLOAT32[name]

    @njit(error_model="numpy", fastmath={"contract"})
    def run(x, y, out, total):  # type: ignore[no-untyped-def]
        for p in range(x.shape[0]):
            for b in range(x.shape[1]):
                for o in range(x.shape[2]):
                    value = function(x[p, b, o])
                    out[p, b, o] = value
                    total[p, b, o] = value + y[p, b, o]

    rng = np.random.default_rng(5)
    x = (rng.standard_normal((3, 29, 47)) * 6).astype(np.float32)
    x[0, 0, :6] = [0.0, -0.0, np.inf, -np.inf, 1e-40, -200.0]
    y = rng.standard_normal(x.shape).astype(np.float32)
    out = np.empty_like(x)
    total = np.empty_like(x)
    run(x, y, out, total)
    assert same(total, out + y)
    flat = out.ravel()
    whole = np.empty(x.size, np.float32)
    ulp.loop(name)(x.ravel(), whole)
    assert same(whole, flat)
    for _ in range(900):
        first, last = sorted(rng.integers(0, x.size + 1, 2))
        part = np.empty(last - first, np.float32)
        ulp.loop(name)(x.ravel()[first:last], part)
        assert same(part, flat[first:last])
    row = np.empty_like(x[1:2, 4:5])
    run(x[1:2, 4:5], y[1:2, 4:5], row, np.empty_like(row))
    assert same(row, out[1:2, 4:5])


def test_huge_angles_are_reduced_exactly() -> None:
    # The float32 that comes nearest to a multiple of pi / 2, and the largest one
    for x in (16367173 * 2.0**72, 3.4028234663852886e38, 1e15, 2.0**100):
        x32 = np.float32(x)
        with mpmath.workdps(80):
            true_sine = float(mpmath.sin(mpmath.mpf(float(x32))))
            true_cosine = float(mpmath.cos(mpmath.mpf(float(x32))))
        assert value("sin", x32) == pytest.approx(true_sine, rel=2.0**-22, abs=0)
        assert value("cos", x32) == pytest.approx(true_cosine, rel=2.0**-22, abs=0)


@pytest.mark.parametrize("name", ["arctan", "erf", "sin", "sinh", "tanh", "cos", "cosh"])
def test_symmetries_are_exact(name: str, numbers: np.ndarray) -> None:
    right = np.empty_like(numbers)
    left = np.empty_like(numbers)
    ulp.loop(name)(numbers, right)
    ulp.loop(name)(-numbers, left)
    assert same(left, right if name in ("cos", "cosh") else -right)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays have the same bits, where a nan is a nan."""
    numbers = ~np.isnan(a)
    return np.array_equal(a, b, equal_nan=True) and np.array_equal(
        np.signbit(a[numbers]), np.signbit(b[numbers])
    )


@pytest.mark.parametrize("name", polynomials.FITS)
def test_polynomials_are_as_good_as_their_fits(name: str) -> None:
    fit = polynomials.FITS[name]
    _, best = polynomials.coefficients(fit)
    module = next(module for module in MODULES if hasattr(module, name))
    used = polynomials.largest_error(fit, getattr(module, name))
    assert used <= 1.1 * best
    assert used < 2.0**-27


def test_scalars_are_single_instructions() -> None:
    @njit
    def run(x):  # type: ignore[no-untyped-def]
        return (
            scalars.fma(x, x, np.float32(-1.0)),
            scalars.rint(x),
            scalars.magnitude(-x),
            scalars.with_sign(x, np.float32(-0.0)),
            scalars.from_bits(scalars.bits_of(x)),
            scalars.power_of_two(scalars.rint(-x)),
            scalars.polynomial(x, COEFFICIENTS),
        )

    got = run(np.float32(2.5))
    assert got == (5.25, 2.0, 2.5, -2.5, 2.5, 0.25, 1 + 2 * 2.5 + 3 * 2.5**2)
    # One rounding: x * x alone would lose its last bits.
    x = np.float32(1 + 2.0**-20)
    assert run(x)[0] == np.float32(2.0**-19 + 2.0**-40)


COEFFICIENTS = scalars.constants(1.0, 2.0, 3.0)


def test_compiled_functions_say_what_is_fused() -> None:
    @scalars.compiled
    def run(x, y, z):  # type: ignore[no-untyped-def]
        return x * y + z

    x = np.float32(1 + 2.0**-20)
    assert run(x, x, np.float32(-1.0)) == x * x - np.float32(1.0)


# The same functions with 60 digits
EXACTLY = {
    "arctan": mpmath.atan,
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log10": mpmath.log10,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2),
    "log_expit": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "ndtr": mpmath.ncdf,
    "sin": mpmath.sin,
    "sinh": mpmath.sinh,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "tanh": mpmath.tanh,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_agree_with_mpmath(name: str) -> None:
    """Of 21 million numbers those with the largest errors: 100,000 for all functions together."""
    parts = []
    for first in range(0, 2**32, 2**28):
        x = ulp.numbers(first, first + 2**28, 199)
        with np.errstate(all="ignore"):
            finite = np.isfinite(x) & np.isfinite(ulp.twin(name)(x))
        x = x[finite]
        error = ulp.measure(name, x)
        parts.append(x[np.argsort(error)[-100_000 // len(NAMES) // 16 :]])
    hard = np.concatenate(parts)
    got = np.empty_like(hard)
    ulp.loop(name)(hard, got)
    with mpmath.workdps(60):
        for x, y in zip(hard, got, strict=True):
            true = EXACTLY[name](mpmath.mpf(float(x)))
            exponent = max(math.frexp(float(true))[1] - 1, -126)
            error = abs(mpmath.mpf(float(y)) - true) * mpmath.mpf(2) ** (23 - exponent)
            assert error <= ulp.BOUNDS[name], f"{name}({x!r})"
