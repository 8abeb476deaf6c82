import { beforeEach, describe, expect, it, vi } from "vitest";

import { ApiClient } from "./client.ts";
import { ApiError } from "./problem.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const requests: { method: string; path: string; token: string | null; body: unknown }[] = [];
let answers: Answer[];

function problem(status: number, code: string, detail: string): Answer {
  return { status, body: { title: "Refused", status, code, detail } };
}

function guest(token: string, name = "Ana"): Answer {
  return { status: 201, body: { token, expires_in_s: 60, participant: { id: `id-${token}`, name } } };
}

beforeEach(() => {
  requests.length = 0;
  answers = [];
  const kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    requests.push({
      method: init.method ?? "GET",
      path,
      token: new Headers(init.headers).get("Authorization"),
      body: typeof init.body === "string" ? JSON.parse(init.body) : null,
    });
    const answer = answers.shift();
    if (answer === undefined) return Promise.reject(new TypeError("network"));
    return Promise.resolve(new Response(JSON.stringify(answer.body), { status: answer.status }));
  });
});

describe("ApiClient", () => {
  it("makes a guest once and keeps it for the next visit", async () => {
    answers = [guest("g1")];
    await new ApiClient().enter("Ana");
    const nextVisit = new ApiClient();
    await nextVisit.enter("Ana");
    expect(nextVisit.name).toBe("Ana");
    expect(requests).toHaveLength(1);
  });

  it("replaces a refused identity by a new guest of the same name, silently", async () => {
    answers = [
      guest("old"),
      problem(401, "token_expired", "expired"),
      guest("new"),
      { status: 201, body: { token: "room token", expires_in_s: 60, role: "viewer" } },
    ];
    const api = new ApiClient();
    await api.enter("Ana");
    await expect(api.roomToken("abcde23456", "participant")).resolves.toMatchObject({ token: "room token" });
    expect(requests.map(({ path, token }) => [path, token])).toEqual([
      ["/v1/guests", null],
      ["/v1/rooms/abcde23456/tokens", "Bearer old"],
      ["/v1/guests", null],
      ["/v1/rooms/abcde23456/tokens", "Bearer new"],
    ]);
    expect(requests[2]?.body).toEqual({ name: "Ana" });
  });

  it("says what the server says in a sentence", async () => {
    answers = [problem(404, "room_unknown", "check the code")];
    const error = await new ApiClient().getRoom("abcde23456").catch((refused: unknown) => refused);
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 404, code: "room_unknown", message: "check the code.", temporary: false });
  });

  it("knows an unreachable server as a passing trouble", async () => {
    const error = await new ApiClient().getRoom("abcde23456").catch((refused: unknown) => refused);
    expect(error).toMatchObject({ code: "unreachable", temporary: true });
  });

  it("has a sentence for answers that are no problem document", async () => {
    vi.stubGlobal("fetch", () => Promise.resolve(new Response("<h1>Bad gateway</h1>", { status: 502 })));
    const error = await new ApiClient().getRoom("abcde23456").catch((refused: unknown) => refused);
    expect(error).toMatchObject({ code: "http_502", message: "Headrace has trouble at the moment. Try again shortly." });
  });
});
