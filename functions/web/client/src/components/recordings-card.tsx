import { useEffect, useRef, useState, type ReactNode } from "react";

import type { Recording, Recordings } from "../api/recordings.ts";
import { Icon } from "./icons.tsx";
import { RecordingRow } from "./recording-row.tsx";
import { lengthOf } from "./recording-text.ts";
import { useRecordings } from "./use-recordings.ts";

interface RecordingsCardProps {
  readonly recordings: Recordings;
  /** Whether there is a stream to record. */
  readonly live: boolean;
}

/** What was recorded in the room, and the button that records. */
export function RecordingsCard({ recordings, live }: RecordingsCardProps): ReactNode {
  const { recordings: known, at, problem, act } = useRecordings(recordings);
  const [busy, setBusy] = useState(false);
  const [playing, setPlaying] = useState<string | null>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  const present = known?.find(({ state }) => state === "recording");

  const toggle = async (): Promise<void> => {
    setBusy(true);
    await act(() => (present === undefined ? recordings.start() : recordings.stop()));
    setBusy(false);
  };
  const remove = async (id: string): Promise<void> => {
    if (!(await act(() => recordings.remove(id)))) return;
    setPlaying((shown) => (shown === id ? null : shown));
    // The button that was pressed is gone with its row.
    heading.current?.focus();
  };

  return (
    <section className="card recordings" aria-labelledby="recordings-title" data-testid="recordings">
      <div className="recordings-head">
        <h2 id="recordings-title" ref={heading} tabIndex={-1}>
          Recordings
        </h2>
        {present !== undefined && <Elapsed key={present.id} recording={present} at={at} />}
        <button
          type="button"
          className={present === undefined ? "button small" : "button small danger"}
          data-testid="record"
          disabled={busy || known === null || (present === undefined && !live)}
          onClick={() => void toggle()}
        >
          <Icon name={present === undefined ? "record" : "stop"} />
          {present === undefined ? "Start recording" : "Stop recording"}
        </button>
      </div>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {known === null && problem === null && (
        <p className="recordings-busy" role="status">
          <span className="spinner" aria-hidden="true" /> Looking for recordings…
        </p>
      )}
      {known?.length === 0 && (
        <p>{live ? "Nothing is recorded yet." : "Nothing is recorded yet. Go live, then start a recording."}</p>
      )}
      {known !== null && known.length > 0 && (
        <ul className={playing === null ? "recordings-list" : "recordings-list playing"} aria-labelledby="recordings-title">
          {known.map((recording) => (
            <RecordingRow
              key={recording.id}
              recording={recording}
              recordings={recordings}
              playing={playing === recording.id}
              onPlay={(wanted) => {
                setPlaying(wanted ? recording.id : null);
              }}
              onRemove={() => remove(recording.id)}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

/** How long the present recording is, counted on from what the server said last. */
function Elapsed({ recording, at }: { readonly recording: Recording; readonly at: number }): ReactNode {
  const [now, setNow] = useState(at);
  useEffect(() => {
    const ticking = setInterval(() => {
      setNow(Date.now());
    }, 1_000);
    return () => {
      clearInterval(ticking);
    };
  }, []);
  return (
    <span className="recording-now" role="timer" data-testid="recording-now">
      <span className="recording-dot" aria-hidden="true" />
      {lengthOf(recording.duration_s + Math.max(0, now - at) / 1_000)}
    </span>
  );
}
