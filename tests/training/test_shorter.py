"""What is evaluated in fewer rows than a config says comes out as it does in all of them."""

from typing import Any

import numpy as np
import pytest

from harness import layer, mlp, prepare, segment
from harness.config import Config
from harness.training.members import Members
from harness.training.networks import construct, network_for
from harness.training.prepared import Data
from harness.training.scoring import evaluate
from harness.training.shorter import BLOCK, rows_at_once, shorten
from harness.training.state import restore


def config(**fields: Any) -> Config:
    """60 rows are left to validate."""
    return Config(
        **{
            "data": "mnist14(rows=300)",
            "layers": mlp([196, 12, 10]),
            "update": "sgd(0.1)",
            "epochs": 1,
            "film": None,
            **fields,
        }
    )


def rows_after_a_try(one: Config | list[Config], data: Data) -> int:
    members = Members.of(one)
    network = construct(one, data)
    shorten(network, members, data)
    return network.evaluation.rows


def padded_loss(one: Config, data: Data) -> float:
    """The validation loss after training, in batches of as many rows as the config says."""
    state, _ = segment(one, data)
    network = construct(one, data)
    assert network.evaluation.rows == one.eval_batch
    restore(network, state)
    return float(evaluate(network, data.x_valid, data.t_valid, one.eval_batch)[1])


@pytest.mark.parametrize("sizes", [(196, 10), (196, 12, 10), (196, 100, 1, 10), (196, 33, 7, 10)])
@pytest.mark.parametrize("valid", [0.03, 0.2, 0.5])  # 9, 60 and 150 rows
def test_a_validation_part_that_fills_no_batch_is_padded_to_whole_blocks(
    sizes: tuple[int, ...], valid: float
) -> None:
    one = config(layers=mlp(list(sizes)), valid=valid)
    data = prepare(one)
    # Another BLAS may need all rows for the same bits, and then has them.
    assert rows_after_a_try(one, data) in (BLOCK * -(-len(data.y_valid) // BLOCK), one.eval_batch)
    _, (record,) = segment(one, data)
    assert record.metrics["valid/loss"] == padded_loss(one, data)


def test_a_population_is_evaluated_as_its_members_are() -> None:
    configs = [config(update=f"sgd({rate})", dtype="float32") for rate in (0.1, 0.3)]
    data = prepare(configs[0])
    assert (
        rows_after_a_try(configs, data)
        == rows_after_a_try(configs[0], data)
        < configs[0].eval_batch
    )
    _, together = segment(configs, data)
    for one, (record,) in zip(configs, together, strict=True):
        assert record.metrics["valid/loss"] == padded_loss(one, data)


@pytest.mark.parametrize("eval_batch", [1, 7, 60, 96])
def test_a_batch_that_is_filled_stays_as_it_is(eval_batch: int) -> None:
    one = config(eval_batch=eval_batch)
    assert rows_after_a_try(one, prepare(one)) == eval_batch


def test_a_layer_that_looks_at_all_rows_gets_all_rows() -> None:
    @layer()
    def less_the_mean():
        def bind(ctx, I):
            y = ctx.empty(I)

            def forward(x, train):
                np.subtract(x, x.mean(axis=-2, keepdims=True), out=y)
                return y, lambda dy: dy

            return forward, I

        return bind

    one = config(layers=["less_the_mean", "dense(12)", "relu", "dense(10)"])
    data = prepare(one)
    assert rows_after_a_try(one, data) == one.eval_batch
    _, (record,) = segment(one, data)
    assert record.metrics["valid/loss"] == padded_loss(one, data)


def test_a_network_that_is_built_after_a_try_has_as_many_rows_from_the_start() -> None:
    one = config(seed=5, layers=mlp([196, 11, 10]))
    data = prepare(one)
    members = Members.of(one)
    assert rows_at_once(members, data) == one.eval_batch
    _, (first,) = segment(one, data)
    assert rows_at_once(members, data) == rows_after_a_try(one, data)
    network = network_for(members, data, None)
    assert network.evaluation.rows == rows_at_once(members, data)
    _, (again,) = segment(one, data)
    assert again.metrics == first.metrics


def test_what_tells_nothing_is_no_proof() -> None:
    """All outputs are equal in any number of rows, whatever the first layer does."""

    @layer()
    def nothing():
        def bind(ctx, I):
            y = ctx.empty(I)

            def forward(x, train):
                y.fill(0.0)
                return y, lambda dy: dy

            return forward, I

        return bind

    one = config(layers=["dense(12)", "nothing", "dense(10)"])
    assert rows_after_a_try(one, prepare(one)) == one.eval_batch


def test_trying_leaves_the_weights_as_they_are() -> None:
    one = config(layers=["frozen(dense(13))", "relu", "dense(10)"], seed=3)
    data = prepare(one)
    network = construct(one, data)
    network.initialize()
    before = [network.arena.value.copy(), *(array.copy() for array in network.frozen.values())]
    shorten(network, Members.of(one), data)
    assert network.evaluation.rows < one.eval_batch
    for array, values in zip((network.arena.value, *network.frozen.values()), before, strict=True):
        assert array.tobytes() == values.tobytes()
