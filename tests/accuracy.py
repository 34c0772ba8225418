"""As accurate as scikit-learn? Our networks and MLPClassifier on the same splits, with the same
settings.

    tox -e accuracy                   # the first table of docs/accuracy.md; exit code 1 where a
    line does not hold tox -e accuracy -- --initializers # the second: glorot against he on MNIST,
    without scikit-learn
    tox -e accuracy -- --splits 3     # fewer splits, to see that it runs

Both are given the same rows, standardized by the training part, and the same layers, loss, update
rule, batch, epochs and number type (float32). What is left to differ is chance: initial weights and
data order. Beside our network as its defaults make it, each further column changes one thing.
MLPClassifier draws weights and biases from U(-a, a), a = sqrt(6 / (inputs + outputs)), trains on
the last batch of an epoch, and has one output for two classes.
"""

import argparse
import platform
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from scipy import stats
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from harness import Config, Model, mlp
from harness.training.prepare import prepare
from harness.training.segment import segment

HIDDEN = (100, 50)
BATCH = 32
EPOCHS = 30
TEST = 0.25
MARGIN = 0.01  # by how much our accuracy may be lower at most, with 95 % confidence

SAME = "same network"
# What each column changes of our network: fields of `ours`
ARMS: dict[str, dict[str, Any]] = {
    SAME: {},
    "last batch dropped": {"drop_last": True},
    "init=he": {"init": "he"},
    # For two classes alone: the others have an output for each class anyway
    "two outputs": {"one_output": False},
}
# Our rule, and the same for MLPClassifier
RULES = {
    "sgd(0.1)": {
        "solver": "sgd",
        "learning_rate_init": 0.1,
        "momentum": 0.0,
        "nesterovs_momentum": False,
    },
    "adam": {"solver": "adam"},
}


@dataclass
class Table:
    """A classification problem: x (N, I), of which the first columns are numbers and the others 0
    or 1, y (N,).
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    numbers: int
    # A small table has few test rows, so that more seeds are needed for the same precision
    seeds: int


# Data ---------------------------------------------------------------------------------------------


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Codes (N,) -> columns (N, K) of 0 and 1."""
    return (codes[:, None] == np.unique(codes)).astype(np.float64)


def chance(logit: np.ndarray) -> np.ndarray:
    """The probability that belongs to a logit."""
    return 1 / (1 + np.exp(-logit))


def passengers(rows: int = 891) -> Table:
    """Like the passengers of the Titanic: class, sex, age with holes, family, fare, port; who
    survived.
    """
    rng = np.random.default_rng(1912)
    travel_class = rng.choice([1, 2, 3], rows, p=[0.24, 0.21, 0.55])
    woman = rng.random(rows) < 0.35
    age = np.clip(rng.normal(41 - 5.5 * travel_class, 13), 0.4, 80)
    siblings = rng.poisson(0.52, rows)
    parents = rng.poisson(0.38, rows)
    fare = np.exp(rng.normal(5.2 - 0.95 * travel_class, 0.5)) * (1 + 0.4 * (siblings + parents))
    port = rng.choice(["C", "Q", "S"], rows, p=[0.19, 0.09, 0.72])
    child = age < 12
    logit = 1.4 + 2.7 * woman - 1.1 * (travel_class - 1) + 1.6 * child - 0.02 * age
    logit += (
        -0.45 * np.maximum(siblings + parents - 2, 0)
        - 1.0 * (woman & (travel_class == 3))
        + 0.3 * (port == "C")
    )
    survived = rng.random(rows) < chance(1.25 * (logit - 0.9))
    missing = rng.random(rows) < 0.2
    known = np.where(missing, age[~missing].mean(), age)
    numbers = np.column_stack([known, siblings, parents, fare])
    return _table("Titanic-like", numbers, [travel_class, woman, port, missing], survived, seeds=3)


