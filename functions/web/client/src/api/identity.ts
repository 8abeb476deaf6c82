/** Who this browser is: a guest identity, made once and kept in localStorage. */

export interface Identity {
  readonly token: string;
  readonly id: string;
  readonly name: string;
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

export function saveIdentity(identity: Identity): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(identity));
  } catch {
    // Without storage the identity lasts as long as the page, which is enough to take part.
  }
}

function isIdentity(value: unknown): value is Identity {
  if (typeof value !== "object" || value === null) return false;
  return (
    "token" in value &&
    typeof value.token === "string" &&
    "id" in value &&
    typeof value.id === "string" &&
    "name" in value &&
    typeof value.name === "string"
  );
}
