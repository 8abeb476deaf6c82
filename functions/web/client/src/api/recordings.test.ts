import { afterEach, describe, expect, it, vi } from "vitest";

import type { ApiClient } from "./client.ts";
import { RecordingsClient } from "./recordings.ts";

afterEach(() => {
  vi.unstubAllGlobals();
});

/** Tokens t1, t2 …, and a server that answers as told. */
function scene(...statuses: number[]): { client: RecordingsClient; requests: string[] } {
  const requests: string[] = [];
  let tokens = 0;
  const api = {
    roomToken: () => Promise.resolve({ token: `t${++tokens}`, expires_in_s: 60, role: "streamer", ice_servers: [] }),
  } as unknown as ApiClient;
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    const token = new Headers(init.headers).get("Authorization") ?? "";
    requests.push(`${init.method ?? ""} ${path} ${token.replace("Bearer ", "")}`);
    const status = statuses.shift() ?? 200;
    return Promise.resolve(new Response(status === 204 ? null : JSON.stringify({ url: "/u" }), { status }));
  });
  return { client: new RecordingsClient(api, "room"), requests };
}

describe("RecordingsClient", () => {
  it("uses one token for all, and a new one when that is refused", async () => {
    const { client, requests } = scene(200, 401, 204, 200);
    await client.list();
    await client.remove("r1");
    expect(await client.link("r1", true)).toBe("/u");
    expect(requests).toEqual([
      "GET /v1/rooms/room/recordings t1",
      "DELETE /v1/rooms/room/recordings/r1 t1",
      "DELETE /v1/rooms/room/recordings/r1 t2",
      "GET /v1/rooms/room/recordings/r1/link?download=true t2",
    ]);
  });

  it("does not try again what is refused for another reason", async () => {
    const { client, requests } = scene(409);
    await expect(client.start()).rejects.toMatchObject({ status: 409 });
    expect(requests).toHaveLength(1);
  });
});