def incomes(rows: int = 3000) -> Table:
    """Like the Adult census table: age, education, work, family, hours, capital gains; who earns
    more than 50K.
    """
    rng = np.random.default_rng(1994)
    age = np.clip(rng.gamma(8.5, 4.6, rows), 17, 90)
    years = np.clip(np.round(rng.normal(10.1, 2.6, rows)), 1, 16)
    hours = np.clip(np.round(rng.normal(40.4, 12, rows)), 1, 99)
    gain = np.where(rng.random(rows) < 0.083, np.exp(rng.normal(8.8, 1.0, rows)), 0.0)
    loss = np.where(rng.random(rows) < 0.047, rng.normal(1870, 370, rows), 0.0)
    man = rng.random(rows) < 0.67
    married = rng.random(rows) < np.where(man, 0.6, 0.17) * np.clip((age - 17) / 14, 0, 1)
    marital = np.where(married, 0, 1 + rng.choice(6, rows, p=[0.6, 0.25, 0.06, 0.05, 0.03, 0.01]))
    relationship = np.where(
        married, np.where(man, 0, 1), 2 + rng.choice(4, rows, p=[0.47, 0.29, 0.19, 0.05])
    )
    work = rng.choice(8, rows, p=[0.7, 0.08, 0.06, 0.06, 0.04, 0.04, 0.015, 0.005])
    job = (rng.integers(0, 14, rows) + (years > 12) * rng.integers(0, 6, rows)) % 14
    race = rng.choice(5, rows, p=[0.854, 0.096, 0.031, 0.01, 0.009])
    country = np.where(rng.random(rows) < 0.9, 0, rng.integers(1, 25, rows))
    logit = (
        0.33 * (years - 10) + 2.3 * married + 0.03 * (hours - 40) + 0.045 * np.minimum(age - 38, 15)
    )
    logit += (
        0.16 * (job % 5 - 2)
        + 2.5 * (gain > 7000)
        + 0.7 * (loss > 1800)
        - 0.0012 * np.maximum(age - 55, 0) ** 2
    )
    rich = rng.random(rows) < chance(1.3 * (logit - 2.35))
    texts = [work, marital, job, relationship, race, man, country]
    return _table(
        "Adult-like", np.column_stack([age, years, gain, loss, hours]), texts, rich, seeds=4
    )


def _table(
    name: str, numbers: np.ndarray, texts: list[np.ndarray], y: np.ndarray, seeds: int
) -> Table:
    x = np.hstack([numbers, *map(one_hot, texts)])
    return Table(name, x, y.astype(int), numbers.shape[1], seeds)


def tables() -> Iterator[Table]:
    """The five tables."""
    for name, load, seeds in (
        ("breast_cancer", load_breast_cancer, 3),
        ("wine", load_wine, 4),
        ("digits", load_digits, 1),
    ):
        x, y = load(return_X_y=True)
        yield Table(name, x, y, x.shape[1], seeds)
    yield passengers()
    yield incomes()


# Training -----------------------------------------------------------------------------------------


@dataclass
class Split:
    """A table cut in two, standardized by its training part."""

    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def cut(table: Table, seed: int) -> Split:
    """A stratified split. Columns of 0 and 1 stay as they are."""
    x, x_test, y, y_test = train_test_split(
        table.x, table.y, test_size=TEST, stratify=table.y, random_state=seed
    )
    mean = x.mean(axis=0)
    std = x.std(axis=0)
    mean[table.numbers :] = 0.0
    std[table.numbers :] = 1.0
    std[std == 0] = 1.0
    return Split(
        ((x - mean) / std).astype(np.float32), y, ((x_test - mean) / std).astype(np.float32), y_test
    )


