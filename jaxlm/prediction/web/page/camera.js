// The frames of a camera.

import { draw } from "./photos.js";

const SIZE = { width: { ideal: 640 }, height: { ideal: 480 } };

/** A camera that is on until `stop`; `facing` is user or environment. */
export class Camera {
  constructor(stream) {
    this.video = Object.assign(document.createElement("video"), { srcObject: stream, muted: true, playsInline: true });
    const { facingMode } = stream.getVideoTracks()[0].getSettings();
    // One sees oneself as in a mirror, and others as they are.
    this.mirrored = facingMode !== "environment";
  }

  /** Asks for the camera; throws an Error that people understand. */
  static async open(facing) {
    if (!navigator.mediaDevices) throw new Error("Browsers give the camera to pages of https:// and of localhost alone.");
    try {
      const camera = new Camera(await navigator.mediaDevices.getUserMedia({ video: { ...SIZE, facingMode: facing } }));
      await camera.video.play();
      return camera;
    } catch (error) {
      const known = {
        NotAllowedError: "The camera is not allowed here; the browser's settings for this page can allow it.",
        NotFoundError: "There is no camera.",
        NotReadableError: "The camera is in use by another program.",
      };
      throw new Error(known[error.name] ?? `The camera does not start (${error.message}).`);
    }
  }

  get isOn() {
    return this.video.srcObject !== null && this.video.srcObject.active;
  }

  /** The next frame, and its time in seconds; null once the camera is off. */
  async next() {
    const { video } = this;
    await new Promise((resolve) => {
      if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
      else requestAnimationFrame(resolve);
      this.wake = resolve;
    });
    if (!this.isOn || !video.videoWidth) return null;
    return { picture: draw(video, video.videoWidth, video.videoHeight), time: performance.now() / 1000 };
  }

  stop() {
    this.video.srcObject?.getTracks().forEach((track) => track.stop());
    this.video.srcObject = null;
    this.wake?.();
  }
}
