"""harness run: one network."""

import contextlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import registry
from harness.builtin.layers import mlp
from harness.cli.common import (
    OF_DATA,
    check_names,
    command_line,
    data_spec,
    load_plugins,
    parse_number,
    run_name_of,
    ui_hint,
    writing,
)
from harness.cli.group import PLUGIN, PROJECT, declare
from harness.cli.terminal import echo
from harness.config import Config
from harness.errors import UsageError
from harness.storage.files import make_folder

if TYPE_CHECKING:
    from harness.data import Dataset
    from harness.model import Model
    from harness.trials.outcome import Outcome


# harness run --------------------------------------------------------------------------------------
@declare(
    (
        "--data",
        "SPEC",
        "A data set (harness list dataset), a .csv, .tsv, .parquet, .npz file, an IDX folder.  "
        "[default: mnist]",
    ),
    ("--label", "COLUMN", "The column to predict, in a .csv or .parquet file."),
    ("--drop dropped", "A,B", "Columns of such a file to leave out; may be repeated."),
    (
        "--task",
        "KIND",
        "classification or regression, where the column does not tell.  [default: auto]",
    ),
    (
        "--missing",
        "HOW",
        "mean: fill holes with the mean of their column, and add one that says where they were.",
    ),
    (
        "--sep",
        "MARK",
        "What stands between two cells of a .csv file: ';', tab.  [default: guessed]",
    ),
    ("--decimal", "MARK", "The decimal mark of a .csv file.  [default: .]"),
    ("--thousands", "MARK", "What groups the digits in a .csv file.  [default: nothing]"),
    ("--encoding", "NAME", "The encoding of a .csv file, such as latin-1.  [default: utf-8]"),
    (
        "--sizes",
        "I-H-...-O",
        "Units from input to output: 784-100-50-10.  [default: features-100-50-classes]",
    ),
    ("--activation", "SPEC", "What comes between the layers.  [default: relu]"),
    (
        "--kinds",
        "KIND,...",
        "The kind of each layer, or one for all: dense,residual,dense.  [default: dense]",
    ),
    (
        "--dropout",
        "RATE",
        "The probability to drop a hidden unit, such as 0.5; or INPUT,HIDDEN, such as 0.2,0.5.",
    ),
    ("--init", "SPEC", "How weights begin.  [default: glorot]"),
    (
        "--layer layers",
        "SPEC",
        "Instead of --sizes, layer by layer: --layer 'dense(99)' --layer tanh --layer 'dense(9)'.",
    ),
    ("--update", "SPEC", "The update rule: 'sgd(0.5)', momentum, adam, ...  [default: sgd]"),
    (
        "--learning-rate",
        "NUMBER",
        "The update rule's learning rate, or a schedule such as 'cosine(0.5)'.",
    ),
    ("--batch", "N|full", "Examples in a step.  [default: 100]"),
    (
        "--drop-last",
        True,
        "Leave out the last batch of an epoch where it has fewer examples than the others.",
    ),
    ("--epochs", int, "How often to go through the training data.  [default: 3]"),
    ("--valid", float, "The share of the data that is kept for validation.  [default: 0.2]"),
    (
        "--valid-data",
        "FILE",
        "Another .csv or .parquet file, for validation; then nothing is split off.",
    ),
    (
        "--class-weight",
        "NAME=W,...",
        "The weight of each class in the loss; or balanced: rare ones weigh more.",
    ),
    (
        "--scale",
        "HOW",
        "Of features: auto (/255 for bytes, none for numbers within [-1, 1], else standardize), "
        "/255, /256, "
        "standardize, none.  [default: auto]",
    ),
    ("--seed", int, "Decides initial weights, masks and data order.  [default: 0]"),
    (
        "--loss",
        "SPEC",
        "What training lowers.  [default: softmax_cross_entropy; to predict a "
        "number squared_error]",
    ),
    (
        "--metric",
        "SPEC",
        "What counts on the validation part.  [default: accuracy; to predict a number rmse]",
    ),
    (
        "--select",
        "last|best",
        "Whether to keep the weights of the last or of the best epoch.  [default: last]",
    ),
    ("--patience", int, "Stop after so many epochs without a lower validation loss."),
    (
        "--film",
        "SPEC|none",
        "The film of the weights, such as 'film(every=4)', or none.  [default: film]",
    ),
    ("--device", "cpu|gpu", "Where to compute; gpu needs CuPy.  [default: cpu]"),
    (
        "--config config_file",
        "RUN|FILE.json",
        "All this from a logged run (its name, its run id, 'SWEEP#3') or a config.json; options "
        "override it.",
    ),
    *PLUGIN,
    ("--name", "TEXT", "What to call the run.  [default: data, activation, sizes and update rule]"),
    *PROJECT,
    ("--save", "PATH", "Save the network as PATH.npz and PATH.json, for harness predict."),
    (
        "--test with_test",
        True,
        "At the very end, score the network on the data set's test part too.",
    ),
    ("--no-log", True, "Do not log to MLflow."),
    short="Train one network.",
    example="harness run --data 'mnist14(rows=2000)' --sizes 196-100-10 --learning-rate 0.5 "
    "--epochs 2",
)
def run(
    plugins: tuple[str, ...],
    name: str | None,
    project: str | None,
    save: str | None,
    with_test: bool,
    no_log: bool,
    **given: Any,
) -> None:
    """Train one network and log it to MLflow.

    Prints one line an epoch: mean training loss, loss and score on the validation part, seconds.
    Without options it trains 784-100-50-10 with relu on MNIST.
    """
    from harness.studies.books import log_single
    from harness.training.prepare import decided
    from harness.trials.run import result_of, to_run

    def other_remedy(config: Config) -> str:
        from harness.training.advice import scale_remedy
        from harness.training.prepare import prepare

        remedy = scale_remedy(prepare(config))
        return f", or {remedy}" if remedy else ""

    check_names(name, project)
    load_plugins(plugins)
    config, source = _config(given)
    said = decided(config)
    if save is not None:
        if save.endswith(("/", os.sep)) or not Path(save).name:
            raise UsageError(
                f"--save must name files to be, not a folder, got {save!r}; write for example "
                f"models/first"
            )
        with writing(save):  # before the training, not after it
            make_folder(Path(save).parent)
            tempfile.TemporaryFile(dir=Path(save).parent).close()
    if not no_log:
        from harness.tracking.writer import open_tracker

        open_tracker(None, project or "harness", say=lambda sentence: None)
    if with_test and source.x_test is None:
        raise UsageError(
            f"--test needs a data set with a test part, and {source.name!r} has none; "
            f"leave --test out"
        )
    label = name or run_name_of(config)
    layers = " > ".join(map(registry.text, config.layers))
    echo(f"{source!r}\n{layers}; {registry.text(config.update)}, batch {config.batch}")
    if said:
        echo(said)
    outcome = _train(config)
    failure = ""
    if outcome.error:
        failure = f"the network could not be trained\n{outcome.error.rstrip()}"
    elif outcome.bad_step is not None:
        failure = (
            f"the network diverged: its loss was not finite at step {outcome.bad_step}; try a "
            f"lower --learning-rate"
            f"{other_remedy(config)}"
        )
    else:
        model = _model(outcome)
        if with_test:
            outcome.metrics |= _test_scores(model)
        echo(_summary(outcome))
        if outcome.no_value:
            failure = f"{outcome.no_value}, so the network has no score"
        if save:
            echo(f"saved as {model.save(save).with_suffix('.npz')} and .json")
    if not no_log:
        record = to_run(f"run/{label}/{uuid.uuid4().hex}", label, outcome, result_of(outcome, {}))
        record.kind, record.number = "run", None
        run_id = log_single(record, project or "harness")
        if run_id:
            echo(f"logged as {label!r}, {record.status}: run id {run_id}\nto see it: {ui_hint()}")
        else:
            echo(f"{label!r}, {record.status}: it waits in the spool until MLflow can be reached")
            echo(f"to send it then: {command_line('sync')}")
    if failure:
        echo(f"Error: {failure}", err=True)
        raise click.exceptions.Exit(1)


