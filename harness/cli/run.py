"""harness run: one network."""

import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness import registry
from harness.cli.arguments import check_names, load_plugins
from harness.cli.command import (
    Command,
    note_option,
    plugin_option,
    project_option,
    tag_option,
    text_option,
)
from harness.cli.hints import command_line, ui_hint
from harness.cli.orphans import end_orphans
from harness.cli.run_config import ConfigOptions, config_of, run_name_of
from harness.cli.run_training import (
    model_of,
    says_that_it_compiles,
    scores_on_test_part,
    summary,
    train,
)
from harness.cli.terminal import echo
from harness.config import Config
from harness.errors import UsageError
from harness.storage.files import make_folder, on_disk

if TYPE_CHECKING:
    from harness.model import Model
    from harness.model.courses import Courses
    from harness.studies.labels import Labels
    from harness.trials.outcome import Outcome


@click.command(
    cls=Command,
    short_help="Train one network.",
    example=(
        "harness run --data 'mnist14(rows=2000)' --sizes 196-100-10 --learning-rate 0.5 --epochs 2"
    ),
)
@text_option(
    "--data",
    metavar="SPEC",
    help="A data set (harness list dataset), a .csv, .tsv, .parquet, .npz file, an IDX folder.  "
    "[default: mnist]",
)
@text_option("--label", metavar="COLUMN", help="The column to predict, in a .csv or .parquet file.")
@text_option(
    "--drop",
    "dropped",
    multiple=True,
    metavar="A,B",
    help="Columns of such a file to leave out; may be repeated.",
)
@text_option(
    "--task",
    metavar="KIND",
    help="classification or regression, where the column does not tell.  [default: auto]",
)
@text_option(
    "--missing",
    metavar="HOW",
    help="mean: fill holes with the mean of their column, and add one that says where they were.",
)
@text_option(
    "--sep",
    metavar="MARK",
    help="What stands between two cells of a .csv file: ';', tab.  [default: guessed]",
)
@text_option("--decimal", metavar="MARK", help="The decimal mark of a .csv file.  [default: .]")
@text_option(
    "--thousands", metavar="MARK", help="What groups the digits in a .csv file.  [default: nothing]"
)
@text_option(
    "--encoding",
    metavar="NAME",
    help="The encoding of a .csv file, such as latin-1.  [default: utf-8]",
)
@text_option(
    "--sizes",
    metavar="I-H-...-O",
    help="Units from input to output: 784-100-50-10.  [default: features-100-50-classes]",
)
@text_option("--activation", metavar="SPEC", help="What comes between the layers.  [default: relu]")
@text_option(
    "--kinds",
    metavar="KIND,...",
    help="The kind of each layer, or one for all: dense,residual,dense.  [default: dense]",
)
@text_option(
    "--dropout",
    metavar="RATE",
    help="The probability to drop a hidden unit, such as 0.5; or INPUT,HIDDEN, such as 0.2,0.5.",
)
@text_option("--init", metavar="SPEC", help="How weights begin.  [default: glorot]")
@text_option(
    "--layer",
    "layers",
    multiple=True,
    metavar="SPEC",
    help="Instead of --sizes, layer by layer: --layer 'dense(99)' --layer tanh --layer 'dense(9)'.",
)
@text_option(
    "--update",
    metavar="SPEC",
    help="The update rule: 'sgd(0.5)', momentum, adam, ...  [default: sgd]",
)
@text_option(
    "--learning-rate",
    metavar="NUMBER",
    help="The update rule's learning rate, or a schedule such as 'cosine(0.5)'.",
)
@text_option("--batch", metavar="N|full", help="Examples in a step.  [default: 100]")
@click.option(
    "--drop-last",
    is_flag=True,
    help="Leave out the last batch of an epoch where it has fewer examples than the others.",
)
@click.option("--epochs", type=int, help="How often to go through the training data.  [default: 3]")
@click.option(
    "--valid",
    type=float,
    help="The share of the data that is kept for validation.  [default: 0.2]",
)
@text_option(
    "--valid-data",
    metavar="FILE",
    help="Another .csv or .parquet file, for validation; then nothing is split off.",
)
@text_option(
    "--class-weight",
    metavar="NAME=W,...",
    help="The weight of each class in the loss; or balanced: rare ones weigh more.",
)
@text_option(
    "--scale",
    metavar="HOW",
    help="Of features: auto (/255 for bytes, none for numbers within [-1, 1], else standardize), "
    "/255, /256, standardize, none.  [default: auto]",
)
@click.option(
    "--seed",
    type=int,
    help="Decides initial weights, masks and data order.  [default: 0]",
)
@text_option(
    "--loss",
    metavar="SPEC",
    help="What training lowers.  [default: softmax_cross_entropy; to predict a number "
    "squared_error]",
)
@text_option(
    "--metric",
    metavar="SPEC",
    help="What counts on the validation part.  [default: accuracy; to predict a number rmse]",
)
@text_option(
    "--select",
    metavar="last|best",
    help="Whether to keep the weights of the last or of the best epoch.  [default: last]",
)
@click.option(
    "--patience", type=int, help="Stop after so many epochs without a lower validation loss."
)
@text_option(
    "--film",
    metavar="SPEC|none",
    help="The film of the weights, such as 'film(every=4)', or none.  "
    "[default: film(formats=[html, mp4])]",
)
@text_option(
    "--device", metavar="cpu|gpu", help="Where to compute; gpu needs CuPy.  [default: cpu]"
)
@text_option(
    "--config",
    "config_file",
    metavar="RUN|FILE.json",
    help="All this from a logged run (its name, its run id, 'SWEEP#3') or a config.json; options "
    "override it.",
)
@plugin_option
@text_option(
    "--name",
    metavar="TEXT",
    help="What to call the run.  [default: data, activation, sizes and update rule]",
)
@tag_option
@note_option
@project_option
@text_option(
    "--save",
    metavar="PATH",
    help="Save the network as PATH.npz too, for harness predict.",
)
@click.option(
    "--test",
    "with_test",
    is_flag=True,
    help="At the very end, score the network on the data set's test part too.",
)
@click.option(
    "--models",
    type=click.Choice(["best", "none"]),
    default="best",
    help="none: the run gets no model in MLflow.  [default: best]",
)
@text_option(
    "--register",
    metavar="NAME",
    help="Register the network in MLflow under this name, with the alias best.",
)
@click.option("--no-log", is_flag=True, help="Do not log to MLflow.")
def run(
    plugins: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    note: str | None,
    project: str | None,
    save: str | None,
    with_test: bool,
    models: str,
    register: str | None,
    no_log: bool,
    **options: Any,
) -> None:
    """Train one network and log it to MLflow.

    Prints one line an epoch: mean training loss, loss and score on the validation part, seconds.
    Without options it trains 784-100-50-10 with relu on MNIST.
    """
    from harness.studies.labels import labels, read_tags
    from harness.studies.networks import check_models
    from harness.training.prepare import decided

    check_names(name, project)
    check_models(models, register)
    written = labels(read_tags(tags), note)
    load_plugins(plugins)
    config, source = config_of(ConfigOptions(**options))
    decisions = decided(config)
    # What could fail at the end is tried before the training.
    if save is not None:
        _check_place(save)
    if not no_log:
        _check_store(project)
    if with_test and source.x_test is None:
        raise UsageError(
            f"--test needs a data set with a test part, and {source.name!r} has none; "
            f"leave --test out"
        )
    layers = " > ".join(map(registry.text, config.layers))
    echo(f"{source!r}\n{layers}; {registry.text(config.update)}, batch {config.batch}")
    if decisions:
        echo(decisions)
    with says_that_it_compiles():
        courses = None if no_log else _courses(config)
        outcome = train(config, courses.add if courses else None)
    failure = _failure(outcome)
    if not failure:
        failure = _finish(outcome, save, with_test)
    # What failed is logged too, so that the list of runs is complete.
    if not no_log:
        if courses and not failure:
            outcome.artifacts |= _pictures(outcome, courses)
        model = model_of(outcome) if models != "none" and not failure else None
        _log(outcome, name or run_name_of(config), project, written, model, register)
    if failure:
        echo(f"Error: {failure}", err=True)
        raise click.exceptions.Exit(1)


