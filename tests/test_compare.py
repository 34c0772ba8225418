"""Comparisons through their public entry point, on MLflow's sqlite store."""

import math
import subprocess
import sys

import mlflow
import pytest

from harness import Config, mlp
from harness.compare import compare
from harness.errors import UsageError
from harness.tracking import results, store_uri


def arm(activation="relu", **changes):
    values = {
        "data": "mnist14(rows=1000)",
        "layers": mlp([196, 16, 10], activation=activation),
        "update": "sgd(0.2)",
        "epochs": 1,
    }
    return Config(**{**values, "film": "film(frames=3)", **changes})


def runs_of(name):
    client = mlflow.MlflowClient(store_uri())
    (parent,) = client.search_runs(["1"], f"attributes.run_name = '{name}' and tags.\"harness.kind\" = 'comparison'")
    children = client.search_runs(["1"], f"tags.\"mlflow.parentRunId\" = '{parent.info.run_id}'")
    return client, parent, children


def test_every_arm_has_the_same_seeds_and_all_is_logged(root):
    result = compare("two arms", {"relu": arm(), "tanh": arm("tanh")}, seeds=2)
    assert result.seeds == [0, 1]
    client, parent, children = runs_of("two arms")
    assert sorted(c.info.run_name for c in children) == ["relu seed=0", "relu seed=1", "tanh seed=0", "tanh seed=1"]
    assert {c.info.status for c in [parent, *children]} == {"FINISHED"}
    for c in children:
        a, seed = c.data.params["arm"], int(c.data.params["seed"])
        assert c.data.metrics["valid/accuracy"] == pytest.approx(result.values[a][seed], abs=1e-12)
    assert parent.data.metrics["mean/tanh"] == pytest.approx(result.mean("tanh"), abs=1e-12)
    assert {a.path for a in client.list_artifacts(parent.info.run_id)} >= {"films.mp4", "films.png"}
    assert "| tanh&nbsp;&nbsp; |" in parent.data.tags["mlflow.note.content"]
    assert len(results("two arms")) == 4


def test_the_same_arm_twice_differs_by_nothing(root):
    result = compare("same", {"a": arm(), "b": arm()}, seeds=[3, 5])
    assert result.values["a"] == result.values["b"]
    assert result.rows()[1][6] == "+0.0000 [+0.0000, +0.0000]"


def test_started_again_it_repeats_nothing(root):
    first = compare("again", {"relu": arm()}, seeds=1)
    again = compare("again", {"relu": arm()}, seeds=2)
    assert again.values["relu"][0] == first.values["relu"][0]
    _, parent, children = runs_of("again")
    assert len(children) == 2
    assert parent.info.status == "FINISHED"


def test_two_workers_change_nothing(root):
    arms = {"relu": arm(), "drop": arm(layers=mlp([196, 16, 10], dropout=0.2))}
    alone = compare("alone", arms, seeds=2)
    assert compare("together", arms, seeds=2, workers=2).values == alone.values


def test_a_diverged_arm_has_no_mean_and_says_why(root):
    result = compare("too large", {"good": arm(), "bad": arm(update="sgd(1e30)")}, seeds=1)
    assert result.values["bad"] == [None]
    assert math.isnan(result.mean("bad"))
    assert "diverged: the loss was not finite at step" in result.table()
    _, parent, children = runs_of("too large")
    assert sorted(c.info.status for c in children) == ["FAILED", "FINISHED"]
    assert parent.info.status == "FINISHED"


def test_a_script_that_compares_ends_with_a_sentence(root, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from harness import Config, mlp\nfrom harness.compare import compare\n"
        "compare('plain', {'a': Config(data='mnist14', layers=mlp([196, 10]), valid=0)})\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "Error: a comparison needs a validation part, got valid=0; give a share such as valid=0.2\n"


@pytest.mark.parametrize(
    ("arms", "seeds", "message"),
    [
        ({}, 2, "arms must name at least one Config each"),
        ({"a": arm(), "b": arm(valid=0.3)}, 2, "all arms must share valid"),
        ({"a": arm(), "b": arm(metric="macro_f1")}, 2, "all arms must share metric"),
        ({"a": arm(valid=0)}, 2, "a comparison needs a validation part"),
        ({"a": arm()}, [1, 1], "seeds must be a number of seeds or different whole numbers"),
        ({"a": arm(layers=mlp([196, 16, 9]))}, 1, "arm 'a': the last layer gives 9 outputs"),
    ],
)
def test_what_cannot_be_compared_is_refused(root, arms, seeds, message):
    with pytest.raises(UsageError, match=message):
        compare("refused", arms, seeds=seeds)
