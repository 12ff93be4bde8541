"""DPR: published sizes, the composition of its stages, what each stage trains, and parity with the released weights."""

import collections
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util

from jaxlm import models
from jaxlm.evaluation.cost import count_parameters, summarise
from jaxlm.images import affine_maps, cropping
from jaxlm.interop import torch_checkpoints, torch_files
from jaxlm.landmarks import geometry, load_scheme
from jaxlm.landmarks.schemes import WFLW98
from jaxlm.models import dpr
from jaxlm.models.dpr import coordinates, in_photos
from jaxlm.models.dpr.stages import GlobalReinit, LocalReinit
from jaxlm.models.mobilenetv2_small import MobileNetV2Small
from tiny_regressor import use_tiny_regressors, use_tiny_reinit
from tolerances import assert_float32_close

WIDE = (1, 64, 64, 3)
# What arrays start with where that is not 0.
STARTS = {"scale": 1.0, "var": 1.0, "negative_slope": 0.25}
RELEASED = ("98_points_global_reinit.pth.tar", "98_points_global_regress.pth.tar", "98_points_local_reinit.pth.tar")
# Products one after another in each network: the sizes of its kernels.
REINIT, REGRESS, LOCAL = 1300, 4600, 400
# By how many pixels the points of the tiny regressor move for a pixel by which noise is read elsewhere.
SENSITIVITY = 33


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    use_tiny_regressors(monkeypatch)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@functools.cache
def gsr() -> dpr.GSR:
    return models.build("dpr_gsr", 98, {}, "float32")


@functools.cache
def glsr(**options: str) -> dpr.GLSR:
    return models.build("dpr_glsr", 68, {"scheme": "ibug68"} | options, "float32")


@functools.cache
def variables_of(model: dpr.GSR | dpr.GLSR) -> dict:
    """Variables of a network that sees differences, with thetas off the identity; drawn without compiling `init`."""
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), np.zeros(WIDE, np.float32))
    rng = np.random.default_rng(1)

    def draw(path: str, shape: tuple[int, ...]) -> np.ndarray:
        if path.endswith("/kernel"):
            size = 0.5 if "/fc" in path else 1.0
            return rng.normal(scale=size / np.sqrt(np.prod(shape[:-1])), size=shape).astype(np.float32)
        if path.endswith("/bias") and shape == (6,):
            return np.eye(2, 3, dtype=np.float32).ravel()
        return np.full(shape, STARTS.get(path.split("/")[-1], 0.0), np.float32)

    flat = traverse_util.flatten_dict(shapes, sep="/")
    return traverse_util.unflatten_dict({path: draw(path, leaf.shape) for path, leaf in flat.items()}, sep="/")


@functools.partial(jax.jit, static_argnames=("model", "train"))
def run(model: nn.Module, variables: dict, images: jax.Array, train: bool = False) -> tuple[dpr.DPROutputs, dict]:
    return model.apply(variables, images, train=train, mutable=["batch_stats"])


