import { expect, it, vi } from "vitest";

import { ApiClient, type HistoryEvent, type HistoryPage } from "../api/client.ts";
import { pastSanctions } from "./past-sanctions.ts";

function api(...pages: readonly HistoryPage[]): { readonly api: ApiClient; readonly asked: (number | null)[] } {
  const client = new ApiClient();
  const left = [...pages];
  const asked: (number | null)[] = [];
  vi.spyOn(client, "roomToken").mockResolvedValue({ token: "t", expires_in_s: 60, role: "streamer", ice_servers: [] });
  vi.spyOn(client, "history").mockImplementation((_id, _token, before) => {
    asked.push(before);
    const page = left.shift();
    return page === undefined ? Promise.reject(new Error("asked too often")) : Promise.resolve(page);
  });
  return { api: client, asked };
}

const ban = (offset: number, participant: string): HistoryEvent => ({
  offset,
  kind: "sanction",
  fields: { participant, action: 3, until_ms: 0 },
});
const chat = (offset: number, sender: string, name: string): HistoryEvent => ({
  offset,
  kind: "chat",
  fields: { sender, name, message_id: 1, text: "hello" },
});

it("reads backwards to the beginning and names people as they last wrote", async () => {
  const { api: client, asked } = api(
    { messages: [chat(8, "bo", "Bobby"), ban(9, "bo")], first: 8, more: true },
    { messages: [chat(1, "bo", "Bo"), ban(2, "cy")], first: 1, more: false },
  );
  expect(await pastSanctions(client, "r")).toEqual({
    type: "past_sanctions",
    decided: [
      { offset: 2, event: { type: "sanction", participant: "cy", action: 3, untilMs: 0 }, name: null },
      { offset: 9, event: { type: "sanction", participant: "bo", action: 3, untilMs: 0 }, name: "Bobby" },
    ],
  });
  expect(asked).toEqual([null, 8]);
});

it("reads no more than what is worth the wait", async () => {
  const { api: client, asked } = api(...Array.from({ length: 10 }, () => ({ messages: [], first: 5, more: true })));
  expect((await pastSanctions(client, "r")).decided).toEqual([]);
  expect(asked).toHaveLength(10);
});
