"""The command line: whole commands on small data, exit codes, and one line for every bad input."""

import csv
import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from siblings import quick

from harness import Model, load_model, registry, tracking
from harness.builtin.layers import mlp
from harness.cli import main
from harness.cli.commands import COMMANDS
from harness.cli.hints import command_line, mlflow_hint, ui_hint
from harness.config import Config
from harness.data import load
from harness.registry import known

SMALL = ["--data", "mnist14(rows=2000)", "--film", "none"]
QUICK = [*SMALL, "--epochs", "1", "--no-log"]
RUN_ID = re.compile(r"run id ([0-9a-f]{32})")


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder with one mlruns/ for all tests here, and the current folder: making a store takes
    a second.
    """
    root = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(root))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "TOX_ENV_DIR"):
            patch.delenv(name, raising=False)
        patch.chdir(root)
        # What is loaded here is no business of other tests
        patch.setattr(known, "loaded_plugins", {})
        yield root


def call(*arguments: str) -> Result:
    """Runs a command in this process. What it does not catch is raised."""
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def good(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `python -m harness` as a process of its own."""
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, **options
    )


@pytest.fixture(scope="module", autouse=True)
def _importable() -> Iterator[None]:
    """The package for processes, where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        yield


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_flowers(path: Path, label: bool = True) -> Path:
    """A table of two columns and two kinds of flowers that a line divides."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(200, 2)) + np.repeat([[0.0, 0.0], [4.0, 4.0]], 100, axis=0)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["length", "width", *(["kind"] if label else [])])
        for k, (a, b) in enumerate(rows):
            out.writerow(
                [f"{a:.3f}", f"{b:.3f}", *(["rose" if k < 100 else "tulip"] if label else [])]
            )
    return path


SWEEP = """
from harness import Config, mlp
from harness import sweep

@sweep(name="{name}", trials={trials}, film="none", sampler="RandomSampler")
def space(trial):
    rate = trial.suggest_float("rate", 0.1, 1.0)
    return Config(layers=mlp([196, 20, 10]), data="mnist14(rows=2000)", update=f"sgd({{rate}})", epochs={epochs})
"""


def write_sweep(name: str, trials: int = 3, epochs: int = 1) -> str:
    Path(f"{name}.py").write_text(SWEEP.format(name=name, trials=trials, epochs=epochs))
    return f"{name}.py"


# Help ---------------------------------------------------------------------------------------------


def test_commands_are_the_promised_ones() -> None:
    promised = (
        "run sweep stop watch film ui list show new check predict test results report verify sync "
        "doctor gc"
    )
    assert list(COMMANDS) == promised.split()
    assert good("--version") == "harness 0.1.0\n"
    assert good() == good("--help")


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_help_ends_with_an_example_that_is_understood(name: str) -> None:
    shown = good(*filter(None, [name]), "--help")
    assert max(map(len, shown.splitlines())) <= 100
    before, _, example = shown.rstrip().rpartition("\n  Example:\n    harness ")
    assert before
    assert "\n" not in example
    words = shlex.split(example)
    assert words[0] == (name or "run")
    command = main.get_command(click.Context(main), words[0])
    assert command is not None
    assert command.make_context(words[0], words[1:]).params  # click's own error otherwise
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.opts} says nothing"


def test_the_example_of_run_runs() -> None:
    assert main.epilog
    words = shlex.split(good("run", "--help").rpartition("harness ")[2])
    out = good(*words)
    assert re.search(r"^ +2 +\d\.\d{4} +\d\.\d{4} +0\.\d{4} +\d+\.\d\d$", out, re.M)
    assert float(re.search(r"valid accuracy (0\.\d{4}) \(last epoch\)", out)[1]) > 0.75  # type: ignore[index]
    assert RUN_ID.search(out)
    name = re.search(r"^logged as '([^']+)'", out, re.M)
    assert name is not None
    assert out.endswith(f"to see it: {ui_hint(name[1])}\n")


def test_help_loads_nothing_heavy() -> None:
    assert process("--help").returncode == 0
    heavy = ("mlflow", "optuna", "pandas", "distributed", "imageio", "matplotlib", "tqdm", "scipy")
    script = f"import sys, harness.cli; print(*[m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=240, check=True
    )
    assert loaded.stdout.split() == []


# run ----------------------------------------------------------------------------------------------


def test_run_trains_what_a_model_trains() -> None:
    good(
        "run",
        *QUICK,
        "--epochs",
        "3",
        "--update",
        "momentum(0.1)",
        "--select",
        "best",
        "--seed",
        "4",
        "--save",
        "m/a.npz",
    )
    config = Config(
        layers=mlp([196, 100, 50, 10]), data="mnist14(rows=2000)", update="momentum(0.1)", epochs=3, select="best",
        seed=4, film=None,
    )  # fmt: skip
    net = Model(config).fit()
    saved = load_model("m/a")
    x = load("mnist14(rows=2000)").x_test
    assert saved.config == net.config
    np.testing.assert_array_equal(saved.predict_proba(x), net.predict_proba(x))
    assert [epoch["valid/loss"] for epoch in saved.history] == [
        epoch["valid/loss"] for epoch in net.history
    ]
    # its last weights and its momentum are there too, not only the best weights
    assert (
        saved.fit(epochs=1).history[-1]["train/loss"] == net.fit(epochs=1).history[-1]["train/loss"]
    )


