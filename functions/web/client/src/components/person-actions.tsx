import type { ReactNode } from "react";

import { ModerationAction } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import { holds, type Decision } from "../room/sanctions.ts";

const TIME_OUT_S = 600;

interface PersonActionsProps {
  readonly participant: string;
  /** Whom it is about, for those who do not see the row; left out where the menu says so itself. */
  readonly name?: string;
  readonly sanction: Decision | undefined;
  /** Now, ms since 1970. */
  readonly at: number;
  readonly testIds: string;
  readonly onModerate: (moderation: Moderation) => void;
}

/** What a moderator can decide about somebody, or take back. */
export function PersonActions({ participant, name, sanction, at, testIds, onModerate }: PersonActionsProps): ReactNode {
  const standing = holds(sanction, at) ? sanction.kind : null;
  const whom = name !== undefined && <span className="visually-hidden">{name}</span>;
  const decide = (action: number, seconds: number | null = null): void => {
    onModerate({ action, participant, offset: null, seconds });
  };

  return (
    <>
      {standing !== null && (
        <button
          type="button"
          className="button small"
          data-testid={`${testIds}-lift`}
          onClick={() => {
            decide(ModerationAction.lift);
          }}
        >
          {standing === "ban" ? "Lift ban" : "End time-out"}{" "}
          {whom}
        </button>
      )}
      {standing === null && (
        <button
          type="button"
          className="button small"
          data-testid={`${testIds}-time-out`}
          onClick={() => {
            decide(ModerationAction.timeOut, TIME_OUT_S);
          }}
        >
          Time out 10 min{" "}
          {whom}
        </button>
      )}
      {standing !== "ban" && (
        <button
          type="button"
          className="button small danger"
          data-testid={`${testIds}-ban`}
          onClick={() => {
            decide(ModerationAction.ban);
          }}
        >
          Ban{" "}
          {whom}
        </button>
      )}
    </>
  );
}
