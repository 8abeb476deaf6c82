/** The words for a recording: when, how long, how large, in what state. */
import type { Recording, RecordingEnd, RecordingState } from "../api/recordings.ts";

const WHEN = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

const STATES: Readonly<Record<RecordingState, string>> = {
  recording: "Recording",
  uploading: "Uploading",
  ready: "Ready",
  failed: "Failed",
  lost: "Not reachable",
};

const ENDS: Readonly<Partial<Record<RecordingEnd, string>>> = {
  longest: "Ended by itself: it was as long as a recording may be.",
  largest: "Ended by itself: the room's space for recordings was used up.",
  interrupted: "Cut off by a fault: the last seconds may be missing.",
};

export function whenOf(recording: Recording): string {
  return WHEN.format(new Date(recording.started_at));
}

/** As 1:05 or 1:02:03. */
export function lengthOf(seconds: number): string {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3_600), Math.floor(whole / 60) % 60, whole % 60];
  const shown = parts[0] === 0 ? parts.slice(1) : parts;
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** In steps of a thousand, with at most one decimal, as 12.3 MB. */
export function sizeOf(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  const digits = unit > 0 && value < 99.95 ? 1 : 0;
  return `${value.toFixed(digits)} ${UNITS[unit] ?? ""}`;
}

export function stateOf(recording: Recording): string {
  return STATES[recording.state];
}

/** What somebody should know of it, if there is anything. */
export function remarkOn({ state, end }: Recording): string | null {
  if (state === "lost") return "The server that has it is away. It comes back with it.";
  if (state === "failed") return "Little or nothing was written.";
  return ENDS[end] ?? null;
}
