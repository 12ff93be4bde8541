// The One-Euro filter for points of a video, as jaxlm/prediction/videos/one_euro.py has it.

const MIN_CUTOFF = 1.0;
const BETA = 20.0;
const SPEED_CUTOFF = 1.0;

/** The state { points, velocity } after the first frame of a face. */
export function start(points) {
  return { points, velocity: points.map(() => [0, 0]) };
}

/** The state after another frame, `step` seconds later, of a face of `size` pixels. */
export function smooth(state, points, size, step) {
  const velocity = points.map((point, index) =>
    mix(state.velocity[index], [0, 1].map((axis) => (point[axis] - state.points[index][axis]) / step), SPEED_CUTOFF, step),
  );
  const smoothed = points.map((point, index) =>
    mix(state.points[index], point, MIN_CUTOFF + (BETA * Math.hypot(...velocity[index])) / size, step),
  );
  return { points: smoothed, velocity };
}

function mix(old, next, cutoff, step) {
  const factor = 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
  return [0, 1].map((axis) => old[axis] + factor * (next[axis] - old[axis]));
}
