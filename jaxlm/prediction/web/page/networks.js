// The two networks, run by onnxruntime-web in WebAssembly.

import * as ort from "./runtime/ort.js";

const RUNTIME = "runtime/ort.wasm", POINTS = "model.onnx", BOXES = "blazeface.onnx";

/**
 * Loads the runtime and both networks; `progress(part)` is told how much of them is there, 0 to 1.
 *
 * Gives { findPoints, findBoxes } as landmarks.js takes them.
 */
export async function openNetworks(settings, progress) {
  const total = [RUNTIME, POINTS, BOXES].reduce((sum, file) => sum + settings.files[file], 0);
  let loaded = 0;
  const load = (file) => download(file, (bytes) => progress((loaded += bytes) / total));
  const [runtime, points, boxes] = await Promise.all([RUNTIME, POINTS, BOXES].map(load));
  ort.env.wasm.wasmBinary = runtime;
  // Threads need SharedArrayBuffer, which a page has only where its server sends COOP and COEP.
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  ort.env.logLevel = "error";
  const landmarks = await ort.InferenceSession.create(points, { executionProviders: ["wasm"] });
  const blazeface = await ort.InferenceSession.create(boxes, { executionProviders: ["wasm"] });
  return {
    findPoints: async (bytes) => {
      const { points, confidence } = await landmarks.run({ crops: new ort.Tensor("uint8", bytes, [1, ...settings.input.shape.slice(1)]) });
      return { points: points.data, confidence: confidence ? confidence.data : null };
    },
    findBoxes: async (planes) => {
      const { classificators, regressors } = await blazeface.run({ input: new ort.Tensor("float32", planes, [1, 3, 128, 128]) });
      await breath();
      return { logits: classificators.data, values: regressors.data };
    },
  };
}

/** The bytes of a file of this folder; `more` is told how many have come. */
async function download(file, more) {
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} is not there (${response.status})`);
  const parts = [], reader = response.body.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    parts.push(value);
    more(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Lets the page draw and answer: a search is many short runs, and none of them gives way by itself. */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
