"""A first sweep: which activation, update rule, learning rate and dropout suit MNIST?

    python experiments/first_sweep.py
    harness sweep experiments/first_sweep.py --trials 40

Each trial is a network 784-100-50-10 on the full training set. Started again, the sweep goes on
where it stopped. Target: the best of 24 trials has at least 0.965 validation accuracy.
"""

from harness import Config, mlp, sweep

TARGET = 0.965
# Each rule has a range of its own: a step of adam is about a hundredth of the others', momentum's
# sum is tenfold
RATES = {
    "sgd": (0.03, 1.0),
    "momentum": (0.003, 0.1),
    "nesterov": (0.003, 0.1),
    "adam": (0.0003, 0.01),
}


@sweep(name="first sweep", trials=24, workers=2, sampler="TPESampler", seed=1)
def space(trial):
    activation = trial.suggest_categorical("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
    rule = trial.suggest_categorical("rule", list(RATES))
    rate = trial.suggest_float(f"{rule}_rate", *RATES[rule], log=True)
    dropout = trial.suggest_categorical("dropout", [0.0, 0.1, 0.3])
    return Config(
        layers=mlp([784, 100, 50, 10], activation=activation, dropout=dropout),
        update={"name": rule, "learning_rate": rate},
        epochs=15,
        valid=0.2,
    )


if __name__ == "__main__":
    print(space.run().table())
