/** The HTTP API as typed calls, in the name of whoever uses this page. */
import type { Role } from "../protocol/messages.ts";
import { call } from "./call.ts";
import { Person } from "./person.ts";

export type RoomStateName = "open" | "scheduled" | "live" | "ended";

/** A room in a list: some seconds behind. */
export interface ListedRoom {
  readonly id: string;
  readonly title: string;
  readonly owner: { readonly id: string; readonly name: string };
  readonly state: RoomStateName;
  readonly category: string;
  readonly description: string;
  readonly viewers: number;
  readonly live_since: string | null;
  readonly scheduled_at: string | null;
  readonly created_at: string;
}

export interface RoomList {
  readonly rooms: readonly ListedRoom[];
  /** Where the next page begins; null when this is the last. */
  readonly next: string | null;
}

export interface RoomQuery {
  readonly state: "live" | "scheduled";
  readonly words: string;
  readonly category: string;
  readonly cursor: string | null;
}

export interface NewRoom {
  readonly title: string;
  readonly category?: string;
  /** With a time zone; the room is announced for then. */
  readonly scheduled_at?: string;
  readonly listed: boolean;
}

export interface RoomChange {
  readonly description?: string;
  readonly scheduled_at?: string | null;
  readonly listed?: boolean;
}

export interface Room {
  readonly id: string;
  readonly title: string;
  readonly owner: { readonly id: string; readonly name: string };
  readonly state: RoomStateName;
  readonly live: boolean;
  readonly listed: boolean;
  readonly description: string;
  readonly scheduled_at: string | null;
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

export class ApiClient {
  readonly person = new Person();

  /** The name people see, or null before one was chosen. */
  get name(): string | null {
    return this.person.snapshot()?.name ?? null;
  }

  /** Takes part under this name: keeps the present identity when the name is the same. */
  enter(name: string): Promise<void> {
    return this.person.enter(name);
  }

  async createRoom(room: NewRoom): Promise<Room> {
    const request = { method: "POST", path: "/v1/rooms", body: room, key: crypto.randomUUID() } as const;
    return (await this.person.call<{ room: Room }>(request)).room;
  }

  /** A page of the rooms that everybody may find. */
  listRooms({ state, words, category, cursor }: RoomQuery): Promise<RoomList> {
    const query = new URLSearchParams({ state, limit: "24" });
    if (words !== "") query.set("q", words);
    if (category !== "") query.set("category", category);
    if (cursor !== null) query.set("cursor", cursor);
    return call<RoomList>({ method: "GET", path: `/v1/rooms?${query.toString()}` });
  }

  /** The newest of one's own rooms; none before a name was chosen. */
  async ownRooms(): Promise<readonly ListedRoom[]> {
    if (this.person.snapshot() === null) return [];
    return (await this.person.call<RoomList>({ method: "GET", path: "/v1/my/rooms?limit=12" })).rooms;
  }

  changeRoom(id: string, change: RoomChange): Promise<Room> {
    return this.person.call<Room>({ method: "PATCH", path: `/v1/rooms/${id}`, body: change });
  }

  endRoom(id: string): Promise<Room> {
    return this.person.call<Room>({ method: "POST", path: `/v1/rooms/${id}/end` });
  }

  reopenRoom(id: string): Promise<Room> {
    return this.person.call<Room>({ method: "POST", path: `/v1/rooms/${id}/reopen` });
  }

  async deleteRoom(id: string): Promise<void> {
    await this.person.call<undefined>({ method: "DELETE", path: `/v1/rooms/${id}` });
  }

  getRoom(id: string): Promise<Room> {
    return call<Room>({ method: "GET", path: `/v1/rooms/${id}` });
  }

  roomToken(id: string, kind: TokenKind): Promise<Grant> {
    return this.person.call<Grant>({ method: "POST", path: `/v1/rooms/${id}/tokens`, body: { kind } });
  }

  /** The page of a room's history that ends before an offset, or at its present end. The token is a room token. */
  history(id: string, token: string, before: number | null): Promise<HistoryPage> {
    const end = before ?? Number.MAX_SAFE_INTEGER;
    return call<HistoryPage>({ method: "GET", path: `/v1/rooms/${id}/messages?before=${end}&limit=200`, token });
  }
}
