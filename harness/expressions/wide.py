"""Functions of float32 that are computed in float64 on the way, for a compiled loop.

float64 has so many digits that sums and products need no second part: what is rounded last is
rounded alone, and the result is wrong by little more than half a unit in the last place. Half as
many values fit into a vector. So what activations call most is written in float32, and this is for
the others, where it keeps a function to a few lines.
"""

from math import sqrt

import numpy as np

from harness.expressions.exponentials import log_parts, split
from harness.expressions.scalars import (
    bits_of,
    compiled,
    fma,
    from_bits,
    magnitude,
    polynomial,
    power_of_two,
    rint,
    wide_constants,
    with_sign,
)

Float = np.float32
Wide = np.float64

INF = Float(np.inf)
NAN = Float(np.nan)
ZERO = Float(0.0)
ONE = Float(1.0)
HALF = Float(0.5)
MIN_NORMAL = Float(2.0**-126)
# Up to here an odd function whose series begins with x is x to the last bit.
SMALL = Float(2.0**-13)
LN2 = Wide(np.log(2.0))
LOG2E = Wide(1 / np.log(2.0))

# The largest relative error is 2^-34.2.
EXP_WIDE = wide_constants(
    0.5000000067650342,
    0.16666665869326133,
    0.04166629506507089,
    0.008333497020543174,
    0.0013944650726003755,
    0.00019790350590954002,
)
# The largest relative error is 2^-42.2.
LOG_WIDE = wide_constants(
    0.666666667107732,
    0.3999998449249292,
    0.28573195505324317,
    0.2213473628819658,
    0.20126900819890528,
)


# The building blocks, from float64 to float64


@compiled
def _scaled(k: Wide, r: Wide) -> Wide:
    """2^k e^r, for an integer k from -250 to 250 and r from -0.35 to 0.35"""
    value = fma(r * r, polynomial(r, EXP_WIDE), r + Wide(1.0))
    half = rint(k * Wide(0.5))
    return value * Wide(power_of_two(Float(half))) * Wide(power_of_two(Float(k - half)))


@compiled
def exp_wide(x: Wide) -> Wide:
    """e^x, for x from -170 to 170"""
    k = rint(x * LOG2E)
    return _scaled(k, fma(-k, LN2, x))


@compiled
def reduced(x: Wide) -> tuple[Wide, Wide]:
    """k and f, with x = 2^k (1 + f), for x between the smallest and the largest normal float32"""
    k, _ = split(Float(x))
    half = rint(k * HALF)
    scale = Wide(power_of_two(-half)) * Wide(power_of_two(half - k))
    return Wide(k), fma(x, scale, Wide(-1.0))  # exact


@compiled
def log_wide(k: Wide, f: Wide) -> Wide:
    """k log 2 + log(1 + f), for f from -1/3 to 1/3"""
    s = f / (f + Wide(2.0))
    square = s * s
    return fma(k, LN2, fma(s * square, polynomial(square, LOG_WIDE), s + s))


@compiled
def _log_of(x: Float) -> Wide:
    """The natural logarithm of a float32"""
    k, f = log_parts(x)
    value = log_wide(Wide(k), Wide(f))
    value = value if x < INF else Wide(x)
    value = value if x >= ZERO else Wide(NAN)
    return Wide(-INF) if x == ZERO else value


# Of one number


@compiled
def arcsinh(x: Float) -> Float:
    """log(x + sqrt(x^2 + 1))"""
    size = magnitude(x)
    y = Wide(size)
    # The largest number can be halved and not doubled.
    k, f = reduced(Wide(0.5) * (y + sqrt(fma(y, y, Wide(1.0)))))
    value = Float(log_wide(k + Wide(1.0), f))
    value = size if size < SMALL else value
    return with_sign(value if size < INF else size, x)


