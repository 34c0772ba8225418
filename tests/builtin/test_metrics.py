"""The built-in metrics: against scikit-learn, by hand, and at the edges: absent classes, NaN,
constants, members.
"""

import math
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.testing.conformance import assert_conforms

LABELLED = ["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
MEASURED = ["mae", "rmse", "r2"]


def score(name: str, p: np.ndarray, y: np.ndarray) -> Any:
    return registry.make("metric", name)(p, y)


@pytest.mark.parametrize("name", LABELLED + MEASURED)
def test_conforms(name: str) -> None:
    assert_conforms("metric", name)


def test_every_metric_is_here() -> None:
    assert {e.name for e in registry.entries("metric") if e.origin.endswith("metrics.py")} == set(
        LABELLED + MEASURED
    )


# scikit-learn -------------------------------------------------------------------------------------


def theirs(name: str, p: np.ndarray, y: np.ndarray) -> float:
    sk = pytest.importorskip(
        "sklearn.metrics", reason="scikit-learn is not installed: the reference for metrics"
    )
    chosen = p.argmax(axis=-1)
    classes = range(p.shape[-1])
    return {
        "accuracy": lambda: sk.accuracy_score(y, chosen),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, chosen),
        "macro_f1": lambda: sk.f1_score(
            y, chosen, labels=list(classes), average="macro", zero_division=0
        ),
        "log_loss": lambda: sk.log_loss(y, p, labels=list(classes)),
        "mae": lambda: sk.mean_absolute_error(y, p),
        "rmse": lambda: sk.root_mean_squared_error(y.ravel(), p.ravel()),
        "r2": lambda: sk.r2_score(y, p, multioutput="variance_weighted"),
    }[name]()


def labelled(K: int, present: list[int], n: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of K classes and labels of those that are present, half of them where the
    largest one is.
    """
    rng = np.random.default_rng([K, *present])
    y = rng.choice(present, n)
    p = rng.dirichlet(np.ones(K), n)
    right = rng.random(n) < 0.5
    p[right] = 0.4 * p[right] + 0.6 * np.eye(K)[y[right]]
    return p, y


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize(("K", "present"), [(10, list(range(10))), (2, [0, 1]), (5, [1, 2, 4])])
# As it should where some are absent
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_labels_like_scikit_learn(name: str, K: int, present: list[int]) -> None:
    p, y = labelled(K, present)
    assert float(score(name, p, y)) == pytest.approx(theirs(name, p, y), rel=1e-12)


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("columns", [1, 3])
def test_rows_like_scikit_learn(name: str, columns: int) -> None:
    rng = np.random.default_rng(columns)
    y = rng.standard_normal((400, columns)) * np.arange(1, columns + 1) + 5
    p = y + rng.standard_normal(y.shape)
    assert float(score(name, p, y)) == pytest.approx(theirs(name, p, y), rel=1e-12)


# By hand ------------------------------------------------------------------------------------------


def test_two_unequal_classes_by_hand() -> None:
    """Nine of class 0, one of class 1; everything is called 0 but one 0 and the 1.

    Accuracy 9/10; balanced (8/9 + 1) / 2; F1 of 0: 16 / (16 + 1), of 1: 2 / (2 + 1).
    """
    y = np.array([0] * 9 + [1])
    chosen = np.array([0] * 8 + [1, 1])
    p = np.where(np.eye(2)[chosen] > 0, 0.9, 0.1)
    assert float(score("accuracy", p, y)) == pytest.approx(0.9)
    assert float(score("balanced_accuracy", p, y)) == pytest.approx(17 / 18)
    assert float(score("macro_f1", p, y)) == pytest.approx((16 / 17 + 2 / 3) / 2)
    assert float(score("log_loss", p, y)) == pytest.approx(
        -(9 * math.log(0.9) + math.log(0.1)) / 10
    )


def test_whoever_says_always_the_same_is_seen_through() -> None:
    y = np.array([0] * 95 + [1] * 5)
    p = np.tile([0.9, 0.1], (100, 1))
    found = [float(score(name, p, y)) for name in ("accuracy", "balanced_accuracy", "macro_f1")]
    assert found == pytest.approx([0.95, 0.5, 0.5 * 190 / 195])


def test_only_one_class_is_present() -> None:
    y = np.array([2, 2, 2])
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    assert float(score("balanced_accuracy", p, y)) == pytest.approx(2 / 3)
    # Over all classes there are
    assert float(score("macro_f1", p, y)) == pytest.approx((0 + 0 + 4 / 5) / 3)


# Members, NaN, edges ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LABELLED + MEASURED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_member_that_diverged_has_no_score_and_the_others_have_theirs(
    name: str, dtype: Any
) -> None:
    """Not even one as good as chance, which the place of its NaN would give."""
    if name in LABELLED:
        p, y = labelled(3, [0, 1, 2])
    else:
        y = np.random.default_rng(0).standard_normal((500, 3)).astype(dtype)
        p = y + 0.5
    members = np.stack([p, p, p]).astype(dtype)
    members[1] = np.nan
    members[2, 17, 1] = np.nan
    found = score(name, members, y)
    assert found.shape == (3,)
    assert found[0] == score(name, members[0], y)
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()
    assert np.isnan(score(name, members[2], y))


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_infinite_scores_have_an_order(name: str) -> None:
    y = np.array([0, 1])
    p = np.array([[np.inf, 0.0], [-np.inf, 0.0]])
    assert float(score(name, p, y)) == 1.0


def test_large_errors_do_not_overflow() -> None:
    y = np.zeros((4, 1), np.float32)
    p = np.full((4, 1), 1e30, np.float32)
    assert float(score("rmse", p, y)) == pytest.approx(1e30, rel=1e-6)
    assert float(score("mae", p, y)) == pytest.approx(1e30, rel=1e-6)
    assert float(score("r2", p, y + np.float32([[0], [1], [0], [1]]))) == pytest.approx(
        -4e60, rel=1e-6
    )


def test_r2_where_there_is_nothing_to_explain() -> None:
    """As scikit-learn: 1 for the truth, 0 for anything else; NaN stays. 0.1 is no number of binary
    digits.
    """
    y = np.full((1000, 1), 0.1, np.float32)
    found = score("r2", np.stack([y, y + 1, y * np.nan]), y)
    np.testing.assert_array_equal(found, [1.0, 0.0, np.nan])


def test_r2_of_the_mean_is_0() -> None:
    y = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    p = np.broadcast_to(y.mean(axis=0), y.shape)
    assert float(score("r2", p, y)) == pytest.approx(0.0, abs=1e-6)
    assert float(score("r2", y, y)) == 1.0
