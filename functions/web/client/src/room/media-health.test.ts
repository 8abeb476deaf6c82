import { describe, expect, it } from "vitest";

import { activityOf, sampleOf, SilenceDetector, StallDetector, type MediaSample } from "./media-health.ts";

function sample(parts: Partial<MediaSample>): MediaSample {
  return { framesDecoded: 0, videoBytes: 0, audioBytes: 0, videoPackets: 0, videoLost: 0, ...parts };
}

function stalledAfter(seconds: number, sampleAt: (second: number) => MediaSample): boolean {
  const detector = new StallDetector();
  let stalled = false;
  for (let second = 0; second <= seconds; second += 1) stalled = detector.stalled(sampleAt(second), second * 1000);
  return stalled;
}

describe("StallDetector", () => {
  it("is content while frames are decoded", () => {
    expect(stalledAfter(60, (s) => sample({ framesDecoded: s * 30, videoBytes: s * 9000, audioBytes: s * 900 }))).toBe(false);
  });

  it("waits ten seconds where nothing comes at all", () => {
    const silence = (): MediaSample => sample({ framesDecoded: 30, videoBytes: 9000, audioBytes: 900 });
    expect(stalledAfter(9, silence)).toBe(false);
    expect(stalledAfter(10, silence)).toBe(true);
  });

  it("calls it a stall when video arrives but cannot be decoded", () => {
    const undecodable = (s: number): MediaSample => sample({ framesDecoded: 30, videoBytes: s * 9000, videoPackets: s * 9 });
    expect(stalledAfter(5, undecodable)).toBe(true);
  });

  it("gives the worker time where much is lost on the way", () => {
    const lossy = (s: number): MediaSample =>
      sample({ framesDecoded: 30, videoBytes: s * 9000, videoPackets: s * 9, videoLost: s * 9 });
    expect(stalledAfter(14, lossy)).toBe(false);
    expect(stalledAfter(15, lossy)).toBe(true);
  });

  it("does not mistake a stream of sound alone for a stall", () => {
    expect(stalledAfter(60, (s) => sample({ audioBytes: s * 900 }))).toBe(false);
  });
});

describe("sampleOf", () => {
  it("adds up what was received and leaves other reports alone", () => {
    const sample = sampleOf([
      { type: "inbound-rtp", kind: "video", framesDecoded: 3, bytesReceived: 100, packetsReceived: 9, packetsLost: 1 },
      { type: "inbound-rtp", kind: "audio", bytesReceived: 10 },
      { type: "outbound-rtp", kind: "video", bytesReceived: 999 },
    ]);
    expect(sample).toEqual({ framesDecoded: 3, videoBytes: 100, audioBytes: 10, videoPackets: 9, videoLost: 1 });
  });
});

describe("SilenceDetector", () => {
  const silentAt = (activity: readonly number[]): number[] => {
    const detector = new SilenceDetector();
    return activity.flatMap((value, second) => (detector.fellSilent(value, second * 1000) ? [second] : []));
  };

  it("tells a path that falls silent once, until it brings something again", () => {
    expect(silentAt([1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3])).toEqual([4, 10]);
  });

  it("does not wait for a path that never brought anything", () => {
    expect(silentAt([0, 0, 0, 0, 0, 0, 0])).toEqual([]);
  });

  it("takes answers to connectivity checks for life, with no media at all", () => {
    expect(
      activityOf([
        { type: "inbound-rtp", bytesReceived: 7_000 },
        { type: "candidate-pair", responsesReceived: 3, bytesReceived: 100 },
        { type: "transport", bytesReceived: 5_000 },
      ]),
    ).toBe(103);
    expect(silentAt([100, 100, 101, 101, 102, 102, 103])).toEqual([]);
  });
});
