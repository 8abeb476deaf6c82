const NAME_COLOURS = 8;

/** The same person has the same colour for everyone and for good. */
export function colourOf(participant: string): number {
  let hash = 0;
  for (let index = 0; index < participant.length; index += 1) {
    hash = (hash * 31 + participant.charCodeAt(index)) >>> 0;
  }
  return hash % NAME_COLOURS;
}
