"""The batches of an epoch: how many, how long, and how their rows are fetched."""

from collections.abc import Callable
from typing import Any, NamedTuple

from harness import registry
from harness.config import Config
from harness.errors import UsageError, argument, option
from harness.training.prepared import Data
from harness.training.weights import class_weights


def feeder(
    data: Data, ops: Any, lead: tuple[int, ...], batch: int
) -> tuple[Any, Callable[[Any], None]]:
    """(xb, fill): fill(index) writes the scaled rows of a batch into xb (..., B, I); index is (...,
    B).
    """
    xp, features = ops.xp, data.x.shape[1]
    xb = ops.empty((*lead, batch, features), data.x.dtype)
    if data.raw is None:
        return xb, lambda index: ops.gather(data.x, index, xb)
    raw, divisor = ops.empty(xb.shape, data.raw.dtype), xb.dtype.type(data.fitted.scaling[1])

    def fill(index: Any) -> None:
        ops.gather(data.raw, index, raw)
        xp.copyto(xb, raw)
        xp.divide(xb, divisor, out=xb)  # the same bits as those of data.x

    return xb, fill


class Batches(NamedTuple):
    """How the rows of an epoch are cut into steps."""

    rows: int  # of each whole batch
    whole: int  # how many of those there are
    last: int  # rows of the shorter batch after them; 0 where there is none

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return self.whole + bool(self.last)

    @property
    def sizes(self) -> list[int]:
        """The rows of each step."""
        return [self.rows] * self.whole + [self.last] * bool(self.last)


def batches_of(config: Config, rows: int) -> Batches:
    """How a config cuts so many rows of a training part into batches; none is whole where drop_last
    leaves out all.
    """
    batch = rows if config.batch == "full" else config.batch
    if config.drop_last:
        return Batches(batch, rows // batch, 0)
    batch = min(batch, rows)
    return Batches(batch, rows // batch, rows % batch)


def check(config: Config, data: Data) -> Batches:
    """The batches of a config on its data, or a UsageError that says what does not fit."""
    n, features = data.x.shape
    if config.inputs is not None and config.inputs != features:
        raise UsageError(
            f"the network takes {config.inputs} inputs but data set {data.source.name!r} has "
            f"{features} features; "
            f"give {argument('sizes')} that start with {features}, or with None for as many as "
            f"there are"
        )
    batches = batches_of(config, n)
    if not batches.whole:
        raise UsageError(
            f"with {argument('drop_last')} {argument('batch')} must not exceed the training part, "
            f"got "
            f"{batches.rows} for {n} examples; choose a smaller batch or 'full', or leave "
            f"{argument('drop_last')} out"
        )
    if not len(data.y_valid) and (config.patience is not None or config.select == "best"):
        asked = argument("patience") if config.patience is not None else option("select", "best")
        raise UsageError(
            f"{asked} needs a validation part, got {option('valid', 0)}; give a share such as 0.2"
        )
    if config.class_weight is not None:
        class_weights(config, data.source.name, data.source.classes)
    entry = registry.find("metric", config.metric["name"])
    if entry.options["task"] != data.source.task:
        raise UsageError(
            f"metric {entry.name!r} is for {entry.options['task']}, data set {data.source.name!r} "
            f"is for "
            f"{data.source.task}; choose another metric"
        )
    return batches


def planned_steps(config: Config, data: Data) -> int:
    """How many training steps the whole run has."""
    return config.epochs * check(config, data).steps
