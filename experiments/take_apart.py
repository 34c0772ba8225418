"""A trained network taken apart: one digit piped through its layers by hand, as the article does
with magrittr.

    python experiments/take_apart.py [SEED]

Trains the article's network, picks a random digit, pipes it through the layers, compares with
predict, and draws the digit beside its probabilities. SEED (default 1) chooses the digit; the same
seed chooses the same one. Target: the piped probabilities equal those of predict_proba exactly, the
matrices by hand to 1e-6.
"""

import sys

import numpy as np

from harness import Config, Model, UsageError, find_root, load, mlp, plain_end

TOLERANCE = 1e-6
weights = "normal(std=0.01, positive=True)"
config = Config(
    layers=mlp([784, 100, 50, 10], init=weights, bias=weights),
    scale="/256",
    valid=0.3,
    update="sgd(0.5)",
    film=None,
)


def piped(net, x):
    """The layers one after the other, then the softmax. The first layer takes raw pixels and scales
    them.
    """
    h = x
    for layer in net.layers:
        h = layer(h)
    return net.output(h)


def by_hand(net, x):
    """The same with nothing but the weight matrices."""
    h = x / np.float32(256)
    for name in ("0", "2"):
        h = np.maximum(h @ net[f"{name}/W"] + net[f"{name}/b"], 0)
    z = h @ net["4/W"] + net["4/b"]
    e = np.exp(z - z.max())
    return e / e.sum()


def draw(digit, label, probabilities, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(8, 3.2), width_ratios=(1, 2), layout="constrained"
    )
    left.imshow(digit, cmap="gray_r")
    left.set(title=f"label: {label}", xticks=[], yticks=[])
    right.bar(range(10), probabilities, color="0.35")
    right.set(title="probabilities", xlabel="digit", xticks=range(10), ylim=(0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    with plain_end(__file__):
        given = sys.argv[1] if len(sys.argv) > 1 else "1"
        if not given.isdecimal():
            raise UsageError(f"SEED must be a whole number, got {given!r}; give one such as 7")
        seed = int(given)
        net, mnist = Model(config).fit(), load("mnist")
        k = np.random.default_rng(seed).integers(len(mnist.x))
        x, label = mnist.x[k : k + 1], mnist.y[k]
        p = piped(net, x)[0]
        path = find_root() / "mlruns" / "take_apart.png"
        draw(x.reshape(28, 28), label, p, path)
        print(
            f"training digit {k}, label {label}; the network says {net.predict(x)[0]}, "
            f"{p.max():.1%} certain; picture: "
            f"{path}"
        )
        print(
            "\n".join(
                f"{digit} {share:7.4f} {'#' * round(50 * share)}" for digit, share in enumerate(p)
            )
        )
        print("piped = predict_proba:", bool((p == net.predict_proba(x)[0]).all()))
        print("by hand within", TOLERANCE, ":", bool(np.abs(by_hand(net, x) - p).max() < TOLERANCE))