def in_photo(photo: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The points of `gsr`."""
    networks = dpr.networks_of(gsr(), variables_of(gsr()))
    return dpr.find_in_photo(dpr.Networks(*map(jax.jit, networks)), photo, box)[0]


def with_leaf(variables: dict, path: str, value: np.ndarray) -> dict:
    flat = traverse_util.flatten_dict(variables, sep="/")
    assert path in flat
    return traverse_util.unflatten_dict(flat | {path: jnp.asarray(value, jnp.float32)}, sep="/")


def test_published_sizes():
    measured = summarise(models.build("dpr_glsr", 98, {"local": "network"}, jnp.float32), 256)
    parameters, products = collections.Counter(), collections.Counter()
    for layer in measured.layers:
        network = layer.path.split("/")[0]
        parameters[network] += layer.parameters
        products[network] += layer.products
    assert parameters.pop("", 0) == 0
    assert parameters == {
        "global_reinit": 44_909,
        "global_regress": 493_510,
        "local_reinit": 135_456,
        "part_regressors": 1_287_946,
    }
    assert measured.parameters == 1_961_821
    # By the decimals of the published numbers.
    assert products["global_regress"] / 1e6 == pytest.approx(47.46, abs=0.005)
    assert products["global_reinit"] / 1e6 == pytest.approx(6.34, abs=0.005)
    # Published is what the networks take; each pixel that a warp reads adds six products.
    assert measured.products / 1e6 == pytest.approx(101.3 + 0.85, abs=0.05)


def test_global_regression_has_the_global_networks_alone():
    variables = jax.eval_shape(functools.partial(gsr().init, train=False), jax.random.key(0), np.zeros(WIDE))
    assert count_parameters(variables["params"]) == 44_909 + 493_510


def test_untrained_reinitialisation_changes_nothing():
    crops = np.random.default_rng(0).normal(size=(2, 128, 128, 3)).astype(np.float32)
    theta, _ = jax.jit(GlobalReinit().init_with_output)(jax.random.key(0), crops)
    np.testing.assert_array_equal(theta, np.broadcast_to(np.eye(2, 3), (2, 2, 3)))
    mean = 256 * jnp.asarray(coordinates.mean_face(WFLW98))[None]
    thetas, _ = jax.jit(LocalReinit().init_with_output)(jax.random.key(0), mean)
    # Its last layer starts with its bias alone.
    for part, closed in jax.jit(lambda points: coordinates.closed_form_thetas(points, WFLW98))(mean).items():
        assert_float32_close(thetas[part], closed, depth=2 * 20)


@pytest.mark.usefixtures("tiny")
def test_an_untrained_model_puts_the_mean_face_into_the_box():
    """Untrained reinitialisation changes nothing, see above; nor does a regressor of zeros."""
    variables = with_leaf(variables_of(gsr()), "params/global_regress/fc/kernel", np.zeros((192, 196)))
    variables = with_leaf(variables, "params/global_reinit/head/fc2/kernel", np.zeros((32, 6)))
    outputs, _ = run(gsr(), variables, cropping.normalise(pixels(*WIDE).astype(np.float32)))
    # The box is the central half: pixels 16 to 47, of which the outer edges are at 15.5 and 47.5. A pixel of the face
    # frame is an eighth as wide; its first centre lies a sixteenth and another sixteenth inside.
    assert_float32_close(outputs.points[0], 15.625 + 32 * coordinates.mean_face(WFLW98), depth=30, scale=64)


@pytest.mark.usefixtures("tiny")
def test_the_face_frame_is_where_residuals_are_measured():
    outputs, _ = run(gsr(), variables_of(gsr()), cropping.normalise(pixels(*WIDE).astype(np.float32)))
    face_points = coordinates.residual_to_points(outputs.residuals, coordinates.mean_face(WFLW98), 256)
    assert_float32_close(cropping.move(outputs.points, outputs.matrix), face_points, depth=30)
    to_crop = jnp.asarray(cropping.crop_affine(64, 128, 2.0))[None]
    composed = affine_maps.compose(coordinates.crop_to_face(outputs.theta), to_crop)
    assert_float32_close(outputs.matrix, composed, depth=12)
    assert np.abs(outputs.theta[0] - np.eye(2, 3)).max() > 0.01
    np.testing.assert_array_equal(outputs.points, outputs.points_global)


@pytest.mark.usefixtures("tiny")
def test_a_wide_crop_and_a_photo_of_it_give_the_same_points():
    """The face's box is the middle of the crop, and so a box of the photo."""
    wide = pixels(1, 256, 256, 3)
    outputs, _ = run(gsr(), variables_of(gsr()), cropping.normalise(wide.astype(np.float32)))
    photo = dpr.locate_in_photos(gsr(), variables_of(gsr()), wide, [[64, 64, 191, 191]])
    assert_float32_close(outputs.points, photo.points, depth=30, scale=SENSITIVITY * 256)


@pytest.mark.usefixtures("tiny")
def test_points_move_with_the_face_through_a_padded_photo():
    face, box = pixels(90, 70, 3), np.float32([10, 12, 60, 80])
    photo = np.zeros((200, 150, 3), np.uint8)
    photo[40:130, 30:100] = face
    found = [in_photo(face, box), in_photo(photo, box + np.float32([30, 40, 30, 40]))]
    assert_float32_close(found[0] + np.float32([[30, 40]]), found[1], depth=30, scale=200)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_points_turn_with_the_photo_and_the_roll_of_the_box(quarters: int):
    """np.rot90 turns counterclockwise: the pixel (x, y) of 70 columns comes to (y, 69 - x), and so on."""
    photo, centre, half = pixels(90, 70, 3), np.float64([36, 44]), np.float64([20, 26])
    turned, middle = photo, centre
    for _ in range(quarters):
        middle = np.array([middle[1], turned.shape[1] - 1 - middle[0]])
        turned = np.rot90(turned)
    upright = in_photo(photo, np.concatenate([centre - half, centre + half]))
    found = in_photo(turned, np.concatenate([middle - half, middle + half, [-90 * quarters]]))
    expected = geometry.transform(upright - centre, geometry.rotation(-90 * quarters, np.zeros(2))) + middle
    # A grey value here and there is rounded to the other side.
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)


