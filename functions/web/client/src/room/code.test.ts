import { describe, expect, it } from "vitest";

import { formatRoomCode, parseRoomCode } from "./code.ts";

describe("room codes", () => {
  it.each(["abcde23456", "ABCDE-23456", " abcde 23456 ", "https://live.example/r/abcde23456?x=1", "/r/ABCDE-23456"])(
    "reads %j",
    (input) => {
      expect(parseRoomCode(input)).toBe("abcde23456");
    },
  );

  it.each(["", "abcde", "abcde-234567", "abcde-1345o!", "https://live.example/"])("refuses %j", (input) => {
    expect(parseRoomCode(input)).toBeNull();
  });

  it("shows two groups of five", () => {
    expect(formatRoomCode("abcde23456")).toBe("abcde-23456");
  });
});
