/** What the page says about things that happen in a room. */
import { ModerationAction, type Sanction, type SettingsChanged } from "../protocol/messages.ts";
import type { Obstacle } from "./connection.ts";
import { giftCalled } from "./gifts.ts";
import type { GiftContent } from "./outbox.ts";
import type { Typists } from "./typing-watch.ts";

export function giftSentence(
  { name, own }: { readonly name: string; readonly own: boolean },
  { gift, quantity }: Pick<GiftContent, "gift" | "quantity">,
): string {
  const { label } = giftCalled(gift);
  return `${own ? "You" : name} gave ${quantity === 1 ? label : `${quantity.toLocaleString("en")} × ${label}`}`;
}

/** `at` is when it was decided, ms since 1970. */
export function sanctionSentence({ action, untilMs }: Sanction, who: string, at: number): string {
  switch (action) {
    case ModerationAction.timeOut:
      return `${who} may not write for ${span(untilMs - at)}`;
    case ModerationAction.ban:
      return `${who} ${who === "You" ? "were" : "was"} banned from the room`;
    default:
      return `${who} may take part again`;
  }
}

function span(ms: number): string {
  const seconds = Math.max(Math.round(ms / 1000), 1);
  return seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
}

/** What is new in the settings; null when a participant notices nothing of it. */
export function settingsSentence(before: SettingsChanged | null, now: SettingsChanged): string | null {
  const news: string[] = [];
  if (before !== null && before.title !== now.title) news.push(`The title is now “${now.title}”`);
  if (before !== null && before.category !== now.category) {
    news.push(now.category === "" ? "The category is cleared" : `The category is now “${now.category}”`);
  }
  if ((before?.slowModeS ?? 0) !== now.slowModeS) {
    news.push(now.slowModeS === 0 ? "Slow mode is off" : `Slow mode: one message every ${now.slowModeS} s`);
  }
  if ((before?.waitingRoom ?? false) !== now.waitingRoom) {
    news.push(now.waitingRoom ? "New viewers wait to be let in" : "Everyone with the link can come in");
  }
  return news.length === 0 ? null : news.join(". ");
}

export function obstacleSentence(obstacle: Obstacle): string {
  switch (obstacle) {
    case "room_full":
      return "The room is full. We try again by ourselves.";
    case "too_many_connections":
      return "You have this room open too often. Close it elsewhere; we try again by ourselves.";
    case "backed_off":
      return "That was too much in a short time. We try again by ourselves after a pause.";
  }
}

/** Null when nobody types. */
export function typingSentence({ names, count }: Typists): string | null {
  if (count === 0) return null;
  const [first, second] = names;
  if (first === undefined) return count === 1 ? "Somebody is typing…" : `${count} people are typing…`;
  if (count === 1) return `${first} is typing…`;
  if (count === 2 && second !== undefined) return `${first} and ${second} are typing…`;
  return `${first} and ${count - 1} others are typing…`;
}
