"""A picture of a prepared set's frames with their landmarks drawn, to look at before training on them."""

from __future__ import annotations

import cv2
import numpy as np

from data_pipelines.faces import Faces
from jaxlm.landmarks import Scheme, load_scheme

MAX_FACES, COLUMNS, TILE = 24, 6, 256
EDGE_COLOUR, POINT_COLOUR, HIDDEN_COLOUR = (90, 200, 255), (60, 255, 60), (255, 80, 80)


def contact_sheet(faces: Faces) -> np.ndarray:
    """Up to 24 frames, evenly spaced over the faces, with points and edges; RGB uint8 [rows * 256, 6 * 256, 3].

    Hidden points are red.
    """
    scheme = load_scheme(faces.scheme)
    count = min(len(faces), MAX_FACES)
    chosen = np.linspace(0, len(faces) - 1, count).astype(int)
    rows = -(-count // COLUMNS)
    tiles = np.zeros((rows * COLUMNS, TILE, TILE, 3), np.uint8)
    for i, (image, index) in enumerate(zip(faces.images(chosen), chosen, strict=True)):
        tiles[i] = draw_face(image, faces.points[index], faces.visible[index], scheme)
    return tiles.reshape(rows, COLUMNS, TILE, TILE, 3).swapaxes(1, 2).reshape(rows * TILE, COLUMNS * TILE, 3)


def draw_face(image: np.ndarray, points: np.ndarray, visible: np.ndarray, scheme: Scheme) -> np.ndarray:
    """The frame [F, F, 3] resized to a tile, with its points [N, 2] and the scheme's edges drawn on it."""
    scale = TILE / len(image)
    tile = cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # OpenCV takes whole numbers, here sixteenths of a pixel.
    places = np.rint(((points + 0.5) * scale - 0.5) * 16).astype(int).tolist()
    for a, b in scheme.edges:
        cv2.line(tile, places[a], places[b], EDGE_COLOUR, 1, cv2.LINE_AA, shift=4)
    for place, seen in zip(places, visible, strict=True):
        cv2.circle(tile, place, 18, POINT_COLOUR if seen else HIDDEN_COLOUR, -1, cv2.LINE_AA, shift=4)
    return tile
