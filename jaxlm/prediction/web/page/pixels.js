// Regions of photos, cut and resized as OpenCV does it for jaxlm/landmarks/photos.py.
//
// A picture is { width, height, data }, as ImageData: four bytes a pixel, of which the fourth is not looked at.

import { compose, cropMap, invert, rotation, squareBox, widen } from "./geometry.js";

export function blank(width, height) {
  return { width, height, data: new Uint8ClampedArray(4 * width * height) };
}

/**
 * A rectangle of a picture, black outside of it, resized: `areas` are averaged where it shrinks, else it is bilinear.
 */
export function resize(picture, left, top, width, height, outWidth, outHeight, areas) {
  const columns = taps(width, outWidth, areas, left, picture.width);
  const rows = taps(height, outHeight, areas, top, picture.height);
  const out = blank(outWidth, outHeight), line = new Float32Array(3 * outWidth), sums = new Float32Array(3 * outWidth);
  for (let y = 0; y < outHeight; y++) {
    sums.fill(0);
    for (let tap = rows.starts[y]; tap < rows.starts[y + 1]; tap++) {
      resizeLine(picture, rows.indices[tap], columns, line);
      const weight = rows.weights[tap];
      for (let index = 0; index < sums.length; index++) sums[index] += weight * line[index];
    }
    for (let x = 0, from = 0, to = 4 * y * outWidth; x < outWidth; x++, from += 3, to += 4) {
      out.data[to] = sums[from]; // Rounds, halves to even.
      out.data[to + 1] = sums[from + 1];
      out.data[to + 2] = sums[from + 2];
    }
  }
  return out;
}

function resizeLine({ width, data }, y, { starts, indices, weights }, line) {
  const offset = y * width;
  for (let x = 0; x < starts.length - 1; x++) {
    let red = 0, green = 0, blue = 0;
    for (let tap = starts[x]; tap < starts[x + 1]; tap++) {
      const from = 4 * (offset + indices[tap]), weight = weights[tap];
      red += weight * data[from];
      green += weight * data[from + 1];
      blue += weight * data[from + 2];
    }
    line[3 * x] = red;
    line[3 * x + 1] = green;
    line[3 * x + 2] = blue;
  }
}

/**
 * What pixels of a line make up those of a line of `size` pixels, and with what weights; `starts` has where those of
 * each begin. The line of `length` pixels begins at `first` of a picture of `available` pixels; others are left out.
 */
function taps(length, size, areas, first, available) {
  const starts = [0], indices = [], weights = [], scale = length / size;
  const add = (index, weight) => {
    if (index + first >= 0 && index + first < available) {
      indices.push(index + first);
      weights.push(weight);
    }
  };
  for (let out = 0; out < size; out++) {
    if (areas) {
      const low = out * scale, high = Math.min(low + scale, length), cell = high - low;
      for (let index = Math.floor(low); index < high; index++) {
        const part = Math.min(index + 1, high) - Math.max(index, low);
        if (part > 1e-3) add(index, part / cell);
      }
    } else {
      const place = Math.min(Math.max((out + 0.5) * scale - 0.5, 0), length - 1), low = Math.floor(place);
      add(low, 1 - (place - low));
      if (place > low) add(low + 1, place - low);
    }
    starts.push(indices.length);
  }
  return { starts: Int32Array.from(starts), indices: Int32Array.from(indices), weights: Float32Array.from(weights) };
}

/** A square of a photo, black outside of it, as a picture of `size` pixels. */
export function cutRegion(photo, { left, top, side }, size) {
  return resize(photo, left, top, side, side, size, size, side > size);
}

/**
 * The upright crop around a box, `margin` sides of the box made square, and the map from the photo's pixels to its own.
 */
export function cutCrop(photo, box, size, margin) {
  const roll = box[4], square = squareBox(box), region = widen(square, margin);
  if (!roll) return { crop: cutRegion(photo, region, size), toCrop: cropMap(region, size) };
  // A larger crop of the same scale holds the turned one. Areas are averaged as it is cut; turning only interpolates.
  const wide = Math.ceil(size * Math.SQRT2), widest = widen(square, (margin * wide) / size);
  const middle = [(size - 1) / 2, (size - 1) / 2];
  const toCrop = compose(rotation(-roll, middle), cropMap(region, size));
  const fromLarger = compose(toCrop, invert(cropMap(widest, wide)));
  return { crop: warp(cutRegion(photo, widest, wide), fromLarger, size), toCrop };
}

/** A picture moved by an affine map into one of `size` pixels, bilinear, black outside of it. */
function warp(picture, map, size) {
  const { width, height, data } = picture, out = blank(size, size), [a, b, c, d, e, f] = invert(map);
  for (let y = 0, to = 0; y < size; y++) {
    for (let x = 0; x < size; x++, to += 4) {
      const u = a * x + b * y + c, v = d * x + e * y + f, left = Math.floor(u), top = Math.floor(v);
      let red = 0, green = 0, blue = 0;
      for (let corner = 0; corner < 4; corner++) {
        const column = left + (corner & 1), row = top + (corner >> 1);
        if (column < 0 || row < 0 || column >= width || row >= height) continue;
        const weight = (1 - Math.abs(u - column)) * (1 - Math.abs(v - row)), from = 4 * (row * width + column);
        red += weight * data[from];
        green += weight * data[from + 1];
        blue += weight * data[from + 2];
      }
      out.data[to] = red;
      out.data[to + 1] = green;
      out.data[to + 2] = blue;
    }
  }
  return out;
}

/** A picture turned counter-clockwise by quarters. */
export function turned(picture, quarters) {
  const { width, height } = picture, area = width * height;
  // Where the first pixel comes from, and how far from it those of the next column and of the next row come from.
  const [first, column, row] = [[0, 1, width], [width - 1, width, -1], [area - 1, -1, -width], [area - width, -width, 1]][quarters];
  const out = quarters % 2 ? blank(height, width) : blank(width, height);
  const from = new Uint32Array(picture.data.buffer), to = new Uint32Array(out.data.buffer);
  for (let y = 0, index = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++, index++) to[index] = from[first + x * column + y * row];
  }
  return out;
}

/** The red, green and blue bytes of a picture, [height, width, 3]. */
export function rgb({ width, height, data }) {
  const bytes = new Uint8Array(3 * width * height);
  for (let from = 0, to = 0; to < bytes.length; from += 4, to += 3) {
    bytes[to] = data[from];
    bytes[to + 1] = data[from + 1];
    bytes[to + 2] = data[from + 2];
  }
  return bytes;
}