def test_run_takes_a_config_and_options_override_it() -> None:
    config = Config(
        layers=mlp([196, 12, 10]), data="mnist14(rows=2000)", update="adam", epochs=9, film=None
    )
    Path("config.json").write_text(config.to_json())
    good(
        "run",
        "--config",
        "config.json",
        "--epochs",
        "1",
        "--learning-rate",
        "0.02",
        "--no-log",
        "--save",
        "b",
    )
    assert load_model("b").config == config.replace(epochs=1, update="adam(0.02)")
    good(
        "run",
        "--config",
        "config.json",
        "--epochs",
        "1",
        "--sizes",
        "196-9-10",
        "--no-log",
        "--save",
        "b",
    )
    assert load_model("b").config == config.replace(epochs=1, layers=mlp([196, 9, 10]))


def test_run_spells_networks_in_three_ways() -> None:
    good("run", *QUICK, "--sizes", "196-30-20-10", "--kinds", "dense,residual,dense", "--activation", "leaky_relu(0.1)",
         "--dropout", "0.1,0.4", "--init", "glorot", "--save", "c")  # fmt: skip
    wanted = mlp(
        [196, 30, 20, 10],
        "leaky_relu(0.1)",
        ["dense", "residual", "dense"],
        init="glorot",
        dropout=[0.1, 0.4],
    )
    assert load_model("c").config.layers == wanted[1:]
    good(
        "run",
        *QUICK,
        "--layer",
        "dense(8)",
        "--layer",
        "tanh",
        "--layer",
        "dense(10)",
        "--batch",
        "full",
        "--save",
        "c",
    )
    config = load_model("c").config
    assert config.layers == Config(layers=["dense(8)", "tanh", "dense(10)"]).layers
    assert (config.inputs, config.batch) == (None, "full")
    good("run", *QUICK, "--learning-rate", "cosine(0.5)", "--save", "c")
    assert load_model("c").config.update == registry.canonical("update_rule", "sgd(cosine(0.5))")


def test_run_scores_the_test_part_only_where_asked() -> None:
    out = good("run", *QUICK, "--epochs", "2", "--learning-rate", "0.5", "--test", "--save", "d")
    score = load_model("d").score()
    assert f"test accuracy {score:.4f}" in out
    assert "test" not in good("run", *QUICK).replace("1000 test rows", "")


def test_run_logs_what_it_prints() -> None:
    out = good("run", *SMALL, "--epochs", "2", "--name", "my run", "--test")
    run_id = RUN_ID.search(out)[1]  # type: ignore[index]
    good("results", "my run", "--csv", "run.csv")
    (row,) = table("run.csv")
    assert (row["run_id"], row["state"], row["config.epochs"]) == (run_id, "COMPLETE", "2")
    assert f"valid accuracy {float(row['valid/accuracy']):.4f}" in out
    assert f"test accuracy {float(row['test/accuracy']):.4f}" in out
    assert re.search(rf"^ *my run +run +FINISHED +.*{run_id}$", good("results"), re.M)


def test_run_that_diverges_says_where_and_is_logged_as_failed() -> None:
    result = call("run", *SMALL, "--epochs", "2", "--learning-rate", "1e38", "--name", "too fast")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    step = re.match(r"Error: the network diverged: its loss was not finite at step (\d+);", line)
    assert step
    good("results", "too fast", "--csv", "fast.csv")
    (row,) = table("fast.csv")
    assert row["state"] == "DIVERGED"
    assert "FAILED" in next(line for line in good("results").splitlines() if "too fast" in line)


def test_run_predicts_numbers_too() -> None:
    out = good(
        "run",
        "--data",
        "friedman1(rows=300)",
        "--epochs",
        "2",
        "--no-log",
        "--film",
        "none",
        "--save",
        "e",
    )
    config = load_model("e").config
    assert (config.loss["name"], config.metric["name"]) == ("squared_error", "rmse")
    assert [layer.get("units") for layer in config.layers] == [100, None, 50, None, 1]
    assert "valid rmse" in out


# predict ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flowers(store: Path) -> str:
    """A network that was trained on a table."""
    write_flowers(Path("flowers.csv"))
    words = "--label kind --sizes 2-8-2 --update adam(0.05) --batch 20 --epochs 5 --film none --no-log --save flowers"
    good("run", "--data", "flowers.csv", *words.split())
    return "flowers"


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_predict_gives_one_row_for_each_example(flowers: str) -> None:
    write_flowers(Path("new.csv"), label=False)
    rows = rows_of(good("predict", flowers, "new.csv", "--proba"))
    net = load_model(flowers)
    x = np.loadtxt("new.csv", delimiter=",", skiprows=1)
    assert [row["prediction"] for row in rows] == list(net.predict(x))
    assert list(rows[0]) == ["prediction", "p_rose", "p_tulip"]
    shown = np.array([[float(row["p_rose"]), float(row["p_tulip"])] for row in rows])
    np.testing.assert_allclose(shown, net.predict_proba(x), rtol=1e-5)


