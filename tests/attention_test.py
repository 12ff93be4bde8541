"""What SepBN's pictures show: the layers of a model, their affine sets, and attention face by face."""

import functools
import pathlib

import cv2
import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxlm import models
from jaxlm.drawing import attention_maps
from jaxlm.evaluation import sepbn_attention
from jaxlm.models import registry
from tolerances import assert_float32_close


def model_and_variables(**options: object) -> tuple[registry.CNN, dict]:
    model = models.build("cnn", 5, {"head_width": 8} | options, "float32")
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images())
    return model, jax.tree.map(lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(leaf.dtype), shapes)


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).uniform(-1, 1, (count, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "groups"),
    [({}, 1), ({"attention": "grouped", "groups": 2, "pool": 2}, 2)],
    ids=["code", "grouped"],
)
def test_layers_hold_their_parameters_and_each_faces_weights(options: dict, groups: int) -> None:
    model, variables = model_and_variables(widths=[10, 20], norm="sepbn", **options)
    layers = sepbn_attention.sepbn_layers(model, variables, images())
    assert list(layers) == ["block1/norm", "block2/norm"]
    for index, layer in enumerate(layers.values(), start=1):
        params = variables["params"][f"block{index}"]["norm"]
        np.testing.assert_array_equal(layer.scale, params["scale"])
        np.testing.assert_array_equal(layer.bias, params["bias"])
        assert layer.attention.shape == (3, groups, 3)
        assert_float32_close(layer.attention.sum(-1), np.ones((3, groups)), depth=6)
    alone = sepbn_attention.sepbn_layers(model, variables, images()[1:2])["block2/norm"].attention
    # Two convolutions, a mean over 8 x 8 cells at least, and the attention's own layers.
    assert_float32_close(alone[0], layers["block2/norm"].attention[1], depth=27 + 90 + 64 + 2 * 20)
    assert np.ptp(layers["block2/norm"].attention, axis=-1).max() > 0.01


def test_layers_keep_their_order_beyond_nine() -> None:
    paths = ["block10/norm", "block2/norm", "block1/norm", "block9/norm"]
    expected = ["block1/norm", "block2/norm", "block9/norm", "block10/norm"]
    assert sorted(paths, key=sepbn_attention._natural_order) == expected


def test_a_model_without_sepbn_is_refused() -> None:
    model, variables = model_and_variables(widths=[10], norm="batch")
    with pytest.raises(ValueError, match="no SepBN layer"):
        sepbn_attention.sepbn_layers(model, variables, images())


def test_pictures_show_curves_and_weights(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    rng = np.random.default_rng(0)
    sets = {f"block{index}/norm": (rng.normal(size=(3, 8)), rng.normal(size=(3, 8))) for index in (1, 2)}
    attention = {path: rng.random((4, 2, 3)) for path in sets}
    attention_maps.affine_sets_plot(tmp_path / "parameters.png", sets)
    attention_maps.attention_plot(tmp_path / "attention.png", [np.zeros((16, 16, 3), np.uint8)] * 4, attention)
    curves = figures[0].axes[2].lines
    np.testing.assert_array_equal([line.get_ydata() for line in curves], sets["block2/norm"][0])
    # The second face's cells: rows are sets within groups, columns are layers.
    cells = figures[1].axes[3].images[0].get_array()
    expected = np.stack([weights[1].reshape(-1) for weights in attention.values()], axis=-1)
    np.testing.assert_array_equal(cells, expected)
    assert [label.get_text() for label in figures[1].axes[3].get_yticklabels()][3] == "group 2, set 1"
    for name in ("parameters.png", "attention.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5


def test_the_layer_that_the_authors_picture_lacks_stands_apart() -> None:
    layers = {f"block{index}/norm": np.full((1, 1, 3), 1 / 3) for index in range(1, 7)}
    figure = attention_maps.attention_figure([np.zeros((16, 16, 3), np.uint8)], layers)
    assert [label.get_text() for label in figure.axes[1].get_xticklabels()] == ["1", "2", "3", "4", "5", "6*"]
    title = figure.get_suptitle()
    assert "6* = block6/norm" in title
    assert "* not in the authors' picture, which has 5 layers" in title
