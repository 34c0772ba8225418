"""Model: one network in a user's hands, without a sweep or a tracker: fit it, ask it, take it
apart, save it.

    net = Model(layers=mlp([784, 100, 50, 10]), update="sgd(0.5)", batch=100, epochs=3).fit()
    net.predict(x), net.predict_proba(x), net.score(), net["0/W"], net.save("models/first")

Inputs are always raw: the model scales them as it did its training part, and the scaling is saved
with it.
"""

import hashlib
import io
import json
import os
import platform
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import checks, registry
from harness.boundary import foreign
from harness.config import Config, brief
from harness.data import Dataset, from_arrays, indicator, with_validation, with_weights
from harness.data.encoding import Encoding
from harness.data.fitted import Fitted, describe
from harness.data.labels import Places, label_name, read_labels
from harness.data.loading import load_for
from harness.data.reading import read_table
from harness.data.scaling import Scaling, apply_scale, fit_scale
from harness.data.table import Table
from harness.data.weights import read_weights
from harness.engine.network import Network, build
from harness.errors import LearningWarning, UsageError
from harness.ops import ops_for
from harness.storage.files import write_whole
from harness.training.advice import advice, scale_remedy
from harness.training.batches import check
from harness.training.course import early_stop
from harness.training.networks import construct
from harness.training.prepare import prepare
from harness.training.prepared import Data
from harness.training.scoring import evaluate
from harness.training.segment import segment
from harness.training.state import State, arrays_of, fresh, restore
from harness.training.weights import class_weights
from harness.version import version

FORMAT = "harness model"
VERSION = 2  # of the two files; a reader refuses a newer one
_ONLINE = 1 << 32  # random streams of partial_fit, apart from those of epochs
_DIVERGED = 2  # as state["stopped"]; 1 is early stopping, after which one may go on
_STUCK = "training has diverged, so it cannot go on; make a new Model with a lower learning rate"
_FILM = ("scaling", "limit", "columns", "order", "units", "gap", "zoom")


@dataclass(frozen=True)
class _Facts:
    """What a model knows of its data: how to read inputs and how to name outputs."""

    features: int
    # Columns of targets and predictions; binary_cross_entropy may make two of them from one output
    outputs: int
    labels: np.ndarray | None  # (K,) the classes as the user writes them; None for a regression
    fitted: Fitted  # how a table becomes features, and their scale
    shape: tuple[int, int] | None = None
    columns: tuple[str, ...] | None = None  # the names of the features, where the data set has some
    # Name, digest, own (it is config.data) of the data set last fitted
    data: dict[str, Any] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return () if self.labels is None else tuple(map(label_name, self.labels))

    @property
    def task(self) -> str:
        return "regression" if self.labels is None else "classification"


