"""The hair of a synthetic face: a shell around the head that ends at a hairline, with strands down from the crown."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from jaxlm.data_pipelines.synthetic.painting.paint import blend, curve, draw_lines, fill
from jaxlm.data_pipelines.synthetic.painting.surface import SMALL, noise, normals, rasterise
from jaxlm.data_pipelines.synthetic.shape.look import Look
from jaxlm.data_pipelines.synthetic.shape.posed_face import PosedFace, gloss, shade
from jaxlm.data_pipelines.synthetic.shape.template import ANGLES, template

_LINE_ANGLES = (0, 25, 45, 60, 70, 80, 90, 100, 140, 180)
_SHORT = (-0.14, -0.135, -0.10, 0.00, 0.12, 0.22, 0.30, 0.22, 0.50, 0.58)
_DOWN = 2.0
# At brightnesses in hundredths [256, 1]: the share of hair's own colour that is seen, and the light that it mirrors.
_STEPS = np.arange(256, dtype=np.float32)[:, None] / 100
_GLINT = 14 * np.maximum(0, _STEPS - 0.9)


@dataclasses.dataclass(frozen=True)
class _Style:
    """A hair style.

    Attributes:
      line: Heights that the hair reaches down to, in template coordinates, at `_LINE_ANGLES` from the front.
      parting: Height by which the line is lower on one side of the forehead and higher on the other.
      volume: How far the hair stands off the head, relative to other styles.
      ragged: Unevenness of the line, in head units.
      texture: Name of a `noise`; None for knitted ribs.
    """

    line: tuple[float, ...] = _SHORT
    parting: float = 0.0
    volume: float = 1.0
    ragged: float = 0.04
    texture: str | None = "strands"


_STYLES = {
    "buzz": _Style(),
    "short": _Style(),
    "parted": _Style(parting=0.07),
    "fringe": _Style(line=(0.05, 0.06, 0.08, 0.14, 0.20, 0.28, 0.32, 0.25, 0.50, 0.58), ragged=0.10),
    "long": _Style(line=(-0.15, -0.13, -0.07, 0.12, 1.2, *(_DOWN,) * 5), parting=0.03, ragged=0.05),
    "long fringe": _Style(line=(0.06, 0.08, 0.10, 0.30, 1.2, *(_DOWN,) * 5), ragged=0.09),
    "curly": _Style(volume=1.8, ragged=0.06, texture="curls"),
    "tied": _Style(volume=0.45, ragged=0.02),
    "hat": _Style(line=(-0.05, -0.05, -0.03, 0.0, 0.03, 0.05, 0.08, 0.12, 0.25, 0.30), ragged=0.0, texture=None),
}


@functools.cache
def inside_hairline(style: str) -> np.ndarray:
    """Height of each point of the head above the hairline [rows, columns], in head units."""
    cut = _STYLES[style]
    line = np.interp(np.abs(ANGLES), _LINE_ANGLES, cut.line)
    line = line + cut.parting * np.sin(np.deg2rad(np.clip(1.6 * ANGLES, -180, 180)))
    return (line[None] - template().skull[..., 1]).astype(np.float32)


# Hair is smooth: a coarser surface serves. It keeps both ends of the rings.
_COARSE = np.s_[:, ::2]


def paint_back_hair(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> None:
    """Paints long hair, or a bun, behind the head."""
    hair = look.hair * look.light.level
    if look.style == "tied":
        bun = face.to_frame(np.array([0.0, -0.42, -0.95], np.float32))
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ring = bun + 0.20 * face.scale * np.stack([np.cos(angles), 0.9 * np.sin(angles)], axis=-1)
        fill(image, curve(ring, closed=True), 0.7 * hair)
    if not look.style.startswith("long"):
        return
    ends = rng.uniform(0.9, 1.5)
    x = np.array([0.30, 0.50, 0.55, 0.57, 0.58, 0.50])
    y = np.array([-0.30, 0.00, 0.35, 0.65, 0.35 + 0.65 * ends, 0.45 + 0.85 * ends])
    right = np.stack([x, y, np.full(6, -0.62)], axis=-1)
    outline = face.to_frame(np.concatenate([right, (right * (-1, 1, 1))[::-1]]))
    fill(image, curve(outline, closed=True), 0.42 * hair)
    top, bottom = outline[[8, 9, 10, 3, 2, 1]], outline[[6, 6, 7, 4, 5, 5]]
    side = rng.integers(0, 2, 36) * 3
    first, second = rng.uniform(0, 1, (2, 36, 1))
    start = top[side] + first * (top[side + 2] - top[side])
    end = bottom[side] + second * (bottom[side + 2] - bottom[side])
    strands = np.stack([start, 0.5 * (start + end) + rng.normal(0, 0.015, (36, 2)), end], axis=1)
    for group, (tone, width) in enumerate(((0.3, 0.012), (0.55, 0.008), (0.75, 0.005))):
        draw_lines(image, strands[group::3], tone * hair, width * face.scale)


@functools.cache
def _stand_off(style: str) -> np.ndarray:
    """Displacement from the head to the hair's surface [rows, columns, 3], for a volume of 1."""
    skull = template().skull[_COARSE]
    tall = skull[..., 1:2]
    # Fuller at the crown than at the sides, and thin at its edge.
    edge = np.clip(inside_hairline(style)[_COARSE][..., None] / 0.10, 0.12, 1)
    thickness = _STYLES[style].volume * (0.65 + 0.6 * np.clip(0.2 - tall, 0, 0.6)) * edge
    middle = 0.15 + np.minimum(0.75 * (tall[:, :1] - 0.15), 0.64)
    axis = np.concatenate([np.zeros_like(middle), middle, np.full_like(middle, -0.52)], axis=-1)
    outward = (_hang(skull) if style.startswith("long") else skull) - axis
    return (thickness * outward / (np.linalg.norm(outward, axis=-1, keepdims=True) + 1e-3)).astype(np.float32)


