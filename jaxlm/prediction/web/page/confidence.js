// What confidences say of a face, as jaxlm/checkpoints/confidence.py and jaxlm/prediction/doubts.py have it.

import { faceSize } from "./tracking.js";

const CLIP = 0.0001;
const UNSURE_POINT = 0.5;
const UNSURE_FACE = 0.7;

/**
 * { expected_error, unsure, unsure_points } of a face with probabilities for confidences: errors in the pixels of its
 * points, whether the model is not sure of the face, and the numbers of the points that it is not sure of. Nothing
 * where model.json has no `expected_error`: confidences are then raw scores, or there are none.
 */
export function doubts({ points, confidence }, { expected_error: error, scheme }) {
  if (!error || !confidence) return {};
  const size = distance(points, error.normaliser, scheme.eye_corners);
  const expected = confidence.map((share, point) => {
    const [slope, offset] = error.lines[point];
    return size * Math.exp(slope * logit(share) + offset);
  });
  const mean = confidence.reduce((sum, share) => sum + share, 0) / confidence.length;
  const unsure = confidence.flatMap((share, point) => (share < UNSURE_POINT ? [point] : []));
  return { expected_error: expected, unsure: mean < UNSURE_FACE, unsure_points: unsure };
}

function distance(points, normaliser, corners) {
  if (normaliser !== "inter_ocular" || !corners) return faceSize(points);
  const [[x1, y1], [x2, y2]] = corners.map((corner) => points[corner]);
  return Math.hypot(x1 - x2, y1 - y2);
}

function logit(share) {
  const clipped = Math.min(Math.max(share, CLIP), 1 - CLIP);
  return Math.log(clipped) - Math.log(1 - clipped);
}