class Model:
    """One network and its training.

    config   a Config, or its fields by keyword: Model(layers=mlp([784, 10]), update="sgd(0.5)"); with both, the
             keywords replace fields. Kept as net.config
    history  net.history: one dict per epoch (epoch, step, train/loss, valid/..., time/...); a table is
             pandas.DataFrame(net.history)

    With select="best" the weights of the best epoch are those that predict, are shown and are
    saved; `fit` goes on from the last epoch's all the same. `partial_fit` and setting a weight go
    on from the weights that are shown, and forget the best. Errors: UsageError for bad input, and
    where training diverges. A LearningWarning says where `fit` has taught it little, and what to
    try.
    """

    def __init__(self, config: Config | None = None, /, **changes: Any):
        names = [f.name for f in fields(Config)]
        for key in changes:
            if key not in names:
                raise UsageError(f"a config has no field {key!r}; {registry.suggest(key, names)}")
        if config is None:
            if "layers" not in changes:
                raise UsageError(
                    "a Model needs a Config or layers, such as layers=mlp([784, 100, "
                    "10]), got neither"
                )
            config = Config(**changes)
        elif not isinstance(config, Config):
            raise UsageError(
                f"a Model takes a Config, or fields by name (layers=...), got "
                f"{type(config).__name__}"
            )
        elif changes:
            config = config.replace(**changes)
        self.config: Config = config
        self.history: list[dict[str, Any]] = []
        self._facts: _Facts | None = None
        self._source: Dataset | None = None
        self._state: State | None = None
        # The network that answers and takes single steps, and for how many rows. While _ahead, its
        # arrays are newer than those of _state.
        self._network: tuple[int, Network] | None = None
        self._ahead = False

    def __repr__(self) -> str:
        layers = brief(" > ".join(map(registry.text, self.config.layers)))
        update = brief(registry.text(self.config.update))
        return f"Model({layers}; {update}; {self.epoch} epochs, {self.steps} steps)"

    @property
    def epoch(self) -> int:
        """How many epochs `fit` has trained."""
        return 0 if self._state is None else self._state["epoch"]

    @property
    def steps(self) -> int:
        """How many update steps there have been, those of partial_fit included."""
        return 0 if self._state is None else self._state["step"]

    @property
    def classes(self) -> np.ndarray | None:
        """The classes (K,) in the order of the outputs, as predict gives them; None for a
        regression.
        """
        return self._known().labels

    @property
    def features(self) -> tuple[str, ...] | None:
        """The names of the features in their order, as the data set or the table gave them; None
        where it has none.

        A table (pandas) that is given later is read by these names: its columns may have another
        order.
        """
        return self._known().columns

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The names of the columns whose texts the network has learned from; none where columns
        have no names.
        """
        encoding = self._known().fitted.encoding
        return encoding.text_columns if encoding is not None and encoding.named else ()

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
        """Trains for `epochs` (default: config.epochs) epochs and returns itself; again, and it
        goes on.

        x, y   nothing: the config's data set; for a network that is trained, the data that it was last fitted to. A
               Dataset. Or arrays: x (N, ...) raw numbers, y (N,) labels, whole numbers or strings,
               or rows (N, O) for a regression, which is what a regression metric in the config
               says. The validation part is split off as the config says.
        sample_weight   (N,) a weight for each row of x, 0 or above. The loss of a batch of B rows is
               L = (1/B) sum_i w_i L_i, where w_i is the row's weight, times that of its class
               (class_weight), divided by the mean of these products over the training part: only
               ratios count, and in a full batch a row of weight 3 is the same as three rows. What
               is measured on the validation part weighs every row alike.
        valid  (x, y), or a Dataset: a validation part of one's own, so that none is split off. Classes, scaling and
               the encoding of texts come from the training part alone.

        What goes on: the weights, the rule's and the layers' state, the count of epochs, and with
        it the streams of data order and masks, so that each epoch has an order of its own. Classes
        and scaling stay those of the first fit. Early stopping goes on counting, from 0 if it has
        stopped. On the same data fit(epochs=1) and fit(epochs=2) give the bits of fit(epochs=3),
        unless early stopping came between or the rule has a schedule: a schedule spreads over all
        epochs asked for up to now, so a later fit begins at the fraction that is behind it.
        """
        more = self.config.epochs if epochs is None else self.config.replace(epochs=epochs).epochs
        source, labels, own = self._asked_for(x, y, sample_weight, valid)
        facts, data = self._prepare(source, labels, own)
        if self._facts is None:
            _say(source, [*source.notes, *describe(data.fitted, self.config.scale)])
        state = self._take()
        done = 0 if state is None else state["epoch"]
        config = self.config.replace(epochs=done + more)
        # The step at which segment begins; it counts steps as if all epochs had been alike
        begin = 0
        if state is not None:
            if state["stopped"] == _DIVERGED:
                raise UsageError(_STUCK)
            begin = done * check(config, data).steps
            state = {**state, "step": begin, "film/steps": [], "film/frames": []}
            if state["stopped"]:
                state |= {"stopped": 0, "waited": 0}
            if self._facts is not None and (self._facts.data or {}).get("digest") != source.digest:
                # Measured on other data
                for key in [k for k in state if k.startswith("best/") or k == "lowest"]:
                    state.pop(key, None)
                state["waited"] = 0
        new, records = segment(config, data, state)
        before = self.steps - begin
        new["step"] += before
        new["film/steps"] = [*self._film[0], *(step + before for step in new["film/steps"])]
        new["film/frames"] = [*self._film[1], *new["film/frames"]]
        bad = records[-1].bad_step if records else None
        if bad is not None:
            new["stopped"] = _DIVERGED
        self._facts, self._source, self._state = facts, source, new
        self._network, self._ahead = None, False
        for r in records:
            seconds = {f"time/epoch_{name}": value for name, value in r.seconds.items()}
            self.history.append({"epoch": r.epoch, "step": r.step + before, **r.metrics, **seconds})
        if bad is not None:
            remedy = scale_remedy(data)
            raise UsageError(
                f"the loss is not finite at step {bad + before}: "
                f"{_STUCK}{', or ' if remedy else ''}{remedy}"
            )
        poor = advice(config, data, new, records)
        if poor is not None:
            warnings.warn(poor.sentence, LearningWarning, stacklevel=2)
        if stopped := early_stop(config, new, records):
            print(stopped, file=sys.stderr)
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
        """One update step on exactly these rows (the online case), one row or many; returns itself.

        x (B, ...), y (B,) labels or (B, O) rows. classes: all labels there will be, wanted on the
        first call unless fit came before; sorted, as fit does it. fraction: where a schedule
        stands, since a stream has no end to plan for; 0, its start, if not given. A scale "auto" is
        /255 where the first rows are uint8, else none. Epochs, history, film and validation take no
        notice. Changing batch sizes cost some milliseconds for new buffers. sample_weight: (B,) a
        weight for each row, 0 or above; L = (1/B) sum_i w_i L_i, with the weights as they are
        given, times those of a class_weight that is a dict: a stream has no mean to divide them by.
        """
        must = "says where a schedule stands and must lie in [0, 1]"
        fraction = checks.real("fraction", fraction, lambda share: 0 <= share <= 1, must)
        if self.config.class_weight == "balanced":
            raise UsageError(
                "partial_fit has no training part to balance classes by; give class_weight as a "
                "dict, or use fit"
            )
        first = self._facts is None
        facts = self._meet(x, y, classes) if first else self._known()
        if (
            not first
            and classes is not None
            and tuple(map(label_name, np.unique(read_labels(classes, "classes")))) != facts.names
        ):
            raise UsageError(
                f"classes cannot change once they are known ({_some(facts.names)}); "
                f"leave classes out"
            )
        rows = self._read(x, facts)
        targets = self._targets(y, len(rows), facts)
        if not len(rows):
            raise UsageError("partial_fit needs at least one row, got none")
        if self._state is not None and self._state["stopped"] == _DIVERGED:
            raise UsageError(_STUCK)
        ops, dtype = ops_for(self.config.device), np.dtype(self.config.dtype)
        x = ops.asarray(_scaled(rows, facts, dtype))
        t = (
            targets.astype(dtype)
            if facts.labels is None
            else indicator(targets, facts.outputs, dtype)
        )
        weights = self._weights_of_rows(targets, facts, sample_weight)
        if weights is not None:
            t = np.column_stack([t, weights.astype(dtype)])
        if first:  # nothing of the model has changed up to here
            network = construct(self.config, _stub(facts, self.config), rows=len(rows))
            network.initialize()
            self._facts, self._state, self._network, self._ahead = (
                facts,
                fresh(),
                (len(rows), network),
                True,
            )
        network = self._net(len(rows))
        state = self._settle(network)
        network.rekey(_ONLINE + state["step"])
        with ops.quiet():
            loss = network.step(x, ops.asarray(t), fraction)
        self._ahead = True
        state["step"] += 1
        if not np.isfinite(float(loss)):
            state["stopped"] = _DIVERGED
            raise UsageError(f"the loss is not finite at step {state['step']}: {_STUCK}")
        return self

    # Asking ---------------------------------------------------------------------------------------

    def predict(self, x: Any) -> np.ndarray:
        """Labels (N,) of raw rows x (N, ...), in the user's own form; rows (N, O) for a regression.

        After fit(x, y) labels have the type of y. The classes of a data set are names; where all of
        them are whole numbers, as those of MNIST, labels are int64.
        """
        facts, found = self._known(), self._predictions(x)
        return found if facts.labels is None else facts.labels[np.argmax(found, axis=-1)]

    def predict_proba(self, x: Any) -> np.ndarray:
        """Probabilities (N, K) of the classes, in the order of `classes`, for raw rows x (N, ...).

        They come from the loss's link: softmax for softmax_cross_entropy and focal; for
        binary_cross_entropy the logistic function (with one output both columns, with K outputs K
        answers that need not sum to 1); with squared_error and hinge the outputs as they are.
        """
        if self._known().labels is None:
            raise UsageError(
                "predict_proba is for classification, and this network does regression; use predict"
            )
        return self._predictions(x)

    @foreign("a plugin")
    def score(self, x: Any = None, y: Any = None, metric: Any = None) -> float:
        """The metric (default: config.metric) on raw rows x and their y; without them on the data
        set's test part.

        This is the only place where a test part is looked at.
        """
        facts = self._known()
        spec = self.config.metric if metric is None else registry.canonical("metric", metric)
        task = registry.find("metric", spec["name"]).options["task"]
        if task != facts.task:
            raise UsageError(
                f"metric {spec['name']!r} is for {task}, this network for "
                f"{facts.task}; choose another"
            )
        if (x is None) != (y is None):
            raise UsageError(
                "score takes both x and y, or neither for the data set's test part; got one of them"
            )
        if x is None:
            test = self._test()
            rows = self._read(test.test_table(), facts)
            targets = test.y_test
        else:
            rows = self._read(x, facts)
            targets = self._targets(y, len(rows), facts)
        if not len(rows):
            raise UsageError("score needs at least one row, got none")
        return float(registry.make("metric", spec)(self._answers(rows), targets))

    # Taking apart ---------------------------------------------------------------------------------

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """All parameters by name, layer after layer: {"0/W": (I, O), "0/b": (1, O), "2/W": ...};
        read-only copies.
        """
        network, named = self._net(), {}
        flat = self._theta(network)
        for name in sorted([*network.arena.slices, *network.frozen], key=_place):
            value = (
                network.frozen[name] if name in network.frozen else network.arena.view(flat, name)
            )
            named[name] = np.array(ops_for(self.config.device).to_host(value))
            named[name].flags.writeable = False
        return named

    def __getitem__(self, name: str) -> np.ndarray:
        """A parameter by name, "0/W" or "0/b": a read-only copy. Setting net["0/W"] = array writes
        it.
        """
        named = self.weights
        if name not in named:
            raise UsageError(
                f"the network has no parameter {name!r}; {registry.suggest(name, list(named))}"
            )
        return named[name]

    def __setitem__(self, name: str, value: Any) -> None:
        new, wanted = np.asarray(value), self[name].shape
        if new.dtype.kind not in "biuf" or new.shape != wanted:
            raise UsageError(
                f"{name!r} must be numbers of shape {wanted}, got {new.dtype} "
                f"{new.shape}; correct it"
            )
        if not np.isfinite(new).all():
            raise UsageError(f"{name!r} must be finite, got NaN or infinity; give finite numbers")
        network = self._net()
        if network.theta is not None:
            rule = self.config.update["name"]
            raise UsageError(
                f"rule {rule!r} predicts with weights of its own, which cannot be "
                f"set; use another rule"
            )
        self._settle(network)
        arena = network.arena
        target = network.frozen[name] if name in network.frozen else arena.view(arena.value, name)
        target[...] = arena.xp.asarray(new, target.dtype)
        self._ahead = True

    @property
    def layers(self) -> list["Layer"]:
        """The network's layers as functions, in order, as they are now, in evaluation mode; made
        anew each time.

        h = x
        for f in net.layers:
            h = f(h)
        p = net.output(h)        # equal to net.predict_proba(x), or predict(x) of a regression, to the last bit

        The first takes raw rows and scales them, as `scaled` does; layer k has the parameters
        "k/...". All go through batches of config.eval_batch rows, padded, as predict does: matrix
        products of other sizes may differ in the last bits, so x @ net["0/W"] by hand equals its
        layer up to rounding.
        """
        config, network, facts = self.config, self._net(), self._known()
        named, features, made = self.weights, facts.features, []
        ops, size = ops_for(config.device), config.eval_batch
        for k, spec in enumerate(config.layers):
            one = build(
                [spec], features, loss="squared_error", rule="sgd", seeds=[config.seed], lead=(), batch=1,
                eval_batch=size, dtype=config.dtype, ops=ops,
            )  # fmt: skip

            def whole(path: str, k: int = k) -> str:
                return f"{k}{path[1:]}"  # alone, a layer is layer 0

            for path in one.arena.slices:
                one.arena.view(one.arena.value, path)[...] = ops.asarray(named[whole(path)])
            for path, target in one.frozen.items():
                target[...] = ops.asarray(named[whole(path)])
            for path, target in one.layer_state.items():
                target[...] = network.layer_state[whole(path)]
            made.append(Layer(self, spec, one.evaluate, features, one.outputs, raw=k == 0))
            features = one.outputs
        return made

    def scaled(self, x: Any) -> np.ndarray:
        """Raw rows (N, ...) as the network sees them: (N, I) of config.dtype."""
        facts = self._known()
        return _scaled(self._read(x, facts), facts, self.config.dtype)

    def output(self, h: Any) -> np.ndarray:
        """The last layer's outputs h (N, O) -> predictions (N, K): the loss's link, as in
        predict_proba.
        """
        facts, network = self._known(), self._net()
        return self._padded(network.predict, _rows(h, network.outputs, "outputs"), facts.outputs)

    def film(self, path: str | os.PathLike[str], **settings: Any) -> Path:
        """Writes the film of the first layer's weights, one frame for each step recorded by fit;
        returns the path.

        path      ends in .gif, .mp4, .html (a page that plays it) or .png (the last frame)
        settings  those of harness.frames (scaling, limit, columns, order, units, gap, zoom), fps, and every,
                  which keeps the recorded frames whose step is a multiple of it; defaults are those
                  of config.film, which also decides what is recorded. film(path,
                  **harness.film_settings("article")) works.
        """
        from harness.pictures import film as room  # the encoders are only needed here

        target, known = Path(path), (*_FILM, "fps", "every")
        for key in settings:
            if key not in known:
                raise UsageError(f"a film has no setting {key!r}; {registry.suggest(key, known)}")
        encode: dict[str, Callable[[np.ndarray, float], bytes]] = {
            ".gif": lambda grey, fps: room.gif(grey, fps=fps),
            ".mp4": lambda grey, fps: room.mp4(grey, fps=fps),
            ".html": lambda grey, fps: room.player(
                room.mp4(grey, fps=fps), [step for step, _ in kept]
            ),
            ".png": lambda grey, fps: room.png(grey[-1]),
        }
        if target.suffix.lower() not in encode:
            raise UsageError(
                f"a film's file must end in .gif, .mp4, .html or .png, got "
                f"{str(path)!r}; choose one"
            )
        chosen: dict[str, Any] = {}
        if self.config.film is not None:
            given = registry.arguments(
                registry.find("recorder", self.config.film["name"]), self.config.film
            )
            chosen = {key: given[key] for key in (*_FILM, "fps") if given.get(key) is not None}
        chosen |= settings
        every, fps = chosen.pop("every", 1), chosen.pop("fps", 10)
        every = checks.whole("every", every, 1)
        kept = [(step, w) for step, w in zip(*self._film, strict=True) if step % every == 0]
        if not kept:
            raise UsageError(
                "a film needs frames that fit has recorded in this process, got none; "
                "set film and fit"
            )
        grey = room.frames(np.stack([w for _, w in kept]), self._known().shape, **chosen)
        write_whole({target: encode[target.suffix.lower()](grey, fps)})
        return target

    # Saving ---------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes path.npz (arrays) and path.json (all else, and the SHA-256 of both); returns the
        JSON's path.

        A suffix .npz or .json is taken off first; missing folders are made. Both files are written
        beside their places and then moved there, the arrays first, so a reader finds the old pair
        or the new one; only a crash between the two moves leaves a pair that load_model refuses.
        Nothing is pickled. Film frames are not saved. The same model gives the same bytes except
        for the seconds in its history.
        """
        facts, state = self._known(), self._take()
        assert state is not None  # what is known came with a state
        scalars = {k: v for k, v in state.items() if not isinstance(v, np.ndarray | list)}
        file = io.BytesIO()
        named: dict[str, Any] = {k: v for k, v in state.items() if isinstance(v, np.ndarray)}
        np.savez(file, **named)
        arrays, base, labels = file.getvalue(), _base(path), facts.labels
        about = {
            "format": FORMAT,
            "version": VERSION,
            "config": asdict(self.config),
            "features": facts.features,
            "outputs": facts.outputs,
            "classes": None
            if labels is None
            else {"dtype": labels.dtype.str, "labels": labels.tolist()},
            "scale": facts.fitted.scale,
            "scaling": dict(
                zip(
                    ("shift", "divisor"),
                    (part.tolist() for part in facts.fitted.scaling),
                    strict=True,
                )
            ),
            "encoding": None if facts.fitted.encoding is None else facts.fitted.encoding.to_json(),
            "shape": facts.shape,
            "columns": facts.columns,
            "data": facts.data,
            "weights": {name: list(value.shape) for name, value in self.weights.items()},
            "state": scalars,
            "history": [{k: _finite(v) for k, v in epoch.items()} for epoch in self.history],
            "versions": {
                "harness": version(),
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "plugins": registry.plugins(),
            "sha256": hashlib.sha256(arrays).hexdigest(),
        }
        about["checksum"] = _checksum(about)
        paths = Path(f"{base}.npz"), Path(f"{base}.json")
        write_whole({paths[0]: arrays, paths[1]: json.dumps(about, indent=1).encode()})
        return paths[1]

    # Inside ---------------------------------------------------------------------------------------

    @property
    def _film(self) -> tuple[list[int], list[np.ndarray]]:
        return (
            ([], [])
            if self._state is None
            else (self._state["film/steps"], self._state["film/frames"])
        )

    def _known(self) -> _Facts:
        if self._facts is None:
            raise UsageError("the network is not trained yet; call fit first")
        return self._facts

    def _dataset(self, x: Any, y: Any) -> tuple[Dataset, np.ndarray | None, bool]:
        """What fit was given -> data set, labels as the user writes them, whether it is the
        config's own.
        """
        facts = self._facts
        if y is None and (x is None or isinstance(x, Dataset)):
            source = load_for(self.config.data, self.config.missing) if x is None else x
            if facts is not None and source.classes != facts.names:
                was, came = (_some(names) or "none" for names in (facts.names, source.classes))
                raise UsageError(
                    f"{source.name}: classes must stay those of the first training, "
                    f"{was}, got {came}"
                )
            return source, _labels(source.classes), x is None
        if x is None or y is None:
            raise UsageError(
                "fit takes x and y, a Dataset, or nothing for the config's data set; "
                "got one of x and y"
            )
        missing = self.config.missing
        if facts is not None:
            x = self._table(x)
            if facts.fitted.encoding is not None:
                missing = facts.fitted.encoding.missing
        y = read_labels(y, "y")
        if facts is not None and facts.labels is not None:
            y = _codes(y, facts)
            source = from_arrays("arrays", x, y, classes=facts.names, missing=missing)
            return source, facts.labels, False
        task = "regression" if facts is not None else self._task
        if task == "classification" and y.dtype.kind == "f":
            # Numbers with a fraction are no classes, and the check of the metric says what to do
            task = "auto"
        source = from_arrays("arrays", x, y, task=task, missing=missing)
        return source, np.unique(y) if source.classes else None, False

    @property
    def _task(self) -> str:
        return registry.find("metric", self.config.metric["name"]).options["task"]

    def _prepare(
        self, source: Dataset, labels: np.ndarray | None, own: bool
    ) -> tuple[_Facts, Data]:
        """The data of a fit, scaled as the first training part was."""
        known = self._facts
        data = prepare(self.config, source, None if known is None else known.fitted)._replace(
            source=source
        )
        if known is not None:
            features, outputs = data.x.shape[1], data.t.shape[1]
            if (features, outputs) != (known.features, known.outputs):
                raise UsageError(
                    f"{source.name}: features and outputs must stay those of the first training, "
                    f"{known.features} and "
                    f"{known.outputs}, got {features} and {outputs}; make a new Model"
                )
            labels = known.labels
        about = {"name": source.name, "digest": source.digest, "own": own}
        columns = source.features if known is None else known.columns
        facts = _Facts(
            data.x.shape[1], data.t.shape[1], labels, data.fitted, source.shape, columns, about
        )
        return facts, data

    def _meet(self, x: Any, y: Any, classes: Any) -> _Facts:
        """What the first rows of a partial_fit say of all that follow."""
        config = self.config
        table = read_table(x, "x")
        if table.texts is not None or config.missing is not None:
            raise UsageError(
                "texts and missing values are encoded as a training part has them; call fit first, "
                "or give numbers "
                "without holes"
            )
        rows = _rows(table.values, config.inputs)
        if config.scale == "standardize":
            raise UsageError(
                "scale 'standardize' is measured on a training part; call fit first or choose "
                "another scale"
            )
        name = (
            config.scale if config.scale != "auto" else "/255" if rows.dtype == np.uint8 else "none"
        )
        labels = None
        if self._task == "classification":
            if classes is None:
                raise UsageError(
                    "the first partial_fit needs all classes, such as classes=range(10); give them "
                    "or call fit first"
                )
            labels = np.unique(read_labels(classes, "classes"))
            if len(labels) < 2 or labels.dtype.kind not in "biufU":
                raise UsageError(
                    f"classes must be two or more whole numbers or strings, got {classes!r}"
                )
        outputs = len(labels) if labels is not None else _numbers(y, "y").shape[1]
        fitted = Fitted(None, name, fit_scale(name, rows))
        return _Facts(rows.shape[1], outputs, labels, fitted, columns=table.names)

    def _targets(self, y: Any, rows: int, facts: _Facts) -> np.ndarray:
        """The user's y -> positions of classes (N,) or rows (N, O)."""
        found = _numbers(y, "y") if facts.labels is None else _codes(read_labels(y, "y"), facts)
        if len(found) != rows:
            raise UsageError(
                f"every row of x needs one of y, got {rows} rows and {len(found)}; "
                f"make them equally long"
            )
        if facts.labels is None and found.shape[1] != facts.outputs:
            raise UsageError(
                f"y must have {facts.outputs} columns like the network's outputs, got "
                f"{found.shape[1]}"
            )
        return found

    def _asked_for(
        self, x: Any, y: Any, sample_weight: Any, valid: Any
    ) -> tuple[Dataset, np.ndarray | None, bool]:
        """What fit was given, with weights and a validation part of its own, as `_dataset` gives
        it.
        """
        if x is None and y is None and (sample_weight is not None or valid is not None):
            name = "sample_weight" if sample_weight is not None else "valid"
            raise UsageError(
                f"{name} goes with the data it belongs to; give x and y, or a Dataset, too"
            )
        if x is None and y is None and self._facts is not None:
            return self._dataset_again()
        source, labels, own = self._dataset(x, y)
        if sample_weight is not None:
            source = with_weights(source, sample_weight)
        if isinstance(valid, Dataset):
            valid = (
                valid.table(),
                valid.y if not valid.classes else np.array(valid.classes)[valid.y],
            )
        if valid is not None:
            if not isinstance(valid, tuple | list) or len(valid) != 2:
                raise UsageError(
                    "valid must be (x, y) or a Dataset; a share to split off is valid of the "
                    "config, as in "
                    f"Model(valid=0.2), got {checks.shown(valid)}"
                )
            source = with_validation(source, *valid)
        return source, labels, own

    def _dataset_again(self) -> tuple[Dataset, np.ndarray | None, bool]:
        """The data that the network was last fitted to, as `_dataset` gives them."""
        facts = self._known()
        source = self._last_source("fit() goes on with the data it had")
        return source, facts.labels, bool(facts.data and facts.data["own"])

    def _last_source(self, purpose: str) -> Dataset:
        """The data set last fitted: no other one may stand in for it, least of all the config's
        own.
        """
        about, source = self._known().data, self._source
        if source is not None:
            return source
        if about is None or not about["own"]:
            raise UsageError(
                f"{purpose}, and this network learned from data that are not kept; give x and y"
            )
        source = load_for(self.config.data, self.config.missing)
        if source.digest != about["digest"]:
            raise UsageError(
                f"data set {source.name!r} has changed since this network was trained "
                f"on it; give x and y"
            )
        self._source = source
        return source

    def _weights_of_rows(
        self, targets: np.ndarray, facts: _Facts, sample_weight: Any
    ) -> np.ndarray | None:
        """The weights (B,) of the rows of a single step, or None."""
        weights = None if sample_weight is None else read_weights(sample_weight, len(targets))
        if self.config.class_weight is None:
            return weights
        of_class = class_weights(self.config, "arrays", facts.names)[targets]
        return of_class if weights is None else weights * of_class

    def _test(self) -> Dataset:
        source = self._last_source("score() needs a data set's test part")
        if source.x_test is None:
            raise UsageError(f"data set {source.name!r} has no test part; give x and y")
        return source

    def _net(self, rows: int | None = None) -> Network:
        """The network with the current arrays, for steps of so many rows (None: whatever it is
        for).
        """
        facts = self._known()
        if self._network is None or rows not in (None, self._network[0]):
            state = self._take()
            assert state is not None
            network = construct(self.config, _stub(facts, self.config), rows=rows or 1)
            restore(network, state)
            self._network = (rows or 1, network)
        return self._network[1]

    def _take(self) -> State | None:
        """The state, brought up to the network that ran ahead of it."""
        if self._ahead and self._state is not None and self._network is not None:
            self._state |= arrays_of(self._network[1])
            self._ahead = False
        return self._state

    def _settle(self, network: Network) -> State:
        """The state, after the weights that are shown have become those that are trained."""
        state = self._state
        assert state is not None
        if "best/theta" in state:
            network.arena.value[...] = self._theta(network)
            for path, target in network.layer_state.items():
                target[...] = network.arena.xp.asarray(state[f"best/layer/{path}"])
            for key in [k for k in state if k.startswith("best/")]:
                state.pop(key)
            self._ahead = True
        return state

    def _theta(self, network: Network) -> Any:
        """The parameters (n,) that predict: the best epoch's, the rule's own, or those that are
        trained.
        """
        best = (self._state or {}).get("best/theta")
        if best is not None:
            return network.arena.xp.asarray(best)
        return network.theta() if network.theta is not None else network.arena.value

    @contextmanager
    def _evaluation(self) -> Iterator[Network]:
        """The network with the parameters that predict."""
        network = self._net()
        theta, value = self._theta(network), network.arena.value
        if theta is value:
            yield network
            return
        kept, statistics = value.copy(), {k: v.copy() for k, v in network.layer_state.items()}
        value[...] = theta
        for path, target in network.layer_state.items():
            target[...] = network.arena.xp.asarray(
                (self._state or {}).get(f"best/layer/{path}", target)
            )
        try:
            yield network
        finally:
            value[...] = kept
            for path, target in network.layer_state.items():
                target[...] = statistics[path]

    def _table(self, x: Any) -> Table:
        """Raw rows as a table with the columns that the network learned from, where both have
        names.
        """
        return self._read_table(x, "x", self._known())

    @staticmethod
    def _read_table(x: Any, what: str, facts: _Facts) -> Table:
        """Raw rows as a table whose columns are what they were where the network learned."""
        encoding = facts.fitted.encoding
        texts = () if encoding is None else encoding.text_columns
        return read_table(x, what, sys.maxsize, facts.columns, texts=texts).by_name(facts.columns)

    def _read(self, x: Any, facts: _Facts | None = None) -> np.ndarray:
        """Raw rows as features (N, F), before they are scaled. facts: what the network knows, if it
        is not trained.
        """
        facts = facts or self._known()
        table = self._read_table(x, "x", facts)
        if facts.fitted.encoding is not None:
            if table.values.ndim < 2:
                raise UsageError(
                    f"x must have shape (rows, columns), got {table.values.shape}; use x[None] for "
                    f"one row"
                )
            return facts.fitted.encoding(table)
        if table.texts is not None:
            k = next(k for k, texts in enumerate(table.texts) if texts)
            column = k if table.names is None else table.names[k]
            raise UsageError(
                f"{table.what} must hold numbers, as where the network learned, but column "
                f"{column!r} holds "
                f"{(table.texts[k] or ('',))[0]!r}; turn it into numbers"
            )
        return _rows(table.values, facts.features, name=table.what, columns=table.names)

    def _predictions(self, x: Any) -> np.ndarray:
        return self._answers(self._read(x))

    def _answers(self, features: np.ndarray) -> np.ndarray:
        """The predictions for features (N, F) that are not scaled."""
        ops, facts = ops_for(self.config.device), self._known()
        rows = ops.asarray(_scaled(features, facts, self.config.dtype))
        nothing = ops.zeros((len(rows), facts.outputs), np.dtype(self.config.dtype))
        with self._evaluation() as network, ops.quiet():
            found, _ = evaluate(network, rows, nothing, self.config.eval_batch)
        if not np.isfinite(found).all():
            raise UsageError(
                "the outputs are not finite: training has diverged or x is far too large; use a "
                "new Model or smaller x"
            )
        return found

    @foreign("a plugin")
    def _padded(self, function: Callable[[Any], Any], rows: np.ndarray, outputs: int) -> np.ndarray:
        """function over rows (N, I) in batches of config.eval_batch, the tail padded with zeros ->
        (N, outputs).
        """
        ops, size, dtype = (
            ops_for(self.config.device),
            self.config.eval_batch,
            np.dtype(self.config.dtype),
        )
        found = np.empty((len(rows), outputs), dtype)
        with ops.quiet():
            for at in range(0, len(rows), size):
                part = rows[at : at + size]
                batch = np.zeros((size, rows.shape[1]), dtype)
                batch[: len(part)] = part
                found[at : at + size] = ops.to_host(function(ops.asarray(batch)))[: len(part)]
        return found


class Layer:
    """One trained layer as a function of rows: f(h) (N, I) -> (N, O), in evaluation mode. See
    Model.layers.
    """

    def __init__(
        self,
        net: Model,
        spec: registry.Spec,
        function: Callable[[Any], Any],
        features: int,
        outputs: int,
        raw: bool,
    ):
        self.spec, self.features, self.outputs = spec, features, outputs
        self._net, self._function, self._raw = net, function, raw

    def __call__(self, h: Any) -> np.ndarray:
        rows = self._net.scaled(h) if self._raw else _rows(h, self.features, "inputs")
        return self._net._padded(self._function, rows, self.outputs)

    def __repr__(self) -> str:
        return f"{brief(registry.text(self.spec))}: {self.features} -> {self.outputs}"


def load_model(path: str | os.PathLike[str]) -> Model:
    """The Model that was saved at path (.json, .npz or neither): it predicts and trains on to the
    same bits.

    Plugins that it uses must be loaded before. Errors: UsageError for a missing, damaged or edited
    file, for a format newer than this harness, and for names that no plugin has registered.
    """
    base = _base(path)
    note, raw = (_read(Path(base + suffix)) for suffix in (".json", ".npz"))
    try:
        about = json.loads(note)
        kind, version = about["format"], about["version"]
    except (ValueError, KeyError, TypeError):
        raise UsageError(
            f"{base}.json is no saved model or is damaged; save the model again"
        ) from None
    if kind != FORMAT or not isinstance(version, int):
        raise UsageError(
            f"{base}.json must be a {FORMAT}, got {kind!r} {version!r}; check the path"
        )
    if version < VERSION:
        raise UsageError(
            f"{base}.json has version {version}, which this harness no longer reads; "
            f"train and save anew"
        )
    if version > VERSION:
        raise UsageError(
            f"{base}.json has version {version}, this harness reads up to {VERSION}; "
            f"update the harness"
        )
    if about.pop("checksum", None) != _checksum(about):
        raise UsageError(
            f"{base}.json must be as it was saved: it is damaged or edited; save the model again"
        )
    if hashlib.sha256(raw).hexdigest() != about["sha256"]:
        raise UsageError(
            f"{base}.npz must have the SHA-256 that its .json says: it is damaged; "
            f"save the model again"
        )
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        net = Model(Config.from_json(json.dumps(about["config"])))
        named, shift, divisor = (
            about["classes"],
            about["scaling"]["shift"],
            about["scaling"]["divisor"],
        )
        net._facts = _Facts(
            about["features"],
            about["outputs"],
            None if named is None else np.array(named["labels"], named["dtype"]),
            Fitted(
                None if about["encoding"] is None else Encoding.from_json(about["encoding"]),
                about["scale"],
                Scaling(np.asarray(shift, np.float64), np.asarray(divisor, np.float64)),
            ),
            None if about["shape"] is None else (about["shape"][0], about["shape"][1]),
            None if about.get("columns") is None else tuple(about["columns"]),
            about["data"],
        )
        net._state = {**fresh(), **about["state"], **arrays}
        net.history = [
            {k: float("nan") if v is None else v for k, v in epoch.items()}
            for epoch in about["history"]
        ]
        net._net()  # the arrays fit the network, or it says so
    except UsageError as error:
        missing = [name for name in about.get("plugins", ()) if name not in registry.plugins()]
        hint = (
            f" (it was saved with the plugins {', '.join(missing)}; load them first)"
            if missing
            else ""
        )
        raise UsageError(f"{base}.json cannot be loaded: {error}{hint}") from None
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ):
        raise UsageError(f"{base}.json or {base}.npz is damaged; save the model again") from None
    return net


