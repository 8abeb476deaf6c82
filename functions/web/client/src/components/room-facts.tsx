import type { ReactNode } from "react";

import type { RoomState } from "../room/state.ts";
import { Icon } from "./icons.tsx";

export function LiveBadge({ stream }: { readonly stream: RoomState["stream"] }): ReactNode {
  switch (stream.kind) {
    case "live":
      return (
        <span className="live-badge on" data-testid="live-badge">
          Live
        </span>
      );
    case "ended":
      return <span className="live-badge">Ended</span>;
    case "waiting":
    case "unknown":
      return <span className="live-badge">Offline</span>;
  }
}

interface ViewerCountProps {
  readonly count: number;
  readonly onOpen: () => void;
}

/** How many watch, and the way to who they are. */
export function ViewerCount({ count, onOpen }: ViewerCountProps): ReactNode {
  return (
    <button
      type="button"
      className="viewer-count"
      data-testid="people-open"
      title="Who is here?"
      aria-haspopup="dialog"
      onClick={onOpen}
    >
      <Icon name="users" />
      <span data-testid="viewer-count">{count.toLocaleString("en")}</span>
      <span className="visually-hidden">watching. Who is here?</span>
    </button>
  );
}
