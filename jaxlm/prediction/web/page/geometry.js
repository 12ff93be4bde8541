// Affine maps and boxes, as jaxlm/landmarks/geometry.py and jaxlm/prediction/detectors/face_detector.py have them.
//
// A point is [x, y] in pixels, with pixel centres at integers. A map [a, b, c, d, e, f] takes it to
// [a x + b y + c, d x + e y + f]. A box is [x1, y1, x2, y2, roll]: its first and its last pixel, and by how many degrees
// it is turned clockwise about its centre. A square is { left, top, side } in whole pixels.

const DEGREE = Math.PI / 180;

/** Rounds halves to even, as NumPy does. */
export function rint(value) {
  const low = Math.floor(value), part = value - low;
  return part < 0.5 || (part === 0.5 && low % 2 === 0) ? low : low + 1;
}

export function transform([x, y], [a, b, c, d, e, f]) {
  return [a * x + b * y + c, d * x + e * y + f];
}

/** The map that applies `first` and then `second`. */
export function compose([a, b, c, d, e, f], [A, B, C, D, E, F]) {
  return [a * A + b * D, a * B + b * E, a * C + b * F + c, d * A + e * D, d * B + e * E, d * C + e * F + f];
}

export function invert([a, b, c, d, e, f]) {
  const area = a * e - b * d;
  return [e / area, -b / area, (b * f - c * e) / area, -d / area, a / area, (c * d - a * f) / area];
}

/** Turns the plane clockwise, as a picture is seen, about a point. */
export function rotation(degrees, [x, y]) {
  const cosine = Math.cos(degrees * DEGREE), sine = Math.sin(degrees * DEGREE);
  return [cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y];
}

/** By how many degrees the similarity that fits `source` to `target` in least squares turns clockwise. */
export function rollOfFit(source, target) {
  const [sx, sy] = mean(source), [tx, ty] = mean(target);
  let along = 0, across = 0;
  source.forEach(([x, y], index) => {
    const u = x - sx, v = y - sy, p = target[index][0] - tx, q = target[index][1] - ty;
    along += u * p + v * q;
    across += u * q - v * p;
  });
  return Math.atan2(across, along) / DEGREE;
}

function mean(points) {
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

/** The tight box [x1, y1, x2, y2] around points. */
export function bounds(points) {
  const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

export function centre([x1, y1, x2, y2]) {
  return [(x1 + x2) / 2, (y1 + y2) / 2];
}

/** The square of a box; its side is even. */
export function squareBox(box) {
  const [x1, y1, x2, y2] = box.slice(0, 4).map(rint);
  const width = x2 - x1 + 1, height = y2 - y1 + 1, side = Math.max(width, height);
  return {
    left: x1 - Math.floor((side - width) / 2),
    top: y1 - Math.floor((side - height) / 2),
    side: side + (side % 2),
  };
}

/** The square with its side multiplied by `margin` about its centre. */
export function widen({ left, top, side }, margin) {
  const wide = Math.max(rint(side * margin), 1), before = Math.floor((wide - side) / 2);
  return { left: left - before, top: top - before, side: wide };
}

/** The map from pixels of the photo to those of a crop of `size` pixels that shows a square. */
export function cropMap({ left, top, side }, size) {
  const scale = size / side;
  return [scale, 0, (0.5 - left) * scale - 0.5, 0, scale, (0.5 - top) * scale - 0.5];
}

/** A detector's box as the model's convention has it; see `calibrate_boxes`. */
export function calibrateBox(box, [scaleX, scaleY, shiftX, shiftY]) {
  const [x1, y1, x2, y2, roll] = box, width = x2 - x1, height = y2 - y1;
  const cosine = Math.cos(roll * DEGREE), sine = Math.sin(roll * DEGREE);
  const along = shiftX * width, down = shiftY * height;
  const x = (x1 + x2) / 2 + along * cosine - down * sine, y = (y1 + y2) / 2 + along * sine + down * cosine;
  const halfX = (scaleX * width) / 2, halfY = (scaleY * height) / 2;
  return [x - halfX, y - halfY, x + halfX, y + halfY, roll];
}

function area([x1, y1, x2, y2]) {
  return (x2 - x1) * (y2 - y1);
}

function common(one, other) {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

/** Intersection over union of two boxes, whatever their rolls. */
export function overlap(one, other) {
  const shared = common(one, other);
  return shared / (area(one) + area(other) - shared);
}

/** What part of the smaller of two boxes they share. */
export function sharedPart(one, other) {
  return common(one, other) / Math.min(area(one), area(other));
}

/** Degrees between -180 and 180. */
export function turn(degrees) {
  return ((((degrees + 180) % 360) + 360) % 360) - 180;
}
