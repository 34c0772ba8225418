"""Compare activation functions when each may choose its learning rate, since what suits one starves
another.

    python experiments/tuned.py

The network of activations.py, 784-100-50-10. Each arm is tuned with the same budget, the same eight
learning rates between 0.003 and 1; its best one is then trained with five seeds that had no part in
the choice. The parent run in MLflow has `tuned of 8/relu` and so on: what a tuning of one, two, ...
eight tries is worth on average. Target: the least mean validation accuracy of each arm is in
TARGETS; sigmoid's is more than one learning rate for all gives it.
"""

from harness import Config, compare, mlp

TARGETS = {"relu": 0.965, "tanh": 0.965, "gelu": 0.965, "sigmoid": 0.96}


def space(activation):
    def one(trial):
        rate = trial.suggest_float("learning_rate", 0.003, 1.0, log=True)
        return Config(
            layers=mlp([784, 100, 50, 10], activation=activation, init="glorot"),
            update=f"momentum(learning_rate={rate}, decay=0.9)",
            epochs=5,
            valid=0.2,
        )

    return one


if __name__ == "__main__":
    arms = {activation: space(activation) for activation in TARGETS}
    print(compare("tuned", arms, points=8, seeds=5, workers=2).table())
