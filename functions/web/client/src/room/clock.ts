/** Time as the room's machinery sees it; tests put their own in its place. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  after(delayMs: number, action: () => void): Timer;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, action) => {
    const handle = setTimeout(action, delayMs);
    return {
      cancel: () => {
        clearTimeout(handle);
      },
    };
  },
};
