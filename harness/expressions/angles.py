"""Sine, cosine, tangent and its inverse for one float32 in a compiled loop."""

from fractions import Fraction

import numpy as np

from harness.expressions.scalars import (
    bits_of,
    compiled,
    constants,
    fma,
    magnitude,
    polynomial,
    rint,
    wide_constants,
    with_sign,
)

Float = np.float32

ONE, HALF = constants(1.0, 0.5)
SMALL = Float(2.0**-13)

# 2 / pi to 240 bits, more than enough for the largest float32
TWO_OVER_PI = Fraction(0xA2F9836E4E441529FC2757D1F534DDC0DB6295993C439041FE5163ABDEBB, 2**240)


def _turns() -> tuple[np.ndarray, np.ndarray]:
    """What an integer is multiplied by to become quarter turns, by the exponent of a float32.

    A float32 is M 2^e with an integer M below 2^24. So what M 2^e makes in quarter turns, up to
    whole turns, is M times (2^e 2 / pi modulo 4). The first part of this number has so few bits
    that its product with M is exact in float64.
    """
    high = np.full(256, np.nan)
    low = np.full(256, np.nan)
    for field in range(255):
        turns = Fraction(2) ** (field - 150) * TWO_OVER_PI
        turns -= 4 * round(turns / 4)
        mantissa, exponent = np.frexp(float(turns))
        high[field] = np.ldexp(np.round(mantissa * 2**28), exponent - 28)
        low[field] = float(turns - Fraction(high[field]))
    return high, low


TURNS, TURNS_LOW = _turns()
HALF_PI = np.float64(np.pi / 2)
PI_2 = Float(np.pi / 2)
PI_2_LOW = Float(np.pi / 2 - float(PI_2))
FOUR = np.float64(4.0)
QUARTER = np.float64(0.25)

# The largest relative error is 2^-27.9.
SIN = constants(-0.16666655, 0.008332189, -0.00019518292)
# The largest relative error is 2^-33.0.
COS = constants(0.041666646, -0.001388731, 2.4432327e-05)
# The same in float64, where their errors are all that counts
SIN_WIDE = wide_constants(*map(float, SIN))
COS_WIDE = wide_constants(*map(float, COS))
HALF_WIDE, ONE_WIDE = wide_constants(0.5, 1.0)
# The largest relative error is 2^-28.5.
ARCTAN = constants(
    -0.333333,
    0.1999853,
    -0.14264016,
    0.109508805,
    -0.083993055,
    0.05788134,
    -0.03109687,
    0.010868566,
    -0.0017827757,
)


@compiled
def _quarter_turns(x: Float) -> tuple[np.float64, np.float64]:
    """k and r, with |x| = r + k quarter turns up to whole turns, and r from -pi / 4 to pi / 4"""
    bits = bits_of(x)
    field = np.uint32(np.uint32(bits >> np.int32(23)) & np.uint32(255))
    mantissa = np.float64(np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x800000)))
    turns = mantissa * TURNS[field]  # exact
    whole = rint(turns)
    part = fma(mantissa, TURNS_LOW[field], turns - whole)
    carry = rint(part)
    return whole + carry, (part - carry) * HALF_PI


@compiled
def _sine(x: Float, shift: np.float64) -> Float:
    """sin(|x| + shift quarter turns)"""
    whole, wide = _quarter_turns(x)
    r = Float(wide)
    whole = whole + shift
    quadrant = Float(whole - FOUR * rint(whole * QUARTER))  # from -2 to 2
    square = r * r
    sine = fma(r * square, polynomial(square, SIN), r)
    cosine = fma(square * square, polynomial(square, COS), fma(-HALF, square, ONE))
    value = cosine if magnitude(quadrant) == ONE else sine
    return -value if quadrant < Float(0.0) or quadrant == Float(2.0) else value


@compiled
def sin(x: Float) -> Float:
    """The sine of x, for any size of x"""
    value = _sine(x, np.float64(0.0))
    value = value if x > Float(0.0) else -value
    return x if magnitude(x) < SMALL else value


@compiled
def cos(x: Float) -> Float:
    """The cosine of x, for any size of x"""
    value = _sine(x, np.float64(1.0))
    return ONE if magnitude(x) < SMALL else value


@compiled
def tan(x: Float) -> Float:
    """The tangent of x, for any size of x"""
    whole, r = _quarter_turns(x)
    half = whole * np.float64(0.5)
    is_odd = rint(half) != half
    square = r * r
    sine = fma(r * square, polynomial(square, SIN_WIDE), r)
    cosine = fma(square * square, polynomial(square, COS_WIDE), fma(-HALF_WIDE, square, ONE_WIDE))
    # A quarter turn further on it is -cosine / sine.
    above = -cosine if is_odd else sine
    below = sine if is_odd else cosine
    value = Float(above / below)
    value = value if x > Float(0.0) else -value
    return x if magnitude(x) < SMALL else value


@compiled
def arctan(x: Float) -> Float:
    """The angle between -pi / 2 and pi / 2 whose tangent is x"""
    size = magnitude(x)
    inverse = ONE / size
    t = inverse if size > ONE else size
    square = t * t
    tail = t * square * polynomial(square, ARCTAN)
    high = PI_2 - t
    large = high + (((PI_2 - high) - t) + (PI_2_LOW - tail))
    return with_sign(large if size > ONE else t + tail, x)
