/**
 * ICE candidates as browsers write them (RFC 8839, section 5.1) and as frames carry them: SPEC.md, section 7.
 */
import { AddressKind, addressText, readAddress } from "./address.ts";
import { ProtocolError } from "./fields.ts";

const TRANSPORTS = ["udp", "tcp"];
const TYPES = ["host", "srflx", "prflx", "relay"];
const TCP_TYPES = ["", "active", "passive", "so"];
const FOUNDATION = /^[A-Za-z0-9+/]{1,32}$/;
const UFRAG = /^[A-Za-z0-9+/]{4,255}$/;
const NUMBER = /^[0-9]{1,10}$/;
const MAX_ATTRIBUTE_CHARACTERS = 2048;

const encoder = new TextEncoder();
const decoder = new TextDecoder("ascii");

export interface IceCandidate {
  readonly foundation: string;
  readonly component: number;
  readonly transport: string;
  readonly priority: number;
  readonly address: string;
  readonly port: number;
  readonly type: string;
  readonly related: { readonly address: string; readonly port: number } | null;
  /** Empty with UDP. */
  readonly tcpType: string;
  /** Empty when unknown. */
  readonly ufrag: string;
  /** `sdpMLineIndex` */
  readonly line: number;
}

/** What an `icecandidate` event gives, packed for a frame; no bytes for the end of candidates. */
export function packCandidate(candidate: { candidate: string; sdpMLineIndex?: number | null } | null): Uint8Array {
  if (candidate === null || candidate.candidate === "") return new Uint8Array();
  return pack(parseCandidate(candidate.candidate, candidate.sdpMLineIndex ?? 0));
}

/** What `addIceCandidate` takes. */
export function unpackCandidate(data: Uint8Array): { candidate: string; sdpMLineIndex: number } {
  const candidate = unpack(data);
  return { candidate: candidateAttribute(candidate), sdpMLineIndex: candidate.line };
}

/** @throws ProtocolError when the attribute is not of the RFC's grammar, or has no place in a frame. */
export function parseCandidate(attribute: string, line = 0): IceCandidate {
  if (attribute.length > MAX_ATTRIBUTE_CHARACTERS) throw bad("too long");
  const words = attribute.replace(/^a=/, "").split(" ");
  const [foundation = "", component = "", transport = "", priority = "", address = "", port = "", typ, type = ""] =
    words;
  if (!foundation.startsWith("candidate:") || words.length < 8 || words.length % 2 !== 0 || typ !== "typ") {
    throw bad("not a candidate-attribute");
  }
  const extensions = new Map<string, string>();
  for (let index = 8; index < words.length; index += 2) extensions.set(words[index] ?? "", words[index + 1] ?? "");
  const raddr = extensions.get("raddr");
  const mline = extensions.get("mline");
  return checked({
    foundation: foundation.slice("candidate:".length),
    component: number(component),
    transport: transport.toLowerCase(),
    priority: number(priority),
    address: readAddress(address).text,
    port: number(port),
    type,
    related:
      raddr === undefined
        ? null
        : { address: readAddress(raddr).text, port: number(extensions.get("rport") ?? "") },
    tcpType: extensions.get("tcptype") ?? "",
    ufrag: extensions.get("ufrag") ?? "",
    line: mline === undefined ? line : number(mline),
  });
}

export function candidateAttribute(candidate: IceCandidate): string {
  const { foundation, component, transport, priority, address, port, type, related, tcpType, ufrag } = candidate;
  return [
    `candidate:${foundation} ${component} ${transport} ${priority} ${address} ${port} typ ${type}`,
    ...(related === null ? [] : [`raddr ${related.address} rport ${related.port}`]),
    ...(tcpType === "" ? [] : [`tcptype ${tcpType}`]),
    ...(ufrag === "" ? [] : [`ufrag ${ufrag}`]),
  ].join(" ");
}

/** @throws ProtocolError when a field has no place in a frame. */
export function pack(candidate: IceCandidate): Uint8Array {
  const { component, transport, priority, port, type, related, tcpType, line } = checked(candidate);
  const { kind, bytes } = addressField(candidate.address);
  const head =
    (TRANSPORTS.indexOf(transport) << 5) | (TYPES.indexOf(type) << 3) | (kind << 1) | (related === null ? 0 : 1);
  const fixed = new DataView(new ArrayBuffer(9));
  fixed.setUint8(0, head);
  fixed.setUint8(1, (component << 4) | TCP_TYPES.indexOf(tcpType));
  fixed.setUint8(2, line);
  fixed.setUint32(3, priority);
  fixed.setUint16(7, port);
  const parts = [new Uint8Array(fixed.buffer), bytes];
  if (related !== null) {
    const field = addressField(related.address);
    parts.push(Uint8Array.of(field.kind), field.bytes, Uint8Array.of(related.port >> 8, related.port & 255));
  }
  parts.push(counted(candidate.foundation), counted(candidate.ufrag));
  return joined(parts);
}