def _shell(face: PosedFace, look: Look) -> np.ndarray:
    """The hair's outer surface [rows, columns, 3] in head coordinates."""
    skull = face.shape.skull[_COARSE]
    return (_hang(skull) if look.style.startswith("long") else skull) + np.float32(look.volume) * _stand_off(look.style)


@functools.cache
def _fall() -> tuple[int, np.ndarray, np.ndarray]:
    """The first ring hair hangs from, how far the others [rows, 1] are below it, and how far it spreads [columns]."""
    rows = template().skull[:, 0, 1]
    first = int(np.searchsorted(rows, 0.36))
    return first, (rows[first:] - rows[first])[:, None], 0.10 + 0.35 * np.clip((np.abs(ANGLES[::2]) - 60) / 30, 0, 1)


def _hang(skull: np.ndarray) -> np.ndarray:
    """The head with what is below the eyes drawn straight down, as hair falls past the jaw."""
    first, fallen, spread = _fall()
    hanging = skull.copy()
    hanging[first:, :, 0] = skull[first, :, 0] * (1 + spread * fallen)
    hanging[first:, :, 1] += 0.9 * fallen
    hanging[first:, :, 2] = skull[first, :, 2]
    return hanging


@functools.cache
def _texture_positions() -> tuple[np.ndarray, np.ndarray]:
    """Positions of the shell's points on the head [rows, columns]: around it, -1 to 1, and the height."""
    tall = template().skull[_COARSE][..., 1]
    return np.broadcast_to(ANGLES[::2] / np.float32(180), tall.shape), tall


def paint_hair(image: np.ndarray, face: PosedFace, look: Look, rng: np.random.Generator) -> np.ndarray | None:
    """Paints hair, or a hat, over the head.

    Returns:
      How far it covers each pixel, uint8 [size, size], or None for a bare head.
    """
    if look.style in ("bald", "buzz"):
        return None
    cut, inside = _STYLES[look.style], inside_hairline(look.style)[_COARSE]
    shell = face.camera.project(_shell(face, look))
    normal = normals(shell, face.scale)
    bright: np.ndarray = 0.85 * shade(normal, look.light) + 0.5 * look.light.diffuse * gloss(normal, look.light)
    sharp = 45 if cut.ragged else 120
    across, down = _texture_maps(cut, rng)
    # Hanging hair stretches the shell.
    steps = (5 if look.style.startswith("long") else 3, 6)
    drawn, small, covered = rasterise(shell, normal[2], [sharp * inside, bright, across, down], face.near_last, steps)

    # Only the part of the picture that has hair in it.
    x, y, width, height = cv2.boundingRect(((covered > 0.15) & (small[..., 0] > -sharp * cut.ragged)).astype(np.uint8))
    if not width:
        return None
    part = np.s_[y : y + height, x : x + width]
    top, left = drawn[0].start + y, drawn[1].start + x
    size = len(image)
    rows = np.s_[size * top // SMALL : size * (top + height) // SMALL]
    box = rows, np.s_[size * left // SMALL : size * (left + width) // SMALL]
    region = image[box]
    # Where the surface is stretched its pixels lie apart.
    frizz = 5 * np.minimum(2 * covered[part], 1) - 2.5
    above, bright, across, down = cv2.split(cv2.resize(small[part], region.shape[1::-1]))
    fray = _fray(cut, across, down)
    loose = cv2.scaleAdd(fray, -1.75 if cut.texture == "curls" else -0.6, cv2.resize(frizz, region.shape[1::-1]))
    alpha = np.minimum(cv2.scaleAdd(fray, sharp * cut.ragged, above), loose)
    mask = cv2.convertScaleAbs(cv2.threshold(alpha, 0, 0, cv2.THRESH_TOZERO)[1], alpha=255)
    value = cv2.convertScaleAbs(cv2.scaleAdd(bright * fray, 0.45, bright), alpha=100 if cut.texture else 90)
    colour = look.hair if cut.texture else rng.uniform(20, 200, 3)
    table = np.minimum(_STEPS * colour + _GLINT, 255).astype(np.uint8)
    blend(region, cv2.applyColorMap(value, table[:, None]), mask)
    hidden = np.zeros((size, size), np.uint8)
    hidden[box] = mask
    return hidden


def _texture_maps(cut: _Style, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the shell's points in the style's texture [rows, columns], in pixels."""
    around, tall = _texture_positions()
    if cut.texture is None:
        return 420 * around, tall
    x, y = rng.uniform(0, 512, 2).tolist()
    return 700 * around + (x + 3500 * cut.parting * tall), 260 * tall + y


def _fray(cut: _Style, across: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The texture, -1 to 1, at the positions of `_texture_maps`."""
    if cut.texture is None:
        return 0.3 * np.sin(across)
    texture = _strands(cut.texture)
    # The texture repeats: its sides are powers of two.
    last = len(texture) - 1
    index = (down.astype(np.int32) & last) * len(texture) + (across.astype(np.int32) & last)
    return texture.ravel().take(index) * np.float32(1 / 128)


@functools.cache
def _strands(name: str) -> np.ndarray:
    """A `noise` texture, int8 [512, 512] around 0."""
    return (noise(name) ^ 128).view(np.int8)
