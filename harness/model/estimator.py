"""The class Model: all that a user does with one network."""

import os
import warnings
from pathlib import Path
from typing import Any, overload

import numpy as np

from harness import registry
from harness.boundary import foreign
from harness.config import Config, brief, refuse_unknown_fields
from harness.errors import LearningWarning, UsageError
from harness.model import fitting, online
from harness.model.film import shown_film, write_film
from harness.model.layers import Layer, trained_layers
from harness.model.learned import Learned
from harness.model.predicting import apply_in_batches, predict_features, score
from harness.model.rows import number_rows, read_features, scale_rows
from harness.model.saving import write_model
from harness.model.sources import source_of
from harness.model.weights import named_weights, set_weight
from harness.pictures.notebook import ShownFilm
from harness.storage.files import make_folder, write_whole


class Model:
    """One network and its training.

    With select="best" the weights of the best epoch are those that predict, are shown and are
    saved; `fit` goes on from the last epoch's all the same. `partial_fit` and setting a weight go
    on from the weights that are shown, and forget the best.

    Parameters
    ----------
    config : Config, optional
        How the network is made and trained.
    **changes
        Fields of a Config by name, as in Model(layers=mlp([784, 10]), update="sgd(0.5)"). With a
        config they replace its fields.

    Attributes
    ----------
    config : Config
        How the network is made and trained.
    history : list of dict
        One dict for each epoch of `fit`: epoch, step, train/loss, and where there is a validation
        part valid/loss and valid/... for each metric; time/epoch_... in seconds.
        pandas.DataFrame(net.history) is a table of them.

    Raises
    ------
    UsageError
        For bad input, and where training diverges. All methods raise it.

    Warns
    -----
    LearningWarning
        Where `fit` has taught the network little, with what to try.
    """

    def __init__(self, config: Config | None = None, /, **changes: Any) -> None:
        self.config: Config = _config(config, changes)
        self.history: list[dict[str, Any]] = []
        # None until the first training.
        self._learned: Learned | None = None

    def __repr__(self) -> str:
        layers = brief(" > ".join(map(registry.text, self.config.layers)))
        update = brief(registry.text(self.config.update))
        return f"Model({layers}; {update}; {self.epoch} epochs, {self.steps} steps)"

    def _repr_html_(self) -> str:
        from harness.model.display import model_as_html

        return model_as_html(self)

    @property
    def epoch(self) -> int:
        """How many epochs `fit` has trained."""
        if self._learned is None:
            return 0
        return self._learned.state["epoch"]

    @property
    def steps(self) -> int:
        """How many update steps there have been, those of `partial_fit` included."""
        if self._learned is None:
            return 0
        return self._learned.state["step"]

    @property
    def classes(self) -> np.ndarray | None:
        """The classes (K,) in the order of the outputs, as `predict` gives them.

        None for a regression.
        """
        return self._trained().schema.labels

    @property
    def features(self) -> tuple[str, ...] | None:
        """The names of the features in their order, as the data set or the table gave them.

        None where it has none. A table (pandas) that is given later is read by these names: its
        columns may have another order.
        """
        return self._trained().schema.columns

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The names of the columns whose texts the network has learned from.

        Empty where columns have no names.
        """
        encoding = self._trained().schema.fitted.encoding
        if encoding is None or not encoding.named:
            return ()
        return encoding.text_columns

    # Training -------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *,
        epochs: int | None = None,
        sample_weight: Any = None,
        valid: Any = None,
    ) -> "Model":
        """Trains for some epochs; called again, it goes on.

        The weights go on, the state of the update rule and of the layers, and the count of epochs,
        and with it the streams of data order and masks, so that each epoch has an order of its
        own. Classes and scaling stay those of the first fit. Early stopping goes on counting, from
        0 if it has stopped. On the same data fit(epochs=1) and fit(epochs=2) give the bits of
        fit(epochs=3), unless early stopping came between or the rule has a schedule: a schedule
        spreads over all epochs asked for up to now, so a later fit begins at the fraction that is
        behind it.

        Parameters
        ----------
        x : array (N, ...), table or Dataset, optional
            Raw rows to train on, or a data set. Without x and y it is the config's data set; for a
            network that is trained, the data that it was last fitted to.
        y : array (N,) or (N, K), optional
            Labels, whole numbers or strings; or rows for a regression, which is what a regression
            metric in the config says. A validation part is split off as the config says.
        epochs : int, optional
            How many epochs; config.epochs unless given.
        sample_weight : array (N,), optional
            A weight for each row of x, 0 or above. The loss of a batch of B rows is
            L = (1/B) sum_i w_i L_i, where w_i is the row's weight, times that of its class
            (class_weight), divided by the mean of these products over the training part: only
            ratios count, and in a full batch a row of weight 3 is the same as three rows. What is
            measured on the validation part weighs every row alike.
        valid : (x, y) or Dataset, optional
            A validation part of one's own, so that none is split off. Classes, scaling and the
            encoding of texts come from the training part alone.

        Returns
        -------
        Model
            The model itself.

        Raises
        ------
        UsageError
            For bad input, and where the loss is no longer finite.

        Warns
        -----
        LearningWarning
            Where the network has learned little.
        """
        # The config knows what a number of epochs may be.
        asked = self.config if epochs is None else self.config.replace(epochs=epochs)
        source = source_of(self.config, self._learned, x, y, sample_weight, valid)
        course = fitting.train(self.config, self._learned, source, asked.epochs)
        # What has happened is kept even where it is refused below, so that it can be looked at.
        self._learned = course.learned
        self.history += course.history
        course.refuse_divergence()
        warning = course.warning()
        if warning is not None:
            warnings.warn(warning, LearningWarning, stacklevel=2)
        course.print_early_stop()
        return self

    @foreign("a plugin")
    def partial_fit(
        self,
        x: Any,
        y: Any,
        *,
        classes: Any = None,
        fraction: float = 0.0,
        sample_weight: Any = None,
    ) -> "Model":
        """One update step on exactly these rows, one or many: the online case.

        Epochs, history, film and validation take no notice. A scale "auto" is /255 where the first
        rows are uint8, else none. Another number of rows than in the step before costs some
        milliseconds for new buffers.

        Parameters
        ----------
        x : array (B, ...) or table
            Raw rows.
        y : array (B,) or (B, K)
            Labels, or rows for a regression.
        classes : array, optional
            All labels that there will be. They are needed on the first call, unless `fit` came
            before, and are sorted as `fit` does it.
        fraction : float
            Where a schedule stands, in [0, 1]; 0 is its start. A stream has no end to plan for, so
            the schedule does not move by itself.
        sample_weight : array (B,), optional
            A weight for each row, 0 or above. L = (1/B) sum_i w_i L_i with the weights as they are
            given, times those of a class_weight that is a dict: a stream has no mean to divide
            them by.

        Returns
        -------
        Model
            The model itself.

        Raises
        ------
        UsageError
            For bad input, and where the loss is no longer finite.
        """
        fraction = online.share_of_schedule(fraction)
        step = online.next_step(self.config, self._learned, x, y, classes, sample_weight)
        # A plugin that fails in the step leaves a model with its initial weights.
        self._learned = step.learned
        step.take(fraction)
        return self

    # Asking ---------------------------------------------------------------------------------------

    def predict(self, x: Any) -> np.ndarray:
        """The labels of rows, in the user's own form; the outputs of a regression.

        After fit(x, y) labels have the type of y. The classes of a data set are names; where all of
        them are whole numbers, as those of MNIST, labels are int64.

        Parameters
        ----------
        x : array (N, ...) or table
            Raw rows.

        Returns
        -------
        numpy.ndarray
            Labels (N,), or rows (N, K) of a regression.
        """
        learned = self._trained()
        predictions = self._predictions(x)
        labels = learned.schema.labels
        if labels is None:
            return predictions
        return labels[np.argmax(predictions, axis=-1)]

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probabilities of the classes.

        They come from the loss's link: softmax for softmax_cross_entropy and focal; for
        binary_cross_entropy the logistic function (with one output both columns, with K outputs K
        answers that need not sum to 1); with squared_error and hinge the outputs as they are.

        Parameters
        ----------
        x : array (N, ...) or table
            Raw rows.

        Returns
        -------
        numpy.ndarray
            Probabilities (N, K), in the order of `classes`.

        Raises
        ------
        UsageError
            For a regression too.
        """
        if self._trained().schema.labels is None:
            raise UsageError(
                "predict_proba is for classification, and this network does regression; use predict"
            )
        return self._predictions(x)

    @foreign("a plugin")
    def score(self, x: Any = None, y: Any = None, metric: Any = None) -> float:
        """A metric on rows and their y, or on the data set's test part.

        This is the only place where a test part is looked at.

        Parameters
        ----------
        x : array (N, ...) or table, optional
            Raw rows; the test part unless given.
        y : array (N,) or (N, K), optional
            Their labels or targets.
        metric : spec, optional
            The metric, such as "accuracy"; config.metric unless given.

        Returns
        -------
        float
            The value of the metric.
        """
        return score(self._trained(), x, y, metric)

    # Taking apart ---------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All parameters by name, layer after layer, as read-only copies.

        {"0/W": (I, O), "0/b": (1, O), "2/W": ...}
        """
        return named_weights(self._trained())

    def __getitem__(self, name: str) -> np.ndarray:
        """A parameter by name, "0/W" or "0/b", as a read-only copy.

        Setting net["0/W"] = array writes it.
        """
        named = self.weights
        if name not in named:
            raise UsageError(
                f"the network has no parameter {name!r}; {registry.suggest(name, list(named))}"
            )
        return named[name]

    def __setitem__(self, name: str, value: Any) -> None:
        # Asking for the parameter refuses a name that there is not.
        shape = self[name].shape
        set_weight(self._trained(), name, value, shape)

    @property
    def layers(self) -> list[Layer]:
        """The network's layers as functions, in order, as they are now, in evaluation mode.

            h = x
            for f in net.layers:
                h = f(h)
            p = net.output(h)

        p is equal to net.predict_proba(x), or predict(x) of a regression, to the last bit. The
        first layer takes raw rows and scales them, as `scaled` does; layer k has the parameters
        "k/...". All go through batches of config.eval_batch rows, padded, as predict does: matrix
        products of other sizes may differ in the last bits, so x @ net["0/W"] by hand equals its
        layer up to rounding. The layers are made anew each time.
        """
        return trained_layers(self._trained())

    def scaled(self, x: Any) -> np.ndarray:
        """Rows as the network sees them.

        Parameters
        ----------
        x : array (N, ...) or table
            Raw rows.

        Returns
        -------
        numpy.ndarray
            (N, I), of config.dtype.
        """
        schema = self._trained().schema
        return scale_rows(read_features(x, schema), schema, self.config.dtype)

    def output(self, h: Any) -> np.ndarray:
        """Predictions from the outputs of the last layer: the loss's link, as in `predict_proba`.

        Parameters
        ----------
        h : array (N, O)
            What the last of `layers` returns.

        Returns
        -------
        numpy.ndarray
            Predictions (N, K).
        """
        learned = self._trained()
        network = learned.network()
        rows = number_rows(h, network.outputs, "outputs")
        return apply_in_batches(self.config, network.predict, rows, learned.schema.outputs)

    @overload
    def film(self, path: None = None, **settings: Any) -> ShownFilm: ...

    @overload
    def film(self, path: str | os.PathLike[str], **settings: Any) -> Path: ...

    def film(
        self, path: str | os.PathLike[str] | None = None, **settings: Any
    ) -> "Path | ShownFilm":
        """Shows the film of a layer's weights, or writes it: a frame for each recorded step.

        Parameters
        ----------
        path
            The file; without one the film is for a notebook, which plays it. It ends in .html (a
            page that plays it), .mp4 (enlarged, with steps, accuracy and its curve below), .gif or
            .png (the last frame).
        **settings
            Those of harness.frames (show, scaling, limit, columns, order, units, gap, zoom,
            colours, matrix), fps in frames a second, caption=False for an MP4 as it is, and every,
            which keeps the recorded frames whose step is a multiple of it. Unless given they are
            those of config.film, which also decides what is recorded.
            film(path, **harness.film_settings("article")) works.

        Returns
        -------
        pathlib.Path or ShownFilm
            The file, or what a notebook shows.
        """
        if path is None:
            return shown_film(self.config, self._learned, self.history, settings)
        return write_film(self.config, self._learned, self.history, path, settings)

    def pictures(self, folder: str | os.PathLike[str], *, over_time: bool = False) -> list[Path]:
        """Draws the network into PNG files, as many pictures as fit it and its data.

        Learning curves; for classes the confusion matrix, the surest mistakes, the network taken
        apart for one example, and with two features the decision boundary; for a regression
        predicted against true values; dead units; the curves of its activations. What is measured
        is the validation part, or the first training rows where there is none.

        Parameters
        ----------
        folder : path
            Where they go; it is made if need be.
        over_time : bool
            Whether to train the network once more, which stays as it is, in order to draw how its
            weights and the values after its layers spread from epoch to epoch. They are left out
            where one fit from the start does not lead to the same weights.

        Returns
        -------
        list of pathlib.Path
            The files.

        Raises
        ------
        UsageError
            Where the data that it learned from are not there any more.
        """
        from harness.model.pictures import pictures_of_model

        drawn = pictures_of_model(self, over_time=over_time)
        files = {Path(folder) / name: picture for name, picture in drawn.items()}
        make_folder(Path(folder))
        write_whole(files)
        return list(files)

    # Saving ---------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the model as one file: its arrays, and all else as JSON in the array `about`.

        The file is written beside its place and then moved there, so a reader finds the old one or
        the new one. Nothing is pickled, and the last 64 bytes are the SHA-256 of all before them.
        Film frames are not saved. The same model gives the same bytes except for the seconds in its
        history.

        Parameters
        ----------
        path
            Where to write it. Its name gets the suffix .npz where it has none; missing folders are
            made.

        Returns
        -------
        pathlib.Path
            The file.
        """
        return write_model(path, self._trained(), self.history)

    # Inside ---------------------------------------------------------------------------------------

    @classmethod
    def _of(cls, learned: Learned, history: list[dict[str, Any]]) -> "Model":
        """A model that has learned already."""
        net = cls(learned.config)
        net.history = history
        net._learned = learned
        return net

    def _trained(self) -> Learned:
        if self._learned is None:
            raise UsageError("the network is not trained yet; call fit first")
        return self._learned

    def _predictions(self, x: Any) -> np.ndarray:
        learned = self._trained()
        return predict_features(learned, read_features(x, learned.schema))


def _config(config: Config | None, changes: dict[str, Any]) -> Config:
    """The config that the arguments of a Model are."""
    refuse_unknown_fields(changes)
    if config is None:
        if "layers" not in changes:
            raise UsageError(
                "a Model needs a Config or layers, such as layers=mlp([784, 100, 10]), got neither"
            )
        return Config(**changes)
    if not isinstance(config, Config):
        raise UsageError(
            f"a Model takes a Config, or fields by name (layers=...), got {type(config).__name__}"
        )
    return config.replace(**changes)
