// Faces found once, followed from frame to frame and smoothed, as jaxlm/prediction/videos/tracking.py does it.

import { bounds, calibrateBox, centre, rollOfFit, rotation, transform } from "./geometry.js";
import { smooth, start } from "./one_euro.js";

const LANDMARK_BOX = [1.1, 1.1, 0.0, 0.0];
const MIN_SIDE = 8.0;
const LOOK_EVERY = 1.0;

/** Follows the faces of a camera; `searchTime` is what the last search for new ones took, in milliseconds. */
export class Tracker {
  constructor(landmarker) {
    Object.assign(this, { landmarker, tracks: [], numbers: 0, before: null, looked: -Infinity, searchTime: null });
  }

  /** The faces of the next frame, at `time` in seconds, as { number, face, state }: the state has smoothed points. */
  async next(image, time) {
    const { landmarker, tracks, before } = this, step = time - before;
    const faces = await landmarker.predict(image, tracks.map(({ face }) => this.nextBox(face)));
    const followed = faces.map((face, index) => advance(tracks[index], face, step));
    let found = distinct(followed.filter(({ face }) => isInside(face, image) && landmarker.sees(face)));
    if (!found.length || found.length < tracks.length || time - this.looked >= LOOK_EVERY) {
      this.looked = time;
      const begun = performance.now(), boxes = await landmarker.detect(image);
      this.searchTime = performance.now() - begun;
      const others = await landmarker.predict(image, boxes);
      const good = others.filter((face) => isInside(face, image) && landmarker.sees(face));
      found = distinct([...found, ...good.map((face) => ({ number: null, face, state: start(face.points) }))]);
    }
    this.tracks = found.map((track) => ({ ...track, number: track.number ?? this.numbers++ }));
    this.before = time;
    return this.tracks;
  }

  /** The box to look for a face in that looked so in the frame before. */
  nextBox(face) {
    const { mean_face: meanFace } = this.landmarker.settings.scheme;
    const roll = meanFace ? rollOfFit(meanFace, face.points) : face.box[4];
    const upright = bounds(face.points.map((point) => transform(point, rotation(-roll, [0, 0]))));
    const [x, y] = transform(centre(upright), rotation(roll, [0, 0]));
    const halfX = (upright[2] - upright[0]) / 2, halfY = (upright[3] - upright[1]) / 2;
    const calibration = this.landmarker.settings.boxes.landmarks ?? LANDMARK_BOX;
    return calibrateBox([x - halfX, y - halfY, x + halfX, y + halfY, roll], calibration);
  }
}

function advance({ number, face: before, state }, face, step) {
  return { number, face, state: smooth(state, face.points, Math.max(faceSize(before.points), 1), step) };
}

/** The square root of width x height of the box around points. */
export function faceSize(points) {
  const [x1, y1, x2, y2] = bounds(points);
  return Math.sqrt((x2 - x1) * (y2 - y1));
}

/** Whether most of the points lie in the frame, and not all on one spot. */
function isInside({ points }, { width, height }) {
  const inside = points.filter(([x, y]) => x >= 0 && y >= 0 && x <= width - 1 && y <= height - 1);
  const [x1, y1, x2, y2] = bounds(points);
  return inside.length > points.length / 2 && Math.min(x2 - x1, y2 - y1) >= MIN_SIDE;
}

/** The tracks without those of a face that one before them follows. */
function distinct(tracks) {
  const kept = [];
  for (const track of tracks) {
    if (!kept.some(({ face }) => isSame(face.box, track.face.box))) kept.push(track);
  }
  return kept;
}

/** Whether the centre of one of two boxes lies in the other. */
function isSame(one, other) {
  const holds = (box, [x, y]) => x >= box[0] && y >= box[1] && x <= box[2] && y <= box[3];
  return holds(other, centre(one)) || holds(one, centre(other));
}
