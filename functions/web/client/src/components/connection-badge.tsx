import type { ReactNode } from "react";

import type { ConnectionState } from "../room/connection.ts";

export function ConnectionBadge({ state }: { readonly state: ConnectionState }): ReactNode {
  return (
    <span className={`connection-badge ${state}`} role="status">
      <span className="dot" aria-hidden="true" />
      <span data-testid="connection-state">{state}</span>
    </span>
  );
}
