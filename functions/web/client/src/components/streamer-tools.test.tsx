// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { SettingsChanged } from "../protocol/messages.ts";
import type { Admission, Settings } from "../room/connection.ts";
import { RefusalScreen, WaitingScreen } from "./door-screens.tsx";
import { KnocksPanel } from "./knocks-panel.tsx";
import { ReactionBar } from "./reaction-bar.tsx";
import { SettingsCard } from "./settings-card.tsx";

beforeEach(() => {
  localStorage.clear();
});
afterEach(cleanup);

const configure = (): ReturnType<typeof vi.fn<(settings: Settings) => Promise<void>>> => vi.fn(() => Promise.resolve());

function settings(change: Partial<SettingsChanged> = {}): SettingsChanged {
  return { type: "settings_changed", title: "Synths", category: "", slowModeS: 0, waitingRoom: false, ...change };
}

describe("KnocksPanel", () => {
  const knocks = { waiting: [{ participant: "bo", name: "Bo" }], count: 3 };

  it("decides about one and about all", async () => {
    const onAdmit = vi.fn<(admission: Admission) => Promise<void>>(() => Promise.resolve());
    render(<KnocksPanel knocks={knocks} onAdmit={onAdmit} />);
    for (const button of ["admit-bo", "reject-bo", "admit-all", "reject-all"]) {
      await userEvent.click(screen.getByTestId(button));
    }
    expect(onAdmit.mock.calls.flat()).toEqual([
      { participant: "bo", accept: true },
      { participant: "bo", accept: false },
      { participant: null, accept: true },
      { participant: null, accept: false },
    ]);
    expect(screen.getByTestId("knocks").textContent).toContain("and 2 more");
  });

  it("says why a decision had no effect, and is not there when nobody waits", async () => {
    const onAdmit = vi.fn(() => Promise.reject(new Error("not now")));
    const { rerender } = render(<KnocksPanel knocks={knocks} onAdmit={onAdmit} />);
    await userEvent.click(screen.getByTestId("admit-bo"));
    expect(screen.getByRole("alert").textContent).toBe("not now");
    rerender(<KnocksPanel knocks={{ waiting: [], count: 0 }} onAdmit={onAdmit} />);
    expect(screen.queryByTestId("knocks")).toBeNull();
  });
});

describe("SettingsCard", () => {
  it("applies the switch at once and fields when they are left, each alone", async () => {
    const onConfigure = configure();
    render(<SettingsCard roomId="r" settings={null} title="Synths" connected onConfigure={onConfigure} />);
    await userEvent.click(screen.getByTestId("setting-waiting-room"));
    await userEvent.clear(screen.getByTestId("setting-slow-mode"));
    await userEvent.type(screen.getByTestId("setting-slow-mode"), "30{Enter}");
    await userEvent.clear(screen.getByTestId("setting-title"));
    await userEvent.type(screen.getByTestId("setting-title"), "Drums{Enter}");
    expect(onConfigure.mock.calls.flat()).toEqual([{ waitingRoom: true }, { slowModeS: 30 }, { title: "Drums" }]);
  });

  it("gives way to what the room log says", async () => {
    const onConfigure = configure();
    const card = (present: SettingsChanged): ReturnType<typeof SettingsCard> => (
      <SettingsCard roomId="r" settings={present} title="Synths" connected onConfigure={onConfigure} />
    );
    const { rerender } = render(card(settings()));
    await userEvent.click(screen.getByTestId("setting-waiting-room"));
    rerender(card(settings({ waitingRoom: false, slowModeS: 5 })));
    expect(screen.getByTestId<HTMLInputElement>("setting-waiting-room").checked).toBe(false);
    expect(screen.getByTestId<HTMLInputElement>("setting-slow-mode").value).toBe("5");
  });

  it("goes back and says why when the server refuses", async () => {
    const onConfigure = vi.fn(() => Promise.reject(new Error("you may not")));
    render(<SettingsCard roomId="r" settings={settings()} title="Synths" connected onConfigure={onConfigure} />);
    await userEvent.click(screen.getByTestId("setting-waiting-room"));
    expect(screen.getByRole("alert").textContent).toBe("you may not");
    expect(screen.getByTestId<HTMLInputElement>("setting-waiting-room").checked).toBe(false);
  });
});

