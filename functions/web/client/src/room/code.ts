/** Room codes: ten characters without look-alikes, shown in two groups, accepted however people type them. */

const CODE = /^[a-z2-9]{10}$/;

/** The room id in what someone typed or pasted (a code in any case and grouping, or a room's link), or null. */
export function parseRoomCode(input: string): string | null {
  const fromLink = /\/r\/([^/?#]+)/.exec(input)?.[1];
  const code = (fromLink ?? input).replace(/[\s-]/g, "").toLowerCase();
  return CODE.test(code) ? code : null;
}

export function formatRoomCode(id: string): string {
  return `${id.slice(0, 5)}-${id.slice(5)}`;
}

export function roomPath(id: string): string {
  return `/r/${id}`;
}
