import { describe, expect, it } from "vitest";

import { fromLocalInput, spanText, toLocalInput, whenText } from "./when.ts";

describe("times", () => {
  const now = new Date(2026, 10, 25, 23, 30);

  it("are told by the day that people are in", () => {
    expect(whenText(new Date(2026, 10, 25, 23, 45).toISOString(), now)).toBe("Today 23:45");
    expect(whenText(new Date(2026, 10, 26, 0, 15).toISOString(), now)).toBe("Tomorrow 00:15");
    expect(whenText(new Date(2026, 10, 28, 20, 0).toISOString(), now)).toBe("Sat, Nov 28 20:00");
  });

  it("survive the way into an input and back", () => {
    expect(toLocalInput(now)).toBe("2026-11-25T23:30");
    expect(fromLocalInput(toLocalInput(now))?.getTime()).toBe(now.getTime());
    expect(fromLocalInput("")).toBeNull();
  });

  it("are spans in the unit that fits", () => {
    expect([40, 300, 7_500, 10_000_000].map(spanText)).toEqual(["40 s", "5 min", "2.1 h", "2,778 h"]);
  });
});