def _config(given: dict[str, Any]) -> "tuple[Config, Dataset]":
    """The config that the options ask for, on top of that of a file, and its data set."""
    from harness.data import load_for

    file = given["config_file"]
    values: dict[str, Any] = vars(_known_config(file)).copy() if file else {"data": "mnist"}
    same = (
        "update",
        "epochs",
        "valid",
        "scale",
        "seed",
        "loss",
        "metric",
        "select",
        "patience",
        "device",
        "missing",
    )
    values |= {name: given[name] for name in same if given[name] is not None}
    if given["class_weight"] is not None:
        values["class_weight"] = _class_weight(given["class_weight"])
    options = {name: given[name] for name in OF_DATA if given[name] is not None}
    if given["valid_data"] is not None:
        options["valid"] = given["valid_data"]
    if given["dropped"]:
        options["drop"] = list(given["dropped"])
    if given["data"] is not None or options or given["missing"] is not None:
        values["data"] = data_spec(given["data"] or values["data"], options, given["missing"])
    if given["batch"] is not None:
        text = given["batch"]
        values["batch"] = (
            text if text == "full" else parse_number("--batch", int, text, "a whole number or full")
        )
    if given["drop_last"]:
        values["drop_last"] = True
    if given["film"] is not None:
        values["film"] = None if given["film"] == "none" else given["film"]
    if given["learning_rate"] is not None:
        values["update"] = _with_rate(values.get("update", "sgd"), given["learning_rate"])
    source = load_for(values["data"], values.get("missing"))
    if source.task == "regression" and not file:
        values = {"loss": "squared_error", "metric": "rmse", **values}
    _put_layers(values, given, source)
    return Config(**values), source