/** @throws ProtocolError when it is not what `pack` gives. */
export function unpack(data: Uint8Array): IceCandidate {
  const reader = new Reader(data);
  const fixed = reader.take(9);
  const view = new DataView(fixed.buffer, fixed.byteOffset);
  const [head, component] = [view.getUint8(0), view.getUint8(1)];
  if (head >> 6 !== 0) throw bad("of a later version");
  const address = reader.address((head >> 1) & 3);
  const related = (head & 1) === 1 ? { address: reader.address(reader.uint8()), port: reader.uint16() } : null;
  const candidate = checked({
    foundation: reader.counted(),
    component: component >> 4,
    transport: TRANSPORTS[(head >> 5) & 1] ?? "",
    priority: view.getUint32(3),
    address,
    port: view.getUint16(7),
    type: TYPES[(head >> 3) & 3] ?? "",
    related,
    tcpType: TCP_TYPES[component & 15] ?? "unknown",
    ufrag: reader.counted(),
    line: view.getUint8(2),
  });
  reader.finish();
  return candidate;
}

class Reader {
  readonly #data: Uint8Array;
  #position = 0;

  constructor(data: Uint8Array) {
    this.#data = data;
  }

  take(count: number): Uint8Array {
    const part = this.#data.subarray(this.#position, this.#position + count);
    if (part.length < count) throw bad("incomplete");
    this.#position += count;
    return part;
  }

  uint8(): number {
    return this.take(1)[0] ?? 0;
  }

  uint16(): number {
    return (this.uint8() << 8) | this.uint8();
  }

  counted(): string {
    // A character beyond ASCII is none that any check allows.
    return decoder.decode(this.take(this.uint8()));
  }

  address(kind: number): string {
    switch (kind) {
      case AddressKind.ipv4:
        return addressText(kind, this.take(4));
      case AddressKind.ipv6:
      case AddressKind.mdns:
        return addressText(kind, this.take(16));
      case AddressKind.name: {
        const name = readAddress(this.counted());
        if (name.kind !== AddressKind.name) throw bad("name is an address");
        return name.text;
      }
      default:
        throw bad("address is of no known kind");
    }
  }

  finish(): void {
    if (this.#position < this.#data.length) throw bad("bytes after its end");
  }
}

/** Requires what both forms can hold. The addresses have been read already, and are good. */
function checked(candidate: IceCandidate): IceCandidate {
  if (!FOUNDATION.test(candidate.foundation)) throw bad("foundation");
  if (candidate.ufrag !== "" && !UFRAG.test(candidate.ufrag)) throw bad("ufrag");
  inRange(candidate.component, 1, 15, "component");
  inRange(candidate.priority, 0, 0xffff_ffff, "priority");
  inRange(candidate.port, 0, 0xffff, "port");
  inRange(candidate.related?.port ?? 0, 0, 0xffff, "related port");
  inRange(candidate.line, 0, 255, "media line");
  if (!TRANSPORTS.includes(candidate.transport)) throw bad("transport unknown");
  if (!TYPES.includes(candidate.type)) throw bad("type unknown");
  if (!TCP_TYPES.includes(candidate.tcpType)) throw bad("TCP type unknown");
  if ((candidate.tcpType !== "") !== (candidate.transport === "tcp")) throw bad("TCP has a TCP type, and UDP none");
  return candidate;
}

function inRange(value: number, least: number, most: number, what: string): void {
  if (value < least || value > most) throw bad(`${what} out of range`);
}

function addressField(text: string): { kind: number; bytes: Uint8Array } {
  const { kind, bytes } = readAddress(text);
  return { kind, bytes: kind === AddressKind.name ? counted(text) : bytes };
}

function counted(text: string): Uint8Array {
  return joined([Uint8Array.of(text.length), encoder.encode(text)]);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

function number(text: string): number {
  if (!NUMBER.test(text)) throw bad("a number is missing");
  return Number(text);
}

function bad(problem: string): ProtocolError {
  return new ProtocolError(`ICE candidate: ${problem}`);
}