@pytest.mark.usefixtures("tiny")
def test_photos_are_seen_as_by_the_program_of_one_size():
    """Which samples without rounding to grey values, of which the face has 65,000."""
    photo, box = pixels(200, 150, 3), np.float32([30, 20, 120, 140])
    whole = dpr.locate_in_photos(gsr(), variables_of(gsr()), photo[None], box[None])
    np.testing.assert_allclose(in_photo(photo, box), whole.points[0], rtol=0, atol=0.5)


def test_what_lies_beyond_the_photo_is_black():
    photo = np.full((40, 50, 3), 9, np.uint8)
    crop = in_photos.cut(photo, np.array([[1.0, 0, 10], [0, 1, -30]]), 64)
    assert (crop[:10, 10:60] == 9).all()
    assert (crop.astype(int).sum(), crop[:10, :10].max(), crop[11:].max()) == (9 * 3 * 10 * 50, 0, 0)


@pytest.mark.usefixtures("tiny")
def test_parts_replace_their_points_and_the_contour_stays():
    outputs, _ = run(glsr(), variables_of(glsr()), cropping.normalise(pixels(*WIDE).astype(np.float32)))
    scheme = load_scheme("ibug68")
    parts, means = coordinates.facial_parts(scheme), coordinates.mean_parts(scheme)
    assert_float32_close(outputs.points[:, :17], outputs.points_global[:, :17], depth=20, scale=64)

    @jax.jit
    def in_frames(outputs: dpr.DPROutputs) -> tuple[dict, dict, dict]:
        """What thetas should be, the points in the frame of each part, and where residuals say that they are."""
        in_face, in_face_global = (cropping.move(p, outputs.matrix) for p in (outputs.points, outputs.points_global))
        maps = {part: coordinates.theta_to_map(theta, 128) for part, theta in outputs.part_thetas.items()}
        in_part = {part: cropping.move(in_face[:, indices], maps[part]) for part, indices in parts.items()}
        said = {part: coordinates.residual_to_points(outputs.part_residuals[part], means[part], 128) for part in parts}
        return coordinates.closed_form_thetas(in_face_global, scheme), in_part, said

    closed, in_part, said = in_frames(outputs)
    for part, indices in parts.items():
        # Parts are 40 pixels and more of the face's 256, and become 128.
        assert_float32_close(outputs.part_thetas[part], closed[part], depth=2 * 20 + 20, scale=256 / 40)
        assert_float32_close(in_part[part], said[part], depth=2 * 20 + 20, scale=256 / 40 * 128)
        assert np.abs(outputs.points - outputs.points_global)[:, indices].max() > 0.1


