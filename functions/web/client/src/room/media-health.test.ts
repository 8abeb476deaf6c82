import { describe, expect, it } from "vitest";

import { sampleOf, StallDetector, type MediaSample } from "./media-health.ts";

function stalledAfter(seconds: number, sampleAt: (second: number) => MediaSample): boolean {
  const detector = new StallDetector();
  let stalled = false;
  for (let second = 0; second <= seconds; second += 1) stalled = detector.stalled(sampleAt(second), second * 1000);
  return stalled;
}

describe("StallDetector", () => {
  it("is content while frames are decoded", () => {
    expect(stalledAfter(60, (s) => ({ framesDecoded: s * 30, videoBytes: s * 9000, audioBytes: s * 900 }))).toBe(false);
  });

  it("calls it a stall after five seconds without anything", () => {
    const silence = (): MediaSample => ({ framesDecoded: 30, videoBytes: 9000, audioBytes: 900 });
    expect(stalledAfter(4, silence)).toBe(false);
    expect(stalledAfter(5, silence)).toBe(true);
  });

  it("calls it a stall when video arrives but cannot be decoded", () => {
    expect(stalledAfter(5, (s) => ({ framesDecoded: 30, videoBytes: s * 9000, audioBytes: s * 900 }))).toBe(true);
  });

  it("does not mistake a stream of sound alone for a stall", () => {
    expect(stalledAfter(60, (s) => ({ framesDecoded: 0, videoBytes: 0, audioBytes: s * 900 }))).toBe(false);
  });
});

describe("sampleOf", () => {
  it("adds up what was received and leaves other reports alone", () => {
    const sample = sampleOf([
      { type: "inbound-rtp", kind: "video", framesDecoded: 3, bytesReceived: 100 },
      { type: "inbound-rtp", kind: "audio", bytesReceived: 10 },
      { type: "outbound-rtp", kind: "video", bytesReceived: 999 },
    ]);
    expect(sample).toEqual({ framesDecoded: 3, videoBytes: 100, audioBytes: 10 });
  });
});
