"""Fits the polynomials of the float32 functions anew, and prints their coefficients.

    python tests/polynomials.py            # all of them, a second
    python tests/polynomials.py LOG SINE   # some

Each polynomial is the minimax fit of what is left of a function when its first terms are taken
away. Lawson's iteration finds it: a least-squares fit whose weights grow where the error is large.
The coefficients are rounded to float32 one after another, from the constant term on, and the others
are fitted again after each, so that they make up for the rounding of those before them.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath import mp

NODES = 500
ITERATIONS = 200


@dataclass(frozen=True)
class Fit:
    """A polynomial in `variable(x)` that approximates `target(x)` for x from `low` to `high`.

    Attributes
    ----------
    terms
        The number of coefficients.
    weight
        What an error of the polynomial at x is multiplied by to become the relative error of the
        function that is computed with it.
    dtype
        Of the coefficients. In float64 the fit is taken as it is.
    """

    target: Callable[[Any], Any]
    weight: Callable[[Any], Any]
    low: float
    high: float
    terms: int
    variable: Callable[[Any], Any] = lambda x: x
    dtype: Any = np.float32


def coefficients(fit: Fit) -> tuple[np.ndarray, float]:
    """The coefficients, from the constant term on, and the largest relative error."""
    variable, target, weight = _nodes(fit)
    if fit.dtype == np.float64:
        wide = _minimax(variable, target, weight, np.arange(fit.terms))
        return wide, largest_error(fit, wide)
    found: list[float] = []
    while len(found) < fit.terms:
        left = target - np.polynomial.polynomial.polyval(variable, [*found, 0.0])
        powers = np.arange(len(found), fit.terms)
        best = _minimax(variable, left, weight, powers)
        found.append(float(np.float32(best[0])))
    return np.array(found, np.float32), largest_error(fit, found)


def largest_error(fit: Fit, coefficients: Any) -> float:
    """The largest relative error of the function that is computed with these coefficients."""
    variable, target, weight = _nodes(fit)
    values = np.polynomial.polynomial.polyval(variable, np.array(coefficients, np.float64))
    return float(np.abs(weight * (values - target)).max())


def _nodes(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The variable, the target and the weight at Chebyshev nodes, none of which is an end."""
    angles = (np.arange(NODES) + 0.5) * np.pi / NODES
    xs = (fit.low + fit.high) / 2 + (fit.high - fit.low) / 2 * np.cos(angles)
    with mp.workprec(150):
        points = [mp.mpf(x) for x in xs]
        variable = np.array([float(fit.variable(x)) for x in points])
        target = np.array([float(fit.target(x)) for x in points])
        weight = np.array([abs(float(fit.weight(x))) for x in points])
    return variable, target, weight


def _minimax(
    variable: np.ndarray, target: np.ndarray, weight: np.ndarray, powers: np.ndarray
) -> np.ndarray:
    """The coefficients of these powers for which the largest weighted error is smallest."""
    scale = np.abs(variable).max()
    columns = weight[:, None] * (variable[:, None] / scale) ** powers
    right = weight * target
    lawson = np.full(variable.size, 1 / variable.size)
    best = np.zeros(powers.size)
    smallest = np.inf
    for _ in range(ITERATIONS):
        root = np.sqrt(lawson)
        solution = np.linalg.lstsq(root[:, None] * columns, root * right)[0]
        error = np.abs(columns @ solution - right)
        if error.max() < smallest:
            smallest = error.max()
            best = solution
        lawson *= error
        lawson /= lawson.sum()
    return best / scale**powers


def _erfcx(x: Any) -> Any:
    return mp.exp(x * x) * mp.erfc(x)


def _scaled_erfcx(ratio: Any) -> Any:
    """(x + pole) erfcx(x) at (x - pole) / (x + pole) = ratio"""
    x = ERFCX_POLE * (1 + ratio) / (1 - ratio)
    return (x + ERFCX_POLE) * _erfcx(x)


# The denominators of the variables of ERFC and NDTR. They are chosen so that the constant terms lose
# little when they are rounded. That of ERFCX leaves the smallest error.
ERFC_POLE = 0.953125
NDTR_POLE = 1.34375
ERFCX_POLE = 2.5

