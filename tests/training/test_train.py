"""Training as a fold: the same bits twice, in pieces, in a crowd, in another process; and against
slow references.
"""

import copy
import hashlib
import io
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from siblings import tried_each_time

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.data import from_arrays, load, split
from harness.engine.contracts import Rule
from harness.engine.network import build
from harness.errors import PluginError, UsageError
from harness.ops import stream
from harness.registry import known
from harness.testing.samples import examples
from harness.training import networks
from harness.training import segment as segments
from harness.training.film import film_path
from harness.training.networks import construct
from harness.training.prepare import prepare, resolved
from harness.training.prepared import Data
from harness.training.scoring import evaluate
from harness.training.segment import segment
from harness.training.state import Record, restore
from harness.training.state import digest as result_digest
from harness.trials.failure import failure_of

RECIPE = "compose(clip_norm(1.0), weight_decay(0.001), adam(cosine(0.01)))"
RICH = [
    "dropout(0.1)",
    "dense(20)",
    "relu",
    "dropout(0.3)",
    "residual(dense(20), tanh)",
    "dense(10)",
]


def config(**changes: Any) -> Config:
    """A small network on small digits: 240 examples to train on, 60 to validate, 12 steps an
    epoch.
    """
    given = {
        "layers": RICH,
        "data": "mnist14(rows=300)",
        "update": RECIPE,
        "batch": 20,
        "epochs": 3,
        "film": "film(frames=5)",
    }
    return Config(**{**given, **changes})


def run(config: Any, state: Any = None, epochs: int | None = None) -> tuple[Any, Any]:
    return segment(
        config, prepare(config[0] if isinstance(config, list) else config), state, epochs
    )


