// BlazeFace, which finds faces in squares of 128 px, as jaxlm/prediction/detectors/blazeface.py runs it.

import { rint } from "./geometry.js";
import { blank, resize } from "./pixels.js";

export const SIZE = 128;
const GRIDS = [[16, 2], [8, 6]];
const LEAST_SCORE = 0.6;

// Centres of the anchors, in sides of the square: cells of 8 px with two boxes each, then cells of 16 px with six.
const ANCHORS = GRIDS.flatMap(([cells, boxes]) =>
  Array.from({ length: cells * cells * boxes }, (_, index) => {
    const cell = Math.floor(index / boxes);
    return [((cell % cells) + 0.5) / cells, (Math.floor(cell / cells) + 0.5) / cells];
  }),
);

/**
 * The faces { box, score } in square regions of a photo; one face may be found several times.
 *
 * `network(planes)` takes Float32Array [3, 128, 128] in -1..1 and gives { logits, values } of the anchors.
 */
export async function findInSquares(network, photo, squares) {
  const found = [];
  for (const square of squares) found.push(...(await findInSquare(network, photo, square)));
  return found;
}

async function findInSquare(network, photo, { left, top, side }) {
  const { logits, values } = await network(planes(cut(photo, left, top, side)));
  const found = [];
  for (let index = 0; index < ANCHORS.length; index++) {
    const score = 1 / (1 + Math.exp(-logits[index]));
    if (!(score > LEAST_SCORE)) continue;
    const [x, y, width, height, rightX, rightY, leftX, leftY] = values.subarray(16 * index, 16 * index + 8).map((value) => value / SIZE);
    const middleX = x + ANCHORS[index][0], middleY = y + ANCHORS[index][1];
    // From the edges of pixels to the first and the last pixel.
    const corners = [
      (middleX - width / 2) * side + left,
      (middleY - height / 2) * side + top,
      (middleX + width / 2) * side + left - 1,
      (middleY + height / 2) * side + top - 1,
    ];
    found.push({ box: [...corners, (Math.atan2(leftY - rightY, leftX - rightX) * 180) / Math.PI], score });
  }
  return found;
}

/** A square of a photo, black outside of it, as the network sees it. */
export function cut(photo, left, top, side) {
  const x1 = Math.max(left, 0), y1 = Math.max(top, 0);
  const width = Math.min(left + side, photo.width) - x1, height = Math.min(top + side, photo.height) - y1;
  const outWidth = Math.max(rint((width * SIZE) / side), 1), outHeight = Math.max(rint((height * SIZE) / side), 1);
  const reduced = resize(photo, x1, y1, width, height, outWidth, outHeight, side > SIZE);
  if (outWidth === SIZE && outHeight === SIZE) return reduced;
  const square = blank(SIZE, SIZE), x = rint(((x1 - left) * SIZE) / side), y = rint(((y1 - top) * SIZE) / side);
  const columns = Math.min(outWidth, SIZE - x);
  for (let row = 0; row < Math.min(outHeight, SIZE - y); row++) {
    const line = reduced.data.subarray(4 * row * outWidth, 4 * (row * outWidth + columns));
    square.data.set(line, 4 * ((y + row) * SIZE + x));
  }
  return square;
}

function planes({ data }) {
  const area = SIZE * SIZE, values = new Float32Array(3 * area);
  for (let index = 0; index < area; index++) {
    for (let channel = 0; channel < 3; channel++) {
      values[channel * area + index] = data[4 * index + channel] / 127.5 - 1;
    }
  }
  return values;
}
