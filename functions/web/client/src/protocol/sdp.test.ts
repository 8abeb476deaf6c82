/** Real descriptions, the dictionary's bytes, and zlib on the other side. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { deflateRawSync, inflateRawSync } from "node:zlib";

import { describe, expect, it } from "vitest";

import { compressSdp, inflateSdp, sdpDictionary } from "./sdp.ts";

const ROOT = new URL("../../../../../", import.meta.url);
const DICTIONARY = new URL("shared/protocol/sdp_dictionary_1.txt", ROOT);
const CORPUS = new URL("tests/shared/protocol/corpus/", ROOT);
const MEASURED = new URL("measured/", CORPUS);

const descriptions = readdirSync(MEASURED)
  .sort()
  .map((name) => ({ name, text: readFileSync(new URL(name, MEASURED), "utf-8") }));

describe("the dictionary", () => {
  it("is byte for byte the file that the server reads", () => {
    expect(Buffer.from(sdpDictionary).equals(readFileSync(DICTIONARY))).toBe(true);
  });
});

describe("a browser's own descriptions", () => {
  it.each(descriptions)("$name comes back the same, and smaller by far", ({ text }) => {
    const compressed = compressSdp(text);
    expect(inflateSdp(compressed)).toBe(text);
    expect(compressed.length).toBeLessThan(text.length / 3);
  });

  it.each(descriptions)("$name is read by zlib, and zlib's is read here", ({ text }) => {
    const dictionary = sdpDictionary;
    expect(inflateRawSync(compressSdp(text).subarray(1), { dictionary }).toString()).toBe(text);
    const deflated = deflateRawSync(text, { dictionary, level: 9, memLevel: 9 });
    expect(inflateSdp(Buffer.concat([Uint8Array.of(1), deflated]))).toBe(text);
  });

  it("compresses to the bytes that the server's tests read", async () => {
    const rows = descriptions.map(({ name, text }) => [name, Buffer.from(compressSdp(text)).toString("base64")]);
    const path = fileURLToPath(new URL("fflate.json", CORPUS));
    await expect(`${JSON.stringify(Object.fromEntries(rows), null, 1)}\n`).toMatchFileSnapshot(path);
  });
});

describe("damage", () => {
  const whole = compressSdp(descriptions[0]?.text ?? "");

  it("of any byte makes an error of ours or another text, and nothing else", () => {
    for (let position = 0; position < whole.length; position++) {
      for (const flip of [1, 16, 255]) {
        const damaged = Uint8Array.from(whole, (byte, index) => (index === position ? byte ^ flip : byte));
        try {
          expect(inflateSdp(damaged)).toBeTypeOf("string");
        } catch (error) {
          expect(error).toMatchObject({ name: "ProtocolError" });
        }
      }
    }
  });

  it("of its end is noticed wherever it is cut", () => {
    for (let length = 0; length < whole.length - 1; length++) {
      expect(() => inflateSdp(whole.subarray(0, length))).toThrow("sdp");
    }
  });
});
