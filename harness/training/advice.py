"""What there is to say of a network that has learned little: how little, and what to try.

One function does it for all: the command line prints its sentence, `Model.fit` warns with it, and a
sweep keeps it with the trial.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from harness.config import Config
from harness.errors import option
from harness.ops import ops_for
from harness.training.networks import construct
from harness.training.prepared import Data
from harness.training.recent import Recent
from harness.training.scoring import evaluate
from harness.training.state import Record, State, host, restore

# A network is said to have learned nothing where its accuracy is at most CHANCE times that of the
# most frequent class, and at most that plus a SHARE of what is left: where a class has 73 % of the
# rows, 0.86 is no chance.
CHANCE = 1.2
SHARE = 0.1

FEWEST = 20  # rows: of fewer, an accuracy says nothing
LARGE = 3.0  # root mean square of a feature as the network sees it; standardized features have 1
MOVED = 0.03  # share of a loss; less is noise
RISEN = 1.5  # times the loss of the first batch, which is a single one
_SAMPLE = 10_000  # rows at most that a simple rule is fitted to, or measured on

_simple: Recent[Any, float] = Recent(16)  # the accuracies of the simple rule


class Advice(NamedTuple):
    """What is said of a network that has learned little.

    Attributes
    ----------
    note
        "did not learn" or "learned little", for a column of a table.
    sentence
        What was measured, and what to try.
    """

    note: str
    sentence: str


class _Finding(NamedTuple):
    note: str  # as in Advice
    measured: str


class _Rows(NamedTuple):
    """The rows on which a network is judged: those for validation, or some of the others."""

    part: str  # "validation" or "training"
    x: Any
    t: Any
    y: np.ndarray


def advice(config: Config, data: Data, state: State, records: list[Record]) -> Advice | None:
    """Return what to say of a trained network.

    Parameters
    ----------
    config, data
        With which it was trained.
    state
        As it is now.
    records
        Those of all its epochs.

    Returns
    -------
    Advice or None
        None where the network has learned, where it diverged, or where nobody can tell.
    """
    if not records or records[-1].bad_step is not None:
        return None
    rows = _judged(data)
    if len(rows.y) < FEWEST:
        return None
    if data.source.task == "classification":
        finding = _poor_classes(config, data, state, records, rows)
    else:
        finding = _poor_values(config, data, state, records, rows)
    if finding is None:
        return None
    sentence = f"the network {finding.note}: {finding.measured}; {_remedy(data, records)}"
    return Advice(finding.note, sentence)


def _judged(data: Data) -> _Rows:
    if len(data.y_valid):
        return _Rows("validation", data.x_valid, data.t_valid, data.y_valid)
    return _Rows("training", data.first(_SAMPLE), data.t[:_SAMPLE], data.y[:_SAMPLE])


def _poor_classes(
    config: Config, data: Data, state: State, records: list[Record], rows: _Rows
) -> _Finding | None:
    """Find out whether classification is hardly better than chance, or far below a simple rule."""
    y = rows.y
    # Who weighs classes wants the rare ones found, at the cost of accuracy.
    is_weighted = config.class_weight is not None or data.weights is not None
    if is_weighted:
        word = "balanced accuracy"
        present = np.unique(y)
        chance = 1.0 / len(present)
        right = _predictions(config, data, state, rows).argmax(axis=-1) == y
        accuracy = float(np.mean([right[y == label].mean() for label in present]))
        by_chance = f"where chance gives {chance:.3f}"
    else:
        word = "accuracy"
        chance = float(np.bincount(y, minlength=len(data.source.classes)).max() / len(y))
        recorded = _recorded(config, records, "accuracy")
        if recorded is None:
            right = _predictions(config, data, state, rows).argmax(axis=-1) == y
            recorded = float(right.mean())
        accuracy = recorded
        by_chance = f"where the most frequent class alone gives {chance:.3f}"
    measured = f"{word} {accuracy:.3f} on the {rows.part} part"
    if accuracy <= min(CHANCE * chance, chance + SHARE * (1 - chance)):
        return _Finding("did not learn", f"{measured}, {by_chance}")
    if is_weighted or accuracy >= (1 + chance) / 2:
        return None
    simple = _nearest_mean(config, data, rows)
    if accuracy >= (chance + simple) / 2:
        return None
    measured = f"{measured}, where the nearest mean of a class gives {simple:.3f}"
    return _Finding("learned little", measured)


def _poor_values(
    config: Config, data: Data, state: State, records: list[Record], rows: _Rows
) -> _Finding | None:
    """Find out whether a regression is no better than the mean of its targets."""
    r2 = _recorded(config, records, "r2")
    if r2 is None:
        total = ((rows.y - rows.y.mean(axis=0)) ** 2).sum()
        left = ((_predictions(config, data, state, rows) - rows.y) ** 2).sum()
        r2 = math.nan
        if total > 0:
            r2 = float(1 - left / total)
    if not r2 <= 0:  # NaN is no finding
        return None
    measured = f"r2 {r2:.3f} on the {rows.part} part, where the mean of the targets gives 0"
    return _Finding("did not learn", measured)


def _recorded(config: Config, records: list[Record], name: str) -> float | None:
    """Return a metric of the validation part, of the epoch whose weights the network has kept."""
    key = f"valid/{name}"
    values = [record.metrics[key] for record in records if key in record.metrics]
    if not values:
        return None
    if config.select == "best":
        return max(values)
    return values[-1]


def _predictions(config: Config, data: Data, state: State, rows: _Rows) -> np.ndarray:
    network = construct(config, data)
    restore(network, state)
    value = network.arena.value
    if network.theta is not None:
        value[...] = network.theta()
    elif "best/theta" in state:
        value[...] = network.arena.xp.asarray(state["best/theta"])
    with ops_for(config.device).quiet():
        predictions, _ = evaluate(network, rows.x, rows.t, config.eval_batch)
    return predictions


def _nearest_mean(config: Config, data: Data, rows: _Rows) -> float:
    """Return the accuracy of taking the class whose mean is nearest.

    Features are measured in units of their standard deviation.
    """
    key = data.source.digest, config.valid, config.split_seed
    if key not in _simple:
        x = host(data.first(_SAMPLE)).astype(np.float64)
        y = data.y[:_SAMPLE]
        std = x.std(axis=0)
        unit = np.where(std > 0, std, 1.0)
        present = np.unique(y)
        means = np.array([x[y == label].mean(axis=0) for label in present]) / unit
        asked = host(rows.x[:_SAMPLE]) / unit
        # The distances of a row lack what all classes share, its own square.
        distance = (means**2).sum(axis=1) - 2.0 * (asked @ means.T)
        nearest = present[distance.argmin(axis=1)]
        _simple[key] = float((nearest == rows.y[:_SAMPLE]).mean())
    return _simple[key]


def scale_remedy(data: Data) -> str:
    """Return what to do about features or targets that are large as the network sees them.

    Parameters
    ----------
    data
        The prepared data.

    Returns
    -------
    str
        What to try; empty where they are not large.
    """
    sample = host(data.first(_SAMPLE)).astype(np.float64)
    largest = float(np.sqrt((sample**2).mean(axis=0)).max())
    if largest > LARGE and data.fitted.scale != "standardize":
        return (
            f"{option('scale', 'standardize')}, as its features are as large as "
            f"{np.abs(sample).max():.4g}"
        )
    top = np.abs(data.y[:_SAMPLE]).max()
    if data.source.task == "regression" and top > 10 * LARGE:
        return f"targets divided by their standard deviation, as they are as large as {top:.4g}"
    return ""


def _remedy(data: Data, records: list[Record]) -> str:
    """Return what to try, the likeliest first."""
    scale = scale_remedy(data)
    if scale:
        return f"try {scale}"
    first, last = _losses_at_the_ends(records)
    if last > (1 + MOVED) * first or last > RISEN * records[0].losses[0]:
        return "its loss has risen, so try a lower learning rate"
    if last > (1 - MOVED) * first:
        return "its loss has hardly moved, so try a higher learning rate"
    if len(records) < 3 or _is_falling([record.metrics["train/loss"] for record in records]):
        return "its loss is still falling, so try more epochs or a higher learning rate"
    return "its loss no longer falls, so try a lower learning rate or a larger network"


def _is_falling(losses: list[float]) -> bool:
    """Whether the last epoch has lowered the loss: much, or about as much as one does on average.

    A rate that is far too low makes each epoch lower it by little.
    """
    before, last = losses[-2:]
    average = (losses[0] - last) / (len(losses) - 1)
    return last < (1 - MOVED) * before or before - last > 0.5 * average


def _losses_at_the_ends(records: list[Record]) -> tuple[float, float]:
    """Return the mean loss of the first and of the last epoch, or of the halves of a single one."""
    if len(records) > 1:
        return records[0].metrics["train/loss"], records[-1].metrics["train/loss"]
    losses = records[0].losses
    half = (len(losses) + 1) // 2
    return float(losses[:half].mean()), float(losses[-half:].mean())
