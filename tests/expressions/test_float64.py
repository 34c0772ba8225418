"""Compiled loops in float64: which graphs are loops there, and that they say what passes say."""

import numpy as np
import pytest
from siblings import quick

from harness import Config, prepare, segment
from harness.expressions import backend

pytest.importorskip("numba", reason="Numba has no wheel for this processor")

# Each kind of loop that a layer has; gelu and the gate of glu are passes in float64.
NETWORKS = {
    "relu": ["dense(6)", "relu"],
    "no activation": ["dense(6)"],
    "gelu": ["dense(6)", "gelu"],
    "dropout": ["dense(6)", "leaky_relu", "dropout(0.3)"],
    "batch_norm": ["dense(6)", "batch_norm", "softsign"],
    "layer_norm": ["dense(6)", "layer_norm", "hard_tanh"],
    "maxout": ["maxout(5)"],
    "glu": ["glu(5, gate=hard_sigmoid)"],
    "glu, its gate in passes": ["glu(5)"],
}


def trained(layers: list[str], kernels: str, seeds: tuple[int, ...] = (0,)) -> list[np.ndarray]:
    """The parameters of networks after an epoch of digits, trained as a population."""
    config = Config(
        layers=[*layers, "dense(10)"],
        data="mnist14(rows=100)",
        batch=32,
        epochs=1,
        update="momentum(0.05)",
        dtype="float64",
        film=None,
    )
    with backend.using(kernels):
        data = prepare(config)
        if len(seeds) == 1:
            return [segment(config.replace(seed=seeds[0]), data, epochs=1)[0]["theta"]]
        states = segment([config.replace(seed=seed) for seed in seeds], data, epochs=1)[0]
        return [state["theta"] for state in states]


@pytest.mark.parametrize("layers", quick(NETWORKS, ("relu", "layer_norm")))
def test_loops_stay_near_passes_and_a_member_has_the_bits_of_a_network_alone(layers: str) -> None:
    members = trained(NETWORKS[layers], "numba", (3, 4))
    (alone,) = trained(NETWORKS[layers], "numba", (4,))
    (passes,) = trained(NETWORKS[layers], "numpy", (4,))
    assert alone.dtype == np.float64
    np.testing.assert_array_equal(members[1], alone)
    np.testing.assert_allclose(alone, passes, rtol=1e-11, atol=1e-14)
