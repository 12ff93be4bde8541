"""Measures whether a translator keeps structure and style apart, on all pairs of some held-out faces."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxlm import checkpoints, models
from jaxlm.checkpoints import Trained
from jaxlm.checkpoints.identity import model_identity
from jaxlm.drawing import pictures
from jaxlm.evaluation.folders import check_free, free_folder, title_of
from jaxlm.evaluation.judged_faces import VALIDATION, open_for
from jaxlm.files import write_json
from jaxlm.files.folders import make_folder
from jaxlm.landmarks import Scheme
from jaxlm.styles import distances, feature_networks, translation
from jaxlm.styles.checks import Checks
from jaxlm.styles.pairs import (
    PROBE_FACES,
    Measures,
    check_codes,
    check_pairs,
    check_swap,
    codes_of,
    landmark_finder,
    render_pairs,
    spread,
)
from jaxlm.styles.rendering import points_in_crops, training_faces
from jaxlm.styles.translation import Translator
from jaxlm.tasks import metrics

MOST_FACES = 64
"""All pairs of at most 64 faces are rendered."""

_FILE = "disentangle.json"

# The picture shows the pairs of at most 16 faces.
_SHOWN = 16

# Each check by its name: its label in the table, the factor of its value there, and the value hoped for.
_TABLE = {
    "nme_photos": ("NME of photos, %", 100, "the floor"),
    "nme_reconstructions": ("NME of reconstructions, %", 100, "near the floor"),
    "nme_translations": ("NME of translations, %", 100, "near the floor"),
    "nme_ratio_to_photos": ("  / NME of photos", 1, ""),
    "nme_ratio_to_reconstructions": ("  / NME of reconstructions", 1, "under 1.3"),
    "nme_to_style": ("NME to the style photo's points, %", 100, "far above"),
    "nearer_to_style_landmarks": ("nearer to the style photo's points, %", 100, "0"),
    "moved_on_photos": ("points move between photos by, NME %", 100, ""),
    "moved_by_structure": ("  between structures of one style", 100, "as much"),
    "moved_by_style": ("  between styles of one structure", 100, "small"),
    "probe_code": ("R^2 of landmarks from style codes", 1, "low"),
    "probe_pixels": ("R^2 of landmarks from pixels", 1, "to compare"),
    "probe_mean": ("R^2 of landmarks from their mean", 1, "0"),
    "colour_to_style": ("colours to the style photo, Lab", 1, "small"),
    "colour_to_structure": ("colours to the structure photo, Lab", 1, "large"),
    "colour_nearer_to_style": ("colours nearer to the style photo, %", 100, "over 90"),
    "texture_to_style": ("texture to the style photo", 1, "small"),
    "texture_to_structure": ("texture to the structure photo", 1, "about 1"),
    "texture_nearer_to_style": ("texture nearer to the style photo, %", 100, "high"),
    "code_cosine": ("style code found again, cosine", 1, "1"),
    "code_top1": ("style photo found by its code, %", 100, "100"),
    "diversity": ("variance of colours / that of photos", 1, "0.5 to 1"),
    "l1": ("L1 of reconstructions, of 255", 1, "small"),
    "ms_ssim": ("MS-SSIM of reconstructions", 1, "1"),
    "swap": ("diagonal against reconstruct, of 255", 1, "under 1"),
}


def check_judge(judge: Trained, translator: Translator, split: str) -> None:
    """Raises ValueError where a run cannot judge a translator.

    It must be a detector, trained on photos alone, and on none of the faces that the translator held out.
    """
    if judge.config.model.name in models.TRANSLATORS:
        raise ValueError(f"the judge is a {judge.config.model.name}, a translator; give a run that trained a detector")
    data, ours = judge.config.data, translator.config.data
    if data.styled:
        raise ValueError(f"the judge was trained on styled faces ({data.styled}); give one that has seen photos alone")
    same = data.dataset in (ours.dataset, pathlib.PurePath(ours.dataset).name)  # Files of weights keep the name alone.
    if split == VALIDATION and same and data.validation_percent < ours.validation_percent:
        raise ValueError(
            f"the judge held out {data.validation_percent} % of {data.dataset} and the translator"
            f" {ours.validation_percent} %: it was trained on some of the faces it would judge"
        )


def check_translator(
    workdir: pathlib.Path,
    judge: pathlib.Path,
    dataset: str | None = None,
    data_dir: str | None = None,
    split: str = VALIDATION,
    faces: int = 16,
    step: int | None = None,
    out: pathlib.Path | None = None,
) -> Checks:
    """Makes all checks, prints the table, and writes disentangle.json and disentangle.png.

    The files go to `out`, by default `WORKDIR/evaluation/DATASET-SPLIT/`; a number follows where other results lie
    there. The arguments are those of jaxlm.disentangle.

    Raises:
      CheckpointError: A run cannot be loaded.
      FileExistsError: `out` holds results of other models or faces.
      ValueError: There are too few faces, or the judge cannot judge them.
    """
    translator, trained = translation.load_translator(workdir, step), checkpoints.open_model(judge)
    check_judge(trained, translator, split)
    data, scheme = translator.config.data, trained.scheme
    held_out, _, identity, notes = open_for(translator, dataset, split, data_dir)
    dataset, data_dir = dataset or data.dataset, data_dir or data.data_dir
    training = training_faces(translator, dataset, data_dir)
    if not 2 <= faces <= min(MOST_FACES, len(held_out)):
        raise ValueError(f"--faces {faces}: give 2 to {MOST_FACES} of the {len(held_out)} faces of {dataset}, {split}")
    chosen = held_out.take(spread(len(held_out), faces))
    images, points = translation.crops_of(chosen, np.arange(faces), translator)
    structures = translation.structures_of(points, translator)
    photos, pairs = translation.to_uint8(images), render_pairs(translator, images, structures)
    truth = points_in_crops(chosen.in_scheme(scheme), translator)
    distance = metrics.normaliser_distance(truth, scheme, metrics.default_normaliser(scheme))
    if not (distance > 0).all():
        name = chosen.names[int(np.argmin(np.asarray(distance)))]
        raise ValueError(
            f"{chosen.dataset}, {chosen.split}: {name} has a normaliser of 0, so it cannot be judged by it"
        )
    protocol = {
        "run": f"{workdir}, step {translator.step}",
        "data": f"{chosen.dataset}, {chosen.split}: {faces} of {len(held_out)} faces, all {faces**2} pairs",
        "crop": f"{data.crop:g} face boxes, {images.shape[1]} px; box: {chosen.box}",
        "judge": f"{judge}, step {trained.step}, trained on {trained.config.data.dataset}, photos alone",
        **methods(scheme, images.shape[1], len(training), len(held_out)),
        **notes,
    }
    models_of = {"model": model_identity(translator), "judge": model_identity(trained)}
    about = {"protocol": protocol, "faces": identity, **models_of}
    if out:
        make_folder(out)
        check_free(out / _FILE, about)
    network = feature_networks.LaplacianFeatures()
    scales = distances.texture_scales(network, images)
    measures = Measures(
        find=landmark_finder(trained, translator),
        texture=jax.jit(functools.partial(distances.textures_of, network, scales)),
        encode=functools.partial(codes_of, translator),
    )
    checks = check_pairs(photos, pairs, truth, np.asarray(distance), measures)
    checks |= check_codes(translator, training, held_out)
    checks["swap"] = check_swap(translator, images, structures, pairs)
    checks = {name: float(checks[name]) for name in _TABLE}
    print_table(checks, protocol)
    parent = pathlib.Path(workdir) / "evaluation"
    directory = out or free_folder(parent, title_of(chosen), about, _FILE)
    write_files(directory, checks, about, photos, pairs)
    print(f"Wrote {directory / _FILE}\n      {directory / 'disentangle.png'}")
    return checks


def methods(scheme: Scheme, size: int, training: int, held_out: int) -> dict[str, str]:
    """How each kind of check is made, by its name.

    Args:
      scheme: Scheme of the judge's landmarks.
      size: Side of the crops in pixels.
      training: How many training faces there are.
      held_out: How many held-out faces there are.
    """
    normaliser = metrics.default_normaliser(scheme).replace("_", "-")
    return {
        "NME": f"mean over points and faces, by {normaliser} distance, {scheme.name}",
        "colours": "Frechet distance of normal distributions in CIE Lab",
        "texture": "Gram matrices of a Laplacian pyramid; 1 is the distance of two photos",
        "probe": f"ridge, fitted on {min(training, PROBE_FACES)} training faces, judged by"
        f" {min(held_out, PROBE_FACES)} held out",
        "MS-SSIM": f"{distances.num_scales(size)} of 5 scales",
    }


def print_table(checks: Checks, protocol: Mapping[str, str]) -> None:
    """Prints the protocol, then each check with what is hoped for."""
    for name, text in protocol.items():
        print(f"{name + ':':12s}{text}")
    print(f"\n{'check':42s}{'value':>10s}   hoped for")
    for name, (label, factor, hoped) in _TABLE.items():
        print(f"{label:42s}{factor * checks[name]:10.3f}   {hoped}".rstrip())
    print()


def write_files(
    directory: pathlib.Path, checks: Checks, about: Mapping[str, Any], photos: np.ndarray, pairs: np.ndarray
) -> None:
    """Writes disentangle.json (fractions, and what they are of) and disentangle.png, the pairs of up to 16 photos."""
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / _FILE, {**about, "checks": checks})
    shown = spread(len(photos), _SHOWN)
    grid = pictures.transfer_grid(photos[shown], photos[shown], pairs[np.ix_(shown, shown)])
    pictures.save_image(directory / "disentangle.png", grid)
