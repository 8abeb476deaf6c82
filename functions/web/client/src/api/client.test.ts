import { beforeEach, describe, expect, it, vi } from "vitest";

import { ApiClient } from "./client.ts";
import { ApiError } from "./problem.ts";

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const requests: { method: string; path: string; token: string | null; body: unknown }[] = [];
let answers: Answer[];
let kept: Map<string, string>;

function problem(status: number, code: string, detail: string): Answer {
  return { status, body: { title: "Refused", status, code, detail } };
}

function session(token: string, name = "Ana", account = false): Answer {
  return { status: 201, body: { token, expires_in_s: 60, account, participant: { id: `id-${name}`, name } } };
}

const ROOM_TOKEN: Answer = { status: 201, body: { token: "room token", expires_in_s: 60, role: "viewer" } };
const EXPIRED = problem(401, "token_expired", "expired");
const OVER = problem(401, "session_ended", "the session is over");

function asked(): (string | null)[][] {
  return requests.map(({ path, token }) => [path, token]);
}

beforeEach(() => {
  requests.length = 0;
  answers = [];
  kept = new Map<string, string>();
  vi.stubGlobal("localStorage", {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
    removeItem: (key: string) => kept.delete(key),
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
    return Promise.resolve(new Response(answer.status === 204 ? null : JSON.stringify(answer.body), answer));
  });
});

describe("ApiClient", () => {
  it("makes a guest once and keeps it for the next visit, but for its tokens", async () => {
    answers = [session("g1")];
    await new ApiClient().enter("Ana");
    const nextVisit = new ApiClient();
    await nextVisit.enter("Ana");
    expect(nextVisit.name).toBe("Ana");
    expect(requests).toHaveLength(1);
    expect(requests[0]?.body).toEqual({ name: "Ana", session: "cookie" });
    expect([...kept.values()].join()).not.toContain("g1");
  });

  it("gets its first token of a visit with the cookie", async () => {
    answers = [session("g1"), session("g2"), ROOM_TOKEN];
    await new ApiClient().enter("Ana");
    await new ApiClient().roomToken("abcde23456", "participant");
    expect(asked().slice(1)).toEqual([
      ["/v1/sessions/refresh", null],
      ["/v1/rooms/abcde23456/tokens", "Bearer g2"],
    ]);
  });

  it("renews a token that has expired once for all who need it", async () => {
    answers = [session("old"), EXPIRED, EXPIRED, session("new"), ROOM_TOKEN, ROOM_TOKEN];
    const api = new ApiClient();
    await api.enter("Ana");
    await Promise.all([api.roomToken("abcde23456", "participant"), api.roomToken("abcde23456", "encoder")]);
    expect(asked().slice(1)).toEqual([
      ["/v1/rooms/abcde23456/tokens", "Bearer old"],
      ["/v1/rooms/abcde23456/tokens", "Bearer old"],
      ["/v1/sessions/refresh", null],
      ["/v1/rooms/abcde23456/tokens", "Bearer new"],
      ["/v1/rooms/abcde23456/tokens", "Bearer new"],
    ]);
  });

  it("replaces a guest whose session is over by a new one of the same name, silently", async () => {
    answers = [session("old"), EXPIRED, OVER, session("new"), ROOM_TOKEN];
    const api = new ApiClient();
    await api.enter("Ana");
    await expect(api.roomToken("abcde23456", "participant")).resolves.toMatchObject({ token: "room token" });
    expect(asked().slice(2)).toEqual([
      ["/v1/sessions/refresh", null],
      ["/v1/guests", null],
      ["/v1/rooms/abcde23456/tokens", "Bearer new"],
    ]);
    expect(requests[3]?.body).toEqual({ name: "Ana", session: "cookie" });
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

describe("Person", () => {
  it("registers as the guest they are, so that their rooms stay theirs", async () => {
    answers = [session("g1"), session("a1", "Ana", true)];
    const { person } = new ApiClient();
    await person.enter("Ana");
    await person.register("ana", "three synths", "Ana");
    expect(asked()[1]).toEqual(["/v1/users", "Bearer g1"]);
    expect(person.snapshot()).toEqual({ id: "id-Ana", name: "Ana", account: true });
    expect(new ApiClient().person.snapshot()?.account).toBe(true);
  });

  it("does not become a guest when the session of an account is over, but is asked to sign in", async () => {
    answers = [session("a1", "Ana", true), EXPIRED, OVER];
    const api = new ApiClient();
    await api.person.signIn("ana", "three synths");
    let told = 0;
    api.person.subscribe(() => (told += 1));
    await expect(api.roomToken("abcde23456", "participant")).rejects.toMatchObject({ code: "signed_out" });
    expect(api.person.snapshot()).toBeNull();
    expect(told).toBe(1);
    expect(kept.size).toBe(0);
  });

  it("stays who they are while the server cannot be reached", async () => {
    answers = [session("a1", "Ana", true), EXPIRED];
    const api = new ApiClient();
    await api.person.signIn("ana", "three synths");
    await expect(api.roomToken("abcde23456", "participant")).rejects.toMatchObject({ code: "unreachable" });
    expect(api.person.snapshot()?.account).toBe(true);
  });

  it("is nobody after signing out, also where the session was over already", async () => {
    for (const answer of [{ status: 204, body: null }, problem(404, "session_unknown", "ended")]) {
      answers = [session("a1", "Ana", true), answer];
      const { person } = new ApiClient();
      await person.signIn("ana", "three synths");
      await person.signOut();
      expect(person.snapshot()).toBeNull();
    }
  });

  it("has the new name at once, and gets a token that has it", async () => {
    const changed = { id: "id-Ana", username: "ana", name: "Ana L.", about: "" };
    answers = [session("a1", "Ana", true), { status: 200, body: changed }, session("a2", "Ana L.", true), ROOM_TOKEN];
    const api = new ApiClient();
    await api.person.signIn("ana", "three synths");
    await api.person.changeProfile({ name: "Ana L.", about: "" });
    expect(api.name).toBe("Ana L.");
    await api.roomToken("abcde23456", "participant");
    expect(asked()[2]).toEqual(["/v1/sessions/refresh", null]);
  });

  it("is told of a wrong password as such, and keeps its token", async () => {
    answers = [session("a1", "Ana", true), problem(401, "wrong_credentials", "they do not match")];
    const { person } = new ApiClient();
    await person.signIn("ana", "three synths");
    await expect(person.changePassword("x", "y")).rejects.toMatchObject({ code: "wrong_credentials" });
    expect(requests).toHaveLength(2);
  });
});
