/**
 * Compressed session descriptions, as SPEC.md, section 6, defines them: one byte with the version of the dictionary,
 * then raw DEFLATE with that dictionary preset.
 */
import { deflateSync, inflateSync } from "fflate";

import dictionaryText from "../../../../../shared/protocol/sdp_dictionary_1.txt?raw";
import { ProtocolError } from "./fields.ts";
import { MAX_SDP_CHARACTERS } from "./messages.ts";

const VERSION = 1;
/** What that many characters may take in UTF-8, and one byte that tells too many: nothing is inflated beyond. */
const INFLATED_BYTES = 4 * MAX_SDP_CHARACTERS + 1;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
/** The same bytes as the server's: a test compares them with the file. */
export const sdpDictionary = encoder.encode(dictionaryText);

export function compressSdp(text: string): Uint8Array {
  const deflated = deflateSync(encoder.encode(text), { dictionary: sdpDictionary, level: 9 });
  const compressed = new Uint8Array(1 + deflated.length);
  compressed[0] = VERSION;
  compressed.set(deflated, 1);
  return compressed;
}

/**
 * The text of compressed SDP.
 *
 * @throws ProtocolError when it is of another version, damaged, or of no or too many characters.
 */
export function inflateSdp(data: Uint8Array): string {
  if (data[0] !== VERSION) throw new ProtocolError(`sdp is not of version ${VERSION} of the dictionary`);
  // What is behind the version byte cannot be less, and fflate takes nothing for an empty text.
  if (data.length < 3) throw new ProtocolError("sdp is incomplete");
  if (data.length > MAX_SDP_CHARACTERS) throw new ProtocolError("sdp is too long");
  const text = inflated(data.subarray(1));
  // Code points are at most as many as code units, so that they are counted only when it matters.
  const tooLong = text.length > MAX_SDP_CHARACTERS && Array.from(text).length > MAX_SDP_CHARACTERS;
  if (text === "" || tooLong) throw new ProtocolError(`sdp has none or more than ${MAX_SDP_CHARACTERS} characters`);
  return text;
}

function inflated(data: Uint8Array): string {
  try {
    return decoder.decode(inflateSync(data, { dictionary: sdpDictionary, out: new Uint8Array(INFLATED_BYTES) }));
  } catch (error) {
    throw new ProtocolError("sdp is not deflated UTF-8", { cause: error });
  }
}
