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

export function ViewerCount({ count }: { readonly count: number }): ReactNode {
  return (
    <span className="viewer-count" title="Viewers">
      <Icon name="users" />
      <span data-testid="viewer-count">{count.toLocaleString("en")}</span>
      <span className="visually-hidden">watching</span>
    </span>
  );
}