def theirs(split: Split, rule: str, seed: int) -> float:
    """The test accuracy of MLPClassifier, without its penalty and its early stopping."""
    net = MLPClassifier(
        HIDDEN,
        activation="relu",
        alpha=0.0,
        batch_size=min(BATCH, len(split.x)),
        max_iter=EPOCHS,
        tol=0.0,
        n_iter_no_change=EPOCHS + 1,
        random_state=seed,
        **RULES[rule],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(split.x, split.y)
    return float(np.mean(net.predict(split.x_test) == split.y_test))


def ours(
    split: Split,
    rule: str,
    seed: int,
    init: str = "glorot",
    drop_last: bool = False,
    one_output: bool = True,
) -> float:
    """The test accuracy of our network. one_output: a single logit for two classes, as
    MLPClassifier has it.
    """
    classes = int(split.y.max()) + 1
    one_output = one_output and classes == 2
    outputs = 1 if one_output else classes
    config = Config(
        layers=mlp([split.x.shape[1], *HIDDEN, outputs], activation="relu", init=init),
        loss="binary_cross_entropy" if one_output else "softmax_cross_entropy",
        update=rule,
        batch=BATCH,
        drop_last=drop_last,
        epochs=EPOCHS,
        scale="none",
        valid=0.0,
        seed=seed,
        film=None,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the network did not learn")
        net = Model(config).fit(split.x, split.y)
    return float(np.mean(net.predict(split.x_test) == split.y_test))


# The tables ---------------------------------------------------------------------------------------


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The mean of paired differences and half the width of its 95 % interval by Student's t."""
    n = len(differences)
    half = stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    return float(differences.mean()), float(half)


def row(table: Table, rule: str, splits: int) -> tuple[str, list[str]]:
    """A line of the table, and what fails in it."""
    arms = [name for name in ARMS if name != "two outputs" or int(table.y.max()) == 1]
    accuracy = {name: np.zeros(splits) for name in ["sklearn", *arms]}
    for k in range(splits):
        split = cut(table, k)
        for s in range(table.seeds):
            seed = 1000 * k + s
            accuracy["sklearn"][k] += theirs(split, rule, seed) / table.seeds
            for name in arms:
                accuracy[name][k] += ours(split, rule, seed, **ARMS[name]) / table.seeds
    cells = dict.fromkeys(ARMS, "")
    failures = []
    for name in arms:
        mean, half = interval(accuracy[name] - accuracy["sklearn"])
        mark = "" if abs(mean) <= half else " *"
        cells[name] = f"{mean:+.4f} +- {half:.4f}{mark}"
        if name == SAME and mean - half <= -MARGIN:
            failures.append(f"{table.name}, {rule}: {cells[name]} is not above -{MARGIN}")
    scikit_learn = f"{accuracy['sklearn'].mean():.4f}"
    line = f"| {table.name} | {rule} | {scikit_learn} | {' | '.join(cells.values())} |"
    return line, failures


def against_scikit_learn(splits: int, only: str | None = None) -> list[str]:
    """Prints the first table; what does not hold in it."""
    print(f"| table | rule | scikit-learn | {' | '.join(ARMS)} |")
    print("|---" * (3 + len(ARMS)) + "|")
    failures = []
    for table in tables():
        for rule in RULES if only in (None, table.name) else ():
            line, failed = row(table, rule, splits)
            print(line, flush=True)
            failures += failed
    return failures


def glorot_against_he(seeds: int) -> None:
    """Prints the second table: validation accuracy on the digits of MNIST, raw bytes divided as the
    config says.
    """
    article = {
        "data": "mnist",
        "scale": "/256",
        "valid": 0.3,
        "batch": 100,
        "epochs": 3,
        "update": "sgd(0.5)",
    }
    small = {"data": "mnist14(rows=6000)", "batch": 100, "epochs": 10}
    lines = [
        ([784, 100, 50, 10], "relu", article),
        ([784, 100, 50, 10], "tanh", article),
        ([196, 100, 50, 10], "relu", {**small, "update": "sgd(0.5)"}),
        ([196, 100, 50, 10], "tanh", {**small, "update": "sgd(0.5)"}),
        ([196, 100, 50, 10], "relu", {**small, "update": "adam"}),
        ([196, 100, 50, 10], "tanh", {**small, "update": "adam"}),
        *(
            ([196, *[64] * depth, 10], "relu", {**small, "update": "sgd(0.1)"})
            for depth in (3, 6, 10)
        ),
    ]
    print("| network | rule | epochs | he | glorot | glorot - he |\n|---|---|---|---|---|---|")
    for sizes, activation, fields in lines:
        found = {}
        for init in ("he", "glorot"):
            layers = mlp(sizes, activation=activation, init=init)
            configs = [
                Config(layers=layers, film=None, seed=seed, **fields) for seed in range(seeds)
            ]
            trained = [segment(config, prepare(config))[1][-1] for config in configs]
            found[init] = np.array([record.metrics["valid/accuracy"] for record in trained])
        mean, half = interval(found["glorot"] - found["he"])
        name = f"{'-'.join(map(str, sizes))} {activation} | {fields['update']} | {fields['epochs']}"
        means = " | ".join(f"{values.mean():.4f}" for values in found.values())
        print(f"| {name} | {means} | {mean:+.4f} +- {half:.4f} |", flush=True)


def main() -> None:
    """Reads the options and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--splits", type=int, default=20, help="paired splits of each table")
    parser.add_argument("--only", metavar="TABLE", help="one table, such as wine")
    parser.add_argument(
        "--initializers", action="store_true", help="glorot against he instead, 10 seeds each"
    )
    given = parser.parse_args()
    begun = time.perf_counter()
    if given.initializers:
        glorot_against_he(seeds=10)
        return
    failures = against_scikit_learn(given.splits, given.only)
    print(
        f"\n{given.splits} splits, {'-'.join(map(str, HIDDEN))}, relu, batch {BATCH}, {EPOCHS} "
        f"epochs, float32; "
        f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}, Python "
        f"{platform.python_version()}; "
        f"{time.perf_counter() - begun:.0f} s"
    )
    for sentence in failures:
        print(f"FAILED: {sentence}")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