def test_predict_finds_columns_by_name(flowers: str) -> None:
    write_flowers(Path("new.csv"), label=False)
    rows = rows_of(Path("new.csv").read_text())
    turned = [f"n{k},{row['width']},{row['length']}" for k, row in enumerate(rows)]
    Path("turned.csv").write_text("\n".join(["id,width,length", *turned]))
    assert good("predict", flowers, "turned.csv", "--proba") == good(
        "predict", flowers, "new.csv", "--proba"
    )


def test_columns_can_be_dropped() -> None:
    write_flowers(Path("flowers.csv"))
    lines = Path("flowers.csv").read_text().splitlines()
    Path("numbered.csv").write_text(
        "\n".join([f",{lines[0]}", *(f"{k},{line}" for k, line in enumerate(lines[1:]))])
    )
    words = ["--label", "kind", "--epochs", "1", "--film", "none", "--no-log", "--data"]
    assert "column 0 (counted from 0) has none" in one_line(call("run", *words, "numbered.csv"))
    told = [
        good("run", *words, *more)
        for more in (["flowers.csv"], ["numbered.csv", "--drop", "Unnamed: 0"])
    ]
    assert told[0].splitlines()[3].split()[:4] == told[1].splitlines()[3].split()[:4]


def test_predict_scores_where_labels_are_known(flowers: str) -> None:
    # Without the option, the column has the name that it had in training
    for more in (["--label", "kind"], []):
        result = call("predict", flowers, "flowers.csv", "--out", "out.csv", *more)
        found = [row["prediction"] for row in table("out.csv")]
        truth = [row["kind"] for row in table("flowers.csv")]
        share = np.mean([a == b for a, b in zip(found, truth, strict=True)])
        assert share > 0.9
        assert result.stderr == f"accuracy {share:.4f} on 200 examples\n"
        assert result.stdout == ""
        assert [row["label"] for row in table("out.csv")] == truth


def test_predict_reads_other_forms(flowers: str) -> None:
    import pandas

    table = pandas.read_csv("flowers.csv")
    table.to_parquet("flowers.parquet")
    x = table[["length", "width"]].to_numpy()
    np.savez("x.npz", x=x)
    np.savez("xy.npz", x=x, y=table["kind"].to_numpy().astype(str))
    wanted = call("predict", flowers, "flowers.csv")
    assert call("predict", flowers, "flowers.parquet").stdout == wanted.stdout
    predictions = [row["prediction"] for row in rows_of(good("predict", flowers, "x.npz"))]
    assert predictions == [row["prediction"] for row in rows_of(wanted.stdout)]
    scored = call("predict", flowers, "xy.npz")
    assert (scored.stdout, scored.stderr) == (wanted.stdout, wanted.stderr)


def test_predict_reads_data_sets_and_idx_folders() -> None:
    good("run", *QUICK, "--epochs", "2", "--learning-rate", "0.5", "--save", "digits")
    net = load_model("digits")
    source = load("mnist14(rows=2000)")
    assert source.x_test is not None
    named = call("predict", "digits", "mnist14(rows=2000)")
    assert [int(row["prediction"]) for row in rows_of(named.stdout)] == list(
        net.predict(source.x_test)
    )
    assert named.stderr == f"accuracy {net.score():.4f} on 1000 examples\n"
    folder = Path("idx")
    folder.mkdir()
    header = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (1000, 14, 14))
    (folder / "t10k-images-idx3-ubyte").write_bytes(header + source.x_test.tobytes())
    # Not those
    (folder / "train-images-idx3-ubyte").write_bytes(header + bytes(source.x_test.size))
    unlabelled = call("predict", "digits", "idx")
    predictions = [row["prediction"] for row in rows_of(unlabelled.stdout)]
    assert predictions == [row["prediction"] for row in rows_of(named.stdout)]
    assert unlabelled.stderr == ""


def test_predict_writes_keys_labels_and_probabilities(flowers: str) -> None:
    lines = Path("flowers.csv").read_text().splitlines()
    keyed = [f"key,{lines[0]}", *(f"{k:04d},{line}" for k, line in enumerate(lines[1:]))]
    Path("keyed.csv").write_text("\n".join(keyed))
    words = ("predict", flowers, "keyed.csv", "--id", "key", "--proba")
    good(*words, "--output", "out.csv")
    written = Path("out.csv").read_text()
    assert written.startswith("key,label,prediction,p_rose,p_tulip\n0000,")
    assert [row["label"] for row in table("out.csv")] == [row["kind"] for row in table("keyed.csv")]
    refused = one_line(call("predict", flowers, "keyed.csv", "--id", "number"))
    assert "number" in refused
    np.savez("x.npz", x=np.zeros((2, 2)))
    assert "--id goes with a .csv" in one_line(call("predict", flowers, "x.npz", "--id", "key"))


def test_the_network_of_a_run_predicts_and_is_tested_once() -> None:
    run = ("run", *SMALL, "--epochs", "2", "--learning-rate", "0.5", "--name", "digits")
    good(*run, "--save", "saved")
    saved = call("predict", "saved", "mnist14(rows=2000)")
    assert call("predict", "digits", "mnist14(rows=2000)").stdout == saved.stdout
    score = load_model("saved").score()
    first = call("test", "digits")
    assert (first.stdout, first.stderr) == (f"test/accuracy {score:.4f}\n", "")
    again = call("test", "digits")
    assert again.stdout == first.stdout
    assert again.stderr.startswith("the test part was looked at before, on 20")
    (row,) = tracking.results("digits").to_dict("records")
    assert row["test/accuracy"] == pytest.approx(score)
    # Who scores it at the end of the training has looked at it.
    good(*run[:-1], "scored", "--test")
    assert "looked at before" in call("test", "scored").stderr
    longer = good("run", "--config", "digits", "--epochs", "3")
    assert "3" in longer
    assert load_model("digits").epoch == 2