_said: set[tuple[str, str]] = set()  # digests of data sets, and what was said of them


def _say(source: Dataset, sentences: list[str]) -> None:
    """What was decided of the data for its user, on stderr, once in a process."""
    text = f"{source.name}: {'; '.join(sentences)}"
    if sentences and (source.digest, text) not in _said:
        _said.add((source.digest, text))
        print(text, file=sys.stderr)


# Reading what users give --------------------------------------------------------------------------


def _rows(
    x: Any,
    features: int | None,
    what: str = "features",
    name: str = "x",
    columns: tuple[str, ...] | None = None,
) -> np.ndarray:
    """x as a table (N, features) of finite numbers, whatever their type."""
    try:
        array = np.asarray(x)
    except ValueError as error:
        raise UsageError(
            f"{name} must be a table of numbers with rows of one length ({error})"
        ) from None
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{name} must hold numbers, got {array.dtype}; turn everything else into numbers first"
        )
    if array.ndim < 2:
        raise UsageError(
            f"{name} must have shape (rows, {what}), got {array.shape}; use x[None] "
            f"for a single row"
        )
    flat = array.reshape(len(array), int(np.prod(array.shape[1:])))
    if features is not None and flat.shape[1] != features:
        remedy = (
            "use x[None] for a single row"
            if array.size == features
            else "give rows like those it learned from"
        )
        raise UsageError(
            f"{name} must have {features} {what} in each row, got {array.shape}; {remedy}"
        )
    if array.dtype.kind == "f" and not np.isfinite(flat).all():
        row, column = np.argwhere(~np.isfinite(flat))[0]
        where = int(column) if columns is None else repr(columns[column])
        raise UsageError(
            f"{name} must be finite, got {flat[row, column]} in row {row}, column {where}; fill in "
            f"a number"
        )
    return flat


