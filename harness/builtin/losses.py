"""The built-in losses. A loss is bound as bind(ctx, O) -> (forward, predict):

forward(y, t) -> values (..., B), backward    y (..., B, O) outputs of the network, t target rows: (..., B, O), or
                                              (B, O) where the members of a population share them
backward() -> dy (..., B, O)                  gradient of the mean over the batch
predict(y) -> predictions                     outputs -> probabilities (or values), in place

A loss knows nothing of weights: `weighing` makes a loss of weighted examples of each.

An argument two_classes is set by training where a loss has it. True: the data set has two classes,
and if the network has one output, the logit of the second class, t (..., B, 2) holds indicator rows
all the same and predictions (..., B, 2) both probabilities.
"""

from collections.abc import Callable
from typing import Any

from harness import checks
from harness.engine.context import Context
from harness.errors import UsageError
from harness.ops import Array
from harness.registry.decorators import loss
from harness.registry.known import Scalar

Backward = Callable[[], Array]
Forward = Callable[[Array, Array], tuple[Array, Backward]]
BindLoss = Callable[[Context, int], tuple[Forward, Callable[[Array], Array]]]


def _must(what: str, value: Any, holds: Callable[[float], bool], must: str) -> None:
    """A number, or one per member of a population, for which `holds`."""
    checks.reals(what, value, holds, f"must be {must}")


def _classes(name: str, O: int) -> None:
    if O < 2:
        raise UsageError(
            f"{name} needs at least 2 outputs, got {O}; give the last layer one unit per class, or "
            f"use "
            "binary_cross_entropy for two classes"
        )


def weighing(bind: BindLoss, columns: int) -> BindLoss:
    """L = mean over the batch of w_i L_i, L_i what `bind` gives for example i; dy_i <- w_i dy_i

    Rows of t have `columns` targets; where they have one column more, that is the weight of the
    example. Other rows weigh 1, at no cost but a look at their shape.
    """

    def bind_weighing(ctx: Context, O: int) -> tuple[Any, Any]:
        forward, predict = bind(ctx, O)
        xp = ctx.xp
        # Not in place: backward may want the values that forward gave
        weighted = ctx.empty(1)[..., 0]
        seen: list[Any] = [None, None]

        def backward() -> Array:
            weight, inner = seen
            dy = inner()
            return xp.multiply(dy, weight, out=dy)

        def forward_weighing(y: Array, t: Array) -> tuple[Array, Backward]:
            if t.shape[-1] == columns:
                return forward(y, t)
            values, inner = forward(y, t[..., :columns])
            weight = t[..., columns:]
            seen[:] = weight, inner
            return xp.multiply(values, weight[..., 0], out=weighted), backward

        return forward_weighing, predict

    return bind_weighing


def _softmax(
    xp: Any, y: Array, top: Array, below: Array, e: Array, ones: Array, total: Array
) -> None:
    """top <- row maxima of y, below <- y - top, e <- exp(below), total <- row sums of e

    exp cannot overflow, for below is at most 0.
    ones (K, 1): a product with it sums short rows in a third of the time of a reduction.
    """
    y.max(axis=-1, out=top, keepdims=True)  # CuPy reduces by add and multiply alone
    xp.subtract(y, top, out=below)
    xp.exp(below, out=e)
    xp.matmul(e, ones, out=total)


def _to_probabilities(ctx: Context, O: int) -> Callable[[Array], Array]:
    """predict(y): y <- softmax(y)."""
    xp = ctx.xp
    top = ctx.empty(1)
    total = ctx.empty(1)
    ones = ctx.xp.ones((O, 1), ctx.dtype)

    def predict(y: Array) -> Array:
        _softmax(xp, y, top, y, y, ones, total)
        return xp.divide(y, total, out=y)

    return predict


