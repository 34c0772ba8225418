"""The network of the article: 784-100-50-10, relu, minibatches of 100, three epochs, 30 % kept for
validation.

    python experiments/article.py

The article sums the gradient over the batch, so its eta of 0.005 is a learning rate of 0.5 for the
mean loss. The film of the first seed is the article's: every fourth minibatch, 10 by 10 tiles,
ranked to normal quantiles, twice the size. The second arm shows what the article warns of: if the
learning rate is far too large, nothing is learned. Target: median validation accuracy of five seeds
at least 0.95, none under 0.93.
"""

from harness import Config, compare, film_settings, mlp

TARGET, LEAST = 0.95, 0.93
SEEDS = (0, 1, 2, 3, 4)
weights = "normal(std=0.01, positive=True)"

article = Config(
    layers=mlp([784, 100, 50, 10], activation="relu", init=weights, bias=weights),
    data="mnist",
    scale="/256",
    valid=0.3,
    batch=100,
    epochs=3,
    update="sgd(0.5)",
    film={"name": "film", **film_settings("article"), "formats": ["mp4", "gif"]},
)
too_large = article.replace(update="sgd(50.0)", film=None)

if __name__ == "__main__":
    result = compare("article", {"article": article, "eta far too large": too_large}, seeds=SEEDS)
    print(result.table())
    values = sorted(result.values["article"])
    print(f"median {values[2]:.4f} (target {TARGET}), least {values[0]:.4f} (target {LEAST})")
