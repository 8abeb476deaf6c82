/** Calls about one room, with a room token of their own that is renewed when it is refused. */
import { call, type Call } from "./call.ts";
import type { ApiClient } from "./client.ts";
import { ApiError } from "./problem.ts";

export class RoomCalls {
  readonly #api: ApiClient;
  readonly #roomId: string;
  #token: Promise<string> | null = null;

  constructor(api: ApiClient, roomId: string) {
    this.#api = api;
    this.#roomId = roomId;
  }

  async call<T>(method: Call["method"], what: string): Promise<T> {
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
