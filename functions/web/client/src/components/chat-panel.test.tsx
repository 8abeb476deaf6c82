// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import type { ReactNode } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { ChatEntry, GiftEntry, Timeline } from "../room/timeline.ts";
import { ChatPanel } from "./chat-panel.tsx";

function chat(messageId: number, change: Partial<ChatEntry> = {}): ChatEntry {
  return {
    kind: "chat",
    key: `chat-${messageId}`,
    messageId,
    sender: "bo",
    name: "Bo",
    text: `text ${messageId}`,
    offset: messageId * 1_000_000,
    at: messageId * 1000,
    own: false,
    status: "sent",
    note: null,
    ...change,
  };
}

function gift(messageId: number, change: Partial<GiftEntry> = {}): GiftEntry {
  const contribution = chat(messageId, { key: `gift-${messageId}`, text: "Bo gave Rose" });
  return { ...contribution, kind: "gift", gift: "rose", ...change };
}

const handlers = { onSend: vi.fn(), onRetry: vi.fn(), onReconnect: vi.fn() };

function show(timeline: Timeline, connection: "connected" | "reconnecting" = "connected"): void {
  render(<ChatPanel timeline={timeline} connection={connection} {...handlers} />);
}

beforeEach(() => {
  vi.clearAllMocks();
  // jsdom lays nothing out, so nothing is ever resized.
  vi.stubGlobal("ResizeObserver", class {
    observe(): void {
      return;
    }
    disconnect(): void {
      return;
    }
  });
});
afterEach(cleanup);