def test_the_test_part_is_looked_at_once_for_a_sweep_and_its_best_trial() -> None:
    script = write_sweep("looked")
    good("sweep", script)
    best = int(tracking.results("looked").sort_values("value")["number"].iloc[-1])
    first = call("test", f"looked#{best}")
    assert (first.exit_code, first.stderr) == (0, "")
    again = call("test", "looked")
    assert again.stdout == first.stdout
    assert again.stderr.startswith("the test part was looked at before, on 20")


# sweep and results --------------------------------------------------------------------------------


def test_a_sweep_of_one_trial_is_a_table_as_others_are() -> None:
    good("sweep", write_sweep("single"), "--trials", "1")
    heads, row = good("results", "single").splitlines()
    assert heads.split()[:4] == ["number", "name", "state", "value"]
    assert row.split()[0] == "0"


def test_sweep_runs_and_goes_on_with_overrides() -> None:
    script = write_sweep("first")
    out = good("sweep", script)
    assert out.startswith("first: 3 trials (3 complete)\n")
    mlflow_ui = mlflow_hint(tracking.store_uri())
    assert out.endswith(f"to see them: {ui_hint('first')}\n         or: {mlflow_ui}\n")
    assert mlflow_ui.endswith("mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db")
    accuracies = [float(value) for value in re.findall(r"^ +\d+ +#\d+ +(0\.\d{4})", out, re.M)]
    assert len(accuracies) == 3
    assert accuracies == sorted(accuracies, reverse=True)
    assert good("sweep", script, "--trials", "5").startswith("first: 5 trials (5 complete)\n")
    assert good("sweep", script, "--name", "second", "--seed", "3").startswith("second: 3 trials")
    good("results", "first", "--csv", "first.csv")
    rows = table("first.csv")
    assert sorted(row["number"] for row in rows) == list("01234")
    assert [row["value"] for row in rows] == sorted((row["value"] for row in rows), reverse=True)
    assert max(float(row["valid/accuracy"]) for row in rows) >= accuracies[0] - 5e-5
    lines = good("results", "first").splitlines()
    assert lines[0].split()[:8] == [
        *(
            "number",
            "name",
            "state",
            "value",
            "train/loss",
            "valid/loss",
            "valid/accuracy",
            "seconds",
        ),
    ]
    assert len(lines) == 6


def test_sweep_picks_by_name() -> None:
    both = write_sweep("both", trials=1)
    Path(both).write_text(
        SWEEP.format(name="one", trials=1, epochs=1) + SWEEP.format(name="two", trials=1, epochs=1)
    )
    assert (
        one_line(call("sweep", both))
        == "Error: both.py defines the sweeps 'one', 'two'; say which with --name"
    )
    assert "--name 'three' is none of them" in one_line(call("sweep", both, "--name", "three"))
    assert good("sweep", both, "--name", "two").startswith("two: 1 trials")


@pytest.mark.parametrize(
    ("how", "code"), quick([(signal.SIGINT, 130), (signal.SIGTERM, 143)], [(signal.SIGINT, 130)])
)
def test_sweep_stops_and_the_command_that_it_names_goes_on(
    how: signal.Signals, code: int, store: Path
) -> None:
    script = write_sweep(f"stop_{code}", trials=6, epochs=30)
    command = [sys.executable, "-m", "harness", "sweep", script]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    written = lambda: len(list(store.glob(f"mlruns/sweeps/stop_{code}-*/spool/*-trial-*")))  # noqa: E731
    until = time.monotonic() + 240
    while written() < 2 and running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(how)
    _, errors = running.communicate(timeout=240)
    assert running.returncode == code, errors
    assert "Traceback" not in errors
    said = re.search(r"^stopped after (\d+) trials; go on with: (.+)$", errors, re.M)
    assert said, errors
    assert int(said[1]) == written()
    assert 2 <= written() < 6
    assert said[2] == command_line("sweep", script)
    assert good("sweep", script).startswith(f"stop_{code}: 6 trials (6 complete)")


# list and plugins ---------------------------------------------------------------------------------

PLUGIN = '''
import numpy as np
from harness import activation

@activation()
def wavy(z, width=1.0):
    """f(z) = sin(width * z)"""
    return np.sin(width * z)
'''


FRAGILE = """
from harness import layer

@layer()
def fragile():
    def bind(ctx, I):
        return 1 / 0
    return bind
"""


def test_list_shows_what_is_registered() -> None:
    out = good("list")
    assert max(map(len, out.splitlines())) <= 100
    heads = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert heads == ["activations", "layers", "update rules", "losses", "initializers", "schedules", "metrics",
                     "recorders", "datasets"]  # fmt: skip
    for entry in registry.entries():
        assert re.search(rf"^  {entry.name}\(", out, re.M), entry.name
    only = good("list", "loss")
    assert only == good("list", "losses")
    assert re.search(r"^  squared_error\(\) +L = .* built-in$", only, re.M)


