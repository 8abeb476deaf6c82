import { describe, expect, it } from "vitest";

import { QualityReason, type QualityNotice } from "../protocol/messages.ts";
import { AUDIO_ONLY, AUTO, bitrateLabel, onTheWire, presentLabel, whyNotMore, withoutVideo } from "./wishes.ts";

const told = (layer: string | null, why: number, height = 360): QualityNotice => ({
  kind: "quality_notice",
  session: "v1",
  layer,
  height: layer === null ? 0 : height,
  why,
  layers: [],
});

describe("wishes", () => {
  it("are said by their number", () => {
    expect(onTheWire(AUTO)).toEqual({ mode: 0, layer: null });
    expect(onTheWire({ kind: "layer", layer: "h" })).toEqual({ mode: 1, layer: "h" });
    expect(onTheWire(AUDIO_ONLY)).toEqual({ mode: 2, layer: null });
  });

  it("know when no video is no fault", () => {
    expect(withoutVideo(AUTO, null)).toBe(false);
    expect(withoutVideo(AUTO, told(null, QualityReason.best))).toBe(false);
    expect(withoutVideo(AUTO, told(null, QualityReason.network))).toBe(true);
    expect(withoutVideo(AUTO, told("q", QualityReason.network))).toBe(false);
    expect(withoutVideo(AUDIO_ONLY, null)).toBe(true);
  });

  it("are told as people say it", () => {
    expect(presentLabel(null)).toBeNull();
    expect(presentLabel(told("h", QualityReason.best))).toBe("360p");
    expect(presentLabel(told("h", QualityReason.best, 0))).toBe("Layer h");
    expect(presentLabel(told(null, QualityReason.best))).toBeNull();
    expect(presentLabel(told(null, QualityReason.choice))).toBe("audio only");
    expect([74, 604, 999, 2480].map(bitrateLabel)).toEqual(["70 kbit/s", "600 kbit/s", "1.0 Mbit/s", "2.5 Mbit/s"]);
    expect(whyNotMore(AUTO, told("h", QualityReason.viewport))).toContain("player");
    expect(whyNotMore(AUTO, told("h", QualityReason.network))).toContain("connection");
    expect(whyNotMore(AUTO, told("h", QualityReason.tier))).toContain("account");
    expect(whyNotMore(AUTO, told("h", QualityReason.best))).toBeNull();
    expect(whyNotMore(AUDIO_ONLY, told(null, QualityReason.network))).toBeNull();
  });
});
