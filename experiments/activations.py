"""What the article wanted to do next: compare activation functions.

    python experiments/activations.py

Five activations in the same network, 784-100-50-10, with the same data, order of the data and
seeds; five epochs of momentum at one learning rate that suits all of them. First form: no arm is
tuned, so this compares them at one fair setting and no other. Target: the least mean validation
accuracy of each arm is in TARGETS.
"""

from harness import Config, compare, mlp

TARGETS = {"relu": 0.965, "leaky_relu": 0.965, "tanh": 0.965, "sigmoid": 0.94, "identity": 0.9}

arms = {
    name: Config(
        layers=mlp([784, 100, 50, 10], activation=name, init="glorot"),
        update="momentum(learning_rate=0.05, decay=0.9)",
        epochs=5,
        valid=0.2,
    )
    for name in TARGETS
}

if __name__ == "__main__":
    print(compare("activations", arms, seeds=5, workers=2).table())
