/** The vectors that every codec of the protocol passes, whatever it is written in. */
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import {
  candidateAttribute,
  pack,
  packCandidate,
  parseCandidate,
  unpack,
  unpackCandidate,
} from "./candidates.ts";
import { decodeServerMessage, encodeClientMessage } from "./codec.ts";
import { ProtocolError } from "./fields.ts";
import type { ClientMessage } from "./messages.ts";
import { compressSdp, inflateSdp } from "./sdp.ts";

interface Vector {
  readonly name: string;
  readonly direction: "client" | "server";
  readonly hex: string;
  readonly message: Fields;
}

interface Named {
  readonly name: string;
  readonly hex: string;
}

interface CandidateVector extends Named {
  readonly attribute: string;
  readonly line: number;
  readonly rebuilt: string;
}

interface Vectors {
  readonly accepted: readonly Vector[];
  readonly tolerated: readonly Vector[];
  readonly refused: readonly Named[];
  readonly candidates: {
    readonly accepted: readonly CandidateVector[];
    readonly refused: readonly Named[];
    readonly refused_attributes: readonly { readonly name: string; readonly attribute: string }[];
  };
  readonly sdp: {
    readonly accepted: readonly (Named & { readonly text: string })[];
    readonly refused: readonly Named[];
  };
}

type Fields = Readonly<Record<string, unknown>>;

const PATH = new URL("../../../../../shared/protocol/vectors.json", import.meta.url);
const vectors = JSON.parse(readFileSync(PATH, "utf-8")) as Vectors;

const ofClient = vectors.accepted.filter(({ direction }) => direction === "client");
const ofServer = [...vectors.accepted, ...vectors.tolerated].filter(({ direction }) => direction === "server");

// Frames that a server refuses. One of them is a good frame of a server's own.
const foreign = vectors.refused.filter(({ name }) => name !== "kind-of-the-server");

describe("shared vectors", () => {
  it.each(ofClient)("encodes $name to the same bytes", ({ hex, message }) => {
    const { type, ...fields } = camelCased(message) as Fields;
    const encoded = encodeClientMessage({ kind: type, ...fields } as unknown as ClientMessage);
    expect(Buffer.from(encoded).toString("hex")).toBe(hex);
  });

  it.each(ofServer)("decodes $name to the same message", ({ hex, message }) => {
    expect(decodeServerMessage(Buffer.from(hex, "hex"))).toEqual(expected(message));
  });

  it.each(foreign)("makes no message of $name", ({ hex }) => {
    expect(decodedOrRefused(hex)).toBeNull();
  });
});

describe("shared vectors of ICE candidates", () => {
  const { accepted, refused, refused_attributes } = vectors.candidates;

  it.each(accepted)("packs $name to the same bytes", ({ attribute, line, hex }) => {
    expect(hexOf(pack(parseCandidate(attribute, line)))).toBe(hex);
    expect(hexOf(packCandidate({ candidate: attribute, sdpMLineIndex: line }))).toBe(hex);
  });

  it.each(accepted)("makes the same attribute of $name", ({ hex, rebuilt, line }) => {
    expect(candidateAttribute(unpack(bytesOf(hex)))).toBe(rebuilt);
    expect(unpackCandidate(bytesOf(hex))).toEqual({ candidate: rebuilt, sdpMLineIndex: line });
  });

  it.each(refused)("does not unpack $name", ({ hex }) => {
    expect(() => unpack(bytesOf(hex))).toThrow(ProtocolError);
  });

  it.each(refused_attributes)("does not read $name", ({ attribute }) => {
    expect(() => parseCandidate(attribute)).toThrow(ProtocolError);
  });
});

describe("shared vectors of compressed SDP", () => {
  it.each(vectors.sdp.accepted)("inflates $name, and what it compresses itself", ({ hex, text }) => {
    expect(inflateSdp(bytesOf(hex))).toBe(text);
    expect(inflateSdp(compressSdp(text))).toBe(text);
  });

  it.each(vectors.sdp.refused)("refuses $name", ({ hex }) => {
    expect(() => inflateSdp(bytesOf(hex))).toThrow(ProtocolError);
  });
});

/** Null for what is refused as malformed, and for a client's kind, which is none of the server's and skipped. */
function decodedOrRefused(hex: string): unknown {
  try {
    return decodeServerMessage(Buffer.from(hex, "hex"));
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A value of the vectors as our messages hold it: names in camel case, `{ "hex": … }` as bytes. */
function camelCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(camelCased);
  if (typeof value !== "object" || value === null) return value;
  if ("hex" in value && typeof value.hex === "string") return bytesOf(value.hex);
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      camelCased(inner),
    ]),
  );
}

/** The shape that our decoder gives to a message of the vectors. */
function expected(message: Fields): unknown {
  const { type, ...fields } = camelCased(message) as Fields;
  if (type !== "events") {
    return { kind: type, ...fields, ...(fields["sdp"] instanceof Uint8Array && { sdp: inflateSdp(fields["sdp"]) }) };
  }
  const base = fields["base"] as number;
  const entries = fields["events"] as [number, Fields][];
  return {
    kind: "events",
    events: entries.map(([delta, event]) => ({ offset: base + delta, event })),
    lastOffset: base + (entries.at(-1)?.[0] ?? 0),
  };
}
