/**
 * Decisions about people that are older than what a join brings of the log, from the room's history.
 *
 * Without them a ban of yesterday could not be lifted: whoever is banned is in no list of people.
 */
import type { ApiClient, HistoryEvent } from "../api/client.ts";
import type { Sanction } from "../protocol/messages.ts";
import type { PastSanctions } from "./state.ts";

/** 2,000 events. What is older is not worth the wait. */
const MAX_PAGES = 10;

export async function pastSanctions(api: ApiClient, roomId: string): Promise<PastSanctions> {
  const { token } = await api.roomToken(roomId, "participant");
  const events: HistoryEvent[] = [];
  let before: number | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { messages, first, more } = await api.history(roomId, token, before);
    events.unshift(...messages);
    if (!more || first === null) break;
    before = first;
  }
  const names = new Map<string, string>();
  for (const { fields } of events) {
    const { sender, name } = fields;
    if (typeof sender === "string" && typeof name === "string") names.set(sender, name);
  }
  const decided = events.flatMap((past) => {
    const event = sanctionIn(past);
    return event === null ? [] : [{ offset: past.offset, event, name: names.get(event.participant) ?? null }];
  });
  return { type: "past_sanctions", decided };
}

function sanctionIn({ kind, fields }: HistoryEvent): Sanction | null {
  const { participant, action, until_ms: untilMs } = fields;
  if (kind !== "sanction" || typeof participant !== "string") return null;
  if (typeof action !== "number" || typeof untilMs !== "number") return null;
  return { type: "sanction", participant, action, untilMs };
}
