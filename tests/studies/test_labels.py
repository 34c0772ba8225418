"""Tags and notes of users, and the data sets of runs, on a real sqlite MLflow."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from click.testing import CliRunner

from harness import Config, compare, mlp, prepare
from harness.cli import main
from harness.errors import UsageError
from harness.storage.records import DataInput, ParentRun, TrialRun
from harness.storage.spool import Spool
from harness.studies.books import folder_of
from harness.studies.labels import Labels, labels, read_tags, with_note
from harness.studies.sweep import Sweep
from harness.tracking.connect import client_for, store_uri
from harness.trials.data_inputs import data_inputs

CONTEXT = "mlflow.data.context"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all tests of this file; each uses names of its own."""
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        yield root


def config(**fields: Any) -> Config:
    given = {"data": "mnist14(rows=300)", "layers": mlp([196, 8, 10]), "epochs": 1, "film": None}
    return Config(**{**given, **fields})


def space(trial: Any) -> Config:
    return config(update=f"sgd({trial.suggest_float('rate', 0.01, 1.0, log=True)})")


def runs_of(name: str) -> tuple[Any, list[Any]]:
    """The run of a study, and those of its trials by their numbers."""
    client = client_for(store_uri(None))
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments)
    (parent,) = [run for run in runs if run.info.run_name == name]
    below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    return parent, sorted(below, key=lambda run: int(run.data.tags["harness.number"]))


def contexts(run: Any) -> list[str]:
    return sorted(each.tags[0].value for each in run.inputs.dataset_inputs)


# Tags and notes -----------------------------------------------------------------------------------


def test_labels_of_a_sweep_are_on_its_run_and_its_trials() -> None:
    sweep = Sweep(space, "labels", trials=2, film="none", sampler="RandomSampler")
    sweep.tags = {"paper": "figure 3", "try": 1}
    sweep.note = "Is a *low* rate enough?"
    sweep.run()
    parent, trials = runs_of("labels")
    for run in (parent, *trials):
        assert (run.data.tags["paper"], run.data.tags["try"]) == ("figure 3", "1")
        assert run.data.tags["mlflow.source.name"] == "test_labels.py"
    description = parent.data.tags["mlflow.note.content"]
    assert description.startswith("Is a *low* rate enough?\n\n**[\\#")
    assert "\n\n**2 trials**: 2 complete" in description
    # They are added to those before, also where nothing is left to be trained.
    sweep.run(tags={"try": 2, "owner": "ann"})
    parent, trials = runs_of("labels")
    tags = parent.data.tags
    assert (tags["paper"], tags["try"], tags["owner"]) == ("figure 3", "2", "ann")
    assert tags["mlflow.note.content"].startswith("Is a *low* rate enough?\n\n**[\\#")
    assert "owner" not in trials[0].data.tags
    # A sitting without labels keeps those that are there, and its trials have them.
    Sweep(space, "labels", film="none", sampler="RandomSampler").run(trials=3)
    parent, trials = runs_of("labels")
    assert [run.data.tags.get("owner") for run in (parent, *trials)] == ["ann", None, None, "ann"]
    assert parent.data.tags["mlflow.note.content"].startswith("Is a *low* rate enough?")
    Sweep(space, "labels", film="none", note="Yes.").run(trials=3)
    parent, _ = runs_of("labels")
    assert parent.data.tags["mlflow.note.content"].startswith("Yes.\n\n**[\\#")
    assert parent.info.status == "FINISHED"


def test_labels_of_a_comparison() -> None:
    arms = {"relu": config(), "tanh": config(layers=mlp([196, 8, 10], activation="tanh"))}
    first = compare("labelled", arms, seeds=2, tags={"paper": "table 1"}, note="Is it the slope?")
    parent, networks = runs_of("labelled")
    assert [run.data.tags["paper"] for run in (parent, *networks)] == ["table 1"] * 5
    assert parent.data.tags["mlflow.note.content"].startswith("Is it the slope?\n\n")
    assert contexts(parent) == ["training", "validation"]
    assert [contexts(run) for run in networks] == [["training", "validation"]] * 2 + [[]] * 2
    ended = parent.info.end_time
    # The same again is finished, whatever the code is; another tag is written.
    again = compare("labelled", arms, seeds=2)
    parent, _ = runs_of("labelled")
    assert (again.values, parent.info.end_time) == (first.values, ended)
    compare("labelled", arms, seeds=2, tags={"paper": "table 2"})
    parent, _ = runs_of("labelled")
    assert parent.data.tags["paper"] == "table 2"
    assert parent.data.tags["mlflow.note.content"].startswith("Is it the slope?\n\n")


