// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { giftCalled, GIFTS, MAX_GIFT_QUANTITY } from "../room/gifts.ts";
import { GiftPicker } from "./gift-picker.tsx";

const onGive = vi.fn();
const onClose = vi.fn();

beforeEach(() => {
  vi.clearAllMocks();
  // jsdom has none, and arrow keys look for the other radio buttons with it.
  vi.stubGlobal("CSS", { escape: (name: string) => name });
  render(<GiftPicker id="picker" onGive={onGive} onClose={onClose} />);
});
afterEach(cleanup);

describe("GiftPicker", () => {
  it("is there for the keyboard: the first gift has the focus, arrows choose, Enter gives", async () => {
    expect(document.activeElement).toBe(screen.getByRole("radio", { name: "Rose" }));
    await userEvent.keyboard("{ArrowRight}");
    await userEvent.click(screen.getByRole("button", { name: "One more" }));
    await userEvent.type(screen.getByTestId("gift-quantity"), "{Enter}");
    expect(onGive).toHaveBeenCalledExactlyOnceWith("heart", 2);
  });

  it.each(["", "0", "1001", "2.5", "-3", "many"])("gives nothing when %j is asked for", async (typed) => {
    const quantity = screen.getByTestId("gift-quantity");
    await userEvent.clear(quantity);
    await userEvent.type(quantity, `${typed}{Enter}`);
    expect(screen.getByTestId<HTMLButtonElement>("gift-give").disabled).toBe(true);
    expect(quantity.getAttribute("aria-invalid")).toBe("true");
    expect(onGive).not.toHaveBeenCalled();
  });

  it("gives as many as the protocol allows, and no more", async () => {
    const quantity = screen.getByTestId("gift-quantity");
    await userEvent.clear(quantity);
    await userEvent.type(quantity, String(MAX_GIFT_QUANTITY));
    expect(screen.getByRole<HTMLButtonElement>("button", { name: "One more" }).disabled).toBe(true);
    await userEvent.click(screen.getByTestId("gift-give"));
    expect(onGive).toHaveBeenCalledExactlyOnceWith("rose", MAX_GIFT_QUANTITY);
  });

  it("closes on Escape", async () => {
    await userEvent.keyboard("{Escape}");
    expect(onClose).toHaveBeenCalledOnce();
  });
});

describe("gifts", () => {
  it("have names that the protocol allows", () => {
    expect(GIFTS.filter(({ name }) => !/^[a-z0-9_-]{1,32}$/.test(name))).toEqual([]);
  });

  it("of another client are named as well as can be", () => {
    expect(giftCalled("gold-bar_2").label).toBe("Gold bar 2");
    expect(giftCalled("__").label).toBe("Gift");
  });
});
