/**
 * Settings that the server keeps to itself, as this browser last made them: it tells neither blocked terms, which would
 * say them aloud, nor who is let in by itself. A room's owner is a guest of one browser, so this is where they are made.
 */

export interface KeptSettings {
  readonly autoAccept: boolean;
  readonly blockedTerms: readonly string[];
}

/** What a new room has. */
const FIRST: KeptSettings = { autoAccept: false, blockedTerms: [] };

const key = (roomId: string): string => `headrace.settings.${roomId}`;

export function loadKeptSettings(roomId: string): KeptSettings {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(key(roomId)) ?? "null");
    return isKept(value) ? value : FIRST;
  } catch {
    // Storage that is blocked, or a foreign value.
    return FIRST;
  }
}

export function saveKeptSettings(roomId: string, settings: KeptSettings): void {
  try {
    localStorage.setItem(key(roomId), JSON.stringify(settings));
  } catch {
    // Without storage they are known for as long as the page is open.
  }
}

function isKept(value: unknown): value is KeptSettings {
  if (typeof value !== "object" || value === null) return false;
  return (
    "autoAccept" in value &&
    typeof value.autoAccept === "boolean" &&
    "blockedTerms" in value &&
    Array.isArray(value.blockedTerms) &&
    value.blockedTerms.every((term) => typeof term === "string")
  );
}
