"""Comparisons through their public entry point, on MLflow's sqlite store."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import mlflow
import pytest

from harness import Config, mlp, registry
from harness.errors import UsageError
from harness.storage.formats import seal, unseal
from harness.studies.books import folder_of
from harness.studies.compare import TUNING, compare
from harness.studies.comparison import Comparison
from harness.studies.plan import Settings
from harness.studies.points import coordinates, trials_at
from harness.studies.statistics import paired_interval
from harness.studies.sweep import sweep
from harness.tracking.connect import store_uri
from harness.tracking.table import results
from harness.trials.job import Job, Trial
from harness.trials.work import work
from harness.workers.inline import Inline


def arm(activation="relu", **changes):
    values = {
        "data": "mnist14(rows=1000)",
        "layers": mlp([196, 16, 10], activation=activation),
        "update": "sgd(0.2)",
        "epochs": 1,
    }
    return Config(**{**values, "film": "film(frames=3)", **changes})


def tuned(activation="relu"):
    """A search space: the arm with a learning rate and a width to choose."""

    def space(trial):
        rate = trial.suggest_float("lr", 0.01, 2.0, log=True)
        units = trial.suggest_int("units", 4, 16, step=4)
        return arm(layers=mlp([196, units, 10], activation=activation), update=f"sgd({rate})")

    return space


def value_of(config):
    (outcome,) = work(Job([Trial(0, config)]))
    return outcome.value


def runs_of(name):
    client = mlflow.MlflowClient(store_uri())
    (parent,) = client.search_runs(
        ["1"], f"attributes.run_name = '{name}' and tags.\"harness.kind\" = 'comparison'"
    )
    children = client.search_runs(["1"], f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'")
    return client, parent, children


def test_every_arm_has_the_same_seeds_and_all_is_logged(root):
    result = compare("two arms", {"relu": arm(), "tanh": arm("tanh")}, seeds=2)
    assert result.seeds == [0, 1]
    client, parent, children = runs_of("two arms")
    assert sorted(c.info.run_name for c in children) == [
        "#0 relu seed=0",
        "#1 tanh seed=0",
        "#2 relu seed=1",
        "#3 tanh seed=1",
    ]
    assert {c.info.status for c in [parent, *children]} == {"FINISHED"}
    for c in children:
        a = c.data.params["arm"]
        seed = int(c.data.params["seed"])
        assert c.data.metrics["valid/accuracy"] == pytest.approx(result.values[a][seed], abs=1e-12)
    assert parent.data.metrics["mean/tanh"] == pytest.approx(result.mean("tanh"), abs=1e-12)
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} >= {"films.mp4", "films.png"}
    assert "| tanh&nbsp;&nbsp; |" in parent.data.tags["mlflow.note.content"]
    assert len(results("two arms")) == 4


def test_the_same_arm_twice_differs_by_nothing(root):
    result = compare("same", {"a": arm(), "b": arm()}, seeds=[3, 5])
    assert result.values["a"] == result.values["b"]
    assert result.arms()[1].difference == (0, 0, 0)
    assert "+0.0000 [+0.0000, +0.0000]" in result.table()


def test_started_again_it_repeats_nothing(root):
    first = compare("again", {"relu": arm()}, seeds=1)
    again = compare("again", {"relu": arm()}, seeds=2)
    assert again.values["relu"][0] == first.values["relu"][0]
    _, parent, children = runs_of("again")
    assert len(children) == 2
    assert parent.info.status == "FINISHED"


@pytest.mark.slow
def test_two_workers_change_nothing(root):
    arms = {"relu": arm(), "drop": arm(layers=mlp([196, 16, 10], dropout=0.2))}
    alone = compare("alone", arms, seeds=2)
    assert compare("together", arms, seeds=2, workers=2).values == alone.values


def test_a_diverged_arm_has_no_mean_and_says_why(root):
    result = compare("too large", {"good": arm(), "bad": arm(update="sgd(1e30)")}, seeds=1)
    assert result.values["bad"] == [None]
    assert math.isnan(result.arms()[0].std)  # one value has no deviation
    assert result.table().splitlines()[1].split()[1:4] == [
        f"{result.values['good'][0]:.4f}",
        "-",
        f"{result.values['good'][0]:.4f}",
    ]
    assert math.isnan(result.mean("bad"))
    assert "diverged: the loss was not finite at step" in result.table()
    _, parent, children = runs_of("too large")
    assert sorted(c.info.status for c in children) == ["FAILED", "FINISHED"]
    assert parent.info.status == "FINISHED"


def test_a_script_that_compares_ends_with_a_sentence(root, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from harness import Config, mlp\nfrom harness import compare\n"
        "compare('plain', {'a': Config(data='mnist14', layers=mlp([196, 10]), valid=0)})\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "Error: a comparison needs a validation part, got valid=0; give a share such as "
        "valid=0.2\n"
    )


# Search spaces as arms ----------------------------------------------------------------------------


def test_a_space_is_tuned_and_its_best_point_compared(root):
    result = compare(
        "tuned", {"relu": tuned(), "tanh": tuned("tanh"), "fixed": arm()}, seeds=2, points=4
    )
    for a, space in {"relu": tuned(), "tanh": tuned("tanh")}.items():
        made = list(trials_at(coordinates(4)))
        configs = [space(point) for point in made]
        assert result.tuning[a] == [value_of(c.replace(seed=TUNING)) for c in configs]
        best = max(range(4), key=lambda k, a=a: result.tuning[a][k])
        assert result.settings[a] == made[best].params
        assert result.values[a] == [value_of(configs[best].replace(seed=seed)) for seed in (0, 1)]
        note = f"lr={made[best].params['lr']!r} units={made[best].params['units']} (best of 4: "
        assert f"{note}{max(result.tuning[a]):.4f})" in result.table()
    assert result.values["fixed"] == [value_of(arm(seed=seed)) for seed in (0, 1)]
    assert result.tuning.keys() == result.settings.keys() == {"relu", "tanh"}


def test_tuning_is_logged_with_what_each_budget_is_worth(root):
    result = compare("logged", {"relu": tuned(), "tanh": tuned("tanh")}, seeds=1, points=4)
    client, parent, children = runs_of("logged")
    said = {
        key: parent.data.tags[f"harness.{key}"] for key in ("arms", "seeds", "points", "metric")
    }
    assert said == {"arms": '["relu", "tanh"]', "seeds": "0", "points": "4", "metric": "accuracy"}
    history = client.get_metric_history(parent.info.run_id, "tuned of 4/tanh")
    mean = sum(result.tuning["tanh"]) / 4
    best = max(result.tuning["tanh"])
    assert [m.step for m in history] == [1, 2, 3, 4]
    assert (history[0].value, history[-1].value) == pytest.approx((mean, best))
    names = {c.info.run_name.partition(" ")[2] for c in children}
    assert names == {
        f"{a} {of}"
        for a in ("relu", "tanh")
        for of in ("seed=0", *(f"point={k}" for k in range(4)))
    }
    for c in children:
        films = [
            each.path
            for each in client.list_artifacts(c.info.run_id)
            if each.path.startswith("film")
        ]
        assert bool(films) == ("seed" in c.info.run_name)
        assert float(c.data.params["lr"]) > 0
    assert sorted(results("logged")["number"]) == list(range(10))


def test_equal_points_are_trained_once(root):
    def coarse(trial):
        return arm(epochs=trial.suggest_int("epochs", 1, 2))

    result = compare("coarse", {"epochs": coarse, "same": lambda trial: arm()}, seeds=1, points=8)
    assert len(result.tuning["epochs"]) == 2
    assert "same" not in result.tuning
    assert len(runs_of("coarse")[2]) == 2 + 2


@pytest.mark.slow
@pytest.mark.slow
def test_more_arms_points_and_seeds_repeat_nothing(root):
    compare("grows", {"relu": tuned()}, seeds=2, points=2)
    _, _, before = runs_of("grows")
    arms = {"first": arm("sigmoid"), "relu": tuned(), "tanh": tuned("tanh")}
    grown = compare("grows", arms, seeds=3, points=4)
    _, parent, after = runs_of("grows")
    assert {c.info.run_id for c in before} < {c.info.run_id for c in after}
    said = [parent.data.tags[f"harness.{key}"] for key in ("arms", "seeds", "points")]
    assert said == ['["first", "relu", "tanh"]', "0, 1, 2", "4"]
    numbers = sorted(int(c.data.tags["harness.number"]) for c in after)
    assert numbers == list(range(len(after)))
    assert grown.values == compare("at once", arms, seeds=3, points=4).values
    # a second time there is nothing to train
    assert compare("grows", arms, seeds=3, points=4) == grown
    assert len(runs_of("grows")[2]) == len(after)


def test_a_finished_comparison_is_left_as_it_is(root):
    arms = {"relu": tuned(), "tanh": arm("tanh")}
    result = compare("done", arms, seeds=2, points=2)
    before = runs_of("done")[1]
    assert compare("done", arms, seeds=2, points=2, workers=2) == result
    after = runs_of("done")[1]
    assert (after.info.end_time, after.data.metrics) == (before.info.end_time, before.data.metrics)
    # fewer arms: nothing to train, but another table
    compare("done", {"tanh": arm("tanh")}, seeds=2)
    assert "relu" not in runs_of("done")[1].data.tags["mlflow.note.content"]


def test_what_was_no_doing_of_its_own_is_trained_again(root):
    first = compare("unlucky", {"a": arm(), "b": arm("tanh")}, seeds=2)
    records = sorted((folder_of("comparison", "unlucky") / "spool").glob("*-trial-*/record.json"))
    for path, state in zip(
        records, ("OUT_OF_MEMORY", "KILLED", "DISK_FULL", "FAILED"), strict=True
    ):
        record = unseal("record", path.read_bytes(), path)
        record["result"] |= {"state": state, "value": None, "reason": "it was"}
        path.write_bytes(seal("record", record))
    again = compare("unlucky", {"a": arm(), "b": arm("tanh")}, seeds=2)
    assert again.values == {"a": first.values["a"], "b": [first.values["b"][0], None]}
    numbers = sorted(int(c.data.tags["harness.number"]) for c in runs_of("unlucky")[2])
    assert numbers == [0, 1, 2, 3, 4, 5, 6]


def test_a_changed_plugin_is_trained_again(root, tmp_path):
    file = tmp_path / "bent.py"
    for slope in ("0.1", "0.3"):
        file.write_text(
            f"import harness\n@harness.activation()\ndef bent(z):\n    return z / (1 + "
            f"{slope} * z * z)\n"
        )
        registry.load_plugin(str(file))
        result = compare("bent", {"bent": arm("bent"), "relu": arm()}, seeds=1)
        assert result.values["bent"] == [value_of(arm("bent"))]
        registry.unload_plugin(str(file))
    assert sorted(c.info.run_name.partition(" ")[2] for c in runs_of("bent")[2]) == [
        "bent seed=0",
        "bent seed=0",
        "relu seed=0",
    ]


def test_points_that_come_to_no_end_are_passed_over(root):
    def wild(trial):
        return arm(update=f"sgd({10.0 ** trial.suggest_int('power', -1, 30, step=31)})")

    def wilder(trial):
        return arm(update=f"sgd(1e3{trial.suggest_int('digit', 0, 1)})")

    result = compare("wild", {"wild": wild, "wilder": wilder}, seeds=2, points=4)
    assert result.settings == {"wild": {"power": -1}}
    assert sorted(v is None for v in result.tuning["wild"]) == [False, True]
    assert result.values["wilder"] == [None, None]
    assert (
        "no point came to an end; diverged: the loss was not finite at step"
        in result.notes["wilder"]
    )
    wilder = result.arms()[1]
    assert (wilder.trained, wilder.networks, wilder.difference, wilder.verdict) == (
        0,
        2,
        None,
        None,
    )


def test_a_refused_point_fails_alone_unless_it_is_the_first(root):
    def sometimes(trial):
        return arm(layers=mlp([196, trial.suggest_categorical("out", [10, 9])]))

    values = [trial.suggest_categorical("out", [10, 9]) for trial in trials_at(coordinates(4))]
    assert values[0] == 10
    assert 9 in values
    # the number of the refused point is the first seed too, which is something else
    result = compare("sometimes", {"sometimes": sometimes}, seeds=[values.index(9)], points=4)
    assert result.settings["sometimes"] == {"out": 10}
    assert None in result.tuning["sometimes"]
    with pytest.raises(UsageError, match="arm 'never': the last layer gives 9 outputs"):
        compare(
            "never",
            {"never": lambda trial: arm(layers=mlp([196, 9]), epochs=trial.suggest_int("e", 1, 2))},
        )


def test_verdicts_hold_together():
    values = {
        "a": [0.50, 0.51, 0.52],
        "b": [0.60, 0.62, 0.61],
        "c": [0.47, 0.50, 0.46],
        "d": [0.51, 0.50, None],
    }
    compared = Comparison("c", "accuracy", "maximize", [0, 1, 2], values)
    assert [arm.verdict for arm in compared.arms()] == [None, "better", "open", None]
    said = Comparison("c", "accuracy", "maximize", [0, 1, 2], {**values, "b*": values["b"]})
    assert said.verdict() == "better than a: b, b*; not told apart from a: c"
    assert said.markdown().startswith(
        "**better than a: b, b\\*; not told apart from a: c** "
        r"(accuracy minus that of a \[95 %\]: b \+0\.1000 \["
    )
    (scope,) = said.scope()
    assert scope.startswith("[95 %] speaks of 3 seeds")
    assert said.table().endswith(scope)
    alone = Comparison("c", "accuracy", "maximize", [0], {"a": [0.5]})
    assert alone.scope() == []
    assert alone.markdown().startswith("| accuracy")
    # Three intervals, each wider
    interval = paired_interval(values["b"], values["a"], 1 - 0.05 / 3)
    assert compared.arms()[1].difference == interval
    mean, low, high = interval
    assert f"  {mean:+.4f} [{low:+.4f}, {high:+.4f}]  better" in compared.table()
    compared = Comparison("c", "log_loss", "minimize", [0, 1, 2], values)
    assert compared.arms()[1].verdict == "worse"
    del values["c"], values["d"]
    _, only = Comparison("c", "accuracy", "maximize", [0, 1, 2], values).arms()
    assert only.difference == paired_interval(values["b"], values["a"])


def test_a_comparison_as_json():
    values = {"a": [0.5, None], "b": [0.75, 0.5]}
    said = json.loads(Comparison("c", "accuracy", "maximize", [0, 1], values).to_json())
    assert said["values"] == values
    assert said["arms"][0]["name"] == "a"
    assert said["arms"][0]["std"] is None  # nan, of one value
    assert (said["arms"][1]["mean"], said["arms"][1]["trained"]) == (0.625, 2)
    assert said["verdict"] == ""


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "open"), (5, "open"), (6, "better")])
def test_equal_differences_are_left_to_the_sign_test(seeds, verdict):
    # two accuracies of 40 rows differ by one row each time, which chance brings about; but 2 / 2^6
    # < 0.05 < 2 / 2^5
    a = [(30 + 3 * k % 5) / 40 for k in range(seeds)]
    values = {"a": a, "b": [v + 1 / 40 for v in a]}
    compared = Comparison("c", "accuracy", "maximize", [*range(seeds)], values)
    assert compared.arms()[1].verdict == verdict
    assert "+0.0250 [+0.0250, +0.0250]" in compared.table()


def test_small_values_keep_their_digits():
    values = {"a": [3.25e-6, 2.5e-6], "b": [4.25e-6, 3.25e-6]}
    tuned = {"settings": {"a": {}}, "tuning": {"a": [2.25e-6]}}
    lines = Comparison("c", "rmse", "minimize", [0, 1], values, **tuned).table().splitlines()
    assert lines[1].split()[1:5] == ["0.000002875", "0.000000530", "0.000002500", "0.000003250"]
    assert "0.000002250" in lines[1]
    assert "+0.000000875 [" in lines[2]


def test_a_sweep_brings_its_plugins(root, tmp_path):
    file = tmp_path / "kinked.py"
    file.write_text(
        "import harness\n@harness.activation()\ndef kinked(z):\n    return z * (z > 0) + 0.5 * z\n"
    )

    @sweep(name="kinked", trials=3, plugins=[str(file)])
    def space(trial):
        return arm("kinked", update=f"sgd({trial.suggest_float('lr', 0.1, 0.3)})")

    try:
        assert len(compare("kinked", {"kinked": space}, seeds=1, points=2).tuning["kinked"]) == 2
    finally:
        registry.unload_plugin(str(file))


@pytest.mark.slow
def test_another_metric_is_another_comparison(root):
    with pytest.raises(UsageError, match="the last layer gives 9 outputs"):
        compare("scored", {"a": arm(layers=mlp([196, 9]), metric="macro_f1")}, seeds=1)
    compare("scored", {"a": arm()}, seeds=1)  # nothing had been trained
    assert runs_of("scored")[1].data.tags["harness.metric"] == "accuracy"
    with pytest.raises(
        UsageError,
        match="'scored' was started with the metric 'accuracy', now it is 'macro_f1'; star",
    ):
        compare("scored", {"a": arm(metric="macro_f1")}, seeds=1)


@pytest.mark.slow
def test_odd_names_are_one_row_each(root):
    arms = {"a/b|c": arm(), "*\u00fc* <i> \u2192": arm("tanh"), "..": arm("sigmoid")}
    result = compare('odd "name" | %/', arms, seeds=1)
    client, parent, children = runs_of('odd "name" | %/')
    assert {c.data.params["arm"] for c in children} == arms.keys()
    note = parent.data.tags["mlflow.note.content"]
    assert "| a/b\\|c&nbsp;&nbsp; |" in note
    assert "| \\*\u00fc\\* &lt;i&gt; \u2192&nbsp;&nbsp; |" in note
    assert {
        len(re.split(r"(?<!\\)\|", line)) for line in note.splitlines() if line.startswith("|")
    } == {12}
    assert len(result.table().splitlines()) == 4
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} >= {"films.mp4", "films.png"}


def test_the_script_is_kept_as_it_was_when_it_began(root, tmp_path):
    script = tmp_path / "gone.py"
    script.write_text(
        "import os\nfrom harness import Config, compare, mlp\nfrom harness.studies import books\n"
        "class Books(books.Books):\n"
        "    def start(self):\n        os.remove(__file__)\n        super().start()\n"
        "books.Books = Books\n"
        "compare('gone', {'a': Config(data='mnist14(rows=500)', layers=mlp([196, 10]), epochs=1)}, "
        "seeds=1)\n"
    )
    text = script.read_bytes()
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    client, parent, _ = runs_of("gone")
    kept = client.download_artifacts(parent.info.run_id, "script.py", str(tmp_path))
    assert Path(kept).read_bytes() == text


KILLED = """
import sys
from harness import Config, mlp
from harness import compare