def test_labels_of_a_single_run() -> None:
    command = ["run", "--data", "mnist14(rows=300)", "--sizes", "196-10", "--epochs", "1"]
    command += ["--film", "none", "--name", "single", "--tag", "paper=figure = 3", "--tag", "a=b"]
    done = CliRunner().invoke(main, [*command, "--note", "So *simple*"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    run, _ = runs_of("single")
    assert (run.data.tags["paper"], run.data.tags["a"]) == ("figure = 3", "b")
    assert run.data.tags["mlflow.note.content"].startswith("So *simple*\n\n**accuracy 0.")
    assert run.data.params["config.parameters"] == str(196 * 10 + 10)
    assert contexts(run) == ["training", "validation"]


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"mlflow.user": "eve"}, "tags: names that begin with 'mlflow.' or 'harness.' are kept"),
        ({"harness.state": "x"}, "tags: names that begin with 'mlflow.' or 'harness.' are kept"),
        ({"a": [1]}, "tags: a must be a text, a number, True or False"),
        ({"": "x"}, "tags: a name must be a line of 1 to 200 characters"),
        ({"ä\n": "x"}, "tags: a name must be a line of 1 to 200 characters"),
        ({"a#b": "x"}, "tags: a name must be of letters, digits, spaces and _-.:/"),
        ({"a": "x" * 5001}, "tags: a must have at most 5000 characters, got 5001"),
        (["a"], "tags must be a dict"),
    ],
)
def test_tags_that_cannot_be_are_refused(tags: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace(".", r"\.")):
        Sweep(space, "refused", tags=tags).run()
    with pytest.raises(UsageError, match=sentence.replace(".", r"\.")):
        compare("refused", {"a": config()}, tags=tags)
    assert not folder_of("sweep", "refused").exists()
    assert not folder_of("comparison", "refused").exists()


@pytest.mark.parametrize("note", ["", " ", 3, "x" * 5001])
def test_notes_that_cannot_be_are_refused(note: Any) -> None:
    with pytest.raises(UsageError, match="note must"):
        labels({}, note)


@pytest.mark.parametrize(
    ("tag", "sentence"),
    [
        ("oops", "--tag must be KEY=VALUE"),
        ("=x", "--tag must be KEY=VALUE"),
        ("mlflow.user=eve", "--tag: names that begin with 'mlflow.' or 'harness.'"),
    ],
)
def test_a_command_line_says_its_own_names(tag: str, sentence: str) -> None:
    done = CliRunner().invoke(main, ["run", "--no-log", "--tag", tag])
    assert done.exit_code == 2
    assert f"Error: {sentence}" in done.stderr


def test_labels_are_texts() -> None:
    assert read_tags(["a=b=c", " k =", "a=d"]) == {"a": "d", "k": ""}
    assert labels({"a": True, "b": 0.5}, None) == Labels({"a": "True", "b": "0.5"})
    assert with_note("", "x") == "x"
    assert with_note("x", "") == "x"


# Data ---------------------------------------------------------------------------------------------


def test_the_data_of_a_sweep_are_inputs_of_its_run() -> None:
    Sweep(space, "inputs", trials=5, film="none", sampler="RandomSampler").run()
    parent, trials = runs_of("inputs")
    training, validation = parent.inputs.dataset_inputs
    if training.tags[0].value != "training":
        training, validation = validation, training
    data = prepare(config())
    for given, context, rows in (
        (training, "training", len(data.x)),
        (validation, "validation", len(data.x_valid)),
    ):
        assert [(tag.key, tag.value) for tag in given.tags] == [(CONTEXT, context)]
        assert given.dataset.name == "mnist14"
        counts = {"num_rows": rows, "num_elements": rows * 196, "features": 196, "classes": 10}
        assert json.loads(given.dataset.profile) == counts
        source = mlflow.data.get_source(given).to_dict()["tags"]
        assert source == {
            "data": "mnist14(rows=300)",
            "sha256": data.source.digest,
            "part": context,
            "valid": "0.2",
            "split_seed": "0",
        }
        tensors = json.loads(given.dataset.schema)["mlflow_tensorspec"]
        spec = {"dtype": "uint8", "shape": [-1, 196]}
        assert json.loads(tensors["features"]) == [{"type": "tensor", "tensor-spec": spec}]
    values = [float(run.data.tags["harness.value"]) for run in trials]
    bests = [all(value > other for other in values[:k]) for k, value in enumerate(values)]
    assert [bool(contexts(run)) for run in trials] == bests
    assert not all(bests)


