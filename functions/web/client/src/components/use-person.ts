import { useSyncExternalStore } from "react";

import type { ApiClient } from "../api/client.ts";
import type { Identity } from "../api/identity.ts";

/** Who uses this page, anew whenever that changes. */
export function usePerson(api: ApiClient): Identity | null {
  return useSyncExternalStore(api.person.subscribe, api.person.snapshot);
}
