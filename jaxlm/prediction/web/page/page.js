// The page: what its buttons do.

import { Camera } from "./camera.js";
import { drawFaces } from "./drawing.js";
import { Landmarker } from "./landmarks.js";
import { openNetworks } from "./networks.js";
import { readPhoto } from "./photos.js";
import { Tracker } from "./tracking.js";

const element = (id) => document.getElementById(id);
const canvas = element("view"), toggles = ["points", "lines", "mesh"];

let settings, landmarker, camera;
// What is shown: { file, image, faces, reduction, mirrored }; a face's `points` are smoothed where it is followed.
let shown = null;
// Counts what was asked for: the answer to an earlier question is not shown.
let asked = 0;

element("hint").remove(); // It is for those whose browser does not run this file.
start().catch(tell);

async function start() {
  const response = await fetch("model.json");
  if (!response.ok) throw new Error(`model.json is not there (${response.status})`);
  settings = await response.json();
  describeModel();
  const { findPoints, findBoxes } = await openNetworks(settings, (part) => (element("loading").value = part));
  landmarker = new Landmarker(settings, findPoints, findBoxes);
  element("loading").hidden = true;
  connect();
  say("Ready.");
  document.documentElement.dataset.state = "ready";
}

function describeModel() {
  const { scheme, card } = settings;
  element("count").textContent = scheme.count;
  element("card").replaceChildren(
    ...Object.entries(card).flatMap(([name, text]) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: text }),
    ]),
  );
  element("card").parentElement.hidden = !Object.keys(card).length;
  element("licence").textContent = card.licence ? `Model licence — ${card.licence}.` : "";
}

function connect() {
  for (const button of document.querySelectorAll("button")) button.disabled = button.id === "download";
  element("choose").onclick = () => element("file").click();
  element("file").onchange = ({ target }) => {
    if (target.files[0]) showPhoto(target.files[0], target.files[0].name);
    target.value = "";
  };
  element("sample").onclick = () => showPhoto(fetch("sample.jpg").then((response) => response.blob()), "sample.jpg");
  element("camera").onclick = () => (camera ? stopCamera() : showCamera("user"));
  element("turn").onclick = () => showCamera(camera?.mirrored ? "environment" : "user");
  element("download").onclick = download;
  for (const name of toggles) element(name).onchange = draw;
  document.ondragover = (event) => {
    event.preventDefault();
    document.documentElement.dataset.drag = "over";
  };
  document.ondragleave = () => delete document.documentElement.dataset.drag;
  document.ondrop = (event) => {
    event.preventDefault();
    document.ondragleave();
    const [file] = event.dataTransfer.files;
    if (file) showPhoto(file, file.name);
  };
  new ResizeObserver(draw).observe(element("stage"));
}

/** Shows the faces in a photo, a blob or the promise of one. */
async function showPhoto(blob, file) {
  stopCamera();
  const question = ++asked;
  say("Searching ...");
  try {
    const { picture, reduction } = await readPhoto(await blob);
    const image = await createImageBitmap(picture);
    if (question !== asked) return;
    show({ file, image, faces: [], reduction, mirrored: false });
    const begun = performance.now(), boxes = await landmarker.detect(picture), searched = performance.now() - begun;
    const faces = (await landmarker.predict(picture, boxes)).filter((face) => landmarker.sees(face));
    if (question !== asked) return;
    show({ ...shown, faces });
    figures({ faces: faces.length, search: searched, face: meanTime(faces) });
    say(faces.length ? `${counted(faces.length)} found.` : "No face was found.");
  } catch (error) {
    if (question === asked) tell(error);
  }
}

async function showCamera(facing) {
  stopCamera();
  const question = ++asked;
  say("Starting the camera ...");
  try {
    const opened = await Camera.open(facing);
    if (question !== asked) return opened.stop();
    camera = opened;
    element("camera").textContent = "Stop camera";
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    element("turn").hidden = cameras.length < 2;
    say("The camera is on.");
    await follow(camera, new Tracker(landmarker));
  } catch (error) {
    if (question === asked) {
      stopCamera();
      tell(error);
    }
  }
}

