/** What moderators have decided about people, as far as this page has heard of it. */
import { ModerationAction, type Sanction } from "../protocol/messages.ts";

export interface StandingSanction {
  readonly participant: string;
  /** The name they last went by; null when this page never saw them. */
  readonly name: string | null;
  readonly kind: "time_out" | "ban";
  /** Milliseconds since 1970; of a ban, 0. */
  readonly untilMs: number;
}

/** By participant, the newest decision last. Time-outs that are over stay in it: see `holds`. */
export type Sanctions = ReadonlyMap<string, StandingSanction>;

export const NO_SANCTIONS: Sanctions = new Map();

/** Takes in a decision; one that lifts leaves nothing behind. */
export function withSanction(sanctions: Sanctions, decided: Sanction, name: string | null): Sanctions {
  const { participant, action, untilMs } = decided;
  const changed = new Map(sanctions);
  const before = changed.get(participant);
  changed.delete(participant);
  if (action === ModerationAction.timeOut || action === ModerationAction.ban) {
    const kind = action === ModerationAction.ban ? "ban" : "time_out";
    changed.set(participant, { participant, name: name ?? before?.name ?? null, kind, untilMs });
  }
  return changed;
}

export function holds(sanction: StandingSanction | undefined, nowMs: number): sanction is StandingSanction {
  return sanction !== undefined && (sanction.kind === "ban" || sanction.untilMs > nowMs);
}
