import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";

import { decodeServerMessage, encodeClientMessage } from "./codec.ts";
import { ProtocolError } from "./fields.ts";

const T0 = 1_795_352_400_000_000;

describe("encodeClientMessage", () => {
  it("writes a fresh join with nils for the position", () => {
    const bytes = encodeClientMessage({ kind: "join", token: "t", epoch: null, offset: null });
    expect(decode(bytes)).toEqual([1, "t", null, null]);
  });

  it("keeps the largest 53-bit message id exact", () => {
    const bytes = encodeClientMessage({ kind: "chat", messageId: Number.MAX_SAFE_INTEGER, text: "é" });
    expect(decode(bytes)).toEqual([3, Number.MAX_SAFE_INTEGER, "é"]);
  });
});

describe("decodeServerMessage", () => {
  it("adds each delta to the base of a batch", () => {
    const frame = encode([35, T0, [[0, [2, "s1", "Ana"]], [5, [1, "p", "Bo", 7, "hi"]]]]);
    expect(decodeServerMessage(frame)).toEqual({
      kind: "events",
      events: [
        { offset: T0, event: { type: "stream_started", session: "s1", name: "Ana" } },
        { offset: T0 + 5, event: { type: "chat", sender: "p", name: "Bo", messageId: 7, text: "hi" } },
      ],
      lastOffset: T0 + 5,
    });
  });

  it("skips an event of unknown type but counts its offset", () => {
    const frame = encode([35, T0, [[0, [3, "s1", "left"]], [9, [77, "gift", { of: "a later version" }]]]]);
    const message = decodeServerMessage(frame);
    expect(message).toMatchObject({ kind: "events", lastOffset: T0 + 9 });
    expect(message?.kind === "events" && message.events.map(({ offset }) => offset)).toEqual([T0]);
  });

  it("skips a kind that a newer server may send", () => {
    expect(decodeServerMessage(encode([99, "anything"]))).toBeNull();
  });

  it("ignores elements that a newer server may append", () => {
    expect(decodeServerMessage(encode([34, 7, "later"]))).toEqual({ kind: "pong", nonce: 7 });
  });

  it("reads an error whose optional elements are left out", () => {
    expect(decodeServerMessage(encode([38, 1, "bad"]))).toEqual({
      kind: "error",
      code: 1,
      message: "bad",
      reference: null,
      retryAfterMs: null,
    });
  });

  it.each([
    ["nothing at all", new Uint8Array()],
    ["bytes after the message", Uint8Array.from([...encode([34, 7]), 0])],
    ["a truncated frame", encode([40, 1, "session", "sdp"]).slice(0, -2)],
    ["a map", encode({ kind: 34 })],
    ["an empty array", encode([])],
    ["a kind that is no number", encode(["34", 7])],
    ["a missing element", encode([36, 7])],
    ["a negative number", encode([34, -1])],
    ["a fraction", encode([41, 1.5])],
    ["a number over 53 bits", encode([34, 2 ** 53])],
    ["a string for a boolean", encode([33, "c", "p", "n", "viewer", "e", 1, "yes", 0, 1, "i"])],
    ["a role that does not exist", encode([33, "c", "p", "n", "admin", "e", 1, true, 0, 1, "i"])],
    ["a gap for no known reason", encode([37, "boredom", "e", 1])],
    ["an event that is no pair", encode([35, 1, [7]])],
    ["a known event with a wrong field", encode([35, 1, [[0, [1, "p", "n", "7", "text"]]]])],
    ["an offset that runs over 53 bits", encode([35, Number.MAX_SAFE_INTEGER, [[1, [77]]]])],
  ])("refuses %s", (_, frame) => {
    expect(() => decodeServerMessage(frame)).toThrow(ProtocolError);
  });
});
