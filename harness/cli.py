"""The command line: harness run | sweep | ui | list | show | new | check | predict | results and, after accidents,
verify | sync | doctor | gc.

Bad input is one line on stderr, "Error: ...", and exit code 2. What a plugin raises keeps its traceback and gives 1, as
does an answer that is no; Ctrl-C gives 130 and SIGTERM 143. Heavy rooms are imported by the command that needs them:
--help answers at once.
"""

import contextlib
import functools
import os
import shlex
import shutil
import signal
import sys
import sysconfig
import tempfile
import textwrap
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

import harness
from harness import checks, registry
from harness.config import Config
from harness.errors import UsageError, command_line_options
from harness.layers import mlp
from harness.storage.files import make_folder, on_disk, write_plain
from harness.terminal import echo, lasting_output, write_data

if TYPE_CHECKING:
    from harness.data import Dataset
    from harness.model import Model
    from harness.sweep import Sweep
    from harness.trial import Outcome

WIDTH = 100  # columns of help texts and tables


class Terminated(KeyboardInterrupt):
    """SIGTERM: it stops a command as Ctrl-C does."""


class Main(click.Group):
    """The group of commands, with the exit codes of this module."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of this file."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a command line and exits."""
        with lasting_output() as streams:
            code = self._code(*args, **kwargs)
            if problem := streams[0].problem:
                echo(f"Error: {problem}", err=True)
                code = 2
        sys.exit(code)

    def _code(self, *args: Any, **kwargs: Any) -> Any:
        """The exit code of a command line; bad input and a stop have been said."""
        try:
            with _stoppable():
                return super().main(*args, **{**kwargs, "standalone_mode": False})
        except click.Abort as stop:  # click's word for Ctrl-C, and for an EOFError, which may be a plugin's
            if isinstance(stop.__cause__, EOFError):
                raise stop.__cause__ from None
            echo("stopped", err=True)
            return _stop_code(stop.__cause__)
        except (click.ClickException, UsageError) as error:
            text = error.format_message() if isinstance(error, click.ClickException) else str(error)
            echo(f"Error: {' '.join(text.split())}", err=True)
            return 2


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM raises Terminated, and Ctrl-C also works where a shell has started us in the background."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise Terminated

    handlers: dict[int, Any] = {signal.SIGTERM: stop, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_code(stop: Any) -> int:
    return 143 if isinstance(stop, Terminated) else 130


def command_line(*words: str) -> str:
    """What to type, in the shell and folder that we were started from, to start this harness with these words."""
    inside_tox = "TOX_ENV_DIR" in os.environ  # its PATH is not that of the user's shell
    folders = [Path(sysconfig.get_path("scripts"))]
    if sys.prefix == sys.base_prefix:
        folders.append(Path(sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user"))))

    def known(name: str) -> bool:
        found = None if inside_tox else shutil.which(name)
        return found is not None and Path(found).resolve().parent in [folder.resolve() for folder in folders]

    def short(path: Path) -> str:
        return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))

    script = next((folder / "harness" for folder in folders if (folder / "harness").is_file()), None)
    if script is not None:
        start = "harness" if known("harness") else short(script)
    else:
        python = Path(sys.executable)
        found = not inside_tox and shutil.which(python.name) == str(python)
        start = f"{python.name if found else short(python)} -m harness"
    return f"{start} {shlex.join(words)}".strip()


def ui_hint() -> str:
    """The command that opens the UI on these runs from here."""
    return command_line("ui")


def _load_plugins(references: tuple[str, ...]) -> None:
    """Loads plugins; modules are also looked for in the current folder, as `python -m` does."""
    if any(not reference.endswith(".py") for reference in references):
        _look_here()
    for reference in references:
        registry.load_plugin(reference)


def _look_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


@contextlib.contextmanager
def _writing(path: str | Path) -> Iterator[None]:
    with on_disk(path):
        yield


Options = tuple[tuple[str, Any, str], ...]  # names, a metavar or a type or True for a flag, help

PLUGIN: Options = (
    ("--plugin plugins", "REF", "Your own activations.py, or a package.module, with plugins; may be repeated."),
)
PROJECT: Options = (("--project", "NAME", "The MLflow experiment to log to.  [default: harness]"),)


def _options(
    *options: tuple[str, Any, str], repeated: tuple[str, ...] = ("plugins", "layers", "dropped", "objectives")
) -> Callable[[Any], Any]:
    """click.option for each; those not given are None, or () if they may be repeated."""

    def decorate(command: Any) -> Any:
        for names, kind, text in reversed(options):
            flags = names.split()
            how: dict[str, Any] = (
                {"is_flag": True} if kind is True else {"metavar": kind} if isinstance(kind, str) else {"type": kind}
            )
            if isinstance(kind, str):
                how["callback"] = _not_empty
            command = click.option(*flags, multiple=flags[-1] in repeated, help=text, **how)(command)
        return command

    return decorate


def _not_empty(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Refuses an empty text: a script's variable that is not set must not pass for a default."""
    for each in value if isinstance(value, tuple) else (value,):
        if each == "":
            raise UsageError(f"{option.opts[0]} must not be empty, got {each!r}; write something, or leave it out")
    return value


def _command(
    *options: tuple[str, Any, str], name: str | None = None, short: str, example: str, script: bool = False
) -> Callable[[Any], Any]:
    """A command of `main` with its options, its line in the list of commands, and its example.

    script: a Python script says what its options do not; only what was given here is called an option in messages.
    """

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            with command_line_options(_spellings(options, given if script else None)):
                return function(*args, **given)

        epilog = f"\b\nExample:\n  {example}"
        return main.command(name, short_help=short, epilog=epilog)(_options(*options)(call))

    return decorate


def _spellings(options: Options, given: dict[str, Any] | None) -> dict[str, str]:
    """What arguments of Python are called here: {"trial_timeout": "--trial-timeout", "drop": "--drop", ...}.

    given: only of options that were given, by their parameters; None for all.
    """
    spelled: dict[str, str] = {}
    for names, _, _ in options:
        flag, *other = names.split()
        own = flag.removeprefix("--").replace("-", "_")
        parameter = other[-1] if other else own
        value = None if given is None else given.get(parameter)
        if given is None or (value is not None and value is not False and value != ()):
            spelled |= {own: flag, parameter: flag}
    return spelled


@click.group(
    cls=Main,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
    epilog="\b\nExample:\n  harness run --data mnist --epochs 1",
)
@click.version_option(harness.__version__, prog_name="harness", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Train multilayer perceptrons, sweep over hundreds of them, and watch them learn in MLflow.

    Every command explains itself: harness COMMAND --help. What is called SPEC there is a name from `harness list`, with
    arguments in parentheses where the defaults will not do: relu, 'sgd(0.5)', 'mnist14(rows=2000)'.

    The exit code is 0, or 1 if the answer is no (a check failed, a network diverged, something still waits, ...), 2 for
    bad input, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if context.invoked_subcommand is None:
        echo(context.get_help())


# harness run ----------------------------------------------------------------------------------------------------------


@_command(
    (
        "--data",
        "SPEC",
        "A data set (harness list dataset), a .csv, .tsv, .parquet, .npz file, an IDX folder.  [default: mnist]",
    ),
    ("--label", "COLUMN", "The column to predict, in a .csv or .parquet file."),
    ("--drop dropped", "A,B", "Columns of such a file to leave out; may be repeated."),
    ("--task", "KIND", "classification or regression, where the column does not tell.  [default: auto]"),
    ("--missing", "HOW", "mean: fill holes with the mean of their column, and add one that says where they were."),
    ("--sep", "MARK", "What stands between two cells of a .csv file: ';', tab.  [default: guessed]"),
    ("--decimal", "MARK", "The decimal mark of a .csv file.  [default: .]"),
    ("--thousands", "MARK", "What groups the digits in a .csv file.  [default: nothing]"),
    ("--encoding", "NAME", "The encoding of a .csv file, such as latin-1.  [default: utf-8]"),
    ("--sizes", "I-H-...-O", "Units from input to output: 784-100-50-10.  [default: features-100-50-classes]"),
    ("--activation", "SPEC", "What comes between the layers.  [default: relu]"),
    ("--kinds", "KIND,...", "The kind of each layer, or one for all: dense,residual,dense.  [default: dense]"),
    ("--dropout", "RATE", "The probability to drop a hidden unit, such as 0.5; or INPUT,HIDDEN, such as 0.2,0.5."),
    ("--init", "SPEC", "How weights begin.  [default: glorot]"),
    (
        "--layer layers",
        "SPEC",
        "Instead of --sizes, layer by layer: --layer 'dense(99)' --layer tanh --layer 'dense(9)'.",
    ),
    ("--update", "SPEC", "The update rule: 'sgd(0.5)', momentum, adam, ...  [default: sgd]"),
    ("--learning-rate", "NUMBER", "The update rule's learning rate, or a schedule such as 'cosine(0.5)'."),
    ("--batch", "N|full", "Examples in a step.  [default: 100]"),
    ("--drop-last", True, "Leave out the last batch of an epoch where it has fewer examples than the others."),
    ("--epochs", int, "How often to go through the training data.  [default: 3]"),
    ("--valid", float, "The share of the data that is kept for validation.  [default: 0.2]"),
    ("--valid-data", "FILE", "Another .csv or .parquet file, for validation; then nothing is split off."),
    ("--class-weight", "NAME=W,...", "The weight of each class in the loss; or balanced: rare ones weigh more."),
    (
        "--scale",
        "HOW",
        "Of features: auto (/255 for bytes, none for numbers within [-1, 1], else standardize), /255, /256, "
        "standardize, none.  [default: auto]",
    ),
    ("--seed", int, "Decides initial weights, masks and data order.  [default: 0]"),
    ("--loss", "SPEC", "What training lowers.  [default: softmax_cross_entropy; to predict a number squared_error]"),
    ("--metric", "SPEC", "What counts on the validation part.  [default: accuracy; to predict a number rmse]"),
    ("--select", "last|best", "Whether to keep the weights of the last or of the best epoch.  [default: last]"),
    ("--patience", int, "Stop after so many epochs without a lower validation loss."),
    ("--film", "SPEC|none", "The film of the weights, such as 'film(every=4)', or none.  [default: film]"),
    ("--device", "cpu|gpu", "Where to compute; gpu needs CuPy.  [default: cpu]"),
    (
        "--config config_file",
        "RUN|FILE.json",
        "All this from a logged run (its name, its run id, 'SWEEP#3') or a config.json; options override it.",
    ),
    *PLUGIN,
    ("--name", "TEXT", "What to call the run.  [default: data, activation, sizes and update rule]"),
    *PROJECT,
    ("--save", "PATH", "Save the network as PATH.npz and PATH.json, for harness predict."),
    ("--test with_test", True, "At the very end, score the network on the data set's test part too."),
    ("--no-log", True, "Do not log to MLflow."),
    short="Train one network.",
    example="harness run --data 'mnist14(rows=2000)' --sizes 196-100-10 --learning-rate 0.5 --epochs 2",
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

    Prints one line an epoch: mean training loss, loss and score on the validation part, seconds. Without options it
    trains 784-100-50-10 with relu on MNIST.
    """
    from harness.books import log_single
    from harness.train import decided
    from harness.trial import to_run

    def other_remedy(config: Config) -> str:
        from harness.advice import scale_remedy
        from harness.train import prepare

        remedy = scale_remedy(prepare(config))
        return f", or {remedy}" if remedy else ""

    _check_names(name, project)
    _load_plugins(plugins)
    config, source = _config(given)
    said = decided(config)
    if save is not None:
        if save.endswith(("/", os.sep)) or not Path(save).name:
            raise UsageError(
                f"--save must name files to be, not a folder, got {save!r}; write for example models/first"
            )
        with _writing(save):  # before the training, not after it
            make_folder(Path(save).parent)
            tempfile.TemporaryFile(dir=Path(save).parent).close()
    if not no_log:
        from harness.tracking import open_tracker

        open_tracker(None, project or "harness", say=lambda sentence: None)
    if with_test and source.x_test is None:
        raise UsageError(f"--test needs a data set with a test part, and {source.name!r} has none; leave --test out")
    label = name or _name(config)
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
            f"the network diverged: its loss was not finite at step {outcome.bad_step}; try a lower --learning-rate"
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
        record = to_run(f"run/{label}/{uuid.uuid4().hex}", label, outcome, {})
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
    same = ("update", "epochs", "valid", "scale", "seed", "loss", "metric", "select", "patience", "device", "missing")
    values |= {name: given[name] for name in same if given[name] is not None}
    if given["class_weight"] is not None:
        values["class_weight"] = _class_weight(given["class_weight"])
    options = {name: given[name] for name in _OF_DATA if given[name] is not None}
    if given["valid_data"] is not None:
        options["valid"] = given["valid_data"]
    if given["dropped"]:
        options["drop"] = list(given["dropped"])
    if given["data"] is not None or options or given["missing"] is not None:
        values["data"] = _data_spec(given["data"] or values["data"], options, given["missing"])
    if given["batch"] is not None:
        text = given["batch"]
        values["batch"] = text if text == "full" else _number("--batch", int, text, "a whole number or full")
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
    from harness.verify import logged_config

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
        weights[name.strip()] = _number("--class-weight", float, weight, must, text)
    return weights


def _put_layers(values: dict[str, Any], given: dict[str, Any], source: "Dataset") -> None:
    """Puts the layers of --layer, --sizes or by default into the fields of a config."""
    shaping = {k: given[k] for k in ("activation", "kinds", "dropout", "init") if given[k] is not None}
    if given["layers"] and (given["sizes"] or shaping):
        other = "sizes" if given["sizes"] else next(iter(shaping))
        raise UsageError(f"--layer and --{other} cannot be combined; write everything as layers, or give --sizes")
    if given["layers"]:
        values |= {"layers": list(given["layers"]), "inputs": None}
    elif given["sizes"] or "layers" not in values:
        outputs = len(source.classes) or source.y.shape[1]
        must = "whole numbers joined by -, such as 784-100-10"
        sizes = [_width(values, source), 100, 50, outputs]
        if given["sizes"]:
            sizes = [_number("--sizes", int, size, must, given["sizes"]) for size in given["sizes"].split("-")]
        if "kinds" in shaping and "," in shaping["kinds"]:
            shaping["kinds"] = [kind.strip() for kind in shaping["kinds"].split(",")]
        if "dropout" in shaping:
            must = "one rate or two, such as 0.5 or 0.2,0.5"
            rates = [
                _number("--dropout", float, rate, must, shaping["dropout"]) for rate in shaping["dropout"].split(",")
            ]
            shaping["dropout"] = rates if len(rates) > 1 else rates[0]
        values |= {"layers": mlp(sizes, **shaping), "inputs": None}
    elif shaping:
        raise UsageError(
            f"--{next(iter(shaping))} shapes a network of --sizes, but the layers come from --config; give --sizes too"
        )


def _check_names(name: str | None, project: str | None) -> None:
    """Names come back in tables, and find what they name."""
    for option, given in (("--name", name), ("--project", project)):
        if given is not None:
            checks.line(option, given)


def _number(option: str, kind: Callable[[str], Any], text: str, must: str, whole: str | None = None) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{option} must be {must}, got {whole or text!r}") from None


_OF_DATA = ("label", "task", "sep", "decimal", "thousands", "encoding")  # options that the data set takes


def _width(values: dict[str, Any], source: "Dataset") -> int:
    """How many features the data has once its texts are encoded and its holes filled."""
    if source.texts is None and source.missing is None:
        return source.x.shape[1]
    from harness.train import prepare

    data = prepare(Config(**{**values, "layers": ["dense(1)"], "inputs": None}), source)
    return data.x.shape[1]


def _data_spec(data: Any, options: dict[str, Any], missing: str | None) -> Any:
    """A data set's spec with the options that it takes: the column of labels, those to leave out, ..."""
    from harness.data.tables import kind_of

    spec = data
    if isinstance(data, str):
        kind = None if data.rstrip().endswith(")") else kind_of(data)
        if kind is not None:
            spec = {"name": kind, "path": data}
        else:
            spec = registry.parse(data) if data.rstrip().endswith(")") or data.isidentifier() else {}
    asked = {**options, **({} if missing is None else {"missing": missing})}
    for key in asked:
        if not spec or key not in registry.find("dataset", spec["name"]).parameters:
            files = "a .csv" if key in ("sep", "decimal", "thousands", "encoding") else "a .csv or .parquet"
            option = {"valid": "valid-data"}.get(key, key)
            raise UsageError(f"--{option} goes with {files} file, not with {registry.text(data)}; leave it out")
    return {**spec, **options} if options else data


def _with_rate(update: Any, rate: str) -> dict[str, Any]:
    """The update rule with another learning rate: a number or a schedule."""
    spec = registry.canonical("update_rule", update)
    entry = registry.find("update_rule", spec["name"])
    if "learning_rate" not in entry.parameters:
        raise UsageError(
            f"--learning-rate: the update rule {entry.signature} has no learning_rate; write it into --update"
        )
    value: Any = rate
    with contextlib.suppress(ValueError):
        value = float(rate)
    if isinstance(value, str) and value.partition("(")[0] not in {e.name for e in registry.entries("schedule")}:
        near = registry.suggest(value.partition("(")[0], [e.name for e in registry.entries("schedule")])
        raise UsageError(f"--learning-rate must be a number such as 0.5 or a schedule, got {rate!r}; {near}")
    return {**spec, "learning_rate": value}


def _name(config: Config) -> str:
    """'mnist relu 784-100-50-10 sgd(learning_rate=0.5)'"""
    flat = config.flat()
    units = [str(layer["units"]) for layer in config.layers if "units" in layer]
    sizes = "-".join([*([str(config.inputs)] if config.inputs else []), *units])
    data = config.data if isinstance(config.data, str) else config.data.get("path", config.data["name"])
    name = " ".join(filter(None, [Path(data).name, str(flat["activations"]), sizes, registry.text(config.update)]))
    readable = "".join(letter if letter.isprintable() else "?" for letter in name)  # a file's name may hold any bytes
    return readable[: checks.LONGEST_LINE]


def _train(config: Config) -> "Outcome":
    """Trains epoch by epoch and prints a line for each."""
    from harness.spool import now_ms
    from harness.trial import Job, work

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
        echo("  ".join(f"{cell:>{max(10, len(head))}}" for cell, head in zip(cells, heads, strict=True)))
        if outcome.ended:
            break
        job = Job([0], [config], [outcome.state or {}], 1, records=[outcome.records])
    outcome.start_ms = begun
    return outcome


def _model(outcome: "Outcome") -> "Model":
    """The trained network of an outcome, to score and to save."""
    from harness.model import Model

    net = Model(outcome.config)
    net._facts, _ = net._prepare(*net._dataset(None, None))
    net._state = outcome.state
    for r in outcome.records:
        net.history.append(
            {"epoch": r.epoch, "step": r.step, **r.metrics, **{f"time/{k}": v for k, v in r.seconds.items()}}
        )
    return net


def _test_scores(model: "Model") -> dict[str, float]:
    """The config's metric, and accuracy where there are classes, on the data set's test part."""
    names = dict.fromkeys([model.config.metric["name"], *(["accuracy"] if model.classes is not None else [])])
    return {f"test/{name}": model.score(metric=None if name == model.config.metric["name"] else name) for name in names}


def _summary(outcome: "Outcome") -> str:
    """The numbers at the end of a run."""
    metrics = outcome.metrics
    parts = [f"{key.replace('/', ' ')} {value:.4f}" for key, value in metrics.items() if key.startswith("test/")]
    if outcome.value is not None:
        parts.insert(0, f"valid {outcome.config.metric['name']} {outcome.value:.4f} ({outcome.config.select} epoch)")
    parts.append(f"{metrics['time/train_s']:.2f} s of training, {metrics['time/step_us']:.0f} us a step")
    notes = [outcome.notes.get(f"harness.{note}") for note in ("stopped", "advice")]
    return "\n".join([", ".join(parts), *(note for note in notes if note)])


# harness sweep --------------------------------------------------------------------------------------------------------


@_command(
    ("--trials", int, "How many networks to train in all.  [default: 20]"),
    ("--workers", int, "How many to train at the same time, each in a process of its own.  [default: 1]"),
    ("--sampler", "SPEC", "How Optuna chooses: RandomSampler, QMCSampler, ...  [default: TPESampler]"),
    ("--pruner", "SPEC|none", "When Optuna gives a network up: MedianPruner, HyperbandPruner, ...  [default: none]"),
    ("--seed", int, "Decides what is tried, and the networks where the script sets no seed.  [default: 0]"),
    ("--name", "TEXT", "Which sweep, if the script defines several; else another name for the one it defines."),
    ("--film", click.Choice(["all", "best", "none"]), "Whose film of the weights to keep.  [default: all]"),
    ("--population", "N|auto", "How many networks of one shape to train as one batched computation.  [default: 1]"),
    ("--objective objectives", "NAME", "The metric, loss or train_s; repeated for several.  [default: the metric]"),
    ("--checkpoint", float, "Seconds of training after which a network's state is written down.  [default: 30]"),
    ("--trial-timeout", float, "Seconds of training after which a network has failed.  [default: none]"),
    ("--timeout", float, "Seconds after which the sweep stops and can be gone on with.  [default: none]"),
    ("--enqueue", "FILE", "Points to try first: CSV with a column for each parameter, or JSON, a list of objects."),
    ("--seeds", int, "Networks of each trial, whose value is the mean over their seeds.  [default: 1]"),
    ("--synchronous", True, "Ask, prune and tell in rounds of 8, so that nothing of it depends on --workers."),
    ("--scheduler", "ADDRESS", "A Dask cluster, as tcp://127.0.0.1:8786 or its scheduler file: no local workers."),
    *PROJECT,
    *PLUGIN,
    short="Train many networks: the sweep of a script.",
    script=True,
    example="harness sweep experiments/first_sweep.py --trials 40",
)
@click.argument("script")
def sweep(script: str, name: str | None, plugins: tuple[str, ...], **options: Any) -> None:
    """Start the sweep that SCRIPT defines, or go on where it stopped.

    SCRIPT is a Python file with a search space under @sweep(...) of harness.sweep, or a module. Options given here
    override those of the script, and these the defaults. Ctrl-C stops it; the same command goes on with it.
    """
    _check_names(name, options["project"])
    _load_plugins(plugins)
    chosen, names = _find_sweep(script, name)
    if name and not names:
        options["name"] = name
    given = {key: value for key, value in options.items() if value is not None and value is not False and value != ()}
    if given.get("population") not in (None, "auto"):
        given["population"] = _number("--population", int, given["population"], "a whole number or auto")
    if options["pruner"] == "none":
        given["pruner"] = None
    if "enqueue" in given:
        from harness.sweep import read_points

        given["enqueue"] = read_points(given["enqueue"])
    try:
        result = chosen.run(**given)
    except KeyboardInterrupt as stop:
        again = command_line(*sys.argv[1:])
        echo(f"stopped after {_ended(given.get('name', chosen.name))} trials; go on with: {again}", err=True)
        raise click.exceptions.Exit(_stop_code(stop)) from None
    states = Counter(trial.extra["state"].lower() for trial in result.trials)
    count = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    echo(f"{result.name}: {len(result.trials)} trials ({count})" + (result.note and f"; {result.note}"))
    echo(result.table(10) if result.ranked else "none of them has a result")
    echo(f"to see them: {ui_hint()}")


def _find_sweep(script: str, name: str | None) -> "tuple[Sweep, list[str]]":
    """The sweep that a script defines, and the names to choose from if there are several."""
    from harness.sweep import defined

    before = len(defined)
    path = Path(script).expanduser().resolve()
    if path.is_dir() or (not path.is_file() and (script.endswith(".py") or os.sep in script)):
        raise UsageError(f"there is no file {script!r}; give the path of a Python script that defines a sweep")
    if path.is_file() and path.suffix != ".py":
        raise UsageError(f"a script must be a Python file whose name ends in .py, got {script!r}; check the path")
    if script.endswith(".py") and path.is_file() and str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # as `python SCRIPT` does, for its neighbours
    _load_plugins((script,))
    found = [each for each in defined if each.script == path] or defined[before:]
    names = [each.name for each in found]
    if not found:
        raise UsageError(
            f"{script} must define a sweep, but it has none; put @sweep(...) of harness.sweep over its search space"
        )
    if len(found) == 1:
        return found[0], []
    if name not in names:
        which = f"--name {name!r} is none of them" if name else "say which with --name"
        raise UsageError(f"{script} defines the sweeps {', '.join(map(repr, names))}; {which}")
    return found[names.index(name)], names


def _ended(name: str) -> int:
    """How many trials of a sweep have ended."""
    from harness.books import folder_of
    from harness.spool import Spool

    folder = folder_of("sweep", name) / "spool"
    if not folder.is_dir():
        return 0
    spool = Spool(folder)
    return len(spool) - (spool.parent() is not None)


# harness ui, list, show, new, check, predict, results -----------------------------------------------------------------


@_command(
    ("--host", "ADDRESS", "The address to listen on.  [default: 127.0.0.1, which only this machine can reach]"),
    ("--port", click.IntRange(1, 65535), "The port to listen on.  [default: 5000]"),
    *PROJECT,
    short="Show the runs in a browser.",
    example="harness ui --port 5001",
)
def ui(host: str | None, port: int | None, project: str | None) -> None:
    """Show the runs in a browser: starts the MLflow UI and prints its address. Ctrl-C ends it."""
    from harness.tracking import serve_ui

    serve_ui(host=host or "127.0.0.1", port=5000 if port is None else port, project=project or "harness")


def _plural(kind: str) -> str:
    words = kind.replace("_", " ")
    return words + ("es" if words.endswith("s") else "s")


@_command(*PLUGIN, name="list", short="List what can be used by name.", example="harness list activation")
@click.argument("kind", required=False)
def list_plugins(kind: str | None, plugins: tuple[str, ...]) -> None:
    """List what can be used by name: activations, layers, update rules, data sets and all else that is registered.

    KIND is one of activation, layer, update_rule, loss, initializer, schedule, metric, recorder, dataset. Each line
    shows the name with its arguments and their defaults, what it does, and where it comes from.
    """
    _load_plugins(plugins)
    kind = None if kind is None else _kind(kind)
    groups: dict[str, list[registry.Entry]] = {}
    for entry in registry.entries(kind):
        groups.setdefault(entry.kind, []).append(entry)
    for group, entries in groups.items():
        echo(f"{_plural(group)}\n" + "\n".join(_rows_of(entries)) + "\n")


def _kind(text: str) -> str:
    """A kind of plugin as people write it: update-rule, losses."""
    known = {word: k for k in registry.KINDS for word in (k, _plural(k).replace(" ", "_"))}
    wanted = text.replace("-", "_").replace(" ", "_")
    if wanted not in known:
        raise UsageError(f"unknown kind of plugin {text!r}; {registry.suggest(text, registry.KINDS)}")
    return known[wanted]


def _rows_of(entries: list[registry.Entry]) -> Iterator[str]:
    """Signature, summary and origin of each entry in columns, long texts folded."""
    origins = [_origin(entry) for entry in entries]
    right = max(map(len, origins))
    left = min(max(len(entry.signature) for entry in entries), 36)
    middle = WIDTH - 6 - left - right
    for entry, origin in zip(entries, origins, strict=True):
        signature = textwrap.wrap(entry.signature, left, subsequent_indent="  ")
        summary = textwrap.wrap(entry.summary, middle)
        for a, b, c in zip_longest(signature, summary, [origin], fillvalue=""):
            yield f"  {a:<{left}}  {b:<{middle}}  {c}".rstrip()


def _origin(entry: registry.Entry) -> str:
    text = _place(entry)
    return text if len(text) <= 24 else f"...{text[-21:]}"


def _place(entry: registry.Entry) -> str:
    """Where an entry comes from: its file as seen from here, its file in an installed package, or built-in."""
    path = Path(entry.origin)
    if path.is_relative_to(Path(harness.__file__).parent):
        return "built-in"
    for above in (Path(sysconfig.get_path("purelib")), Path.cwd()):
        if path.is_relative_to(above):
            return str(path.relative_to(above))
    return str(path)


@_command(
    ("--out", "FILE.png", "Where to draw to; .svg and .pdf too.  [default: NAME.png in this folder]"),
    ("--kind", "KIND", "Which one, if there are several of that name: initializer, schedule, ..."),
    *PLUGIN,
    short="Explain one name, and draw it.",
    example="harness show 'leaky_relu(slope=0.1)' --out leaky.png",
)
@click.argument("name")
def show(name: str, out: str | None, kind: str | None, plugins: tuple[str, ...]) -> None:
    """Explain what NAME stands for, and draw it.

    Of an activation value and slope are drawn; of an update rule its path down a bowl, w1 flat and w2 ten times as
    steep, for 1000 steps; of a schedule its curve; of an initializer its histogram. NAME may have arguments.
    """
    from harness.show import draw, drawable
    from harness.testing import examples

    _load_plugins(plugins)
    found = [entry for entry in _entries(name) if kind is None or entry.kind == _kind(kind)]
    if not found:
        raise UsageError(f"there is no {kind or 'plugin'} {name!r}; {_near(name)}")
    if len(found) > 1:
        kinds = ", ".join(entry.kind.replace("_", " ") for entry in found)
        raise UsageError(f"there are several plugins called {found[0].name!r} ({kinds}); say which with --kind")
    (entry,) = found
    given = _given(entry, name)
    drawn = drawable(entry.kind)
    if out is not None and not drawn:
        raise UsageError(f"--out is for what can be drawn, but {entry.name!r} is a {entry.kind.replace('_', ' ')}")
    echo(f"{_head(entry, given)}\n{entry.kind.replace('_', ' ')}, {_place(entry)}\n\n{entry.doc}".rstrip())
    if drawn:
        spec, file = examples(entry, given)[0], out or f"{entry.name}.png"
        with _writing(file):
            echo(f"\n{registry.text(spec)} is drawn in {draw(entry.kind, spec, file)}")


def _entries(text: str) -> list[registry.Entry]:
    """All that is registered under the name of a spec."""
    name = text.partition("(")[0].strip()
    return [entry for entry in registry.entries() if entry.name == name]


def _given(entry: registry.Entry, text: str) -> dict[str, Any]:
    """The arguments that a spec gives; a bare name gives none, not even those that are needed."""
    return {k: v for k, v in registry.canonical(entry.kind, text).items() if k != "name"} if "(" in text else {}


def _head(entry: registry.Entry, given: dict[str, Any]) -> str:
    """An entry's signature; with the arguments that are given, and the defaults of the others, where there are some."""
    if not given:
        return entry.signature
    return registry.text({"name": entry.name, **registry.arguments(entry, given)})


def _near(name: str) -> str:
    names = sorted({entry.name for entry in registry.entries()})
    near = registry.suggest(name.partition("(")[0], names)
    return near if near.startswith("did you mean") else "harness list shows what there is"


@_command(
    ("--dir folder", "FOLDER", "Where to put it.  [default: this folder]"),
    short="Write a plugin to begin with.",
    example="harness new activation ripple",
)
@click.argument("kind")
@click.argument("name")
def new(kind: str, name: str, folder: str | None) -> None:
    """Write NAME.py, a commented plugin that works as it stands, to be changed into your own.

    KIND is one of activation, layer, update_rule, loss, dataset. A file that is there is never overwritten.
    """
    from harness.show import drawable
    from harness.templates import write

    path = write(_kind(kind), name, folder or ".")
    echo(f"{path} works as it stands; change it, then:")
    echo(f"  {command_line('check', str(path))}")
    if drawable(_kind(kind)):
        echo(f"  {command_line('show', name, '--plugin', str(path))}")


@_command(
    *PLUGIN,
    short="Check plugins: gradients, dtypes, who writes what, populations, ...",
    example="harness check my_plugins.py",
)
@click.argument("what")
def check(what: str, plugins: tuple[str, ...]) -> None:
    """Check all that a file or a module registers, or what is registered under a name.

    WHAT is a .py file, a package.module, or a name from `harness list`, with arguments where the defaults will not do:
    'leaky_relu(slope=0.5)'. A line for each check: what was measured, and how much is allowed. The exit code is 1 if a
    check has failed.
    """
    from harness import testing

    _load_plugins(plugins)
    checks = failed = 0
    unchecked: list[UsageError] = []
    begun = time.perf_counter()
    for entry, given in _to_check(what):
        echo(f"{entry.kind.replace('_', ' ')} {_head(entry, given)}")
        try:
            outcomes = testing.check(entry.kind, entry.name, **given)
        except UsageError as error:  # an argument of which it knows no example; the others are checked all the same
            unchecked.append(error)
            echo("  not checked")
            continue
        for outcome in outcomes:
            echo(textwrap.fill(str(outcome), WIDTH, initial_indent="  ", subsequent_indent=" " * 8))
            checks, failed = checks + 1, failed + (not outcome.ok)
    result = f"{failed} of {checks} checks failed" if failed else f"all {checks} checks passed"
    echo(f"{result}, {time.perf_counter() - begun:.1f} s")
    if unchecked:
        raise unchecked[0]
    if failed:
        raise click.exceptions.Exit(1)


def _to_check(what: str) -> list[tuple[registry.Entry, dict[str, Any]]]:
    """What a file, a module or a name stands for, and the arguments that are given with a name."""
    from importlib.util import find_spec

    from harness.testing import registered_by

    name = what.partition("(")[0].strip()
    if name.isidentifier():
        if found := _entries(what):
            return [(entry, _given(entry, what)) for entry in found]
        _look_here()
        if name != what or find_spec(name) is None:
            raise UsageError(f"there is no plugin, file or module {what!r}; {_near(what)}")
    _load_plugins((what,))
    return [(entry, {}) for entry in registered_by(what)]


@_command(
    ("--out", "FILE.csv", "Write to this file instead of the screen."),
    ("--label", "COLUMN", "The column of true labels in DATA: left out of the features, and scored."),
    ("--proba", True, "Add the probability of each class."),
    ("--sep", "MARK", "What stands between two cells of a .csv file.  [default: as in training, or guessed]"),
    ("--decimal", "MARK", "The decimal mark of a .csv file.  [default: as in training]"),
    ("--thousands", "MARK", "What groups the digits in a .csv file.  [default: as in training]"),
    ("--encoding", "NAME", "The encoding of a .csv file.  [default: as in training]"),
    *PLUGIN,
    short="Predict with a saved network.",
    example="harness predict models/iris new_flowers.csv --proba --out predicted.csv",
)
@click.argument("model")
@click.argument("data")
def predict(
    model: str, data: str, out: str | None, label: str | None, proba: bool, plugins: tuple[str, ...], **form: str | None
) -> None:
    """Predict with a network that was saved by harness run --save: one row of CSV for each example.

    MODEL is the path that it was saved under. DATA is a .csv or .parquet file with the columns that it learned from (in
    any order, others are left out), an .npz with an array x, a folder of IDX files, or the name of a data set, of which
    the test part is taken (all of it where there is none). Where true labels are known, the score is printed to stderr.
    """
    import pandas

    from harness.escapes import to_csv
    from harness.model import load_model

    _load_plugins(plugins)
    net = load_model(model)
    x, y = _examples(data, label, net, {name: mark for name, mark in form.items() if mark is not None})
    found = net.predict(x)
    proba_of = net.predict_proba(x) if proba else np.empty((0, 0))
    metric = net.config.metric["name"] if net.classes is None else "accuracy"
    score = None if y is None else net.score(x, y, metric=metric)
    columns: dict[str, Any] = {"prediction": found}
    if found.ndim == 2:
        columns = {"prediction" + (f"_{k}" if found.shape[1] > 1 else ""): found[:, k] for k in range(found.shape[1])}
    if proba:
        names: Any = net.classes if net.classes is not None else []
        columns |= {f"p_{name}": p for name, p in zip(names, proba_of.T, strict=True)}
    table = to_csv(pandas.DataFrame(columns), float_format="%.6g")
    if out:
        with _writing(out):
            Path(out).expanduser().parent.stat()  # no folder is made for it
        write_plain(Path(out).expanduser(), table.encode())
    else:
        write_data(table)
    if score is not None:
        echo(f"{metric} {score:.4f} on {len(found)} examples", err=True)


def _examples(data: str, label: str | None, net: "Model", form: dict[str, str]) -> tuple[Any, Any]:
    """Features (N, ...) and, where known, labels (N,) of what predict is given."""
    from harness.data import load
    from harness.data.tables import existing, is_there, kind_of

    if not data.strip():
        raise UsageError(f"DATA must be a path or the name of a data set, got {data!r}; see harness predict --help")
    kind = None if data.rstrip().endswith(")") else kind_of(data)
    if label is not None and kind not in ("csv", "parquet"):
        raise UsageError(f"--label goes with a .csv or .parquet file, got {data!r}; leave it out")
    if form and kind != "csv":
        raise UsageError(f"--{next(iter(form))} goes with a .csv file, got {data!r}; leave it out")
    if is_there(data, folder=True):
        return _idx_examples(Path(data).expanduser())
    if kind in ("csv", "parquet"):
        return _table_examples(data, label, net, form)
    if kind == "npz":
        return _npz_examples(existing(data))
    if not data.isprintable() or len(data) > 4096:
        raise UsageError(f"DATA must be a path or the name of a data set, got {data[:100]!r}; check it")
    source = load(data)
    table, y = (source.table(), source.y) if source.x_test is None else (source.test_table(), source.y_test)
    return table, np.array(source.classes)[y] if source.classes else y


def _table_examples(path: str, label: str | None, net: "Model", written: dict[str, str]) -> tuple[Any, Any]:
    """The columns of a file that the network learned from, read as those were, and the labels where they are there."""
    from harness.data.reading import read_table
    from harness.data.tables import Form, no_column, read_frame

    about = net.config.data if isinstance(net.config.data, dict) else {}
    form = Form(*({**about, **written}.get(name) for name in ("sep", "decimal", "thousands", "encoding")))
    wanted = label or about.get("label")  # as in the file that the model learned from
    texts = (*net.text_columns, *([wanted] if wanted is not None else []))
    drop = about.get("drop", ())
    found = read_frame(path, form, (drop,) if isinstance(drop, str) else tuple(drop), texts, must_drop=False)
    frame = found.table
    if label is not None and label not in frame.columns:
        raise no_column(path, label, list(frame.columns))
    y = None
    if wanted is not None and wanted in frame.columns:
        y = frame.pop(wanted)
        if y.isna().all():  # a column to be filled in
            y = None
        elif net.classes is None:
            y = found.numbers.get(wanted, y)
    if not len(frame):
        raise UsageError(f"{path} must have at least one row, but has its header only; add rows")
    return read_table(frame, path, sys.maxsize, net.features, texts=net.text_columns), y


def _npz_examples(path: Path) -> tuple[np.ndarray, Any]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = {name: archive[name] for name in ("x", "y", "classes") if name in archive.files}
    except Exception as error:  # damaged archives raise almost anything
        raise UsageError(f"{path} cannot be read as an .npz archive of plain arrays ({error})") from error
    if "x" not in found:
        raise UsageError(
            f"{path} must hold an array x of features, but it has none; save it with np.savez(path, x=...)"
        )
    y, classes = found.get("y"), found.get("classes")
    if y is None or classes is None:
        return found["x"], y
    if not np.issubdtype(y.dtype, np.integer) or (y.size and not 0 <= y.min() <= y.max() < len(classes)):
        raise UsageError(
            f"{path}: y must number its {len(classes)} classes from 0, but does not; correct it or leave it out"
        )
    return found["x"], classes[y]


def _idx_examples(folder: Path) -> tuple[np.ndarray, Any]:
    from harness.data.files import read_bytes
    from harness.data.idx import read_idx

    for part in ("t10k", "train"):
        arrays = []
        for kind, axes in (("images", 3), ("labels", 1)):
            files = [folder / f"{part}-{kind}-idx{axes}-ubyte{end}" for end in ("", ".gz")]
            file = next((each for each in files if each.is_file()), None)
            arrays.append(None if file is None else read_idx(file, read_bytes(file), axes))
        if arrays[0] is not None:
            return arrays[0], arrays[1]
    raise UsageError(
        f"{folder} must hold t10k-images-idx3-ubyte or train-images-idx3-ubyte, but it has neither; check the folder"
    )


_SHOWN = ("number", "name", "state", "value", "seconds")


@_command(
    ("--csv file", "FILE.csv", "Write the table, with all its columns, to this file."),
    short="Show what has been logged, as a table or CSV.",
    example="harness results 'first sweep' --csv first_sweep.csv",
)
@click.argument("name", required=False)
def results(name: str | None, file: str | None) -> None:
    """Show what has been logged: all sweeps, comparisons and runs, or the trials of the one called NAME, best first.

    The screen shows the scores, and of a comparison its means, intervals and verdicts too; the CSV has every parameter
    and metric.
    """
    import pandas

    from harness import tracking
    from harness.escapes import to_csv
    from harness.ranking import best_first, comparison_of

    if name is None:
        found = tracking.parents()
        started = [time.strftime("%Y-%m-%d %H:%M", time.localtime(each.start_ms / 1000)) for each in found]
        rows = [(p.name, p.kind, p.status, at, p.run_id) for p, at in zip(found, started, strict=True)]
        frame = pandas.DataFrame(rows, columns=["name", "kind", "status", "started", "run_id"])
    else:
        frame = best_first(tracking.results(name))
    if file:
        with _writing(file):
            Path(file).expanduser().parent.stat()  # no folder is made for it
        write_plain(Path(file).expanduser(), to_csv(frame).encode())
        echo(f"{len(frame)} rows, {len(frame.columns)} columns: {file}")
    elif frame.empty:
        echo("nothing has been logged yet" if name is None else f"{name!r} has no trials yet")
    elif name and len(frame) == 1:
        echo(frame.iloc[0].to_string())
    else:
        parts = ("train/", "valid/", "test/")
        shown = [c for c in frame.columns if c in _SHOWN or c.startswith(parts)] if name else list(frame.columns)
        if name and frame["note"].any():
            shown.append("note")
        echo(frame[shown].to_string(index=False, na_rep="", float_format="%.4f"))
        if compared := comparison_of(frame) if name else None:
            echo(f"\n{compared.table()}")
            if verdict := compared.verdict():
                echo(f"verdict: {verdict}")


@_command(
    ("--sources", "FOLDER", "Only write the sources of the plugins that the run was trained with to this folder."),
    *PLUGIN,
    short="Train a logged run again and compare.",
    example="harness verify 'first sweep#0'",
)
@click.argument("run")
def verify(run: str, sources: str | None, plugins: tuple[str, ...]) -> None:
    """Train a logged run again: is it identical, or where does it depart and what differs in the environment?

    RUN is a run id, the name of a single run, or a sweep's name with the number of a trial: 'first sweep#12'. Compared
    are the metrics of every epoch, the weights at the end (by their digest) and how it ended; the exit code is 1 where
    one of them departs. A plugin that it needs must be given: what is kept with a run is never executed by itself.
    """
    from harness import verify as room

    if sources:
        with _writing(sources):
            files = room.save_sources(run, Path(sources).expanduser())
        echo("\n".join(map(str, files)) or "the run was trained without plugins")
        return
    _load_plugins(plugins)
    verdict = room.verify(run, say=lambda sentence: echo(sentence, err=True))
    echo(verdict.text)
    if not verdict.identical:
        raise click.exceptions.Exit(1)


# harness sync, doctor, gc ---------------------------------------------------------------------------------------------


@_command(
    ("--name", "TEXT", "Only this sweep or comparison; 'single runs' are those of harness run."),
    short="Send what waits for MLflow, after an outage.",
    example="harness sync",
)
def sync(name: str | None) -> None:
    """Send everything that waits in a spool to MLflow: after an outage, or once a driver was killed.

    A sweep that is going on sends its own. The exit code is 1 if something still waits.
    """
    from harness import upkeep

    if not upkeep.sync(name, say=echo):
        raise click.exceptions.Exit(1)


@_command(
    ("--dry-run dry", True, "Only say what would be repaired."),
    short="Check and repair mlruns/: store, spools, journals, checkpoints.",
    example="harness doctor --dry-run",
)
def doctor(dry: bool) -> None:
    """Check the store and everything that lies below mlruns/, repair what can be without loss, and say what was done.

    What a running sweep works on is left alone. The exit code is 1 if something is wrong that could not be repaired;
    with --dry-run, if there is anything to repair.
    """
    from harness import upkeep

    if not upkeep.doctor(dry=dry, say=echo):
        raise click.exceptions.Exit(1)


@_command(
    ("--films-of-lost films", True, "Delete the films of all trials of sweeps but the best of each sweep."),
    ("--checkpoints", True, "Delete the checkpoints of trials that have ended, and of sweeps that have finished."),
    ("--yes", True, "Do not ask."),
    *PLUGIN,
    short="Show what takes space below mlruns/, and free it.",
    example="harness gc --films-of-lost",
)
def gc(films: bool, checkpoints: bool, yes: bool, plugins: tuple[str, ...]) -> None:
    """Show what takes space below mlruns/, sweep by sweep, or delete what is asked for.

    Only local files are touched: artifacts on a server are not. Where a sweep's metric is one of your own, --plugin
    must name its file, or nobody knows which trial is the best.
    """
    from harness import upkeep

    _load_plugins(plugins)
    if not (films or checkpoints):
        rows = [(each.name, *map(upkeep.size, each[1:]), upkeep.size(sum(each[1:]))) for each in upkeep.usage()]
        heads = ("sweep", *upkeep.Usage._fields[1:], "all")
        for cells in [heads, *rows] if rows else []:
            echo(f"{cells[0][:40]:40}" + "".join(f"{cell:>12}" for cell in cells[1:]))
        if not rows:
            echo("nothing lies below mlruns/ yet")
        return
    for wanted, what, found in (
        (films, "films of trials that are not the best of their sweep", upkeep.films_of_lost),
        (checkpoints, "checkpoints of what has ended", upkeep.old_checkpoints),
    ):
        if wanted:
            paths = found(say=echo)
            bytes_ = sum(path.stat().st_size for path in paths)
            echo(f"{what}: {len(paths)} files, {upkeep.size(bytes_)}")
            if paths and (yes or click.confirm("Delete them?")):
                echo(f"deleted, {upkeep.size(upkeep.delete(paths))} freed")
