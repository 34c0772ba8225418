"""Trials of one sweep are measured alike: by the same data, the same validation part and the same
metric.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import registry
from harness.builtin.layers import mlp
from harness.config import Config
from harness.errors import UsageError
from harness.storage.records import TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.sweep import Sweep


@pytest.fixture(autouse=True)
def at(fresh: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with an empty store, and the folder that the data lie in."""
    root = fresh()
    monkeypatch.setenv("HARNESS_ROOT", str(root))
    monkeypatch.chdir(root)
    return root


def table(name: str, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(60, 3))
    rows = [f"{a},{b},{'yes' if c > 0 else 'no'}" for a, b, c in values]
    Path(name).write_text("\n".join(["a,b,label", *rows]))


def start(trials: int = 2, data: Any = "csv(path='a.csv', label='label')", **more: Any) -> Any:
    """A sweep in a process of its own, as far as data sets are read once in each."""
    from harness.trials import identity

    identity.begin_with_data_as_they_are()

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 0.01, 0.1)
        given = {"batch": 5, "epochs": 1, "film": None, **more}
        chosen = data(trial) if callable(data) else data
        return Config(data=chosen, layers=mlp([2, 3, 2]), update=f"sgd({rate})", **given)

    return Sweep(space, "measured", trials=trials, sampler="RandomSampler", checkpoint=0).run()


def ended() -> int:
    return sum(
        isinstance(run, TrialRun)
        for run in Spool(folder_of("sweep", "measured") / "spool").records()
    )


@pytest.mark.parametrize("more", [0, 2])
def test_edited_data_are_never_ranked_with_what_they_were(more: int) -> None:
    table("a.csv", 1)
    start()
    table("a.csv", 2)
    said = (
        r"all trials of sweep 'measured' must be measured alike, but the data set "
        r"csv\(.*'a.csv'.*\) had the digest "
        r"[0-9a-f]{12} for trial #0 and has [0-9a-f]{12} now; restore the data, or start under "
        r"another name"
    )
    with pytest.raises(UsageError, match=said):
        start(2 + more)
    assert ended() == 2
    table("a.csv", 1)
    assert len(start(2 + more).trials) == 2 + more


def test_another_file_is_other_data_and_an_equal_copy_is_the_same() -> None:
    table("a.csv", 1)
    table("b.csv", 2)
    start()
    with pytest.raises(UsageError, match=r"had the digest .* now; go back from csv\(.*'b.csv'.*\)"):
        start(4, data="csv(path='b.csv', label='label')")
    table("b.csv", 1)
    assert len(start(4, data="csv(path='b.csv', label='label')").trials) == 4


@pytest.mark.parametrize(("option", "value"), [("valid", 0.4), ("split_seed", 7)])
def test_another_validation_part_is_refused(option: str, value: float) -> None:
    table("a.csv", 1)
    start()
    with pytest.raises(
        UsageError, match=f"but trial #0 had {option}=.*, and now it is {value}; change it back"
    ):
        start(4, **{option: value})


def test_data_that_are_suggested_may_differ_and_none_of_them_be_edited() -> None:
    table("a.csv", 1)
    table("b.csv", 2)

    def either(trial: Any) -> str:
        return f"csv(path='{trial.suggest_categorical('file', ['a', 'b'])}.csv', label='label')"

    start(6, data=either)
    digests = {run.result.yardstick["data"] for run in start(8, data=either).trials}
    assert len(digests) == 2
    table("b.csv", 3)
    with pytest.raises(UsageError, match=r"the data set csv\(.*'b.csv'.*\) had the digest"):
        start(20, data=either)


def test_what_was_in_training_begins_again_with_edited_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from harness.workers.inline import Inline

    table("a.csv", 1)
    taken = Inline.next
    calls: list[int] = []

    def stopped(self: Inline, seconds: float | None = None) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return taken(self, seconds)

    with monkeypatch.context() as patch:
        patch.setattr(Inline, "next", stopped)
        with pytest.raises(KeyboardInterrupt):
            start(2, epochs=3)
    assert ended() == 0
    table("a.csv", 2)
    edited = start(2, epochs=3).best
    assert edited.tags["harness.data_digest"] == edited.result.yardstick["data"]


METRIC = """
import harness, numpy as np

@harness.metric(task="classification", direction="maximize")
def own():
    def measure(predictions, y):
        return np.mean(predictions.argmax(axis=-1) == y, axis=-1) * {factor}
    return measure

@harness.activation()
def steeper(z):
    return z * {slope}
"""


def test_an_edited_metric_is_refused_and_another_plugin_is_a_new_thing_to_try() -> None:
    table("a.csv", 1)
    plugin = Path("plugin.py").resolve()

    def load(factor: float, slope: float) -> None:
        plugin.write_text(METRIC.format(factor=factor, slope=slope))
        registry.load_plugin(str(plugin))

    try:
        load(1.0, 1.0)
        start(2, metric="own")
        load(1.0, 2.0)
        assert len(start(4, metric="own").trials) == 4
        load(2.0, 2.0)
        with pytest.raises(
            UsageError,
            match=r"but the metric own had the digest .* restore its "
            r"source",
        ):
            start(6, metric="own")
    finally:
        registry.unload_plugin(str(plugin))
