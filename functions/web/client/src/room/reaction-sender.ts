/** Reactions on their way out: taps in quick succession go together, and never more than five frames a second. */
import type { Clock, Timer } from "./clock.ts";

export interface ReactionSenderOptions {
  readonly clock: Clock;
  readonly transmit: (reaction: string, count: number) => void;
}

const INTERVAL_MS = 200;
/** What one frame may carry; more in one interval is noise. */
const MAX_COUNT = 20;

export class ReactionSender {
  readonly #options: ReactionSenderOptions;
  readonly #counts = new Map<string, number>();
  #pause: Timer | null = null;

  constructor(options: ReactionSenderOptions) {
    this.#options = options;
  }

  add(reaction: string): void {
    this.#counts.set(reaction, Math.min((this.#counts.get(reaction) ?? 0) + 1, MAX_COUNT));
    if (this.#pause === null) this.#sendOldest();
  }

  /** Forgets what was not sent: a reaction means the moment it was made in. */
  clear(): void {
    this.#counts.clear();
    this.#pause?.cancel();
    this.#pause = null;
  }

  #sendOldest(): void {
    this.#pause = null;
    const [oldest] = this.#counts;
    if (oldest === undefined) return;
    const [reaction, count] = oldest;
    this.#counts.delete(reaction);
    this.#options.transmit(reaction, count);
    this.#pause = this.#options.clock.after(INTERVAL_MS, () => {
      this.#sendOldest();
    });
  }
}
