"""Numbers that show whether a translator keeps structure and style apart.

A translator renders all n x n pairs of n photos: pair (i, j) has the style of photo i and the structure of photo j. The
pairs (i, i) are reconstructions, all others translations. Points, codes and colours of the pictures come in; networks
are elsewhere, and everything here is numpy.
"""

from __future__ import annotations

import numpy as np

from jaxlm.styles.distances import Colours

Checks = dict[str, float]

# Ridge penalties tried, as multiples of the mean squared length of a centred input.
_PENALTIES = 10.0 ** np.arange(-6, 5)


def structure_checks(pairs: np.ndarray, photos: np.ndarray, truth: np.ndarray, distance: np.ndarray) -> Checks:
    """Whether a judge finds the structure's landmarks in translations, and not the style photo's.

    Args:
      pairs: Points that the judge finds in the rendered pairs [n, n, N, 2], in pixels of the crop.
      photos: Points that it finds in the photos [n, N, 2].
      truth: The photos' landmarks [n, N, 2].
      distance: Normaliser [n] of the photos, in pixels of the crop.

    Returns:
      NMEs as fractions: of photos, reconstructions and translations against the structure's landmarks, with ratios, and
      of translations against those of the style photo; the share of translations nearer to the latter; and how far
      points are from their mean over photos, over all structures in one style, and over all styles in one structure.
    """

    def nme(points: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - other, axis=-1).mean(axis=-1) / distance

    changed = ~np.eye(len(photos), dtype=bool)
    to_structure, to_style = nme(pairs, truth[None]), nme(pairs, truth[:, None])
    on_photos, rebuilt = nme(photos, truth).mean(), to_structure.diagonal().mean()
    translated = to_structure[changed].mean()
    return {
        "nme_photos": on_photos,
        "nme_reconstructions": rebuilt,
        "nme_translations": translated,
        "nme_ratio_to_photos": translated / on_photos,
        "nme_ratio_to_reconstructions": translated / rebuilt,
        "nme_to_style": to_style[changed].mean(),
        "nearer_to_style_landmarks": (to_style < to_structure)[changed].mean(),
        "moved_on_photos": nme(photos, photos.mean(axis=0)).mean(),
        "moved_by_structure": nme(pairs, pairs.mean(axis=1, keepdims=True)).mean(),
        "moved_by_style": nme(pairs, pairs.mean(axis=0, keepdims=True)).mean(),
    }


def style_checks(name: str, to_style: np.ndarray, to_structure: np.ndarray) -> Checks:
    """Whether translations look like the style photo or like the structure photo, by some distance called `name`.

    Args:
      name: Name of the distance.
      to_style: Distances [n, n] of pair (i, j) to photo i.
      to_structure: Distances [n, n] of pair (i, j) to photo j.

    Returns:
      Mean distances of translations to both, and the share of translations nearer to the style photo.
    """
    changed = ~np.eye(len(to_style), dtype=bool)
    return {
        f"{name}_to_style": to_style[changed].mean(),
        f"{name}_to_structure": to_structure[changed].mean(),
        f"{name}_nearer_to_style": (to_style < to_structure)[changed].mean(),
    }


def code_checks(pairs: np.ndarray, photos: np.ndarray) -> Checks:
    """Whether the style encoder finds in a translation the style that was put into it.

    Args:
      pairs: Style codes of the rendered pairs [n, n, D].
      photos: Style codes of the photos [n, D].

    Returns:
      For translations, `code_cosine`, the mean cosine of a translation's code with that of its style photo, both less
      the photos' mean code; and `code_top1`, the share whose code is nearest, by that cosine, to its style photo's of
      all n photos, which is 1 / n by chance.
    """
    mean = photos.mean(axis=0)
    pairs, photos = _directions(pairs - mean), _directions(photos - mean)
    cosines = np.einsum("ijd,kd->ijk", pairs, photos, optimize=True)
    index = np.arange(len(photos))
    changed = ~np.eye(len(photos), dtype=bool)
    return {
        "code_cosine": cosines[index, :, index][changed].mean(),
        "code_top1": (cosines.argmax(axis=-1) == index[:, None])[changed].mean(),
    }


def _directions(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def diversity(pairs: Colours, photos: Colours) -> float:
    """Variance of colours over the styles of one structure, divided by that over photos.

    The variance of mean and standard deviation of each channel of Lab is summed, and averaged over structures. Colours
    are those of the rendered pairs [n, n] and of the photos [n].
    """

    def statistics(colours: Colours) -> np.ndarray:
        deviation = np.sqrt(np.diagonal(colours.covariance, axis1=-2, axis2=-1))
        return np.concatenate([colours.mean, deviation], axis=-1)

    return float(statistics(pairs).var(axis=0).sum(axis=-1).mean() / statistics(photos).var(axis=0).sum())


def ridge_probe(
    inputs: np.ndarray, targets: np.ndarray, held_out_inputs: np.ndarray, held_out_targets: np.ndarray
) -> float:
    """R^2 on held-out faces of the best linear prediction of targets from inputs; 0 is as good as the targets' mean.

    Ridge regression in closed form, from inner products of inputs, since they have more dimensions than there are
    faces; of its penalties the one with the least leave-one-out error on the first faces is taken.

    Args:
      inputs: Inputs to fit on [m, D].
      targets: Targets to fit on [m, T].
      held_out_inputs: Inputs to judge by [k, D].
      held_out_targets: Targets to judge by [k, T].
    """
    mean, target_mean = inputs.mean(axis=0), targets.mean(axis=0)
    x, y = inputs - mean, targets - target_mean
    values, vectors = np.linalg.eigh((x @ x.T).astype(np.float64))
    values = np.maximum(values, 0)
    projected = vectors.T @ y

    def weights(penalty: float) -> np.ndarray:
        return vectors @ (projected / (values + penalty)[:, None])

    def leave_one_out(penalty: float) -> float:
        """Mean squared error, each residual being that of a fit without its face."""
        # The mean takes no penalty, so its direction, of eigenvalue 0, does not count.
        inverse = np.sum(vectors**2 / (values + penalty), axis=1) - 1 / (len(x) * penalty)
        return np.mean((weights(penalty) / inverse[:, None]) ** 2)

    penalty = min(_PENALTIES * max(values.mean(), 1e-12), key=leave_one_out)
    predicted = (held_out_inputs - mean) @ (x.T @ weights(penalty))
    return r_squared(predicted + target_mean, held_out_targets)


def r_squared(predicted: np.ndarray, truth: np.ndarray) -> float:
    """1 - sum of squared errors / sum of squares about the mean, of [k, T], over all T together."""
    return float(1 - np.sum((predicted - truth) ** 2) / np.sum((truth - truth.mean(axis=0)) ** 2))
