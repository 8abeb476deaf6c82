import { useCallback, useEffect, useState } from "react";

import type { ApiClient, ListedRoom, RoomQuery } from "../api/client.ts";
import { describeError } from "../api/problem.ts";

const AGAIN_MS = 10_000;
/** Somebody who types is not asked for at each letter. */
const CALM_MS = 250;

export interface RoomListState {
  /** Null before the first answer. */
  readonly rooms: readonly ListedRoom[] | null;
  readonly problem: string | null;
  readonly more: boolean;
  readonly loadMore: () => void;
}

type Wanted = Pick<RoomQuery, "state" | "words" | "category">;

/** Rooms that are listed, looked at again and again; pages that were asked for stay until what is wanted changes. */
export function useRoomList(api: ApiClient, { state, words, category }: Wanted): RoomListState {
  const wanted = `${state}\n${words}\n${category}`;
  const [found, setFound] = useState<{ wanted: string; pages: (readonly ListedRoom[])[]; next: string | null } | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [pages, setPages] = useState({ wanted, count: 1 });
  const count = pages.wanted === wanted ? pages.count : 1;

  useEffect(() => {
    let over = false;
    const look = async (): Promise<void> => {
      try {
        const seen: (readonly ListedRoom[])[] = [];
        let cursor: string | null = null;
        do {
          const page = await api.listRooms({ state, words, category, cursor });
          seen.push(page.rooms);
          cursor = page.next;
        } while (cursor !== null && seen.length < count);
        if (over) return;
        setFound({ wanted, pages: seen, next: cursor });
        setProblem(null);
      } catch (error) {
        if (!over) setProblem(describeError(error));
      }
    };
    const first = setTimeout(() => void look(), CALM_MS);
    const again = setInterval(() => {
      if (document.visibilityState === "visible") void look();
    }, AGAIN_MS);
    return () => {
      over = true;
      clearTimeout(first);
      clearInterval(again);
    };
  }, [api, state, words, category, wanted, count]);

  const loadMore = useCallback((): void => {
    setPages({ wanted, count: count + 1 });
  }, [wanted, count]);

  // The order changes as viewers come and go: a room may be on two pages.
  const rooms = found === null ? null : [...new Map(found.pages.flat().map((room) => [room.id, room])).values()];
  return { rooms, problem, more: found !== null && found.next !== null, loadMore };
}
