/** Exponential back-off with full jitter: each delay is uniform in [0, ceiling), and the ceiling doubles up to a cap. */

export interface BackoffOptions {
  readonly initialMs: number;
  readonly capMs: number;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
}

export class Backoff {
  readonly #options: BackoffOptions;
  readonly #random: () => number;
  #attempt = 0;

  constructor(options: BackoffOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  next(): number {
    const { initialMs, capMs } = this.#options;
    const ceiling = Math.min(capMs, initialMs * 2 ** this.#attempt);
    this.#attempt += 1;
    return this.#random() * ceiling;
  }

  reset(): void {
    this.#attempt = 0;
  }
}