def test_a_plugin_is_listed_run_and_asked_again() -> None:
    Path("wavy.py").write_text(PLUGIN)
    listed = process("list", "activation", "--plugin", "wavy.py")
    assert re.search(
        r"^  wavy\(width=1\.0\) +f\(z\) = sin\(width \* z\) +wavy\.py$", listed.stdout, re.M
    ), listed.stderr
    trained = process(
        "run", *QUICK, "--activation", "wavy(width=0.5)", "--plugin", "wavy", "--save", "wave"
    )  # a module
    assert trained.returncode == 0, trained.stderr
    assert "wavy(width=0.5)" in trained.stdout
    asked = process("predict", "wave", "mnist14(rows=100)", "--plugin", "wavy.py")
    assert len(asked.stdout.splitlines()) == 1001
    without = process("predict", "wave", "mnist14(rows=100)")
    assert without.returncode == 2
    assert len(without.stderr.splitlines()) == 1
    assert "wavy" in without.stderr


def test_a_plugins_own_error_keeps_its_traceback() -> None:
    Path("broken.py").write_text("x = 1\ny = x / 0\n")
    done = process("list", "--plugin", "broken.py")
    assert done.returncode == 1
    assert re.search(r'File ".*broken\.py", line 2', done.stderr)
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")
    Path("fragile.py").write_text(FRAGILE)
    done = process(
        "run", *QUICK, "--layer", "fragile", "--layer", "dense(10)", "--plugin", "fragile.py"
    )
    assert done.returncode == 1
    assert re.search(r'File ".*fragile\.py", line 7', done.stderr)
    Path("eof.py").write_text("raise EOFError('mine')\n")  # which click takes for the end of typing
    # An empty line ends what may have been typed.
    said = process("list", "--plugin", "eof.py").stderr.strip().splitlines()
    assert said[0] == "Traceback (most recent call last):"
    assert "eof.py" in said[1]
    assert said[-1] == "EOFError: mine"


def test_a_plugin_that_python_cannot_read_is_told_by_file_and_line() -> None:
    Path("unread.py").write_text("x = 1\ny = (2\n")
    done = process("list", "--plugin", "unread.py")
    assert done.returncode == 1
    first, *_, last = done.stderr.splitlines()
    assert first.endswith('unread.py", line 2')
    assert last == "SyntaxError: '(' was never closed"


def test_a_sweep_with_a_plugin_ends_with_commands_that_know_it() -> None:
    Path("hinted.py").write_text(
        "import numpy as np\n"
        "from harness import Config, activation, mlp, sweep\n\n\n"
        "@activation('hinted')\n"
        "def hinted(z):\n"
        "    return z * np.abs(z)\n\n\n"
        "@sweep(name='hinted ends', trials=1)\n"
        "def space(trial):\n"
        "    layers = mlp([196, 5, 10], activation='hinted')\n"
        "    return Config(data='mnist14(rows=200)', layers=layers, epochs=1, film=None)\n"
    )
    said = process("sweep", "hinted.py").stdout
    (again,) = re.findall(r"again: harness (run .*)", said)
    (predicts,) = re.findall(r"predicts: .*?harness (predict .*)", said)
    assert process(*shlex.split(again), "--no-log").returncode == 0
    assert predicts.endswith("DATA --plugin hinted.py")
    done = process(*shlex.split(predicts.replace("DATA", "mnist14")), "--out", "hinted.csv")
    assert done.returncode == 0, done.stderr
    # Without it the sentence says what is missing, and the option by which it is given.
    told = process("predict", "hinted ends", "mnist14", "--out", "hinted.csv")
    assert told.returncode == 2
    assert "hinted.py; load them first, on the command line with --plugin" in told.stderr


