import { describe, expect, it } from "vitest";

import { Backoff } from "./backoff.ts";

describe("Backoff", () => {
  it("doubles its ceiling up to the cap", () => {
    const backoff = new Backoff({ initialMs: 250, capMs: 10_000, random: () => 0.5 });
    const delays = Array.from({ length: 8 }, () => backoff.next());
    expect(delays).toEqual([125, 250, 500, 1000, 2000, 4000, 5000, 5000]);
  });

  it("draws from the whole range below the ceiling", () => {
    const bounds = [0, 1 - Number.EPSILON].map((value) =>
      new Backoff({ initialMs: 250, capMs: 10_000, random: () => value }).next(),
    );
    expect(bounds[0]).toBe(0);
    expect(bounds[1]).toBeLessThan(250);
    expect(bounds[1]).toBeGreaterThan(249);
  });

  it("begins anew after a reset", () => {
    const backoff = new Backoff({ initialMs: 250, capMs: 10_000, random: () => 0.5 });
    backoff.next();
    backoff.next();
    backoff.reset();
    expect(backoff.next()).toBe(125);
  });
});
