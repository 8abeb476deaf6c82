/** The HTTP API as typed calls. A refused identity is replaced silently by a new guest of the same name. */
import type { Role } from "../protocol/messages.ts";
import { loadIdentity, saveIdentity, type Identity } from "./identity.ts";
import { ApiError, problemFrom, unreachable } from "./problem.ts";

export interface Room {
  readonly id: string;
  readonly title: string;
  readonly owner: { readonly id: string; readonly name: string };
  readonly live: boolean;
  readonly viewers: number;
  readonly created_at: string;
  readonly category: string;
  readonly slow_mode_s: number;
  readonly waiting_room: boolean;
}

export interface Grant {
  readonly token: string;
  readonly expires_in_s: number;
  readonly role: Role;
  /** What RTCPeerConnection takes; empty where workers are reached without help. */
  readonly ice_servers: readonly RTCIceServer[];
}

/** One event of a room's history; `fields` are those of its kind in the room protocol. */
export interface HistoryEvent {
  readonly offset: number;
  readonly kind: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export interface HistoryPage {
  /** Oldest first. */
  readonly messages: readonly HistoryEvent[];
  /** Where to read on backwards; null where the page is empty. */
  readonly first: number | null;
  readonly more: boolean;
}

export type TokenKind = "participant" | "encoder";

interface GuestAnswer {
  readonly token: string;
  readonly participant: { readonly id: string; readonly name: string };
}

export interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: unknown;
  readonly token?: string;
}

export class ApiClient {
  #identity: Identity | null = loadIdentity();
  #renewal: Promise<Identity> | null = null;

  /** The name people see, or null before one was chosen. */
  get name(): string | null {
    return this.#identity?.name ?? null;
  }

  /** Takes part under this name: keeps the present identity when the name is the same. */
  async enter(name: string): Promise<void> {
    if (this.#identity?.name !== name) await this.#newGuest(name);
  }

  async createRoom(title: string): Promise<Room> {
    const answer = await this.#asGuest<{ room: Room }>({ method: "POST", path: "/v1/rooms", body: { title } });
    return answer.room;
  }

  getRoom(id: string): Promise<Room> {
    return call<Room>({ method: "GET", path: `/v1/rooms/${id}` });
  }

  roomToken(id: string, kind: TokenKind): Promise<Grant> {
    return this.#asGuest<Grant>({ method: "POST", path: `/v1/rooms/${id}/tokens`, body: { kind } });
  }

  /** The page of a room's history that ends before an offset, or at its present end. The token is a room token. */
  history(id: string, token: string, before: number | null): Promise<HistoryPage> {
    const end = before ?? Number.MAX_SAFE_INTEGER;
    return call<HistoryPage>({ method: "GET", path: `/v1/rooms/${id}/messages?before=${end}&limit=200`, token });
  }

  async #asGuest<T>(request: Call): Promise<T> {
    const identity = this.#identity;
    if (identity === null) throw new ApiError(401, "no_identity", "Choose a name first.");
    try {
      return await call<T>({ ...request, token: identity.token });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error;
      const renewed = await this.#renew(identity);
      return await call<T>({ ...request, token: renewed.token });
    }
  }

  /** Several calls may be refused at once; they share one new guest. */
  async #renew(refused: Identity): Promise<Identity> {
    if (this.#identity !== null && this.#identity !== refused) return this.#identity;
    this.#renewal ??= this.#newGuest(refused.name).finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  async #newGuest(name: string): Promise<Identity> {
    const answer = await call<GuestAnswer>({ method: "POST", path: "/v1/guests", body: { name } });
    const identity = { token: answer.token, id: answer.participant.id, name: answer.participant.name };
    this.#identity = identity;
    saveIdentity(identity);
    return identity;
  }
}

export async function call<T>(request: Call): Promise<T> {
  const headers = new Headers({ Accept: "application/json, application/problem+json" });
  if (request.token !== undefined) headers.set("Authorization", `Bearer ${request.token}`);
  if (request.body !== undefined) headers.set("Content-Type", "application/json");
  const response = await fetch(request.path, {
    method: request.method,
    headers,
    cache: "no-store",
    ...(request.body !== undefined && { body: JSON.stringify(request.body) }),
  }).catch(() => {
    throw unreachable();
  });
  if (!response.ok) throw await problemFrom(response);
  if (response.status === 204) return undefined as T;
  // Our own server made this answer to the contract these types are written from.
  return (await response.json()) as T;
}