def test_a_run_says_that_it_compiles(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    network = ["--data", "mnist14(rows=200)", "--sizes", "196-10", "--epochs", "1", "--no-log"]
    cache = {**os.environ, "HARNESS_KERNEL_CACHE": str(tmp_path), "HARNESS_KERNELS": "numba"}
    counts = [process("run", *network, env=cache).stderr.count("compiling loops") for _ in "ab"]
    assert counts == [1, 0]


def test_a_plugins_usage_error_is_one_line() -> None:
    Path("refusing.py").write_text(
        "from harness import UsageError\nraise UsageError('set FOO\\nfirst')\n"
    )
    assert one_line(call("list", "--plugin", "refusing.py")) == "Error: set FOO first"


# Bad input ----------------------------------------------------------------------------------------


def one_line(result: Any) -> str:
    """The only line of stderr of a command that ended with 2."""
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def files() -> None:
    """Data that nobody can learn from."""
    write_flowers(Path("good.csv"))
    text = Path("good.csv").read_text().splitlines()
    Path("nan.csv").write_text("\n".join([*text[:5], ",1.0,rose", *text[5:]]))
    x = np.zeros((10, 3))
    np.savez("labels.npz", x=x, y=np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, -1]))
    np.savez("beyond.npz", x=x, y=np.arange(10), classes=np.array(["a", "b"]))
    np.savez("no_x.npz", z=x)
    Path("empty.json").write_text("{}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run --data mnits", "unknown dataset 'mnits'; did you mean 'mnist'"),
        ("run --data none.csv --label kind", "there is no file 'none.csv'"),
        ("run --data good.csv", "say which column holds the labels, as in --label kind"),
        (
            "run --data good.csv --label kidn",
            "there is no column 'kidn'; the columns are length, width, kind; did you mean",
        ),
        ("run --data labels.npz --label y", "--label goes with a .csv or .parquet file"),
        ("run --data nan.csv --label kind", "(nan) in row 4, column 'length'"),
        ("run --data labels.npz", "labels in an .npz count from 0, got -1 in row 9"),
        ("run --data beyond.npz", "labels of 2 classes must lie in 0..1, got 2 in row 2"),
        ("run SMALL --batch 0", "batch must be a whole number of at least 1 or 'full', got 0"),
        (
            "run SMALL --batch 9999 --drop-last",
            "with --drop-last --batch must not exceed the training part, got 9999",
        ),
        ("run SMALL --batch many", "--batch must be a whole number or full, got 'many'"),
        ("run SMALL --epochs 0", "epochs must be a whole number of at least 1, got 0"),
        ("run SMALL --epochs few", "'few' is not a valid integer"),
        ("run SMALL --learning-rate 0", "sgd: learning_rate must be above 0, got 0"),
        ("run SMALL --learning-rate -0.5", "sgd: learning_rate must be above 0, got -0.5"),
        (
            "run SMALL --update adam --learning-rate nan",
            "adam: learning_rate must be finite and above 0, got nan",
        ),
        ("run SMALL --update sgd(-1)", "sgd: learning_rate must be above 0, got -1"),
        (
            "run SMALL --update compose(sgd) --learning-rate 1",
            "has no learning_rate; write it into --update",
        ),
        ("run SMALL --update sdg", "unknown update rule 'sdg'; did you mean 'sgd'"),
        ("run SMALL --update sgd(", "cannot read the spec 'sgd('"),
        ("run SMALL --sizes 784-50-10", "takes 784 inputs but data set 'mnist14' has 196 features"),
        ("run SMALL --sizes 196-50-7", "gives 7 outputs but data set 'mnist14' has 10 classes"),
        (
            "run SMALL --sizes 196-x-10",
            "--sizes must be whole numbers joined by -, such as 784-100-10, got '196-x-10'",
        ),
        ("run SMALL --sizes 196-0-10", "sizes must be at least two whole numbers above 0"),
        (
            "run SMALL --sizes 196-10 --kinds dense,dense",
            "kinds must name one layer for each size after the first (1)",
        ),
        (
            "run SMALL --dropout 1.5",
            "rate is the probability to drop and must lie in [0, 1), got 1.5",
        ),
        (
            "run SMALL --dropout lots",
            "--dropout must be one rate or two, such as 0.5 or 0.2,0.5, got 'lots'",
        ),
        ("run SMALL --layer dense(10) --sizes 196-10", "--layer and --sizes cannot be combined"),
        (
            "run SMALL --layer dense(10) --activation relu",
            "--layer and --activation cannot be combined",
        ),
        ("run SMALL --layer dense(7)", "gives 7 outputs but data set 'mnist14' has 10 classes"),
        ("run SMALL --activation rleu", "unknown layer 'rleu'; did you mean 'relu'"),
        ("run SMALL --metric rmse", "metric 'rmse' is for regression"),
        ("run SMALL --select worst", "select must be one of 'last', 'best', got 'worst'"),
        ("run SMALL --valid 1.5", "valid must be the share of the training set"),
        ("run SMALL --config empty.json", "a config must have the field 'layers'"),
        ("run SMALL --config none.json", "No such file"),
        ("run SMALL --plugin none.py", "there is no file 'none.py'"),
        ("run SMALL --plugin no.such.module", "there is no module 'no.such.module'"),
        ("run SMALL --save good.csv/model", "that can be written, but"),
        ("run SMALL --save models/", "--save must name files to be, not a folder, got 'models/'"),
        ("run --data= --epochs 1", "--data must not be empty, got ''"),
        ("run SMALL --drop a", "--drop goes with a .csv or .parquet file"),
        (
            "run SMALL --learning-rate 0,5",
            "--learning-rate must be a number such as 0.5 or a schedule, got '0,5'",
        ),
        ("run SMALL --learning-rate cosin(0.5)", "did you mean 'cosine'?"),
        (
            "run SMALL --sizes 196-1000000000000-10",
            "the network must fit into memory, but: Unable to allocate",
        ),
        (
            "run SMALL --film film(formats=avi)",
            "formats must be of 'mp4', 'gif' and 'html', got 'avi'",
        ),
        *(
            (f"run SMALL {given}", "a hyperparameter must be one number, got [1.0, 2.0]")
            for given in (
                "--activation leaky_relu(slope=[1,2])",
                "--update sgd([1,2])",
                "--update adam(eps=[1,2])",
            )
        ),
        ("run SMALL --film film(fps=0)", "fps must lie in [0.1, 1000], got 0"),
        ("run SMALL --epoch 3", "No such option"),
        ("runn", "No such command 'runn'"),
        ("sweep", "Missing argument 'SCRIPT'"),
        ("sweep none.py", "there is no file 'none.py'; give the path of a Python script"),
        ("sweep .", "there is no file '.'"),
        ("sweep good.csv", "a script must be a Python file whose name ends in .py, got 'good.csv'"),
        ("list activatoin", "unknown kind of plugin 'activatoin'; did you mean 'activation'"),
        ("predict none good.csv", "there is no none.npz"),
        ("results none", "none is called 'none'"),
        (
            "run SMALL --activation xyzzy",
            "unknown layer 'xyzzy'; `harness list layer` and `harness list activation` show",
        ),
        (
            "run --data good.csv --label xyzzy",
            "there is no column 'xyzzy'; the columns are length, width, kind",
        ),
        ("run SMALL --name \udcff", "--name must be a line of 1 to 200 characters"),
        ("run SMALL --project \udcff", "--project must be a line of 1 to 200 characters"),
        ("sweep good.py --name \udcff", "--name must be a line of 1 to 200 characters"),
        ("check .", "a plugin must be a .py file or a module, got '.'"),
        ("ui --port 6000", "needs a port that browsers open, and they block 6000"),
    ],
)
def test_bad_input_is_one_line(arguments: str, says: str, store: Path) -> None:
    if not Path("good.csv").exists():
        files()
    # Both look into a store, which no other test may have made yet.
    if arguments.startswith(("results", "ui")) and not Path("mlruns/mlflow.db").exists():
        good("run", *SMALL, "--epochs", "1")
    words = [
        part
        for word in arguments.split()
        for part in ([*SMALL, "--epochs", "1"] if word == "SMALL" else [word])
    ]
    if "--epochs" in arguments:
        words = [
            w
            for k, w in enumerate(words)
            if k not in (words.index("--epochs"), words.index("--epochs") + 1)
        ]
    assert says in one_line(call(*words))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("none.csv", "there is no file 'none.csv'"),
        ("nan.csv", "nan.csv must be finite, got nan in row 4, column 'length'"),
        ("wide.csv", "'length' is missing; there is a, b, c"),
        ("words.csv", "must hold numbers, as where the network learned, but column 'width' holds"),
        ("no_x.npz", "must hold an array x of features"),
        ("damaged.npz", "cannot be read as an .npz archive"),
        ("nothing", "must hold t10k-images-idx3-ubyte or train-images-idx3-ubyte"),
        ("good.csv --label size", "there is no column 'size'"),
        ("no_x.npz --label kind", "--label goes with a .csv or .parquet file"),
        (
            "good.csv --out none/out.csv",
            "none/out.csv must be a file that can be written, but: No such file",
        ),
        ("mnits", "unknown dataset 'mnits'"),
        ("head.csv", "head.csv must have at least one row, but has its header only"),
        ("beyond.npz", "y must number its 2 classes from 0"),
        ("halves.npz", "y must number its 2 classes from 0"),
    ],
)
def test_bad_data_to_predict_is_one_line(flowers: str, data: str, says: str) -> None:
    files()
    Path("wide.csv").write_text("a,b,c\n1,2,3\n")
    Path("words.csv").write_text("length,width\n1,rose\n")
    Path("head.csv").write_text("length,width,kind\n")
    np.savez("halves.npz", x=np.zeros((2, 2)), y=np.array([0.5, 1]), classes=np.array(["a", "b"]))
    Path("damaged.npz").write_bytes(b"PK\x03\x04 no archive")
    Path("nothing").mkdir(exist_ok=True)
    assert says in one_line(call("predict", flowers, *data.split()))


