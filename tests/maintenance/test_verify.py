"""harness verify: real runs trained again, and what it says where the record, a plugin, the data or
the BLAS differ.
"""

import hashlib
import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import harness
from harness import Config, mlp, registry
from harness.cli import main
from harness.errors import UsageError
from harness.maintenance.logged import save_sources
from harness.maintenance.verify import verify
from harness.registry import known
from harness.storage.records import TrialRun
from harness.studies.sweep import Sweep
from harness.tracking.recorded_run import recorded
from harness.trials.fingerprint import differences, fingerprint

PLUGIN = """
import pathlib
import numpy as np
from harness import activation
import verify_tools.sizes

pathlib.Path("executed").write_text("yes")


@activation("verify_bump")
def verify_bump(z, width=verify_tools.sizes.WIDTH):
    return z * np.exp(-((z / width) ** 2))
"""
BROKEN = """
import numpy as np
from harness import activation


@activation("verify_broken", inplace=True)
def verify_broken():
    def value(xp, z, out):
        raise ZeroDivisionError("a plugin of a test")

    return value, lambda xp, z, a, da: None
"""


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One folder with one mlruns/ for all tests here, and the current folder."""
    root = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_ROOT", str(root))
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID"):
            patch.delenv(name, raising=False)
        patch.chdir(root)
        # What is loaded here is no business of other tests
        patch.setattr(known, "loaded_plugins", {})
        yield root


def config(**changes: Any) -> Config:
    given = {"layers": mlp([196, 20, 10]), "data": "mnist14(rows=400)", "epochs": 3, "film": None}
    return Config(**{**given, **changes})


def wild() -> Config:
    """Two linear layers under squared error with a learning rate that is far too large: they
    diverge.
    """
    return config(
        layers=mlp([196, 20, 10], activation="identity"),
        loss="squared_error",
        update="sgd(2.0)",
        batch=20,
    )


def call(*arguments: str) -> tuple[int, str]:
    """Exit code and stdout of a command in this process."""
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    return result.exit_code, result.stdout


def process(*arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in a process of its own."""
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def train(name: str, *options: str, given: Config | None = None) -> str:
    """Trains and logs a single run; its run id."""
    Path("config.json").write_text((given or config()).to_json())
    code, said = call("run", "--config", "config.json", "--name", name, *options)
    assert code in (0, 1)
    return re.findall(r"run id ([0-9a-f]{32})", said)[0]


def tamper(statement: str, *values: Any) -> None:
    """Changes what is recorded, behind the back of MLflow."""
    with closing(sqlite3.connect("mlruns/mlflow.db")) as store, store:
        assert store.execute(statement, values).rowcount >= 1
    store.close()


@pytest.fixture(scope="module")
def plain(store: Path) -> str:
    """The run id of a network that nobody tampers with, called "plain"."""
    return train("plain")


@pytest.fixture(scope="module")
def swept(store: Path) -> dict[str, TrialRun]:
    """A sweep called "all ends", of a trial for each way to end; "again" has the config of
    "complete".
    """
    Path("broken.py").write_text(BROKEN)
    kinds = {
        "complete": config(),
        "again": config(),
        "diverged": wild(),
        "failed": None,
    }

    def space(trial: Any) -> Config:
        kind = trial.suggest_categorical("kind", list(kinds))
        return kinds[kind] or config(layers=mlp([196, 20, 10], activation="verify_broken"))

    result = Sweep(space, "all ends", sampler="BruteForceSampler", plugins=["broken.py"]).run()
    found = {t.result.params["kind"]: t for t in result.trials}
    assert {k: t.result.state for k, t in found.items()} == {
        "complete": "COMPLETE",
        "again": "COMPLETE",
        "diverged": "DIVERGED",
        "failed": "FAILED",
    }
    return found


# Identical ----------------------------------------------------------------------------------------


