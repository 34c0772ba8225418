"""A shorter evaluation: fewer rows at once than a config says, where that gives the same bits.

A validation part that does not fill a batch of the evaluation is padded with rows of zeros. That is
done because the last bits of a matrix product depend on its size, but not on all of it: the kernels
of BLAS take rows in blocks, and a row of a whole block comes out the same in any number of blocks.
"""

from typing import Any

import numpy as np

from harness import registry
from harness.config import Config
from harness.engine.network import Network
from harness.expressions.backend import kernels
from harness.ops import debug
from harness.training.members import Members
from harness.training.prepared import Data
from harness.training.recent import Recent
from harness.training.scoring import padded

TRIES = 8
BLOCK = 48  # rows, a multiple of the blocks of the kernels, which are 4, 8, 12, 16 or 24

# What a network is made of and how many rows there are -> the plugins it was tried with, and
# whether it has the same bits.
_tried: Recent[Any, tuple[Any, bool]] = Recent(64)


def shorten(network: Network, members: Members, data: Data) -> None:
    """Let a network evaluate no more rows at once than it must, where the bits stay the same.

    Parameters
    ----------
    network
        Whose next evaluation is of the validation part.
    members, data
        What it was built for.
    """
    rows = _fewest(members.shared, data)
    if rows >= network.evaluation.rows:
        return
    key = _key(members, data)
    # What a name stands for may have changed since then.
    table = registry.table()
    if key not in _tried or _tried[key][0] != table:
        _tried[key] = table, _is_the_same(network, data, rows)
    if _tried[key][1]:
        network.evaluation = network.plan.bind(network.arena, rows)


def rows_at_once(members: Members, data: Data) -> int:
    """Return how many rows a network evaluates at once, as far as this process has tried it."""
    tried = _tried.get(_key(members, data))
    if tried is not None and tried[1] and tried[0] == registry.table():
        return _fewest(members.shared, data)
    return members.shared.eval_batch


def _fewest(config: Config, data: Data) -> int:
    """The rows of the validation part in whole blocks, or of a batch where those are no more."""
    rows = -(-len(data.x_valid) // BLOCK) * BLOCK
    if config.device != "cpu" or not rows:
        return config.eval_batch
    return min(rows, config.eval_batch)


def _key(members: Members, data: Data) -> Any:
    config = members.shared
    return config.shape_key(), members.alone, data.source.digest, kernels(), debug.on


def _is_the_same(network: Network, data: Data, rows: int) -> bool:
    """Try whether a shorter evaluation gives the same bits, with weights drawn for that.

    In which order a kernel adds depends on sizes and not on numbers, so that one try is enough. A
    layer for which it matters which other rows there are shows that as well.
    """
    weights = [network.arena.value, *network.frozen.values()]
    kept = [array.copy() for array in weights]
    whole = network.evaluation
    short = network.plan.bind(network.arena, rows)
    rng = np.random.default_rng(0)
    is_same = False
    for _ in range(TRIES):
        for array in weights:
            array[...] = 0.1 * rng.standard_normal(array.shape)
        network.evaluation = whole
        expected = _all_of(network, data)
        network.evaluation = short
        is_same = _all_of(network, data).tobytes() == expected.tobytes()
        outputs = expected[..., : network.outputs]
        # Where all rows give the same, such as behind a dead unit, nothing is told.
        if not is_same or (outputs != outputs[..., :1, :]).any():
            break
        is_same = False
    network.evaluation = whole
    for array, values in zip(weights, kept, strict=True):
        array[...] = values
    return is_same


def _all_of(network: Network, data: Data) -> np.ndarray:
    """All that an evaluation gives for each row (..., N, 2 K + 1), from the outputs on."""
    size = network.evaluation.rows
    rows = len(data.x_valid)
    y = network.evaluate(padded(network, data.x_valid, size))
    outputs = y.copy()
    losses = network.losses(y, padded(network, data.t_valid, size)).copy()
    predictions = network.predict(y)
    every = np.concatenate([outputs, losses[..., None], predictions], axis=-1)
    return np.ascontiguousarray(every[..., :rows, :])
