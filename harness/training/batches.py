"""The batches of an epoch: how many, how long, and how their rows are fetched."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from harness import registry
from harness.config import Config
from harness.errors import UsageError, argument, option
from harness.expressions.backend import compiles, launches
from harness.ops import Array
from harness.training.prepared import Data
from harness.training.weights import class_weights


class Feeder(NamedTuple):
    """A buffer for the features of a batch.

    Attributes
    ----------
    x
        The buffer (..., B, I).
    fill
        fill(index) writes the scaled rows of an index (..., B) into it.
    """

    x: Array
    fill: Callable[[Array], None]


def feeder(data: Data, ops: Any, lead: tuple[int, ...], batch: int) -> Feeder:
    """Make a buffer for batches of so many rows of the training part.

    Parameters
    ----------
    data
        The rows.
    ops
        The operations of the device.
    lead
        () where all members take the same rows, else (P,).
    batch
        The rows of a batch.
    """
    xp = ops.xp
    gather = ops.gather
    x = ops.empty((*lead, batch, data.inputs), data.dtype)
    scaled = data.scaled

    def fill(index: Array) -> None:
        gather(scaled, index, x)

    if data.raw is None:
        return Feeder(x, fill)
    # Gathering bytes and dividing them takes half the time of gathering floats.
    divisor = x.dtype.type(data.fitted.scaling[1])
    if launches(xp, x.dtype) and data.raw.dtype == np.uint8:
        from harness.expressions.cuda_written import gather_bytes

        return Feeder(x, gather_bytes(data.raw, x, divisor))
    raw = ops.empty(x.shape, data.raw.dtype)

    if compiles(xp, x.dtype):
        from harness.expressions.written import bytes_to_floats, compile_written

        flat_raw = raw.reshape(-1)
        flat_x = x.reshape(-1)
        by = np.full(1, divisor)
        convert = compile_written(bytes_to_floats, [], flat_raw, flat_x, by)

        def fill_compiled(index: Array) -> None:
            # First the rows, then their conversion: the copy of a row hides how far it is away.
            gather(data.raw, index, raw)
            convert(flat_raw, flat_x, by)

        return Feeder(x, fill_compiled)

    def fill_from_bytes(index: Array) -> None:
        gather(data.raw, index, raw)
        xp.copyto(x, raw)
        xp.divide(x, divisor, out=x)  # the same bits as those of data.x

    return Feeder(x, fill_from_bytes)


class Batches(NamedTuple):
    """How the rows of an epoch are cut into steps.

    Attributes
    ----------
    rows
        Of each whole batch.
    whole
        How many of those there are.
    last
        The rows of the shorter batch after them; 0 where there is none.
    """

    rows: int
    whole: int
    last: int

    @property
    def steps(self) -> int:
        """The steps of an epoch."""
        return self.whole + bool(self.last)

    @property
    def sizes(self) -> list[int]:
        """The rows of each step."""
        return [self.rows] * self.whole + [self.last] * bool(self.last)


def batches_of(config: Config, rows: int) -> Batches:
    """Cut so many rows into batches as a config says; none is whole where drop_last drops all."""
    batch = rows if config.batch == "full" else config.batch
    if config.drop_last:
        return Batches(batch, rows // batch, 0)
    # A batch may be larger than the training part, and then holds all of it.
    batch = min(batch, rows)
    return Batches(batch, rows // batch, rows % batch)


def check(config: Config, data: Data) -> Batches:
    """Return the batches of a config on its data.

    Raises
    ------
    UsageError
        If the config does not fit the data; the sentence says what does not.
    """
    rows = data.rows
    features = data.inputs
    name = data.source.name
    if config.inputs is not None and config.inputs != features:
        raise UsageError(
            f"the network takes {config.inputs} inputs but data set {name!r} has {features} "
            f"features; give {argument('sizes')} that start with {features}, or with None for as "
            f"many as there are"
        )
    batches = batches_of(config, rows)
    if not batches.whole:
        raise UsageError(
            f"with {argument('drop_last')} {argument('batch')} must not exceed the training part, "
            f"got {batches.rows} for {rows} examples; choose a smaller batch or 'full', or leave "
            f"{argument('drop_last')} out"
        )
    if not len(data.y_valid):
        _refuse_what_needs_validation(config)
    if config.class_weight is not None:
        class_weights(config, name, data.source.classes)
    metric = registry.find("metric", config.metric["name"])
    task = metric.options["task"]
    if task != data.source.task:
        raise UsageError(
            f"metric {metric.name!r} is for {task}, data set {name!r} is for {data.source.task}; "
            f"choose another metric"
        )
    return batches


def _refuse_what_needs_validation(config: Config) -> None:
    asked = ""
    if config.patience is not None:
        asked = argument("patience")
    elif config.select == "best":
        asked = option("select", "best")
    if asked:
        raise UsageError(
            f"{asked} needs a validation part, got {option('valid', 0)}; give a share such as 0.2"
        )
