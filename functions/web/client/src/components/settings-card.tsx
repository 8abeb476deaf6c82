import { useState, type KeyboardEvent, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { SettingsChanged } from "../protocol/messages.ts";
import type { Settings } from "../room/connection.ts";
import { loadKeptSettings, saveKeptSettings, type KeptSettings } from "../room/kept-settings.ts";
import { BlockedTerms } from "./blocked-terms.tsx";

const MAX_TITLE_LENGTH = 100;
const MAX_CATEGORY_LENGTH = 100;
const MAX_SLOW_MODE_S = 600;

interface SettingsCardProps {
  readonly roomId: string;
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
  readonly category?: string;
  readonly slowMode?: string;
  readonly waitingRoom?: boolean;
}

/** The streamer's settings of the room. A switch works at once, a field when it is left or on Enter. */
export function SettingsCard({ roomId, settings, title, connected, onConfigure }: SettingsCardProps): ReactNode {
  const [draft, setDraft] = useState<Draft>({ over: null });
  const [kept, setKept] = useState(() => loadKeptSettings(roomId));
  const [problem, setProblem] = useState<string | null>(null);
  const live: Draft = draft.over === settings ? draft : { over: settings };
  const present = {
    title: settings?.title ?? title,
    category: settings?.category ?? "",
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
  /** What the room log does not tell: shown as it is wished, and kept once the server has it. */
  const applyKept = (change: Partial<KeptSettings>): void => {
    const wished = { ...kept, ...change };
    setProblem(null);
    setKept(wished);
    onConfigure(change).then(
      () => {
        saveKeptSettings(roomId, wished);
      },
      (error: unknown) => {
        setKept(kept);
        setProblem(describeError(error));
      },
    );
  };
  const applyTitle = (): void => {
    const wished = shown.title.trim();
    if (wished !== "" && wished !== present.title) apply({ title: wished });
  };
  const applyCategory = (): void => {
    const wished = shown.category.trim();
    if (wished !== present.category) apply({ category: wished });
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
      <div className="field">
        <label className="field-label" htmlFor="setting-category">
          Category
        </label>
        <input
          id="setting-category"
          data-testid="setting-category"
          type="text"
          placeholder="Music, cooking, chess…"
          maxLength={MAX_CATEGORY_LENGTH}
          disabled={!connected}
          value={shown.category}
          onChange={(event) => {
            change({ category: event.target.value });
          }}
          onBlur={applyCategory}
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
      {shown.waitingRoom && (
        <label className="setting-row">
          <span>
            Let in by itself
            <small>Nobody waits, and whoever came stays welcome when you switch this off.</small>
          </span>
          <input
            className="switch"
            data-testid="setting-auto-accept"
            type="checkbox"
            role="switch"
            disabled={!connected}
            checked={kept.autoAccept}
            onChange={(event) => {
              applyKept({ autoAccept: event.target.checked });
            }}
          />
        </label>
      )}
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
      <BlockedTerms
        terms={kept.blockedTerms}
        disabled={!connected}
        onChange={(blockedTerms) => {
          applyKept({ blockedTerms });
        }}
      />
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}
