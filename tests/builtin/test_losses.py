"""The built-in losses: float64 formulas, PyTorch, large outputs, and one output for two classes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness import Scalar, on_differences, registry
from harness.builtin.losses import weighing
from harness.errors import UsageError
from harness.expressions.backend import BACKENDS, VARIABLE, has_numba
from harness.testing.conformance import assert_conforms, check
from harness.testing.losses import bind_loss_alone
from harness.testing.measures import ALLOWANCE, allocated

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]
B = 6
K = 5


def bound(
    spec: Any, outputs: int = K, batch: int = B, dtype: Any = np.float64, lead: tuple[int, ...] = ()
) -> Any:
    """(forward, predict)"""
    return bind_loss_alone(spec, lead, dtype, batch, outputs)


def both(spec: Any, y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(values, dy) of rows y (..., B, O)."""
    values, backward = bound(spec, y.shape[-1], y.shape[-2], y.dtype, y.shape[:-2])[0](y, t)
    return values.copy(), backward().copy()


def outputs(seed: int = 1, shape: tuple[int, ...] = (B, K), size: float = 2.0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape) * size


LABELS = np.array([0, 1, 2, 3, 4, 2])
WEIGHTS = np.array([0.5, 2.0, 1.0, 3.0, 0.25])  # of the classes
ONE_HOT = np.eye(K)[LABELS]


# Formulas in float64, written from the definitions ------------------------------------------------


def log_softmax(y: np.ndarray) -> np.ndarray:
    y = np.asarray(y, np.float64)
    top = y.max(axis=-1, keepdims=True)
    return y - top - np.log(np.exp(y - top).sum(axis=-1, keepdims=True))


