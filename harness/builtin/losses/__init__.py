"""The built-in losses. A loss is bound as bind(ctx, O) -> (forward, predict).

forward(y, t) -> values (..., B), backward
    y (..., B, O) outputs of the network, t target rows: (..., B, O), or (B, O) where the members of
    a population share them.
backward() -> dy (..., B, O)
    The gradient of the mean over the batch.
predict(y) -> predictions
    Outputs -> probabilities (or values), in place.

A loss knows nothing of weights: `weighing` makes a loss of weighted examples of each.

An argument two_classes is set by training where a loss has it. True: the data set has two classes,
and if the network has one output, the logit of the second class, t (..., B, 2) holds indicator rows
all the same and predictions (..., B, 2) both probabilities.
"""

from harness.builtin.losses.binary import binary_cross_entropy
from harness.builtin.losses.margin import hinge
from harness.builtin.losses.regression import (
    absolute_error,
    huber,
    log_cosh,
    poisson_nll,
    quantile,
    squared_error,
)
from harness.builtin.losses.softmax import focal, softmax_cross_entropy
from harness.builtin.losses.weighted import weighing

__all__ = [
    "absolute_error",
    "binary_cross_entropy",
    "focal",
    "hinge",
    "huber",
    "log_cosh",
    "poisson_nll",
    "quantile",
    "softmax_cross_entropy",
    "squared_error",
    "weighing",
]
