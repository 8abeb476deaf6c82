import { useCallback, useEffect, useMemo, useState, type ReactNode } from "react";

import type { ApiClient, Room } from "../api/client.ts";
import { FiguresClient } from "../api/figures.ts";
import { RecordingsClient } from "../api/recordings.ts";
import { describeError } from "../api/problem.ts";
import { AccountMenu } from "../components/account-menu.tsx";
import { ChatPanel } from "../components/chat-panel.tsx";
import { ObstacleScreen, RefusalScreen, WaitingScreen } from "../components/door-screens.tsx";
import { ConnectionBadge } from "../components/connection-badge.tsx";
import { EncoderCard } from "../components/encoder-card.tsx";
import { FiguresCard } from "../components/figures-card.tsx";
import { Icon, Logo } from "../components/icons.tsx";
import { KnocksPanel } from "../components/knocks-panel.tsx";
import { PeoplePanel } from "../components/people-panel.tsx";
import { PlanCard } from "../components/plan-card.tsx";
import { Player } from "../components/player.tsx";
import { ReactionBar } from "../components/reaction-bar.tsx";
import { RecordingsCard } from "../components/recordings-card.tsx";
import { LiveBadge, ViewerCount } from "../components/room-facts.tsx";
import { SettingsCard } from "../components/settings-card.tsx";
import { ShareCard } from "../components/share-card.tsx";
import { whenText } from "../components/when.ts";
import { Studio } from "../components/studio.tsx";
import type { Role, SettingsChanged } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import type { RoomSession, SessionState } from "../room/session.ts";
import type { Wish } from "../room/wishes.ts";
import { useSessionState } from "./use-room-visit.ts";

interface LiveRoomProps {
  readonly api: ApiClient;
  readonly room: Room;
  readonly role: Role;
  readonly session: RoomSession;
}

function settingsOf(room: Room): SettingsChanged {
  return {
    type: "settings_changed",
    title: room.title,
    category: room.category,
    slowModeS: room.slow_mode_s,
    waitingRoom: room.waiting_room,
  };
}

