"""What the idiom in `idiom.py` does, with the harness: the same space, data, split and epochs.

python tests/idiom_harness.py FOLDER SHAPE TRIALS WORKERS [POPULATION]
"""

import sys

import numpy as np
from idiom import SHAPES, arrays

from harness import Config, dataset, mlp, sweep
from harness.data import from_arrays


@dataset("eight_by_eight")
def eight_by_eight():
    """The digits of scikit-learn.

    x (1797, 64) uint8, y (1797,).
    """
    x, y = arrays("64-32-10")
    return from_arrays("eight_by_eight", np.ascontiguousarray(x), y, shape=None)


@sweep(name="bench", sampler="RandomSampler", seed=1)
def space(trial):
    shape = sys.argv[2]
    given = SHAPES[shape]
    names = {"mnist": "mnist", "digits": "eight_by_eight"}
    rate = trial.suggest_float("rate", 0.03, 1.0, log=True)
    return Config(
        data=names[given["data"]],
        layers=mlp([int(n) for n in shape.split("-")]),
        update=f"sgd({rate})",
        epochs=given["epochs"],
        batch=given["batch"],
    )


if __name__ == "__main__":
    given = {"population": int(sys.argv[5])} if len(sys.argv) > 5 else {}
    space.run(trials=int(sys.argv[3]), workers=int(sys.argv[4]), **given)
