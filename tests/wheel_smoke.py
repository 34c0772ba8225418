"""Run by `tox -e wheel`, from an empty folder, where nothing but the wheel and its dependencies is
installed.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import harness
from harness.builtin.layers import mlp
from harness.config import Config
from harness.data import load
from harness.training.prepare import prepare
from harness.training.segment import segment

where = Path(harness.__file__).resolve()
assert where.is_relative_to(sys.prefix), f"not the installed package: {where}"
assert (where.parent / "builtin" / "mnist" / "README.md").is_file(), (
    "the attribution of MNIST is not in the wheel"
)

mnist = load("mnist")
assert mnist.x.shape == (60000, 784), mnist.x.shape
assert mnist.x_test is not None
assert mnist.x_test.shape == (10000, 784), mnist.x_test.shape

config = Config(
    layers=mlp([784, 32, 10], activation="relu"), update="sgd(learning_rate=0.5)", epochs=1
)
_, records = segment(config, prepare(config))
accuracy = records[-1].metrics["valid/accuracy"]
assert accuracy > 0.9, f"one epoch of 784-32-10 on MNIST: {records[-1].metrics}"
print(
    f"mlp-harness {version('mlp-harness')} in {where.parent}: 784-32-10, validation accuracy "
    f"{accuracy:.4f}"
)
