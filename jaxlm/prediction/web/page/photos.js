// Photos of people as pictures; see pixels.js.

// Larger photos are reduced: browsers of phones draw no more.
const MOST_PIXELS = 16_000_000;

/**
 * The pixels of a photo, upright: { picture, reduction }; pixel x of the picture lies at (x + 0.5) * reduction - 0.5 in
 * the photo. Transparent parts are black.
 */
export async function readPhoto(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
  } catch {
    throw new Error("This file is no photo that the browser can read.");
  }
  const reduction = Math.max(1, Math.sqrt((bitmap.width * bitmap.height) / MOST_PIXELS));
  const picture = draw(bitmap, Math.round(bitmap.width / reduction), Math.round(bitmap.height / reduction));
  bitmap.close();
  return { picture, reduction };
}

let canvas;

/** The pixels of an image, or of a video as it is now, on black, in a size. */
export function draw(source, width, height) {
  canvas ??= document.createElement("canvas");
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