FITS = {
    # e^r = 1 + r + r^2 P(r); the relative error is that of e^r - 1
    "EXP": Fit(
        target=lambda r: (mp.expm1(r) - r) / r**2,
        weight=lambda r: r**2 / mp.expm1(r),
        low=-0.34658,
        high=0.34658,
        terms=6,
    ),
    # log(1 + f) = f - f^2 / 2 + f^3 P(f)
    "LOG": Fit(
        target=lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3,
        weight=lambda f: f**3 / mp.log1p(f),
        low=-1 / 3,
        high=1 / 3,
        terms=8,
    ),
    # erf(x) = x + x P(x^2)
    "ERF": Fit(
        target=lambda x: mp.erf(x) / x - 1,
        weight=lambda x: x / mp.erf(x),
        low=0.0,
        high=1.0,
        terms=7,
        variable=lambda x: x * x,
    ),
    # erf(x) = 1 - e^(-P(x))
    "ERF_LARGE": Fit(
        target=lambda x: -mp.log(mp.erfc(x)),
        weight=lambda x: mp.erfc(x) / mp.erf(x),
        low=1.0,
        high=4.0,
        terms=7,
    ),
    # erfc(x) = e^(-x^2) P((x - pole) / (x + pole)) / (x + pole)
    "ERFC": Fit(
        target=lambda x: (x + ERFC_POLE) * _erfcx(x),
        weight=lambda x: 1 / ((x + ERFC_POLE) * _erfcx(x)),
        low=0.75,
        high=10.1,
        terms=10,
        variable=lambda x: (x - ERFC_POLE) / (x + ERFC_POLE),
    ),
    # ndtr(x) = 1/2 + x P(x^2)
    "NDTR": Fit(
        target=lambda x: (mp.ncdf(x) - 0.5) / x,
        weight=lambda x: x / mp.ncdf(-x),
        low=0.0,
        high=0.9,
        terms=6,
        variable=lambda x: x * x,
    ),
    # ndtr(-x) = e^(-x^2 / 2) P((x - pole) / (x + pole)) / (x + pole)
    "NDTR_LARGE": Fit(
        target=lambda x: (x + NDTR_POLE) * _erfcx(x / mp.sqrt(2)) / 2,
        weight=lambda x: 2 / ((x + NDTR_POLE) * _erfcx(x / mp.sqrt(2))),
        low=0.9,
        high=14.3,
        terms=11,
        variable=lambda x: (x - NDTR_POLE) / (x + NDTR_POLE),
    ),
    # erfcx(x) = P((x - pole) / (x + pole)) / (x + pole), for all x from 0 on
    "ERFCX": Fit(
        target=_scaled_erfcx,
        weight=lambda ratio: 1 / _scaled_erfcx(ratio),
        low=-1.0,
        high=1.0,
        terms=13,
        dtype=np.float64,
    ),
    # e^r = 1 + r + r^2 P(r)
    "EXP_WIDE": Fit(
        target=lambda r: (mp.expm1(r) - r) / r**2,
        weight=lambda r: r**2 / mp.exp(r),
        low=-0.34658,
        high=0.34658,
        terms=6,
        dtype=np.float64,
    ),
    # log((1 + s) / (1 - s)) = 2 s + s^3 P(s^2)
    "LOG_WIDE": Fit(
        target=lambda s: (mp.log((1 + s) / (1 - s)) - 2 * s) / s**3,
        weight=lambda s: s**3 / mp.log((1 + s) / (1 - s)),
        low=0.0,
        high=0.2003,
        terms=5,
        variable=lambda s: s * s,
        dtype=np.float64,
    ),
    # sin(r) = r + r^3 P(r^2)
    "SIN": Fit(
        target=lambda r: (mp.sin(r) - r) / r**3,
        weight=lambda r: r**3 / mp.sin(r),
        low=0.0,
        high=0.7854,
        terms=3,
        variable=lambda r: r * r,
    ),
    # cos(r) = 1 - r^2 / 2 + r^4 P(r^2)
    "COS": Fit(
        target=lambda r: (mp.cos(r) - 1 + r**2 / 2) / r**4,
        weight=lambda r: r**4 / mp.cos(r),
        low=0.0,
        high=0.7854,
        terms=3,
        variable=lambda r: r * r,
    ),
    # arctan(x) = x + x^3 P(x^2)
    "ARCTAN": Fit(
        target=lambda x: (mp.atan(x) - x) / x**3,
        weight=lambda x: x**3 / mp.atan(x),
        low=0.0,
        high=1.0,
        terms=9,
        variable=lambda x: x * x,
    ),
}


def main() -> None:
    for name in sys.argv[1:] or FITS:
        found, error = coefficients(FITS[name])
        print(f"# The largest relative error is 2^{np.log2(error):.1f}.")
        function = "constants" if FITS[name].dtype == np.float32 else "wide_constants"
        print(f"{name} = {function}({', '.join(str(c) for c in found)})")


if __name__ == "__main__":
    main()