def test_a_run_is_identical_by_name_and_by_id(plain: str) -> None:
    expected = (0, "identical: 'plain', weights and metrics of 3 epochs\n")
    assert call("verify", "plain") == call("verify", plain) == expected


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("complete", "weights and metrics of 3 epochs"),
        ("again", "weights and metrics of 3 epochs"),
        ("diverged", "weights and metrics of 1 epoch, not finite at step"),
        ("failed", "fails again: ZeroDivisionError: a plugin of a test"),
    ],
)
def test_trials_end_as_they_did(swept: dict[str, TrialRun], kind: str, says: str) -> None:
    verdict = verify(f"all ends#{swept[kind].number}")
    assert verdict.identical, verdict.text
    assert says in verdict.text
    if kind == "diverged":
        assert verdict.text.endswith(f"at step {swept[kind].tags['harness.bad_step']}")


def test_a_trial_that_took_over_a_result_is_verified_as_the_one_that_has_it(
    swept: dict[str, TrialRun],
) -> None:
    first, second = sorted((swept["complete"], swept["again"]), key=lambda t: t.number or 0)
    assert second.tags["harness.duplicate_of"] == f"#{first.number}"
    assert (
        recorded(f"all ends#{second.number}").run_id == recorded(f"all ends #{first.number}").run_id
    )


def test_a_pruned_trial_is_a_prefix() -> None:
    def space(trial: Any) -> Config:
        return config(update=f"sgd({trial.suggest_float('rate', 0.1, 0.2)})", epochs=4)

    result = Sweep(
        space, "pruned", trials=1, pruner="ThresholdPruner(lower=0.99, n_warmup_steps=2)"
    ).run()
    assert result.trials[0].result.state == "PRUNED"
    assert result.trials[0].result.epochs == 2
    verdict = verify("pruned#0")
    assert verdict == (
        True,
        f"identical: {result.trials[0].name!r}, weights and metrics of 2 epochs",
    )


def test_the_digest_of_a_trial_is_in_its_record_and_in_mlflow(
    swept: dict[str, TrialRun], plain: str
) -> None:
    assert re.fullmatch("[0-9a-f]{16}", swept["complete"].result.digest)
    assert (
        recorded(f"all ends#{swept['complete'].number}").tags["harness.digest"]
        == swept["complete"].result.digest
    )
    # The same config
    assert recorded(plain).tags["harness.digest"] == swept["complete"].result.digest
    assert swept["failed"].result.digest == ""
    assert "harness.digest" not in swept["failed"].tags


# Not identical ------------------------------------------------------------------------------------


def test_a_metric_that_departs_is_named_with_both_values() -> None:
    run_id = train("tampered")
    was = recorded(run_id).metrics["valid/loss"][2]
    for epoch in (2, 3):  # the first one is told
        change = "UPDATE metrics SET value = value + 0.25 WHERE key = 'valid/loss' AND run_uuid = ? AND step = ?"
        tamper(change, run_id, epoch)
    code, said = call("verify", "tampered")
    assert code == 1
    assert said == (
        f"'tampered' departs at epoch 2: valid/loss was {was + 0.25!r}, is {was!r}\n"
        "what differs in the environment: nothing\n"
    )


TAG = "UPDATE tags SET value = ? WHERE key = ? AND run_uuid = ?"


def test_weights_that_depart_are_noticed_by_their_digest() -> None:
    run_id = train("other weights")
    was = recorded(run_id).tags["harness.digest"]
    tamper(TAG, "0123456789abcdef", "harness.digest", run_id)
    said = verify(run_id)
    assert not said.identical
    assert f"all metrics are equal, the digest was 0123456789abcdef, is {was}" in said.text
    tamper("DELETE FROM tags WHERE key = 'harness.digest' AND run_uuid = ?", run_id)
    assert verify(run_id) == (
        True,
        "identical: 'other weights', metrics (no digest of the weights was recorded) of 3 epochs",
    )