def _check_place(save: str) -> None:
    """Raises an error unless files can be written where --save says."""
    if save.endswith(("/", os.sep)) or not Path(save).name:
        raise UsageError(
            f"--save must name files to be, not a folder, got {save!r}; write for example "
            f"models/first"
        )
    folder = Path(save).parent
    # An anonymous file is gone again when it is closed.
    with on_disk(save):
        make_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()


def _check_store(project: str | None) -> None:
    """Raises an error where a store is there that nothing can be logged to."""
    from harness.tracking.writer import open_tracker

    def ignore(sentence: str) -> None:
        """Drops what is said of a store that cannot be reached; it is said after the training."""

    open_tracker(None, project or "harness", say=ignore)


def _courses(config: Config) -> "Courses | None":
    """Where the spread of weights and activations is measured; None if no pictures are drawn."""
    from harness.studies.wanted import is_wanted

    if not is_wanted():
        return None
    from harness.model.courses import empty_courses

    try:
        return empty_courses(config)
    except Exception:
        # The training, which comes next, says what is wrong, and is logged with it.
        return None


def _pictures(outcome: "Outcome", courses: "Courses") -> dict[str, bytes]:
    """The pictures of a trained network, as files of its run."""
    from harness.model.pictures import pictures_of_model
    from harness.studies.gallery import drawn

    pictures = drawn(lambda: pictures_of_model(model_of(outcome), courses))
    return {f"pictures/{name}": picture for name, picture in pictures.items()}