def _known_config(reference: str) -> Config:
    """The config of a file, or of what has been logged."""
    file = os.path.expanduser(reference)
    if os.path.isfile(file) or file.endswith(".json"):
        return Config.from_json(Path(file))
    from harness.maintenance.verify import logged_config

    return logged_config(reference)


def _class_weight(text: str) -> Any:
    """'yes=5,no=1' -> {"yes": 5.0, "no": 1.0}; balanced as it is."""
    if text == "balanced":
        return text
    must = "balanced or the weight of each class, such as yes=5,no=1"
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = part.rpartition("=")
        if not equals or name.strip() in weights:
            raise UsageError(f"--class-weight must be {must}, got {text!r}")
        weights[name.strip()] = parse_number("--class-weight", float, weight, must, text)
    return weights


def _put_layers(values: dict[str, Any], given: dict[str, Any], source: "Dataset") -> None:
    """Puts the layers of --layer, --sizes or by default into the fields of a config."""
    shaping = {
        k: given[k] for k in ("activation", "kinds", "dropout", "init") if given[k] is not None
    }
    if given["layers"] and (given["sizes"] or shaping):
        other = "sizes" if given["sizes"] else next(iter(shaping))
        raise UsageError(
            f"--layer and --{other} cannot be combined; write everything as layers, or give --sizes"
        )
    if given["layers"]:
        values |= {"layers": list(given["layers"]), "inputs": None}
    elif given["sizes"] or "layers" not in values:
        outputs = len(source.classes) or source.y.shape[1]
        must = "whole numbers joined by -, such as 784-100-10"
        sizes = [_width(values, source), 100, 50, outputs]
        if given["sizes"]:
            sizes = [
                parse_number("--sizes", int, size, must, given["sizes"])
                for size in given["sizes"].split("-")
            ]
        if "kinds" in shaping and "," in shaping["kinds"]:
            shaping["kinds"] = [kind.strip() for kind in shaping["kinds"].split(",")]
        if "dropout" in shaping:
            must = "one rate or two, such as 0.5 or 0.2,0.5"
            rates = [
                parse_number("--dropout", float, rate, must, shaping["dropout"])
                for rate in shaping["dropout"].split(",")
            ]
            shaping["dropout"] = rates if len(rates) > 1 else rates[0]
        values |= {"layers": mlp(sizes, **shaping), "inputs": None}
    elif shaping:
        raise UsageError(
            f"--{next(iter(shaping))} shapes a network of --sizes, but the layers come from "
            f"--config; give --sizes too"
        )


