import { useEffect, useRef, useState, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { Recording, Recordings } from "../api/recordings.ts";
import { Icon } from "./icons.tsx";
import { lengthOf, remarkOn, sizeOf, stateOf, whenOf } from "./recording-text.ts";

interface RecordingRowProps {
  readonly recording: Recording;
  readonly recordings: Recordings;
  readonly playing: boolean;
  readonly onPlay: (wanted: boolean) => void;
  readonly onRemove: () => Promise<void>;
}

/** One recording: what it is, and what can be done with it. */
export function RecordingRow({ recording, recordings, playing, onPlay, onRemove }: RecordingRowProps): ReactNode {
  const [asking, setAsking] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const bin = useRef<HTMLButtonElement>(null);
  const when = whenOf(recording);
  const remark = remarkOn(recording);
  const there = recording.bytes > 0 && recording.state !== "lost" && recording.state !== "recording";

  const download = async (): Promise<void> => {
    try {
      const link = document.createElement("a");
      link.href = await recordings.link(recording.id, true);
      link.download = "";
      link.click();
      setProblem(null);
    } catch (error) {
      setProblem(describeError(error));
    }
  };
  const keep = (): void => {
    setAsking(false);
    bin.current?.focus();
  };
  const remove = async (): Promise<void> => {
    setRemoving(true);
    await onRemove();
    setRemoving(false);
    setAsking(false);
  };

  return (
    <li className="recording-row" data-testid="recording">
      <div className="recording-line">
        <span className="recording-text">
          <span>{when}</span>
          <small>
            <span className={`recording-state ${recording.state}`} data-testid="recording-state">
              {stateOf(recording)}
            </span>
            {` · ${lengthOf(recording.duration_s)} · ${sizeOf(recording.bytes)}`}
          </small>
        </span>
        <span className="recording-actions">
          <button
            type="button"
            className="icon-button"
            data-testid="recording-play"
            aria-label={playing ? `Close the recording of ${when}` : `Play the recording of ${when}`}
            title={playing ? "Close" : "Play"}
            aria-expanded={playing}
            disabled={!there}
            onClick={() => {
              onPlay(!playing);
            }}
          >
            <Icon name={playing ? "close" : "play"} />
          </button>
          <button
            type="button"
            className="icon-button"
            data-testid="recording-download"
            aria-label={`Download the recording of ${when}`}
            title="Download"
            disabled={!there}
            onClick={() => void download()}
          >
            <Icon name="download" />
          </button>
          <button
            ref={bin}
            type="button"
            className="icon-button"
            data-testid="recording-delete"
            aria-label={`Delete the recording of ${when}`}
            title="Delete"
            aria-expanded={asking}
            disabled={recording.state === "recording"}
            onClick={() => {
              setAsking(!asking);
            }}
          >
            <Icon name="bin" />
          </button>
        </span>
      </div>
      {remark !== null && <p className="hint">{remark}</p>}
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {asking && <Confirmation when={when} busy={removing} onKeep={keep} onDelete={() => void remove()} />}
      {playing && <RecordingPlayer recording={recording} recordings={recordings} label={`Recording of ${when}`} />}
    </li>
  );
}

interface ConfirmationProps {
  readonly when: string;
  readonly busy: boolean;
  readonly onKeep: () => void;
  readonly onDelete: () => void;
}

function Confirmation({ when, busy, onKeep, onDelete }: ConfirmationProps): ReactNode {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    first.current?.focus();
  }, []);
  return (
    <div
      className="recording-confirmation"
      role="group"
      aria-label={`Delete the recording of ${when}?`}
      onKeyDown={(event) => {
        if (event.key === "Escape") onKeep();
      }}
    >
      <p>Delete it for good?</p>
      <span className="recording-actions">
        <button ref={first} type="button" className="button small" disabled={busy} onClick={onKeep}>
          Keep it
        </button>
        <button
          type="button"
          className="button small danger"
          data-testid="recording-delete-confirm"
          disabled={busy}
          onClick={onDelete}
        >
          Delete
        </button>
      </span>
    </div>
  );
}

interface RecordingPlayerProps {
  readonly recording: Recording;
  readonly recordings: Recordings;
  readonly label: string;
}

/** The recording in the page. Its address is asked for when it is wanted, since it works for some hours only. */
function RecordingPlayer({ recording, recordings, label }: RecordingPlayerProps): ReactNode {
  const [source, setSource] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const { id } = recording;

  useEffect(() => {
    let closed = false;
    recordings.link(id, false).then(
      (url) => {
        if (!closed) setSource(url);
      },
      (error: unknown) => {
        if (!closed) setProblem(describeError(error));
      },
    );
    return () => {
      closed = true;
    };
  }, [recordings, id]);

  if (problem !== null) {
    return (
      <p className="problem" role="alert">
        {problem}
      </p>
    );
  }
  if (source === null) {
    return (
      <p className="recordings-busy" role="status">
        <span className="spinner" aria-hidden="true" /> Opening…
      </p>
    );
  }
  return (
    <video
      className="recording-video"
      data-testid="recording-video"
      aria-label={label}
      src={source}
      controls
      autoPlay
      playsInline
      onError={() => {
        setProblem("This browser cannot play the recording. Download it instead.");
      }}
    />
  );
}