def _failure(outcome: "Outcome") -> str:
    """Why there is no trained network; "" where there is one."""
    if outcome.error:
        return f"the network could not be trained\n{outcome.error.rstrip()}"
    if outcome.bad_step is not None:
        return (
            f"the network diverged: its loss was not finite at step {outcome.bad_step}; try a "
            f"lower --learning-rate{_other_remedy(outcome.config)}"
        )
    return ""


def _other_remedy(config: Config) -> str:
    """What else may help against divergence, as the end of a sentence; "" where nothing may."""
    from harness.training.advice import scale_remedy
    from harness.training.prepare import prepare

    remedy = scale_remedy(prepare(config))
    if not remedy:
        return ""
    return f", or {remedy}"


def _finish(outcome: "Outcome", save: str | None, with_test: bool) -> str:
    """Scores, summarizes and saves a trained network; returns why it has no score, or ""."""
    from harness.tracking.test_part import SEEN, now

    model = model_of(outcome)
    if with_test:
        outcome.metrics |= scores_on_test_part(model)
        outcome.notes[SEEN] = now()
    echo(summary(outcome))
    if save is not None:
        echo(f"saved as {model.save(save)}")
    if outcome.no_value:
        return f"{outcome.no_value}, so the network has no score"
    return ""


def _log(
    outcome: "Outcome",
    label: str,
    project: str | None,
    written: "Labels",
    model: "Model | None",
    register: str | None,
) -> None:
    """Logs a run and its model to MLflow, or leaves them where that cannot be reached."""
    from harness.studies.descriptions import trial_description
    from harness.studies.networks import hand_over_single
    from harness.studies.single import log_single
    from harness.trials.data_inputs import data_inputs
    from harness.trials.to_record import result_of, to_run

    run = to_run(f"run/{label}/{uuid.uuid4().hex}", label, outcome, result_of(outcome, {}))
    # A single run has no sweep that would number it.
    run.kind = "run"
    run.number = None
    run.inputs = data_inputs(outcome.config)
    run.description = trial_description(run, outcome.config.metric["name"])
    if model is not None:
        hand_over_single(run, model, register)
    run_id = log_single(run, project or "harness", written)
    if run_id:
        echo(f"logged as {label!r}, {run.status}: run id {run_id}")
        echo(f"to see it: {ui_hint(label, project)}")
    else:
        echo(f"{label!r}, {run.status}: it waits in the spool until MLflow can be reached")
        echo(f"to send it then: {command_line('sync')}")
    end_orphans()
