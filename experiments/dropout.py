"""What the article wanted to do next: implement dropout.

    python experiments/dropout.py

No dropout, dropout of the hidden units, and dropout of hidden units and input, in the same network with the same seeds.
784-400-10 is wide enough to overfit in ten epochs, which is where dropout can help.
Target: every arm's mean validation accuracy is at least 0.97.
"""

from harness import Config, mlp
from harness.compare import compare

TARGET = 0.97
RATES = {"none": None, "hidden": (None, 0.5), "input and hidden": (0.2, 0.5)}

arms = {
    name: Config(
        layers=mlp([784, 400, 10], activation="relu", dropout=rates),
        update="momentum(learning_rate=0.05, decay=0.9)",
        epochs=10,
        valid=0.2,
    )
    for name, rates in RATES.items()
}

if __name__ == "__main__":
    print(compare("dropout", arms, seeds=5, workers=2).table())
