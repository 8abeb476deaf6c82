/** The two pages of the client, told apart by the address. */
import { useSyncExternalStore } from "react";

const NAVIGATED = "headrace:navigated";

export function navigate(path: string): void {
  history.pushState(null, "", path);
  window.dispatchEvent(new Event(NAVIGATED));
}

function subscribe(listener: () => void): () => void {
  window.addEventListener("popstate", listener);
  window.addEventListener(NAVIGATED, listener);
  return () => {
    window.removeEventListener("popstate", listener);
    window.removeEventListener(NAVIGATED, listener);
  };
}

export function usePath(): string {
  return useSyncExternalStore(subscribe, () => location.pathname);
}

/** What stands after /r/ in the address, or null on any other page. */
export function roomInPath(path: string): string | null {
  return /^\/r\/([^/]+)\/?$/.exec(path)?.[1] ?? null;
}
