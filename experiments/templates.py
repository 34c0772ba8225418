"""No hidden layer: the weights of each digit become a template of it, a little over 90 % right.

    python experiments/templates.py

One epoch of minibatches of 100 at learning rate 0.5, three seeds, on all 60,000 training digits.
The test set is used once, for the score. Two films of the first seed are written to mlruns/films:
the article's square (2 5 8 / 1 4 7 / 0 3 6) and all ten digits. Target: the median of three test
accuracies is at least 0.90.
"""

from statistics import median

from harness import Config, Model, film_settings, find_root, plain_end

TARGET = 0.90
SEEDS = (0, 1, 2)

config = Config(
    layers=["dense(10, init=zeros)"],
    scale="/256",
    valid=0,
    batch=100,
    epochs=1,
    update="sgd(0.5)",
    film="film(every=4)",
)

if __name__ == "__main__":
    with plain_end(__file__):
        scores = []
        for seed in SEEDS:
            net = Model(config.replace(seed=seed)).fit()
            scores.append(net.score())
            print(f"seed {seed}: test accuracy {scores[-1]:.4f}")
            if seed == SEEDS[0]:
                for name in ("square", "digits"):
                    layout = {k: v for k, v in film_settings(name).items() if k != "every"}
                    for suffix in ("mp4", "gif"):
                        print(
                            "film:",
                            net.film(
                                find_root() / "mlruns" / "films" / f"templates-{name}.{suffix}",
                                **layout,
                            ),
                        )
        print(f"median {median(scores):.4f} (target {TARGET})")