def _width(values: dict[str, Any], source: "Dataset") -> int:
    """How many features the data has once its texts are encoded and its holes filled."""
    if source.texts is None and source.missing is None:
        return source.x.shape[1]
    from harness.training.prepare import prepare

    data = prepare(Config(**{**values, "layers": ["dense(1)"], "inputs": None}), source)
    return data.x.shape[1]


def _with_rate(update: Any, rate: str) -> dict[str, Any]:
    """The update rule with another learning rate: a number or a schedule."""
    spec = registry.canonical("update_rule", update)
    entry = registry.find("update_rule", spec["name"])
    if "learning_rate" not in entry.parameters:
        raise UsageError(
            f"--learning-rate: the update rule {entry.signature} has no learning_rate; write it "
            f"into --update"
        )
    value: Any = rate
    with contextlib.suppress(ValueError):
        value = float(rate)
    if isinstance(value, str) and value.partition("(")[0] not in {
        e.name for e in registry.entries("schedule")
    }:
        near = registry.suggest(
            value.partition("(")[0], [e.name for e in registry.entries("schedule")]
        )
        raise UsageError(
            f"--learning-rate must be a number such as 0.5 or a schedule, got {rate!r}; {near}"
        )
    return {**spec, "learning_rate": value}


def _train(config: Config) -> "Outcome":
    """Trains epoch by epoch and prints a line for each."""
    from harness.storage.clock import now_ms
    from harness.trials.job import Job
    from harness.trials.work import work

    metric, begun = config.metric["name"], now_ms()
    shown = ("train/loss", "valid/loss", f"valid/{metric}")
    heads = ("epoch", *(key.replace("/", " ") for key in shown), "seconds")
    job = Job([0], [config], epochs=1)
    while True:
        (outcome,) = work(job)
        if outcome.refused:
            raise UsageError(outcome.refused)
        if outcome.error:
            break
        if job.states is None:
            echo("  ".join(f"{head:>10}" for head in heads))
        last = outcome.records[-1]
        numbers = [f"{last.metrics[key]:.4f}" if key in last.metrics else "-" for key in shown]
        cells = [str(last.epoch), *numbers, f"{sum(last.seconds.values()):.2f}"]
        echo(
            "  ".join(
                f"{cell:>{max(10, len(head))}}" for cell, head in zip(cells, heads, strict=True)
            )
        )
        if outcome.ended:
            break
        job = Job([0], [config], [outcome.state or {}], 1, records=[outcome.records])
    outcome.start_ms = begun
    return outcome


def _model(outcome: "Outcome") -> "Model":
    """The trained network of an outcome, to score and to save."""
    from harness.model import model_of_run

    return model_of_run(outcome.config, outcome.state or {}, outcome.records)


def _test_scores(model: "Model") -> dict[str, float]:
    """The config's metric, and accuracy where there are classes, on the data set's test part."""
    names = dict.fromkeys(
        [model.config.metric["name"], *(["accuracy"] if model.classes is not None else [])]
    )
    return {
        f"test/{name}": model.score(metric=None if name == model.config.metric["name"] else name)
        for name in names
    }


def _summary(outcome: "Outcome") -> str:
    """The numbers at the end of a run."""
    metrics = outcome.metrics
    parts = [
        f"{key.replace('/', ' ')} {value:.4f}"
        for key, value in metrics.items()
        if key.startswith("test/")
    ]
    if outcome.value is not None:
        parts.insert(
            0,
            f"valid {outcome.config.metric['name']} {outcome.value:.4f} "
            f"({outcome.config.select} epoch)",
        )
    parts.append(
        f"{metrics['time/train_s']:.2f} s of training, {metrics['time/step_us']:.0f} us a step"
    )
    notes = [outcome.notes.get(f"harness.{note}") for note in ("stopped", "advice")]
    return "\n".join([", ".join(parts), *(note for note in notes if note)])
