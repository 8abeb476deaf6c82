import { useState, type KeyboardEvent, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { SettingsChanged } from "../protocol/messages.ts";
import type { Settings } from "../room/connection.ts";

const MAX_TITLE_LENGTH = 100;
const MAX_SLOW_MODE_S = 600;

interface SettingsCardProps {
  /** As the room log has them; null when it tells nothing of them. */
  readonly settings: SettingsChanged | null;
  /** The title the room was found with. */
  readonly title: string;
  readonly connected: boolean;
  readonly onConfigure: (settings: Settings) => Promise<void>;
}

/** What is changed here and not in the room log yet; it gives way to whatever the log says next. */
interface Draft {
  readonly over: SettingsChanged | null;
  readonly title?: string;
  readonly slowMode?: string;
  readonly waitingRoom?: boolean;
}

/** The streamer's settings of the room. The switch works at once, a field when it is left or on Enter. */
export function SettingsCard({ settings, title, connected, onConfigure }: SettingsCardProps): ReactNode {
  const [draft, setDraft] = useState<Draft>({ over: null });
  const [problem, setProblem] = useState<string | null>(null);
  const live: Draft = draft.over === settings ? draft : { over: settings };
  const present = {
    title: settings?.title ?? title,
    slowMode: String(settings?.slowModeS ?? 0),
    waitingRoom: settings?.waitingRoom ?? false,
  };
  const shown = { ...present, ...live };

  const change = (part: Omit<Draft, "over">): void => {
    setDraft({ ...live, ...part });
  };
  const apply = (change: Settings): void => {
    setProblem(null);
    onConfigure(change).catch((error: unknown) => {
      setDraft({ over: settings });
      setProblem(describeError(error));
    });
  };
  const applyTitle = (): void => {
    const wished = shown.title.trim();
    if (wished !== "" && wished !== present.title) apply({ title: wished });
  };
  const applySlowMode = (): void => {
    const seconds = Math.min(Math.max(Math.round(Number(shown.slowMode)), 0), MAX_SLOW_MODE_S);
    if (!Number.isFinite(seconds)) return;
    change({ slowMode: String(seconds) });
    if (String(seconds) !== present.slowMode) apply({ slowModeS: seconds });
  };
  /** Enter leaves the field, and leaving it applies what it holds. */
  const leaveOnEnter = (event: KeyboardEvent<HTMLInputElement>): void => {
    if (event.key === "Enter" && !event.nativeEvent.isComposing) event.currentTarget.blur();
  };

  return (
    <section className="card settings" aria-labelledby="settings-title">
      <h2 id="settings-title">Room settings</h2>
      <div className="field">
        <label className="field-label" htmlFor="setting-title">
          Title
        </label>
        <input
          id="setting-title"
          data-testid="setting-title"
          type="text"
          maxLength={MAX_TITLE_LENGTH}
          disabled={!connected}
          value={shown.title}
          onChange={(event) => {
            change({ title: event.target.value });
          }}
          onBlur={applyTitle}
          onKeyDown={leaveOnEnter}
        />
      </div>
      <label className="setting-row">
        <span>
          Waiting room
          <small>You let in everyone who comes.</small>
        </span>
        <input
          className="switch"
          data-testid="setting-waiting-room"
          type="checkbox"
          role="switch"
          disabled={!connected}
          checked={shown.waitingRoom}
          onChange={(event) => {
            change({ waitingRoom: event.target.checked });
            apply({ waitingRoom: event.target.checked });
          }}
        />
      </label>
      <label className="setting-row">
        <span>
          Slow mode
          <small>Seconds between two messages of a viewer; 0 is off.</small>
        </span>
        <input
          className="seconds"
          data-testid="setting-slow-mode"
          type="number"
          inputMode="numeric"
          min={0}
          max={MAX_SLOW_MODE_S}
          disabled={!connected}
          value={shown.slowMode}
          onChange={(event) => {
            change({ slowMode: event.target.value });
          }}
          onBlur={applySlowMode}
          onKeyDown={leaveOnEnter}
        />
      </label>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}
