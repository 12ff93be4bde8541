// Landmarks of faces in photos, as jaxlm/prediction/landmarker.py finds them.

import { doubts } from "./confidence.js";
import { calibrateBox, invert, transform } from "./geometry.js";
import { cutCrop, rgb } from "./pixels.js";
import { findFaces } from "./search.js";

/**
 * A trained model ready for photos.
 *
 * `settings` is model.json. `findPoints(bytes)` takes a crop [S, S, 3] and gives { points, confidence }, flat, in its
 * pixels; `findBoxes` is the network of blazeface.js.
 */
export class Landmarker {
  constructor(settings, findPoints, findBoxes) {
    Object.assign(this, { settings, findPoints, findBoxes });
  }

  /** The boxes of the faces in a photo, as the model's convention has them. */
  async detect(photo) {
    const boxes = await findFaces(this.findBoxes, photo);
    return boxes.map((box) => calibrateBox(box, this.settings.boxes.blazeface ?? [1, 1, 0, 0]));
  }

  /**
   * A face { box, points, confidence, milliseconds } for each box, with what `doubts` of confidence.js gives;
   * `confidence` is null where the model has none.
   */
  async predict(photo, boxes) {
    const faces = [], { margin, input } = this.settings, size = input.shape[1];
    for (const box of boxes) {
      const start = performance.now(), { crop, toCrop } = cutCrop(photo, box, size, margin), toPhoto = invert(toCrop);
      const { points, confidence } = await this.findPoints(rgb(crop));
      const inPhoto = Array.from({ length: points.length / 2 }, (_, index) =>
        transform([points[2 * index], points[2 * index + 1]], toPhoto),
      );
      const milliseconds = performance.now() - start;
      const found = { points: inPhoto, confidence: confidence && Array.from(confidence) };
      faces.push({ box, ...found, ...doubts(found, this.settings), milliseconds });
    }
    return faces;
  }

  /** Whether the model is sure enough of the points that there is a face. */
  sees({ confidence }) {
    return !confidence || mean(confidence) >= this.settings.least_confidence;
  }
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
