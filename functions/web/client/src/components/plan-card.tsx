import { useState, type ReactNode } from "react";

import type { ApiClient, Room } from "../api/client.ts";
import { describeError } from "../api/problem.ts";
import { navigate } from "../router.ts";
import { Icon } from "./icons.tsx";
import { fromLocalInput, toLocalInput, whenText } from "./when.ts";

interface PlanCardProps {
  readonly api: ApiClient;
  /** As it was when the page was opened. */
  readonly room: Room;
  readonly live: boolean;
  /** The stream has been ended with the room, or may begin again. */
  readonly onEnded: () => void;
}

type Confirmation = "end" | "delete";

/** When the room begins, whether it is found, and its end. */
export function PlanCard({ api, room: first, live, onEnded }: PlanCardProps): ReactNode {
  const [room, setRoom] = useState(first);
  const [when, setWhen] = useState(() => (first.scheduled_at === null ? "" : toLocalInput(new Date(first.scheduled_at))));
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [asking, setAsking] = useState<Confirmation | null>(null);
  const ended = room.state === "ended";
  const planned = live ? null : room.scheduled_at;

  const act = async (action: () => Promise<Room | null>): Promise<void> => {
    setBusy(true);
    setProblem(null);
    setAsking(null);
    try {
      const changed = await action();
      if (changed === null) return;
      setRoom(changed);
      setWhen(changed.scheduled_at === null ? "" : toLocalInput(new Date(changed.scheduled_at)));
    } catch (error) {
      setProblem(describeError(error));
    } finally {
      setBusy(false);
    }
  };
  const schedule = (): void => {
    const at = fromLocalInput(when);
    if (at === null || at.getTime() <= Date.now()) {
      setProblem("Choose a time in the future.");
      return;
    }
    void act(() => api.changeRoom(room.id, { scheduled_at: at.toISOString() }));
  };
  const end = (): Promise<void> =>
    act(async () => {
      const changed = await api.endRoom(room.id);
      onEnded();
      return changed;
    });
  const remove = (): Promise<void> =>
    act(async () => {
      await api.deleteRoom(room.id);
      navigate("/");
      return null;
    });

  return (
    <section className="card plan" aria-labelledby="plan-title" data-testid="plan">
      <h2 id="plan-title">Schedule and end</h2>
      {ended && <p data-testid="plan-ended">This room has ended. Nobody can go live in it until you open it again.</p>}
      {planned !== null && <p data-testid="plan-scheduled">Announced for {whenText(planned)}.</p>}
      {!live && (
        <div className="plan-row">
          <div className="field">
            <label className="field-label" htmlFor="plan-when">
              Begins at
            </label>
            <input
              id="plan-when"
              data-testid="plan-when"
              type="datetime-local"
              min={toLocalInput(new Date())}
              value={when}
              onChange={(event) => {
                setWhen(event.target.value);
              }}
            />
          </div>
          <button type="button" className="button" data-testid="plan-schedule" disabled={busy} onClick={schedule}>
            {planned === null ? "Schedule" : "Move"}
          </button>
          {planned !== null && (
            <button
              type="button"
              className="button"
              disabled={busy}
              onClick={() => void act(() => api.changeRoom(room.id, { scheduled_at: null }))}
            >
              Take back
            </button>
          )}
        </div>
      )}
      <label className="setting-row">
        <span>
          Listed
          <small>Everyone finds the room on the start page while it is live or scheduled.</small>
        </span>
        <input
          className="switch"
          data-testid="plan-listed"
          type="checkbox"
          role="switch"
          disabled={busy}
          checked={room.listed}
          onChange={(event) => {
            const listed = event.target.checked;
            void act(() => api.changeRoom(room.id, { listed }));
          }}
        />
      </label>
      {asking === null ? (
        <div className="plan-actions">
          {ended ? (
            <button
              type="button"
              className="button"
              data-testid="plan-reopen"
              disabled={busy}
              onClick={() => void act(() => api.reopenRoom(room.id))}
            >
              <Icon name="refresh" />
              Open again
            </button>
          ) : (
            <button
              type="button"
              className="button"
              data-testid="plan-end"
              disabled={busy}
              onClick={() => {
                setAsking("end");
              }}
            >
              <Icon name="stop" />
              End room
            </button>
          )}
          <button
            type="button"
            className="button"
            data-testid="plan-delete"
            disabled={busy}
            onClick={() => {
              setAsking("delete");
            }}
          >
            <Icon name="bin" />
            Delete room
          </button>
        </div>
      ) : (
        <div className="plan-confirmation" role="alertdialog" aria-label="Are you sure?">
          <p>
            {asking === "end"
              ? "The stream ends for everybody. Chat, recordings and figures stay."
              : "The room goes with its recordings, chat and figures, for good."}
          </p>
          <button
            type="button"
            className="button small danger"
            data-testid="plan-confirm"
            onClick={() => void (asking === "end" ? end() : remove())}
          >
            {asking === "end" ? "End it" : "Delete it"}
          </button>
          <button
            type="button"
            className="button small"
            onClick={() => {
              setAsking(null);
            }}
          >
            Keep it
          </button>
        </div>
      )}
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}
