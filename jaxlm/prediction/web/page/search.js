// The search for faces of all sizes and in all directions, as jaxlm/prediction/detectors/search.py does it.
//
// The whole photo is looked at first, then tiles of it while that pays, and where nothing is found, the photo turned by
// a quarter, a half and three quarters. What the numbers are for, search.py says; a test compares them.

import { SIZE, cut, findInSquares } from "./blazeface.js";
import { centre, overlap, rint, sharedPart, turn } from "./geometry.js";
import { turned } from "./pixels.js";

const LEVELS = [1.0, 0.6, 0.4];
const PORTRAIT = 0.3;
const SHARED = 0.25;
const LEAST_TILE = 64;
const SURE = 0.8;
const SURE_ROLL = 40;
const AROUND = 2.0;
const SAME_FACE = 0.5;
const SAME_HEAD = 0.2;
const SAME_ROLL = 20;

/** The boxes of the faces in a photo; those outside of it are left out. See `findInSquares` for `network`. */
export async function findFaces(network, photo) {
  let found = await findUpright(network, photo);
  if (!found.some(({ score }) => score >= SURE)) {
    const best = { faces: [], score: 0 };
    for (const quarters of [1, 2, 3]) {
      const faces = await findUpright(network, turned(photo, quarters));
      const score = Math.max(0, ...faces.map((face) => face.score));
      if (score > best.score) {
        best.score = score;
        best.faces = faces.map((face) => turnedBack(face, photo, quarters));
      }
    }
    found = merge([...found, ...best.faces]);
  }
  const again = [];
  for (const { box, score } of found) {
    if (score < SURE || Math.abs(box[4]) > SURE_ROLL) again.push(...(await lookAgain(network, photo, box)));
  }
  return merge([...found, ...again])
    .map(({ box }) => box)
    .filter(([x1, y1, x2, y2]) => x2 >= 0 && y2 >= 0 && x1 <= photo.width - 1 && y1 <= photo.height - 1 && x2 > x1 && y2 > y1);
}

/** The faces that are upright in the photo, or turned by less than 45 degrees or so. */
async function findUpright(network, photo) {
  const longer = Math.max(photo.width, photo.height);
  let found = [];
  for (const [index, level] of LEVELS.entries()) {
    const side = rint(level * longer), before = found.length;
    if (index && side < LEAST_TILE) break;
    found = merge([...found, ...(await findInSquares(network, photo, tiles(photo.width, photo.height, side)))]);
    const largest = Math.max(0, ...found.map(({ box }) => box[2] - box[0]));
    if (before ? found.length === before : largest >= PORTRAIT * longer) break;
  }
  return found;
}

/** The faces in the region around a box, as it is and turned by a quarter, a half and three quarters. */
async function lookAgain(network, photo, box) {
  const side = rint(AROUND * Math.max(box[2] - box[0], box[3] - box[1]));
  const [left, top] = centre(box).map((middle) => rint(middle - side / 2));
  const region = cut(photo, left, top, side), found = [];
  for (const quarters of [0, 1, 2, 3]) {
    const faces = await findInSquares(network, turned(region, quarters), [{ left: 0, top: 0, side: SIZE }]);
    for (const face of faces) {
      const { box: inRegion, score } = turnedBack(face, region, quarters);
      const corners = inRegion.slice(0, 4).map((value, axis) => ((value + 0.5) * side) / SIZE - 0.5 + (axis % 2 ? top : left));
      found.push({ box: [...corners, inRegion[4]], score });
    }
  }
  return found;
}

/** Squares that cover a photo; one in the middle of each side shorter than theirs. */
export function tiles(width, height, side) {
  const starts = (length) => {
    if (side >= length) return [Math.floor((length - side) / 2)];
    const shared = SHARED * side, count = Math.ceil((length - shared) / (side - shared));
    return Array.from({ length: count }, (_, index) => rint((index * (length - side)) / (count - 1)));
  };
  return starts(height).flatMap((top) => starts(width).map((left) => ({ left, top, side })));
}

/** One box a face: the mean of those that overlap, weighted by their scores, from the surest face on. */
export function merge(found) {
  let rest = [...found].sort((one, other) => other.score - one.score);
  const kept = [];
  while (rest.length) {
    const first = rest[0], same = new Set([first]), close = [];
    for (const face of rest) {
      const turns = turn(face.box[4] - first.box[4]);
      const least = Math.abs(turns) > 90 ? SAME_HEAD : SAME_FACE;
      if (face !== first && !(sharedPart(first.box, face.box) > least)) continue;
      same.add(face);
      if (overlap(first.box, face.box) > SAME_FACE && Math.abs(turns) < SAME_ROLL) {
        close.push({ box: [...face.box.slice(0, 4), first.box[4] + turns], score: face.score });
      }
    }
    kept.push({ box: weightedMean(close), score: first.score });
    rest = rest.filter((face) => !same.has(face));
  }
  return kept;
}

function weightedMean(faces) {
  const total = faces.reduce((sum, { score }) => sum + score, 0);
  return [0, 1, 2, 3, 4].map((axis) => faces.reduce((sum, { box, score }) => sum + score * box[axis], 0) / total);
}

/** A face of a photo turned counter-clockwise by quarters, in the photo as it is. */
function turnedBack({ box, score }, { width, height }, quarters) {
  const [x, y] = centre(box), halfX = (box[2] - box[0]) / 2, halfY = (box[3] - box[1]) / 2;
  const places = [[x, y], [width - 1 - y, x], [width - 1 - x, height - 1 - y], [y, height - 1 - x]];
  const [u, v] = places[quarters];
  return { box: [u - halfX, v - halfY, u + halfX, v + halfY, turn(box[4] + 90 * quarters)], score };
}
