"""Parameters and MACs against the published figures and against counts made by hand."""

import dataclasses
import json
import re

import jax
import pytest
from flax import linen as nn

from jaxlm import experiment, models, summary, train
from jaxlm.config import Config
from jaxlm.evaluation import check_shapes, cost
from jaxlm.evaluation.cost import summarise
from runs import changed


def macs_of(module: nn.Module, size: int = 8) -> dict[str, tuple[int, int]]:
    """Products and element-wise operations by kind of layer."""
    return {layer.kind: (layer.products, layer.elementwise) for layer in summarise(module, size).layers}


class Model(nn.Module):
    """Any sequence of layers with the signature of this project's models."""

    layers: tuple

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        for layer in self.layers:
            images = layer(images)
        return images


class ShiftedDepthwise(nn.Module):
    """Stands for a convolution that computes by shifts and multiplications, which no primitive shows."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.ones, (9, x.shape[-1]))
        return nn.relu(x * kernel.sum(0)[None, None, None])

    def count_macs(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> tuple[int, int]:
        return 9 * input_shape[1] * input_shape[2] * input_shape[3], 0


class Embedding(nn.Module):
    """Owns a parameter beside the layer it calls."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        position = self.param("position", nn.initializers.zeros, images.shape)
        return nn.relu(nn.Dense(4, name="inner")(images + position))


@pytest.mark.parametrize(
    ("options", "parameters", "macs", "products"),
    [
        ({"norm": "none"}, 42_327_876, 1_561_634_816, 1_555_439_616),
        ({"norm": "batch"}, 42_335_940, 1_561_634_816 + 2 * 2_064_384, 1_555_439_616),
        ({"norm": "sepbn"}, 42_909_940, 1_568_385_840, 1_555_439_616 + 557_872),
    ],
    ids=["none", "batch", "sepbn"],
)
def test_published_totals(options: dict, parameters: int, macs: int, products: int) -> None:
    total = summarise(models.build("cnn", 98, options, "float32"), 128)
    assert (total.parameters, total.macs, total.products) == (parameters, macs, products)
    assert total.megabytes == pytest.approx(4e-6 * parameters)
    assert sum(layer.parameters for layer in total.layers) == parameters
    lines = cost.as_table(total).splitlines()
    # The README of the authors' code says 1.58 G: three whole normalisations of 2 operations an element.
    assert any(line.startswith("MACs 1,576,643,376 as SepBN's authors count") for line in lines) == (
        "sepbn" in options.values()
    )


def test_published_products_by_layer() -> None:
    layers = {layer.path: layer for layer in summarise(models.build("cnn", 98, {}, "float32"), 128).layers}
    assert layers["block1/conv"].products == 28_311_552
    assert {layers[f"block{index}/conv"].products for index in range(2, 7)} == {301_989_888}
    assert layers["fc1"].products == 16_777_216
    assert layers["fc2"].products == 401_408
    assert layers["block3/conv"].shape == (1, 32, 32, 256)


def test_rows_come_in_the_order_of_computation() -> None:
    options = {"widths": (10, 20), "head_width": 8, "norm": "sepbn"}
    rows = [(layer.path, layer.kind) for layer in summarise(models.build("cnn", 5, options, "float32"), 16).layers]
    block = [("conv", "Conv3x3"), ("norm", "SeparableBatchNorm")]
    expected = []
    for name in ("block1", "block2"):
        expected += [(f"{name}/{layer}", kind) for layer, kind in block]
        expected += [(name, "leaky_relu"), (name, "max_pool")]
    assert rows == [*expected, ("fc1", "Dense"), ("", "leaky_relu"), ("fc2", "Dense")]


def test_grouped_attention_counts_its_own_maps() -> None:
    options = {"widths": (20,), "norm": "sepbn", "attention": "grouped", "groups": 2, "pool": 2}
    layers = summarise(models.build("cnn", 5, options, "float32"), 8).layers
    norm = next(layer for layer in layers if layer.kind == "SeparableBatchNorm")
    assert norm.products == 4 * 20 * 2 + (4 * 2) * (2 * 3)
    assert norm.elementwise == 3 * 8 * 8 * 20


def test_convolutions() -> None:
    assert macs_of(Model((nn.Conv(6, (3, 3), strides=2, use_bias=False),))) == {"Conv": (16 * 27 * 6, 0)}
    assert macs_of(Model((nn.Conv(6, (3, 3), feature_group_count=3),))) == {"Conv": (64 * 9 * 6, 64 * 6)}
    # A transposed convolution is counted at its input positions: every input pixel meets the whole kernel.
    transposed = Model((nn.ConvTranspose(6, (4, 4), strides=(2, 2)),))
    assert macs_of(transposed) == {"ConvTranspose": (64 * 16 * 3 * 6, 256 * 6)}


@pytest.mark.parametrize(
    ("function", "kind", "count"),
    [
        (nn.relu, "relu", 192),
        (nn.silu, "silu", 192),
        (nn.hard_swish, "hard_silu", 192),
        (nn.tanh, "tanh", 192),
        (lambda x: nn.max_pool(x, (3, 3), (2, 2), "SAME"), "max_pool", 192),
        (lambda x: nn.avg_pool(x, (2, 2), (2, 2)), "avg_pool", 192),
        (lambda x: x.mean((1, 2)), "global_avg_pool", 192),
    ],
    ids=["relu", "silu", "hard_swish", "tanh", "max_pool", "avg_pool", "global_avg_pool"],
)
def test_activations_by_output_and_pools_by_input(function: object, kind: str, count: int) -> None:
    assert macs_of(Model((function,))) == {kind: (0, count)}


