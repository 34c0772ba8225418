"""The built-in update rules. A rule is Rule(init, update) over the flat arena (..., n).

init(arena) -> named state
    Allocated once; every scalar is (..., 1).
update(u, arena, state)
    u (..., n): gradient in, update out, in place; the engine adds it to theta.
project(arena, state)
    Optional, after the step.
evaluate(arena, state) -> theta
    Optional: the parameters (..., n) to evaluate with, if not those that are trained.

The engine keeps state["step"], 1 at the first update. Rules compose: compose(clip_norm(1.0),
weight_decay(), sgd(0.1)).
"""

from harness.builtin.updates.adaptive import (
    adadelta,
    adagrad,
    adam,
    adamax,
    adamw,
    amsgrad,
    nadam,
    radam,
    rmsprop,
)
from harness.builtin.updates.averages import (
    asgd,
    ema,
    lookahead,
    schedule_free_adamw,
    schedule_free_sgd,
)
from harness.builtin.updates.beyond_adam import (
    acprop,
    adabelief,
    adan,
    ademamix,
    adopt,
    optimistic_adam,
    simplified_ademamix,
    yogi,
)
from harness.builtin.updates.coin_betting import cocob
from harness.builtin.updates.factored import adafactor, sm3
from harness.builtin.updates.ingredients import (
    centralize,
    clip_norm,
    clip_value,
    compose,
    decoupled_weight_decay,
    gradient_noise,
    l1,
    max_norm,
    scale,
    trace,
    weight_decay,
)
from harness.builtin.updates.layerwise import fromage, lamb, lars, muon, novograd
from harness.builtin.updates.sgd_family import (
    lion,
    momentum,
    nesterov,
    optimistic_gradient_descent,
    rprop,
    sgd,
    signsgd,
)

__all__ = [
    "acprop",
    "adabelief",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "ademamix",
    "adopt",
    "amsgrad",
    "asgd",
    "centralize",
    "clip_norm",
    "clip_value",
    "cocob",
    "compose",
    "decoupled_weight_decay",
    "ema",
    "fromage",
    "gradient_noise",
    "l1",
    "lamb",
    "lars",
    "lion",
    "lookahead",
    "max_norm",
    "momentum",
    "muon",
    "nadam",
    "nesterov",
    "novograd",
    "optimistic_adam",
    "optimistic_gradient_descent",
    "radam",
    "rmsprop",
    "rprop",
    "scale",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "sgd",
    "signsgd",
    "simplified_ademamix",
    "sm3",
    "trace",
    "weight_decay",
    "yogi",
]
