import type { ReactNode } from "react";

import { formatRoomCode, roomPath } from "../room/code.ts";
import { CopyField } from "./copy-field.tsx";

export function ShareCard({ roomId }: { readonly roomId: string }): ReactNode {
  const link = new URL(roomPath(roomId), location.origin).href;
  const code = formatRoomCode(roomId);
  return (
    <section className="card" aria-labelledby="share-title">
      <h2 id="share-title">Invite viewers</h2>
      <p>Anyone with the link or the code can watch and chat.</p>
      <CopyField label="Link" shown={link} testId="room-link" value={() => Promise.resolve(link)} />
      <CopyField label="Code" shown={code} testId="room-code" value={() => Promise.resolve(code)} />
    </section>
  );
}
