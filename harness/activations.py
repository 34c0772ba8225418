"""The built-in activations. Most are written as the in-place pair, which allocates nothing and is quick:

value(xp, z, out)       out <- f(z), z (..., B, O) is not written unless out is z
pullback(xp, z, a, da)  da <- da * f'(z), in place; z and a are dead afterwards and serve as scratch

The others are one expression, where the slope that is derived from it (see tracing.py) is as accurate. Formulas are
chosen so that nothing cancels near 0 and nothing overflows far out. Slopes at kinks are those of PyTorch.
Hyperparameters are numbers, or arrays (1, 1) or (P, 1, 1) in the dtype of z; the factory derives from them once.
"""

from collections.abc import Callable
from importlib import import_module
from math import pi, sqrt
from typing import Any

import numpy as np

from harness.errors import UsageError
from harness.ops import Array
from harness.registry import Scalar, activation
from harness.tracing import Pair

_SHAPES = 8  # for so many shapes scratch is kept; more than a training and an evaluation batch are rare
# exp may overflow to inf, which is then divided by: the quotient is the right 0
_quiet = np.errstate(all="ignore")


def _scratch(*dtypes: Any) -> Callable[[Any, Array], list[Array]]:
    """scratch(xp, z) -> buffers of the shape of z, one for each dtype (None: that of z), made once for each shape."""
    kept: dict[Any, list[Array]] = {}

    def scratch(xp: Any, z: Array) -> list[Array]:
        key = xp, z.shape, z.dtype
        if key not in kept:
            if len(kept) >= _SHAPES:
                kept.clear()
            kept[key] = [xp.empty(z.shape, dtype or z.dtype) for dtype in dtypes]
        return kept[key]

    return scratch


def _put(xp: Any, out: Array, mask: Array, values: Any) -> None:
    """out <- values where mask. NumPy's putmask is much quicker than its copyto, CuPy's would wait for the device."""
    if xp is np:
        np.putmask(out, mask, values)
    else:
        xp.copyto(out, values, where=mask)


# Saturating -----------------------------------------------------------------------------------------------------------