/** The room itself: stage and chat side by side, on a phone one above the other. */
export function LiveRoom({ api, room, role, session }: LiveRoomProps): ReactNode {
  const state = useSessionState(session);
  const { refusal, waiting, obstacle } = state.room;
  // What the room was when the page was opened, until an event says otherwise; one object, for what is typed but not
  // sent yet lasts for as long as that.
  const first = useMemo(() => settingsOf(room), [room]);
  const settings = state.room.settings ?? first;
  const title = settings.title === "" ? room.title : settings.title;
  const connected = state.room.connection === "connected";
  const recordings = useMemo(() => new RecordingsClient(api, room.id), [api, room.id]);
  const figures = useMemo(() => new FiguresClient(api, room.id), [api, room.id]);
  const [problem, setProblem] = useState<string | null>(null);
  const [peopleOpen, setPeopleOpen] = useState(false);

  useEffect(() => {
    document.title = `${title} · Headrace`;
    return () => {
      document.title = "Headrace";
    };
  }, [title]);

  const moderate = useCallback(
    (moderation: Moderation): void => {
      setProblem(null);
      session.moderate(moderation).catch((error: unknown) => {
        setProblem(describeError(error));
      });
    },
    [session],
  );
  const askForPeople = useCallback(async (): Promise<void> => {
    await Promise.all([session.askForPeople(), role === "streamer" ? session.recallSanctions() : null]);
  }, [session, role]);
  const retry = useCallback(
    (messageId: number): void => {
      session.retry(messageId);
    },
    [session],
  );

  const chooseQuality = useCallback(
    (wish: Wish): void => {
      session.chooseQuality(wish);
    },
    [session],
  );
  const fitPlayer = useCallback(
    (height: number): void => {
      session.fitPlayer(height);
    },
    [session],
  );

  if (refusal !== null) {
    return (
      <RefusalScreen
        refusal={refusal}
        onTakeOver={() => {
          session.takeOver();
        }}
      />
    );
  }
  if (waiting !== null) return <WaitingScreen title={title} position={waiting} />;
  // Whoever was in already keeps what they see while the connection tries to come back.
  if (obstacle !== null && state.room.welcome === null) {
    return (
      <ObstacleScreen
        obstacle={obstacle}
        onRetry={() => {
          session.retryNow();
        }}
      />
    );
  }
  return (
    <div className={`room ${role}`}>
      <header className="room-header">
        <a className="home-link" href="/" aria-label="Headrace, start page">
          <Logo />
        </a>
        <div className="header-links">
          <ConnectionBadge state={state.room.connection} />
          <AccountMenu api={api} />
        </div>
      </header>
      <main className="room-main">
        {role === "streamer" ? (
          <Studio session={session} state={state} onChoose={chooseQuality} onHeight={fitPlayer} />
        ) : (
          <Player viewer={state.viewer} onChoose={chooseQuality} onHeight={fitPlayer}>
            <StageStatus state={state} room={room} />
          </Player>
        )}
        <ReactionBar
          floating={state.room.floating}
          connected={connected}
          onReact={(reaction) => {
            session.react(reaction);
          }}
        />
        {role === "streamer" && (
          <KnocksPanel knocks={state.room.knocks} onAdmit={(admission) => session.admit(admission)} />
        )}
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <div className="room-title">
          <span className="avatar" aria-hidden="true">
            {Array.from(room.owner.name)[0]?.toUpperCase()}
          </span>
          <div className="room-names">
            <h1>{title}</h1>
            <p>
              {room.owner.name}
              {settings.category !== "" && <span data-testid="room-category"> · {settings.category}</span>}
            </p>
          </div>
          <LiveBadge stream={state.room.stream} />
          <ViewerCount
            count={state.room.viewers}
            onOpen={() => {
              setPeopleOpen(true);
            }}
          />
        </div>
        <div className="room-cards">
          {role === "streamer" && <FiguresCard figures={figures} />}
          {role === "streamer" && <RecordingsCard recordings={recordings} live={state.room.stream.kind === "live"} />}
          {role === "streamer" && (
            <SettingsCard
              roomId={room.id}
              settings={settings}
              title={room.title}
              connected={connected}
              onConfigure={(change) => session.configure(change)}
            />
          )}
          {role === "streamer" && (
            <PlanCard
              api={api}
              room={room}
              live={state.room.stream.kind === "live"}
              onEnded={() => {
                session.endStream();
              }}
            />
          )}
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
        typists={state.room.typists}
        onTyping={() => {
          session.typing();
        }}
        onGive={
          role === "viewer"
            ? (gift, quantity) => {
                session.sendGift(gift, quantity);
              }
            : undefined
        }
        onModerate={role === "streamer" ? moderate : undefined}
        sanctions={state.room.sanctions}
        onRetry={retry}
        onReconnect={() => {
          session.retryNow();
        }}
      />
      {peopleOpen && (
        <PeoplePanel
          people={state.room.people}
          sanctions={state.room.sanctions}
          self={state.room.welcome?.participant ?? null}
          onAsk={askForPeople}
          onModerate={role === "streamer" ? (moderation) => session.moderate(moderation) : undefined}
          onClose={() => {
            setPeopleOpen(false);
          }}
        />
      )}
    </div>
  );
}

/** What a viewer reads where the picture will be. */
function StageStatus({ state, room }: { readonly state: SessionState; readonly room: Room }): ReactNode {
  const streamer = room.owner.name;
  const { stream } = state.room;
  switch (stream.kind) {
    case "unknown":
      return <StageText busy title="Connecting…" />;
    case "waiting":
      return <StageText title={waitingTitle(streamer, room)} text="The stream starts here by itself. Chat is open." />;
    case "live":
      return <StageText busy title="Starting the video…" text={state.viewer.trouble} />;
    case "ended":
      return <StageText title={stream.text} text="If it comes back, it plays here by itself." />;
  }
}

function waitingTitle(streamer: string, { state, scheduled_at: at }: Room): string {
  if (state === "ended") return `${streamer} has ended this room`;
  return at === null ? `Waiting for ${streamer}` : `${streamer} goes live: ${whenText(at)}`;
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
