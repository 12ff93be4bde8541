// Pictures on the page's canvas, with points, lines and meshes on them.

import { faceSize } from "./tracking.js";

const PARTS = ["#5abeff", "#ffa528", "#ffcd5a", "#f5f06e", "#46e196", "#96f0be", "#ff5f69"];
const OTHER = "#ffffff";

/** Draws a picture as large as `canvas` is shown, and on it each face's points [N][x, y]; unsure ones are hollow. */
export function drawFaces(canvas, image, faces, { scheme, mesh }, shown, mirrored) {
  const scale = canvas.width / image.width, context = canvas.getContext("2d");
  context.setTransform(mirrored ? -1 : 1, 0, 0, 1, mirrored ? canvas.width : 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.lineJoin = context.lineCap = "round";
  const colours = coloursOf(scheme);
  for (const { points, unsure_points: hollow = [] } of faces) {
    const size = faceSize(points) * scale, thin = Math.min(Math.max(size / 260, 0.6), 3);
    const places = points.map(([x, y]) => [(x + 0.5) * scale, (y + 0.5) * scale]);
    if (shown.mesh) drawEdges(context, places, mesh, () => "rgb(255 255 255 / 0.55)", thin);
    if (shown.lines) drawEdges(context, places, scheme.edges ?? [], (point) => colours[point], 2 * thin);
    if (shown.points) drawPoints(context, places, colours, Math.min(Math.max(size / 100, 1.2), 6), hollow);
  }
}

function drawEdges(context, places, edges, colourOf, width) {
  context.lineWidth = width;
  for (const [from, to] of edges) {
    context.strokeStyle = colourOf(from);
    context.beginPath();
    context.moveTo(...places[from]);
    context.lineTo(...places[to]);
    context.stroke();
  }
}

function drawPoints(context, places, colours, radius, hollow) {
  places.forEach(([x, y], point) => {
    const unsure = hollow.includes(point);
    context.fillStyle = colours[point];
    context.strokeStyle = unsure ? colours[point] : "rgb(0 0 0 / 0.5)";
    context.lineWidth = unsure ? radius / 1.5 : radius / 3;
    context.beginPath();
    context.arc(x, y, unsure ? 1.6 * radius : radius, 0, 2 * Math.PI);
    if (!unsure) context.fill();
    context.stroke();
  });
}

/** A colour for each point: that of its part. */
function coloursOf(scheme) {
  const colours = Array(scheme.count).fill(OTHER);
  Object.values(scheme.parts ?? {}).forEach((points, part) => {
    for (const point of points) colours[point] = PARTS[part % PARTS.length];
  });
  return colours;
}