@activation(inplace=True)
def sigmoid() -> Pair:
    """f(z) = 1 / (1 + exp(-z)), f' = a (1 - a)

    Reference: Rumelhart, Hinton and Williams, Nature 1986.
    """

    @_quiet
    def value(xp, z, out):
        xp.negative(z, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)
        xp.divide(1.0, out, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(da, a, out=da)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def tanh() -> Pair:
    """f(z) = tanh(z), f' = 1 - a^2

    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def value(xp, z, out):
        xp.tanh(z, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.subtract(1.0, a, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def lecun_tanh() -> Pair:
    """f(z) = 1.7159 tanh(2 z / 3), f' = 2/3 (1.7159 - a^2 / 1.7159)

    f(1) = 1 and f(-1) = -1, so that outputs of variance 1 stay so.
    Reference: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998.
    """

    def value(xp, z, out):
        xp.multiply(z, 2.0 / 3.0, out=out)
        xp.tanh(out, out=out)
        xp.multiply(out, 1.7159, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, a, out=a)
        xp.multiply(a, -2.0 / (3.0 * 1.7159), out=a)
        xp.add(a, 2.0 * 1.7159 / 3.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation()
def penalized_tanh(z: Array, slope: Scalar = 0.25) -> Array:
    """f(z) = tanh(z) where z > 0, else slope * tanh(z); f' = (1 - tanh(z)^2) * (1 or slope), slope at 0

    Reference: Xu, Huang and Li, Revise saturated activation functions, 2016 (arXiv:1602.05980).
    """
    t = np.tanh(z)
    return np.where(z > 0.0, t, slope * t)


@activation(inplace=True)
def softsign() -> Pair:
    """f(z) = z / (1 + |z|), f' = 1 / (1 + |z|)^2

    Reference: Bergstra, Desjardins, Lamblin and Bengio, technical report 1337, Université de Montréal, 2009.
    """
    scratch = _scratch(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.add(s, 1.0, out=s)
        xp.divide(z, s, out=out)

    def pullback(xp, z, a, da):
        xp.abs(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)
        xp.divide(da, z, out=da)

    return value, pullback


@activation()
def arctan(z: Array) -> Array:
    """f(z) = arctan(z), f' = 1 / (1 + z^2)

    Reference: Kamruzzaman and Aziz, IJCNN 2002.
    """
    return np.arctan(z)


@activation()
def erf(z: Array) -> Array:
    """f(z) = erf(z), f' = 2 / sqrt(pi) * exp(-z^2)

    Reference: Williams, Computing with infinite networks, NIPS 1996.
    """
    from scipy import special

    return special.erf(z)


@activation(inplace=True)
def isru(alpha: Scalar = 1.0) -> Pair:
    """f(z) = z / sqrt(1 + alpha z^2), f' = (1 + alpha z^2)^(-3/2)

    Reference: Carlile, Delamarter, Kinney, Marti and Whitney, 2017 (arXiv:1710.09967).
    """
    scratch = _scratch(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.multiply(s, alpha, out=s)
        xp.add(s, 1.0, out=s)
        xp.sqrt(s, out=s)
        xp.divide(z, s, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(z, z, out=z)
        xp.multiply(z, alpha, out=z)
        xp.add(z, 1.0, out=z)
        xp.sqrt(z, out=a)
        xp.divide(da, z, out=da)
        xp.divide(da, a, out=da)

    return value, pullback


# Piecewise linear -----------------------------------------------------------------------------------------------------


@activation(inplace=True)
def identity() -> Pair:
    """f(z) = z, f' = 1"""

    def value(xp, z, out):
        xp.copyto(out, z)

    def pullback(xp, z, a, da):
        pass

    return value, pullback


@activation(inplace=True)
def relu() -> Pair:
    """f(z) = max(z, 0), f' = 1 where z > 0, else 0 (0 at 0)

    Reference: Nair and Hinton, ICML 2010.
    """

    def value(xp, z, out):
        xp.maximum(z, 0.0, out=out)

    def pullback(xp, z, a, da):
        xp.greater(a, 0.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def leaky_relu(slope: Scalar = 0.01) -> Pair:
    """f(z) = z where z > 0, else slope * z; f' = 1 or slope (slope at 0)

    PyTorch calls slope negative_slope.
    Reference: Maas, Hannun and Ng, ICML workshop 2013.
    """
    scratch = _scratch(None, None)

    def sides(xp, z, positive, other):  # positive <- 1 or slope. Two masks: slope + (1 - slope) need not be 1
        xp.greater(z, 0.0, out=positive)
        xp.subtract(1.0, positive, out=other)
        xp.multiply(other, slope, out=other)
        xp.add(positive, other, out=positive)

    def value(xp, z, out):
        s, t = scratch(xp, z)
        sides(xp, z, s, t)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        sides(xp, z, a, scratch(xp, z)[0])
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def absolute() -> Pair:
    """f(z) = |z|, f' = sign(z) (0 at 0)

    Reference: Jarrett, Kavukcuoglu, Ranzato and LeCun, ICCV 2009.
    """

    def value(xp, z, out):
        xp.abs(z, out=out)

    def pullback(xp, z, a, da):
        xp.greater(z, 0.0, out=a)
        xp.less(z, 0.0, out=z)
        xp.subtract(a, z, out=a)  # xp.sign takes twice as long
        xp.multiply(da, a, out=da)

    return value, pullback


@activation()
def threshold(z: Array, threshold: Scalar = 1.0, value: Scalar = 0.0) -> Array:
    """f(z) = z where z > threshold, else value; f' = 1 or 0 (0 at the threshold)

    PyTorch has no defaults; these are those of the paper.
    Reference: Konda, Memisevic and Krueger, Zero-bias autoencoders, ICLR 2015.
    """
    return np.where(z > threshold, z, value)


def _between(low: Any, high: Any) -> Pair:
    def value(xp, z, out):
        xp.clip(z, low, high, out=out)

    def pullback(xp, z, a, da):
        xp.greater(a, low, out=z)
        xp.less(a, high, out=a)
        xp.multiply(da, z, out=da)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def hard_tanh(min_val: Scalar = -1.0, max_val: Scalar = 1.0) -> Pair:
    """f(z) = min(max(z, min_val), max_val), f' = 1 between the bounds, else 0 (0 at the bounds)

    Reference: Collobert, Large Scale Machine Learning, thesis, 2004.
    """
    return _between(min_val, max_val)


@activation(inplace=True)
def relu6() -> Pair:
    """f(z) = min(max(z, 0), 6), f' = 1 between 0 and 6, else 0 (0 at 0 and 6)

    Reference: Krizhevsky, Convolutional deep belief networks on CIFAR-10, technical report, 2010.
    """
    return _between(0.0, 6.0)


@activation(inplace=True)
def hard_sigmoid() -> Pair:
    """f(z) = min(max(z + 3, 0), 6) / 6, f' = 1/6 between -3 and 3, else 0 (0 at -3 and 3)

    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """

    def value(xp, z, out):
        xp.add(z, 3.0, out=out)
        xp.clip(out, 0.0, 6.0, out=out)
        xp.multiply(out, 1.0 / 6.0, out=out)

    def pullback(xp, z, a, da):
        xp.abs(z, out=z)
        xp.less(z, 3.0, out=a)
        xp.multiply(a, 1.0 / 6.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


def _pass_nonzero(xp, z, a, da):
    """A pullback: f' = 1 where a is not 0."""
    xp.not_equal(a, 0.0, out=a)
    xp.multiply(da, a, out=da)


@activation(inplace=True)
def softshrink(lambd: Scalar = 0.5) -> Pair:
    """f(z) = z - min(max(z, -lambd), lambd), f' = 1 where |z| > lambd, else 0 (0 at lambd and -lambd)

    Reference: Donoho, De-noising by soft-thresholding, IEEE Transactions on Information Theory 1995.
    """
    scratch, low = _scratch(None), -lambd

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.clip(z, low, lambd, out=s)
        xp.subtract(z, s, out=out)

    return value, _pass_nonzero


@activation(inplace=True)
def hardshrink(lambd: Scalar = 0.5) -> Pair:
    """f(z) = z where |z| > lambd, else 0; f' = 1 or 0 (0 at lambd and -lambd)

    Reference: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage, Biometrika 1994.
    """
    scratch = _scratch(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.greater(s, lambd, out=s)
        xp.multiply(z, s, out=out)

    return value, _pass_nonzero


# Exponential on the left ----------------------------------------------------------------------------------------------


@activation()
def elu(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z where z > 0, else alpha (exp(z) - 1); f' = 1 or alpha exp(z) (alpha at 0)

    Reference: Clevert, Unterthiner and Hochreiter, ICLR 2016.
    """
    return np.where(z > 0.0, z, alpha * np.expm1(z))


@activation()
def selu(z: Array) -> Array:
    """f(z) = scale * elu(z, alpha), f' = scale where z > 0, else scale * alpha * exp(z) (scale * alpha at 0)

    scale = 1.0507 and alpha = 1.6733 make mean 0 and variance 1 a fixed point. For lecun weights and alpha dropout.
    Reference: Klambauer, Unterthiner, Mayr and Hochreiter, Self-normalizing neural networks, NIPS 2017.
    """
    scale, alpha = 1.0507009873554804934, 1.6732632423543772848
    return np.where(z > 0.0, scale * z, (scale * alpha) * np.expm1(z))


@activation()
def celu(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z where z > 0, else alpha (exp(z / alpha) - 1); f' = 1 or exp(z / alpha) (1 at 0)

    Reference: Barron, Continuously differentiable exponential linear units, 2017 (arXiv:1704.07483).
    """
    return np.where(z > 0.0, z, alpha * np.expm1(z / alpha))


# Smooth relatives of relu ---------------------------------------------------------------------------------------------


@activation(inplace=True)
def softplus(beta: Scalar = 1.0) -> Pair:
    """f(z) = log(1 + exp(beta z)) / beta, f' = 1 / (1 + exp(-beta z))

    Computed as max(z, 0) + log1p(exp(-|beta z|)) / beta, for all z; PyTorch returns z where beta z > 20. beta > 0.
    Reference: Dugas, Bengio, Bélisle, Nadeau and Garcia, NIPS 2000.
    """
    scratch, negative = _scratch(None), -beta

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.multiply(s, negative, out=s)
        xp.exp(s, out=s)
        xp.log1p(s, out=s)
        xp.divide(s, beta, out=s)
        xp.maximum(z, 0.0, out=out)
        xp.add(out, s, out=out)

    @_quiet
    def pullback(xp, z, a, da):
        xp.multiply(z, negative, out=z)
        xp.exp(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def log_sigmoid() -> Pair:
    """f(z) = -log(1 + exp(-z)), f' = 1 / (1 + exp(z))

    The log likelihood of logistic regression (Cox, Journal of the Royal Statistical Society B 1958).
    """
    scratch = _scratch(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.abs(z, out=s)
        xp.negative(s, out=s)
        xp.exp(s, out=s)
        xp.log1p(s, out=s)
        xp.minimum(z, 0.0, out=out)
        xp.subtract(out, s, out=out)

    @_quiet
    def pullback(xp, z, a, da):
        xp.exp(z, out=z)
        xp.add(z, 1.0, out=z)
        xp.divide(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def squareplus(b: Scalar = 4.0) -> Pair:
    """f(z) = (z + h) / 2 with h = sqrt(z^2 + b), f' = a / h

    Computed as max(z, 0) + b / (2 (h + |z|)), which does not cancel. b > 0.
    Reference: Barron, Squareplus, 2021 (arXiv:2112.11687).
    """
    scratch, half = _scratch(None, None), 0.5 * b

    def value(xp, z, out):
        s, t = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.add(s, b, out=s)
        xp.sqrt(s, out=s)
        xp.abs(z, out=t)
        xp.add(s, t, out=s)
        xp.divide(half, s, out=s)
        xp.maximum(z, 0.0, out=out)
        xp.add(out, s, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(z, z, out=z)
        xp.add(z, b, out=z)
        xp.sqrt(z, out=z)
        xp.multiply(da, a, out=da)
        xp.divide(da, z, out=da)

    return value, pullback


@activation()
def smelu(z: Array, beta: Scalar = 1.0) -> Array:
    """f(z) = c^2 / (4 beta) + max(z - beta, 0) with c = min(max(z + beta, 0), 2 beta), f' = c / (2 beta)

    0 up to -beta, then a parabola, z from beta on. beta > 0.
    Reference: Shamir, Lin and Coviello, Smooth activations and reproducibility, 2020 (arXiv:2010.09931).
    """
    return np.clip(z + beta, 0.0, 2.0 * beta) ** 2 / (4.0 * beta) + np.maximum(z - beta, 0.0)


@activation(inplace=True)
def squared_relu() -> Pair:
    """f(z) = max(z, 0)^2, f' = 2 max(z, 0)

    Reference: So, Manke, Liu, Dai, Shazeer and Le, Primer, NeurIPS 2021.
    """

    def value(xp, z, out):
        xp.maximum(z, 0.0, out=out)
        xp.multiply(out, out, out=out)

    def pullback(xp, z, a, da):
        xp.maximum(z, 0.0, out=z)
        xp.multiply(z, 2.0, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


# z times a gate -------------------------------------------------------------------------------------------------------


@activation(inplace=True)
def silu(beta: Scalar = 1.0) -> Pair:
    """f(z) = z s with s = 1 / (1 + exp(-beta z)), f' = s + beta a (1 - s)

    Also known as swish; PyTorch has beta = 1 only. beta = 1.702 is the quick form of gelu.
    Reference: Elfwing, Uchibe and Doya, Neural Networks 2018; beta: Ramachandran, Zoph and Le, ICLR workshop 2018.
    """
    scratch, negative = _scratch(None), -beta

    def denominator(xp, z, out):
        xp.multiply(z, negative, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)

    @_quiet
    def value(xp, z, out):
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(z, s, out=out)

    @_quiet
    def pullback(xp, z, a, da):
        (t,) = scratch(xp, z)
        denominator(xp, z, z)
        xp.divide(1.0, z, out=z)
        xp.subtract(1.0, z, out=t)
        xp.multiply(a, beta, out=a)
        xp.multiply(a, t, out=a)
        xp.add(a, z, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def gelu(approximate: str = "none") -> Pair:
    """f(z) = z Phi(z), f' = Phi(z) + z phi(z), the normal distribution and its density

    approximate="tanh": z s with s = (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)) and u = sqrt(2 / pi) (z + 0.044715 z^3).
    Reference: Hendrycks and Gimpel, 2016 (arXiv:1606.08415).
    """
    if approximate not in ("none", "tanh"):
        raise UsageError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}; choose one of them")
    return _gelu() if approximate == "none" else _gelu_tanh()


def _gelu() -> Pair:
    scratch = _scratch(None, bool)

    def value(xp, z, out):
        (s, _) = scratch(xp, z)
        special = import_module("cupyx.scipy.special" if xp.__name__ == "cupy" else "scipy.special")
        special.ndtr(z, out=s)
        xp.multiply(z, s, out=out)

    @_quiet
    def pullback(xp, z, a, da):  # Phi = a / z takes a third of the time of ndtr
        s, tiny = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.multiply(s, -0.5, out=s)
        xp.exp(s, out=s)
        xp.multiply(s, 1.0 / sqrt(2.0 * pi), out=s)
        xp.multiply(s, z, out=s)
        xp.divide(a, z, out=a)
        xp.abs(z, out=z)
        xp.less(z, 1e-20, out=tiny)
        _put(xp, a, tiny, 0.5)
        xp.add(a, s, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


def _gelu_tanh() -> Pair:
    scratch, c, k = _scratch(None), sqrt(2.0 / pi), 0.044715

    def denominator(xp, z, out):  # 1 + exp(-2 u)
        xp.multiply(z, z, out=out)
        xp.multiply(out, -2.0 * c * k, out=out)
        xp.subtract(out, 2.0 * c, out=out)
        xp.multiply(out, z, out=out)
        xp.exp(out, out=out)
        xp.add(out, 1.0, out=out)

    @_quiet
    def value(xp, z, out):
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(z, s, out=out)

    @_quiet
    def pullback(xp, z, a, da):  # f' = s + a (1 - s) 2 u'
        (s,) = scratch(xp, z)
        denominator(xp, z, s)
        xp.divide(1.0, s, out=s)
        xp.multiply(z, z, out=z)
        xp.multiply(z, 6.0 * c * k, out=z)
        xp.add(z, 2.0 * c, out=z)
        xp.multiply(a, z, out=a)
        xp.subtract(1.0, s, out=z)
        xp.multiply(a, z, out=a)
        xp.add(a, s, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation(inplace=True)
def mish() -> Pair:
    """f(z) = z tanh(log(1 + exp(z))), f' = w ((w + 2) + 4 z (w + 1) / d) / d with w = exp(z), d = w (w + 2) + 2

    w is taken at min(z, 20): beyond, f = z and f' = 1 to the last bit.
    Reference: Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020.
    """
    scratch = _scratch(None, None)

    def value(xp, z, out):
        s, t = scratch(xp, z)
        xp.minimum(z, 20.0, out=t)
        xp.exp(t, out=t)
        xp.add(t, 2.0, out=s)
        xp.multiply(t, s, out=s)
        xp.add(s, 2.0, out=t)
        xp.divide(s, t, out=s)  # n / (n + 2) with n = w (w + 2)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        s, d = scratch(xp, z)
        xp.minimum(z, 20.0, out=z)
        xp.exp(z, out=a)
        xp.add(a, 1.0, out=s)
        xp.multiply(z, 4.0, out=z)
        xp.multiply(z, s, out=z)
        xp.add(a, 2.0, out=s)
        xp.multiply(a, s, out=d)
        xp.add(d, 2.0, out=d)
        xp.divide(z, d, out=z)
        xp.add(z, s, out=z)
        xp.multiply(z, a, out=z)
        xp.divide(z, d, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


@activation(inplace=True)
def hard_swish() -> Pair:
    """f(z) = z min(max(z + 3, 0), 6) / 6, f' = (2 z + 3) / 6 between -3 and 3, 0 up to -3, 1 from 3 on

    Reference: Howard et al., Searching for MobileNetV3, ICCV 2019.
    """
    scratch = _scratch(None)

    def value(xp, z, out):
        (s,) = scratch(xp, z)
        xp.add(z, 3.0, out=s)
        xp.clip(s, 0.0, 6.0, out=s)
        xp.divide(s, 6.0, out=s)
        xp.multiply(z, s, out=out)

    def pullback(xp, z, a, da):
        (s,) = scratch(xp, z)
        xp.greater_equal(z, 3.0, out=s)
        xp.abs(z, out=a)
        xp.less(a, 3.0, out=a)
        xp.divide(z, 3.0, out=z)
        xp.add(z, 0.5, out=z)
        xp.multiply(z, a, out=z)
        xp.add(z, s, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


@activation()
def telu(z: Array) -> Array:
    """f(z) = z tanh(exp(z)), f' = tanh(exp(z)) + z exp(z) (1 - tanh(exp(z))^2)

    Reference: Fernandez and Mali, TeLU activation function, 2024 (arXiv:2412.20269).
    """
    return z * np.tanh(np.exp(z))


# Others ---------------------------------------------------------------------------------------------------------------


@activation(inplace=True)
def tanhshrink() -> Pair:
    """f(z) = z - tanh(z), f' = tanh(z)^2

    Where |z| < 1, z^3 / (3 + z^2 + z^2 / (5 + z^2 / (7 + ...))), by Lambert's continued fraction for tanh: no terms
    cancel, whereas z - tanh(z) has no correct digit at z = 0.0001 in float32.
    Reference: Collobert, Kavukcuoglu and Farabet, Torch7, NIPS workshop 2011; Lambert, 1768.
    """
    scratch = _scratch(None, None, bool)

    def value(xp, z, out):
        s, t, near = scratch(xp, z)
        xp.multiply(z, z, out=s)
        xp.less(s, 1.0, out=near)
        xp.divide(s, 17.0, out=t)
        for odd in (15.0, 13.0, 11.0, 9.0, 7.0, 5.0):
            xp.add(t, odd, out=t)
            xp.divide(s, t, out=t)
        xp.add(t, s, out=t)
        xp.add(t, 3.0, out=t)
        xp.multiply(s, z, out=s)
        xp.divide(s, t, out=s)
        xp.tanh(z, out=t)
        xp.subtract(z, t, out=out)
        _put(xp, out, near, s)

    def pullback(xp, z, a, da):
        xp.tanh(z, out=z)
        xp.multiply(z, z, out=z)
        xp.multiply(da, z, out=da)

    return value, pullback


@activation()
def sin(z: Array, omega: Scalar = 1.0) -> Array:
    """f(z) = sin(omega z), f' = omega cos(omega z)

    Reference: Sitzmann, Martel, Bergman, Lindell and Wetzstein, NeurIPS 2020 (there omega = 30).
    """
    return np.sin(omega * z)


@activation()
def snake(z: Array, alpha: Scalar = 1.0) -> Array:
    """f(z) = z + sin(alpha z)^2 / alpha, f' = 1 + sin(2 alpha z)

    Reference: Ziyin, Hartwig and Ueda, Neural networks fail to learn periodic functions, NeurIPS 2020.
    """
    return z + np.sin(alpha * z) ** 2 / alpha


@activation(inplace=True)
def gaussian() -> Pair:
    """f(z) = exp(-z^2), f' = -2 z a

    Reference: Broomhead and Lowe, Complex Systems 1988.
    """

    def value(xp, z, out):
        xp.multiply(z, z, out=out)
        xp.negative(out, out=out)
        xp.exp(out, out=out)

    def pullback(xp, z, a, da):
        xp.multiply(a, z, out=a)
        xp.multiply(a, -2.0, out=a)
        xp.multiply(da, a, out=da)

    return value, pullback


@activation()
def square(z: Array) -> Array:
    """f(z) = z^2, f' = 2 z

    Reference: Livni, Shalev-Shwartz and Shamir, NIPS 2014.
    """
    return z * z
