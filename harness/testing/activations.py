"""What every activation must do."""

from typing import Any

import numpy as np

from harness import registry
from harness.registry.known import Entry, Spec
from harness.testing.suite import POINTS, STEP, Found, Suite, different, random_numbers


# Activations --------------------------------------------------------------------------------------
def elementwise(suite: Suite, entry: Entry, spec: Spec, reference: Any) -> None:
    value, pullback = registry.make("activation", spec)
    special, ordinary = np.array([[-p for p in POINTS], POINTS]), 3.0 * random_numbers((4, 12))

    def f(z: np.ndarray) -> np.ndarray:
        out = np.full_like(z, np.nan)
        value(np, z.copy(), out)
        return out

    def slope(z: np.ndarray) -> np.ndarray:
        da = np.ones_like(z)
        pullback(np, z.copy(), f(z), da)
        return da

    def outside(*points: np.ndarray) -> Found:
        """How far slopes lie outside of the one-sided difference quotients, which agree where f is
        smooth.
        """
        z = np.concatenate([each.ravel() for each in points])
        h = np.where(
            np.abs(z) < 1e-6, np.maximum(np.abs(z) / 4, 1e-9), STEP * np.maximum(np.abs(z), 1.0)
        )
        middle, found = f(z), slope(z)
        noise = 8 * np.finfo(np.float64).eps * (np.abs(middle) + 1e-3) / h
        sides = [(4 * f(z + s) - f(z + 2 * s) - 3 * middle) / (2 * s) for s in (-h, h)]
        low, high = np.minimum(*sides), np.maximum(*sides)
        error = np.maximum(np.maximum(low - found, found - high) - noise, 0.0) / (
            1.0 + np.abs(low) + np.abs(high)
        )
        error = np.where(np.isfinite(found), error, np.inf)
        k = int(np.argmax(error))
        between = (
            f"{low[k]:.6g}"
            if np.isclose(low[k], high[k], 1e-4, 1e-6, equal_nan=True)
            else f"{low[k]:.6g} to {high[k]:.6g}"
        )
        return Found(error[k], f"at z = {z[k]:.6g} it is {found[k]:.6g} and should be {between}")

    told = "the pullback must multiply da by the slope of value; at a kink by one between those of its two sides"
    everywhere = np.linspace(-21.3, 21.3, 1701)  # 0.025 apart: where a piece of its own may hide
    suite.add("slope at ordinary inputs", told, 1e-6, lambda: outside(ordinary, everywhere))
    suite.add("slope at 0, tiny, round and large inputs", told, 1e-5, lambda: outside(special))

    @suite.must(
        "elementwise",
        "an element of f(z) must depend on that element of z alone; otherwise it is a layer",
    )
    def _() -> float:
        order = np.random.default_rng(4).permutation(ordinary.size)
        mixed = ordinary.reshape(-1)[order].reshape(6, 8)
        return different(f(ordinary).reshape(-1)[order], f(mixed).reshape(-1))

    if entry.options["spelling"] == "expression":

        @suite.must(
            "expression as on arrays",
            "f(z) of an array must be what tracing made of it, without chance",
            1e-12,
        )
        def traced() -> float:
            z = np.concatenate([special.ravel(), ordinary.ravel()])
            given, found = registry.arguments(entry, spec), f(z)
            plain = np.asarray(entry.factory(z.copy(), **given), dtype=z.dtype)
            error = np.abs(found - plain) / (1.0 + np.abs(plain))
            return np.max(
                np.where((found == plain) | ((found != found) & (plain != plain)), 0.0, error)
            )

    @suite.must("value does not write z", "value(xp, z, out) must leave z as it is")
    def _() -> float:
        z = ordinary.copy()
        value(np, z, np.empty_like(z))
        return different(z, ordinary)

    @suite.must(
        "float32 agrees with float64",
        "also at large inputs, where a careless formula overflows",
        1e-5,
    )
    def _() -> float:
        z = np.concatenate([special.ravel(), [-1e4, -100.0, 100.0, 1e4], ordinary.ravel()]).astype(
            np.float32
        )
        worst = []
        for g in (f, slope):
            wide, narrow = g(z.astype(np.float64)), g(z).astype(np.float64)
            error = np.abs(wide - narrow) / np.maximum(np.maximum(np.abs(wide), np.abs(z)), 1.0)
            worst.append(np.max(error[np.abs(wide) < 3e38]))
        return np.max(worst)

    if reference is not None:

        @suite.must(
            "value against the reference, in ULP",
            "units in the last place of max(|f|, 1), float64",
            4,
        )
        def _() -> float:
            z = np.concatenate([special.ravel(), ordinary.ravel(), np.linspace(-8, 8, 1601)])
            exact = np.asarray(reference(z.astype(np.longdouble)))
            return np.max(
                np.abs(f(z) - exact) / np.spacing(np.maximum(np.abs(exact), 1.0).astype(np.float64))
            )