describe("SettingsCard, of what the server does not tell", () => {
  const card = (onConfigure: (settings: Settings) => Promise<void>): ReturnType<typeof SettingsCard> => (
    <SettingsCard
      roomId="r"
      settings={settings({ waitingRoom: true })}
      title="Synths"
      connected
      onConfigure={onConfigure}
    />
  );
  const terms = (): (string | null)[] => screen.queryAllByTestId("blocked-term").map(({ textContent }) => textContent);

  it("sends the category when its field is left, also an empty one", async () => {
    const onConfigure = configure();
    const inCategory = (category: string): ReturnType<typeof SettingsCard> => (
      <SettingsCard roomId="r" settings={settings({ category })} title="Synths" connected onConfigure={onConfigure} />
    );
    const { rerender } = render(inCategory(""));
    await userEvent.type(screen.getByLabelText("Category"), " Music {Enter}");
    rerender(inCategory("Music"));
    await userEvent.clear(screen.getByLabelText("Category"));
    await userEvent.tab();
    expect(onConfigure.mock.calls.flat()).toEqual([{ category: "Music" }, { category: "" }]);
  });

  it("has a way to let people in by itself only with a waiting room, and knows it at the next visit", async () => {
    const onConfigure = configure();
    render(card(onConfigure));
    await userEvent.click(screen.getByRole("switch", { name: /Let in by itself/ }));
    expect(onConfigure).toHaveBeenCalledExactlyOnceWith({ autoAccept: true });
    cleanup();
    render(card(onConfigure));
    expect(screen.getByTestId<HTMLInputElement>("setting-auto-accept").checked).toBe(true);
    cleanup();
    render(<SettingsCard roomId="r" settings={settings()} title="" connected onConfigure={onConfigure} />);
    expect(screen.queryByTestId("setting-auto-accept")).toBeNull();
  });

  it("blocks words, several at once and each once, allows them again and knows them at the next visit", async () => {
    const onConfigure = configure();
    render(card(onConfigure));
    await userEvent.type(screen.getByLabelText("Blocked words"), "spoiler,  the   end ,SPOILER{Enter}");
    await userEvent.type(screen.getByLabelText("Blocked words"), "spoiler{Enter}");
    await userEvent.click(screen.getByRole("button", { name: "Allow “spoiler” again" }));
    expect(onConfigure.mock.calls.flat()).toEqual([
      { blockedTerms: ["spoiler", "the end"] },
      { blockedTerms: ["the end"] },
    ]);
    expect(document.activeElement).toBe(screen.getByLabelText("Blocked words"));
    cleanup();
    render(card(onConfigure));
    expect(terms()).toEqual(["the end"]);
  });

  it("goes back and says why when the server refuses, and sends nothing that it would refuse", async () => {
    const onConfigure = vi.fn(() => Promise.reject(new Error("too fast")));
    render(card(onConfigure));
    await userEvent.type(screen.getByLabelText("Blocked words"), "spoiler{Enter}");
    expect(screen.getByRole("alert").textContent).toBe("too fast");
    expect(terms()).toEqual([]);
    expect(onConfigure).toHaveBeenCalledOnce();
    await userEvent.type(screen.getByLabelText("Blocked words"), `${"x".repeat(65)}{Enter}`);
    expect(screen.getByText("At most 64 characters each.")).toBeTruthy();
    expect(onConfigure).toHaveBeenCalledOnce();
  });
});

describe("what one sees and does at the door and in the crowd", () => {
  it("tells one's place in the line", () => {
    render(<WaitingScreen title="Synths" position={3} />);
    expect(screen.getByTestId("waiting-screen").textContent).toContain("You are number 3");
  });

  it("offers to take the room back from another tab", async () => {
    const onTakeOver = vi.fn();
    render(<RefusalScreen refusal="displaced" onTakeOver={onTakeOver} />);
    await userEvent.click(screen.getByRole("button", { name: "Use this tab instead" }));
    expect(screen.getByTestId("displaced")).toBeTruthy();
    expect(onTakeOver).toHaveBeenCalledOnce();
  });

  it("has five reactions by name and shows those of others", async () => {
    const onReact = vi.fn();
    render(<ReactionBar floating={[{ id: 1, reaction: "🎉" }]} connected onReact={onReact} />);
    expect(screen.getAllByRole("button")).toHaveLength(5);
    await userEvent.click(screen.getByRole("button", { name: "Fire" }));
    expect(onReact).toHaveBeenCalledExactlyOnceWith("🔥");
    expect(screen.getByTestId("reactions").textContent).toBe("🎉");
  });
});
