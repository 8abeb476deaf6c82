import { useCallback, useEffect, useRef, useState } from "react";

import { describeError } from "../api/problem.ts";
import type { Recording, Recordings } from "../api/recordings.ts";

/** While something goes on, and otherwise: other pages of the same owner may change the list as well. */
const BUSY_MS = 2_000;
const CALM_MS = 15_000;

export interface RecordingList {
  /** Newest first; null before the first answer. */
  readonly recordings: readonly Recording[] | null;
  /** When that was answered, on this page's clock. */
  readonly at: number;
  /** What went wrong last. */
  readonly problem: string | null;
  /** Does something with recordings and looks again; false when it was refused. */
  readonly act: (action: () => Promise<unknown>) => Promise<boolean>;
}

/** A room's recordings, looked at again and again for as long as the page shows them. */
export function useRecordings(recordings: Recordings): RecordingList {
  const [known, setKnown] = useState<{ recordings: readonly Recording[]; at: number } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const refusedList = useRef(false);
  /** Only the answer to what was asked last counts: an earlier one may come later. */
  const asked = useRef(0);

  const look = useCallback(async (): Promise<void> => {
    const turn = ++asked.current;
    try {
      const found = await recordings.list();
      if (turn !== asked.current) return;
      setKnown({ recordings: found.toReversed(), at: Date.now() });
      // What an action was refused for stays to be read.
      if (refusedList.current) setProblem(null);
      refusedList.current = false;
    } catch (error) {
      if (turn !== asked.current) return;
      refusedList.current = true;
      setProblem(describeError(error));
    }
  }, [recordings]);

  const busy = known?.recordings.some(({ state }) => state === "recording" || state === "uploading") ?? false;
  useEffect(() => {
    const first = setTimeout(() => void look());
    return () => {
      clearTimeout(first);
    };
  }, [look]);
  useEffect(() => {
    const again = setInterval(() => void look(), busy ? BUSY_MS : CALM_MS);
    return () => {
      clearInterval(again);
    };
  }, [look, busy]);

  const act = useCallback(
    async (action: () => Promise<unknown>): Promise<boolean> => {
      setProblem(null);
      refusedList.current = false;
      let done = true;
      try {
        await action();
      } catch (error) {
        done = false;
        setProblem(describeError(error));
      }
      await look();
      return done;
    },
    [look],
  );

  return { recordings: known?.recordings ?? null, at: known?.at ?? 0, problem, act };
}
