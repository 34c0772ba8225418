"""The built-in activations: values and slopes against mpmath (in units in the last place) and
PyTorch; the contract.

`python tests/builtin/test_activations.py` prints the measured errors beside the allowed ones.
"""

import math
import tracemalloc
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
import pytest
from siblings import quick, tried_each_time

from harness import registry
from harness.errors import UsageError
from harness.expressions.backend import BACKENDS, VARIABLE
from harness.ops import debug
from harness.testing.conformance import assert_conforms
from harness.testing.samples import examples

DTYPES = (np.float32, np.float64)
SCALE = mp.mpf("1.0507009873554804934193349852946")
ALPHA = mp.mpf("1.6732632423543772848170429916717")


def sigma(z: Any) -> Any:
    return 1 / (1 + mp.exp(-z))


def clip(z: Any, low: Any, high: Any) -> Any:
    return min(max(z, low), high)


def elu(z: Any, alpha: Any) -> Any:
    return z if z > 0 else alpha * mp.expm1(z)


def elish(z: Any, gate: Any) -> Any:
    return gate * elu(z, 1)


def gelu(z: Any, approximate: str) -> Any:
    if approximate == "none":
        return z * mp.ncdf(z)
    return z / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + 44715 * z**3 / 10**6)))


# The textbook formulas, as plainly as they can be written
FORMULAS: dict[str, Callable[..., Any]] = {
    "absolute": abs,
    "arctan": mp.atan,
    "bent_identity": lambda z: z + (mp.sqrt(z * z + 1) - 1) / 2,
    "celu": lambda z, alpha: z if z > 0 else alpha * mp.expm1(z / alpha),
    "elish": lambda z: elish(z, sigma(z)),
    "elu": elu,
    "erf": mp.erf,
    "gaussian": lambda z: mp.exp(-z * z),
    "gcu": lambda z: z * mp.cos(z),
    "gelu": gelu,
    "hard_elish": lambda z: elish(z, clip((z + 1) / 2, 0, 1)),
    "hard_sigmoid": lambda z: clip(z / 6 + mp.mpf(1) / 2, 0, 1),
    "hard_swish": lambda z: z * clip(z / 6 + mp.mpf(1) / 2, 0, 1),
    "hard_tanh": lambda z, min_val, max_val: clip(z, min_val, max_val),
    "hardshrink": lambda z, lambd: z if abs(z) > lambd else 0,
    "identity": lambda z: z,
    "isrlu": lambda z, alpha: z if z > 0 else z / mp.sqrt(1 + alpha * z * z),
    "isru": lambda z, alpha: z / mp.sqrt(1 + alpha * z * z),
    "leaky_relu": lambda z, slope: z if z > 0 else slope * z,
    "lecun_tanh": lambda z: mp.mpf(17159) / 10000 * mp.tanh(2 * z / 3),
    "lisht": lambda z: z * mp.tanh(z),
    "log_sigmoid": lambda z: -mp.log1p(mp.exp(-z)),
    "logish": lambda z: z * mp.log1p(sigma(z)),
    "mish": lambda z: z * mp.tanh(mp.log1p(mp.exp(z))),
    "penalized_tanh": lambda z, slope: mp.tanh(z) * (1 if z > 0 else slope),
    "phish": lambda z: z * mp.tanh(gelu(z, "none")),
    "relu": lambda z: max(z, 0),
    "relu6": lambda z: clip(z, 0, 6),
    "selu": lambda z: SCALE * elu(z, ALPHA),
    "serf": lambda z: z * mp.erf(mp.log1p(mp.exp(z))),
    "sigmoid": sigma,
    "silu": lambda z, beta: z * sigma(beta * z),
    "sin": lambda z, omega: mp.sin(omega * z),
    "smelu": lambda z, beta: 0 if z < -beta else z if z > beta else (z + beta) ** 2 / (4 * beta),
    "smish": lambda z: z * mp.tanh(mp.log1p(sigma(z))),
    "snake": lambda z, alpha: z + mp.sin(alpha * z) ** 2 / alpha,
    "softplus": lambda z, beta: mp.log1p(mp.exp(beta * z)) / beta,
    "softshrink": lambda z, lambd: z - lambd if z > lambd else z + lambd if z < -lambd else 0,
    "softsign": lambda z: z / (1 + abs(z)),
    "sparse_sigmoid": lambda z: clip((z + 1) / 2, 0, 1),
    "square": lambda z: z * z,
    "squared_relu": lambda z: max(z, 0) ** 2,
    "squareplus": lambda z, b: (z + mp.sqrt(z * z + b)) / 2,
    "tanh": mp.tanh,
    "tanhshrink": lambda z: z - mp.tanh(z),
    "telu": lambda z: z * mp.tanh(mp.exp(z)),
    "threshold": lambda z, threshold, value: z if z > threshold else value,
}


