import type { ReactNode } from "react";

import type { Floating } from "../room/state.ts";

const REACTIONS = [
  { reaction: "❤️", name: "Love" },
  { reaction: "👏", name: "Applause" },
  { reaction: "😂", name: "Laughter" },
  { reaction: "🔥", name: "Fire" },
  { reaction: "🎉", name: "Party" },
] as const;

/** Where they rise, so that a crowd spreads; any fixed stride that shares no factor with it would do. */
const LANES = 10;
const STRIDE = 7;

interface ReactionBarProps {
  readonly floating: readonly Floating[];
  readonly connected: boolean;
  readonly onReact: (reaction: string) => void;
}

/** Five reactions to tap, and everybody's on their way up over the stage. */
export function ReactionBar({ floating, connected, onReact }: ReactionBarProps): ReactNode {
  return (
    <div className="reaction-bar" role="group" aria-label="Reactions">
      <div className="reactions" data-testid="reactions" aria-hidden="true">
        {floating.map(({ id, reaction }) => (
          <span key={id} className={`floating lane-${(id * STRIDE) % LANES}`}>
            {reaction}
          </span>
        ))}
      </div>
      {REACTIONS.map(({ reaction, name }, index) => (
        <button
          key={reaction}
          type="button"
          className="icon-button reaction"
          data-testid={`reaction-${index}`}
          aria-label={name}
          title={name}
          disabled={!connected}
          onClick={() => {
            onReact(reaction);
          }}
        >
          {reaction}
        </button>
      ))}
    </div>
  );
}
