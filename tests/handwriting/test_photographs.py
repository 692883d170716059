"""Digits hidden in photographs are read as well as they are without: a smaller `benchmarks.photographs`."""

from __future__ import annotations

import io

import numpy as np
import pytest

import mlptrain
from mlptrain.datasets.split import make_split
from mlptrain.handwriting.digit import find_digit
from tests.made import config, sample

Image = pytest.importorskip("PIL.Image")


def test_photographs_are_read_as_often_as_digits():
    from benchmarks.photographs import photograph

    settings = config(hidden=[32], activation="relu", learning_rate=0.3, batch_size=32, epochs=4)
    model, data = mlptrain.train(settings).model, sample()
    rng = np.random.default_rng(0)
    chosen = rng.choice(make_split(data, settings.split, seed=0).test, 20, replace=False)
    plain = model.predict(data.images[chosen]) == data.labels[chosen]
    seen = []
    for index in chosen:
        made = photograph(data.images[index].reshape(28, 28), rng, (240, 360))
        seen.append(find_digit(np.asarray(Image.open(io.BytesIO(made.content)).convert("L"))))
    hits = model.predict(np.stack(seen)) == data.labels[chosen]
    assert plain.mean() > 0.85
    assert hits.sum() >= plain.sum() - 1  # of twenty
