"""The built-in layers, one file each, and `mlp`, which turns sizes into a list of layers."""

from harness.builtin.layers.activate import activate
from harness.builtin.layers.alpha_dropout import alpha_dropout
from harness.builtin.layers.batch_norm import batch_norm
from harness.builtin.layers.crelu import crelu
from harness.builtin.layers.dense import dense
from harness.builtin.layers.dropconnect import dropconnect
from harness.builtin.layers.dropout import dropout
from harness.builtin.layers.frozen import frozen
from harness.builtin.layers.gaussian_noise import gaussian_noise
from harness.builtin.layers.glu import geglu, glu, swiglu
from harness.builtin.layers.highway import highway
from harness.builtin.layers.layer_norm import layer_norm, rms_norm
from harness.builtin.layers.maxout import maxout
from harness.builtin.layers.prelu import prelu
from harness.builtin.layers.residual import residual
from harness.builtin.layers.rrelu import rrelu
from harness.builtin.layers.scale import scale
from harness.builtin.layers.sizes import mlp

__all__ = [
    "activate",
    "alpha_dropout",
    "batch_norm",
    "crelu",
    "dense",
    "dropconnect",
    "dropout",
    "frozen",
    "gaussian_noise",
    "geglu",
    "glu",
    "highway",
    "layer_norm",
    "maxout",
    "mlp",
    "prelu",
    "residual",
    "rms_norm",
    "rrelu",
    "scale",
    "swiglu",
]
