"""What there is to say of a network that has learned little: how little, and what to try.

One function for all: the command line prints its sentence, `Model.fit` warns with it, a sweep keeps
it with the trial.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from harness.config import Config
from harness.errors import option
from harness.ops import ops_for
from harness.training.networks import construct
from harness.training.prepared import Data
from harness.training.scoring import evaluate
from harness.training.state import Record, State, restore

# A network is said to have learned nothing where its accuracy is at most CHANCE times that of the
# most frequent class, and at most that plus a SHARE of what is left: where a class has 73 % of the
# rows, 0.86 is no chance
CHANCE = 1.2
SHARE = 0.1

FEWEST = 20  # rows: of fewer, an accuracy says nothing
LARGE = 3.0  # root mean square of a feature as the network sees it; standardized features have 1
MOVED = 0.03  # share of a loss; less is noise
_SAMPLE = 10_000  # rows at most that a simple rule is fitted to, or measured on

# What the simple rule gets, for some data sets
_simple: OrderedDict[tuple[str, float, int], float] = OrderedDict()
_KEPT = 16


@dataclass(frozen=True)
class Advice:
    """Said of a network that has learned little.

    Attributes
    ----------
    note
        "did not learn" or "learned little", for a column of a table.
    sentence
        What was measured, and what to try.
    """

    note: str
    sentence: str


def advice(config: Config, data: Data, state: State, records: list[Record]) -> Advice | None:
    """What to say of a trained network; None where it has learned, where it diverged, or where
    nobody can tell.
    """
    if not records or records[-1].bad_step is not None:
        return None
    part = "validation" if len(data.y_valid) else "training"
    y = data.y_valid if len(data.y_valid) else data.y[:_SAMPLE]
    if len(y) < FEWEST:
        return None
    if data.source.task == "classification":
        found = _poor_classes(config, data, state, records, y, part)
    else:
        found = _poor_values(config, data, state, records, y, part)
    if found is None:
        return None
    note, measured = found
    return Advice(note, f"the network {note}: {measured}; {_remedy(data, records)}")


def _poor_classes(
    config: Config, data: Data, state: State, records: list[Record], y: np.ndarray, part: str
) -> tuple[str, str] | None:
    """(note, what was measured) of a classification that is hardly better than chance, or far below
    a simple rule.
    """
    classes = len(data.source.classes)
    if config.class_weight is None and data.weights is None:
        word = "accuracy"
        chance = float(np.bincount(y, minlength=classes).max() / len(y))
        accuracy = _recorded(config, records, "accuracy")
        if accuracy is None:
            accuracy = float((_predictions(config, data, state).argmax(axis=-1) == y).mean())
        by_chance = f"where the most frequent class alone gives {chance:.3f}"
    else:  # who weighs classes wants the rare ones found, at the cost of accuracy
        word = "balanced accuracy"
        present = np.unique(y)
        chance = 1.0 / len(present)
        right = _predictions(config, data, state).argmax(axis=-1) == y
        accuracy = float(np.mean([right[y == k].mean() for k in present]))
        by_chance = f"where chance gives {chance:.3f}"
    measured = f"{word} {accuracy:.3f} on the {part} part"
    if accuracy <= min(CHANCE * chance, chance + SHARE * (1 - chance)):
        return "did not learn", f"{measured}, {by_chance}"
    if word == "accuracy" and accuracy < (1 + chance) / 2:
        simple = _nearest_mean(config, data)
        if accuracy < (chance + simple) / 2:
            return (
                "learned little",
                f"{measured}, where the nearest mean of a class gives {simple:.3f}",
            )
    return None


def _poor_values(
    config: Config, data: Data, state: State, records: list[Record], y: np.ndarray, part: str
) -> tuple[str, str] | None:
    """(note, what was measured) of a regression that is no better than the mean of its targets."""
    r2 = _recorded(config, records, "r2")
    if r2 is None:
        total = ((y - y.mean(axis=0)) ** 2).sum()
        left = ((_predictions(config, data, state) - y) ** 2).sum()
        r2 = float(1 - left / total) if total > 0 else math.nan
    if not r2 <= 0:
        return None
    return "did not learn", f"r2 {r2:.3f} on the {part} part, where the mean of the targets gives 0"


def _recorded(config: Config, records: list[Record], name: str) -> float | None:
    """A metric of the validation part: at the last epoch, or the best one where the config selects
    it.
    """
    values = [r.metrics[f"valid/{name}"] for r in records if f"valid/{name}" in r.metrics]
    if not values:
        return None
    return max(values) if config.select == "best" else values[-1]


def _predictions(config: Config, data: Data, state: State) -> np.ndarray:
    """What the network says of the rows that `advice` looks at."""
    network = construct([config], data, True)
    restore(network, state)
    if network.theta is not None:
        network.arena.value[...] = network.theta()
    elif "best/theta" in state:
        network.arena.value[...] = network.arena.xp.asarray(state["best/theta"])
    valid = len(data.y_valid) > 0
    x = data.x_valid if valid else data.x[:_SAMPLE]
    t = data.t_valid if valid else data.t[:_SAMPLE]
    with ops_for(config.device).quiet():
        return evaluate(network, x, t, config.eval_batch)[0]


def _nearest_mean(config: Config, data: Data) -> float:
    """The accuracy of taking the class whose mean is nearest, features in units of their standard
    deviation.
    """
    key = data.source.digest, config.valid, config.split_seed
    if key not in _simple:
        to_host = ops_for(config.device).to_host
        x, y = to_host(data.x[:_SAMPLE]).astype(np.float64), data.y[:_SAMPLE]
        std = x.std(axis=0)
        unit = np.where(std > 0, std, 1.0)
        present = np.unique(y)
        means = np.array([x[y == k].mean(axis=0) for k in present]) / unit
        asked, known = x / unit, y
        if len(data.y_valid):
            asked, known = to_host(data.x_valid[:_SAMPLE]) / unit, data.y_valid[:_SAMPLE]
        # But for what all classes share
        distance = (means**2).sum(axis=1) - 2.0 * (asked @ means.T)
        _simple[key] = float((present[distance.argmin(axis=1)] == known).mean())
        while len(_simple) > _KEPT:
            _simple.popitem(last=False)
    return _simple[key]


def scale_remedy(data: Data) -> str:
    """What to do about features or targets that are large as the network sees them; empty where
    they are not.
    """
    x, y = data.x[:_SAMPLE], data.y[:_SAMPLE]
    sample = (x.get() if hasattr(x, "get") else x).astype(np.float64)
    largest = float(np.sqrt((sample**2).mean(axis=0)).max())
    if largest > LARGE and data.fitted.scale != "standardize":
        return f"{option('scale', 'standardize')}, as its features are as large as {np.abs(sample).max():.4g}"
    if data.source.task == "regression" and np.abs(y).max() > 10 * LARGE:
        return f"targets divided by their standard deviation, as they are as large as {np.abs(y).max():.4g}"
    return ""


def _remedy(data: Data, records: list[Record]) -> str:
    """What to try, the likeliest first."""
    scale = scale_remedy(data)
    if scale:
        return f"try {scale}"
    first, last = _ends(records)
    if last > (1 + MOVED) * first:
        return "its loss has risen, so try a lower learning rate"
    if last > (1 - MOVED) * first:
        return "its loss has hardly moved, so try a higher learning rate"
    if len(records) < 3 or last < (1 - MOVED) * records[-2].metrics["train/loss"]:
        return "its loss is still falling, so try more epochs or a higher learning rate"
    return "its loss no longer falls, so try a lower learning rate or a larger network"


def _ends(records: list[Record]) -> tuple[float, float]:
    """The mean loss at the beginning and at the end: of whole epochs, or of the halves of a single
    one.
    """
    if len(records) > 1:
        return records[0].metrics["train/loss"], records[-1].metrics["train/loss"]
    losses = records[0].losses
    half = (len(losses) + 1) // 2
    return float(losses[:half].mean()), float(losses[-half:].mean())