@pytest.mark.parametrize("option", ["trials", "workers", "population"])
def test_a_sweep_takes_no_zero(option: str, store: Path) -> None:
    script = write_sweep(f"zero_{option}", trials=1, epochs=1)
    assert f"{option} must be a whole number of at least 1, got 0" in one_line(
        call("sweep", script, f"--{option}", "0")
    )


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1", "must define a sweep, but it has none"),
        (
            SWEEP.format(name="a", trials=1, epochs=1).replace("rate =", "1 / 0; rate ="),
            "it raised ZeroDivisionError",
        ),
        (
            SWEEP.format(name="a", trials=0, epochs=1),
            "trials must be a whole number of at least 1, got 0",
        ),
        (
            SWEEP.format(name="a", trials=1, epochs=0),
            "epochs must be a whole number of at least 1, got 0",
        ),
        (
            SWEEP.format(name="a", trials=1, epochs=1).replace("RandomS", "S"),
            "unknown sampler 'Sampler'",
        ),
        (
            SWEEP.format(name="a", trials=1, epochs=1).replace("trials=", "trails="),
            "did you mean 'trials'",
        ),
    ],
    ids=["none", "raises", "trials", "epochs", "sampler", "option"],
)
def test_a_bad_sweep_is_one_line(code: str, says: str, request: pytest.FixtureRequest) -> None:
    path = Path(f"bad_{request.node.callspec.id}.py")
    path.write_text(code)
    assert says in one_line(call("sweep", str(path)))


def test_a_read_only_mlruns_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = str(Path(write_sweep("readonly")).resolve())
    if os.geteuid() == 0:  # whom only the kernel's own file system refuses
        monkeypatch.setenv("HARNESS_ROOT", "/sys")
    else:
        (tmp_path / "mlruns").mkdir(mode=0o555)
        monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    for command in (["run", *SMALL], ["sweep", script]):
        line = one_line(call(*command))
        assert "that can be written" in line
        assert "HARNESS_ROOT" in line