def same_state(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key, value in a.items():
        np.testing.assert_array_equal(np.asarray(value), np.asarray(b[key]), err_msg=key)
        assert np.asarray(value).dtype == np.asarray(b[key]).dtype


def same_records(a: list[Record], b: list[Record]) -> None:
    for one, other in zip(a, b, strict=True):
        assert (one.epoch, one.step, one.bad_step) == (other.epoch, other.step, other.bad_step)
        assert repr(one.metrics) == repr(other.metrics)  # NaN equals NaN
        np.testing.assert_array_equal(one.losses, other.losses)


def digest(state: dict[str, Any], records: list[Record]) -> str:
    """SHA-256 over the bytes of weights, metrics, losses and film frames."""
    sha = hashlib.sha256(state["theta"].tobytes())
    for record in records:
        sha.update(repr(sorted(record.metrics.items())).encode() + record.losses.tobytes())
    for frame in state["film/frames"]:
        sha.update(frame.tobytes())
    return sha.hexdigest()


# The same bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_twice_the_same_bytes(dtype: str) -> None:
    (first, records), (second, again) = run(config(dtype=dtype)), run(config(dtype=dtype))
    same_state(first, second)
    same_records(records, again)
    assert digest(first, records) == digest(second, again)
    assert first["theta"].dtype == np.dtype(dtype)
    assert len(first["film/frames"]) == 5
    assert digest(*run(config(dtype=dtype, seed=1))) != digest(first, records)


def test_another_process_gives_the_same_bytes() -> None:
    script = (
        "import sys; sys.path[:0] = ['tests/training', 'tests']\n"
        "from test_train import config, digest, run\n"
        "run(config(seed=3, epochs=1))\n"  # something else first
        "print(digest(*run(config())))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert done.stdout.strip() == digest(*run(config()))


def test_pieces_equal_the_whole() -> None:
    """1 + 2 epochs, 1 + 1 + 1 epochs, and through a file in between, equal 3 epochs."""
    whole, records = run(config(select="best", patience=3))
    for pieces in ([1, 2], [1, 1, 1], [2, None]):
        state = None
        found = []
        for epochs in pieces:
            if state is not None:
                state = through_a_file(state)
            state, more = run(config(select="best", patience=3), state, epochs)
            found += more
        same_state(state, whole)
        same_records(found, records)
    after, none = run(config(select="best", patience=3), whole, 5)
    assert none == []
    same_state(after, {k: v for k, v in whole.items() if k in after})


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, **{k: np.asarray(v) for k, v in state.items()})
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        back = {k: saved[k] for k in saved}
    lists = {k: list(back[k]) for k in ("film/frames",)} | {
        "film/steps": back["film/steps"].tolist()
    }
    return {
        k: back[k].item() if not isinstance(v, np.ndarray | list) else lists.get(k, back[k])
        for k, v in state.items()
    }


def test_segment_writes_into_nothing_it_was_given() -> None:
    state, _ = run(config(select="best"), None, 1)
    data = prepare(config())
    kept = copy.deepcopy(state)
    before = [a.copy() for a in (data.x, data.t, data.y, data.x_valid, data.t_valid)]
    segment(config(select="best"), data, state)
    same_state(state, kept)
    for a, b in zip(before, (data.x, data.t, data.y, data.x_valid, data.t_valid), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_digest_is_of_the_result_alone() -> None:
    (state, records), (again, more) = run(config()), run(config())
    found = result_digest(state, records)
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert [r.seconds for r in records] != [r.seconds for r in more]
    assert result_digest(again, more) == found
    again["theta"][7] = np.nextafter(again["theta"][7], np.float32(9))  # one bit of one weight
    assert result_digest(again, more) != found
    more[1].metrics["valid/accuracy"] += 1e-16
    assert result_digest(state, records) == found != result_digest(state, more)
    assert result_digest(state, records[:2]) != found
    state["theta"][0] = np.nan
    broken = result_digest(state, records)
    state["theta"][0] = -np.float32(np.nan)  # which NaN it is depends on how it came about
    assert result_digest(state, records) == broken != found


# Networks that are kept between segments ----------------------------------------------------------

# An activation keeps nothing between two batches, so that a few stand for all of them.
QUICK_ACTIVATIONS = ("relu", "gelu", "hard_swish", "softplus")


def is_quick(kind: str, name: str) -> bool:
    return name in QUICK_ACTIVATIONS if kind == "activation" else tried_each_time(name)


EXAMPLES = [
    pytest.param(
        kind,
        spec,
        id=registry.text(spec),
        marks=[] if is_quick(kind, spec["name"]) else [pytest.mark.slow],
    )
    for kind in ("layer", "activation", "update_rule", "loss", "schedule")
    for entry in registry.entries(kind)
    if entry.factory.__module__.startswith("harness.")
    for spec in examples(entry, {})[:1]
]


def with_example(kind: str, spec: Any) -> Config:
    """Four epochs of a small network in which a layer, a rule, a loss or a schedule takes part."""
    middle = [spec] if kind in ("layer", "activation") else ["batch_norm", "relu", "dropout(0.3)"]
    given: dict[str, Any] = {
        "layers": ["dense(12)", *middle, "dense(10)"],
        "epochs": 4,
        "film": None,
    }
    given["update"] = {
        "update_rule": spec,
        "schedule": {"name": "momentum", "learning_rate": spec},
    }.get(kind, RECIPE)
    return config(**given, **({"loss": spec} if kind == "loss" else {}))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one when a network is built. No network is kept at the start."""
    networks.kept.clear()
    counted: list[int] = []

    def counting(*args: Any, **options: Any) -> Any:
        counted.append(1)
        return build(*args, **options)

    monkeypatch.setattr(networks, "build", counting)
    return counted


@pytest.mark.parametrize(("kind", "spec"), EXAMPLES)
def test_a_network_that_was_kept_gives_the_bytes_of_a_new_one(
    kind: str, spec: Any, built: list[int]
) -> None:
    """The kept network has trained further, and then goes on from an earlier state, as a second
    trial would.
    """
    given = with_example(kind, spec)
    if kind == "loss" and registry.find("loss", spec["name"]).name == "squared_error":
        given = given.replace(update="sgd(0.01)")
    first, _ = run(given, None, 1)
    second, records = run(given, first, 1)
    run(given, second, 1)  # dirties what is kept
    assert len(built) == 1
    again, same = run(given, first, 1)
    assert len(built) == 1
    networks.kept.clear()
    new, expected = run(given, first, 1)
    assert len(built) == 2
    for state, course in ((second, records), (again, same)):
        same_state(state, new)
        same_records(course, expected)
        assert result_digest(state, course) == result_digest(new, expected)


def test_a_population_that_was_kept_gives_the_bytes_of_a_new_one(built: list[int]) -> None:
    members = [config(seed=p, update=f"momentum({0.1 * (p + 1)})", epochs=4) for p in range(3)]
    first, _ = run(members, None, 1)
    second, _ = run(members, first, 1)
    run(members, second, 1)
    again, _ = run(members, first, 1)
    assert len(built) == 1
    one, _ = run(members[0], first[0], 1)  # a member alone is another network
    assert len(built) == 2
    same_state(one, second[0])
    for a, b in zip(again, second, strict=True):
        same_state(a, b)


def test_no_network_is_kept_where_it_may_be_another(
    built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(epochs=3)
    first, _ = run(given, None, 1)
    run(given, first)  # to its end
    assert not networks.kept
    run(given, None, 1)
    run(given.replace(update="sgd(0.1)"), None, 1)
    assert len(networks.kept) == 2
    registry.schedule("registered_anew")(lambda: lambda fraction: 1.0)
    before = len(built)
    run(given, first, 1)  # what a name means may have changed
    assert len(built) == before + 1
    for seed in range(2 * networks.MOST_KEPT):
        run(given.replace(seed=seed), None, 1)
    assert len(networks.kept) == networks.MOST_KEPT
    networks.kept.clear()
    monkeypatch.setattr(networks, "LARGEST_KEPT", 5449)
    run(config(layers=["dense(26)", "dense(10)"]), None, 1)  # 5,392 parameters
    assert len(networks.kept) == 1
    run(config(layers=["dense(27)", "dense(10)"]), None, 1)  # 5,599
    assert len(networks.kept) == 1


def test_a_network_whose_training_raises_is_not_kept(
    built: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = config(epochs=3)
    first, _ = run(given, None, 1)
    monkeypatch.setattr(segments, "measure", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(given, first, 1)
    assert not networks.kept


# Populations --------------------------------------------------------------------------------------

MEMBERS = {
    "sgd": [{"update": f"sgd({r})"} for r in (0.05, 0.5, "linear(0.5)")],
    "momentum": [
        {"update": f"momentum({r}, decay={d})"} for r, d in ((0.05, 0.9), (0.1, 0.0), (0.2, 0.5))
    ],
    "adam": [
        {"update": f"adam({r}, beta2={b})"} for r, b in ((0.01, 0.999), (0.001, 0.9), (0.05, 0.99))
    ],
    "compose": [
        {"update": f"compose(clip_norm({c}), weight_decay({w}), adam({r}))"}
        for c, w, r in ((1.0, 0.0, 0.01), (0.1, 0.01, 0.005), (5.0, 0.1, "cosine(0.02)"))
    ],
}


@pytest.mark.parametrize("order_seed", [None, 4], ids=["own order", "shared order"])
@pytest.mark.parametrize("rule", MEMBERS)
def test_members_equal_each_alone(rule: str, order_seed: int | None) -> None:
    members = []
    for p, change in enumerate(MEMBERS[rule]):
        layers = [f"dropout({0.1 * p})", *RICH[1:3], f"dropout({0.5 - 0.2 * p})", *RICH[4:]]
        members.append(
            config(
                layers=layers, seed=p, order_seed=order_seed, select="best", eval_batch=17, **change
            )
        )
    states, records = run(members)
    for p, member in enumerate(members):
        state, alone = run(member)
        same_state(states[p], state)
        same_records(records[p], alone)
    assert len({digest(s, r) for s, r in zip(states, records, strict=True)}) == 3


def test_members_in_pieces_equal_each_alone() -> None:
    members = [config(seed=p, update=f"momentum({0.1 * (p + 1)})") for p in range(3)]
    states, _ = run(members, None, 1)
    states, _ = run(members, states, 1)
    states, _ = run(members, states)
    for p, member in enumerate(members):
        same_state(states[p], run(member)[0])


def test_members_with_one_seed_share_their_order() -> None:
    """The same seed without order_seed: the order is gathered once, and the result is still each
    one's own.
    """
    members = [config(update=f"sgd({r})") for r in (0.1, 0.2)]
    states, _ = run(members)
    for p, member in enumerate(members):
        same_state(states[p], run(member)[0])


@pytest.mark.parametrize("value", [lambda p: p[..., 0], lambda p: "good", lambda p: None])
def test_a_metric_gives_one_number_for_each_network(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.metric("odd")(lambda: lambda p, y: value(p))
    with pytest.raises(
        PluginError,
        match=r"the metric 'odd' must give a number \(...,\) for "
        r"predictions",
    ):
        run(config(metric="odd"))


@pytest.mark.parametrize(
    ("forward", "outputs", "note"),
    [
        (
            None,
            8,
            "in bind(ctx, I) of layer odd at 1, I 8; must return forward and how many "
            "features come out",
        ),
        (
            lambda x, train: x,
            8,
            "in forward(x, train) of layer odd at 1, x (20, 8); must return y and backward",
        ),
        # what a layer said of its outputs is what it must return
        (
            lambda x, train: (x, None),
            7,
            "in forward(x, train) of layer odd at 1, x (20, 8); must return y and backward",
        ),
        (
            lambda x, train: (x, lambda dy: None),
            8,
            "in backward(dy) of layer dense(units=8) at 0, dy NoneType; must",
        ),
    ],
)
def test_an_error_says_in_which_layer(
    forward: Any, outputs: int, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.layer("odd")(lambda: lambda ctx, I: forward and (forward, outputs))
    with pytest.raises((AttributeError, PluginError, TypeError, ValueError)) as caught:
        run(config(layers=["dense(8)", "odd", "dense(10)"]))
    (said,) = caught.value.__notes__
    assert said.startswith(note)
    # The sentence is the error, not the note
    assert not failure_of(caught.value, None)[1].startswith(note[:6])


def test_an_error_within_a_layer_of_layers_says_where_from_the_inside_out() -> None:
    def broken(ctx: Any, I: int) -> Any:
        return (lambda x, train: x), I

    registry.layer("broken")(lambda: broken)
    with pytest.raises(ValueError, match="unpack") as caught:
        run(config(layers=["dense(8)", "residual(broken)", "dense(10)"]))
    inner, outer = caught.value.__notes__
    assert inner.startswith("in forward(x, train) of layer broken at 1/body/0, x (20, 8); must")
    assert outer.startswith("in forward(x, train) of layer residual(broken) at 1, x (20, 8); must")


def test_members_of_a_regression_equal_each_alone() -> None:
    given = Config(
        layers=["dense(8)", "tanh", "dense(1)"],
        data="friedman1(rows=300)",
        loss="squared_error",
        metric="rmse",
        epochs=2,
        batch=30,
        scale="standardize",
        film=None,
    )
    members = [given.replace(update=f"momentum({0.01 * (s + 1)})", seed=s) for s in range(2)]
    states, records = run(members)
    for p, member in enumerate(members):
        state, alone = run(member)
        same_state(states[p], state)
        same_records(records[p], alone)


def test_a_diverging_member_leaves_the_others_alone() -> None:
    members = [config(update=f"sgd({r})", seed=s) for s, r in ((0, 0.1), (1, 1e30), (2, 0.2))]
    states, records = run(members)
    assert [r[-1].bad_step is None for r in records] == [True, False, True]
    assert [len(r) for r in records] == [3, 1, 3]
    for p, member in enumerate(members):
        state, alone = run(member)
        same_state(states[p], state)
        same_records(records[p], alone)


@pytest.mark.parametrize("pieces", [[None], [1, 10, 1], [9, None]], ids=str)
def test_a_member_that_stops_early_keeps_its_state(pieces: list[int | None]) -> None:
    """Whichever member it is, and in how many segments the others go on."""
    options = {"patience": 1, "epochs": 12, "layers": ["dense(10)"], "select": "best"}
    members = [
        config(update=f"sgd({r})", seed=s, **options) for s, r in ((0, 30.0), (0, 0.05), (0, 3.0))
    ]
    alone = [run(member) for member in members]
    lengths = [len(records) for _, records in alone]
    assert lengths[0] < lengths[1] == 12, (
        "the example must have members that stop at different times"
    )
    states = None
    found = [[], [], []]
    for epochs in pieces:
        states, records = run(members, states, epochs)
        for all_of_it, more in zip(found, records, strict=True):
            all_of_it += more
    for p in range(3):
        same_state(states[p], alone[p][0])
        same_records(found[p], alone[p][1])


# Against slow references --------------------------------------------------------------------------


def softmax(y: np.ndarray) -> np.ndarray:
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def slow_mlp(
    config: Config,
    data: Data,
    theta: dict[str, np.ndarray],
    rate: float,
    decay: float,
    weights: Any = None,
) -> Any:
    """Two layers with relu by momentum in float64, one example after the other. Returns theta and
    the losses.
    """
    W, b, V, c = (theta[k].astype(np.float64) for k in ("0/W", "0/b", "2/W", "2/b"))
    v = [np.zeros_like(a) for a in (W, b, V, c)]
    batch = len(data.x) if config.batch == "full" else config.batch
    losses = []
    for epoch in range(1, config.epochs + 1):
        order = np.random.Generator(
            np.random.Philox(stream(config.seed, "order", epoch))
        ).permutation(len(data.x))
        for begin in range(0, len(data.x), batch):
            rows = order[begin : begin + batch]
            if len(rows) < batch and config.drop_last and begin:
                break  # what is left over waits for the next epoch's order
            gradients = [np.zeros_like(a) for a in (W, b, V, c)]
            total = 0.0
            for row in rows:
                x = data.x[row : row + 1]
                label = int(data.y[row])
                weight = 1.0 if weights is None else weights[label]
                z = x @ W + b
                h = np.maximum(z, 0.0)
                p = softmax(h @ V + c)
                total -= weight * np.log(p[0, label])
                dy = weight * (p - np.eye(p.shape[1])[label])
                dz = (dy @ V.T) * (z > 0)
                for g, each in zip(gradients, (x.T @ dz, dz, h.T @ dy, dy), strict=True):
                    g += each / len(rows)
            losses.append(total / len(rows))
            for a, s, g in zip((W, b, V, c), v, gradients, strict=True):
                s[...] = decay * s + g
                a -= rate * s
    return {"0/W": W, "0/b": b, "2/W": V, "2/b": c}, np.array(losses)


def start_and_end(
    config: Config, data: Data
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[Record]]:
    network = construct(config, data)
    network.initialize()
    start = {k: network.arena.view(network.arena.value, k).copy() for k in network.arena.slices}
    state, records = segment(config, data)
    return start, {k: network.arena.view(state["theta"], k) for k in network.arena.slices}, records


@pytest.mark.parametrize(
    ("batch", "drop_last", "class_weight", "steps"),
    [
        (20, False, None, 6),
        (20, True, None, 5),
        (23, False, None, 5),
        (57, False, "balanced", 3),  # of which the last has a single example
        ("full", False, None, 1),
        (1000, False, None, 1),
        (20, True, "balanced", 5),
    ],
)
def test_training_equals_a_slow_reference(
    batch: Any, drop_last: bool, class_weight: str | None, steps: int
) -> None:
    """Order, batches, the last batch, weights and losses, by loops that share nothing with the
    engine.
    """
    rng = np.random.default_rng(0)
    y = rng.choice(3, 115, p=[0.8, 0.15, 0.05])
    source = from_arrays("three", rng.standard_normal((115, 4)) + y[:, None], y)
    given = Config(
        layers=["dense(5)", "relu", "dense(3)"], update="momentum(0.1, decay=0.5)", batch=batch, epochs=3, valid=0.0,
        dtype="float64", class_weight=class_weight, drop_last=drop_last, film=None, seed=3,
    )  # fmt: skip
    data = prepare(given, source)
    start, end, records = start_and_end(given, data)
    weights = 115 / (3 * np.bincount(y)) if class_weight else None
    expected, losses = slow_mlp(given, data, start, 0.1, 0.5, weights)
    for name, value in expected.items():
        assert not np.allclose(start[name], end[name], rtol=1e-3)
        np.testing.assert_allclose(end[name], value, rtol=1e-9, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(np.concatenate([r.losses for r in records]), losses, rtol=1e-10)
    assert records[-1].step == len(losses) == 3 * steps
    assert [r.metrics.keys() for r in records] == [{"train/loss"}] * 3


def test_the_loss_of_an_epoch_is_the_mean_over_its_examples() -> None:
    """240 examples in batches of 100: the last 40 count as 40."""
    _, records = run(config(batch=100))
    for record in records:
        mean = (100 * record.losses[0] + 100 * record.losses[1] + 40 * record.losses[2]) / 240
        assert len(record.losses) == 3
        assert record.metrics["train/loss"] == pytest.approx(mean, rel=1e-6)


# 240 examples in batches of 239: a last batch of one, which has no variance
SHORT = [
    {"batch": 100, "update": "compose(clip_norm(1.0), adam(cosine(0.01)))"},
    {
        "batch": 239,
        "layers": ["dense(20)", "batch_norm", "relu", "dropout(0.3)", "maxout(9)", "dense(10)"],
    },
    {"batch": 241, "drop_last": False},
]


@pytest.mark.parametrize("change", SHORT, ids=["100", "239", "241"])
def test_a_shorter_last_batch_keeps_every_promise(change: dict[str, Any]) -> None:
    """The same bits in pieces, from a file and in a population; frames at the steps that are
    named.
    """
    members = [config(**change, seed=p, film="film(every=1)", epochs=4) for p in range(3)]
    whole, records = run(members[0])
    assert whole["film/steps"] == list(range(len(whole["film/frames"])))
    assert (
        records[-1].step == whole["step"] == whole["film/steps"][-1] == 4 * len(records[0].losses)
    )
    state, found = run(members[0], None, 1)
    state, more = run(members[0], through_a_file(state), 2)
    state, rest = run(members[0], state)
    same_state(state, whole)
    same_records([*found, *more, *rest], records)
    states, together = run(members)
    for p, member in enumerate(members):
        alone, its = run(member)
        same_state(states[p], alone)
        same_records(together[p], its)


def test_identity_knows_the_batches_as_they_come_out() -> None:
    """Of 240 examples: equal batches are one identity however they are asked for, others are
    another.
    """

    def identity(**change: Any) -> Any:
        given = config(**change)
        rows, whole, last = resolved(given)["batch"]
        assert rows * whole + last in (240, 200)
        return resolved(given)

    assert identity(batch=20) == identity(batch=20, drop_last=True)
    assert identity(batch=500) == identity(batch="full") == identity(batch=240, drop_last=True)
    assert identity(batch=100) != identity(batch=100, drop_last=True)


def test_without_its_last_batch_an_epoch_has_whole_batches_only() -> None:
    """Where the batches come out even, drop_last changes nothing; else it leaves out the steps that
    are short.
    """
    even = config(batch=20)
    same_state(run(even)[0], run(even.replace(drop_last=True))[0])
    kept = run(config(batch=100))[1]
    dropped = run(config(batch=100, drop_last=True))[1]
    np.testing.assert_array_equal(kept[0].losses[:2], dropped[0].losses)
    assert [len(r.losses) for r in (*kept, *dropped)] == [3] * 3 + [2] * 3


def three_classes(rows: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    y = rng.integers(0, 3, rows)
    return rng.standard_normal((rows, 4)) + y[:, None], y


def trained(
    x: np.ndarray, y: np.ndarray, weights: Any = None, **changes: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and losses after some epochs of full batches in float64."""
    fields: dict[str, Any] = {
        **{
            "layers": ["dense(5)", "tanh", "dense(3)"],
            "update": "momentum(0.3)",
            "batch": "full",
            "epochs": 5,
        },
        # A scale counts a row once
        **{"valid": 0.0, "dtype": "float64", "film": None, "scale": "none"},
    }
    given = Config(**{**fields, **changes})
    task = "regression" if y.dtype.kind == "f" else "classification"
    data = replace(prepare(given, from_arrays("weighted", x, y, task=task)), weights=weights)
    state, records = segment(given, data)
    return state["theta"], np.array([r.metrics["train/loss"] for r in records])


@pytest.mark.parametrize(
    "loss", ["softmax_cross_entropy(label_smoothing=0.1)", "focal", "hinge", "squared_error"]
)
@pytest.mark.parametrize("class_weight", [None, "balanced", {"0": 1, "1": 3, "2": 0.5}])
def test_whole_weights_in_a_full_batch_are_repeated_rows(loss: str, class_weight: Any) -> None:
    x, y = three_classes()
    weights = np.random.default_rng(6).integers(0, 4, len(y))
    for given in (weights, 7.0 * weights):  # only ratios count
        weighted = trained(x, y, given, loss=loss, class_weight=class_weight)
        repeated = trained(
            x.repeat(weights, axis=0), y.repeat(weights), loss=loss, class_weight=class_weight
        )
        for one, other in zip(weighted, repeated, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert not np.allclose(
        weighted[0], trained(x, y, loss=loss, class_weight=class_weight)[0], rtol=1e-3
    )


def test_rows_of_a_regression_weigh_too() -> None:
    x, y = three_classes()
    weights = np.random.default_rng(6).integers(0, 4, len(y))
    given: dict[str, Any] = {
        "layers": ["dense(5)", "tanh", "dense(1)"],
        "loss": "huber",
        "metric": "rmse",
    }
    target = x.sum(axis=1)
    weighted = trained(x, target, weights, **given)
    repeated = trained(x.repeat(weights, axis=0), target.repeat(weights), **given)
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-9, atol=1e-12)


def test_balanced_is_one_over_the_frequency_of_a_class() -> None:
    x, y = three_classes()
    frequency = np.bincount(y)
    given = {str(k): 1.0 / rows for k, rows in enumerate(frequency)}
    for one, other in zip(
        trained(x, y, class_weight="balanced"), trained(x, y, class_weight=given), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_weights_of_a_member_are_those_of_it_alone() -> None:
    x, y = three_classes()
    base = Config(
        layers=["dense(3)"], batch=7, epochs=2, valid=0.25, film=None, class_weight="balanced"
    )
    configs = [base, base.replace(seed=1), base.replace(update="sgd(0.3)", seed=2)]
    data = prepare(base, from_arrays("weighted", x, y))
    together = segment(configs, data)[0]
    for config, state in zip(configs, together, strict=True):
        np.testing.assert_array_equal(state["theta"], segment(config, data)[0]["theta"])


@pytest.mark.parametrize(
    ("class_weight", "sentence"),
    [
        (
            {"0": 1, "1": 1, "3": 1},
            "class_weight must name the classes of data set 'weighted', got '3'",
        ),
        (
            {"0": 1, "1": 1},
            "class_weight must name every class, but '2' is missing; give it a weight, such as 1",
        ),
    ],
)
def test_weights_of_other_classes_are_refused(class_weight: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        trained(*three_classes(), class_weight=class_weight)


def test_balanced_weights_help_the_rare_class() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(1000) < 0.04).astype(int)
    source = from_arrays("rare", rng.standard_normal((1000, 2)) + 1.2 * y[:, None], y)
    found = {}
    for class_weight in (None, "balanced"):
        given = Config(
            layers=["dense(2)"], update="sgd(0.5)", epochs=20, valid=0.3, metric="balanced_accuracy", film=None,
            class_weight=class_weight,
        )  # fmt: skip
        found[class_weight] = segment(given, prepare(given, source))[1][-1].metrics[
            "valid/balanced_accuracy"
        ]
    assert found[None] < 0.65
    assert found["balanced"] > 0.75


@pytest.mark.parametrize("eval_batch", [1, 7, 13, 59, 60, 61, 1000])
def test_evaluation_takes_any_batch(eval_batch: int) -> None:
    """60 validation rows: in parts, with tails of 4, 8, 1 and 0 rows, and padded to more than there
    are.
    """
    given = config(
        dtype="float64", layers=["dense(20)", "relu", "dense(10)"], eval_batch=eval_batch, epochs=1
    )
    data = prepare(given)
    state, records = segment(given, data)
    network = construct(given, data)
    restore(network, state)
    W, b, V, c = (network.arena.view(state["theta"], k) for k in ("0/W", "0/b", "2/W", "2/b"))
    p = softmax(np.maximum(data.x_valid @ W + b, 0) @ V + c)
    predictions, loss = evaluate(network, data.x_valid, data.t_valid, eval_batch)
    np.testing.assert_allclose(predictions, p, rtol=1e-12)
    expected = -np.mean(np.log(p[np.arange(60), data.y_valid]))
    assert float(loss) == pytest.approx(expected, rel=1e-12)
    assert records[0].metrics["valid/loss"] == float(loss)
    assert records[0].metrics["valid/accuracy"] == np.mean(p.argmax(axis=1) == data.y_valid)


def test_digits_are_learned() -> None:
    _, records = run(
        config(data="mnist14", layers=mlp([196, 50, 10]), update="adam(0.01)", epochs=5)
    )
    assert records[-1].metrics["valid/accuracy"] > 0.85
    assert records[-1].metrics["train/loss"] < records[0].metrics["train/loss"] / 3


def test_a_regression_is_learned() -> None:
    """Friedman 1: noise leaves 0.96 of the variance to explain, of which least squares finds
    0.7.
    """
    given = Config(
        layers=["dense(30)", "tanh", "dense(1)"],
        data="friedman1(rows=3000)",
        loss="squared_error",
        metric="r2",
        update="adam(0.02)",
        batch=50,
        epochs=20,
        scale="standardize",
        film=None,
    )
    state, records = run(given)
    data = prepare(given)
    x, unseen = (np.column_stack([a, np.ones(len(a))]) for a in (data.x, data.x_valid))
    rest = data.y_valid - unseen @ np.linalg.lstsq(x, data.y, rcond=None)[0]
    linear = 1 - np.mean(rest**2) / np.var(data.y_valid)
    assert linear < 0.8
    assert records[-1].metrics["valid/r2"] > linear + 0.12
    network = construct(given, data)
    restore(network, state)
    predictions, loss = evaluate(network, data.x_valid, data.t_valid, 1000)
    mean_square = np.mean((predictions - data.y_valid) ** 2)
    assert records[-1].metrics["valid/rmse"] == pytest.approx(np.sqrt(mean_square), rel=1e-6)
    assert float(loss) == pytest.approx(mean_square / 2, rel=1e-6)


# Course of a run ----------------------------------------------------------------------------------


def test_records_tell_the_course() -> None:
    _, records = run(config())
    assert [(r.epoch, r.step, len(r.losses)) for r in records] == [
        (1, 12, 12),
        (2, 24, 12),
        (3, 36, 12),
    ]
    for r in records:
        assert set(r.metrics) == {"train/loss", "valid/loss", "valid/accuracy"}
        assert r.metrics["train/loss"] == float(np.mean(r.losses, dtype=np.float64))
        assert set(r.seconds) == {"train_s", "evaluate_s", "capture_s"}
        assert all(v >= 0 for v in r.seconds.values())
    assert "valid/macro_f1" in run(config(metric="macro_f1", epochs=1))[1][0].metrics


def test_the_split_does_not_follow_the_seed() -> None:
    """Arms of a comparison with other seeds see the same validation rows; split_seed draws
    others.
    """
    one, other, third = (
        prepare(config(**c)) for c in ({"seed": 0}, {"seed": 1}, {"split_seed": 1})
    )
    np.testing.assert_array_equal(one.x_valid, other.x_valid)
    assert not np.array_equal(one.x_valid, third.x_valid)
    train, valid = split(load("mnist14(rows=300)"), 0.2, 0)
    assert (len(train), len(valid)) == (240, 60)
    np.testing.assert_allclose(
        one.x, load("mnist14(rows=300)").x[train] / np.float32(255), rtol=1e-6
    )


def test_film_shows_the_first_weights() -> None:
    given = config(film="film(every=10)", layers=["dropout(0.1)", "dense(20)", "tanh", "dense(10)"])
    state, _ = run(given)
    assert state["film/steps"] == [0, 10, 20, 30]
    frames = np.stack(state["film/frames"])
    assert frames.shape == (4, 196, 20)
    network = construct(given, prepare(given))
    assert film_path(network, 196) == "1/W"
    network.initialize()
    np.testing.assert_array_equal(frames[0], network.arena.view(network.arena.value, "1/W"))
    assert len({f.tobytes() for f in frames}) == 4
    last, _ = run(given.replace(film="film(steps=[36])"))
    np.testing.assert_array_equal(last["film/frames"][0], network.arena.view(last["theta"], "1/W"))
    assert run(given.replace(film=None))[0]["film/frames"] == []


def test_a_film_of_a_deeper_layer_goes_through_those_below() -> None:
    given = config(film="film(every=18, layer=1)", layers=["dense(20)", "tanh", "dense(10)"])
    state, _ = run(given)
    network = construct(given, prepare(given))
    first, second = (network.arena.view(state["theta"], path) for path in ("0/W", "2/W"))
    np.testing.assert_array_equal(state["film/frames"][-1], first @ second)
    own, _ = run(given.replace(film="film(every=18, layer=1, matrix=True)"))
    np.testing.assert_array_equal(own["film/frames"][-1], second)
    with pytest.raises(UsageError, match=r"layer must be one of 0\.\.1, .* got 2"):
        run(given.replace(film="film(layer=2)"))
    members = [given.replace(seed=seed) for seed in range(2)]
    together, _ = segment(members, prepare(given))
    for member, alone in zip(together, members, strict=True):
        frames = run(alone)[0]["film/frames"]
        np.testing.assert_array_equal(np.stack(member["film/frames"]), np.stack(frames))


def test_a_film_changes_nothing() -> None:
    with_film = run(config())
    without = run(config(film=None))
    np.testing.assert_array_equal(with_film[0]["theta"], without[0]["theta"])
    same_records(with_film[1], without[1])


def test_select_best_keeps_the_best_epoch() -> None:
    # a learning rate that jumps up and spoils what was learned
    jump = "sgd(step(0.2, factor=50.0, at=[0.6]))"
    given = config(select="best", epochs=8, update=jump, layers=["dense(20)", "tanh", "dense(10)"])
    state = None
    thetas = []
    values = []
    for _ in range(8):
        state, records = run(given, state, 1)
        thetas.append(state["theta"])
        values.append(records[0].metrics["valid/accuracy"])
    best = int(np.argmax(values))
    assert 0 < best < 7, "the example must have its best epoch inside"
    assert (state["best/epoch"], state["best/value"]) == (best + 1, values[best])
    np.testing.assert_array_equal(state["best/theta"], thetas[best])
    state, records = run(given.replace(metric="log_loss"))
    losses = [r.metrics["valid/log_loss"] for r in records]
    assert state["best/epoch"] == int(np.argmin(losses)) + 1


def test_a_metric_of_nan_is_never_the_best() -> None:
    registry.metric("never")(lambda: lambda p, y: np.nan)
    state, records = run(config(metric="never", select="best"))
    assert np.isnan(records[-1].metrics["valid/never"])
    assert not [name for name in state if name.startswith("best/")]


@pytest.mark.parametrize("patience", [1, 2])
def test_patience(patience: int) -> None:
    """After so many epochs without a lower validation loss training stops, no epoch sooner or
    later.
    """
    options = {"layers": ["dense(10)"], "update": "sgd(3.0)", "epochs": 15}
    _, course = run(config(**options))
    lowest = np.inf
    waited = 0
    expected = 15
    for record in course:
        loss = record.metrics["valid/loss"]
        lowest, waited = (loss, 0) if loss < lowest else (lowest, waited + 1)
        if waited == patience:
            expected = record.epoch
            break
    assert expected < 15, "the example must stop early"
    state, records = run(config(patience=patience, **options))
    same_records(records, course[:expected])
    assert (state["epoch"], state["stopped"], state["step"]) == (expected, 1, 12 * expected)
    after, none = run(config(patience=patience, **options), state)
    assert none == []
    np.testing.assert_array_equal(after["theta"], state["theta"])


ONE_WEIGHT = {
    "layers": ["dense(1, init=constant(1.0), bias=False)"],
    "loss": "squared_error",
    "metric": "rmse",
    "film": None,
}


def test_the_first_bad_step_is_named() -> None:
    """x = 1, t = 0, learning rate 1e6 + 1: each step multiplies the weight by -1e6, so step s sees
    a loss of 1e12^(s - 1) / 2. In float32, which ends at 3.4e38, that is 5e35 in step 4 and
    infinite in step 5."""
    source = from_arrays("ones", np.ones((3, 1)), np.zeros((3, 1)), task="regression")
    given = Config(**ONE_WEIGHT, batch=1, epochs=4, valid=0.0, update="sgd(1000001.0)")
    state, records = segment(given, prepare(given, source))
    assert [r.bad_step for r in records] == [None, 5]
    assert np.isfinite(records[1].losses).tolist() == [True, False, False]
    assert (state["stopped"], state["epoch"]) == (1, 2)


@pytest.mark.parametrize("valid", [0.0, 0.5])
def test_weights_that_break_in_the_last_step_are_noticed(valid: float) -> None:
    """One step whose loss is finite and whose update is not, with and without a validation part."""
    source = from_arrays("ones", np.ones((4, 1)), np.zeros((4, 1)), task="regression")
    given = Config(
        **ONE_WEIGHT,
        batch="full",
        epochs=1,
        valid=valid,
        update="compose(scale(1e30), scale(1e30))",
    )
    _, records = segment(given, prepare(given, source))
    assert records[0].losses.tolist() == [0.5]
    assert records[0].bad_step == 1


def test_a_learning_rate_far_too_large_learns_nothing() -> None:
    """relu units die in the first steps; the network goes on at chance, finite, and is no crash."""
    _, records = run(
        config(layers=mlp([196, 30, 10]), update="sgd(30.0)", data="mnist14(rows=1000)")
    )
    assert len(records) == 3
    assert records[-1].bad_step is None
    assert records[-1].metrics["valid/accuracy"] < 0.2


def test_scheduled_rates_follow_the_planned_steps() -> None:
    """Fractions are of the whole run, however it is cut into segments: the last of 36 steps has
    35/36 behind it.
    """
    given = config(update="sgd(linear(1.0))", layers=["dense(10)"])
    state, _ = run(given, None, 2)
    assert state["rule/learning_rate"] == pytest.approx(1 - 23 / 36, rel=1e-6)
    state, _ = run(given, state)
    assert state["rule/learning_rate"] == pytest.approx(1 - 35 / 36, rel=1e-5)
    assert state["rule/step"] == 36


@pytest.fixture
def evaluates_at_zero() -> Iterator[None]:
    """A rule that steps like sgd(0.1) and asks for weights of 0 where the network is measured."""

    @registry.update_rule("at_zero")
    def at_zero() -> Rule:
        inner = registry.make("update_rule", "sgd(0.1)")
        return Rule(inner.init, inner.update, None, lambda arena, state: np.zeros_like(arena.value))

    yield
    del known.registered["update_rule", "at_zero"]


@pytest.mark.usefixtures("evaluates_at_zero")
def test_rules_may_be_measured_elsewhere() -> None:
    plain = run(config(update="sgd(0.1)"))
    other = run(config(update="at_zero"))
    np.testing.assert_array_equal(plain[0]["theta"], other[0]["theta"])
    for a, b in zip(plain[1], other[1], strict=True):
        np.testing.assert_array_equal(a.losses, b.losses)
        assert b.metrics["valid/loss"] == pytest.approx(np.log(10.0), rel=1e-6)


# Data ---------------------------------------------------------------------------------------------


def test_data_are_prepared_once() -> None:
    assert prepare(config()) is prepare(config(seed=5))
    assert prepare(config()) is not prepare(config(valid=0.5))


def test_equal_rows_with_another_shape_are_other_data() -> None:
    x = np.arange(24.0).reshape(6, 4)
    y = np.array([0, 1] * 3)
    given = Config(layers=["dense(2)"], valid=0.0)
    plain = prepare(given, from_arrays("a", x, y))
    square = prepare(given, from_arrays("a", x, y, shape=(2, 2)))
    assert (plain.source.shape, square.source.shape) == (None, (2, 2))
    assert prepare(given, from_arrays("b", x, y)).source.name == "b"


# Cost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 3])
def test_more_steps_take_no_more_memory(members: int) -> None:
    """The peak of 40 steps is that of 4, give or take what records hold: no step needs an array of
    its own.
    """
    source = from_arrays(
        "noise", np.random.default_rng(0).standard_normal((1600, 300)), np.arange(1600) % 10
    )

    def peak(batch: int, epochs: int) -> int:
        one = Config(
            layers=["dense(200)", "relu", "dense(10)"], update="momentum(0.1)", valid=0.0, film=None
        )
        given = [one.replace(batch=batch, epochs=epochs, seed=s) for s in range(members)]
        data = prepare(given[0], source)
        tracemalloc.start()
        try:
            segment(given if members > 1 else given[0], data)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for batch in (400, 700):  # 1600 are four of the one, two of the other and a last one of 200
        peak(batch, 1)
        short = peak(batch, 1)
        long = peak(batch, 10)
        assert long - short < 60_000  # a batch has 400 x 300 x 4 = 480,000 bytes


# Refusals -----------------------------------------------------------------------------------------

REGRESSION = {
    "data": "friedman1(rows=100)",
    "loss": "squared_error",
    "metric": "rmse",
    "layers": ["dense(1)"],
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"batch": 241, "drop_last": True},
            "with drop_last batch must not exceed the training part, got 241 for 240 examples; "
            "choose a smaller batch",
        ),
        (
            {"layers": mlp([784, 10])},
            "the network takes 784 inputs but data set 'mnist14' has 196 features",
        ),
        (
            {"layers": ["dense(9)"]},
            "the last layer gives 9 outputs but data set 'mnist14' has 10 classes; end with "
            "dense(10)",
        ),
        (
            {**REGRESSION, "layers": ["dense(2)"]},
            "the last layer gives 2 outputs but data set 'friedman1' has 1 target",
        ),
        (
            {"metric": "rmse"},
            "metric 'rmse' is for regression, data set 'mnist14' is for classification",
        ),
        (
            {**REGRESSION, "metric": "accuracy"},
            "metric 'accuracy' is for classification, data set 'friedman1' is for regr",
        ),
        (
            {**REGRESSION, "class_weight": "balanced"},
            "class_weight is for classes, and data set 'friedman1' has none; leave it out",
        ),
        ({"update": "sgd(0.0)"}, "sgd: learning_rate must be above 0, got 0.0"),
        ({"layers": ["dense(0)"]}, "dense: units must be a whole number of at least 1, got 0"),
        (
            {"layers": ["dropout(1.0)", "dense(10)"]},
            "dropout: rate is the probability to drop and must lie in [0, 1)",
        ),
        (
            {"layers": ["dense(10, init=normal(std=0))"]},
            "normal: std must be a finite number above 0, got 0",
        ),
        ({"film": "film(steps=[0, 37])"}, "steps must increase and lie in 0..36, got [0, 37]"),
    ],
)
def test_refused(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(config(**change))
    assert str(caught.value).startswith(sentence)


def test_members_of_different_shapes_are_refused() -> None:
    with pytest.raises(
        UsageError, match="members of a population must share everything but scalars and seeds"
    ):
        run([config(), config(layers=["dense(10)"])])


def test_a_state_of_another_network_is_refused() -> None:
    state, _ = run(config(), None, 1)
    with pytest.raises(UsageError, match="the state does not fit the network: 'theta' is"):
        run(config(layers=["dense(10)"]), state)
    with pytest.raises(UsageError, match="the state does not fit the network: 'rule/v' is"):
        run(config(update="momentum(0.1)"), state)
