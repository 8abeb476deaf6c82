/** A room's figures as typed calls, for its owner. */
import type { ApiClient } from "./client.ts";
import { RoomCalls } from "./room-calls.ts";

export interface Statistics {
  readonly viewers: number;
  readonly peak: number;
  readonly visitors: number;
  readonly messages: number;
  readonly watch_s: number;
  readonly gifts: number;
}

export interface AudiencePoint {
  readonly at: string;
  readonly viewers: number;
  readonly peak: number;
  readonly messages: number;
  readonly watch_s: number;
  /** Height of the picture in lines ("0": no video) to viewers. */
  readonly qualities: Readonly<Record<string, number>>;
}

export interface Analytics {
  readonly start: string;
  readonly end: string;
  readonly step_s: number;
  /** Only the steps in which somebody was there. */
  readonly points: readonly AudiencePoint[];
  readonly peak: number;
  readonly messages: number;
  readonly watch_s: number;
  readonly qualities: Readonly<Record<string, number>>;
}

/** How far back the audience is looked at, and in which steps. */
export const SPANS = {
  hour: { label: "Last hour", seconds: 3_600, step: 60 },
  day: { label: "Last day", seconds: 86_400, step: 300 },
} as const;

export type Span = keyof typeof SPANS;

export interface Figures {
  statistics(): Promise<Statistics>;
  analytics(span: Span): Promise<Analytics>;
}

export class FiguresClient implements Figures {
  readonly #calls: RoomCalls;

  constructor(api: ApiClient, roomId: string) {
    this.#calls = new RoomCalls(api, roomId);
  }

  statistics(): Promise<Statistics> {
    return this.#calls.call<Statistics>("GET", "statistics");
  }

  analytics(span: Span): Promise<Analytics> {
    const { seconds, step } = SPANS[span];
    // Whole minutes, so that the last one is in it.
    const end = Math.ceil(Date.now() / 60_000) * 60_000;
    const query = new URLSearchParams({
      start: new Date(end - seconds * 1_000).toISOString(),
      end: new Date(end).toISOString(),
      step: String(step),
    });
    return this.#calls.call<Analytics>("GET", `analytics?${query.toString()}`);
  }
}