def _scaled(rows: np.ndarray, facts: _Facts, dtype: Any) -> np.ndarray:
    return apply_scale(rows, *facts.fitted.scaling, np.dtype(dtype))


def _numbers(y: Any, what: str) -> np.ndarray:
    """Targets of a regression (N, O)."""
    array = read_labels(y, what)
    return _rows(array[:, None] if array.ndim == 1 else array, None, f"{what} columns")


def _labels(names: tuple[str, ...]) -> np.ndarray | None:
    """Names of classes -> labels: int64 where all are whole numbers, else strings; None for a
    regression.
    """
    try:
        numbers = np.array([int(name) for name in names], np.int64)
    except (ValueError, OverflowError):
        return np.array(names)
    return (numbers if tuple(map(str, numbers)) == names else np.array(names)) if names else None


def _codes(y: np.ndarray, facts: _Facts) -> np.ndarray:
    """Labels (N,) -> positions in facts.labels, by name, so that 3, 3.0 and "3" are one label."""
    if y.ndim != 1 or (y.dtype.kind not in "biufU" and y.size):
        raise UsageError(
            f"labels must be whole numbers or strings of shape (rows,), got {y.dtype} {y.shape}"
        )
    return Places(facts.names).all(
        y, f"labels must be of the classes {_some(facts.names)} (or make a new Model)"
    )


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _place(name: str) -> list[tuple[bool, int, str]]:
    """The sorting key of a parameter: its layer, so that layer 10 comes after layer 2; within a
    layer nothing moves.
    """
    return [
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in name.split("/")[:-1]
    ]


def _stub(facts: _Facts, config: Config) -> Data:
    """Data without rows: all that a network is built from."""
    name = facts.data["name"] if facts.data else "arrays"
    x, t = (np.empty((0, columns), config.dtype) for columns in (facts.features, facts.outputs))
    source: Any = SimpleNamespace(name=name, task=facts.task, classes=facts.names)
    return Data(source, x, t, np.empty(0, np.int64), x, t, np.empty(0, np.int64), facts.fitted)


# Files --------------------------------------------------------------------------------------------


def _base(path: str | os.PathLike[str]) -> str:
    """The path without .npz or .json; other dots in a name are part of it."""
    text = os.fspath(path)
    base = text[: -len(Path(text).suffix)] if Path(text).suffix in (".npz", ".json") else text
    if not Path(base).name:
        raise UsageError(
            f"a model's path must end in a name, got {text!r}; write for example models/first"
        )
    return base


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(
            f"a saved model is a pair of files, and there is no {path}; check the path"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); check the path") from None


def _checksum(about: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity: null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
