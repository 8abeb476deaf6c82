/** The streamer's camera and microphone: permission, choice of device, mute. */
import { constraintsOf, type Preset } from "./presets.ts";

export interface Devices {
  readonly cameras: readonly MediaDeviceInfo[];
  readonly microphones: readonly MediaDeviceInfo[];
}

export type DeviceKind = "video" | "audio";

export type CameraState =
  | { readonly kind: "off" }
  | { readonly kind: "asking" }
  | {
      readonly kind: "on";
      readonly stream: MediaStream;
      readonly devices: Devices;
      readonly cameraId: string | null;
      readonly microphoneId: string | null;
      readonly cameraEnabled: boolean;
      readonly microphoneEnabled: boolean;
    }
  | { readonly kind: "refused"; readonly title: string; readonly advice: string };

export interface CameraOptions {
  readonly onState: (state: CameraState) => void;
  /** Another device was chosen while the old track may be on air. */
  readonly onTrackReplaced: (track: MediaStreamTrack) => void;
  /** What to ask of the camera at first. */
  readonly preset: Preset;
  readonly mediaDevices?: MediaDevices;
}

const AUDIO: MediaTrackConstraints = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

export class Camera {
  readonly #options: CameraOptions;
  #stream: MediaStream | null = null;
  /** Distinguishes the present opening from one that was closed while the browser was still asking. */
  #opening = 0;
  #preset: Preset;

  constructor(options: CameraOptions) {
    this.#options = options;
    this.#preset = options.preset;
  }

  get stream(): MediaStream | null {
    return this.#stream;
  }

  async open(): Promise<void> {
    this.#opening += 1;
    const opening = this.#opening;
    this.#options.onState({ kind: "asking" });
    try {
      const stream = await openWhatIsThere(this.#mediaDevices(), this.#preset);
      if (opening !== this.#opening) {
        stopTracks(stream);
        return;
      }
      hintMotion(stream);
      this.#stream = stream;
      await this.#publishState();
    } catch (error) {
      if (opening === this.#opening) this.#options.onState({ kind: "refused", ...explain(error) });
    }
  }

  close(): void {
    this.#opening += 1;
    if (this.#stream !== null) stopTracks(this.#stream);
    this.#stream = null;
    this.#options.onState({ kind: "off" });
  }

  async choose(kind: DeviceKind, deviceId: string): Promise<void> {
    const stream = this.#stream;
    if (stream === null) return;
    const device = { deviceId: { exact: deviceId } };
    try {
      const picked = await this.#mediaDevices().getUserMedia(
        kind === "video" ? { video: { ...constraintsOf(this.#preset), ...device } } : { audio: { ...AUDIO, ...device } },
      );
      hintMotion(picked);
      const [track] = picked.getTracks();
      if (track === undefined || stream !== this.#stream) {
        stopTracks(picked);
        return;
      }
      for (const old of tracksOf(stream, kind)) {
        track.enabled = old.enabled;
        stream.removeTrack(old);
        old.stop();
      }
      stream.addTrack(track);
      this.#options.onTrackReplaced(track);
      await this.#publishState();
    } catch {
      // The device did not open. What was in use still is, and the picker goes back to it.
      await this.#publishState();
    }
  }

  /** Asks the camera for another size and rate, now and whenever it is opened. */
  async fit(preset: Preset): Promise<void> {
    this.#preset = preset;
    for (const track of this.#stream?.getVideoTracks() ?? []) {
      // What a camera cannot give, it gives as near as it can.
      await track.applyConstraints(constraintsOf(preset)).catch(() => undefined);
    }
  }

  async toggle(kind: DeviceKind): Promise<void> {
    if (this.#stream === null) return;
    for (const track of tracksOf(this.#stream, kind)) track.enabled = !track.enabled;
    await this.#publishState();
  }

  #mediaDevices(): MediaDevices {
    const devices = this.#options.mediaDevices ?? navigator.mediaDevices;
    // Browsers hide the API altogether on pages that did not come over HTTPS, whatever the types say.
    if ((devices as MediaDevices | undefined) === undefined) throw new InsecurePage();
    return devices;
  }

  async #publishState(): Promise<void> {
    const devices = await this.#mediaDevices().enumerateDevices();
    const stream = this.#stream;
    if (stream === null) return;
    const [camera] = stream.getVideoTracks();
    const [microphone] = stream.getAudioTracks();
    this.#options.onState({
      kind: "on",
      stream,
      devices: {
        cameras: devices.filter((device) => device.kind === "videoinput"),
        microphones: devices.filter((device) => device.kind === "audioinput"),
      },
      cameraId: camera?.getSettings().deviceId ?? null,
      microphoneId: microphone?.getSettings().deviceId ?? null,
      cameraEnabled: camera?.enabled ?? false,
      microphoneEnabled: microphone?.enabled ?? false,
    });
  }
}

/** Asking for a kind of device that is missing would refuse the other one too. */
async function openWhatIsThere(mediaDevices: MediaDevices, preset: Preset): Promise<MediaStream> {
  const devices = await mediaDevices.enumerateDevices();
  const camera = devices.some(({ kind }) => kind === "videoinput");
  const microphone = devices.some(({ kind }) => kind === "audioinput");
  if (!camera && !microphone) throw new DOMException("no device", "NotFoundError");
  return mediaDevices.getUserMedia({ video: camera && constraintsOf(preset), audio: microphone && AUDIO });
}

class InsecurePage extends Error {}

function tracksOf(stream: MediaStream, kind: DeviceKind): MediaStreamTrack[] {
  return kind === "video" ? stream.getVideoTracks() : stream.getAudioTracks();
}

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** Tells the encoder that these are people moving, not slides to keep sharp. */
function hintMotion(stream: MediaStream): void {
  for (const track of stream.getVideoTracks()) track.contentHint = "motion";
}

function explain(error: unknown): { title: string; advice: string } {
  if (error instanceof InsecurePage) {
    return {
      title: "The camera needs a secure page",
      advice: "Browsers allow it over HTTPS or on localhost only. Open this page through one of them.",
    };
  }
  switch (error instanceof DOMException ? error.name : "") {
    case "NotAllowedError":
    case "SecurityError":
      return {
        title: "Camera and microphone are blocked",
        advice:
          "Allow them for this page: use the camera or lock symbol in the address bar, then try again. You can also stream with OBS or FFmpeg.",
      };
    case "NotFoundError":
    case "OverconstrainedError":
      return {
        title: "No camera or microphone found",
        advice: "Connect one and try again, or stream with OBS or FFmpeg.",
      };
    case "NotReadableError":
    case "AbortError":
      return {
        title: "The camera is in use",
        advice: "Close other programs or tabs that use it, then try again.",
      };
    default:
      return {
        title: "The camera could not be started",
        advice: "Check that it is connected, then try again, or stream with OBS or FFmpeg.",
      };
  }
}
