"""The experiments, run as a reader runs them, against the targets that they state."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def run(name, root, *arguments):
    return output([sys.executable, str(EXPERIMENTS / name), *arguments], root)


def output(command, root):
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(table, arm):
    """mean, spread, least, greatest of an arm."""
    line = next(line for line in table.splitlines() if line.startswith(arm + "  "))
    return [float(v) for v in re.findall(r"\d\.\d{4}", line.removeprefix(arm))[:4]]


@pytest.mark.slow
def test_article(root):
    out = run("article.py", root)
    median, target, least, floor = (
        float(v)
        for v in re.search(
            r"median (\S+) \(target (\S+)\), least (\S+) \(target (\S+)\)", out
        ).groups()
    )
    assert (target, floor) == (0.95, 0.93)
    assert median >= 0.95
    assert least >= 0.93
    assert row(out, "eta far too large")[3] < 0.12
    assert out.splitlines()[2].endswith("did not learn")


def test_templates(root):
    out = run("templates.py", root)
    assert float(re.search(r"median (\S+) \(target 0.9\)", out).group(1)) >= 0.90
    films = sorted(p.name for p in (root / "mlruns" / "films").iterdir())
    assert films == [
        "templates-digits.gif",
        "templates-digits.mp4",
        "templates-square.gif",
        "templates-square.mp4",
    ]


@pytest.mark.slow
def test_take_apart(root):
    out = run("take_apart.py", root, "7")
    assert "piped = predict_proba: True" in out
    assert "by hand within 1e-06 : True" in out
    label, said = re.search(r"label (\d); the network says (\d)", out).groups()
    assert label == said
    assert (root / "mlruns" / "take_apart.png").stat().st_size > 5000


@pytest.mark.slow
def test_first_sweep(root):
    """The target is one of 24 trials, which take minutes; it is reached in the first ten."""
    script = str(EXPERIMENTS / "first_sweep.py")
    out = output([sys.executable, "-m", "harness", "sweep", script, "--trials", "10"], root)
    lines = out.splitlines()
    assert lines[0] == "first sweep: 10 trials (10 complete)"
    # The heads, ten trials, and how to train the best one again
    assert re.fullmatch(r"#\d+ again: harness run --config 'first sweep#\d+'", lines[12])
    assert float(re.search(r"#\d+\s+(\d\.\d+)", lines[2]).group(1)) >= 0.965


@pytest.mark.slow
def test_activations(root):
    out = run("activations.py", root)
    for arm, target in {
        "relu": 0.965,
        "leaky_relu": 0.965,
        "tanh": 0.965,
        "sigmoid": 0.94,
        "identity": 0.9,
    }.items():
        assert row(out, arm)[0] >= target, arm


@pytest.mark.slow
def test_tuned(root):
    out = run("tuned.py", root)
    for arm, target in {"relu": 0.965, "tanh": 0.965, "gelu": 0.965, "sigmoid": 0.96}.items():
        assert row(out, arm)[0] >= target, arm
    assert len(re.findall(r"learning_rate=\d\.\d+ \(best of 8: 0\.9\d+\)", out)) == 4


@pytest.mark.slow
def test_dropout(root):
    out = run("dropout.py", root)
    means = {arm: row(out, arm)[0] for arm in ("none", "hidden", "input and hidden")}
    assert means["hidden"] > means["none"] >= 0.93
    assert means["input and hidden"] >= 0.93