def test_another_bad_step_is_another_course() -> None:
    run_id = train("wild", given=wild())
    step = recorded(run_id).tags["harness.bad_step"]
    assert verify(run_id).identical
    tamper(TAG, "999", "harness.bad_step", run_id)
    assert (
        f"departs in its first step that is not finite: it was 999, is {step}\n"
        in verify(run_id).text
    )


def test_epochs_that_are_missing_are_noticed() -> None:
    run_id = train("longer")
    rows = "SELECT key, value, timestamp, run_uuid, 4, is_nan FROM metrics WHERE step = 3 AND run_uuid = ?"
    tamper(f"INSERT INTO metrics {rows}", run_id)
    assert "departs after epoch 3: it went on to epoch 4, now it stops\n" in verify(run_id).text


def test_a_failure_that_is_mended_is_told(swept: dict[str, TrialRun]) -> None:
    number = swept["failed"].number
    Path("elsewhere").mkdir()
    Path("elsewhere/broken.py").write_text(f"# other lines\n{BROKEN}")
    Path("broken.py").unlink()
    code, _, error = process("verify", f"all ends#{number}", "--plugin", "elsewhere/broken.py")
    assert code == 0, error  # the same error, wherever the plugin lies
    assert "Traceback" in error  # it is what one wants to see
    Path("broken.py").write_text(
        BROKEN.replace('raise ZeroDivisionError("a plugin of a test")', "out[...] = z")
    )
    code, said = call("verify", f"all ends#{number}", "--plugin", "broken.py")
    Path("broken.py").write_text(BROKEN)
    registry.load_plugin("broken.py")
    assert code == 1
    assert re.search(
        r"in how it ends: it failed \(ZeroDivisionError: a plugin of a test \(.*\)\), now it does "
        r"not\n",
        said,
    )
    assert re.search(r"plugin broken.py was [0-9a-f]{8}, is [0-9a-f]{8} \(SHA-256\)", said)


def test_data_that_have_changed_are_told() -> None:
    rows = [f"{k % 7},{k % 3},{k % 2}" for k in range(200)]
    Path("table.csv").write_text("\n".join(["a,b,label", *rows]))
    given = config(
        data={"name": "csv", "path": "table.csv", "label": "label"}, layers=mlp([2, 5, 2]), batch=20
    )
    run_id = train("table", given=given)
    assert verify(run_id).identical
    Path("table.csv").write_text("\n".join(["a,b,label", *rows[:-1], "5,5,0"]))
    assert (
        "departs before its first step: the data set has changed, its digest was "
        in verify(run_id).text
    )


# Plugins ------------------------------------------------------------------------------------------


def test_a_plugin_is_never_executed_unless_it_is_named() -> None:
    Path("bump.py").write_text(PLUGIN)
    Path("verify_tools").mkdir()
    Path("verify_tools/sizes.py").write_text("WIDTH = 1.0\n")
    code, said = call(
        *(
            "run",
            "--plugin",
            "bump.py",
            "--data",
            "mnist14(rows=400)",
            "--sizes",
            "196-20-10",
            "--epochs",
            "2",
        ),
        *("--activation", "verify_bump", "--film", "none", "--name", "bumpy"),
    )
    assert code == 0, said
    assert Path("executed").exists()
    Path("executed").unlink()
    code, out, error = process("verify", "bumpy")
    assert (code, out) == (2, "")
    assert re.search(
        r"'bumpy' was trained with the plugins \S*bump.py\b.*: give what it needs "
        r"with --plugin",
        error,
    )
    assert "Traceback" not in error
    code, out, error = process("verify", "bumpy", "--sources", "kept")
    assert code == 0
    assert "kept/bump.py" in out.splitlines()
    assert Path("kept/bump.py").read_text() == PLUGIN
    assert Path("kept/verify_tools/sizes.py").read_text() == "WIDTH = 1.0\n"
    assert not Path("executed").exists()
    Path("kept/bump.py").write_text("mine")
    with pytest.raises(UsageError, match="is there already and is another file"):
        save_sources("bumpy", Path("kept"))
    assert Path("kept/bump.py").read_text() == "mine"

    assert call("verify", "bumpy", "--plugin", "bump.py") == (
        0,
        "identical: 'bumpy', weights and metrics of 2 epochs\n",
    )
    old, new = (
        hashlib.sha256(text.encode()).hexdigest()[:8] for text in (PLUGIN, PLUGIN + "# a comment\n")
    )
    Path("bump.py").write_text(PLUGIN + "# a comment\n")
    code, said = call("verify", "bumpy", "--plugin", "bump.py")
    assert code == 0
    assert said.endswith(
        f"\nalthough the environment differs: plugin bump.py was {old}, is {new} (SHA-256)\n"
    )
    Path("bump.py").write_text(PLUGIN.replace("** 2", "** 4"))
    code, said = call("verify", "bumpy", "--plugin", "bump.py")
    assert code == 1
    assert said.startswith("'bumpy' departs at epoch 1: train/loss was ")
    assert f"plugin bump.py was {old}, is " in said


