/** What a browser's own candidates keep; byte-exact cases are in the shared vectors. */
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { packCandidate, parseCandidate, unpackCandidate } from "./candidates.ts";

interface Captured {
  readonly candidate: string;
  readonly line: number;
}

const PATH = new URL("../../../../../tests/shared/protocol/corpus/candidates.json", import.meta.url);
const captured = JSON.parse(readFileSync(PATH, "utf-8")) as readonly Captured[];

describe("candidates of Chromium", () => {
  it.each(captured)("$candidate", ({ candidate, line }) => {
    const kept = candidate.replace(/ (?:generation|network-id|network-cost) \d+/g, "");
    const packed = packCandidate({ candidate, sdpMLineIndex: line });
    expect(unpackCandidate(packed)).toEqual({ candidate: kept, sdpMLineIndex: line });
    expect(packed.length).toBeLessThan(candidate.length / 2);
  });
});

describe("packCandidate", () => {
  it.each([null, { candidate: "" }])("says with no bytes that no more will come: %j", (end) => {
    expect(packCandidate(end)).toHaveLength(0);
  });

  it("takes a missing line for the first", () => {
    const candidate = "candidate:1 1 udp 1 192.0.2.1 1 typ host";
    expect(packCandidate({ candidate })).toEqual(packCandidate({ candidate, sdpMLineIndex: null }));
  });
});

describe("IPv6 addresses", () => {
  const addressOf = (text: string): string => parseCandidate(`candidate:1 1 udp 1 ${text} 1 typ host`).address;

  it.each([
    ["0:0:0:0:0:0:0:1", "::1"],
    ["1:0:0:0:0:0:0:0", "1::"],
    ["0:1:0:0:0:0:0:0", "0:1::"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
    ["::ffff:192.0.2.1", "::ffff:c000:201"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ])("%s is written %s", (text, written) => {
    expect(addressOf(text)).toBe(written);
    expect(addressOf(written)).toBe(written);
  });

  it.each([":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7::8:9", "::1.2.3", "1.2.3.4::", "::g", ":1", "1:"])(
    "%s is none",
    (text) => {
      expect(() => addressOf(text)).toThrow();
    },
  );
});
