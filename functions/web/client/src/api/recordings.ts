/** A room's recordings as typed calls, with a room token of their own that is renewed when it is refused. */
import { call, type ApiClient, type Call } from "./client.ts";
import { ApiError } from "./problem.ts";

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
  readonly #api: ApiClient;
  readonly #roomId: string;
  #token: Promise<string> | null = null;

  constructor(api: ApiClient, roomId: string) {
    this.#api = api;
    this.#roomId = roomId;
  }

  list(): Promise<readonly Recording[]> {
    return this.#call<readonly Recording[]>("GET", "recordings");
  }

  start(): Promise<Recording> {
    return this.#call<Recording>("POST", "recording");
  }

  stop(): Promise<Recording> {
    return this.#call<Recording>("DELETE", "recording");
  }

  async remove(id: string): Promise<void> {
    await this.#call<undefined>("DELETE", `recordings/${id}`);
  }

  async link(id: string, download: boolean): Promise<string> {
    const query = download ? "?download=true" : "";
    const answer = await this.#call<{ url: string }>("GET", `recordings/${id}/link${query}`);
    return answer.url;
  }

  async #call<T>(method: Call["method"], what: string): Promise<T> {
    const path = `/v1/rooms/${this.#roomId}/${what}`;
    const used = this.#roomToken();
    try {
      return await call<T>({ method, path, token: await used });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      if (this.#token === used) this.#token = null;
      return await call<T>({ method, path, token: await this.#roomToken() });
    }
  }

  #roomToken(): Promise<string> {
    this.#token ??= this.#api.roomToken(this.#roomId, "participant").then(
      (grant) => grant.token,
      (error: unknown) => {
        this.#token = null;
        throw error;
      },
    );
    return this.#token;
  }
}
