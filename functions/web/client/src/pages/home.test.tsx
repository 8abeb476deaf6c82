// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ApiClient } from "../api/client.ts";
import { ApiError } from "../api/problem.ts";
import { HomePage } from "./home.tsx";

let api: ApiClient;

beforeEach(() => {
  localStorage.clear();
  history.replaceState(null, "", "/");
  api = new ApiClient();
  vi.spyOn(api, "enter").mockResolvedValue();
  vi.spyOn(api, "listRooms").mockResolvedValue({ rooms: [], next: null });
  render(<HomePage api={api} />);
});
afterEach(cleanup);

const room = {
  id: "abcde23456",
  title: "Synths",
  owner: { id: "p1", name: "Ana" },
  state: "open",
  live: false,
  listed: true,
  description: "",
  scheduled_at: null,
  viewers: 0,
  created_at: "2026-11-22T00:00:00Z",
  category: "",
  slow_mode_s: 0,
  waiting_room: false,
} as const;

describe("HomePage", () => {
  it("creates a room under the name given and goes there", async () => {
    const create = vi.spyOn(api, "createRoom").mockResolvedValue(room);
    await userEvent.type(screen.getByLabelText("Your name"), "Ana");
    await userEvent.type(screen.getByLabelText("Title"), " Synths ");
    await userEvent.click(screen.getByTestId("create-room"));
    expect(create).toHaveBeenCalledExactlyOnceWith({ title: "Synths", category: "", listed: true });
    expect(location.pathname).toBe("/r/abcde23456");
  });

  it("schedules a room for a time that is to come, and for no other", async () => {
    const create = vi.spyOn(api, "createRoom").mockResolvedValue(room);
    await userEvent.type(screen.getByLabelText("Your name"), "Ana");
    await userEvent.type(screen.getByLabelText("Title"), "Synths");
    await userEvent.type(screen.getByTestId("when-input"), "2020-01-01T20:00");
    await userEvent.click(screen.getByTestId("create-room"));
    expect(screen.getByRole("alert").textContent).toContain("in the future");
    await userEvent.clear(screen.getByTestId("when-input"));
    await userEvent.type(screen.getByTestId("when-input"), "2099-01-01T20:00");
    await userEvent.click(screen.getByTestId("listed-input"));
    await userEvent.click(screen.getByTestId("create-room"));
    const wanted = { title: "Synths", category: "", listed: false, scheduled_at: new Date("2099-01-01T20:00").toISOString() };
    expect(create).toHaveBeenCalledExactlyOnceWith(wanted);
  });

  it("lists what is live and what is to come, and searches by words and category", async () => {
    const tile = { ...room, created_at: "2026-11-22T00:00:00Z", live_since: null };
    const list = vi.spyOn(api, "listRooms").mockImplementation(({ state, words }) =>
      Promise.resolve({
        rooms: words === "none" ? [] : [{ ...tile, id: state, title: `A ${state} room`, state, viewers: 1234 }],
        next: null,
      }),
    );
    expect(await screen.findByText("A live room", {}, { timeout: 3_000 })).toBeTruthy();
    expect(screen.getByText("A scheduled room")).toBeTruthy();
    expect(screen.getByTestId("live-rooms").textContent).toContain("1,234");
    await userEvent.click(screen.getByRole("button", { name: "Music" }));
    await vi.waitFor(() => {
      expect(list).toHaveBeenCalledWith({ state: "live", words: "", category: "Music", cursor: null });
    });
    await userEvent.type(screen.getByTestId("room-search"), "none");
    expect(await screen.findByText("Nothing live fits that.", {}, { timeout: 3_000 })).toBeTruthy();
    await userEvent.click(screen.getByRole("button", { name: "All" }));
  });

  it("joins by a code in any spelling", async () => {
    const find = vi.spyOn(api, "getRoom").mockResolvedValue(room);
    await userEvent.type(screen.getByLabelText("Your name"), "Bo");
    await userEvent.type(screen.getByLabelText("Code or link"), "ABCDE-23456");
    await userEvent.click(screen.getByTestId("join-room"));
    expect(find).toHaveBeenCalledExactlyOnceWith("abcde23456");
    expect(location.pathname).toBe("/r/abcde23456");
  });

  it("says what a code looks like instead of asking the server for nonsense", async () => {
    const find = vi.spyOn(api, "getRoom");
    await userEvent.type(screen.getByLabelText("Code or link"), "nonsense");
    await userEvent.click(screen.getByTestId("join-room"));
    expect(screen.getByRole("alert").textContent).toContain("ten letters and digits");
    expect(find).not.toHaveBeenCalled();
  });

  it("asks for a name before anything else", async () => {
    await userEvent.type(screen.getByLabelText("Title"), "Synths");
    await userEvent.click(screen.getByTestId("create-room"));
    expect(screen.getByRole("alert").textContent).toBe("Choose a name first.");
  });

  it("shows the server's refusal and stays", async () => {
    vi.spyOn(api, "getRoom").mockRejectedValue(new ApiError(404, "room_unknown", "No such room."));
    await userEvent.type(screen.getByLabelText("Your name"), "Bo");
    await userEvent.type(screen.getByLabelText("Code or link"), "abcde23456");
    await userEvent.click(screen.getByTestId("join-room"));
    expect(screen.getByRole("alert").textContent).toBe("No such room.");
    expect(location.pathname).toBe("/");
  });
});