@pytest.mark.parametrize(("inputs", "expected"), [("all", 2), ("none", 0)])
def test_which_trials_have_inputs_can_be_said(inputs: str, expected: int) -> None:
    name = f"inputs of {inputs}"
    Sweep(space, name, trials=3, film="none", inputs=inputs).run()
    parent, trials = runs_of(name)
    assert [len(contexts(run)) for run in (parent, *trials)] == [2] + [expected] * 3
    with pytest.raises(UsageError, match="inputs must be one of 'all', 'best', 'none', got 'some'"):
        Sweep(space, name, inputs="some").run()


def test_other_rows_have_another_digest() -> None:
    digests = [
        tuple(given.digest for given in data_inputs(config(**fields)))
        for fields in ({}, {"split_seed": 1}, {"valid": 0.25}, {"data": "mnist14(rows=301)"})
    ]
    assert len({digest for pair in digests for digest in pair}) == 8
    assert data_inputs(config(seed=5, epochs=3)) == data_inputs(config())
    assert [given.context for given in data_inputs(config(valid=0.0))] == ["training"]


def test_a_table_has_its_columns_and_no_path(tmp_path: Path) -> None:
    folder = tmp_path / "home of ann"
    folder.mkdir()
    rows = [f"{k},{'red' if k % 3 else 'blue'},{k % 2}" for k in range(40)]
    for name in ("flowers.csv", "valid.csv"):
        (folder / name).write_text("\n".join(["size,colour,kind", *rows]))
    paths = {"path": str(folder / "flowers.csv"), "valid": str(folder / "valid.csv")}
    one = config(data={"name": "csv", "label": "kind", **paths}, layers=mlp([None, 4, 2]))
    training, validation = data_inputs(one)
    assert json.loads(training.schema)["mlflow_colspec"] == [
        {"type": "double", "name": "size", "required": True},
        {"type": "string", "name": "colour", "required": True},
    ]
    assert "ann" not in "".join(training) + "".join(validation)
    assert json.loads(validation.source)["tags"]["valid"] == "the data set's own"
    assert json.loads(validation.profile)["num_rows"] == 40
    assert data_inputs(one.replace(data={"name": "csv", "path": "/no.csv", "label": "k"})) == []


def test_a_regression_has_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=np.eye(20), y=np.arange(20.0).reshape(-1, 1) / 3)
    one = config(
        data=str(tmp_path / "r.npz"),
        layers=mlp([20, 4, 1]),
        loss="squared_error",
        metric="rmse",
    )
    assert json.loads(data_inputs(one)[0].profile)["targets"] == 1


def test_inputs_and_notes_come_back_from_a_spool(tmp_path: Path) -> None:
    given = [DataInput("a", "b", "{}", "", "{}", "training")]
    spool = Spool(tmp_path)
    spool.write(TrialRun(id="x/1", name="x", number=1, inputs=given))
    spool.write(ParentRun(id="x", name="x", inputs=given, note="*n*"))
    trial = spool.read("x/1")
    parent = spool.parent()
    assert parent is not None
    assert (trial.inputs, parent.inputs, parent.note) == (given, given, "*n*")
    assert isinstance(trial.inputs[0], DataInput)


# Metrics ------------------------------------------------------------------------------------------


def test_no_metric_of_a_run_is_constant() -> None:
    sweep = Sweep(
        lambda trial: config(
            epochs=4,
            update=trial.suggest_categorical("update", ["sgd(0.1)", "sgd('cosine(0.5)')"]),
        ),
        "metrics",
        trials=2,
        film="none",
        sampler="GridSampler({'update': ['sgd(0.1)', \"sgd('cosine(0.5)')\"]})",
    )
    sweep.run()
    client = client_for(store_uri(None))
    _, trials = runs_of("metrics")
    rates = []
    for run in trials:
        assert run.data.params["config.parameters"] == str(196 * 8 + 8 + 8 * 10 + 10)
        assert {"gradient_norm", "update_norm"} <= set(run.data.metrics)
        for key in run.data.metrics:
            points = client.get_metric_history(run.info.run_id, key)
            assert len(points) == 1 or len({point.value for point in points}) > 1, key
        # In MLflow's pages sections come by their names, and what has none comes last.
        sections = sorted({key.split("/")[0] for key in run.data.metrics if "/" in key})
        assert sections == ["time", "train", "valid"]
        assert not any("capture" in key or "frames" in key for key in run.data.metrics)
        rates.append("learning_rate" in run.data.metrics)
    assert sorted(rates) == [False, True]
