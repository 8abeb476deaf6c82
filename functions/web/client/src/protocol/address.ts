/** Addresses of ICE candidates, as text and as bytes: SPEC.md, section 7. */
import { ProtocolError } from "./fields.ts";

export const AddressKind = { ipv4: 0, ipv6: 1, mdns: 2, name: 3 } as const;

export interface Address {
  readonly kind: number;
  /** Without the number of characters that stands before a name. */
  readonly bytes: Uint8Array;
  /** As a reader of the bytes would write it. */
  readonly text: string;
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const MDNS = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.local$/;
const NAME = /^[A-Za-z0-9_.-]{1,255}$/;
// What ends in a number is an IPv4 address or a mistake.
const ENDS_IN_NUMBER = /(?:^|\.)[0-9]+\.?$/;
const GROUP = /^[0-9A-Fa-f]{1,4}$/;

const encoder = new TextEncoder();

/** @throws ProtocolError when it is no address. */
export function readAddress(text: string): Address {
  if (MDNS.test(text)) {
    const hex = text.slice(0, -".local".length).replaceAll("-", "");
    const bytes = Uint8Array.from({ length: 16 }, (_, index) => parseInt(hex.slice(2 * index, 2 * index + 2), 16));
    return { kind: AddressKind.mdns, bytes, text };
  }
  if (IPV4.test(text)) return { kind: AddressKind.ipv4, bytes: ipv4Bytes(text), text };
  if (text.includes(":")) {
    const bytes = ipv6Bytes(text);
    return { kind: AddressKind.ipv6, bytes, text: ipv6Text(bytes) };
  }
  if (!NAME.test(text) || ENDS_IN_NUMBER.test(text)) throw new ProtocolError("candidate has no good address");
  return { kind: AddressKind.name, bytes: encoder.encode(text), text };
}

/** The text of an address of 4 or 16 bytes. */
export function addressText(kind: number, bytes: Uint8Array): string {
  if (kind === AddressKind.ipv4) return bytes.join(".");
  if (kind === AddressKind.ipv6) return ipv6Text(bytes);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")}.local`;
}

function ipv4Bytes(text: string): Uint8Array {
  return Uint8Array.from(text.split("."), Number);
}

function ipv6Bytes(text: string): Uint8Array {
  const halves = text.split("::");
  const [head = [], tail] = halves.map(ipv6Groups);
  const given = head.length + (tail?.length ?? 0);
  // A gap stands for one group at least.
  if (halves.length > 2 || (tail === undefined ? given !== 8 : given > 7)) throw notIpv6();
  const groups = tail === undefined ? head : [...head, ...new Array<number>(8 - given).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 255]));
}

/** The groups of one side of the gap, a dotted end as two of them. */
function ipv6Groups(text: string, half: number, halves: readonly string[]): number[] {
  if (text === "") return [];
  const parts = text.split(":");
  const last = parts.at(-1) ?? "";
  const dotted = half === halves.length - 1 && IPV4.test(last) ? ipv4Bytes(last) : null;
  if (dotted !== null) parts.pop();
  const groups = parts.map((part) => {
    if (!GROUP.test(part)) throw notIpv6();
    return parseInt(part, 16);
  });
  if (dotted !== null) for (const index of [0, 2]) groups.push(((dotted[index] ?? 0) << 8) | (dotted[index + 1] ?? 0));
  return groups;
}

/** RFC 5952, but without its dotted form. */
function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  );
  let [start, length] = [0, 1];
  for (let from = 0; from < 8; from++) {
    let until = from;
    while (groups[until] === "0") until++;
    if (until - from > length) [start, length] = [from, until - from];
  }
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

function notIpv6(): ProtocolError {
  return new ProtocolError("candidate has no good IPv6 address");
}