def smoothed(epsilon: float) -> Values:
    def values(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        soft = (1 - epsilon) * t + epsilon * t.sum(axis=-1, keepdims=True) / t.shape[-1]
        return -(soft * log_softmax(y)).sum(axis=-1)

    return values


def focused(gamma: float) -> Values:
    def values(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        log = log_softmax(y)
        return -(t * (1 - np.exp(log)) ** gamma * log).sum(axis=-1)

    return values


def binary(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Each term as often as its row weighs, where rows of t are weighted indicator rows or those of
    many answers.
    """
    y = np.asarray(y, np.float64)
    weight = 1.0 if set(np.unique(t)) <= {0.0, 1.0} else t.sum(axis=-1, keepdims=True)
    return (t * np.logaddexp(0, -y) + (weight - t) * np.logaddexp(0, y)).sum(axis=-1)


def margins(margin: float, p: int) -> Values:
    def values(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        found = []
        for row, own in zip(np.asarray(y, np.float64), t, strict=True):
            c = int(own.argmax())
            terms = [max(0.0, margin - row[c] + row[k]) ** p for k in range(len(row)) if k != c]
            found.append(own[c] * sum(terms) / len(row))
        return np.array(found)

    return values


def hubers(delta: float) -> Values:
    def values(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        d = np.abs(np.asarray(y, np.float64) - t)
        return np.where(d <= delta, d * d / 2, delta * (d - delta / 2)).sum(axis=-1)

    return values


def absolutes(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.abs(np.asarray(y, np.float64) - t).sum(axis=-1)


def log_coshes(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    d = np.asarray(y, np.longdouble) - t
    return (np.logaddexp(d, -d) - np.log(np.longdouble(2))).sum(axis=-1).astype(float)


def quantiles(q: float) -> Values:
    def values(y: np.ndarray, t: np.ndarray) -> np.ndarray:
        d = t - np.asarray(y, np.float64)
        return np.where(d > 0, q * d, (q - 1) * d).sum(axis=-1)

    return values


def counts(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    y = np.asarray(y, np.float64)
    return (np.exp(np.minimum(y, 80)) - t * y).sum(axis=-1)


def squares(y: np.ndarray, t: np.ndarray) -> np.ndarray:
    return ((np.asarray(y, np.float64) - t) ** 2).sum(axis=-1) / 2


FORMULAS: list[tuple[str, dict[str, Any], Values]] = [
    ("softmax_cross_entropy", {}, smoothed(0.0)),
    ("softmax_cross_entropy", {"label_smoothing": 0.1}, smoothed(0.1)),
    ("focal", {}, focused(2.0)),
    ("focal", {"gamma": 0.5}, focused(0.5)),
    ("focal", {"gamma": 0.0}, focused(0.0)),
    ("binary_cross_entropy", {}, binary),
    ("hinge", {}, margins(1.0, 1)),
    ("hinge", {"margin": 0.3, "p": 2}, margins(0.3, 2)),
    ("squared_error", {}, squares),
    ("huber", {}, hubers(1.0)),
    ("huber", {"delta": 0.2}, hubers(0.2)),
    ("absolute_error", {}, absolutes),
    ("log_cosh", {}, log_coshes),
    ("quantile", {}, quantiles(0.5)),
    ("quantile", {"q": 0.9}, quantiles(0.9)),
    ("poisson_nll", {}, counts),
]
NAMES = [registry.text({"name": name, **given}) for name, given, _ in FORMULAS]


@pytest.mark.parametrize(("name", "given", "formula"), FORMULAS, ids=NAMES)
def test_conforms_and_equals_its_formula(name: str, given: dict[str, Any], formula: Values) -> None:
    """Gradients against differences in float64 as well."""
    found = assert_conforms("loss", name, reference=formula, **given)
    assert any(each.name == "values against the reference" for each in found)


def test_every_loss_is_here() -> None:
    built_in = {e.name for e in registry.entries("loss") if "/builtin/losses/" in e.origin}
    assert built_in == {name for name, _, _ in FORMULAS}


def test_a_wrong_formula_is_noticed() -> None:
    failed = [each.name for each in check("loss", "focal", reference=focused(1.9)) if not each.ok]
    assert failed == ["values against the reference"]


@pytest.mark.parametrize(("name", "given", "formula"), FORMULAS, ids=NAMES)
def test_large_outputs_in_float32(name: str, given: dict[str, Any], formula: Values) -> None:
    """|y| up to 1e4, equal ones among them."""
    y = np.float32(
        [[1e4, 1e4, -1e4], [1e4, 0.0, 0.5], [-1e4, -1e4, -1e4], [0.0, 20.0, 1.0], [1e4, -1e4, 0.0]]
    )
    t = np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 1]]
    values, dy = both({"name": name, **given}, y, t)
    # no digits are lost to a large maximum: log 2 and log 3 are there; 1 + exp(-20) is 1 in a sum
    # of float32
    np.testing.assert_allclose(
        values, formula(y, t), rtol=2e-6, atol=2e-8 if "softmax" in name or name == "focal" else 0
    )
    assert np.isfinite(dy).all()
    assert dy.dtype == values.dtype == np.float32


def test_smoothing_by_hand() -> None:
    """y = (0, log 3), p = (1/4, 3/4), class 1, smoothing 0.2: s = (0.1, 0.9)."""
    y = np.array([[0.0, math.log(3.0)]])
    t = np.array([[0.0, 1.0]])
    values, dy = both("softmax_cross_entropy(label_smoothing=0.2)", y, t)
    np.testing.assert_allclose(
        values, [0.1 * math.log(4.0) + 0.9 * math.log(4.0 / 3.0)], rtol=1e-14
    )
    np.testing.assert_allclose(dy, [[0.25 - 0.1, 0.75 - 0.9]], rtol=1e-14)


def test_binary_cross_entropy_by_hand() -> None:
    """y = log 3, p = 3/4, t = 1: L = log 4/3, dy = -1/4; y = 0, p = 1/2, t = 0: L = log 2, dy =
    1/2; summed.
    """
    y = np.array([[math.log(3.0), 0.0]])
    t = np.array([[1.0, 0.0]])
    values, dy = both("binary_cross_entropy", y, t)
    np.testing.assert_allclose(values, [math.log(4.0 / 3.0) + math.log(2.0)], rtol=1e-14)
    np.testing.assert_allclose(dy, [[-0.25, 0.5]], rtol=1e-14)
    _, predict = bound("binary_cross_entropy", 2, 1)
    np.testing.assert_allclose(predict(y), [[0.75, 0.5]], rtol=1e-14)


def test_hinge_by_hand() -> None:
    """Scores (2, 1.5, 0), class 0, margin 1: terms 0.5 and 0; L = 0.5 / 3. With p = 2: 0.25 / 3,
    slope 2 * 0.5 / 3.
    """
    y = np.array([[2.0, 1.5, 0.0]])
    t = np.array([[1.0, 0.0, 0.0]])
    for spec, value, slope in (("hinge", 0.5 / 3, 1 / 3), ("hinge(p=2)", 0.25 / 3, 1 / 3)):
        values, dy = both(spec, y, t)
        np.testing.assert_allclose(values, [value], rtol=1e-14)
        np.testing.assert_allclose(dy, [[-slope, slope, 0.0]], rtol=1e-14)


def test_huber_by_hand() -> None:
    """d = 0.5, 3, -2 with delta 2: 0.125 + 2 (3 - 1) + 2; slopes 0.5, 2, -2."""
    values, dy = both("huber(2.0)", np.array([[0.5, 3.0, -2.0]]), np.zeros((1, 3)))
    np.testing.assert_allclose(values, [0.125 + 4.0 + 2.0], rtol=1e-15)
    np.testing.assert_allclose(dy, [[0.5, 2.0, -2.0]], rtol=1e-15)


def test_absolute_error_and_quantile_by_hand() -> None:
    """d = 0.5, -3, 0: slopes 1, -1 and 0; with q = 0.9 0.1 and -0.9."""
    y = np.array([[0.5, -3.0, 0.0]])
    values, dy = both("absolute_error", y, np.zeros((1, 3)))
    np.testing.assert_allclose(values, [3.5], rtol=1e-15)
    np.testing.assert_allclose(dy, [[1.0, -1.0, 0.0]], rtol=1e-15)
    values, dy = both("quantile(0.9)", y, np.zeros((1, 3)))
    np.testing.assert_allclose(values, [0.1 * 0.5 + 0.9 * 3.0], rtol=1e-15)
    np.testing.assert_allclose(dy, [[0.1, -0.9, 0.0]], rtol=1e-14)


@pytest.mark.parametrize("kernels", BACKENDS)
def test_log_cosh_of_small_and_large_differences(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """d^2 / 2 near 0, where log and cosh alone would lose all digits; |d| - log 2 far away."""
    monkeypatch.setenv(VARIABLE, kernels)
    for dtype in (np.float32, np.float64):
        d = np.array([[1e-6], [1e-3], [1.0], [19.0], [21.0], [-1e30]], dtype)
        values, dy = both("log_cosh", d, np.zeros_like(d))
        expected = [5e-13 - 1e-24 / 12, 5e-7 - 1e-12 / 12 + 1e-18 / 45, 0.4337808304830271]
        expected += [19 - math.log(2), 21 - math.log(2), 1e30]
        np.testing.assert_allclose(values, expected, rtol=5e-7 if dtype is np.float32 else 1e-14)
        np.testing.assert_allclose(dy, np.tanh(d) / 6, rtol=5e-7)


@pytest.mark.parametrize("kernels", BACKENDS)
def test_a_loss_is_an_expression_of_differences(
    kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slope d / sqrt(1 + (d / w)^2) is derived, and each member has its own width."""
    monkeypatch.setenv(VARIABLE, kernels)

    @registry.loss("tested_bowl")
    def tested_bowl(width: Scalar = 1.0) -> Any:
        def h(d: Any, width: Any) -> Any:
            return width**2 * (np.sqrt(1 + (d / width) ** 2) - 1)

        return on_differences(h, width=width)

    y = outputs(4, (2, B, K)).astype(np.float32)
    t = outputs(5).astype(np.float32)
    values, dy = both({"name": "tested_bowl", "width": [0.5, 3.0]}, y, t)
    d = y.astype(float) - t
    w = np.array([0.5, 3.0])[:, None, None]
    root = np.sqrt(1 + (d / w) ** 2)
    np.testing.assert_allclose(values, (w**2 * (root - 1)).sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(dy, d / root / B, rtol=1e-5)
    assert_conforms("loss", "tested_bowl", width=0.7)


def test_a_loss_without_a_slope_names_its_operation() -> None:
    def h(d: Any) -> Any:
        return np.floor(d)

    with pytest.raises(UsageError, match=r"an expression must consist .* got np.floor \(.*line"):
        bound(on_differences(h))

    def constant(d: Any) -> Any:
        return 1.0

    with pytest.raises(UsageError, match="the loss of constant must return an expression of its"):
        bound(on_differences(constant))


def test_poisson_by_hand() -> None:
    """y = log 3, t = 2: 3 - 2 log 3, slope 1; the prediction is 3."""
    y = np.array([[math.log(3.0)]])
    values, dy = both("poisson_nll", y, np.array([[2.0]]))
    np.testing.assert_allclose(values, [3.0 - 2.0 * math.log(3.0)], rtol=1e-14)
    np.testing.assert_allclose(dy, [[1.0]], rtol=1e-14)
    np.testing.assert_allclose(bound("poisson_nll", 1, 1)[1](y), [[3.0]], rtol=1e-14)


def test_focal_by_hand() -> None:
    """p = (1/4, 3/4), gamma 2. Class 1: (1/4)^2 log 4/3, which is 1/16 of the cross-entropy; class
    0: 9/16 log 4.
    """
    y = np.array([[0.0, math.log(3.0)]] * 2)
    t = np.array([[0.0, 1.0], [1.0, 0.0]])
    values, dy = both("focal", y, t)
    np.testing.assert_allclose(values, [math.log(4 / 3) / 16, 9 * math.log(4) / 16], rtol=1e-14)
    # dL/dlog p_1 = -(1/4)^2 + 2 (1/4) (3/4) log(3/4); dlog p_1 / dy = (-1/4, 1/4)
    slope = -1 / 16 + 3 / 8 * math.log(3 / 4)
    np.testing.assert_allclose(dy[0], [-slope / 8, slope / 8], rtol=1e-13)  # 8 = 4 * batch 2


# PyTorch ------------------------------------------------------------------------------------------


def torch_values(case: str, y: Any, labels: Any, t: Any) -> Any:
    """What PyTorch gives for each example (B,)."""
    from torch.nn import functional as F

    each = {"reduction": "none"}
    return {
        "softmax_cross_entropy": lambda: F.cross_entropy(y, labels, **each),
        "softmax_cross_entropy(label_smoothing=0.3)": lambda: F.cross_entropy(
            y, labels, label_smoothing=0.3, **each
        ),
        "focal(gamma=1.5)": lambda: (
            -((1 - y.softmax(-1)[range(B), labels]) ** 1.5 * y.log_softmax(-1)[range(B), labels])
        ),
        "binary_cross_entropy": lambda: F.binary_cross_entropy_with_logits(y, t, **each).sum(-1),
        "hinge": lambda: F.multi_margin_loss(y, labels, **each),
        "hinge(margin=0.5, p=2)": lambda: F.multi_margin_loss(y, labels, p=2, margin=0.5, **each),
        "squared_error": lambda: F.mse_loss(y, t, **each).sum(-1) / 2,
        "huber": lambda: F.huber_loss(y, t, **each).sum(-1),
        "huber(delta=0.7)": lambda: F.huber_loss(y, t, delta=0.7, **each).sum(-1),
        "absolute_error": lambda: F.l1_loss(y, t, **each).sum(-1),
        "poisson_nll": lambda: F.poisson_nll_loss(y, t, **each).sum(-1),
    }[case]()


@pytest.mark.parametrize(
    "case",
    [
        *("softmax_cross_entropy", "softmax_cross_entropy(label_smoothing=0.3)"),
        *("focal(gamma=1.5)", "binary_cross_entropy", "hinge", "hinge(margin=0.5, p=2)"),
        *("squared_error", "huber", "huber(delta=0.7)", "absolute_error", "poisson_nll"),
    ],
)
def test_values_and_gradients_of_pytorch(case: str) -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: the reference for values and gradients"
    )
    t = ONE_HOT
    if case.startswith(("huber", "squared", "absolute")):
        t = outputs(2)
    if case == "binary_cross_entropy":
        t = np.random.default_rng(3).random((B, K))
    y = torch.tensor(outputs(), requires_grad=True)
    expected = torch_values(case, y, torch.tensor(LABELS), torch.tensor(t))
    (expected.sum() / B).backward()
    values, dy = both(case, outputs(), t)
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(dy, y.grad.numpy(), rtol=1e-12, atol=1e-15)


def test_probabilities_as_targets_like_pytorch() -> None:
    torch = pytest.importorskip(
        "torch", reason="PyTorch is not installed: the reference for values and gradients"
    )
    t = np.random.default_rng(3).dirichlet(np.ones(K), B)
    given = {"label_smoothing": 0.1, "reduction": "none"}
    expected = torch.nn.functional.cross_entropy(torch.tensor(outputs()), torch.tensor(t), **given)
    values, _ = both("softmax_cross_entropy(label_smoothing=0.1)", outputs(), t)
    np.testing.assert_allclose(values, expected.numpy(), rtol=1e-13)


# Members and weights ------------------------------------------------------------------------------


def test_focal_without_focus_is_cross_entropy() -> None:
    found, expected = (
        both(spec, outputs(), ONE_HOT) for spec in ("focal(gamma=0)", "softmax_cross_entropy")
    )
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-16)


def test_a_member_without_smoothing_keeps_its_bits_among_others() -> None:
    """A member that smooths by 0 alone takes another way than among members that smooth."""
    y = outputs(4, (2, B, K)).astype(np.float32)
    t = np.stack([ONE_HOT, ONE_HOT]).astype(np.float32)
    together = both({"name": "softmax_cross_entropy", "label_smoothing": [0.0, 0.2]}, y, t)
    for p, epsilon in enumerate((0.0, 0.2)):
        alone = both({"name": "softmax_cross_entropy", "label_smoothing": epsilon}, y[p], t[p])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_array_equal(a[p], b)


@pytest.mark.parametrize(("name", "given", "formula"), FORMULAS, ids=NAMES)
@pytest.mark.parametrize("lead", [(), (3,)])
def test_an_example_counts_as_often_as_it_weighs(
    name: str, given: dict[str, Any], formula: Values, lead: tuple[int, ...]
) -> None:
    """The weight is one column more behind the targets; without it all is as it was."""
    spec = {"name": name, **given}
    y = outputs(9, (*lead, B, K))
    values, dy = both(spec, y, ONE_HOT)
    for found, expected in zip(
        both(weighing(registry.make("loss", spec), K), y, ONE_HOT), (values, dy), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    weights = WEIGHTS[LABELS]
    for shared in (True, False):
        t = np.column_stack([ONE_HOT, weights])
        given_rows = t if shared else np.broadcast_to(t, (*lead, *t.shape))
        found, slopes = both(weighing(registry.make("loss", spec), K), y, given_rows)
        np.testing.assert_array_equal(found, values * weights)
        np.testing.assert_array_equal(slopes, dy * weights[:, None])


@pytest.mark.skipif(not has_numba(), reason="Numba has no wheel for this processor")
@pytest.mark.parametrize(
    ("spec", "dtype"),
    [
        *((spec, "float32") for spec in ("log_cosh", "poisson_nll", "binary_cross_entropy")),
        *(("huber(0.7)", dtype) for dtype in ("float32", "float64")),
    ],
)
def test_terms_and_slopes_are_one_loop_that_says_what_passes_say(
    spec: str, dtype: str, compiling: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    y = outputs(3, (2, B, K), 4.0).astype(dtype)
    t = outputs(4, (B, K)).astype(dtype)[::-1]  # which the members share, in no row
    results = []
    for kernels in BACKENDS:
        monkeypatch.setenv(VARIABLE, kernels)
        results.append(both(spec, y, t))
    # A loss alone stands on a network, whose squared error has the first one.
    _, loop = (source for source in compiling if "terms_[i] = " in source)
    assert "dy_[i] = " in loop
    tolerance = 3e-6 if dtype == "float32" else 1e-14
    for loops, passes in zip(*results, strict=True):
        np.testing.assert_allclose(loops, passes, rtol=tolerance, atol=tolerance)


def test_weights_do_not_touch_what_a_loss_remembers() -> None:
    """A loss may read in backward what it gave in forward: here the root of the squares, whose
    slope divides by it.
    """

    def bind(ctx: Any, O: int) -> tuple[Any, Any]:
        def forward(y: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, Any]:
            values = np.sqrt(((y - t) ** 2).sum(axis=-1))
            return values, lambda: (y - t) / values[:, None] / B

        return forward, lambda y: y

    y = outputs()
    weights = WEIGHTS[LABELS]
    _, dy = both(weighing(bind, K), y, np.column_stack([ONE_HOT, weights]))
    np.testing.assert_array_equal(dy, both(bind, y, ONE_HOT)[1] * weights[:, None])


@pytest.mark.parametrize(("name", "given", "formula"), FORMULAS, ids=NAMES)
def test_members_may_share_their_targets(name: str, given: dict[str, Any], formula: Values) -> None:
    """Rows of t without the axis of the members, as in evaluation."""
    y = outputs(9, (3, B, K))
    spec = {"name": name, **given}
    for found, expected in zip(
        both(spec, y, ONE_HOT), both(spec, y, np.stack([ONE_HOT] * 3)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


# One output for two classes -----------------------------------------------------------------------

SINGLE = {"name": "binary_cross_entropy", "two_classes": True}


@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.5, 3.0, 1.0, 0.1])])
def test_one_output_is_a_softmax_whose_first_logit_is_0(weights: np.ndarray | None) -> None:
    y = outputs(5, (B, 1))
    t = np.eye(2)[[0, 1, 1, 0, 1, 0]]
    if weights is not None:
        t = np.column_stack([t, weights])
    wide = np.concatenate([np.zeros_like(y), y], axis=1)
    expected, slopes = both(weighing(registry.make("loss", "softmax_cross_entropy"), 2), wide, t)
    values, dy = both(weighing(registry.make("loss", SINGLE), 2), y, t)
    np.testing.assert_allclose(values, expected, rtol=1e-13)
    np.testing.assert_allclose(dy, slopes[:, 1:], rtol=1e-12, atol=1e-16)
    found = bound(SINGLE, 1)[1](y.copy())
    np.testing.assert_allclose(found, bound("softmax_cross_entropy", 2)[1](wide), rtol=1e-13)
    assert found.shape == (B, 2)


def test_one_output_in_a_population_and_alone() -> None:
    y = outputs(6, (3, B, 1)).astype(np.float32)
    t = np.eye(2, dtype=np.float32)[np.random.default_rng(0).integers(0, 2, (3, B))]
    values, dy = both(SINGLE, y, t)
    p = bound(SINGLE, 1, B, np.float32, (3,))[1](y.copy()).copy()
    np.testing.assert_array_equal(
        both(SINGLE, y, t[0])[1], both(SINGLE, y, np.stack([t[0]] * 3))[1]
    )
    for k in range(3):
        alone = (*both(SINGLE, y[k], t[k]), bound(SINGLE, 1, B, np.float32)[1](y[k].copy()))
        for a, b in zip((values[k], dy[k], p[k]), alone, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_less_probable_of_two_classes_keeps_its_digits() -> None:
    """In float32 1 - p would be 0 from y = 17 on; and a certain error is as wrong as it is."""
    y = np.float32([[20.0], [-20.0], [1e4], [-1e4]])
    p = bound(SINGLE, 1, 4, np.float32)[1](y.copy())
    small = math.exp(-20.0)
    np.testing.assert_allclose(p[:2], [[small, 1.0], [1.0, small]], rtol=1e-6)
    np.testing.assert_array_equal(p[2:], [[0.0, 1.0], [1.0, 0.0]])
    for labels, expected in (
        ([1, 0, 1, 0], [small, small, 0.0, 0.0]),
        ([0, 1, 0, 1], [20.0, 20.0, 1e4, 1e4]),
    ):
        values, dy = both(SINGLE, y, np.eye(2, dtype=np.float32)[labels])
        np.testing.assert_allclose(values, expected, rtol=1e-6)
        assert np.isfinite(dy).all()


def test_one_output_allocates_nothing() -> None:
    rows = 40_000
    forward, predict = bound(SINGLE, 1, rows, np.float32)
    y = outputs(7, (rows, 1)).astype(np.float32)
    t = np.eye(2, dtype=np.float32)[np.random.default_rng(0).integers(0, 2, rows)]
    kept = t.copy()
    assert allocated(lambda: (forward(y, t)[1](), predict(y))) <= ALLOWANCE
    np.testing.assert_array_equal(t, kept)


def test_one_column_of_targets_stays_one() -> None:
    """Without two classes one output is the ordinary case of K answers: targets and predictions (B,
    1).
    """
    y = outputs(8, (B, 1))
    t = np.random.default_rng(1).random((B, 1))
    values, dy = both("binary_cross_entropy", y, t)
    p = bound("binary_cross_entropy", 1)[1](y.copy())
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-y)), rtol=1e-13)
    np.testing.assert_allclose(values, -(t * np.log(p) + (1 - t) * np.log(1 - p))[:, 0], rtol=1e-12)
    np.testing.assert_allclose(dy, (p - t) / B, rtol=1e-11)


# Refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "softmax_cross_entropy(1.0)",
            r"softmax_cross_entropy: label_smoothing must be in \[0, "
            r"1\), got 1.0",
        ),
        ("softmax_cross_entropy(label_smoothing=True)", "got True"),
        ("focal(gamma=-1)", "focal: gamma must be a number of at least 0, got -1"),
        ("huber(delta=0)", "huber: delta must be a number above 0, got 0"),
        (
            "huber(delta=linear(1.0))",
            "huber: delta must be a number above 0, got {'name': 'linear'",
        ),
        (
            {"name": "huber", "delta": [1.0, -1.0]},
            "huber: delta must be a number above 0, got -1.0",
        ),
        ("hinge(margin=0.0)", "hinge: margin must be a number above 0, got 0.0"),
        ("quantile(q=1)", r"quantile: q must be in \(0, 1\), got 1"),
        ("hinge(p=3)", "hinge: p must be one of 1, 2, got 3"),
    ],
)
def test_refused(spec: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        registry.make("loss", spec)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "focal", "hinge"])
def test_one_output_is_refused_with_the_remedy(name: str) -> None:
    with pytest.raises(
        UsageError, match=f"{name} needs at least 2 outputs, got 1; .* binary_cross_entropy for two"
    ):
        bound(name, 1)
