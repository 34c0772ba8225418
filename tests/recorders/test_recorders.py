"""Recorders: what they add to a run, on networks whose insides are known."""

import io

import numpy as np
import pytest

from harness import Config, mlp, registry
from harness.data import from_arrays
from harness.errors import PluginError
from harness.recorders import Report, Trained, report
from harness.recorders.told import story_of_trained
from harness.registry.products import make
from harness.training.prepare import prepare
from harness.training.segment import segment


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 4)).astype(np.float32)
    data = from_arrays("corners", x, (x[:, 0] > 0).astype(int))
    config = Config(
        layers=mlp([4, 3, 2]),
        update="sgd(0.1)",
        batch=20,
        epochs=2,
        valid=0.25,
        film="film(frames=4)",
    )
    prepared = prepare(config, data)
    state, records = segment(config, prepared)
    return Trained(config, prepared, state, records)


def test_history_holds_the_loss_of_every_step(trained):
    file = np.load(io.BytesIO(make("recorder", "history")(trained).artifacts["history.npz"]))
    # 150 rows / 20 = 8 steps, the last one of 10 rows, twice
    assert file["step"].tolist() == list(range(1, 17))
    assert file["loss"].tolist() == [v for r in trained.records for v in r.losses.tolist()]


def test_the_story_of_a_film_writes_numbers_in_short(trained):
    config = trained.config.replace(
        update="compose(weight_decay(0.00012345678), sgd(0.0133936936))"
    )
    state, records = segment(config, trained.data)
    story = story_of_trained(Trained(config, trained.data, state, records))
    assert "weight_decay(rate=0.0001235)" in story.subtitle
    assert "sgd(learning_rate=0.01339)" in story.subtitle


def test_timing_sums_the_epochs(trained):
    metrics = make("recorder", "timing")(trained).metrics
    assert metrics["time/train_s"] == sum(r.seconds["train_s"] for r in trained.records) > 0
    assert metrics["time/step_us"] == pytest.approx(1e6 * metrics["time/train_s"] / 16)


def test_health_counts_dead_and_saturated_units(trained):
    state = {**trained.state, "theta": trained.state["theta"].copy()}
    # layer 0 is W (4, 3) then, undecayed, b; W = 0 and b = (-1, 1, 1) leave three constant units,
    # one of them flat
    state["theta"][:12] = 0.0  # W of layer 0 comes first
    w1 = state["theta"][12:18].copy()
    state["theta"][18:21] = (-1.0, 1.0, 1.0)
    said = make("recorder", "health(rows=50)")(
        Trained(trained.config, trained.data, state, trained.records)
    ).metrics
    assert said["health/1/dead"] == 1.0
    assert said["health/1/saturated"] == pytest.approx(1 / 3)
    assert said["health/0/W/norm"] == 0.0
    assert said["health/0/b/norm"] == pytest.approx(3**0.5)
    assert said["health/2/W/norm"] == pytest.approx(float(np.linalg.norm(w1)))
    # the network as trained: no unit is constant, and relu is flat exactly where its output is 0
    said = make("recorder", "health")(trained).metrics
    assert said["health/1/dead"] < 1
    assert 0 < said["health/1/saturated"] < 1


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (Report({}, {"a.txt": "text"}), "the artifact 'a.txt' is a str"),
        (Report({"a": "3"}, {}), "the metric 'a' is a str"),
        (Report({"a": np.zeros(3)}, {}), "the metric 'a' is a ndarray"),
        ({"a": 1.0}, "{'a': 1.0}"),
        (None, "None"),
    ],
)
def test_what_the_books_cannot_hold_fails_the_trial(trained, said, what, monkeypatch):
    registry.recorder("odd")(lambda: lambda trained: said)
    config = trained.config.replace(film=None, recorders=["odd"])
    with pytest.raises(
        PluginError, match=f"the recorder 'odd' must return Report.*, got {what}; text.encode"
    ):
        report(Trained(config, trained.data, trained.state, trained.records))


def test_report_measures_the_film_apart(trained):
    said = report(trained)
    assert set(said.artifacts) == {"history.npz", "film.html", "film.png"}
    assert said.metrics["time/film_s"] > 0
    assert "time/history_s" not in said.metrics