@compiled
def arccosh(x: Float) -> Float:
    """log(x + sqrt(x^2 - 1)), for x from 1 on"""
    y = Wide(x)
    k, f = reduced(Wide(0.5) * (y + sqrt(fma(y, y, Wide(-1.0)))))
    value = Float(log_wide(k + Wide(1.0), f))
    value = value if x < INF else x
    return value if x >= ONE else NAN


@compiled
def arctanh(x: Float) -> Float:
    """log((1 + x) / (1 - x)) / 2, for x from -1 to 1"""
    size = magnitude(x)
    y = Wide(size)
    k, f = reduced((Wide(1.0) + y) / (Wide(1.0) - y))
    value = Float(Wide(0.5) * log_wide(k, f))
    value = size if size < SMALL else value
    value = value if size < ONE else NAN
    return with_sign(INF if size == ONE else value, x)


@compiled
def cbrt(x: Float) -> Float:
    """The cube root of x"""
    size = magnitude(x)
    denormal = size < MIN_NORMAL
    # A third of the bits as an integer is a third of the exponent, and the root to five bits.
    bits = bits_of(size * Float(2.0**24) if denormal else size)
    guess = from_bits(np.int32(np.int32(Float(bits) * Float(1 / 3)) + np.int32(709_958_130)))
    y = Wide(size)
    root = Wide(guess * Float(2.0**-8) if denormal else guess)
    # Halley's method has three times as many digits after each step.
    for _ in range(2):
        cube = root * root * root
        root = root * ((y + y + cube) / (y + cube + cube))
    value = Float(root) if size < INF else size
    return with_sign(ZERO if size == ZERO else value, x)


@compiled
def entr(x: Float) -> Float:
    """-x log x, 0 at 0, and -inf below"""
    value = Float(Wide(-x) * _log_of(x))
    value = value if x != ZERO else ZERO
    return -INF if x < ZERO else value


# Of two numbers


@compiled
def hypot(x: Float, y: Float) -> Float:
    """sqrt(x^2 + y^2)"""
    value = Float(sqrt(fma(Wide(x), Wide(x), Wide(y) * Wide(y))))
    return INF if (magnitude(x) == INF) | (magnitude(y) == INF) else value


@compiled
def logaddexp(x: Float, y: Float) -> Float:
    """log(e^x + e^y)"""
    larger = Wide(x) if x > y else Wide(y)
    # Infinities of one sign have no difference.
    difference = Wide(0.0) if x == y else magnitude(Wide(x) - Wide(y))
    difference = Wide(110.0) if difference > Wide(110.0) else difference
    e = exp_wide(-difference)
    # 1 + e would lose the last digits of a small e.
    above = e > Wide(1 / 3)
    k = Wide(1.0) if above else Wide(0.0)
    f = fma(Wide(0.5), e, Wide(-0.5)) if above else e
    return Float(larger + log_wide(k, f))


@compiled
def power(x: Float, y: Float) -> Float:
    """x^y"""
    exponent = Wide(y) * (LOG2E * _log_of(magnitude(x)))
    exponent = Wide(-160.0) if exponent < Wide(-160.0) else exponent
    exponent = Wide(130.0) if exponent > Wide(130.0) else exponent
    k = rint(exponent)
    value = Float(_scaled(k, (exponent - k) * LN2))
    # The power of a negative number has a sign where the exponent is an integer.
    half = HALF * y
    is_integer = rint(y) == y
    is_odd = is_integer & (rint(half) != half)
    value = with_sign(value, x) if is_odd else value
    value = NAN if (x < ZERO) & (x > -INF) & (not is_integer) else value
    is_unit = (magnitude(x) == ONE) & (magnitude(y) == INF)
    return ONE if (y == ZERO) | (x == ONE) | is_unit else value


@compiled
def xlogy(x: Float, y: Float) -> Float:
    """x log y, and 0 where x is 0"""
    value = Float(Wide(x) * _log_of(y))
    return ZERO if (x == ZERO) & (y == y) else value