def tuned(activation):
    def space(trial):
        layers = mlp([196, trial.suggest_int("units", 4, 16, step=4), 10], activation=activation)
        rate = trial.suggest_float("lr", 0.01, 2.0, log=True)
        return Config(data="mnist14", layers=layers, update=f"sgd({rate})", epochs=2)
    return space

if __name__ == "__main__":
    arms = {"relu": tuned("relu"), "tanh": tuned("tanh")}
    result = compare("killed", arms, points=4, seeds=3, workers=int(sys.argv[1]))
    print(result.values, result.settings)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_comparison_goes_on_to_the_same_end(workers, root, tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)

    def start(home, count):
        home.mkdir(exist_ok=True)
        clean = {
            **os.environ,
            "HARNESS_ROOT": str(home),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        command = [sys.executable, str(script), str(count)]
        return subprocess.Popen(
            command, env=clean, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ended():
        return len(
            list(
                (folder_of("comparison", "killed", tmp_path / "killed") / "spool").glob(
                    "[0-9]*-trial-*"
                )
            )
        )

    for least in (3, 7, 10):  # twice while it tunes, then while it compares
        driver = start(tmp_path / "killed", workers)
        while ended() < least and driver.poll() is None:
            time.sleep(0.001)
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    out, err = start(tmp_path / "killed", workers).communicate()
    whole, _ = start(tmp_path / "whole", 1).communicate()
    assert out == whole, err
    assert len(whole) > 50
    assert ended() == 8 + 6


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        ({}, 2, "arms must name at least one Config or search space each"),
        (
            {"a": arm(), "b": arm(valid=0.3)},
            2,
            "all arms must share valid, or they cannot be compared, got 0.2 and 0.3; make",
        ),
        ({"a": arm(), "b": arm(metric="macro_f1")}, 2, "all arms must share metric"),
        ({"a": arm(valid=0)}, 2, "a comparison needs a validation part"),
        ({"a": arm()}, [1, 1], "seeds must be how many, at most 16384, or different whole numbers"),
        (
            {"a": arm()},
            0,
            "seeds must be how many, at most 16384, or different whole numbers below 4294967295, "
            "got 0; c",
        ),
        ({"a": arm()}, 2.5, "seeds must be how many"),
        (
            {"a": arm()},
            20261127,
            "seeds must be how many, at most 16384, or different whole numbers.*got 20261127",
        ),
        ({"a": arm()}, True, "seeds must be how many, .*got True"),
        ({1: arm()}, 2, "an arm's name must be a line of 1 to 200 characters, got 1; rename it"),
        ({"two\nlines": arm()}, 2, "an arm's name must be a line of 1 to 200 characters, got 'two"),
        ({" ": arm()}, 2, "an arm's name must be a line of 1 to 200 characters, got ' '"),
        ({"a" * 201: arm()}, 2, "an arm's name must be a line of 1 to 200 characters"),
        ({"a": lambda trial: None}, 2, "the search space must return a Config, got NoneType"),
        (
            {"a": lambda trial: 1 / 0},
            2,
            "the search space must return a Config, but it raised ZeroDivisionError",
        ),
        ({"a": arm(layers=mlp([196, 16, 9]))}, 1, "arm 'a': the last layer gives 9 outputs"),
    ],
)
def test_what_cannot_be_compared_is_refused(root, arms, seeds, message):
    with pytest.raises(UsageError, match=message):
        compare("refused", arms, seeds=seeds)


