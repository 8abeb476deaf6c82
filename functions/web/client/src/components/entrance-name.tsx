import type { ReactNode } from "react";

import type { Identity } from "../api/identity.ts";
import { colourOf } from "./name-colour.ts";
import { NameField } from "./name-field.tsx";

interface EntranceNameProps {
  readonly identity: Identity | null;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

/** Under which name somebody goes in: that of their account, or as a guest any. */
export function EntranceName({ identity, value, onChange }: EntranceNameProps): ReactNode {
  if (identity?.account !== true) return <NameField value={value} onChange={onChange} />;
  return (
    <div className="signed-in">
      <span className={`initial colour-${colourOf(identity.id)}`} aria-hidden="true">
        {Array.from(identity.name)[0]?.toUpperCase()}
      </span>
      <p>
        <span className="field-label">You are signed in as</span>
        {identity.name}
      </p>
    </div>
  );
}