describe("ChatPanel", () => {
  it("names a sender once for messages in a row", () => {
    show({ log: [chat(1), chat(2), chat(3, { sender: "ana", name: "Ana" })], unsent: [] });
    expect(screen.getAllByText("Bo")).toHaveLength(1);
    expect(screen.getAllByText("Ana")).toHaveLength(1);
  });

  it("carries id and status of every message for whoever tests the page", () => {
    show({ log: [chat(1)], unsent: [chat(2, { own: true, status: "pending" })] });
    const found = screen.getAllByTestId("chat-message").map(({ dataset }) => [dataset["messageId"], dataset["status"]]);
    expect(found).toEqual([
      ["1", "sent"],
      ["2", "pending"],
    ]);
  });

  it("offers to send a failed message again, and says why it failed", async () => {
    show({ log: [], unsent: [chat(2, { own: true, status: "failed", note: "too long" })] });
    expect(screen.getByRole("alert").textContent).toContain("too long");
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(handlers.onRetry).toHaveBeenCalledExactlyOnceWith(2);
  });

  it("sends on Enter, trimmed, and empties the field", async () => {
    show({ log: [], unsent: [] });
    const input = screen.getByLabelText<HTMLTextAreaElement>("Message");
    await userEvent.type(input, "  hello {Enter}");
    expect(handlers.onSend).toHaveBeenCalledExactlyOnceWith("hello");
    expect(input.value).toBe("");
  });

  it("starts a new line on Shift and Enter", async () => {
    show({ log: [], unsent: [] });
    await userEvent.type(screen.getByLabelText("Message"), "a{Shift>}{Enter}{/Shift}b");
    expect(handlers.onSend).not.toHaveBeenCalled();
  });

  it("counts characters as the server does and sends nothing that is too long", async () => {
    show({ log: [], unsent: [] });
    await userEvent.click(screen.getByLabelText("Message"));
    await userEvent.paste("👩".repeat(499));
    expect(screen.getByText("1", { exact: false, selector: ".remaining" })).toBeTruthy();
    await userEvent.paste("xyz");
    expect(screen.getByTestId<HTMLButtonElement>("chat-send").disabled).toBe(true);
  });

  it("says that it is reconnecting and lets people hurry it", async () => {
    show({ log: [], unsent: [] }, "reconnecting");
    await userEvent.click(screen.getByRole("button", { name: "Retry now" }));
    expect(handlers.onReconnect).toHaveBeenCalledOnce();
  });

  it("shows notices among the messages, and messages to screen readers as they come", () => {
    const notice = { kind: "notice", key: "n", text: "Bo is live", at: 0, tone: "plain" } as const;
    show({ log: [notice, chat(1)], unsent: [] });
    expect(screen.getByTestId("notice").textContent).toContain("Bo is live");
    expect(screen.getByRole("log").getAttribute("aria-live")).toBe("polite");
  });

  it("lets a moderator act on what others wrote, and nobody else", async () => {
    const onModerate = vi.fn();
    const timeline = { log: [chat(1), chat(2, { own: true })], unsent: [] };
    const panel = (moderator: boolean): ReactNode => (
      <ChatPanel
        timeline={timeline}
        connection="connected"
        {...handlers}
        onModerate={moderator ? onModerate : undefined}
      />
    );
    const { rerender } = render(panel(false));
    expect(screen.queryByTestId("message-menu")).toBeNull();
    rerender(panel(true));
    for (const action of ["message-delete", "message-time-out", "message-ban"]) {
      await userEvent.click(screen.getByTestId("message-menu"));
      await userEvent.click(screen.getByTestId(action));
    }
    expect(onModerate.mock.calls.flat()).toEqual([
      { action: 1, participant: null, offset: 1_000_000, seconds: null },
      { action: 2, participant: "bo", offset: null, seconds: 600 },
      { action: 3, participant: "bo", offset: null, seconds: null },
    ]);
  });

  it("offers to take back what holds against a sender, and to decide anew once a time-out is over", async () => {
    const onModerate = vi.fn();
    const at = Date.now();
    const sanction = (participant: string, kind: "ban" | "time_out", untilMs: number) =>
      [participant, { participant, name: null, kind, untilMs, offset: 1 }] as const;
    const sanctions = new Map([
      sanction("bo", "ban", 0),
      sanction("cy", "time_out", at + 60_000),
      sanction("di", "time_out", at - 1),
    ]);
    const log = [chat(1), chat(2, { sender: "cy" }), chat(3, { sender: "di" })];
    render(
      <ChatPanel
        timeline={{ log, unsent: [] }}
        connection="connected"
        {...handlers}
        onModerate={onModerate}
        sanctions={sanctions}
      />,
    );
    const offered = [];
    for (const menu of screen.getAllByTestId("message-menu")) {
      await userEvent.click(menu);
      const actions = document.getElementById(menu.getAttribute("aria-controls") ?? "");
      offered.push([...(actions?.querySelectorAll("button") ?? [])].map(({ textContent }) => textContent.trim()));
    }
    expect(offered).toEqual([
      ["Delete", "Lift ban"],
      ["Delete", "End time-out", "Ban"],
      ["Delete", "Time out 10 min", "Ban"],
    ]);
    await userEvent.click(screen.getByRole("button", { name: "Lift ban" }));
    expect(onModerate).toHaveBeenCalledExactlyOnceWith({ action: 4, participant: "bo", offset: null, seconds: null });
  });

  it("shows gifts among the messages, and why one was not given", async () => {
    show({ log: [gift(1)], unsent: [gift(2, { own: true, status: "failed", note: "you may not give gifts" })] });
    expect(screen.getAllByTestId("chat-gift").map(({ dataset }) => dataset["status"])).toEqual(["sent", "failed"]);
    expect(screen.getByRole("alert").textContent).toContain("Not given: you may not give gifts");
    await userEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(handlers.onRetry).toHaveBeenCalledExactlyOnceWith(2);
  });

  it("has gifts to give for those who may, and the focus back where it was afterwards", async () => {
    const onGive = vi.fn();
    const timeline = { log: [], unsent: [] };
    const { rerender } = render(<ChatPanel timeline={timeline} connection="connected" {...handlers} />);
    expect(screen.queryByTestId("gift-open")).toBeNull();
    rerender(<ChatPanel timeline={timeline} connection="connected" {...handlers} onGive={onGive} />);
    const open = screen.getByRole("button", { name: "Give a gift" });
    await userEvent.click(open);
    expect(open.getAttribute("aria-expanded")).toBe("true");
    await userEvent.click(screen.getByRole("radio", { name: "Crown" }));
    await userEvent.click(screen.getByTestId("gift-give"));
    expect(onGive).toHaveBeenCalledExactlyOnceWith("crown", 1);
    expect(screen.queryByTestId("gift-picker")).toBeNull();
    expect(document.activeElement).toBe(open);
  });

  it("tells of typing, one's own and others'", async () => {
    const onTyping = vi.fn();
    const timeline = { log: [], unsent: [] };
    const typists = { names: ["Bo", "Cy", "Di"], count: 5 };
    render(<ChatPanel timeline={timeline} connection="connected" {...handlers} typists={typists} onTyping={onTyping} />);
    expect(screen.getByTestId("typing").textContent).toBe("Bo and 4 others are typing…");
    await userEvent.type(screen.getByLabelText("Message"), "a{Backspace}");
    expect(onTyping).toHaveBeenCalledOnce();
  });
});
