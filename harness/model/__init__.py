"""One network in a user's hands, without a sweep: fit it, ask it, look into it, save it.

    net = Model(layers=mlp([784, 100, 50, 10]), update="sgd(0.5)", batch=100, epochs=3).fit()
    net.predict(x), net.predict_proba(x), net.score(), net["0/W"], net.save("models/first")

Inputs are always raw: the model scales them as it did its training part, and the scaling is saved
with it.
"""

from harness.model.estimator import Model
from harness.model.loading import load_saved, model_in
from harness.model.of_run import model_of_run

__all__ = ["Model", "load_saved", "model_in", "model_of_run"]
