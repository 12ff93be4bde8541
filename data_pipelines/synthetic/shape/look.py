"""What a synthetic face looks like: everything that is drawn by lot, before anything is painted."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxlm.data_pipelines.record import ATTRIBUTES
from jaxlm.data_pipelines.synthetic.shape.face import Expression
from jaxlm.data_pipelines.synthetic.shape.pose import Camera

HAIR_STYLES = ("bald", "buzz", "short", "parted", "fringe", "long", "long fringe", "curly", "tied", "hat")


@dataclasses.dataclass(frozen=True, eq=False)
class Makeup:
    """Lipstick and eye shadow colours, how strong they and the blush are (0 to 1), and the eye liner's width."""

    lips: np.ndarray
    eyes: np.ndarray
    strength: float
    liner: float


@dataclasses.dataclass(frozen=True, eq=False)
class Light:
    """How a face is lit.

    Attributes:
      direction: Unit vector [3] towards the lamp: right, down, towards the viewer.
      ambient: Light from everywhere.
      diffuse: Light from the lamp; ambient and diffuse of 1 together show a surface's own colour.
      colour: [3], of the light all over the scene.
      shadow: How dark a shadow with a hard edge falls over the picture; 0 is none.
      gain: Exposure.
      gamma: Of the camera's response.
      warmth: Of the white balance, from -1 (blue) to 1 (orange).
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
        """How bright a surface is that looks at the viewer."""
        return 0.95 * self.ambient + 0.8 * self.diffuse * max(0.0, float(self.direction[2]) + 0.25)


@dataclasses.dataclass(frozen=True, eq=False)
class Look:
    """A person in a photograph.

    Attributes:
      attributes: bool [6], in the order of `ATTRIBUTES`.
      identity: Coefficients [NUM_IDENTITY] for `make_shape`.
      expression: For `make_shape`.
      camera: The pose.
      light: How the scene is lit.
      skin: RGB, as `hair`, `iris` and `lips`.
      style: One of `HAIR_STYLES`.
      volume: How far the hair stands off the head, in head units.
      beard: How dense, 0 to 1.
      moustache: The same, above the mouth.
      brow_weight: Opacity of the brows.
      lashes: Width of the lash line, in head units.
      age: How deep folds and bags are, 0 to 1.
      freckles: How strong, 0 to 1.
      glasses: The frame's RGB, or None.
      makeup: None where none is seen.
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
