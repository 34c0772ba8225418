"""What it costs a trial to be live: one of about ten seconds, with a point after each two seconds
and written once, in turn, in one process.

    python tests/live_cost.py ROUNDS

Each line has the seconds of a whole sweep of that one trial, which are the same beside training.
"""

import harness  # isort: skip  # first: it sets one BLAS thread

import os
import statistics
import sys
import tempfile
import time

from harness import Config, mlp, sweep
from harness.studies import dispatch


def seconds(name: str, live: float, epochs: int) -> float:
    """The time of a sweep of one trial, whose jobs carry so many seconds of training."""
    dispatch.LIVE = live

    @sweep(name=name, sampler="RandomSampler", seed=1)
    def space(trial):
        rate = trial.suggest_float("rate", 0.05, 0.1)
        layers = mlp([784, 100, 50, 10])
        return Config(layers=layers, update=f"sgd({rate})", epochs=epochs, batch=100, film=None)

    begun = time.perf_counter()
    space.run(trials=1)
    return time.perf_counter() - begun


def main() -> None:
    os.environ["HARNESS_ROOT"] = tempfile.mkdtemp()
    os.environ["HARNESS_REPORT"] = "0"
    kinds = {"live": dispatch.LIVE, "once": 1e9}
    seconds("warm", dispatch.LIVE, 1)
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for k in range(int(sys.argv[1])):
        for kind in sorted(kinds, reverse=bool(k % 2)):
            found[kind].append(seconds(f"{kind} {k}", kinds[kind], 36))
            print(f"{kind} {found[kind][-1]:.2f}", flush=True)
    medians = {kind: statistics.median(times) for kind, times in found.items()}
    print(f"medians {medians}, ratio {medians['live'] / medians['once']:.3f}")


if __name__ == "__main__":
    print(f"harness {harness.__version__}")
    main()
