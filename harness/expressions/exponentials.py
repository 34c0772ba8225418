"""The exponential, the logarithm and what is made of them, for one float32 in a compiled loop.

Where a function is a quotient, a difference or a logarithm of exponentials, the exponential comes
in two parts: the float32 nearest to it, and what is missing. The next step then loses little more
than half a unit in the last place.
"""

import numpy as np

from harness.expressions.scalars import (
    bits_of,
    compiled,
    constants,
    fma,
    from_bits,
    magnitude,
    polynomial,
    power_of_two,
    rint,
    with_sign,
)

Float = np.float32

ZERO, QUARTER, HALF, ONE, TWO, FOUR = constants(0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
INF = Float(np.inf)
NAN = Float(np.nan)
MIN_NORMAL = Float(2.0**-126)
TINY = Float(2.0**-25)
LOG2E = Float(1 / np.log(2.0))
# log 2 in two parts: the float32 nearest to it, and what is missing
LN2 = Float(np.log(2.0))
LN2_LOW = Float(np.log(2.0) - float(LN2))
# The same with a first part of so few bits that its products with exponents are exact
LN2_SHORT = Float(np.round(np.log(2.0) * 2**15) / 2**15)
LN2_REST = Float(np.log(2.0) - float(LN2_SHORT))
LOG2E_LOW = Float(1 / np.log(2.0) - float(LOG2E))
LOG10E = Float(1 / np.log(10.0))
LOG10E_LOW = Float(1 / np.log(10.0) - float(LOG10E))
LOG10_2_SHORT = Float(np.round(np.log10(2.0) * 2**16) / 2**16)
LOG10_2_REST = Float(np.log10(2.0) - float(LOG10_2_SHORT))

# The largest relative error is 2^-31.1.
EXP = constants(0.5, 0.16666666, 0.041666493, 0.008333547, 0.0013932319, 0.00019760795)
# The largest relative error is 2^-27.7.
LOG = constants(
    0.33333215,
    -0.24999805,
    0.20010436,
    -0.16680223,
    0.14005537,
    -0.121874325,
    0.1398565,
    -0.12879352,
)


# The exponential and what is made of it


@compiled
def exp(x: Float) -> Float:
    """e^x"""
    x = Float(-104.0) if x < Float(-104.0) else x
    x = Float(89.0) if x > Float(89.0) else x
    k = rint(x * LOG2E)
    r = fma(k, -LN2_LOW, fma(k, -LN2, x))
    value = ONE + fma(r * r, polynomial(r, EXP), r)
    # 2^k is no normal number where the result overflows or is denormal: two factors are.
    half = rint(k * HALF)
    return value * power_of_two(half) * power_of_two(k - half)


@compiled
def exp2(x: Float) -> Float:
    """2^x"""
    x = Float(-151.0) if x < Float(-151.0) else x
    x = Float(129.0) if x > Float(129.0) else x
    k = rint(x)
    part = x - k
    r = part * LN2
    r_low = fma(part, LN2, -r) + part * LN2_LOW
    value = ONE + (r + fma(r * r, polynomial(r, EXP), r_low))
    half = rint(k * HALF)
    return value * power_of_two(half) * power_of_two(k - half)


@compiled
def exp_parts(x: Float, x_low: Float) -> tuple[Float, Float, Float]:
    """k, p and p_low, with e^(x + x_low) = 2^k (1 + p + p_low) and p from -0.30 to 0.42"""
    k = rint(x * LOG2E)
    coarse = fma(k, -LN2, x)  # exact
    rest = fma(k, -LN2_LOW, x_low)
    r = coarse + rest
    lost = rest - (r - coarse)
    tail = fma(r * r, polynomial(r, EXP), lost)
    p = r + tail
    return k, p, tail - (p - r)


@compiled
def _exp_negative(x: Float) -> tuple[Float, Float]:
    """e^x in two parts, for x from -104 to 0"""
    k, p, p_low = exp_parts(x, ZERO)
    half = rint(k * HALF)
    scale = power_of_two(half) * power_of_two(k - half)
    high = ONE + p
    return high * scale, ((p - (high - ONE)) + p_low) * scale


@compiled
def _quotient(a: Float, a_low: Float, b: Float, b_low: Float) -> Float:
    """(a + a_low) / (b + b_low)"""
    inverse = ONE / b
    q = a * inverse
    remainder = fma(-q, b, a) + fma(-q, b_low, a_low)
    return fma(remainder, inverse, q)


@compiled
def expit(x: Float) -> Float:
    """1 / (1 + e^-x)"""
    size = magnitude(x)
    size = Float(104.0) if size > Float(104.0) else size
    e, e_low = _exp_negative(-size)
    below = ONE + e
    below_low = (e - (below - ONE)) + e_low
    above = e if x < ZERO else ONE
    above_low = e_low if x < ZERO else ZERO
    return _quotient(above, above_low, below, below_low)


@compiled
def _quarter_expm1(x: Float) -> tuple[Float, Float]:
    """(e^x - 1) / 4 in two parts, for x from -20 to 90"""
    k, p, p_low = exp_parts(x, ZERO)
    scale = power_of_two(k - TWO)
    large = scale - QUARTER
    small = scale * p
    high = large + small
    return high, fma(scale, p_low, small - (high - large))


@compiled
def expm1(x: Float) -> Float:
    """e^x - 1"""
    y = Float(-20.0) if x < Float(-20.0) else x
    y = Float(89.0) if y > Float(89.0) else y
    high, low = _quarter_expm1(y)
    value = FOUR * (high + low)
    return x if magnitude(x) < TINY else value


@compiled
def tanh(x: Float) -> Float:
    """(e^2x - 1) / (e^2x + 1)"""
    size = magnitude(x)
    size = Float(9.1) if size > Float(9.1) else size
    a, a_low = _quarter_expm1(size + size)
    b = a + HALF
    value = _quotient(a, a_low, b, (a - (b - HALF)) + a_low)
    value = size if size < TINY else value
    return with_sign(value, x)


@compiled
def sinh(x: Float) -> Float:
    """(e^x - e^-x) / 2"""
    size = magnitude(x)
    y = Float(89.5) if size > Float(89.5) else size
    a, a_low = _quarter_expm1(y)
    # With a = (e^x - 1) / 4 it is 2 a + 2 a / (4 a + 1).
    inverse = ONE / fma(FOUR, a, ONE)
    value = TWO * (a + fma(a, inverse, fma(a_low, inverse * inverse, a_low)))
    return with_sign(size if size < TINY else value, x)


@compiled
def cosh(x: Float) -> Float:
    """(e^x + e^-x) / 2"""
    size = magnitude(x)
    y = Float(89.5) if size > Float(89.5) else size
    k, p, p_low = exp_parts(y, ZERO)
    scale = power_of_two(k - TWO)
    high = ONE + p
    low = (p - (high - ONE)) + p_low
    a = high * scale
    return TWO * (a + fma(low, scale, Float(0.0625) / a))


# The logarithm and what is made of it


@compiled
def split(x: Float) -> tuple[Float, Float]:
    """k and m, with x = 2^k m and m from 2/3 to 4/3, for positive normal x"""
    bits = bits_of(x)
    exponent = np.int32(np.int32(bits - np.int32(0x3F2AAAAB)) & np.int32(-0x00800000))
    return Float(exponent) * Float(2.0**-23), from_bits(np.int32(bits - exponent))


@compiled
def _log_tail(f: Float) -> Float:
    """log(1 + f) - f"""
    square = f * f
    return fma(f * square, polynomial(f, LOG), -HALF * square)


@compiled
def _log_sum(k: Float, f: Float, low: Float) -> Float:
    """k log 2 + f + low"""
    shift = k * LN2_SHORT  # exact
    high = shift + f
    return high + ((f - (high - shift)) + fma(k, LN2_REST, low))


@compiled
def log_parts(x: Float) -> tuple[Float, Float]:
    """k and f, with x = 2^k (1 + f), for positive x"""
    denormal = x < MIN_NORMAL
    k, m = split(x * Float(2.0**23) if denormal else x)
    return (k - Float(23.0) if denormal else k), m - ONE


@compiled
def _log_ends(x: Float, value: Float) -> Float:
    """The logarithm of x, which is value where x is positive and finite"""
    value = value if x < INF else x
    value = value if x >= ZERO else NAN
    return -INF if x == ZERO else value


@compiled
def log(x: Float) -> Float:
    """The natural logarithm of x"""
    k, f = log_parts(x)
    return _log_ends(x, _log_sum(k, f, _log_tail(f)))


@compiled
def log2(x: Float) -> Float:
    """The logarithm of x to base 2"""
    k, f = log_parts(x)
    start = f * LOG2E
    low = fma(f, LOG2E, -start) + fma(f, LOG2E_LOW, _log_tail(f) * LOG2E)
    high = k + start
    return _log_ends(x, high + ((start - (high - k)) + low))


@compiled
def log10(x: Float) -> Float:
    """The logarithm of x to base 10"""
    k, f = log_parts(x)
    start = f * LOG10E
    low = fma(f, LOG10E, -start) + fma(f, LOG10E_LOW, _log_tail(f) * LOG10E)
    shift = k * LOG10_2_SHORT  # exact
    high = shift + start
    return _log_ends(x, high + ((start - (high - shift)) + fma(k, LOG10_2_REST, low)))


@compiled
def _log1p(x: Float, x_low: Float) -> Float:
    """log(1 + x + x_low) for finite x above -1"""
    u = ONE + x
    part = u - ONE
    lost = (ONE - (u - part)) + (x - part) + x_low
    k, m = split(u)
    # A large u has lost nothing that counts, and 2^-k would be no normal number.
    lost = lost * power_of_two(-k if k < Float(64.0) else Float(-64.0))
    coarse = m - ONE
    f = coarse + lost
    return _log_sum(k, f, _log_tail(f) + (lost - (f - coarse)))


@compiled
def log1p(x: Float) -> Float:
    """log(1 + x)"""
    value = _log1p(x, ZERO)
    value = value if x < INF else x
    value = value if x >= -ONE else NAN
    value = -INF if x == -ONE else value
    return x if magnitude(x) < TINY else value


@compiled
def softplus(x: Float) -> Float:
    """log(1 + e^x)"""
    size = magnitude(x)
    size = Float(104.0) if size > Float(104.0) else size
    e, e_low = _exp_negative(-size)
    value = _log1p(e, e_low)
    return x + value if x > ZERO else value


@compiled
def log_expit(x: Float) -> Float:
    """-log(1 + e^-x)"""
    return -softplus(-x)
