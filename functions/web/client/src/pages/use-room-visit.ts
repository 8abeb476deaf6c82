import { useCallback, useEffect, useState, useSyncExternalStore } from "react";

import type { ApiClient, Room } from "../api/client.ts";
import { ApiError, describeError } from "../api/problem.ts";
import type { Role } from "../protocol/messages.ts";
import { RoomSession, type SessionState } from "../room/session.ts";

export type Visit =
  | { readonly kind: "loading" }
  | { readonly kind: "not_found" }
  | { readonly kind: "unavailable"; readonly text: string }
  | { readonly kind: "refused"; readonly text: string }
  | { readonly kind: "joined"; readonly room: Room; readonly role: Role; readonly session: RoomSession };

/** Not every browser tells when the device goes from one network to another. */
interface NavigatorWithNetwork {
  readonly connection?: EventTarget;
}

export interface RoomVisit {
  readonly visit: Visit;
  readonly retry: () => void;
}

/** Gets the right to be in a room and stays in it for as long as the page shows it. */
export function useRoomVisit(api: ApiClient, roomId: string): RoomVisit {
  const [visit, setVisit] = useState<Visit>({ kind: "loading" });
  const [attempt, setAttempt] = useState(0);

  useEffect(() => {
    let left = false;
    let session: RoomSession | null = null;

    const leave = (): void => {
      left = true;
      session?.close();
    };
    const join = async (): Promise<void> => {
      try {
        const [room, grant] = await Promise.all([api.getRoom(roomId), api.roomToken(roomId, "participant")]);
        if (left) return;
        session = new RoomSession(api, roomId, grant);
        setVisit({ kind: "joined", room, role: grant.role, session });
        session.open();
      } catch (error) {
        if (!left) setVisit(visitAfter(error));
      }
    };
    const networkChanged = (): void => {
      session?.networkChanged();
    };
    const { connection } = navigator as NavigatorWithNetwork;

    void join();
    window.addEventListener("pagehide", leave);
    window.addEventListener("pageshow", reloadWhenRestored);
    window.addEventListener("online", networkChanged);
    connection?.addEventListener("change", networkChanged);
    return () => {
      window.removeEventListener("pagehide", leave);
      window.removeEventListener("pageshow", reloadWhenRestored);
      window.removeEventListener("online", networkChanged);
      connection?.removeEventListener("change", networkChanged);
      leave();
    };
  }, [api, roomId, attempt]);

  const retry = useCallback((): void => {
    setVisit({ kind: "loading" });
    setAttempt((count) => count + 1);
  }, []);

  return { visit, retry };
}

/** A page from the back-forward cache has left its room when it was hidden. */
function reloadWhenRestored(event: PageTransitionEvent): void {
  if (event.persisted) location.reload();
}

function visitAfter(error: unknown): Visit {
  if (error instanceof ApiError && error.status === 404) return { kind: "not_found" };
  if (error instanceof ApiError && error.temporary) return { kind: "unavailable", text: error.message };
  return { kind: "refused", text: describeError(error) };
}

export function useSessionState(session: RoomSession): SessionState {
  return useSyncExternalStore(session.subscribe, session.snapshot);
}
