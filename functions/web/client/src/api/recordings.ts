/** A room's recordings as typed calls. */
import type { ApiClient } from "./client.ts";
import { RoomCalls } from "./room-calls.ts";

export type RecordingState = "recording" | "uploading" | "ready" | "failed" | "lost";

/** Why a recording ended; empty while it goes on. */
export type RecordingEnd = "" | "asked" | "stream_ended" | "longest" | "largest" | "interrupted";

export interface Recording {
  readonly id: string;
  readonly state: RecordingState;
  readonly started_at: string;
  readonly ended_at: string | null;
  readonly end: RecordingEnd;
  readonly duration_s: number;
  readonly bytes: number;
  readonly media_type: string;
  readonly codecs: readonly string[];
}

/** What the page does with recordings. */
export interface Recordings {
  /** Oldest first. */
  list(): Promise<readonly Recording[]>;
  start(): Promise<Recording>;
  stop(): Promise<Recording>;
  remove(id: string): Promise<void>;
  /** An address that a media element can read, for some hours. */
  link(id: string, download: boolean): Promise<string>;
}

export class RecordingsClient implements Recordings {
  readonly #calls: RoomCalls;

  constructor(api: ApiClient, roomId: string) {
    this.#calls = new RoomCalls(api, roomId);
  }

  list(): Promise<readonly Recording[]> {
    return this.#calls.call<readonly Recording[]>("GET", "recordings");
  }

  start(): Promise<Recording> {
    return this.#calls.call<Recording>("POST", "recording");
  }

  stop(): Promise<Recording> {
    return this.#calls.call<Recording>("DELETE", "recording");
  }

  async remove(id: string): Promise<void> {
    await this.#calls.call<undefined>("DELETE", `recordings/${id}`);
  }

  async link(id: string, download: boolean): Promise<string> {
    const query = download ? "?download=true" : "";
    const answer = await this.#calls.call<{ url: string }>("GET", `recordings/${id}/link${query}`);
    return answer.url;
  }
}