class Case(NamedTuple):
    """An activation at some hyperparameters, and the largest errors allowed, in units in the last
    place (ULP).
    """

    name: str
    given: dict[str, Any]
    kinks: dict[float, float]  # slopes at kinks
    ulp: tuple[float, float, float, float]  # value and slope in float32, value and slope in float64
    # The slope's error counts in units of max(|f'|, 1), not of |f'|: tails such as 1 - tanh(z)^2
    # are 0 too soon
    of_one: bool = False

    @property
    def spec(self) -> dict[str, Any]:
        return {"name": self.name, **self.given}

    def __str__(self) -> str:
        return registry.text(self.spec)


# The large ones are those of exp(u) with u rounded, |u| / 2 ULP; |u| goes up to 88 in float32 and
# 709 in float64
CASES = [
    Case("absolute", {}, {0: 0}, (0, 0, 0, 0)),
    Case("arctan", {}, {}, (2, 2, 2, 2)),
    Case("bent_identity", {}, {}, (2, 2, 2, 2)),
    Case("celu", {"alpha": 1.0}, {}, (3, 3, 2, 2)),
    Case("celu", {"alpha": 0.7}, {0: 1}, (3, 15, 2, 150)),
    Case("elish", {}, {0: 0.5}, (3, 8, 3, 16), of_one=True),
    Case("elu", {"alpha": 1.0}, {}, (3, 3, 2, 2)),
    Case("elu", {"alpha": 0.3}, {0: 0.3}, (3, 3, 2, 2)),
    Case("erf", {}, {}, (2, 30, 2, 120)),
    Case("gaussian", {}, {}, (25, 40, 100, 130)),
    Case("gcu", {}, {}, (3, 3, 3, 3)),
    Case("gelu", {"approximate": "none"}, {}, (2, 16, 500, 50)),
    Case("gelu", {"approximate": "tanh"}, {}, (70, 90, 200, 270)),
    Case("hard_elish", {}, {-1: 0, 0: 0.5, 1: 1}, (3, 7, 3, 8)),
    Case("hard_sigmoid", {}, {-3: 0, 3: 0}, (1.5, 0.5, 1.5, 0.5)),
    Case("hard_swish", {}, {-3: 0, 3: 1}, (2, 4, 2, 4)),
    Case("hard_tanh", {"min_val": -1.0, "max_val": 1.0}, {-1: 0, 1: 0}, (0, 0, 0, 0)),
    Case("hard_tanh", {"min_val": -0.5, "max_val": 3.0}, {-0.5: 0, 3: 0}, (0, 0, 0, 0)),
    Case("hardshrink", {"lambd": 0.5}, {-0.5: 0, 0.5: 0}, (0, 0, 0, 0)),
    Case("identity", {}, {}, (0, 0, 0, 0)),
    Case("isrlu", {"alpha": 1.0}, {0: 1}, (2, 3, 2, 3)),
    Case("isrlu", {"alpha": 0.3}, {0: 1}, (2, 3, 2, 3)),
    Case("isru", {"alpha": 1.0}, {}, (2, 3, 2, 3)),
    Case("isru", {"alpha": 0.3}, {}, (2, 3, 2, 3)),
    Case("leaky_relu", {"slope": 0.01}, {0: 0.01}, (0.5, 0, 0.5, 0)),
    Case("leaky_relu", {"slope": -1.7}, {0: -1.7}, (0.5, 0, 0.5, 0)),
    Case("lecun_tanh", {}, {}, (2, 2, 3, 2), of_one=True),
    Case("lisht", {}, {}, (2, 8, 2, 6), of_one=True),
    Case("log_sigmoid", {}, {}, (3, 3, 2, 2)),
    Case("logish", {}, {}, (3, 4, 3, 9), of_one=True),
    Case("mish", {}, {}, (3, 10, 3, 10)),
    Case("penalized_tanh", {"slope": 0.25}, {0: 0.25}, (2, 2, 2, 2), of_one=True),
    Case("phish", {}, {}, (3, 8, 400, 6), of_one=True),
    Case("relu", {}, {0: 0}, (0, 0, 0, 0)),
    Case("relu6", {}, {0: 0, 6: 0}, (0, 0, 0, 0)),
    Case("selu", {}, {0: float(SCALE * ALPHA)}, (2, 3, 3, 3)),
    Case("serf", {}, {}, (3, 3, 3, 3), of_one=True),
    Case("sigmoid", {}, {}, (3, 1, 2, 1), of_one=True),
    Case("silu", {"beta": 1.0}, {}, (3, 50, 2, 20)),
    Case("silu", {"beta": 1.702}, {}, (30, 35, 220, 190)),
    Case("sin", {"omega": 1.0}, {}, (2, 2, 2, 2)),
    Case("smelu", {"beta": 0.7}, {}, (2, 2, 2, 2)),
    Case("smish", {}, {}, (3, 3, 3, 6), of_one=True),
    Case("snake", {"alpha": 1.0}, {}, (4, 4, 4, 4), of_one=True),
    Case("softplus", {"beta": 1.0}, {}, (3, 3, 2, 2)),
    Case("softplus", {"beta": 2.3}, {}, (35, 40, 140, 140)),
    Case("softshrink", {"lambd": 0.5}, {-0.5: 0, 0.5: 0}, (0, 0, 0, 0)),
    Case("softsign", {}, {}, (1, 3, 1, 4)),
    Case("sparse_sigmoid", {}, {-1: 0, 1: 0}, (1, 0, 1, 0)),
    Case("square", {}, {}, (0.5, 0, 0.5, 0)),
    Case("squared_relu", {}, {0: 0}, (0.5, 0, 0.5, 0)),
    Case("squareplus", {"b": 4.0}, {}, (2, 3, 2, 3)),
    Case("squareplus", {"b": 0.1}, {}, (2, 3, 2, 3)),
    Case("tanh", {}, {}, (2, 2, 2, 2), of_one=True),
    Case("tanhshrink", {}, {}, (3, 3, 3, 3)),
    Case("telu", {}, {}, (3, 16, 2, 25)),
    Case("threshold", {"threshold": 1.0, "value": -0.5}, {1: 0}, (0, 0, 0, 0)),
]


