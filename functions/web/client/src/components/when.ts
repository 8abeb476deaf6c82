/** Times as people read and type them, in their own time zone. */

const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat("en", { weekday: "short", day: "numeric", month: "short" });

/** "Today 20:00", "Tomorrow 20:00" or "Sat, Nov 28 20:00". */
export function whenText(iso: string, now = new Date()): string {
  const at = new Date(iso);
  const days = Math.round((midnight(at) - midnight(now)) / 86_400_000);
  const day = days === 0 ? "Today" : days === 1 ? "Tomorrow" : DAY.format(at);
  return `${day} ${TIME.format(at)}`;
}

/** What an input of type datetime-local holds for a time. */
export function toLocalInput(at: Date): string {
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}

/** The time that such an input holds; null where it holds none. */
export function fromLocalInput(text: string): Date | null {
  const at = new Date(text);
  return text === "" || Number.isNaN(at.getTime()) ? null : at;
}

/** A span of time, short: "2.1 h", "5 min", "40 s". */
export function spanText(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = seconds / 3_600;
  return hours < 100 ? `${hours.toFixed(1)} h` : `${Math.round(hours).toLocaleString("en")} h`;
}

function midnight(at: Date): number {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
}