# The environment ----------------------------------------------------------------------------------


def test_the_fingerprint_says_what_trains(plain: str) -> None:
    found = fingerprint()
    assert found["numpy"] == __import__("numpy").__version__
    assert found["python"] == platform.python_version()
    assert found["harness"] == harness.__version__
    assert all(
        isinstance(value, str) and value for name, value in found.items() if name != "plugins"
    )
    kept = json.loads(recorded(plain).files["environment.json"])
    assert {**kept, "plugins": {}} == {**found, "plugins": {}}


def test_differences_are_named() -> None:
    then = {
        "numpy": "2.4.6",
        "python": "3.11.7",
        "plugins": {"a.py": "aaaaaaaa11", "b.py": "bbbbbbbb11"},
    }
    now = {
        "numpy": "2.5.0",
        "python": "3.11.7",
        "blas": "mkl",
        "plugins": {"b.py": "cccccccc11", "new.py": "1"},
    }
    assert differences(then, then) == []
    assert differences(then, now) == [
        "numpy was 2.4.6, is 2.5.0",
        "blas was not known, is mkl",
        "plugin a.py was there, is not loaded",
        "plugin b.py was bbbbbbbb, is cccccccc (SHA-256)",
    ]


@pytest.mark.skipif(
    "openblas" not in fingerprint()["blas"] or platform.machine() != "x86_64",
    reason="needs OpenBLAS on x86-64, which can be told what kernels to use",
)
def test_another_kernel_of_blas_departs_and_is_named(plain: str) -> None:
    kernel = fingerprint()["blas_kernel"]
    other = "Haswell" if kernel != "Haswell" else "Nehalem"
    code, out, _ = process("verify", "plain", OPENBLAS_CORETYPE=other)
    assert code == 1
    assert re.match(
        r"'plain' departs at epoch \d: (train|valid)/\w+ was \d\.\d+, is \d\.\d+\n", out
    )
    assert out.endswith(f"what differs in the environment: blas_kernel was {kernel}, is {other}\n")


# Bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nobody", "there is none for 'nobody'"),
        ("all ends#77", "there is none for 'all ends#77'"),
        ("nobody#0", "there is none for 'nobody#0'"),
        ("0" * 32, "there is none for '000"),
        (
            "all ends",
            "'all ends' is a sweep, and only one network can be trained again; name one "
            "of its trials",
        ),
        ("it's#1", 'there is none for "it\'s#1"'),
    ],
)
def test_what_is_not_there_is_one_sentence(
    swept: dict[str, TrialRun], reference: str, says: str
) -> None:
    with pytest.raises(UsageError) as error:
        verify(reference)
    assert says in str(error.value)
