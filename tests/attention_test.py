"""What SepBN's pictures show: the layers of a model, their affine sets, and attention face by face."""

import functools
import pathlib

import cv2
import jax
import numpy as np
import pytest

from jaxlm import attention, models
from tolerances import assert_float32_close


def model_and_variables(**options: object) -> tuple[models.VanillaCNN, dict]:
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
    layers = attention.collect(model, variables, images())
    assert list(layers) == ["block1/norm", "block2/norm"]
    for index, layer in enumerate(layers.values(), start=1):
        params = variables["params"][f"block{index}"]["norm"]
        np.testing.assert_array_equal(layer.scale, params["scale"])
        np.testing.assert_array_equal(layer.bias, params["bias"])
        assert layer.attention.shape == (3, groups, 3)
        assert_float32_close(layer.attention.sum(-1), np.ones((3, groups)), depth=6)
    alone = attention.collect(model, variables, images()[1:2])["block2/norm"].attention
    np.testing.assert_allclose(alone[0], layers["block2/norm"].attention[1], atol=1e-5)
    assert np.ptp(layers["block2/norm"].attention, axis=-1).max() > 0.01


def test_layers_keep_their_order_beyond_nine() -> None:
    paths = ["block10/norm", "block2/norm", "block1/norm", "block9/norm"]
    expected = ["block1/norm", "block2/norm", "block9/norm", "block10/norm"]
    assert sorted(paths, key=attention._natural_order) == expected


def test_a_model_without_sepbn_is_refused() -> None:
    model, variables = model_and_variables(widths=[10], norm="batch")
    with pytest.raises(ValueError, match="no SepBN layer"):
        attention.collect(model, variables, images())


def test_pictures_show_curves_and_weights(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    save = attention.Figure.savefig
    monkeypatch.setattr(attention.Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    rng = np.random.default_rng(0)
    layers = {
        f"block{index}/norm": attention.Layer(rng.normal(size=(3, 8)), rng.normal(size=(3, 8)), rng.random((4, 2, 3)))
        for index in (1, 2)
    }
    attention.plot_parameters(tmp_path / "parameters.png", layers)
    attention.plot_attention(tmp_path / "attention.png", [np.zeros((16, 16, 3), np.uint8)] * 4, layers)
    curves = figures[0].axes[2].lines
    np.testing.assert_array_equal([line.get_ydata() for line in curves], layers["block2/norm"].scale)
    # The second face's cells: rows are sets within groups, columns are layers.
    cells = figures[1].axes[3].images[0].get_array()
    expected = np.stack([layer.attention[1].reshape(-1) for layer in layers.values()], axis=-1)
    np.testing.assert_allclose(cells, expected)
    assert [label.get_text() for label in figures[1].axes[3].get_yticklabels()][3] == "group 2, set 1"
    for name in ("parameters.png", "attention.png"):
        assert cv2.imread(str(tmp_path / name)).std() > 5
