"""Linear models on counts of words, which see no order beyond pairs: what a network must exceed to be worth its time.

They learn from what a trial learns from, its validation part chooses how strongly they are regularised, and they are
tested once. One more does so with the texts whole, and tells whether there is more to be learned from them. NB-SVM is
that of Wang and Manning, Baselines and Bigrams (ACL 2012).
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sweeps import software
from sweeps.errors import reason_of
from sweeps.metrics import METRICS, Answers
from sweeps.trials import documents, predictions, rows, word_counts
from sweeps.trials.documents import Documents
from sweeps.trials.loading import load
from sweeps.trials.spec import OnEpoch, Reference, TrialSpec
from sweeps.trials.word_counts import Vocabulary

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Transform = Callable[["csr_matrix"], "csr_matrix"]  # counts -> features

RUN = "sweeps.trials.references.run"
WHOLE = "svm_whole"  # the name of the one on whole texts
WORDS = 4_000_000  # of train; of more than these a stratified part is taken
WHOLE_WORDS = 8_000_000  # the same of whole texts: IMDB has 4,720,000
WHOLE_PENALTIES = (1.0, 3.0)  # 3 for Reuters and IMDB, 1 for 63,436 short texts; others would take time in vain
SEED = 7  # of that part, and of the solver
TOLERANCE = 0.1  # of the solver: with 0.01 no accuracy on Reuters and IMDB changed by 0.001
ITERATIONS = 30  # with 200 no accuracy on Reuters and IMDB was another
INTERPOLATION = 0.25  # of NB-SVM's weights with their mean


class _Linear(NamedTuple):
    """A fitted model: a row of weights for each class, or one row for the second of two."""

    classes: NDArray[np.int64]
    weights: NDArray[np.float64]  # (rows, columns)
    intercepts: NDArray[np.float64]  # (rows,)

    def answers(self, features: csr_matrix) -> NDArray[np.int64]:
        scores = features @ self.weights.T + self.intercepts
        chosen = scores.argmax(axis=1) if len(self.weights) > 1 else (scores[:, 0] > 0).astype(np.int64)
        answers: NDArray[np.int64] = self.classes[chosen]
        return answers


class _Method(NamedTuple):
    """A reference: its features, its solver and the penalties C from which validation chooses."""

    learn: Callable[[csr_matrix], Transform]  # from the counts of train
    fit: Callable[[csr_matrix, NDArray[np.int64], float], _Linear]
    penalties: tuple[float, ...]  # the second one where validation must not choose
    most: (
        int  # counts times classes that it learns from in seconds; of more it takes a stratified part of the documents
    )


class _Counted(NamedTuple):
    """The counts of some documents, (n, columns), and their labels, (n,)."""

    counts: csr_matrix
    y: NDArray[np.int64]


class _Learned(NamedTuple):
    """A method's model, and how it was come by."""

    transform: Transform
    model: _Linear
    penalty: float
    validation: Mapping[str, float]  # its scores there, if it chose
    documents: int
    seconds: float

    def answers(self, counts: csr_matrix) -> NDArray[np.int64]:
        return self.model.answers(self.transform(counts))


