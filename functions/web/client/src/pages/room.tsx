import { useState, type ReactNode } from "react";

import type { ApiClient } from "../api/client.ts";
import { MessageScreen } from "../components/message-screen.tsx";
import { parseRoomCode } from "../room/code.ts";
import { JoinGate } from "./join-gate.tsx";
import { LiveRoom } from "./live-room.tsx";
import { useRoomVisit } from "./use-room-visit.ts";

interface RoomPageProps {
  readonly api: ApiClient;
  /** The room as it stands in the address. */
  readonly address: string;
}

/** The page of one room, from the choice of a name to the room itself. */
export function RoomPage({ api, address }: RoomPageProps): ReactNode {
  const roomId = parseRoomCode(address);
  const [named, setNamed] = useState(api.name !== null);
  if (roomId === null) return <RoomNotFound />;
  if (!named) {
    return (
      <JoinGate
        api={api}
        roomId={roomId}
        onEntered={() => {
          setNamed(true);
        }}
      />
    );
  }
  return <Visit api={api} roomId={roomId} />;
}

function Visit({ api, roomId }: { readonly api: ApiClient; readonly roomId: string }): ReactNode {
  const { visit, retry } = useRoomVisit(api, roomId);
  switch (visit.kind) {
    case "loading":
      return (
        <main className="message-screen" role="status">
          <span className="spinner large" aria-hidden="true" />
          <p>Opening the room…</p>
        </main>
      );
    case "not_found":
      return <RoomNotFound />;
    case "unavailable":
      return <MessageScreen title="Headrace is not available" text={visit.text} onRetry={retry} />;
    case "refused":
      return <MessageScreen title="You cannot enter this room" text={visit.text} onRetry={retry} />;
    case "joined":
      return <LiveRoom api={api} room={visit.room} role={visit.role} session={visit.session} />;
  }
}

function RoomNotFound(): ReactNode {
  return (
    <MessageScreen
      title="Room not found"
      text="There is no room with this code. Check the link, or ask the streamer for a new one."
    />
  );
}
