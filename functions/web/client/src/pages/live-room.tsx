import { useEffect, type ReactNode } from "react";

import type { ApiClient, Room } from "../api/client.ts";
import { ChatPanel } from "../components/chat-panel.tsx";
import { ConnectionBadge } from "../components/connection-badge.tsx";
import { EncoderCard } from "../components/encoder-card.tsx";
import { Icon, Logo } from "../components/icons.tsx";
import { MessageScreen } from "../components/message-screen.tsx";
import { Player } from "../components/player.tsx";
import { LiveBadge, ViewerCount } from "../components/room-facts.tsx";
import { ShareCard } from "../components/share-card.tsx";
import { Studio } from "../components/studio.tsx";
import type { Role } from "../protocol/messages.ts";
import type { RoomSession, SessionState } from "../room/session.ts";
import { useSessionState } from "./use-room-visit.ts";

interface LiveRoomProps {
  readonly api: ApiClient;
  readonly room: Room;
  readonly role: Role;
  readonly session: RoomSession;
}

/** The room itself: stage and chat side by side, on a phone one above the other. */
export function LiveRoom({ api, room, role, session }: LiveRoomProps): ReactNode {
  const state = useSessionState(session);

  useEffect(() => {
    document.title = `${room.title} · Headrace`;
    return () => {
      document.title = "Headrace";
    };
  }, [room.title]);

  if (state.room.refusal !== null) {
    return state.room.refusal === "room_unknown" ? (
      <MessageScreen title="Room not found" text="This room does not exist any more." />
    ) : (
      <MessageScreen title="You cannot enter this room" text="The streamer does not let you in." />
    );
  }
  return (
    <div className={`room ${role}`}>
      <header className="room-header">
        <a className="home-link" href="/" aria-label="Headrace, start page">
          <Logo />
        </a>
        <ConnectionBadge state={state.room.connection} />
      </header>
      <main className="room-main">
        {role === "streamer" ? (
          <Studio session={session} state={state} />
        ) : (
          <Player stream={state.viewer.stream} trouble={state.viewer.trouble}>
            <StageStatus state={state} streamer={room.owner.name} />
          </Player>
        )}
        <div className="room-title">
          <span className="avatar" aria-hidden="true">
            {Array.from(room.owner.name)[0]?.toUpperCase()}
          </span>
          <div className="room-names">
            <h1>{room.title}</h1>
            <p>{room.owner.name}</p>
          </div>
          <LiveBadge stream={state.room.stream} />
          <ViewerCount count={state.room.viewers} />
        </div>
        <div className="room-cards">
          <ShareCard roomId={room.id} />
          {role === "streamer" && <EncoderCard api={api} roomId={room.id} />}
        </div>
      </main>
      <ChatPanel
        timeline={state.room.timeline}
        connection={state.room.connection}
        onSend={(text) => {
          session.sendChat(text);
        }}
        onRetry={(messageId) => {
          session.retryChat(messageId);
        }}
        onReconnect={() => {
          session.retryNow();
        }}
      />
    </div>
  );
}

/** What a viewer reads where the picture will be. */
function StageStatus({ state, streamer }: { readonly state: SessionState; readonly streamer: string }): ReactNode {
  const { stream } = state.room;
  switch (stream.kind) {
    case "unknown":
      return <StageText busy title="Connecting…" />;
    case "waiting":
      return <StageText title={`Waiting for ${streamer}`} text="The stream starts here by itself. Chat is open." />;
    case "live":
      return <StageText busy title="Starting the video…" text={state.viewer.trouble} />;
    case "ended":
      return <StageText title={stream.text} text="If it comes back, it plays here by itself." />;
  }
}

interface StageTextProps {
  readonly title: string;
  readonly text?: string | null;
  readonly busy?: boolean;
}

function StageText({ title, text = null, busy = false }: StageTextProps): ReactNode {
  return (
    <div role="status">
      {busy ? <span className="spinner large" aria-hidden="true" /> : <Icon name="broadcast" />}
      <h2>{title}</h2>
      {text !== null && <p>{text}</p>}
    </div>
  );
}