def run(spec: TrialSpec, on_epoch: OnEpoch) -> list[Reference]:
    """Train and test every reference on the data of a spec; one that fails is returned with the reason.

    The one that is best on validation is trained once more on train and validation together, as a confirmation trains.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a solver that stops after `ITERATIONS` says so; validation judges it
        return _run(spec)


def version() -> str:
    """Identify everything beside the data that decides what `run` returns."""
    modules = (documents, rows, word_counts, import_module(__name__))
    files = [Path(module.__file__ or "").read_bytes() for module in modules]
    versions = software.versions(("numpy", "scikit-learn", "scipy"))
    return hashlib.sha256(b"".join([*files, str(sorted(versions.items())).encode()])).hexdigest()[:16]


def _run(spec: TrialSpec) -> list[Reference]:
    for module in LEARNERS:  # it takes seconds, which would count as those of the model that is trained first
        import_module(module)
    began = time.perf_counter()
    data = load(spec)
    is_whole = data.train.x.ndim == 1
    methods = {WHOLE: METHODS["svm"]._replace(penalties=WHOLE_PENALTIES)} if is_whole else METHODS
    train_documents, y = documents.of(data.train.x), np.asarray(data.train.y)
    chosen = _part(y, (WHOLE_WORDS if is_whole else WORDS) / max(1, train_documents.words))
    if chosen is not None:
        train_documents, y = train_documents.part(chosen), y[chosen]
    vocabulary = Vocabulary.of(train_documents, data.num_words)
    train = _Counted(_counts(vocabulary, train_documents), y)
    validation = None
    if not spec.test_last_epoch:
        held_out = _counts(vocabulary, documents.of(data.validation.x))
        validation = _Counted(held_out, np.asarray(data.validation.y))
    counting = time.perf_counter() - began
    models, failures = _learn_all(methods, train, validation)
    final = _retrained(methods, models, train, validation) if models and validation else {}
    began = time.perf_counter()
    answers = _answers([*models.values(), *final.values()], vocabulary, documents.of(data.test.x))
    labels = np.asarray(data.test.y)
    tested = [(_scores(own, labels, "test"), predictions.compact(own, labels, data.num_classes)) for own in answers]
    shared = counting + time.perf_counter() - began
    found = [Reference(name, failure=reason) for name, reason in failures.items()]
    for (name, each), (scores, predicted) in zip(models.items(), tested, strict=False):
        all_scores = {**each.validation, **scores}
        found.append(Reference(name, each.penalty, all_scores, shared + each.seconds, each.documents, predicted))
    if final:
        best = next(place for place, reference in enumerate(found) if reference.name in final)
        found[best] = found[best]._replace(final=tested[-1][0], final_predictions=tested[-1][1])
    return found


def _learn_all(
    methods: Mapping[str, _Method], train: _Counted, validation: _Counted | None
) -> tuple[dict[str, _Learned], dict[str, str]]:
    """Return the models of all methods, and the reasons of those that failed."""
    models, failures = {}, {}
    for name, method in methods.items():
        try:
            models[name] = _learn(method, train, validation)
        except (ValueError, MemoryError) as error:  # scikit-learn refuses documents among which there is no choice
            failures[name] = reason_of(error)
    return models, failures


def _learn(method: _Method, train: _Counted, validation: _Counted | None) -> _Learned:
    """Fit the method with one penalty after the other, the strongest first, until validation is no longer better."""
    began = time.perf_counter()
    counts, y = _affordable(method, train)
    transform = method.learn(counts)
    features = transform(counts)
    best: _Learned | None = None
    for penalty in method.penalties if validation else method.penalties[1:2]:
        learned = _Learned(transform, method.fit(features, y, penalty), penalty, {}, len(y), 0.0)
        scores = _scores(learned.answers(validation.counts), validation.y, "val") if validation else {}
        if best is not None and scores["val/accuracy"] <= best.validation["val/accuracy"]:
            break
        best = learned._replace(validation=scores)
    assert best is not None
    return best._replace(seconds=time.perf_counter() - began)


def _retrained(
    methods: Mapping[str, _Method], models: Mapping[str, _Learned], train: _Counted, validation: _Counted
) -> dict[str, _Learned]:
    """Train the model that is best on validation again, with its penalty, on train and validation together."""
    from scipy.sparse import vstack

    best = max(models, key=lambda name: models[name].validation["val/accuracy"])
    method = methods[best]
    together = vstack([train.counts, validation.counts], format="csr")
    counts, y = _affordable(method, _Counted(together, np.concatenate([train.y, validation.y])))
    transform = method.learn(counts)
    model = method.fit(transform(counts), y, models[best].penalty)
    return {best: models[best]._replace(transform=transform, model=model)}


def _affordable(method: _Method, train: _Counted) -> _Counted:
    """Return all documents, or a part that the method can learn from in seconds: its time grows with the classes."""
    classes = len(np.unique(train.y))
    chosen = _part(train.y, method.most / (train.counts.nnz * (classes if classes > 2 else 1) or 1))
    return train if chosen is None else _Counted(train.counts[chosen], train.y[chosen])


def _part(y: NDArray[np.int64], share: float) -> NDArray[np.int64] | None:
    """Return which documents are a share of those of each label, in their order; None for all of them."""
    if share >= 1:
        return None
    order = np.random.RandomState(SEED).permutation(len(y))  # NumPy has frozen its stream
    order = order[np.argsort(y[order], kind="stable")]
    sizes = np.bincount(y)
    place = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within its label
    chosen: NDArray[np.int64] = np.sort(order[place < np.repeat(np.ceil(share * sizes), sizes)])
    return chosen


def _counts(vocabulary: Vocabulary, counted: Documents) -> csr_matrix:
    from scipy.sparse import vstack

    return vstack([vocabulary.counts(block) for block in counted.blocks()], format="csr")


def _answers(models: Sequence[_Learned], vocabulary: Vocabulary, asked: Documents) -> list[NDArray[np.int64]]:
    """Return the answers of each model to documents, which are counted once for all: (n,) of each."""
    answers: list[list[NDArray[np.int64]]] = [[] for _ in models]
    for block in asked.blocks():
        counts = vocabulary.counts(block)
        for model, own in zip(models, answers, strict=True):
            own.append(model.answers(counts))
    return [np.concatenate(own) for own in answers]


def _scores(predicted: NDArray[np.int64], labels: NDArray[np.int64], part: str) -> dict[str, float]:
    """Return every metric of a part that takes no probabilities, under its full name."""
    cells, counts = np.unique(np.stack([labels, predicted]), axis=1, return_counts=True)
    answers = Answers(cells[0], cells[1], counts)
    return {f"{part}/{row.name}": row.compute(answers) for row in METRICS if part in row.parts and row.compute}


def _learn_tfidf(counts: csr_matrix) -> Transform:
    from sklearn.feature_extraction.text import TfidfTransformer

    learned: Transform = TfidfTransformer(sublinear_tf=True).fit(counts).transform
    return learned


def _presence(counts: csr_matrix) -> Transform:
    return lambda counts: (counts > 0).astype(np.float64)


def _fit_svm(features: csr_matrix, y: NDArray[np.int64], penalty: float) -> _Linear:
    from sklearn.svm import LinearSVC

    # Documents are fewer than columns, for which the dual problem is the quicker one.
    fitted = LinearSVC(C=penalty, dual=True, tol=TOLERANCE, max_iter=ITERATIONS, random_state=SEED).fit(features, y)
    return _Linear(fitted.classes_, fitted.coef_, fitted.intercept_)


def _fit_logistic(features: csr_matrix, y: NDArray[np.int64], penalty: float) -> _Linear:
    """Fit a logistic regression, of more than two classes one for each: that takes seconds, `lbfgs` minutes."""
    from sklearn.linear_model import LogisticRegression

    def fit(is_label: NDArray[np.bool_]) -> Any:
        solver = LogisticRegression(C=penalty, solver="liblinear", dual=True, tol=TOLERANCE, max_iter=ITERATIONS,
                                    random_state=SEED)  # fmt: skip
        fitted = solver.fit(features, is_label)
        return fitted.coef_[0], fitted.intercept_[0]

    return _one_for_each(fit, y)


def _fit_nbsvm(features: csr_matrix, y: NDArray[np.int64], penalty: float) -> _Linear:
    from scipy.sparse import csr_matrix

    total = np.asarray(features.sum(axis=0)).ravel()

    def fit(is_label: NDArray[np.bool_]) -> Any:
        inside = 1 + features.T @ is_label.astype(np.float64)
        outside = 2 + total - inside
        ratio = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
        scaled = csr_matrix((ratio[features.indices], features.indices, features.indptr), features.shape)
        fitted = _fit_svm(scaled, is_label.astype(np.int64), penalty)
        weights = fitted.weights[0]
        mixed = (1 - INTERPOLATION) * np.abs(weights).mean() + INTERPOLATION * weights
        return mixed * ratio, fitted.intercepts[0]

    return _one_for_each(fit, y)


def _one_for_each(fit: Callable[[NDArray[np.bool_]], Any], y: NDArray[np.int64]) -> _Linear:
    """Fit a model for each class, that of two classes for the second alone."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError("all documents of train have one label")
    rows: Sequence[Any] = [fit(y == label) for label in (classes if len(classes) > 2 else classes[1:])]
    weights, intercepts = zip(*rows, strict=True)
    return _Linear(classes, np.stack(weights), np.asarray(intercepts))


METHODS: Mapping[str, _Method] = {
    "svm": _Method(_learn_tfidf, _fit_svm, (0.1, 0.3, 1.0, 3.0), 150_000_000),
    "logistic": _Method(_learn_tfidf, _fit_logistic, (3.0, 10.0), 40_000_000),
    "nbsvm": _Method(_presence, _fit_nbsvm, (0.01, 0.1, 1.0), 40_000_000),
}
LEARNERS = ("sklearn.feature_extraction.text", "sklearn.linear_model", "sklearn.svm")  # what the methods import
NAMES = tuple(METHODS)  # of those that compare with a trial
