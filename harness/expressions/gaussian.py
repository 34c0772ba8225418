"""The error function and the normal distribution, for one float32 in a compiled loop."""

import numpy as np

from harness.expressions.exponentials import exp, exp_parts
from harness.expressions.scalars import (
    compiled,
    constants,
    fma,
    magnitude,
    polynomial,
    power_of_two,
    rint,
    wide_constants,
    with_sign,
)
from harness.expressions.wide import exp_wide, log_wide, reduced

Float = np.float32
Wide = np.float64

ZERO, HALF, ONE, TWO, FOUR = constants(0.0, 0.5, 1.0, 2.0, 4.0)
# The variables of two polynomials are (x - pole) / (x + pole). With these poles their constant
# terms lose little when they are rounded.
ERFC_POLE, NDTR_POLE = constants(0.953125, 1.34375)

# The largest relative error is 2^-29.4.
ERF = constants(
    0.12837917, -0.37612626, 0.11283579, -0.026853347, 0.005187162, -0.0007997853, 7.806903e-05
)
# The largest relative error is 2^-29.8.
ERF_LARGE = constants(
    0.0003415222, 1.1270891, 0.638145, 0.10310645, -0.021837832, 0.0029475745, -0.00018636751
)
# The largest relative error is 2^-27.3.
ERFC = constants(
    0.8401567,
    -0.20718302,
    -0.104475304,
    0.004061432,
    0.024342963,
    0.013160592,
    -0.0039172284,
    0.008942469,
    -0.0176541,
    0.0067521324,
)
# The largest relative error is 2^-28.6.
NDTR = constants(0.3989423, -0.06649061, 0.009974948, -0.0011906937, 0.00011868219, -9.921443e-06)
# The largest relative error is 2^-28.9.
NDTR_LARGE = constants(
    0.5933862,
    -0.14512461,
    -0.07422582,
    0.0024286658,
    0.017145053,
    0.008799843,
    0.0006784304,
    -0.0020616655,
    -0.0011585841,
    -0.0031659317,
    0.0022431575,
)
# The variable of a third one, which holds from 0 to infinity
ERFCX_POLE = Wide(2.5)
# The largest relative error is 2^-31.1.
ERFCX = wide_constants(
    1.054031820282802,
    -0.8046518558454641,
    0.45391412357435273,
    -0.17125094793584938,
    0.028361377335595572,
    0.00839131436794151,
    -0.00481743178083242,
    -0.00043263440652777476,
    0.0006980163567325604,
    4.572186471684372e-05,
    -0.00010459519759562574,
    -6.806950820521085e-06,
    1.1481632344519082e-05,
)
SQRT_HALF = Wide(np.sqrt(0.5))


@compiled
def _erf_small(x: Float) -> Float:
    """erf(x) / x - 1, for |x| up to 1"""
    return polynomial(x * x, ERF)


@compiled
def erf(x: Float) -> Float:
    """The error function: 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x"""
    size = magnitude(x)
    size = FOUR if size > FOUR else size
    small = fma(size, _erf_small(size), size)
    large = ONE - exp(-polynomial(size, ERF_LARGE))
    return with_sign(small if size < ONE else large, x)


@compiled
def _gaussian_tail(
    high: Float, low: Float, x: Float, pole: Float, factors: tuple[Float, ...]
) -> Float:
    """e^(high + low) P((x - pole) / (x + pole)) / (x + pole), for x above 0"""
    below = x + pole
    below_low = (x - below) + pole
    inverse = ONE / below
    correction = fma(-inverse, below_low, fma(-inverse, below, ONE))
    ratio = fma(-TWO * pole, fma(inverse, correction, inverse), ONE)
    slope = polynomial(ratio, factors[1:])
    factor = fma(ratio, slope, factors[0])
    factor_low = fma(ratio, slope, factors[0] - factor)
    # What the quotient of factor and below is rounded to, and what is then missing
    start = factor * inverse
    start_low = fma(factor_low, inverse, fma(factor, inverse, -start))
    start_low = fma(start, correction, start_low)
    k, p, p_low = exp_parts(high, low)
    value = start + fma(start, p, fma(start, p_low, fma(start_low, p, start_low)))
    half = rint(k * HALF)
    return value * power_of_two(half) * power_of_two(k - half)


@compiled
def erfc(x: Float) -> Float:
    """1 - erf(x)"""
    size = magnitude(x)
    size = Float(10.1) if size > Float(10.1) else size
    square = size * size
    square_low = fma(size, size, -square)
    tail = _gaussian_tail(-square, -square_low, size, ERFC_POLE, ERFC)
    large = TWO - tail if x < ZERO else tail
    high = ONE - x
    small = high + fma(-x, _erf_small(x), (ONE - high) - x)
    return small if size < Float(0.75) else large


@compiled
def ndtr(x: Float) -> Float:
    """The distribution function of the standard normal distribution"""
    size = magnitude(x)
    size = Float(14.3) if size > Float(14.3) else size
    square = size * size
    square_low = fma(size, size, -square)
    tail = _gaussian_tail(-HALF * square, -HALF * square_low, size, NDTR_POLE, NDTR_LARGE)
    large = ONE - tail if x > ZERO else tail
    small = fma(x, polynomial(x * x, NDTR), HALF)
    return small if size < Float(0.9) else large


@compiled
def _erfcx_wide(x: Wide) -> Wide:
    """e^(x^2) erfc(x), for x from 0 on"""
    inverse = Wide(1.0) / (x + ERFCX_POLE)
    return inverse * polynomial(fma(Wide(-2.0) * ERFCX_POLE, inverse, Wide(1.0)), ERFCX)


@compiled
def erfcx(x: Float) -> Float:
    """e^(x^2) erfc(x)"""
    size = Wide(magnitude(x))
    tail = _erfcx_wide(size)
    # Below -9.4 it overflows.
    size = Wide(9.5) if size > Wide(9.5) else size
    below = fma(Wide(2.0), exp_wide(size * size), -tail)
    return Float(below if x < ZERO else tail)


@compiled
def log_ndtr(x: Float) -> Float:
    """The logarithm of the distribution function of the standard normal distribution"""
    size = Wide(magnitude(x))
    # ndtr(-size) = e^-exponent factor. Far away the logarithm of the factor no longer counts.
    exponent = Wide(0.5) * size * size
    factor = Wide(0.5) * _erfcx_wide(SQRT_HALF * (Wide(1e15) if size > Wide(1e15) else size))
    small = exp_wide(Wide(-110.0) if exponent > Wide(110.0) else -exponent) * factor
    k, f = reduced(factor if x < ZERO else Wide(1.0) - small)
    # 1 - small would have lost the last digits of what is small.
    f = -small if (x > ZERO) & (k == Wide(0.0)) else f
    value = log_wide(k, f) - (exponent if x < ZERO else Wide(0.0))
    return -magnitude(Float(value))
