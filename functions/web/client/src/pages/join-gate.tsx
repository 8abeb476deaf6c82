import { useEffect, useState, type ReactNode, type SyntheticEvent } from "react";

import type { ApiClient, Room } from "../api/client.ts";
import { ApiError, describeError } from "../api/problem.ts";
import { SignInDialog } from "../components/sign-in-dialog.tsx";
import { Logo } from "../components/icons.tsx";
import { NameField } from "../components/name-field.tsx";
import { MessageScreen } from "../components/message-screen.tsx";

interface JoinGateProps {
  readonly api: ApiClient;
  readonly roomId: string;
  readonly onEntered: () => void;
}

/** Asks someone who follows a link for a name, and tells them whose room it is. */
export function JoinGate({ api, roomId, onEntered }: JoinGateProps): ReactNode {
  const [room, setRoom] = useState<Room | null>(null);
  const [missing, setMissing] = useState(false);
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [signsIn, setSignsIn] = useState(false);

  useEffect(() => {
    let gone = false;
    api.getRoom(roomId).then(
      (found) => {
        if (!gone) setRoom(found);
      },
      (error: unknown) => {
        // Anything but a missing room is reported when they try to enter.
        if (!gone && error instanceof ApiError && error.status === 404) setMissing(true);
      },
    );
    return () => {
      gone = true;
    };
  }, [api, roomId]);

  const enter = async (): Promise<void> => {
    setBusy(true);
    try {
      await api.enter(name.trim());
      onEntered();
    } catch (error) {
      setProblem(describeError(error));
      setBusy(false);
    }
  };

  if (missing) {
    return <MessageScreen title="Room not found" text="There is no room with this code. Check the link." />;
  }
  return (
    <main className="message-screen">
      <Logo />
      <form
        className="card message-card gate"
        onSubmit={(event: SyntheticEvent) => {
          event.preventDefault();
          void enter();
        }}
      >
        <h1>{room?.title ?? "Join the room"}</h1>
        {room !== null && (
          <p>
            {room.owner.name} {room.live ? "is live right now." : "is not live yet."}
          </p>
        )}
        <NameField value={name} onChange={setName} />
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button
          type="submit"
          className="button primary wide"
          data-testid="join-room"
          disabled={busy || name.trim() === ""}
        >
          Join
        </button>
        <p>
          You have an account?{" "}
          <button
            type="button"
            className="link"
            data-testid="sign-in"
            onClick={() => {
              setSignsIn(true);
            }}
          >
            Sign in
          </button>
        </p>
      </form>
      {signsIn && (
        <SignInDialog
          person={api.person}
          name={name}
          onClose={() => {
            setSignsIn(false);
          }}
        />
      )}
    </main>
  );
}