def is_quick(case: Case) -> bool:
    return tried_each_time(case.name)


every_case = pytest.mark.parametrize("case", quick(CASES, is_quick), ids=str)

KINKS = (0.5, 1.0, 3.0, 6.0)
SIZES = [
    0.0,
    1e-30,
    1e-12,
    1e-8,
    1e-4,
    1e-3,
    0.01,
    0.1,
    0.25,
    0.7,
    0.999,
    1.001,
    1.3,
    1.7,
    2.0,
    2.5,
    4.0,
    5.0,
    7.0,
]
SIZES += [
    8.5,
    9.3,
    12.0,
    15.0,
    17.0,
    19.9,
    20.1,
    25.0,
    30.0,
    37.0,
    50.0,
    80.0,
    100.0,
    300.0,
    700.0,
    1e3,
    1e4,
]


def points(dtype: Any) -> np.ndarray:
    """0, tiny, ordinary and extreme numbers of both signs, kinks and their neighbours: (1, 95)."""
    near = [np.nextafter(dtype(k), dtype(side)) for k in KINKS for side in (-np.inf, np.inf)]
    z = np.array([*SIZES, *KINKS, *near], dtype)
    return np.unique(np.concatenate([-z, z])).reshape(1, -1)


def some(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Numbers of all sizes."""
    rng = np.random.default_rng(7)
    return (
        rng.standard_normal(shape) * rng.choice([0.0, 1e-8, 1.0, 1.0, 5.0, 100.0, 1e4], shape)
    ).astype(dtype)


def scalars(case: Case, dtype: Any, members: int = 0) -> dict[str, np.ndarray]:
    """The numeric hyperparameters as the engine hands them over: (1, 1); or (P, 1, 1), a tenth more
    for each member.
    """
    role = registry.find("activation", case.name).role
    given = {k: v for k, v in case.given.items() if role(k) == "scalar"}
    if not members:
        return {k: np.full((1, 1), v, dtype) for k, v in given.items()}
    return {
        k: np.array([v * (1 + p / 10) for p in range(members)], dtype).reshape(-1, 1, 1)
        for k, v in given.items()
    }


def pair(case: Case, arrays: dict[str, np.ndarray]) -> registry.Activation:
    return registry.activation_pair(
        registry.find("activation", case.name), {**case.given, **arrays}
    )


def run(pair: registry.Activation, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f(z) and f'(z)."""
    a = np.full_like(z, np.nan)
    da = np.ones_like(z)
    pair[0](np, z.copy(), a)
    kept = a.copy()
    pair[1](np, z.copy(), a, da)
    return kept, da


# Values and slopes --------------------------------------------------------------------------------


def exact(case: Case, dtype: Any) -> tuple[list[Any], list[Any]]:
    """Values and slopes at the points, for the hyperparameters as they are in dtype; slopes by
    mpmath's differences.
    """
    given = {**case.given, **{k: mp.mpf(v.item()) for k, v in scalars(case, dtype).items()}}
    known = {dtype(k).item(): dtype(slope).item() for k, slope in case.kinks.items()}
    # enough digits that the smallest normal number added to 1 is seen
    with mp.workdps(60 if dtype is np.float32 else 330):

        def f(z: Any) -> Any:
            return mp.mpf(FORMULAS[case.name](z, **given))

        z = [mp.mpf(x) for x in points(dtype).ravel().tolist()]
        return [f(x) for x in z], [
            mp.mpf(known[float(x)]) if float(x) in known else mp.diff(f, x) for x in z
        ]


def ulps(found: np.ndarray, exact: list[Any], least: float) -> float:
    """The largest error, in units in the last place of max(|exact|, least); near the underflow 0
    will do.
    """
    info = np.finfo(found.dtype)
    worst = 0.0
    for x, y in zip(found.ravel().tolist(), exact, strict=True):
        size = max(abs(y), least, float(info.tiny) / float(info.eps))
        _, exponent = mp.frexp(size)
        spacing = mp.ldexp(float(info.eps), int(exponent) - 1)
        worst = max(worst, float(abs(x - y) / spacing) if np.isfinite(x) else np.inf)
    return worst


def measured(case: Case) -> list[float]:
    """The largest errors in ULP, in the order of Case.ulp. A floating-point warning is an error."""
    found = []
    for dtype in DTYPES:
        with np.errstate(all="raise", under="ignore"):
            a, da = run(pair(case, scalars(case, dtype)), points(dtype))
        assert a.dtype == da.dtype == dtype
        values, slopes = exact(case, dtype)
        found += [ulps(a, values, 0.0), ulps(da, slopes, float(case.of_one))]
    return found


@every_case
def test_values_and_slopes_in_ulp(case: Case) -> None:
    found = measured(case)
    assert all(np.array(found) <= case.ulp), f"{case}: {found} ULP, at most {case.ulp} allowed"


def test_every_activation_has_a_case() -> None:
    built_in = {
        e.name
        for e in registry.entries("activation")
        if e.factory.__module__.startswith("harness.builtin.activations")
    }
    assert built_in == {case.name for case in CASES} == set(FORMULAS)


@pytest.mark.parametrize("name", FORMULAS)
def test_docstrings_have_formula_slope_and_source(name: str) -> None:
    entry = registry.find("activation", name)
    text = entry.factory.__doc__ or ""
    assert entry.summary.startswith("f(z) = ")
    assert "f' = " in entry.summary
    assert name == "identity" or any(str(year) in text for year in range(1950, 2030)), (
        "a source with its year"
    )


# At infinity these have no limit, or a product of infinity and 0, as in PyTorch.
ENDLESS = ("gcu", "gelu", "silu", "sin", "snake", "square", "squared_relu", "telu")


@pytest.mark.parametrize("kernels", BACKENDS)
@pytest.mark.parametrize(
    "case", quick([c for c in CASES if c.name not in ENDLESS], is_quick), ids=str
)
def test_far_out_there_are_limits(
    case: Case, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, kernels)
    z = np.array([[-math.inf, -1e30, -1e4, 1e4, 1e30, math.inf]])
    for dtype in DTYPES:
        a, slope = run(pair(case, scalars(case, dtype)), z.astype(dtype))
        far = mp.mpf(10) ** 30
        with mp.workdps(80):
            values = [float(FORMULAS[case.name](x, **case.given)) for x in (-far, far)]
        np.testing.assert_allclose(a[0, [1, 4]], values, rtol=1e-5, atol=1e-6)
        for end, value in zip(a[0, [0, 5]], values, strict=True):
            limit = math.copysign(math.inf, value) if abs(value) > 1e10 else value
            assert end == pytest.approx(limit, rel=1e-5, abs=1e-6)
        np.testing.assert_allclose(slope[0, :2], slope[0, 2], atol=1e-3)
        np.testing.assert_allclose(slope[0, 4:], slope[0, 3], atol=1e-3)


# PyTorch ------------------------------------------------------------------------------------------

# What PyTorch has, as functions of (torch, torch.nn.functional, z, hyperparameters)
TORCH: dict[str, Callable[..., Any]] = {
    "absolute": lambda t, F, z: t.abs(z),
    "arctan": lambda t, F, z: t.arctan(z),
    "celu": lambda t, F, z, **k: F.celu(z, **k),
    "elu": lambda t, F, z, **k: F.elu(z, **k),
    "erf": lambda t, F, z: t.erf(z),
    "gelu": lambda t, F, z, **k: F.gelu(z, **k),
    "hard_sigmoid": lambda t, F, z: F.hardsigmoid(z),
    "hard_swish": lambda t, F, z: F.hardswish(z),
    "hard_tanh": lambda t, F, z, **k: F.hardtanh(z, **k),
    "hardshrink": lambda t, F, z, **k: F.hardshrink(z, **k),
    "identity": lambda t, F, z: t.nn.Identity()(z),
    "leaky_relu": lambda t, F, z, slope: F.leaky_relu(z, negative_slope=slope),
    "log_sigmoid": lambda t, F, z: F.logsigmoid(z),
    "mish": lambda t, F, z: F.mish(z),
    "relu": lambda t, F, z: F.relu(z),
    "relu6": lambda t, F, z: F.relu6(z),
    "selu": lambda t, F, z: F.selu(z),
    "sigmoid": lambda t, F, z: t.sigmoid(z),
    "silu": lambda t, F, z, beta: F.silu(beta * z) / beta,
    "sin": lambda t, F, z, omega: t.sin(omega * z),
    # Beyond, it returns z
    "softplus": lambda t, F, z, beta: F.softplus(z, beta=beta, threshold=80.0),
    "softshrink": lambda t, F, z, **k: F.softshrink(z, **k),
    "softsign": lambda t, F, z: F.softsign(z),
    "square": lambda t, F, z: t.square(z),
    "tanh": lambda t, F, z: t.tanh(z),
    "tanhshrink": lambda t, F, z: F.tanhshrink(z),
    "threshold": lambda t, F, z, **k: F.threshold(z, **k),
}


@pytest.mark.parametrize("case", [case for case in CASES if case.name in TORCH], ids=str)
def test_values_and_slopes_equal_pytorch(case: Case) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; it is no dependency")
    for dtype in DTYPES:
        a, da = run(pair(case, scalars(case, dtype)), points(dtype))
        z = torch.tensor(points(dtype), requires_grad=True)
        y = TORCH[case.name](torch, torch.nn.functional, z, **case.given)
        y.backward(torch.ones_like(y))
        # in float64 too, PyTorch takes 1 / 6 and 1 / alpha of these in float32
        single = dtype is np.float32 or case.name in ("celu", "hard_sigmoid")
        near = {"rtol": 1e-5, "atol": 1e-6} if single else {"rtol": 1e-13, "atol": 1e-14}
        np.testing.assert_allclose(a, y.detach().numpy(), **near)
        np.testing.assert_allclose(da, z.grad.numpy(), **near)


# The contract -------------------------------------------------------------------------------------


def is_an_example(case: Case) -> bool:
    """Whether the suite takes these hyperparameters by itself, as `test_plugins.py` runs it."""
    entry = registry.find("activation", case.name)
    given = registry.arguments(entry, case.spec)
    return any(registry.arguments(entry, spec) == given for spec in examples(entry, {}))


@pytest.mark.parametrize(
    "case",
    quick(
        [case for case in CASES if not is_an_example(case)], lambda case: case.name == "leaky_relu"
    ),
    ids=str,
)
def test_conforms(case: Case) -> None:
    assert_conforms("activation", case.name, **case.given)


@every_case
def test_out_may_be_z(case: Case) -> None:
    z = some((9, 41), np.float32)
    made = pair(case, scalars(case, np.float32))
    expected = run(made, z)[0]
    made[0](np, z, z)
    np.testing.assert_array_equal(z, expected, strict=True)


@every_case
def test_rows_of_a_population_equal_members_alone(case: Case) -> None:
    for dtype in DTYPES:
        z = some((3, 37, 41), dtype)
        together = scalars(case, dtype, members=3)
        found = run(pair(case, together), z)
        for p in range(3):
            alone = run(pair(case, {k: v[p] for k, v in together.items()}), z[p])
            np.testing.assert_array_equal(found[0][p], alone[0], strict=True)
            np.testing.assert_array_equal(found[1][p], alone[1], strict=True)


@every_case
def test_results_do_not_depend_on_shapes(case: Case) -> None:
    """Vector instructions take 4 to 16 elements at a time and the rest apart; scratch is kept for
    some shapes only.
    """
    z = some((1, 67), np.float32)
    made = pair(case, scalars(case, np.float32))
    whole = run(made, z)
    for k in range(1, 67, 5):
        for part, full in zip(run(made, z[:, k:].copy()), whole, strict=True):
            np.testing.assert_array_equal(part, full[:, k:])


@every_case
def test_plain_numbers_do(case: Case) -> None:
    z = some((5, 41), np.float64)
    expected = run(pair(case, scalars(case, np.float64)), z)
    for found, wanted in zip(run(pair(case, {}), z), expected, strict=True):
        np.testing.assert_array_equal(found, wanted, strict=True)
    assert run(pair(case, {}), z.astype(np.float32))[1].dtype == np.float32


@every_case
def test_the_second_call_allocates_nothing(case: Case) -> None:
    z, (value, pullback) = some((300, 300), np.float32), pair(case, scalars(case, np.float32))
    a = np.empty_like(z)
    da = np.ones_like(z)

    def step() -> None:
        value(np, z, a)
        pullback(np, z, a, da)

    with np.errstate(all="ignore"), debug.paused():
        step()
        tracemalloc.start()
        step()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < z.nbytes / 3  # NumPy's own buffer of 8192 elements, for conversions, is allowed


def test_gelu_names_its_forms() -> None:
    with pytest.raises(UsageError, match="approximate must be 'none' or 'tanh', got 'erf'"):
        registry.make("activation", "gelu(approximate='erf')")


if __name__ == "__main__":
    print(f"{'largest error in ULP, measured / allowed':44s}", end="")
    print(*(f"{what:>14s}" for what in ("f, float32", "slope", "f, float64", "slope")), sep="")
    for case in CASES:
        pairs = (
            f"{m:8.3g} /{allowed:4g}" for m, allowed in zip(measured(case), case.ulp, strict=True)
        )
        print(f"{case!s:44s}{''.join(pairs)}{'  slope: of max(|slope|, 1)' if case.of_one else ''}")