# Segments -----------------------------------------------------------------------------------------


class Jobs:
    """Records the jobs of a comparison that comes back after each epoch; may press Ctrl-C."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stop_at: int = -1) -> None:
        self.sent: list[tuple[tuple[int, ...], int]] = []  # numbers, and epochs trained before
        self.stop_at = stop_at
        submit = Inline.submit

        def watched(pool: Inline, job: Job) -> None:
            epochs = 0 if job.trials[0].state is None else job.trials[0].state["epoch"]
            self.sent.append((tuple(trial.number for trial in job.trials), epochs))
            if len(self.sent) == self.stop_at:
                raise KeyboardInterrupt
            submit(pool, job)

        monkeypatch.setattr(Inline, "submit", watched)
        monkeypatch.setattr("harness.studies.compare.Settings", partial(Settings, checkpoint=0))


def test_networks_that_train_together_stay_together(root, monkeypatch, capsys):
    arms = {"wide": arm(epochs=3), "narrow": arm(layers=mlp([196, 8, 10]), epochs=3)}
    whole = compare("whole", arms, seeds=4)
    with monkeypatch.context() as patch:
        jobs = Jobs(patch)
        assert compare("in segments", arms, seeds=4).values == whole.values
    # The first seeds of both arms come first; a batch is trained to its end before the next one.
    wide = (0, 2, 4, 6)
    narrow = (1, 3, 5, 7)
    assert jobs.sent == [
        *((wide, epochs) for epochs in range(3)),
        *((narrow, epochs) for epochs in range(3)),
    ]
    assert "8/8" in capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]


def test_a_network_in_training_goes_on_where_it_stood(root, monkeypatch):
    arms = {"a": arm(epochs=4), "b": arm("tanh", epochs=4)}
    whole = compare("whole", arms, seeds=1)
    with monkeypatch.context() as patch:
        jobs = Jobs(patch, stop_at=3)
        with pytest.raises(KeyboardInterrupt):
            compare("stopped", arms, seeds=1)
    number = jobs.sent[-1][0]
    with monkeypatch.context() as patch:
        jobs = Jobs(patch)
        assert (
            compare("stopped", {"first": arms["b"], **arms}, seeds=1).values["a"]
            == whole.values["a"]
        )
    assert (number, 2) in jobs.sent  # under its number, after the epochs that it had
    assert not list((folder_of("comparison", "stopped") / "checkpoints").glob("*.npz"))
    assert compare("stopped", arms, seeds=1).values == whole.values
