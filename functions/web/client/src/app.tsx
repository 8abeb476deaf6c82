import type { ReactNode } from "react";

import type { ApiClient } from "./api/client.ts";
import { HomePage } from "./pages/home.tsx";
import { RoomPage } from "./pages/room.tsx";
import { roomInPath, usePath } from "./router.ts";

export function App({ api }: { readonly api: ApiClient }): ReactNode {
  const room = roomInPath(usePath());
  return room === null ? <HomePage api={api} /> : <RoomPage key={room} api={api} address={room} />;
}
