import { beforeEach, describe, expect, it } from "vitest";

import { FakeClock } from "./testing.ts";
import { TypingWatch, type Typists } from "./typing-watch.ts";

let clock: FakeClock;
let told: Typists[];
let watch: TypingWatch;

beforeEach(() => {
  clock = new FakeClock();
  told = [];
  watch = new TypingWatch({ clock, onChange: (typing) => told.push(typing) });
});

describe("TypingWatch", () => {
  it("ends somebody's typing with their message, and nobody else's", () => {
    watch.hear({ names: ["Bo", "Cy"], count: 5 });
    watch.spoke("Bo");
    expect(told.at(-1)).toEqual({ names: ["Cy"], count: 4 });
  });

  it("does not bring it back by a notice that comes behind the message", () => {
    watch.spoke("Bo");
    watch.hear({ names: ["Bo"], count: 1 });
    expect(told).toEqual([{ names: [], count: 0 }]);
  });

  it("shows whoever is still named when the server would have dropped them: they type on", () => {
    watch.hear({ names: ["Bo"], count: 1 });
    watch.spoke("Bo");
    clock.advance(4_500);
    expect(told.at(-1)).toEqual({ names: ["Bo"], count: 1 });
  });

  it("says nothing anew about those who do not type", () => {
    watch.spoke("Bo");
    clock.advance(4_500);
    expect(told).toEqual([]);
  });

  it("leaves nothing behind of a connection that went", () => {
    watch.hear({ names: ["Bo"], count: 1 });
    watch.spoke("Bo");
    watch.clear();
    clock.advance(4_500);
    expect(told).toHaveLength(2);
    expect(clock.delays).toEqual([]);
  });
});