@pytest.mark.usefixtures("tiny")
def test_a_degenerate_theta_falls_back_to_the_box_at_evaluation_alone():
    images = cropping.normalise(pixels(*WIDE).astype(np.float32))
    flat = with_leaf(variables_of(gsr()), "params/global_reinit/head/fc2/kernel", np.zeros((32, 6)))
    flat = with_leaf(flat, "params/global_reinit/head/fc2/bias", np.zeros(6))
    identity = with_leaf(flat, "params/global_reinit/head/fc2/bias", np.eye(2, 3).ravel())
    outputs, _ = run(gsr(), flat, images)
    assert coordinates.is_degenerate(outputs.theta).all()
    np.testing.assert_array_equal(outputs.points, run(gsr(), identity, images)[0].points)
    assert not np.isfinite(run(gsr(), flat, images, train=True)[0].points).all()


@functools.partial(jax.jit, static_argnames="model")
def gradients(model: nn.Module, variables: dict, images: jax.Array) -> tuple[dict, dict]:
    """Gradients of a loss that every output takes part in, and the batch statistics afterwards."""

    def loss(params: dict) -> tuple[jax.Array, dict]:
        outputs, updates = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
        return sum(jnp.sum(jnp.sin(leaf)) for leaf in jax.tree.leaves(outputs)), updates["batch_stats"]

    return jax.grad(loss, has_aux=True)(variables["params"])


NETWORKS = ("global_reinit", "global_regress", "local_reinit", "part_regressors")


@pytest.mark.usefixtures("tiny")
def test_the_joint_stage_trains_every_network(monkeypatch: pytest.MonkeyPatch):
    """With a stand-in for that of the first stage, too: what counts is the way that the gradient takes."""
    use_tiny_reinit(monkeypatch)
    model = glsr(local="network", stage="joint")
    variables = variables_of(model)
    gradient, statistics = gradients(model, variables, cropping.normalise(pixels(*WIDE).astype(np.float32)))
    assert set(gradient) == set(NETWORKS)
    gradient, statistics = jax.device_get((gradient, statistics))
    assert all(any(map(np.any, jax.tree.leaves(gradient[network]))) for network in NETWORKS)
    for network in ("global_regress", "part_regressors"):
        changed = jax.tree.map(lambda a, b: (a != b).any(), variables["batch_stats"][network], statistics[network])
        assert any(jax.tree.leaves(changed))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_options_that_do_not_fit():
    with pytest.raises(ValueError, match="scheme = wflw98 has 98 points and the data 68"):
        models.build("dpr_gsr", 68, {}, "float32")
    with pytest.raises(ValueError, match="set local = network"):
        models.build("dpr_glsr", 98, {"stage": "local_reinit"}, "float32")
    with pytest.raises(ValueError, match="scheme cofw29 has no mean face"):
        models.build("dpr_gsr", 29, {"scheme": "cofw29"}, "float32")


@pytest.fixture(scope="module")
def released(shared_data: pathlib.Path) -> dict:
    """The authors' weights."""
    pytest.importorskip("torch")
    state = torch_files.merge({name: torch_files.read_checkpoint(shared_data / "dpr" / name) for name in RELEASED})
    converted = torch_checkpoints.convert_state(state, "dpr_glsr", without=["part_regressors"])
    assert converted.report.ok
    return converted.variables


@pytest.fixture(scope="module")
def reference(shared_data: pathlib.Path) -> dict[str, np.ndarray]:
    with np.load(shared_data / "dpr" / "gsr_reference.npz") as archive:
        return dict(archive)


@jax.jit
def theta_of(released: dict, crops: jax.Array) -> jax.Array:
    return GlobalReinit().apply({"params": released["params"]["global_reinit"]}, crops)


@jax.jit
def residuals_of(released: dict, faces: jax.Array) -> jax.Array:
    variables = {collection: tree["global_regress"] for collection, tree in released.items()}
    return MobileNetV2Small(98).apply(variables, faces, train=False).reshape(-1, 98, 2)


def ramp(size: int) -> np.ndarray:
    """The published input: a ramp over BGR planes, in this project's RGB pixels."""
    planes = np.linspace(-1, 1, 3 * size * size, dtype=np.float32).reshape(3, size, size)
    return planes[::-1].transpose(1, 2, 0)[None] * np.float32(127.5 / 128)


