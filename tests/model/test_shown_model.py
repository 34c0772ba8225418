"""What a model shows in a notebook."""

import numpy as np
import pytest

from harness import Config, Model, UsageError, mlp


def config(**changes: object) -> Config:
    given = {"data": "mnist14(rows=600)", "layers": mlp([196, 8, 10]), "update": "sgd(0.1)"}
    return Config(**{**given, "batch": 50, "epochs": 2, **changes})


def test_a_model_shows_its_layers_and_its_score() -> None:
    net = Model(config())
    assert "not trained yet" in net._repr_html_()
    assert "dense(units=8)" in net._repr_html_()
    net.fit()
    shown = net._repr_html_()
    score = net.history[-1]["valid/accuracy"]
    assert f"<strong>validation accuracy {score:.4f} after epoch 2</strong>" in shown
    # 196 * 8 weights and 8 biases
    assert ">1576</td>" in shown
    assert shown.count("<img ") == 1
    assert "2 epochs, 20 steps; sgd(learning_rate=0.1), batch 50" in shown
    assert len(repr(net).splitlines()) == 1


def test_the_score_is_that_of_the_weights_that_are_kept() -> None:
    net = Model(config(select="best", update="sgd(1.5)", epochs=4)).fit()
    best = max(net.history, key=lambda epoch: epoch["valid/accuracy"])
    assert f"{best['valid/accuracy']:.4f} after epoch {best['epoch']}" in net._repr_html_()


def test_what_was_trained_by_single_steps_is_shown_too() -> None:
    net = Model(layers=mlp([2, 3, 2]))
    net.partial_fit(np.eye(2), [0, 1], classes=[0, 1])
    assert "0 epochs, 1 steps" in net._repr_html_()
    assert "not trained" not in net._repr_html_()


def test_a_film_without_a_path_is_shown() -> None:
    net = Model(config()).fit()
    film = net.film()
    assert "&quot;steps&quot;" in film._repr_html_()
    assert film._repr_png_().startswith(b"\x89PNG")
    assert len(net.film(every=10)._repr_html_()) < len(film._repr_html_())
    with pytest.raises(UsageError, match="a film has no setting 'zom'; did you mean 'zoom'"):
        net.film(zom=2)
    with pytest.raises(UsageError, match="a film needs frames that fit has recorded"):
        Model(config()).film()
