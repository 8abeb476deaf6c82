/** Typed access to the elements of a decoded MessagePack array; each reader refuses what the contract does not allow. */

/** A frame that is not what `headrace.1` says it should be. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

type Elements = readonly unknown[];

export function readArray(value: unknown, what: string): Elements {
  if (!Array.isArray(value)) throw new ProtocolError(`${what} is not an array`);
  return value;
}

export function readString(elements: Elements, index: number, what: string): string {
  const value = elements[index];
  if (typeof value !== "string") throw new ProtocolError(`${what} is not a string`);
  return value;
}

export function readStringOrNull(elements: Elements, index: number, what: string): string | null {
  return elements[index] === null ? null : readString(elements, index, what);
}

export function readUint(elements: Elements, index: number, what: string): number {
  const value = elements[index];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new ProtocolError(`${what} is not an unsigned integer of at most 53 bits`);
  }
  return value;
}

/** An optional element at the end of a frame may be nil or left out. */
export function readUintOrNull(elements: Elements, index: number, what: string): number | null {
  return elements[index] === null || index >= elements.length ? null : readUint(elements, index, what);
}

export function readBoolean(elements: Elements, index: number, what: string): boolean {
  const value = elements[index];
  if (typeof value !== "boolean") throw new ProtocolError(`${what} is not a boolean`);
  return value;
}

/** The elements of an array, each read by `read`, which gets it and its name. */
export function readList<T>(
  elements: Elements,
  index: number,
  read: (element: Elements, what: string) => T,
  what: string,
): T[] {
  return readArray(elements[index], what).map((element) => read(readArray(element, what), what));
}

export function readStrings(elements: Elements, index: number, what: string): string[] {
  const list = readArray(elements[index], what);
  return list.map((_, position) => readString(list, position, what));
}

export function readOneOf<T extends string>(
  elements: Elements,
  index: number,
  allowed: readonly T[],
  what: string,
): T {
  const value = readString(elements, index, what);
  const match = allowed.find((candidate) => candidate === value);
  if (match === undefined) throw new ProtocolError(`${what} is none of ${allowed.join(", ")}`);
  return match;
}
