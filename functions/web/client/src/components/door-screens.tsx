/** The whole page while there is no room to see: at the door, turned away, or in another tab. */
import type { ReactNode } from "react";

import type { Obstacle, RefusalReason } from "../room/connection.ts";
import { obstacleSentence } from "../room/sentences.ts";
import { navigate } from "../router.ts";
import { Logo } from "./icons.tsx";
import { MessageScreen } from "./message-screen.tsx";

export function WaitingScreen({ title, position }: { readonly title: string; readonly position: number }): ReactNode {
  return (
    <DoorScreen testId="waiting-screen" title={title}>
      <p>Waiting for the streamer to let you in.</p>
      <p>
        You are number <strong>{position}</strong>. This page opens by itself.
      </p>
    </DoorScreen>
  );
}

interface ObstacleScreenProps {
  readonly obstacle: Obstacle;
  readonly onRetry: () => void;
}

export function ObstacleScreen({ obstacle, onRetry }: ObstacleScreenProps): ReactNode {
  return (
    <DoorScreen
      testId="obstacle-screen"
      title="You cannot enter just now"
      action={
        // Asking again at once is what led here.
        obstacle !== "backed_off" && (
          <button type="button" className="button primary" onClick={onRetry}>
            Try now
          </button>
        )
      }
    >
      <p>{obstacleSentence(obstacle)}</p>
    </DoorScreen>
  );
}

interface RefusalScreenProps {
  readonly refusal: RefusalReason;
  readonly onTakeOver: () => void;
}

export function RefusalScreen({ refusal, onTakeOver }: RefusalScreenProps): ReactNode {
  switch (refusal) {
    case "room_unknown":
      return <MessageScreen title="Room not found" text="This room does not exist any more." />;
    case "forbidden":
      return <MessageScreen title="You cannot enter this room" text="The streamer does not let you in." />;
    case "not_let_in":
      return <MessageScreen title="You were not let in" text="The streamer has turned you away from this room." />;
    case "banned":
      return <MessageScreen title="You may not be in this room" text="The streamer has banned you from it." />;
    case "displaced":
      return (
        <main className="message-screen" data-testid="displaced">
          <Logo />
          <div className="card message-card" role="alert">
            <h1>The room is open elsewhere</h1>
            <p>You opened this room in another tab or on another device, and it goes on there.</p>
            <div className="actions">
              <button type="button" className="button primary" data-testid="take-over" onClick={onTakeOver}>
                Use this tab instead
              </button>
              <BackToStart />
            </div>
          </div>
        </main>
      );
  }
}

interface DoorScreenProps {
  readonly testId: string;
  readonly title: string;
  readonly action?: ReactNode;
  readonly children: ReactNode;
}

function DoorScreen({ testId, title, action, children }: DoorScreenProps): ReactNode {
  return (
    <main className="message-screen" data-testid={testId}>
      <Logo />
      <div className="card message-card" role="status">
        <span className="spinner large" aria-hidden="true" />
        <h1>{title}</h1>
        {children}
        <div className="actions">
          {action}
          <BackToStart />
        </div>
      </div>
    </main>
  );
}

function BackToStart(): ReactNode {
  return (
    <button
      type="button"
      className="button"
      onClick={() => {
        navigate("/");
      }}
    >
      Back to start
    </button>
  );
}
