/**
 * Who types, without those who have just said it.
 *
 * The server keeps somebody among those who type for four seconds after their last key, and tells only when that
 * changes. Their message ends it at once here, also where the notice comes behind the message; whoever is still named
 * when those seconds are over has gone on typing.
 */
import type { Clock, Timer } from "./clock.ts";

export interface Typists {
  /** Some of those who type. */
  readonly names: readonly string[];
  readonly count: number;
}

export interface TypingWatchOptions {
  readonly clock: Clock;
  readonly onChange: (typing: Typists) => void;
}

/** What the server waits for, and a little for its news to come. */
const QUIET_MS = 4_500;

const NOBODY: Typists = { names: [], count: 0 };

export class TypingWatch {
  readonly #options: TypingWatchOptions;
  /** Who has just said something, and when that is over. */
  readonly #quiet = new Map<string, Timer>();
  #heard = NOBODY;

  constructor(options: TypingWatchOptions) {
    this.#options = options;
  }

  hear({ names, count }: Typists): void {
    this.#heard = { names, count };
    this.#tell();
  }

  /** A message by somebody of this name is there. */
  spoke(name: string): void {
    this.#quiet.get(name)?.cancel();
    this.#quiet.set(
      name,
      this.#options.clock.after(QUIET_MS, () => {
        this.#quiet.delete(name);
        this.#tellAbout(name);
      }),
    );
    this.#tellAbout(name);
  }

  /** The connection is gone, and what it told of the moment with it. */
  clear(): void {
    for (const timer of this.#quiet.values()) timer.cancel();
    this.#quiet.clear();
    this.#heard = NOBODY;
  }

  #tellAbout(name: string): void {
    if (this.#heard.names.includes(name)) this.#tell();
  }

  #tell(): void {
    const { names, count } = this.#heard;
    const shown = names.filter((name) => !this.#quiet.has(name));
    this.#options.onChange({ names: shown, count: Math.max(count - (names.length - shown.length), 0) });
  }
}
