/** What the studio sends: five qualities, each with the picture's size, its rate, its bit rate, and the layers below it. */

export interface Preset {
  readonly name: PresetName;
  readonly width: number;
  readonly height: number;
  readonly framesPerSecond: number;
  /** Of the largest layer, in bit/s. */
  readonly bitrate: number;
  /** What gives way when bandwidth or processor run short. */
  readonly degradation: RTCDegradationPreference;
}

export type PresetName = "1080p" | "720p" | "480p" | "360p" | "240p";

/**
 * All layers of any of them together stay below the 4 Mbit/s that a worker tells publishers to send by default. A camera
 * shows people moving, so a smaller picture is better than a jerky one; what is smallest already stays as it is.
 */
export const PRESETS: readonly Preset[] = [
  preset("1080p", 1920, 30, 3_000_000),
  preset("720p", 1280, 30, 2_500_000),
  preset("480p", 854, 30, 1_200_000),
  preset("360p", 640, 30, 700_000),
  { ...preset("240p", 426, 20, 350_000), degradation: "maintain-resolution" },
];

/** What a room starts with. */
export const DEFAULT_PRESET = presetCalled("720p");

/** Halves are added for as long as they are at least so tall. */
const SMALLEST_HEIGHT = 180;
/** What a layer of half the width and height costs of the larger one. */
const HALF_COSTS = 0.24;
/** From the largest layer down. */
const RIDS = ["f", "h", "q"] as const;

function preset(name: PresetName, width: number, framesPerSecond: number, bitrate: number): Preset {
  const height = Number.parseInt(name, 10);
  return { name, width, height, framesPerSecond, bitrate, degradation: "maintain-framerate" };
}

export function presetCalled(name: string): Preset {
  const found = PRESETS.find((candidate) => candidate.name === name);
  if (found === undefined) throw new RangeError(`There is no preset ${name}.`);
  return found;
}

/** What to ask of a camera. */
export function constraintsOf({ width, height, framesPerSecond }: Preset): MediaTrackConstraints {
  return {
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: framesPerSecond, max: framesPerSecond },
  };
}

/** The layers of a simulcast, smallest first, for a picture that the camera gives in that height. */
export function encodingsOf(preset: Preset, capturedHeight: number): RTCRtpEncodingParameters[] {
  // Some cameras have only sizes of their own; a smaller one is sent as it is.
  const base = Math.max(1, capturedHeight / preset.height);
  return RIDS.flatMap((rid, step) => {
    const half = 2 ** step;
    if (step > 0 && preset.height / half < SMALLEST_HEIGHT) return [];
    return {
      rid,
      scaleResolutionDownBy: base * half,
      maxBitrate: Math.round(preset.bitrate * HALF_COSTS ** step),
      maxFramerate: preset.framesPerSecond,
    };
  }).reverse();
}

const KEY = "headrace.preset";

export function loadPreset(): Preset {
  try {
    return PRESETS.find(({ name }) => name === localStorage.getItem(KEY)) ?? DEFAULT_PRESET;
  } catch {
    // Storage that is blocked.
    return DEFAULT_PRESET;
  }
}

export function savePreset({ name }: Preset): void {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // Without storage it holds for as long as the page is open.
  }
}
