// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";

import { QualityReason, type QualityNotice } from "../protocol/messages.ts";
import { AUTO, type Wish } from "../room/wishes.ts";
import { QualityMenu } from "./quality-menu.tsx";

const QUALITY: QualityNotice = {
  kind: "quality_notice",
  session: "v1",
  layer: "h",
  height: 360,
  why: QualityReason.viewport,
  layers: [
    { name: "q", height: 180, bitrateKbps: 150 },
    { name: "h", height: 360, bitrateKbps: 600 },
    { name: "f", height: 720, bitrateKbps: 2500 },
  ],
};

function show(wish: Wish = AUTO, quality: QualityNotice | null = QUALITY) {
  const onChoose = vi.fn<(wish: Wish) => void>();
  render(<QualityMenu wish={wish} quality={quality} onChoose={onChoose} />);
  return { onChoose, user: userEvent.setup(), button: screen.getByTestId("quality") };
}

const items = (): string[] => screen.getAllByRole("menuitemradio").map(({ textContent }) => textContent);

afterEach(cleanup);

describe("QualityMenu", () => {
  it("names what was chosen and what is played, and offers the layers from the best one down", async () => {
    const { user, button } = show();
    expect(button.getAttribute("aria-label")).toBe("Quality: Auto, now 360p");
    await user.click(button);
    expect(items()).toEqual(["Auto360p", "720p2.5 Mbit/s", "360p600 kbit/s", "180p150 kbit/s", "Audio only"]);
    expect(screen.getByRole("menuitemradio", { checked: true }).textContent).toBe("Auto360p");
    expect(screen.getByText("Enough for the size of your player.")).toBeTruthy();
  });

  it("is worked by keyboard: open, move around the end, choose, and be back at the button", async () => {
    const { user, button, onChoose } = show();
    button.focus();
    await user.keyboard("{ArrowDown}");
    expect(document.activeElement).toBe(screen.getByTestId("quality-auto"));
    await user.keyboard("{ArrowUp}{ArrowUp}");
    expect(document.activeElement).toBe(screen.getByTestId("quality-q"));
    await user.keyboard("{Home}{End}");
    expect(document.activeElement).toBe(screen.getByTestId("quality-audioOnly"));
    await user.keyboard("{ArrowDown}{ArrowDown}{Enter}");
    expect(onChoose).toHaveBeenCalledExactlyOnceWith({ kind: "layer", layer: "f" });
    expect(screen.queryByRole("menu")).toBeNull();
    expect(document.activeElement).toBe(button);
  });

  it("closes without a choice on Escape, on Tab and on a press elsewhere", async () => {
    const { user, button, onChoose } = show();
    await user.click(button);
    await user.keyboard("{Escape}");
    expect(document.activeElement).toBe(button);
    for (const leave of [() => user.keyboard("{Tab}"), () => user.click(document.body)]) {
      await user.click(button);
      expect(screen.queryByRole("menu")).not.toBeNull();
      await leave();
      expect(screen.queryByRole("menu")).toBeNull();
    }
    expect(onChoose).not.toHaveBeenCalled();
  });

  it("offers no layers where there is one, and none before anything is known", async () => {
    const { user, button } = show(AUTO, { ...QUALITY, layers: QUALITY.layers.slice(0, 1) });
    await user.click(button);
    expect(items()).toEqual(["Auto360p", "Audio only"]);
    cleanup();
    const second = show(AUTO, null);
    expect(second.button.getAttribute("aria-label")).toBe("Quality: Auto");
    await second.user.click(second.button);
    expect(items()).toEqual(["Auto", "Audio only"]);
  });

  it("still shows a chosen layer that is not sent just now", async () => {
    const { user, button } = show({ kind: "layer", layer: "x" });
    await user.click(button);
    expect(screen.getByRole("menuitemradio", { checked: true }).textContent).toBe("Layer xnot sent now");
  });
});