def test_a_port_in_use_is_one_line(store: Path) -> None:
    good("run", *SMALL, "--epochs", "1", "--name", "something to show")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = one_line(call("ui", "--port", str(port)))
    assert f"127.0.0.1:{port} cannot be had" in line
    assert "use another one: --port " in line
    assert "99999 is not in the range 1<=x<=65535" in one_line(call("ui", "--port", "99999"))


def test_an_empty_name_is_nothing() -> None:
    assert "a plugin must be a .py file or a module, got ''" in one_line(call("check", ""))
    assert "--plugin must not be empty, got ''" in one_line(call("run", *SMALL, "--plugin", ""))


def test_an_empty_name_is_no_data(flowers: str) -> None:
    assert "DATA must be a path or the name of a data set, got ''" in one_line(
        call("predict", flowers, "")
    )


def test_a_file_may_have_any_name(store: Path) -> None:
    """Its bytes need not be text: what has been trained is logged all the same."""
    name = "odd \udcff.csv"
    write_flowers(Path(name))
    text = good(
        "run",
        "--data",
        name,
        "--label",
        "kind",
        "--sizes",
        "2-2",
        "--epochs",
        "1",
        "--film",
        "none",
    )
    assert "logged as 'odd ?.csv none 2-2 sgd'" in text
    Path(name).unlink()


def test_a_run_that_waits_says_how_it_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{probe.getsockname()[1]}")
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    text = good("run", *SMALL, "--epochs", "1", "--name", "later")
    assert (
        "'later', FINISHED: it waits in the spool until MLflow can be reached\nto send it then: "
        in text
    )
    assert text.endswith(" sync\n")
    assert "to see it" not in text
    line = one_line(call("results"))
    assert "must be readable, but: Connection refused; see whether it runs" in line


@pytest.mark.parametrize("how", ["scheduler", "store"])
def test_a_sweep_that_cannot_start_leaves_nothing(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = str(Path(write_sweep(f"refused_{how}")).resolve())
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    if how == "store":
        (tmp_path / "mlruns").mkdir()
        (tmp_path / "mlruns/mlflow.db").write_text("no database at all")
    done = call("sweep", script, *(["--scheduler", "none.json"] if how == "scheduler" else []))
    line = done.stderr.splitlines()[-1]  # below the bar
    assert done.exit_code == 2
    assert (
        "a scheduler file must be" if how == "scheduler" else "`harness doctor` says what to do"
    ) in line
    assert list((tmp_path / "mlruns/sweeps").iterdir()) == []


def test_a_store_that_is_none_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_ROOT", str(tmp_path))
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns/mlflow.db").write_text("no database at all")
    for words in (["results"], ["results", "x"], ["verify", "x"], ["ui"]):
        line = one_line(call(*words))
        assert line.endswith(
            "must be readable, but: file is not a database; `harness doctor` says what is wrong "
            "with it"
        )


def test_bad_input_in_a_process() -> None:
    done = process("run", "--data", "mnits")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "Error: unknown dataset 'mnits'; did you mean 'mnist'?\n"
        or len(done.stderr.splitlines()) == 1
    )


# Where to find the UI -----------------------------------------------------------------------------


def test_hints_name_a_command_that_works_from_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sysconfig

    scripts = tmp_path / ".tox" / "sweep" / "bin"
    scripts.mkdir(parents=True)
    script = scripts / "harness"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(scripts))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{scripts}:/usr/bin")
    assert ui_hint("my sweep") == "harness ui 'my sweep'"  # the environment is active
    # PATH is tox's, and the user's shell has another
    monkeypatch.setenv("TOX_ENV_DIR", str(scripts.parent))
    assert ui_hint("s", "digits") == ".tox/sweep/bin/harness ui s --project digits"
    monkeypatch.delenv("TOX_ENV_DIR")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert ui_hint("s", "digits") == ".tox/sweep/bin/harness ui s --project digits"
    assert command_line("sweep", "my sweep.py") == ".tox/sweep/bin/harness sweep 'my sweep.py'"
    monkeypatch.chdir("/")
    assert ui_hint("s", "harness") == f"{str(script)[1:]} ui s"
    script.unlink()
    assert ui_hint("s").endswith(" -m harness ui s")
    other = tmp_path / "other" / "harness"  # of another environment: it would show other runs
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert ui_hint("s").endswith(" -m harness ui s")


def test_the_list_of_commands_says_what_each_command_says_of_itself() -> None:
    context = click.Context(main)
    for name, lazy in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.get_short_help_str(200) == lazy.short_help


def test_help_imports_no_numpy() -> None:
    code = (
        "import sys\nfrom harness.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print('numpy' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"


def test_a_store_with_credentials_has_no_plain_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert mlflow_hint("postgresql://ann:s3cret@db/runs") == ""
    assert mlflow_hint("http://127.0.0.1:5000") == ""
    monkeypatch.chdir(tmp_path)
    elsewhere = mlflow_hint("sqlite:////data/my runs/mlflow.db")
    assert elsewhere.endswith("mlflow ui --backend-store-uri 'sqlite:////data/my runs/mlflow.db'")
