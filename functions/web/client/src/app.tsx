import type { ReactNode } from "react";

import type { ApiClient } from "./api/client.ts";
import { usePerson } from "./components/use-person.ts";
import { HomePage } from "./pages/home.tsx";
import { RoomPage } from "./pages/room.tsx";
import { roomInPath, usePath } from "./router.ts";

export function App({ api }: { readonly api: ApiClient }): ReactNode {
  const room = roomInPath(usePath());
  const person = usePerson(api);
  if (room === null) return <HomePage api={api} />;
  // Somebody who signs in or out comes into the room anew; a guest who is renewed silently does not.
  const visitor = person?.account === true ? person.id : person === null ? "nobody" : "guest";
  return <RoomPage key={`${room} ${visitor}`} api={api} address={room} />;
}
