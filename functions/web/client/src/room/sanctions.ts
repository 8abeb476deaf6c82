/** What moderators have decided about people, as far as this page has heard of it. */
import { ModerationAction, type Sanction } from "../protocol/messages.ts";

export interface Decision {
  readonly participant: string;
  /** The name they last went by; null when this page never saw them. */
  readonly name: string | null;
  readonly kind: "time_out" | "ban" | "lifted";
  /** Of a time-out, milliseconds since 1970. */
  readonly untilMs: number;
  /** Where it is in the room log. */
  readonly offset: number;
}

/** The latest decision by participant; what is lifted or over stays in it: see `holds`. */
export type Sanctions = ReadonlyMap<string, Decision>;

export const NO_SANCTIONS: Sanctions = new Map();

/** Takes in a decision, in whatever order they come: what is older than what is known of somebody changes nothing. */
export function withSanction(sanctions: Sanctions, decided: Sanction, offset: number, name: string | null): Sanctions {
  const { participant, untilMs } = decided;
  const before = sanctions.get(participant);
  if (before !== undefined && before.offset >= offset) return sanctions;
  const decision = { participant, name: name ?? before?.name ?? null, kind: kindOf(decided), untilMs, offset };
  return new Map([...sanctions, [participant, decision]]);
}

export function holds(decision: Decision | undefined, nowMs: number): decision is Decision {
  if (decision === undefined || decision.kind === "lifted") return false;
  return decision.kind === "ban" || decision.untilMs > nowMs;
}

/** Those that hold, the newest first. */
export function standing(sanctions: Sanctions, nowMs: number): Decision[] {
  return [...sanctions.values()].filter((decision) => holds(decision, nowMs)).sort((a, b) => b.offset - a.offset);
}

function kindOf({ action }: Sanction): Decision["kind"] {
  switch (action) {
    case ModerationAction.timeOut:
      return "time_out";
    case ModerationAction.ban:
      return "ban";
    default:
      return "lifted";
  }
}
