"""Names and numbers that come from users stay apart, come back as they were, and are shown as plain
text.
"""

import ast
import csv
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from stores import prepare

import harness
from harness.builtin.layers import mlp
from harness.cli import main
from harness.cli.commands import COMMANDS
from harness.config import Config
from harness.errors import UsageError
from harness.escapes import cell, printable
from harness.recorders import Report
from harness.registry import known
from harness.studies.compare import compare
from harness.studies.sweep import Sweep
from harness.tracking.entities import key_for
from harness.trials.job import Job, Trial
from harness.trials.work import work

DATA = "mnist14(rows=500)"


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One root for all tests of this file, since to make a store takes a second; each test uses
    names of its own.
    """
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("home")
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        # What is loaded here is no business of other tests
        patch.setattr(known, "loaded_plugins", {})
        patch.chdir(root)
        prepare(root)
        yield root


epochs: list[int] = []  # in which `fades` was asked


@harness.metric()
def fades() -> Any:
    """0.9, and not a number from the second time on that it is asked"""

    def score(predictions: Any, y: Any) -> Any:
        epochs.append(len(epochs))
        return np.full(predictions.shape[:-2], 0.9 if len(epochs) == 1 else math.nan)

    return score


@pytest.fixture
def fading() -> None:
    epochs.clear()


def small(**more: Any) -> Config:
    return Config(**{"data": DATA, "layers": mlp([196, 10]), "film": None, "epochs": 2, **more})


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


# A value that is not a number ---------------------------------------------------------------------


@pytest.mark.usefixtures("fading")
def test_a_metric_that_is_nan_at_the_end_is_nan_in_the_results_and_never_ranked() -> None:
    result = Sweep(lambda trial: small(metric="fades"), "fades", trials=1).run()
    assert (result.best, result.ranked) == (None, [])
    assert "#0 is not ranked: valid/fades is nan at its last epoch, 2" in result.table()
    row = harness.results("fades").iloc[0]
    assert (row["state"], row["note"]) == ("COMPLETE", "valid/fades is nan at its last epoch, 2")
    assert math.isnan(row["valid/fades"])
    assert math.isnan(row["value"])
    shown = call("results", "fades").stdout
    assert "0.9" not in shown
    doctor = call("doctor", "--dry-run")
    assert (doctor.exit_code, "fades" in doctor.stdout and "metric" in doctor.stdout) == (
        0,
        False,
    ), doctor.stdout
    assert "valid/fades is nan at its last epoch, 2" in shown


@pytest.mark.usefixtures("fading")
def test_a_run_without_a_score_exits_with_1_and_is_logged() -> None:
    run = call(
        "run",
        "--data",
        DATA,
        "--metric",
        "fades",
        "--epochs",
        "2",
        "--film",
        "none",
        "--name",
        "no score",
    )
    assert run.exit_code == 1
    assert (
        "Error: valid/fades is nan at its last epoch, 2, so the network has no score" in run.stderr
    )
    assert "logged as 'no score'" in run.stdout
    assert math.isnan(harness.results("no score")["valid/fades"][0])


@pytest.mark.usefixtures("fading")
def test_the_best_epoch_is_one_with_a_number() -> None:
    (outcome,) = work(Job([Trial(0, small(metric="fades", select="best"))]))
    outcome.records = [outcome.records[1], outcome.records[0]]  # first not a number, then one
    assert outcome.value == 0.9


# Names that stay apart ----------------------------------------------------------------------------

TAKEN = [
    "name",
    "state",
    "number",
    "value",
    "note",
    "seconds",
    "run_id",
    "valid/accuracy",
    "batch",
    "layers",
]


def test_params_of_any_name_stay_apart_from_each_other_and_from_what_is_ours(home: Path) -> None:
    names = [*TAKEN, "lr (a)", "lr [a]", "a//b", "a/b", "=1+1", "x" * 300, "größe", "100%_\x1b[31m"]

    def space(trial: Any) -> Config:
        for k, name in enumerate(names):
            trial.suggest_int(name, k, k)
        return small(epochs=1, batch=50)

    Sweep(space, "apart", trials=1).run()
    frame = harness.results("apart")
    row = frame.iloc[0]
    assert [row[f"params.{name}"] for name in names] == list(range(len(names)))
    assert frame.columns.is_unique
    assert (row["number"], row["state"], row["config.batch"]) == (0, "COMPLETE", 50)
    assert 0 < row["valid/accuracy"] < 1
    assert call("results", "apart", "--csv", "apart.csv").exit_code == 0
    head, line = (home / "apart.csv").read_text(encoding="utf-8").splitlines()
    assert len(set(head.split(","))) == len(frame.columns)
    assert f",{len(names) - 1}," in line


@pytest.mark.parametrize("name", ["config.batch", "config."])
def test_a_param_that_would_pass_for_the_configs_is_refused_before_training(name: str) -> None:
    def space(trial: Any) -> Config:
        trial.suggest_int(name, 1, 2)
        return small()

    with pytest.raises(
        UsageError, match=f"leave the names that begin with 'config.' .* but suggests '{name}'"
    ):
        Sweep(space, "taken").run()
    with pytest.raises(UsageError, match=r"leave 'arm' to the harness, .* but suggests 'arm'"):
        compare("taken", {"a": lambda trial: small(batch=trial.suggest_int("arm", 1, 2))})


def test_different_names_have_different_keys_in_mlflow() -> None:
    names = [
        "mean/lr<1",
        "mean/lr>1",
        "a",
        "./a",
        "a/",
        "a//b",
        "a/b",
        "a/./b",
        "",
        "_",
        ".",
        "..",
        "x" * 250,
        "x" * 251,
    ]
    keys = [key_for(name) for name in names]
    assert len(set(keys)) == len(names)
    assert all(re.fullmatch(r"[\w\-. :/]{1,250}", key) for key in keys)


def test_rules_of_one_name_in_a_composition_keep_their_numbers() -> None:
    flat = small(update="compose(sgd(0.5), scale(0.25), scale(4.0))").flat()
    numbers = [value for key, value in flat.items() if key.startswith("update.scale.")]
    assert sorted(numbers) == [0.25, 4.0]


@harness.recorder()
def claims(metric: str = "", artifact: str = "") -> Any:
    """Returns a metric and an artifact of these names"""

    def record(trained: Any) -> Report:
        return Report({metric: 1.0} if metric else {}, {artifact: b"1"} if artifact else {})

    return record


@pytest.mark.parametrize(
    ("claim", "what"),
    [
        ("metric='valid/accuracy'", "there is a metric 'valid/accuracy' already"),
        ("metric='train/loss'", "there is a metric 'train/loss' already"),
        ("metric='time/train_s'", "there is a metric 'time/train_s' already"),
        ("artifact='config.json'", "the path 'config.json' where there is 'config.json' already"),
        ("artifact='history.npz'", "the path 'history.npz' where there is 'history.npz' already"),
    ],
)
def test_a_recorder_cannot_take_the_place_of_what_training_has_noted(claim: str, what: str) -> None:
    (outcome,) = work(Job([Trial(0, small(epochs=1, recorders=[f"claims({claim})"]))]))
    assert outcome.failure == "FAILED"
    assert what in outcome.reason


# What is shown can be typed back ------------------------------------------------------------------


def test_a_number_of_a_table_or_a_log_gives_the_same_network() -> None:
    rates: dict[int, float] = {}

    def space(trial: Any) -> Config:
        rate = trial.suggest_float("rate", 1e-9, 1.0, log=True)
        rates[trial.number] = rate
        return small(update=f"sgd({rate})", epochs=1)

    result = Sweep(space, "typed", trials=2, sampler="RandomSampler").run()
    for trial in result.trials:
        shown = [float(number) for number in re.findall(r"rate=(\S+)", result.table())]
        assert rates[trial.number] in shown
        # A name is for the eye, and has four digits.
        (named,) = re.findall(r"rate=(\S+)", trial.name)
        assert float(named) == float(f"{rates[trial.number]:.4g}")
    frame = harness.results("typed")
    assert list(frame["params.rate"]) == [rates[0], rates[1]]
    assert list(frame["config.update.learning_rate"]) == [rates[0], rates[1]]
    assert "not a setting" not in result.table()


def test_a_suggestion_that_the_space_computes_with_is_said_to_be_no_setting() -> None:
    def space(trial: Any) -> Config:
        return small(update=f"sgd({0.1 * trial.suggest_float('rate', 0.1, 1.0)})", epochs=1)

    result = Sweep(space, "computed", trials=1).run()
    update = harness.results("computed")["config.update"][0]
    assert "rate is not a setting of the networks themselves" in result.table()
    assert f"the update rule of #0 is {update}" in result.table()
    assert "#0 again: harness run --config 'computed#0'" in result.table()


# What is shown is plain text ----------------------------------------------------------------------

STEERING = "\x1b]0;owned\x07\x1b[31m\r\u202e\udcff"


def test_text_for_a_terminal_steers_nothing() -> None:
    shown = printable(f"a\tb\n{STEERING}ü\u00a0…")
    assert shown == "a\tb\n\\x1b]0;owned\\x07\\x1b[31m\\r\\u202e\\udcffü\u00a0…"


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1"]
)
def test_a_cell_of_a_csv_is_no_formula_and_stays_different(text: str) -> None:
    assert cell(text) == f"'{text}"
    assert cell(cell(text)) != cell(text)


@pytest.mark.parametrize("value", ["relu", "-0.5", "+1e-3", "a=b", "", -3, 0.25, None, "größe"])
def test_a_cell_of_a_csv_that_is_no_formula_stays_as_it_is(value: Any) -> None:
    assert cell(value) == value


def test_names_messages_and_cells_from_a_store_are_shown_as_text(home: Path) -> None:
    def space(trial: Any) -> Config:
        trial.suggest_categorical("=why", ["=1+1"])
        trial.suggest_categorical(f"x{STEERING[:9]}", ["\x1b[2J"])
        return small(epochs=1)

    result = Sweep(space, "steers", trials=1).run()
    listed = call("results", "steers")
    for text in (listed.stdout, result.table()):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "\\x1b[2J" in listed.stdout
    assert call("results", "steers", "--csv", "steers.csv").exit_code == 0
    head, row = csv.reader((home / "steers.csv").read_text(encoding="utf-8").splitlines())
    assert row[head.index("params.=why")] == "'=1+1"
    refused = call("results", f"no{STEERING[:20]}")
    assert refused.exit_code == 2
    assert "\x1b" not in refused.stderr


# Names that can be typed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    ["run --name", "sweep x.py --name", "run --project", "run --data", "predict a b --output"],
)
def test_an_empty_text_is_no_default(words: str) -> None:
    refused = call(*words.split(), "")
    option = words.split()[-1]
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr.startswith(f"Error: {option} must not be empty, got ''; ")


@pytest.mark.parametrize("name", ["n" * 201, "two\nlines", " ", "\x1b[31m"])
def test_a_name_that_no_table_can_give_back_is_refused_at_the_start(name: str) -> None:
    for words in (["run", "--name", name], ["run", "--project", name]):
        refused = call(*words)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(
            f"Error: {words[1]} must be a line of 1 to 200 characters, got "
        )
    with pytest.raises(
        UsageError, match="the name of a sweep must be a line of 1 to 200 characters"
    ):
        Sweep(lambda trial: small(), name).run()
    with pytest.raises(
        UsageError, match="the name of a comparison must be a line of 1 to 200 characters"
    ):
        compare(name, {"a": small()})


def test_the_longest_name_is_found_again() -> None:
    Sweep(lambda trial: small(epochs=1), "n" * 200, trials=1).run()
    assert len(harness.results("n" * 200)) == 1


# Results as one looks at them ---------------------------------------------------------------------


def test_results_are_shown_best_first_and_a_config_comes_from_a_logged_trial(home: Path) -> None:
    rates = [1e-6, 0.5, 0.05]

    def space(trial: Any) -> Config:
        return small(update=f"sgd({rates[trial.number]})", epochs=2 + trial.suggest_int("k", 0, 0))

    result = Sweep(space, "ordered", trials=3).run()
    numbers = [trial.number for trial in result.ranked]
    assert numbers != sorted(numbers)
    shown = call("results", "ordered").stdout.splitlines()
    assert [int(line.split()[0]) for line in shown[1:4]] == numbers
    best = result.ranked[0]
    again = call(
        "run", "--config", f"ordered#{best.number}", "--epochs", "3", "--save", "digits", "--no-log"
    )
    assert again.exit_code == 0, again.stderr
    lines = again.stdout.splitlines()
    assert f"sgd(learning_rate={rates[best.number]})" in lines[1]
    assert [line.split()[0] for line in lines[3:6]] == ["1", "2", "3"]
    assert f"{best.result.value:.4f}" == lines[4].split()[3]
    assert (home / "digits.npz").is_file()
    by_id = call(
        "run", "--config", str(harness.results("ordered")["run_id"][0]), "--epochs", "1", "--no-log"
    )
    assert f"sgd(learning_rate={rates[0]})" in by_id.stdout
    refused = call("run", "--config", "ordered#99")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "there is none for 'ordered#99'" in refused.stderr


def test_results_of_a_comparison_have_its_means_intervals_verdict_and_what_they_speak_of() -> None:
    arms = {
        "small": small(update="sgd(0.001)"),
        "01": small(update="sgd(0.5)"),
        "large": small(update="sgd(0.4)"),
    }
    result = compare("judged", arms, seeds=3)
    assert "100 examples of which one counts 0.01" in result.table()
    shown = call("results", "judged").stdout
    assert result.table() in shown
    assert f"verdict: {result.verdict()}" in shown
    sentence = (
        "speaks of 3 seeds (initial weights, data order, masks), measured on the validation part "
        "of this one split"
    )
    assert sentence in shown


# Output that nobody takes -------------------------------------------------------------------------


def process(*words: str, stdout: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(harness.__file__).parent.parent)}
    return subprocess.run(
        command,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=environment,
    )


def test_a_pipe_that_is_closed_ends_no_training_and_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    run = process(
        "run", "--data", DATA, "--film", "none", "--epochs", "2", "--name", "unread", stdout=writer
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")
    assert harness.results("unread")["state"][0] == "COMPLETE"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_an_output_that_cannot_be_written_is_one_sentence_and_loses_nothing() -> None:
    with open("/dev/full", "w") as full:
        listed = process("list", stdout=full)
        run = process(
            "run", "--data", DATA, "--film", "none", "--epochs", "1", "--name", "full", stdout=full
        )
    for done in (listed, run):
        assert done.returncode == 2
        assert done.stderr.startswith(
            "Error: the output must be writable, but: No space left on device; "
        )
        assert done.stderr.count("\n") == 1
    assert harness.results("full")["state"][0] == "COMPLETE"


# Early stopping -----------------------------------------------------------------------------------


def test_early_stopping_is_said_with_the_best_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    hasty: dict[str, Any] = {"update": "sgd(5.0)", "patience": 1, "epochs": 30, "select": "best"}
    (outcome,) = work(Job([Trial(0, small(**hasty))]))
    losses = [record.metrics["valid/loss"] for record in outcome.records]
    best = losses.index(min(losses)) + 1
    assert len(losses) == best + 1 < 30
    sentence = f"stopped early after epoch {best + 1} of 30: the validation loss was lowest at epoch {best}, "
    assert outcome.notes["harness.stopped"].startswith(sentence)
    harness.Model(small(**hasty)).fit()
    assert sentence in capsys.readouterr().err
    words = [
        "--data",
        DATA,
        "--sizes",
        "196-10",
        "--update",
        "sgd(5.0)",
        "--patience",
        "1",
        "--epochs",
        "30",
    ]
    run = call("run", *words, "--select", "best", "--film", "none", "--no-log")
    assert sentence in run.stdout


# Messages in the spelling of who reads them -------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fields", "said"),
    [
        ("--valid 2", {"valid": 2}, "{valid} must"),
        ("--epochs 0", {"epochs": 0}, "{epochs} must be a whole number of at least 1, got 0"),
        ("--scale x", {"scale": "x"}, "{scale} must be one of"),
        ("--select x", {"select": "x"}, "{select} must be one of"),
        (
            "--valid 0 --patience 2",
            {"valid": 0, "patience": 2},
            "{patience} needs a validation part, got",
        ),
    ],
)
def test_a_message_names_the_option_on_the_command_line_and_the_argument_in_python(
    options: str, fields: dict[str, Any], said: str
) -> None:
    names = re.findall(r"\{(\w+)\}", said)
    refused = call("run", "--data", DATA, "--film", "none", "--no-log", *options.split())
    assert refused.exit_code == 2
    assert said.format(**{name: f"--{name}" for name in names}) in refused.stderr
    with pytest.raises(UsageError) as caught:
        harness.Model(
            Config(**{"data": DATA, "layers": mlp([196, 10]), "film": None, **fields})
        ).fit()
    assert said.format(**{name: name for name in names}) in str(caught.value)
    assert "--" not in str(caught.value)


def test_what_a_script_says_is_no_option(home: Path) -> None:
    text = "from harness import Config\nfrom harness import sweep\n@sweep(workers=0)\ndef s(trial): ...\n"
    (home / "own.py").write_text(text)
    assert (
        "Error: workers must be a whole number of at least 1"
        in call("sweep", "own.py", "--trials", "3").stderr
    )
    assert (
        "Error: --trials must be a whole number of at least 1"
        in call("sweep", "own.py", "--trials", "0").stderr
    )


# Rooms whose messages are read on the command line alone
DOORS = {"cli", "maintenance"}


def test_a_library_room_speaks_of_no_option() -> None:
    """It asks errors.argument and errors.option for what its reader calls them."""
    package = Path(harness.__file__).parent
    context = click.Context(main)
    commands = [main.get_command(context, name) for name in main.list_commands(context)]
    assert len(commands) == len(COMMANDS)
    options = {flag for command in commands for each in command.params for flag in each.opts}
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).parts[0] in DOORS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "UsageError",
                "PluginError",
            ):
                words = re.findall(r"(?<![\w-])--[a-z][a-z-]+", ast.unparse(node))
                found += [(path.name, word) for word in words if word in options]
    # These are doors themselves: `harness ui`, `harness watch`, and the reading of --tag KEY=VALUE.
    doors = {
        ("ui.py", "--port"),
        ("server.py", "--port"),
        ("labels.py", "--tag"),
        ("ui_page.py", "--project"),
    }
    assert set(found) <= doors
