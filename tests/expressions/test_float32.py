"""The float32 functions of compiled loops are as near to the true values as docs/float32.md says."""

import math

import mpmath
import numpy as np
import polynomials
import pytest
import ulp
from numba import njit
from siblings import quick

from harness.expressions import (
    angles,
    derive,
    exponentials,
    float32,
    gaussian,
    loops,
    scalars,
    wide,
)
from harness.expressions.graph import Graph
from harness.expressions.trace import Tracer

MODULES = (angles, exponentials, gaussian, wide)
NAMES = sorted(float32.FLOAT32)
OF_ONE = sorted(float32.OF_ONE)
OF_TWO = sorted(float32.OF_TWO)

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


@pytest.mark.parametrize("name", OF_ONE)
def test_errors_are_within_the_bounds(name: str, numbers: np.ndarray) -> None:
    error = ulp.measure(name, numbers)
    i = error.argmax()
    assert error[i] <= ulp.BOUNDS[name], f"{name}({numbers[i]!r})"


# Among them are those at which a power, a logarithm or a root is what no formula says.
USUAL = (0.0, 1.0, 0.5, 2.0, 3.0, 1 / 3, 1.5, 2.0**24, 2.0**24 + 2, 127.5, 149.0, 0.6931472)
EXTREME = (1 - 2.0**-24, 1 + 2.0**-23, 1e-30, 1e30, 2.0**-149, 2.0**-126, 3.4028235e38, math.inf)
SPECIAL = np.array([*USUAL, *EXTREME], np.float32)


@pytest.mark.parametrize("name", OF_TWO)
def test_errors_of_pairs_are_within_the_bounds(name: str) -> None:
    special = np.concatenate([SPECIAL, -SPECIAL, [np.float32(math.nan)]])
    every = [grid.ravel() for grid in np.meshgrid(special, special)]
    x, y = (np.concatenate(parts) for parts in zip(every, ulp.pairs(3, 1_500_000), strict=True))
    error = ulp.measure(name, x, y)
    i = error.argmax()
    assert error[i] <= ulp.BOUNDS[name], f"{name}({x[i]!r}, {y[i]!r})"


def test_every_operation_of_a_graph_is_in_float32() -> None:
    # A call of the standard library would keep a loop from being one over vectors.
    plain = {"negative", "square", "sqrt", "sign", "absolute", "where", "maximum", "minimum"}
    plain |= {"add", "subtract", "multiply", "divide"}
    assert {*derive.FACTORS, *derive.SLOPES} - plain <= float32.FLOAT32.keys()
    graph = Graph(Tracer)
    z = graph.intern("z")
    for op in (*derive.FACTORS, *derive.SLOPES):
        arity = 3 if op == "where" else 2 if op in OF_TWO or op in TWO_SIGNS else 1
        operands = [z > 0.5, z, z * 2.0] if op == "where" else [z, z * 2.0][:arity]
        source = loops.lower({z.index: "z"}, {"out": graph.intern(op, *operands)}, "float32")
        body = source.source.split("def kernel")[1]
        assert "** " not in body, op
        assert not any(f" {call}(" in body for call in CALLS), op
    out = graph.intern("logaddexp", 0.0, z)
    assert "softplus_f(z_i)" in loops.lower({z.index: "z"}, {"out": out}, "float32").source


TWO_SIGNS = ("add", "subtract", "multiply", "divide", "maximum", "minimum")
CALLS = ("exp", "log", "pow", "hypot", "tan", "asinh", "acosh", "atanh", "log1p")


