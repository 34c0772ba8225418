"""What the last step of an epoch is said to have done: rate, and norms of gradient and update."""

import math

import numpy as np
import pytest

from harness import mlp, prepare, segment
from harness.config import Config
from harness.engine.network import build
from harness.ops import cpu
from harness.training.last_step import LastStep
from harness.training.members import Members
from harness.training.networks import construct
from harness.training.state import digest
from harness.trials.seeds import Member, mean_records


def config(update: str = "sgd(0.1)", **fields: object) -> Config:
    return Config(
        **{
            "data": "mnist14(rows=300)",
            "layers": mlp([196, 12, 10], activation="tanh"),
            "update": update,
            "batch": 50,
            "epochs": 3,
            "film": None,
            **fields,
        }
    )


def by_hand(one: Config) -> list[dict[str, float]]:
    """The norms of each epoch in float64, by the formulas of a network with one hidden layer."""
    data = prepare(one)
    network = construct(one, data)
    network.initialize()
    names = ["0/W", "0/b", "2/W", "2/b"]
    assert sorted(network.arena.slices) == names
    theta = {
        name: network.arena.view(network.arena.value, name).astype(np.float64) for name in names
    }
    rate = one.update["learning_rate"]
    norms = []
    for epoch in range(1, one.epochs + 1):
        order = Members.of(one).order(epoch, len(data.x))
        for at in range(0, len(order), one.batch):
            x = data.x[order[at : at + one.batch]]
            t = data.t[order[at : at + one.batch]]
            hidden = np.tanh(x @ theta["0/W"] + theta["0/b"])
            z = hidden @ theta["2/W"] + theta["2/b"]
            p = np.exp(z - z.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            dz = (p - t) / len(x)
            da = dz @ theta["2/W"].T * (1 - hidden**2)
            grads = {"0/W": x.T @ da, "0/b": da.sum(axis=0, keepdims=True)}
            grads |= {"2/W": hidden.T @ dz, "2/b": dz.sum(axis=0, keepdims=True)}
            for name, grad in grads.items():
                theta[name] = theta[name] - rate * grad.reshape(theta[name].shape)
        norm = math.sqrt(sum(float((grad**2).sum()) for grad in grads.values()))
        norms.append({"gradient_norm": norm, "update_norm": rate * norm})
    return norms


@pytest.mark.parametrize("batch", [50, 70, 240])  # even, with a shorter last one, one step an epoch
def test_norms_are_those_of_the_last_step_of_an_epoch(batch: int) -> None:
    one = config(batch=batch)
    _, records = segment(one, prepare(one))
    for record, expected in zip(records, by_hand(one), strict=True):
        assert record.optim == pytest.approx(expected, rel=2e-4)


def test_the_gradient_is_measured_before_the_rule_and_the_update_after_it() -> None:
    one = config("compose('clip_norm(0.01)', 'sgd(0.5)')")
    _, records = segment(one, prepare(one))
    for record in records:
        assert record.optim["gradient_norm"] > 0.1
        assert record.optim["update_norm"] == pytest.approx(0.5 * 0.01, rel=1e-5)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("sgd('linear(0.4, 0.1)')", [0.4 - 0.3 * (5 * epoch - 1) / 15 for epoch in (1, 2, 3)]),
        ("compose('clip_norm', 'adam(\"step(0.01, 0.1, at=[0.5])\")')", [0.01, 0.001, 0.001]),
        ("sgd('constant(0.1)')", [None] * 3),
        ("adam(0.01)", [None] * 3),
        ("compose('trace', 'scale(-0.1)')", [None] * 3),
    ],
)
def test_the_learning_rate_is_there_where_it_changes(
    update: str, expected: list[float | None]
) -> None:
    one = config(update, batch=48)  # five steps an epoch
    _, records = segment(one, prepare(one))
    rates = [record.optim.get("learning_rate") for record in records]
    assert rates == [rate if rate is None else pytest.approx(rate, rel=1e-5) for rate in expected]


def test_a_population_has_what_its_members_have_alone() -> None:
    updates = ["sgd(0.1)", "sgd('cosine(0.5)')", "sgd(0.3)", "sgd('linear(0.2)')", "sgd(0.01)"]
    members = [config(update, seed=seed, batch=70) for seed, update in enumerate(updates)]
    data = prepare(members[0])
    states, together = segment(members, data)
    for member, state, records in zip(members, states, together, strict=True):
        alone_state, alone = segment(member, data)
        assert [record.optim for record in records] == [record.optim for record in alone]
        assert digest(state, records) == digest(alone_state, alone)
    assert ["learning_rate" in records[0].optim for records in together] == [0, 1, 0, 1, 0]


def test_segments_have_what_one_course_has() -> None:
    one = config("momentum('cosine(0.2)')", batch=70)
    data = prepare(one)
    _, whole = segment(one, data)
    state = None
    parts = []
    for _ in range(3):
        state, records = segment(one, data, state, 1)
        parts += records
    assert [record.optim for record in parts] == [record.optim for record in whole]


def test_they_are_no_part_of_a_digest() -> None:
    one = config()
    state, records = segment(one, prepare(one))
    before = digest(state, records)
    for record in records:
        record.optim.clear()
    assert digest(state, records) == before


def test_a_network_that_trains_nothing_has_norms_of_zero() -> None:
    data = prepare(config())
    network = build(
        ["relu"],
        196,
        loss="squared_error",
        rule="sgd",
        seeds=[0],
        lead=(),
        batch=10,
        eval_batch=10,
        dtype="float32",
        ops=cpu,
    )
    norms = np.full((), np.nan)
    network.step(data.x[:10], data.x[:10], 0.0, norms)
    numbers = LastStep.of(network, norms).of_member(config(), ())
    assert numbers == {"gradient_norm": 0, "update_norm": 0}


def test_several_seeds_have_the_mean() -> None:
    one = config()
    data = prepare(one)
    members = []
    for seed in (0, 1):
        members.append(Member(*segment(one.replace(seed=seed), data)))
    for mean, *each in zip(mean_records(members), *(m.records for m in members), strict=True):
        for key, value in mean.optim.items():
            assert value == pytest.approx(sum(record.optim[key] for record in each) / 2)