def rgb(image: np.ndarray) -> np.ndarray:
    return cropping.normalise(image[None, :, :, ::-1].astype(np.float32))


def test_released_weights_on_images_without_a_face(released: dict):
    zeros = theta_of(released, np.zeros((1, 128, 128, 3), np.float32))[0].ravel()
    expected = [0.7983912, -0.02545854, 0.10884441, 0.02780899, 0.8987538, 0.00527052]
    assert_float32_close(zeros, expected, REINIT)
    ramps = theta_of(released, ramp(128))[0].ravel()
    expected = [0.79749244, -0.05691918, 0.1233981, 0.06132332, 0.87478757, -0.00713893]
    assert_float32_close(ramps, expected, REINIT)
    zeros = residuals_of(released, np.zeros((1, 256, 256, 3), np.float32)).ravel()
    assert_float32_close(zeros[:4], [0.08628277, -0.10125463, 0.07915638, -0.12751982], REGRESS)
    assert_float32_close(zeros.sum(), -14.13426, REGRESS, scale=np.abs(zeros).sum())
    ramps = residuals_of(released, ramp(256)).ravel()
    assert_float32_close(ramps[:4], [0.07000534, -0.08514409, 0.06504901, -0.11295239], REGRESS)
    assert_float32_close(ramps.sum(), -11.40378, REGRESS, scale=np.abs(ramps).sum())


def test_released_weights_on_stored_crops(released: dict, reference: dict):
    for name in faces_of(reference):
        theta = theta_of(released, rgb(reference[f"{name}/input128_bgr"]))
        residuals = residuals_of(released, rgb(reference[f"{name}/input256_bgr"]))
        assert_float32_close(theta.ravel(), reference[f"{name}/reinit_params"], REINIT)
        assert_float32_close(residuals.ravel(), reference[f"{name}/residual"], REGRESS)
        matrix = affine_maps.compose(
            coordinates.crop_to_face(theta), coordinates.box_to_crop(reference[f"{name}/rect"][None])
        )
        points = coordinates.residual_to_points(residuals, coordinates.mean_face(WFLW98), 256)
        in_photo = cropping.move(points, affine_maps.invert(matrix))[0]
        # Residuals and thetas in units of half a face, up to 400 pixels wide here.
        assert_float32_close(in_photo, reference[name], REINIT + REGRESS, scale=200)
        thetas = LocalReinit().apply({"params": released["params"]["local_reinit"]}, points)
        local = np.stack([thetas[part][0].ravel() for part in coordinates.PARTS])
        assert_float32_close(local, reference[f"{name}/local_theta"], REGRESS + LOCAL)
        closed = coordinates.closed_form_thetas(points, WFLW98)
        errors = [
            np.linalg.norm(thetas[part] - closed[part]) / np.linalg.norm(closed[part]) for part in coordinates.PARTS
        ]
        assert np.median(errors) < 0.025  # The network was taught these, and learnt them that well.


def test_released_weights_on_photographs(released: dict, reference: dict, shared_data: pathlib.Path):
    cv2 = pytest.importorskip("cv2")
    names = faces_of(reference)
    files = {file.stem: file for file in (shared_data / "wflw" / "WFLW_images").rglob("*.jpg")}
    photos = [cv2.imread(str(files[name.removesuffix("_0")]))[:, :, ::-1] for name in names]
    networks = dpr.Networks(*map(jax.jit, dpr.networks_of(gsr(), released)))
    for name, photo in zip(names, photos, strict=True):
        points, _ = dpr.find_in_photo(networks, photo, reference[f"{name}/rect"])
        nme = np.linalg.norm(points - reference[f"{name}/gt"], axis=-1).mean() / reference[f"{name}/iod"]
        # The published points are of pixels by another JPEG decoder, which differ by a grey level here and there.
        assert nme == pytest.approx(reference[f"{name}/nme"], abs=5e-4)


def faces_of(reference: dict) -> list[str]:
    return sorted(name for name in reference if "/" not in name)
