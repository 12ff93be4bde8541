"""The task of DPR (TPAMI 2021): a loss for each stage of its training; the model itself gives points."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm.images import affine_maps, cropping
from jaxlm.landmarks import load_scheme
from jaxlm.models.dpr import DPROutputs, coordinates
from jaxlm.tasks import metrics
from jaxlm.tasks.base import Alarm, Task
from jaxlm.tasks.reinitialisation_losses import Weighting, affine_fit, landmark_weighted, theta_loss


@dataclasses.dataclass(frozen=True)
class ReinitialisationTask(Task):
    """Reinitialisation: outputs are `DPROutputs`, of GSR or GLSR, and points are pixels of the wide crop.

    INFERRED, since the authors' training was not released; each stage supervises the networks that the model's `stage`
    trains, and starts from the weights of the one before:

    - `global_reinit`: the theta that best takes the true points, in pixels of the box's crop, to the mean face.
    - `global_regress`: residuals of the true points in the face frame, landmark-weighted, in inter-ocular distances of
      the mean face.
    - `local_reinit`: the similarity that best takes each predicted part to its mean shape.
    - `part_regressors`: residuals of the true points in the part frames, landmark-weighted over all the parts together,
      in sides of the frame.
    - `joint`: the points in the crop after each stage of the model, landmark-weighted, in inter-ocular distances (for
      schemes without eye corners, square roots of the box of the points).

    Attributes:
      input_size, scheme, context, stage: Those of the model; see `jaxlm.models.dpr.GSR`.
      target: The kind of map that theta of stage `global_reinit` should be, a `similarity` or an `affine` map.
      weighting: How landmarks are weighted by their errors; `none` weighs all alike; see `landmark_weights`.
    """

    needs_all_places: ClassVar[bool] = True
    alarms: ClassVar[tuple[Alarm, ...]] = (
        Alarm(
            name="degenerate",
            problem="the affine maps predicted for {:.0%} of the faces are degenerate: they flatten or mirror the face,"
            " or are not finite",
            remedy="a lower --optim.learning-rate, a smaller factor in --optim.rates for the network that predicts the"
            " maps, or more epochs of the stage before",
        ),
    )

    input_size: int
    scheme: str
    context: float
    stage: Literal["global_reinit", "global_regress", "local_reinit", "part_regressors", "joint"]
    target: Literal["similarity", "affine"] = "similarity"
    weighting: Weighting = "sample"

    def loss(self, outputs: DPROutputs, points: jax.Array, visible: jax.Array) -> jax.Array:
        del visible  # Points out of sight are annotated in every scheme we read, and shape the face as the others do.
        stages = {
            "global_reinit": self._global_reinit,
            "global_regress": self._global_regress,
            "local_reinit": self._local_reinit,
            "part_regressors": self._part_regressors,
            "joint": self._joint,
        }
        return stages[self.stage](outputs, points)

    def points(self, outputs: DPROutputs) -> jax.Array:
        return outputs.points

    def degenerate(self, outputs: DPROutputs) -> jax.Array:
        thetas = jnp.stack([outputs.theta, *outputs.part_thetas.values()])
        return coordinates.is_degenerate(thetas).any(axis=0)

    def _global_reinit(self, outputs: DPROutputs, points: jax.Array) -> jax.Array:
        size = coordinates.CROP_SIZE
        to_crop = jnp.asarray(cropping.crop_affine(self.input_size, size, self.context))[None]
        in_crop = cropping.move(points, jnp.broadcast_to(to_crop, outputs.theta.shape))
        fit = affine_fit if self.target == "affine" else affine_maps.similarity_fit
        target = fit(in_crop, jnp.broadcast_to(size * self._mean, in_crop.shape))
        return theta_loss(outputs.theta, coordinates.map_to_theta(target, size), in_crop, self._mean, size)

    def _global_regress(self, outputs: DPROutputs, points: jax.Array) -> jax.Array:
        predicted = coordinates.residual_to_points(outputs.residuals, self._mean, 1)
        truth = cropping.move(points, outputs.matrix) / coordinates.FACE_SIZE
        distance = jnp.broadcast_to(self._distance(jnp.asarray(self._mean)[None]), truth.shape[:1])
        return landmark_weighted(predicted, truth, distance, self.weighting)

    def _local_reinit(self, outputs: DPROutputs, points: jax.Array) -> jax.Array:
        del points  # The network sees predicted points, and maps those to the mean part.
        scheme, size = load_scheme(self.scheme), coordinates.PART_SIZE
        predicted = coordinates.residual_to_points(outputs.residuals, self._mean, coordinates.FACE_SIZE)
        targets, means = coordinates.closed_form_thetas(predicted, scheme), coordinates.mean_parts(scheme)
        per_part = [
            theta_loss(outputs.part_thetas[part], targets[part], predicted[:, indices], means[part], size)
            for part, indices in coordinates.facial_parts(scheme).items()
        ]
        return jnp.mean(jnp.stack(per_part), axis=0)

    def _part_regressors(self, outputs: DPROutputs, points: jax.Array) -> jax.Array:
        scheme, size = load_scheme(self.scheme), coordinates.PART_SIZE
        in_face, means = cropping.move(points, outputs.matrix), coordinates.mean_parts(scheme)
        predicted, truth = [], []
        for part, indices in coordinates.facial_parts(scheme).items():
            predicted.append(coordinates.residual_to_points(outputs.part_residuals[part], means[part], 1))
            to_part = coordinates.theta_to_map(outputs.part_thetas[part], size)
            truth.append(cropping.move(in_face[:, indices], to_part) / size)
        whole = jnp.ones(points.shape[:1])
        return landmark_weighted(jnp.concatenate(predicted, 1), jnp.concatenate(truth, 1), whole, self.weighting)

    def _joint(self, outputs: DPROutputs, points: jax.Array) -> jax.Array:
        distance = self._distance(points)
        loss = landmark_weighted(outputs.points, points, distance, self.weighting)
        if outputs.part_residuals:
            loss += landmark_weighted(outputs.points_global, points, distance, self.weighting)
        return loss

    @property
    def _mean(self) -> np.ndarray:
        return coordinates.mean_face(load_scheme(self.scheme))

    def _distance(self, points: jax.Array) -> jax.Array:
        scheme = load_scheme(self.scheme)
        return metrics.normaliser_distance(points, scheme, metrics.default_normaliser(scheme))