@loss()
def softmax_cross_entropy(label_smoothing: Scalar = 0.0) -> BindLoss:
    """L = mean over the batch of -sum_k s_k log p_k, p = softmax(y), s = (1 - e) t + e / K

    e = label_smoothing.
    y, t (..., B, K); rows of t sum to 1. dy = (p - s) / B, computed through log-sum-exp.
    PyTorch's cross_entropy.
    References: Bridle, NeurIPS 1989; Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, CVPR 2016
    (smoothing).
    """
    _must(
        "softmax_cross_entropy: label_smoothing", label_smoothing, lambda v: 0 <= v < 1, "in [0, 1)"
    )

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        _classes("softmax_cross_entropy", O)
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        e = ctx.empty(O)
        dy = ctx.empty(O)
        top = ctx.empty(1)
        total = ctx.empty(1)
        values = ctx.empty(1)[..., 0]
        log = ctx.empty(1)
        ones = xp.ones((O, 1), ctx.dtype)
        loss_column = values[..., None]
        smooth = ctx.scalar(label_smoothing)
        keep = 1 - smooth
        share = smooth / O
        # a member that smooths by 0 gets the bits of t, so that it may share a population with
        # others
        some = any(label_smoothing) if isinstance(label_smoothing, list) else label_smoothing
        soft = ctx.empty(O) if some else None
        target: list[Array] = [None]

        def backward() -> Array:
            xp.divide(e, total, out=dy)
            xp.subtract(dy, target[0], out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            target[0] = t
            if soft is not None:
                xp.multiply(t, keep, out=soft)
                xp.add(soft, share, out=soft)
                target[0] = soft
            _softmax(xp, y, top, dy, e, ones, total)
            xp.log(total, out=log)
            # -log p; the maximum is not added again, for which a large one has no digits
            xp.subtract(log, dy, out=dy)
            xp.multiply(dy, target[0], out=dy)
            xp.matmul(dy, ones, out=loss_column)
            return values, backward

        return forward, _to_probabilities(ctx, O)

    return bind


@loss()
def focal(gamma: Scalar = 2.0) -> BindLoss:
    """L = mean over the batch of -sum_k t_k (1 - p_k)^gamma log p_k, p = softmax(y)

    y, t (..., B, K); rows of t sum to 1. The paper's alpha is class_weight.
    gamma >= 0; 0 is softmax_cross_entropy.
    With g_k = t_k (1 - p_k)^gamma (gamma p_k log p_k / (1 - p_k) - 1), dy_k = (g_k - p_k sum_j g_j)
    / B.
    Reference: Lin, Goyal, Girshick, He and Dollar, ICCV 2017.
    """
    _must("focal: gamma", gamma, lambda v: 0 <= v < float("inf"), "a number of at least 0")

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        _classes("focal", O)
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        exponent = ctx.scalar(gamma)
        ones = xp.ones((O, 1), ctx.dtype)
        least = ctx.dtype.type(xp.finfo(ctx.dtype).tiny)
        p, log, rest, factor, dy = (ctx.empty(O) for _ in range(5))
        top = ctx.empty(1)
        total = ctx.empty(1)
        values = ctx.empty(1)[..., 0]
        target: list[Array] = [None]

        def backward() -> Array:
            xp.divide(log, rest, out=dy)
            xp.multiply(dy, p, out=dy)
            xp.multiply(dy, exponent, out=dy)
            xp.subtract(dy, 1, out=dy)
            xp.multiply(dy, factor, out=dy)
            xp.multiply(dy, target[0], out=dy)
            xp.add.reduce(dy, axis=-1, out=top, keepdims=True)
            xp.multiply(p, top, out=p)
            xp.subtract(dy, p, out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            target[0] = t
            _softmax(xp, y, top, log, p, ones, total)
            xp.divide(p, total, out=p)
            xp.log(total, out=total)
            xp.subtract(log, total, out=log)
            xp.expm1(log, out=rest)  # 1 - p to all its digits
            xp.negative(rest, out=rest)
            # 1 - p = 0 would be divided by, and its power is nearly 0 all the same
            xp.maximum(rest, least, out=rest)
            # Not power: it squares by other means where one exponent of 2 is all there is
            xp.log(rest, out=factor)
            xp.multiply(factor, exponent, out=factor)
            xp.exp(factor, out=factor)
            xp.multiply(factor, log, out=dy)
            xp.multiply(dy, t, out=dy)
            xp.add.reduce(dy, axis=-1, out=values)
            return xp.negative(values, out=values), backward

        return forward, _to_probabilities(ctx, O)

    return bind


@loss()
def binary_cross_entropy(two_classes: bool = False) -> BindLoss:
    """L = mean over the batch of sum_k log(1 + exp(y_k)) - t_k y_k

    The same as -sum_k t_k log p_k + (1 - t_k) log(1 - p_k) with p = 1 / (1 + exp(-y)).
    y (..., B, O) logits, p = 1 / (1 + exp(-y)), t (..., B, O) in [0, 1]; dy = (p - t) / B. With one
    output on a data set of two classes y is the logit of the second one, and predictions hold both
    probabilities; with K outputs on K classes each is a question of its own, and predictions need
    not sum to 1. PyTorch's binary_cross_entropy_with_logits, whose mean goes over the outputs as
    well: here they are summed.
    """

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        pair = two_classes and O == 1
        e = ctx.empty(O)
        part = ctx.empty(O)
        dy = ctx.empty(O)
        values = ctx.empty(1)[..., 0]
        both = ctx.empty(2) if pair else None
        half = ctx.empty(2) if pair else part
        seen: list[Array] = [None, None]

        def decay(y: Array, out: Array) -> Array:
            """out <- exp(-|y|), which cannot overflow."""
            xp.absolute(y, out=out)
            xp.negative(out, out=out)
            return xp.exp(out, out=out)

        def backward() -> Array:
            y, t = seen
            xp.add(e, 1, out=part)
            xp.minimum(y, 0, out=dy)
            xp.exp(dy, out=dy)
            xp.divide(dy, part, out=dy)  # p
            xp.subtract(dy, t, out=dy)
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            seen[0] = y
            seen[1] = t[..., 1:] if pair else t
            xp.maximum(y, 0, out=dy)
            xp.subtract(dy, xp.multiply(y, seen[1], out=part), out=dy)
            xp.log1p(decay(y, e), out=part)
            xp.add(dy, part, out=dy)  # log(1 + exp(y)) = max(y, 0) + log(1 + exp(-|y|))
            return xp.add.reduce(dy, axis=-1, out=values), backward

        def predict(y: Array) -> Array:
            p = y
            # The other class from its own logit: 1 - p would have lost its digits
            if both is not None:
                xp.negative(y, out=both[..., :1])
                both[..., 1:] = y
                p = both
            xp.add(decay(p, half), 1, out=half)
            xp.minimum(p, 0, out=p)
            xp.exp(p, out=p)
            return xp.divide(p, half, out=p)

        return forward, predict

    return bind


@loss()
def hinge(margin: Scalar = 1.0, p: int = 1) -> BindLoss:
    """L = mean over the batch of sum_{k != c} max(0, margin - y_c + y_k)^p / K

    c is the class of the example.
    y (..., B, K) scores, t (..., B, K) indicator rows.
    p is 1 or 2. Predictions are the scores themselves, no probabilities: metrics that need those,
    such as log_loss, do not fit.
    PyTorch's MultiMarginLoss.
    Reference: Crammer and Singer, JMLR 2, 2001 (they take the largest term, not the sum); Weston
    and Watkins, ESANN 1999 (the sum).
    """
    _must("hinge: margin", margin, lambda v: 0 < v < float("inf"), "a number above 0")
    checks.one_of("hinge: p", p, (1, 2))

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        _classes("hinge", O)
        xp = ctx.xp
        scale = ctx.dtype.type(p / (ctx.batch * O))
        gap = ctx.scalar(margin)
        own = ctx.empty(O)
        over = ctx.empty(O)
        dy = ctx.empty(O)
        score = ctx.empty(1)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            if p == 1:
                xp.sign(over, out=over)
            xp.multiply(over, scale, out=dy)
            xp.add.reduce(dy, axis=-1, out=score, keepdims=True)
            return xp.subtract(dy, xp.multiply(own, score, out=own), out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.sign(t, out=own)  # 1 for the class of the example, 0 for the others
            xp.add.reduce(xp.multiply(y, own, out=over), axis=-1, out=score, keepdims=True)
            xp.subtract(y, score, out=over)
            xp.add(over, gap, out=over)
            xp.maximum(over, 0, out=over)
            xp.multiply(over, xp.subtract(1, own, out=dy), out=over)
            terms = over if p == 1 else xp.multiply(over, over, out=dy)
            xp.add.reduce(terms, axis=-1, out=values)
            return xp.divide(values, O, out=values), backward

        return forward, lambda y: y

    return bind


@loss()
def squared_error() -> BindLoss:
    """L = mean over the batch of sum_k (y_k - t_k)^2 / 2; dy = (y - t) / B

    y, t (..., B, O).
    The half makes dy the plain difference.
    PyTorch's mse_loss has no half, and its mean goes over the outputs as well.
    """

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        diff = ctx.empty(O)
        square = ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            return xp.multiply(diff, scale, out=diff)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.subtract(y, t, out=diff)
            xp.multiply(diff, diff, out=square)
            xp.add.reduce(square, axis=-1, out=values)
            return xp.multiply(values, 0.5, out=values), backward

        return forward, lambda y: y

    return bind


@loss()
def huber(delta: Scalar = 1.0) -> BindLoss:
    """L = mean over the batch of sum_k h(y_k - t_k)

    h(d) = d^2 / 2 up to |d| = delta, and delta (|d| - delta / 2) beyond.
    y, t (..., B, O); dy = clip(y - t, -delta, delta) / B. PyTorch's huber_loss, whose mean goes
    over the outputs as well: here they are summed.
    Reference: Huber, Annals of Mathematical Statistics 35(1), 1964.
    """
    _must("huber: delta", delta, lambda v: 0 < v < float("inf"), "a number above 0")

    def bind(ctx: Context, O: int) -> tuple[Any, Any]:
        xp = ctx.xp
        scale = ctx.dtype.type(1.0 / ctx.batch)
        high = ctx.scalar(delta)
        low = -high
        diff = ctx.empty(O)
        dy = ctx.empty(O)
        values = ctx.empty(1)[..., 0]

        def backward() -> Array:
            return xp.multiply(dy, scale, out=dy)

        def forward(y: Array, t: Array) -> tuple[Array, Backward]:
            xp.subtract(y, t, out=diff)
            xp.minimum(diff, high, out=dy)
            xp.maximum(dy, low, out=dy)  # h'(d); h(d) = h'(d) (d - h'(d) / 2)
            xp.multiply(diff, 2, out=diff)
            xp.subtract(diff, dy, out=diff)
            xp.multiply(diff, dy, out=diff)
            xp.add.reduce(diff, axis=-1, out=values)
            return xp.multiply(values, 0.5, out=values), backward

        return forward, lambda y: y

    return bind
