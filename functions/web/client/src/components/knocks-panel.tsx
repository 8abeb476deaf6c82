import { useState, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { Admission } from "../room/connection.ts";
import type { RoomState } from "../room/state.ts";

interface KnocksPanelProps {
  readonly knocks: RoomState["knocks"];
  readonly onAdmit: (admission: Admission) => Promise<void>;
}

/** Who waits at the door, for the streamer to decide; nothing while nobody does. */
export function KnocksPanel({ knocks, onAdmit }: KnocksPanelProps): ReactNode {
  const [problem, setProblem] = useState<string | null>(null);
  const { waiting, count } = knocks;
  if (count === 0) return null;

  const decide = (participant: string | null, accept: boolean): void => {
    setProblem(null);
    onAdmit({ participant, accept }).catch((error: unknown) => {
      setProblem(describeError(error));
    });
  };

  return (
    <section className="card knocks" aria-labelledby="knocks-title" data-testid="knocks">
      <div className="knocks-head">
        <h2 id="knocks-title" role="status">
          {count === 1 ? "1 person waits" : `${count} people wait`} to be let in
        </h2>
        <Decision
          accept="Let all in"
          reject="Turn all away"
          suffix="all"
          onDecide={(accept) => {
            decide(null, accept);
          }}
        />
      </div>
      <ul className="knocks-list">
        {waiting.map(({ participant, name }) => (
          <li key={participant}>
            <span className="knock-name">{name}</span>
            <Decision
              accept="Let in"
              reject="Turn away"
              whom={name}
              suffix={participant}
              onDecide={(accept) => {
                decide(participant, accept);
              }}
            />
          </li>
        ))}
      </ul>
      {count > waiting.length && <p className="hint">and {count - waiting.length} more</p>}
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}

interface DecisionProps {
  readonly accept: string;
  readonly reject: string;
  /** Whom it is about, for those who do not see the row. */
  readonly whom?: string;
  readonly suffix: string;
  readonly onDecide: (accept: boolean) => void;
}

function Decision({ accept, reject, whom, suffix, onDecide }: DecisionProps): ReactNode {
  return (
    <span className="decision">
      {([true, false] as const).map((accepts) => (
        <button
          key={String(accepts)}
          type="button"
          className={accepts ? "button small primary" : "button small"}
          data-testid={`${accepts ? "admit" : "reject"}-${suffix}`}
          onClick={() => {
            onDecide(accepts);
          }}
        >
          {accepts ? accept : reject}
          {whom !== undefined && <span className="visually-hidden"> {whom}</span>}
        </button>
      ))}
    </span>
  );
}
