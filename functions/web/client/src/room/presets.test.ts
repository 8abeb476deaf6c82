import { afterEach, describe, expect, it, vi } from "vitest";

import { constraintsOf, DEFAULT_PRESET, encodingsOf, loadPreset, presetCalled, PRESETS, savePreset } from "./presets.ts";

const UPLINK_BITRATE = 4_000_000;

const heights = (name: string, captured: number): number[] =>
  encodingsOf(presetCalled(name), captured).map(({ scaleResolutionDownBy }) => captured / (scaleResolutionDownBy ?? 1));

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("Presets", () => {
  it.each([
    ["1080p", [270, 540, 1080]],
    ["720p", [180, 360, 720]],
    ["480p", [240, 480]],
    ["360p", [180, 360]],
    ["240p", [240]],
  ])("send %s with the halves that are worth it", (name, expected) => {
    expect(heights(name, presetCalled(name).height)).toEqual(expected);
  });

  it.each(PRESETS)("$name stays below what a worker tells publishers to send", (preset) => {
    const layers = encodingsOf(preset, preset.height);
    expect(layers.reduce((sum, { maxBitrate }) => sum + (maxBitrate ?? 0), 0)).toBeLessThan(UPLINK_BITRATE);
    expect(layers.map(({ maxFramerate }) => maxFramerate)).toEqual(layers.map(() => preset.framesPerSecond));
    expect(layers.at(-1)).toMatchObject({ rid: "f", maxBitrate: preset.bitrate });
  });

  it("scale a camera down that gives more than was asked for, and none up", () => {
    expect(heights("480p", 1080)).toEqual([240, 480]);
    expect(heights("720p", 480)).toEqual([120, 240, 480]);
  });

  it("ask the camera for their size and rate", () => {
    expect(constraintsOf(presetCalled("240p"))).toEqual({
      width: { ideal: 426 },
      height: { ideal: 240 },
      frameRate: { ideal: 20, max: 20 },
    });
  });

  it("are remembered by the browser, as far as it remembers anything", () => {
    const kept = new Map<string, string>();
    vi.stubGlobal("localStorage", {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => kept.set(key, value),
    });
    expect(loadPreset()).toBe(DEFAULT_PRESET);
    savePreset(presetCalled("480p"));
    expect(loadPreset().name).toBe("480p");
    kept.set("headrace.preset", "8K");
    expect(loadPreset()).toBe(DEFAULT_PRESET);
    vi.stubGlobal("localStorage", undefined);
    savePreset(presetCalled("480p"));
    expect(loadPreset()).toBe(DEFAULT_PRESET);
  });
});
