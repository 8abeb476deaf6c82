import { decode, encode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";

import { decodeServerMessage, encodeClientMessage } from "./codec.ts";
import { ProtocolError } from "./fields.ts";
import { compressSdp } from "./sdp.ts";

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
        { offset: T0, event: { type: "stream_started", session: "s1", name: "Ana", continues: "" } },
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

  it("ignores elements that a newer server may append within lists", () => {
    const person = { participant: "p1", name: "Ana", role: "moderator" };
    expect(decodeServerMessage(encode([49, 1, 9, [["p1", "Ana", "moderator", "later"]], "later"]))).toEqual({
      kind: "people_list",
      request: 1,
      total: 9,
      people: [person],
    });
  });

  it("gives the text of an sdp, compressed or not", () => {
    const sdp = "v=0\r\n";
    for (const field of [sdp, compressSdp(sdp)]) {
      expect(decodeServerMessage(encode([40, 1, "s", field]))).toMatchObject({ kind: "answer", sdp });
    }
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
    ["an sdp that is neither text nor bytes", encode([39, 1, "s", 7])],
    ["an sdp of an unknown dictionary", encode([39, 1, "s", Uint8Array.of(2, 3, 0)])],
    ["reactions that are no array", encode([44, "👍"])],
    ["a reaction that is no pair", encode([44, ["👍"]])],
    ["a reaction without a count", encode([44, [["👍"]]])],
    ["a typing name that is no string", encode([45, ["Ana", 7], 2])],
    ["stats that miss a figure", encode([46, 1, 2, 3, 4])],
    ["a knock without a name", encode([48, [["p1"]], 1])],
    ["a person without a role", encode([49, 1, 1, [["p1", "Ana"]]])],
    ["a gift of a negative number", encode([35, 1, [[0, [4, "p", "n", 1, "rose", -1]]]])],
    ["settings with a number for a boolean", encode([35, 1, [[0, [7, "t", "c", 0, 1]]]])],
    ["an offset that runs over 53 bits", encode([35, Number.MAX_SAFE_INTEGER, [[1, [77]]]])],
  ])("refuses %s", (_, frame) => {
    expect(() => decodeServerMessage(frame)).toThrow(ProtocolError);
  });
});
