/** Who this browser is: what it remembers of itself. Its tokens are kept elsewhere: in memory, and in a cookie. */

export interface Identity {
  readonly id: string;
  readonly name: string;
  /** Whether they have an account; a guest has none. */
  readonly account: boolean;
}

const KEY = "headrace.identity";

export function loadIdentity(): Identity | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return isIdentity(value) ? value : null;
  } catch {
    // Storage that is blocked, which throws on mere access, or a foreign value: this browser simply has no identity yet.
    return null;
  }
}

export function saveIdentity(identity: Identity | null): void {
  try {
    if (identity === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, JSON.stringify(identity));
  } catch {
    // Without storage the identity lasts as long as the page, which is enough to take part.
  }
}

function isIdentity(value: unknown): value is Identity {
  if (typeof value !== "object" || value === null) return false;
  return (
    "id" in value &&
    typeof value.id === "string" &&
    "name" in value &&
    typeof value.name === "string" &&
    "account" in value &&
    typeof value.account === "boolean"
  );
}