def test_normalisations_count_two_an_element_and_nothing_else() -> None:
    norms = (nn.BatchNorm(use_running_average=True), nn.LayerNorm(), nn.GroupNorm(num_groups=3), nn.InstanceNorm())
    assert macs_of(Model(norms)) == dict.fromkeys(["BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm"], (0, 384))


def test_a_layer_may_count_for_itself() -> None:
    total = summarise(Model((ShiftedDepthwise(), nn.relu)), 8)
    assert [(layer.kind, layer.parameters, layer.macs) for layer in total.layers] == [
        ("ShiftedDepthwise", 27, 9 * 192),
        ("relu", 0, 192),
    ]


def test_a_module_with_parameters_and_layers_shows_both() -> None:
    rows = [
        (layer.path, layer.parameters, layer.products, layer.elementwise) for layer in summarise(Embedding(), 8).layers
    ]
    assert rows == [("", 192, 0, 256), ("inner", 16, 64 * 3 * 4, 0)]


def test_operations_inside_transformed_functions_are_found() -> None:
    assert macs_of(Model((jax.jit(lambda x: nn.relu(x)), nn.remat(nn.Dense)(4)))) == {
        "relu": (0, 192),
        "Dense": (64 * 3 * 4, 0),
    }


def test_a_shared_layer_works_twice_but_is_stored_once() -> None:
    shared = nn.Dense(3)
    total = summarise(Model((shared, shared)), 8)
    assert [layer.parameters for layer in total.layers] == [12, 0]
    assert total.parameters == 12
    assert total.products == 2 * 64 * 9


def test_table_shows_every_layer_and_the_totals() -> None:
    lines = cost.as_table(summarise(models.build("cnn", 98, {}, "float32"), 128)).splitlines()
    row = next(line for line in lines if line.startswith("block2/conv"))
    assert row.split() == ["block2/conv", "Conv3x3", "64", "x", "64", "x", "128", "73,856", "302,514,176"]
    assert "parameters 42,327,876 (169.31 MB in float32)" in lines
    assert "MACs 1,561,634,816, of which products 1,555,439,616 (one image)" in lines


@pytest.mark.parametrize(
    ("overrides", "parameters", "macs"),
    [
        ([], 42_909_940, 1_568_385_840),
        (["--data.scheme", "ibug68"], 42_909_940 - 60 * 2049, 1_568_385_840 - 60 * 2048),
    ],
    ids=["as it is", "override"],
)
def test_command_line_prints_json(
    overrides: list[str], parameters: int, macs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    summary.main(["--experiment", "sepbn_wflw", "--json", *overrides])
    totals = json.loads(capsys.readouterr().out)
    assert (totals["parameters"], totals["macs"]) == (parameters, macs)
    assert totals["megabytes"] == pytest.approx(4e-6 * parameters)


def test_a_translator_is_counted_with_its_structure_maps(capsys: pytest.CaptureFixture[str]) -> None:
    """11.82 GMAC by hand for the published form at 128 px: 7.25 + 0.07 + 1.21 + 2.93 + 0.35 + 0.01, part by part."""
    summary.main(["--experiment", "vunet_wflw", "--json", "--model.input-size", "128"])
    totals = json.loads(capsys.readouterr().out)
    assert totals["parameters"] == 45_153_158
    assert totals["products"] == pytest.approx(11.82e9, abs=0.03e9)  # Six parts of two decimals.


def test_a_model_above_its_limit_is_refused_before_training(debug, tmp_path, capsys):
    cost.check_size(debug)
    cost.check_size(dataclasses.replace(debug, max_megabytes=1.0))
    with pytest.raises(ValueError, match=r"take 0\.0\d MB, more than max_megabytes = 0\.01"):
        cost.check_size(dataclasses.replace(debug, max_megabytes=0.01))
    with pytest.raises(SystemExit):
        train.main(["--experiment", "debug", "--max-megabytes", "0.01", "--workdir", str(tmp_path)])
    assert "max_megabytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("debug", {"model": {"input_size": 9, "options": {"widths": (2,) * 6}}}, "6 blocks need images of 64 px"),
        ("fan_wflw", {"model": {"options": {"width": 2}}}, "division by zero"),
        ("resunet_300w", {"task": {"options": {"stride": 8}}}, "at stride 8 are [B, 16, 16, N]"),
    ],
)
def test_what_does_not_go_together_is_told_in_a_line(name: str, change: dict, message: str):
    config = experiment.load(name)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        check_shapes(experiment.spell_out(changed(config, **change)))
    told = str(caught.value)
    assert told.startswith(f"model.name = {config.model.name} and task.name = {config.task.name} do not go with")
    assert "\n" not in told


def test_the_shapes_of_experiments_go_together(debug: Config):
    for config in (debug, experiment.load("vunet_300w"), experiment.load("resunet_300w")):
        check_shapes(config)
