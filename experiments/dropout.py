"""What the article wanted to do next: implement dropout.

    python experiments/dropout.py

No dropout, dropout of the hidden units, and dropout of hidden units and input, in the same network
784-400-10 with the same seeds. It learns from 5,000 digits for 25 epochs, few enough and long
enough to overfit, which is what dropout is for. Target: hidden dropout has a higher mean validation
accuracy than none, and every arm's mean is at least 0.93.
"""

from harness import Config, compare, mlp

TARGET = 0.93
RATES = {"none": None, "hidden": (None, 0.5), "input and hidden": (0.2, 0.5)}

arms = {
    name: Config(
        layers=mlp([784, 400, 10], activation="relu", dropout=rates),
        data="mnist(rows=10000)",
        valid=0.5,
        update="momentum(learning_rate=0.05, decay=0.9)",
        epochs=25,
    )
    for name, rates in RATES.items()
}

if __name__ == "__main__":
    print(compare("dropout", arms, seeds=5, workers=2).table())
