"""The look of a synthetic face: everything that is sampled at random, before anything is painted."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.synthetic.shape.modes import Expression
from jaxlm.data_pipelines.synthetic.shape.pose import Camera

HAIR_STYLES = ("bald", "buzz", "short", "parted", "fringe", "long", "long fringe", "curly", "tied", "hat")


@dataclasses.dataclass(frozen=True, eq=False)
class Makeup:
    """Colours and strength of make-up.

    Attributes:
      lips: RGB of the lipstick.
      eyes: RGB of the eye shadow.
      strength: Opacity of lipstick, eye shadow and blush, 0 to 1.
      liner: Width of the eye liner, in head units.
    """

    lips: np.ndarray
    eyes: np.ndarray
    strength: float
    liner: float


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """The light on a face.

    Attributes:
      direction: Unit vector [3] towards the lamp: right, down, towards the viewer.
      ambient: Strength of the light from everywhere.
      diffuse: Strength of the light from the lamp; where both sum to 1, a surface shows its own colour.
      colour: RGB factors [3] of the light all over the scene.
      shadow: Strength of a shadow with a hard edge over the picture; 0 is none.
      gain: Exposure.
      gamma: Exponent of the camera's response.
      warmth: White balance, from -1 (blue) to 1 (orange).
    """

    direction: np.ndarray
    ambient: float
    diffuse: float
    colour: np.ndarray
    shadow: float
    gain: float
    gamma: float
    warmth: float

    @property
    def level(self) -> float:
        """Brightness of a surface that faces the viewer."""
        return 0.95 * self.ambient + 0.8 * self.diffuse * max(0.0, float(self.direction[2]) + 0.25)


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """A person in a photograph.

    Attributes:
      attributes: bool [6], in the order of `ATTRIBUTES`.
      identity: Coefficients [NUM_IDENTITY] for `make_shape`.
      expression: Expression for `make_shape`.
      camera: Pose.
      light: Light of the scene.
      skin: RGB of the skin.
      hair: RGB of the hair.
      iris: RGB of the irises.
      lips: RGB of the lips.
      style: Hair style, one of `HAIR_STYLES`.
      volume: How far the hair stands off the head, in head units.
      beard: Density of the beard, 0 to 1.
      moustache: Density of the moustache, 0 to 1.
      brow_weight: Opacity of the brows.
      lashes: Width of the lash line, in head units.
      age: Depth of folds and bags, 0 to 1.
      freckles: Strength of freckles, 0 to 1.
      glasses: RGB of the rims of glasses; None without glasses.
      makeup: Make-up; None without.
    """

    attributes: np.ndarray
    identity: np.ndarray
    expression: Expression
    camera: Camera
    light: Light
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    style: str
    volume: float
    beard: float
    moustache: float
    brow_weight: float
    lashes: float
    age: float
    freckles: float
    glasses: np.ndarray | None
    makeup: Makeup | None

    def has(self, attribute: str) -> bool:
        """Whether the face has one of `ATTRIBUTES`."""
        return bool(self.attributes[ATTRIBUTES.index(attribute)])
