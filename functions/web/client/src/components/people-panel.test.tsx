// @vitest-environment jsdom
import { cleanup, render, screen, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Moderation } from "../room/connection.ts";
import { NO_SANCTIONS, type Sanctions } from "../room/sanctions.ts";
import type { RoomState } from "../room/state.ts";
import { PeoplePanel } from "./people-panel.tsx";

const people = {
  total: 1_203,
  people: [
    { participant: "ana", name: "Ana", role: "streamer" },
    { participant: "me", name: "Me", role: "viewer" },
    { participant: "bo", name: "Bo", role: "viewer" },
  ],
};

const onAsk = vi.fn<() => Promise<void>>();
const onModerate = vi.fn<(moderation: Moderation) => Promise<void>>();
const onClose = vi.fn();

interface Shown {
  readonly people?: RoomState["people"];
  readonly sanctions?: Sanctions;
  readonly moderator?: boolean;
}

function show({ people: shown = people, sanctions = NO_SANCTIONS, moderator = false }: Shown = {}): void {
  render(
    <PeoplePanel
      people={shown}
      sanctions={sanctions}
      self="me"
      onAsk={onAsk}
      onModerate={moderator ? onModerate : undefined}
      onClose={onClose}
    />,
  );
}

beforeEach(() => {
  vi.resetAllMocks();
  onAsk.mockResolvedValue();
  onModerate.mockResolvedValue();
  // jsdom has dialogs, but cannot open them.
  HTMLDialogElement.prototype.showModal = function showModal(): void {
    this.open = true;
  };
  HTMLDialogElement.prototype.close = function close(): void {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  };
});
afterEach(cleanup);

describe("PeoplePanel", () => {
  it("asks when it opens, and says who is here, what they are and how many more", async () => {
    show();
    await vi.waitFor(() => {
      expect(onAsk).toHaveBeenCalledOnce();
    });
    expect(screen.getByRole("heading", { name: "People 1,203" })).toBeTruthy();
    const rows = screen.getAllByTestId("person").map((row) => row.textContent);
    expect(rows).toEqual(["AAna Streamer", "MMe youViewer", "BBo Viewer"]);
    expect(screen.getByText("and 1,200 more")).toBeTruthy();
  });

  it("offers nothing against anybody to those who may not moderate", () => {
    show({ sanctions: new Map([["cy", { participant: "cy", name: "Cy", kind: "ban", untilMs: 0, offset: 1 }]]) });
    expect(screen.queryByRole("button", { name: /Ban/ })).toBeNull();
    expect(screen.queryByTestId("sanction")).toBeNull();
  });

  it("lets a moderator act on viewers, not on the streamer nor on themselves, and asks anew", async () => {
    show({ moderator: true });
    expect(screen.getAllByTestId("person-ban").map(({ textContent }) => textContent)).toEqual(["Ban Bo"]);
    await userEvent.click(screen.getByRole("button", { name: "Moderate Bo" }));
    await userEvent.click(screen.getByRole("button", { name: "Time out 10 min Bo" }));
    expect(onModerate).toHaveBeenCalledExactlyOnceWith({ action: 2, participant: "bo", offset: null, seconds: 600 });
    expect(onAsk.mock.calls.length).toBeGreaterThanOrEqual(2);
  });

  it("lists what holds against whom, the newest first and without what is over, and takes it back", async () => {
    const untilMs = Date.now() + 60_000;
    const sanctions: Sanctions = new Map([
      ["cy", { participant: "cy", name: "Cy", kind: "ban", untilMs: 0, offset: 1 }],
      ["di", { participant: "di", name: "Di", kind: "time_out", untilMs: 1, offset: 2 }],
      ["ed", { participant: "ed", name: "Ed", kind: "lifted", untilMs: 0, offset: 3 }],
      ["p-123456", { participant: "p-123456", name: null, kind: "time_out", untilMs, offset: 4 }],
    ]);
    show({ moderator: true, sanctions });
    const [first, second, ...others] = screen.getAllByTestId("sanction");
    expect(others).toEqual([]);
    expect(first?.textContent).toMatch(/^Somebody \(123456\)May not write until/);
    expect(second?.textContent).toMatch(/^CyBanned/);
    if (second === undefined) throw new Error("no second row");
    await userEvent.click(within(second).getByRole("button", { name: "Lift ban Cy" }));
    expect(onModerate).toHaveBeenCalledExactlyOnceWith({ action: 4, participant: "cy", offset: null, seconds: null });
  });

  it("does not count somebody who was just banned, and says of those timed out that they are", () => {
    const untilMs = Date.now() + 60_000;
    const sanctions: Sanctions = new Map([
      ["bo", { participant: "bo", name: "Bo", kind: "ban", untilMs: 0, offset: 1 }],
      ["me", { participant: "me", name: "Me", kind: "time_out", untilMs, offset: 2 }],
    ]);
    show({ sanctions });
    expect(screen.getByTestId("people-total").textContent).toBe("1,202");
    const rows = screen.getAllByTestId("person").map((row) => row.textContent);
    expect(rows).toEqual(["AAna Streamer", "MMe youViewer, timed out"]);
  });

  it("says why it cannot say who is here, and why a decision had no effect", async () => {
    onAsk.mockRejectedValue(new Error("the connection is lost"));
    show({ people: null });
    expect((await screen.findByRole("alert")).textContent).toBe("the connection is lost");
    cleanup();
    onAsk.mockResolvedValue();
    onModerate.mockRejectedValue(new Error("you may not"));
    show({ moderator: true });
    await userEvent.click(screen.getByTestId("person-menu"));
    await userEvent.click(screen.getByTestId("person-ban"));
    expect(screen.getByRole("alert").textContent).toBe("you may not");
  });

  it("closes by its button", async () => {
    show();
    await userEvent.click(screen.getByTestId("people-close"));
    expect(onClose).toHaveBeenCalledOnce();
  });
});
