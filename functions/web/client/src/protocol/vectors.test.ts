/** The vectors that every codec of the protocol passes, whatever it is written in. */
import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { decodeServerMessage, encodeClientMessage } from "./codec.ts";
import { ProtocolError } from "./fields.ts";
import type { ClientMessage } from "./messages.ts";

interface Vector {
  readonly name: string;
  readonly direction: "client" | "server";
  readonly hex: string;
  readonly message: Readonly<Record<string, unknown>>;
}

interface Vectors {
  readonly accepted: readonly Vector[];
  readonly tolerated: readonly Vector[];
  readonly refused: readonly { readonly name: string; readonly hex: string }[];
}

const PATH = new URL("../../../../../shared/protocol/vectors.json", import.meta.url);
const vectors = JSON.parse(readFileSync(PATH, "utf-8")) as Vectors;

const ofClient = vectors.accepted.filter(({ direction }) => direction === "client");
const ofServer = [...vectors.accepted, ...vectors.tolerated].filter(({ direction }) => direction === "server");

// Frames that a server refuses. One of them is a good frame of a server's own.
const foreign = vectors.refused.filter(({ name }) => name !== "kind-of-the-server");

describe("shared vectors", () => {
  it.each(ofClient)("encodes $name to the same bytes", ({ hex, message }) => {
    const { type, ...fields } = camelCased(message);
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

/** Null for what is refused as malformed, and for a client's kind, which is none of the server's and skipped. */
function decodedOrRefused(hex: string): unknown {
  try {
    return decodeServerMessage(Buffer.from(hex, "hex"));
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

function camelCased(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [
      key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  );
}

/** The shape that our decoder gives to a message of the vectors. */
function expected(message: Readonly<Record<string, unknown>>): unknown {
  const { type, ...fields } = camelCased(message);
  if (type !== "events") return { kind: type, ...fields };
  const base = fields["base"] as number;
  const entries = fields["events"] as [number, Record<string, unknown>][];
  return {
    kind: "events",
    events: entries.map(([delta, event]) => ({ offset: base + delta, event: camelCased(event) })),
    lastOffset: base + (entries.at(-1)?.[0] ?? 0),
  };
}
