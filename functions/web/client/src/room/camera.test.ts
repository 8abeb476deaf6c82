import { describe, expect, it, vi } from "vitest";

import { Camera, type CameraState } from "./camera.ts";
import { DEFAULT_PRESET } from "./presets.ts";

class FakeTrack {
  readonly kind: string;
  readonly deviceId: string;
  enabled = true;
  stopped = false;
  contentHint = "";

  constructor(kind: string, deviceId: string) {
    this.kind = kind;
    this.deviceId = deviceId;
  }

  getSettings(): MediaTrackSettings {
    return { deviceId: this.deviceId };
  }

  stop(): void {
    this.stopped = true;
  }
}

function streamOf(...tracks: FakeTrack[]): MediaStream {
  const held = [...tracks];
  const ofKind = (kind: string) => (): FakeTrack[] => held.filter((track) => track.kind === kind);
  return {
    getTracks: () => held,
    getVideoTracks: ofKind("video"),
    getAudioTracks: ofKind("audio"),
    addTrack: (track: FakeTrack) => held.push(track),
    removeTrack: (track: FakeTrack) => held.splice(held.indexOf(track), 1),
  } as unknown as MediaStream;
}

const device = (kind: MediaDeviceKind, deviceId: string): MediaDeviceInfo =>
  ({ kind, deviceId, label: deviceId, groupId: "" }) as MediaDeviceInfo;

function cameraWith(devices: MediaDeviceInfo[], getUserMedia: () => Promise<MediaStream>) {
  const states: CameraState[] = [];
  const replaced: MediaStreamTrack[] = [];
  const asked = vi.fn(getUserMedia);
  const camera = new Camera({
    onState: (state) => states.push(state),
    onTrackReplaced: (track) => replaced.push(track),
    preset: DEFAULT_PRESET,
    mediaDevices: { getUserMedia: asked, enumerateDevices: () => Promise.resolve(devices) } as unknown as MediaDevices,
  });
  return { camera, states, replaced, asked };
}

const both = [device("videoinput", "cam-1"), device("videoinput", "cam-2"), device("audioinput", "mic-1")];

describe("Camera", () => {
  it("offers its devices once it is open", async () => {
    const stream = streamOf(new FakeTrack("video", "cam-1"), new FakeTrack("audio", "mic-1"));
    const { camera, states } = cameraWith(both, () => Promise.resolve(stream));
    await camera.open();
    expect(states.map(({ kind }) => kind)).toEqual(["asking", "on"]);
    expect(states[1]).toMatchObject({ cameraId: "cam-1", microphoneId: "mic-1", cameraEnabled: true });
  });

  it("asks for sound alone where there is no camera", async () => {
    const stream = streamOf(new FakeTrack("audio", "mic-1"));
    const { camera, asked } = cameraWith([device("audioinput", "mic-1")], () => Promise.resolve(stream));
    await camera.open();
    expect(asked).toHaveBeenCalledWith(expect.objectContaining({ video: false }));
    expect(camera.stream).toBe(stream);
  });

  it.each([
    ["NotAllowedError", "Camera and microphone are blocked"],
    ["NotReadableError", "The camera is in use"],
  ])("says what to do after %s", async (name, title) => {
    const { camera, states } = cameraWith(both, () => Promise.reject(new DOMException("", name)));
    await camera.open();
    expect(states.at(-1)).toMatchObject({ kind: "refused", title });
  });

  it("says so when there is no device at all", async () => {
    const { camera, states, asked } = cameraWith([], () => Promise.reject(new Error("not asked")));
    await camera.open();
    expect(states.at(-1)).toMatchObject({ kind: "refused", title: "No camera or microphone found" });
    expect(asked).not.toHaveBeenCalled();
  });

  it("hands over another camera's track and keeps it off when the camera was off", async () => {
    const first = new FakeTrack("video", "cam-1");
    const second = new FakeTrack("video", "cam-2");
    const streams = [streamOf(first), streamOf(second)];
    const { camera, states, replaced } = cameraWith(both, () => Promise.resolve(streams.shift() ?? streamOf()));
    await camera.open();
    await camera.toggle("video");
    await camera.choose("video", "cam-2");
    expect(first.stopped).toBe(true);
    expect(second.enabled).toBe(false);
    expect(replaced).toEqual([second]);
    expect(states.at(-1)).toMatchObject({ cameraId: "cam-2", cameraEnabled: false });
  });

  it("stops a stream that arrives after it was closed", async () => {
    const track = new FakeTrack("video", "cam-1");
    const { camera } = cameraWith(both, () => Promise.resolve(streamOf(track)));
    const opening = camera.open();
    camera.close();
    await opening;
    expect(track.stopped).toBe(true);
    expect(camera.stream).toBeNull();
  });
});
