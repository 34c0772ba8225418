"""Indicator rows, and the scales: exact, finite, in chunks, by their training part."""

import numpy as np
import pytest
from refusals import refusal

from harness.data import from_arrays, indicator, load
from harness.data.scaling import apply_scale, fit_scale

X = np.arange(24, dtype=np.float32).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def test_indicator():
    rows = indicator([2, 0, 1, 2], 3)
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert indicator(np.array([1], np.uint8), 2, np.float64).dtype == np.float64
    assert indicator([], 3).shape == (0, 3)
    for labels in ([0, 3], [-1, 0], [0.5, 1.0], [[0, 1]]):
        with refusal("labels must"):
            indicator(labels, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_divisions_are_exact(dtype):
    x = np.arange(256, dtype=np.uint8)[None]
    np.testing.assert_array_equal(
        apply_scale(x, *fit_scale("/255", x), dtype), x.astype(dtype) / 255
    )
    np.testing.assert_array_equal(
        apply_scale(x, *fit_scale("/256", x), dtype), x.astype(dtype) / dtype(256)
    )
    np.testing.assert_array_equal(apply_scale(x, *fit_scale("none", x), dtype), x)
    assert (
        x.astype(np.float32) * np.float32(1 / 255) != x.astype(np.float32) / np.float32(255)
    ).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_standardize(dtype):
    x = np.random.default_rng(0).integers(0, 200, (1300, 401)).astype(dtype)
    x[:, 3] = 7
    shift, divisor = fit_scale("standardize", x[:1000])
    np.testing.assert_allclose(shift, x[:1000].astype(float).mean(0), rtol=1e-13)
    expected = x[:1000].astype(float).std(0)
    assert (expected[3], divisor[3], shift[3]) == (0, 1, 7)
    expected[3] = 1
    np.testing.assert_allclose(divisor, expected, rtol=1e-13)
    scaled = apply_scale(x, shift, divisor, np.float64)
    np.testing.assert_allclose(scaled, (x.astype(float) - shift) / divisor, rtol=1e-15)
    np.testing.assert_array_equal(apply_scale(x, shift, divisor), scaled.astype(np.float32))


def test_a_constant_that_rounds_and_a_large_mean():
    x = np.full((1000, 2), 0.1)
    x[:, 1] = 1.7e9 + np.arange(1000)  # seconds since 1970: float32 knows them to two minutes
    shift, divisor = fit_scale("standardize", x)
    scaled = apply_scale(x, shift, divisor)
    assert not scaled[:, 0].any()
    np.testing.assert_allclose(
        scaled[:, 1], (np.arange(1000) - 499.5) / np.arange(1000).std(), rtol=1e-6
    )


@pytest.mark.parametrize("name", ["/255", "/256", "standardize", "none"])
def test_scaling_rows_apart_or_together(name):
    x = load("mnist14").x
    shift, divisor = fit_scale(name, x)
    whole = apply_scale(x, shift, divisor)
    assert whole.flags.c_contiguous
    rows = np.array([5, 1999, 3, 3])
    np.testing.assert_array_equal(apply_scale(x[rows], shift, divisor), whole[rows])
    out = np.empty((2, 2, 196), np.float32)
    assert apply_scale(x[rows].reshape(2, 2, 196), shift, divisor, out=out) is out
    np.testing.assert_array_equal(out.reshape(4, 196), whole[rows])
    np.testing.assert_array_equal(apply_scale(x[5], shift, divisor), whole[5])
    np.testing.assert_array_equal(apply_scale(np.asfortranarray(x), shift, divisor), whole)


def test_scaling_makes_no_large_temporary():
    import tracemalloc

    x = np.ones((20000, 196), np.uint8)
    out = np.empty(x.shape, np.float32)
    for name in ("/255", "standardize"):
        tracemalloc.start()
        apply_scale(x, *fit_scale(name, x), out=out)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8e6  # x in float64 would be 31 MB


def test_scales_that_cannot_be():
    with refusal("'standardise'", "did you mean 'standardize'"):
        fit_scale("standardise", X)
    with refusal("training rows", "(0, 4)"):
        fit_scale("standardize", X[:0])
    shift, divisor = fit_scale("standardize", X)
    with refusal("4 features", "(6, 3)"):
        apply_scale(X[:, :3], shift, divisor)
    with refusal("out", "float64"):
        apply_scale(X, shift, divisor, out=np.empty((6, 4)))


def test_indicator_rows_are_no_regression():
    with refusal("indicator rows (6, 3)", "y.argmax(1)", 'task="regression"'):
        from_arrays("toy", X, indicator(Y, 3))
    assert from_arrays("toy", X, indicator(Y, 3), task="regression").y.shape == (6, 3)
    assert from_arrays("toy", X, indicator(Y, 3) * 2).task == "regression"


def test_scaled_features_are_finite():
    x = np.array([[1e39, 0.0], [0.0, 1.0]])
    with refusal("finite as float32", "1e+39"):
        apply_scale(x, *fit_scale("none", x))
    assert apply_scale(x, *fit_scale("none", x), np.float64)[0, 0] == 1e39
    assert np.abs(apply_scale(x, *fit_scale("standardize", x))).max() == 1
    with refusal("to be standardized"):
        fit_scale("standardize", x * 1e200)