async function follow(from, tracker) {
  let number = 0, rate = 0, before = null, perFace = null;
  for (let frame = await from.next(); frame && from === camera; frame = await from.next()) {
    const tracks = await tracker.next(frame.picture, frame.time);
    if (from !== camera) return;
    const faces = tracks.map((track) => ({ ...track.face, points: track.state.points, track: track.number }));
    const image = await createImageBitmap(frame.picture);
    shown?.image.close();
    show({ file: "camera", frame: number++, time: frame.time, image, faces, reduction: 1, mirrored: from.mirrored });
    if (before !== null) rate = smoothed(rate, 1 / (frame.time - before));
    if (faces.length) perFace = smoothed(perFace, meanTime(faces));
    before = frame.time;
    figures({ faces: faces.length, search: tracker.searchTime, face: faces.length ? perFace : null, rate });
  }
}

function stopCamera() {
  camera?.stop();
  camera = null;
  element("camera").textContent = "Camera";
  element("turn").hidden = true;
}

function show(next) {
  shown = next;
  element("empty").hidden = true;
  canvas.hidden = false;
  element("stage").style.setProperty("--sides", `${next.image.width} / ${next.image.height}`);
  canvas.setAttribute("aria-label", `${shown.file}: ${counted(shown.faces.length)}`);
  element("download").disabled = !shown.faces.length;
  draw();
}

function draw() {
  if (!shown) return;
  const { image, faces, mirrored } = shown, stage = element("stage"), pixels = devicePixelRatio;
  const scale = Math.min(stage.clientWidth / image.width, stage.clientHeight / image.height);
  const [width, height] = [image.width, image.height].map((side) => Math.max(Math.round(side * scale * pixels), 1));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const chosen = Object.fromEntries(toggles.map((name) => [name, element(name).checked]));
  drawFaces(canvas, image, faces, settings, chosen, mirrored);
}

/** Numbers for people; those that are not given are not shown. */
function figures(values) {
  const texts = { faces: String(values.faces) };
  for (const name of ["search", "face"]) {
    texts[name] = values[name] == null ? "–" : `${values[name].toFixed(values[name] < 10 ? 1 : 0)} ms`;
  }
  texts.rate = values.rate ? `${values.rate.toFixed(0)} a second` : "–";
  for (const [name, text] of Object.entries(texts)) element(`${name}-figure`).textContent = text;
}

/** Saves the faces as `jaxlm predict` writes predictions.json, in pixels of the photo. */
function download() {
  const { scheme } = settings, { file, frame, time, reduction } = shown;
  const inPhoto = (value) => (value + 0.5) * reduction - 0.5;
  const faces = shown.faces.map(({ box, points, confidence, track, ...doubts }) => ({
    scheme: scheme.name,
    track,
    box: box.slice(0, 4).map(inPhoto),
    roll: box[4],
    points: points.map((point) => point.map(inPhoto)),
    names: scheme.names,
    confidence,
    expected_error: doubts.expected_error?.map((error) => error * reduction),
    unsure: doubts.unsure,
    unsure_points: doubts.unsure_points,
  }));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify([{ file, frame, time, faces }])], { type: "application/json" }));
  link.download = `${file.replace(/\.[^.]*$/, "")}_landmarks.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function meanTime(faces) {
  return faces.length ? faces.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / faces.length : null;
}

function smoothed(old, next) {
  return old ? 0.9 * old + 0.1 * next : next;
}

function counted(faces) {
  return faces === 1 ? "1 face" : `${faces} faces`;
}

function say(text) {
  element("status").textContent = text;
  element("status").classList.remove("wrong");
}

function tell(error) {
  say(error.message);
  element("status").classList.add("wrong");
}

if ("serviceWorker" in navigator) navigator.serviceWorker.register("service_worker.js").catch(() => {}); // Offline use.