def value(name: str, *arguments: float) -> float:
    out = np.empty(1, np.float32)
    ulp.loop(name)(*(np.array([x], np.float32) for x in arguments), out)
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
    ("tan", [(-math.inf, math.nan), (math.inf, math.nan), (0.0, 0.0), (-0.0, -0.0)]),
    ("arcsinh", [(-math.inf, -math.inf), (math.inf, math.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("arccosh", [(1.0, 0.0), (math.inf, math.inf), (0.99, math.nan), (-math.inf, math.nan)]),
    ("arctanh", [(-1.0, -math.inf), (1.0, math.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("arctanh", [(1.1, math.nan), (-math.inf, math.nan)]),
    ("cbrt", [(-math.inf, -math.inf), (math.inf, math.inf), (0.0, 0.0), (-0.0, -0.0)]),
    ("cbrt", [(-27.0, -3.0), (1e30, 1e10), (2.0**-147, 2.0**-49)]),
    ("entr", [(0.0, 0.0), (-0.0, 0.0), (1.0, -0.0), (math.inf, -math.inf), (-1.0, -math.inf)]),
    ("erfcx", [(-math.inf, math.inf), (math.inf, 0.0), (0.0, 1.0), (-9.5, math.inf)]),
    ("log_ndtr", [(-math.inf, -math.inf), (math.inf, -0.0), (15.0, -0.0), (-1e20, -math.inf)]),
    ("log_ndtr", [(14.1, -(2.0**-149))]),
]


@pytest.mark.parametrize(("name", "pairs"), EXACT)
def test_special_values_are_exact(name: str, pairs: list[tuple[float, float]]) -> None:
    for x, expected in pairs:
        got = value(name, x)
        assert np.array_equal(got, expected, equal_nan=True), f"{name}({x}) = {got}"
        assert math.copysign(1, got) == math.copysign(1, expected) or math.isnan(expected)


@pytest.mark.parametrize("name", OF_ONE)
def test_nan_stays_nan(name: str) -> None:
    assert math.isnan(value(name, math.nan))


def test_denormals_go_through() -> None:
    smallest = 2.0**-149
    names = ("arcsinh", "arctan", "arctanh", "expm1", "log1p", "sin", "sinh", "tan", "tanh")
    for name in names:
        assert value(name, smallest) == smallest
        assert value(name, -smallest) == -smallest
    assert value("log", smallest) == np.float32(-149 * math.log(2))
    assert value("expit", -103.0) == smallest


@pytest.mark.parametrize("name", quick(NAMES, ["exp", "power", "sin", "tanh"]))
def test_places_and_surroundings_change_no_bit(name: str) -> None:
    given = float32.FLOAT32[name]

    @njit
    def function(x):  # type: ignore[no-untyped-def]
        return given(x)

    @njit
    def function_of_two(x):  # type: ignore[no-untyped-def]
        return given(x, np.float32(1.75) - x)

    if name in OF_TWO:
        function = function_of_two

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
    arguments = [x.ravel(), np.float32(1.75) - x.ravel()][: 1 + (name in OF_TWO)]
    ulp.loop(name)(*arguments, whole)
    assert same(whole, flat)
    for _ in range(900):
        first, last = sorted(rng.integers(0, x.size + 1, 2))
        part = np.empty(last - first, np.float32)
        ulp.loop(name)(*(argument[first:last] for argument in arguments), part)
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
        assert value("tan", x32) == pytest.approx(true_sine / true_cosine, rel=2.0**-23, abs=0)


ODD = ["arcsinh", "arctan", "arctanh", "cbrt", "erf", "sin", "sinh", "tan", "tanh"]


@pytest.mark.parametrize("name", [*ODD, "cos", "cosh"])
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


@pytest.mark.slow
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
    "arccosh": mpmath.acosh,
    "arcsinh": mpmath.asinh,
    "arctan": mpmath.atan,
    "arctanh": mpmath.atanh,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "cos": mpmath.cos,
    "cosh": mpmath.cosh,
    "entr": lambda x: -x * mpmath.log(x) if x else x,
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "erfcx": lambda x: mpmath.exp(x * x) * mpmath.erfc(x),
    "exp": mpmath.exp,
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "expit": lambda x: 1 / (1 + mpmath.exp(-x)),
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log10": mpmath.log10,
    "log1p": mpmath.log1p,
    "log2": lambda x: mpmath.log(x, 2),
    "hypot": mpmath.hypot,
    "log_expit": lambda x: -mpmath.log1p(mpmath.exp(-x)),
    "log_ndtr": lambda x: mpmath.log1p(-mpmath.ncdf(-x)) if x > 0 else mpmath.log(mpmath.ncdf(x)),
    "logaddexp": lambda x, y: max(x, y) + mpmath.log1p(mpmath.exp(-abs(x - y))),
    "ndtr": mpmath.ncdf,
    "power": lambda x, y: mpmath.sign(x) ** int(y % 2) * abs(x) ** y,
    "sin": mpmath.sin,
    "sinh": mpmath.sinh,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "tan": mpmath.tan,
    "tanh": mpmath.tanh,
    "xlogy": lambda x, y: x * mpmath.log(y) if x else x,
}


def hard(name: str) -> list[np.ndarray]:
    """Of 21 million numbers, or pairs, those with the largest errors."""
    kept: list[list[np.ndarray]] = []
    for first in range(0, 2**32, 2**28):
        if name in OF_TWO:
            arguments = ulp.pairs(first, 2**28 // 199)
        else:
            arguments = (ulp.numbers(first, first + 2**28, 199),)
        with np.errstate(all="ignore"):
            finite = np.isfinite(ulp.twin(name)(*arguments))
        for argument in arguments:
            finite &= np.isfinite(argument)
        arguments = tuple(argument[finite] for argument in arguments)
        worst = np.argsort(ulp.measure(name, *arguments))[-100_000 // len(NAMES) // 16 :]
        kept.append([argument[worst] for argument in arguments])
    return [np.concatenate(parts) for parts in zip(*kept, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_agree_with_mpmath(name: str) -> None:
    """There are 100,000 for all functions together."""
    arguments = hard(name)
    got = np.empty_like(arguments[0])
    ulp.loop(name)(*arguments, got)
    with mpmath.workdps(60):
        for *xs, y in zip(*arguments, got, strict=True):
            true = EXACTLY[name](*(mpmath.mpf(float(x)) for x in xs))
            size = max(abs(true), abs(max(xs))) if name == "logaddexp" else true
            exponent = max(math.frexp(float(size))[1] - 1, -126)
            error = abs(mpmath.mpf(float(y)) - true) * mpmath.mpf(2) ** (23 - exponent)
            assert error <= ulp.BOUNDS[name], f"{name}({xs!r})"
