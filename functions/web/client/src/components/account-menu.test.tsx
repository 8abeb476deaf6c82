// @vitest-environment jsdom
import { cleanup, render, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { ApiClient } from "../api/client.ts";
import { ApiError } from "../api/problem.ts";
import { AccountMenu } from "./account-menu.tsx";

let api: ApiClient;

beforeEach(() => {
  localStorage.clear();
  // jsdom knows dialogs as elements only.
  HTMLDialogElement.prototype.showModal = function (): void {
    this.open = true;
  };
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(account: boolean): void {
  if (account) localStorage.setItem("headrace.identity", JSON.stringify({ id: "p1", name: "Ana", account: true }));
  api = new ApiClient();
  render(<AccountMenu api={api} />);
}

describe("AccountMenu", () => {
  it("signs in, and says why not", async () => {
    show(false);
    const signIn = vi
      .spyOn(api.person, "signIn")
      .mockRejectedValueOnce(new ApiError(401, "wrong_credentials", "They do not match."))
      .mockResolvedValueOnce();
    await userEvent.click(screen.getByTestId("sign-in"));
    await userEvent.type(screen.getByLabelText("User name"), "ana");
    await userEvent.type(screen.getByLabelText("Password"), "three synths");
    await userEvent.click(screen.getByTestId("submit-account"));
    expect(screen.getByRole("alert").textContent).toBe("They do not match.");
    await userEvent.click(screen.getByTestId("submit-account"));
    expect(signIn).toHaveBeenLastCalledWith("ana", "three synths");
    expect(screen.queryByTestId("sign-in-dialog")).toBeNull();
  });

  it("checks a new account before it asks, and goes by the user name where no other was given", async () => {
    show(false);
    const register = vi.spyOn(api.person, "register").mockResolvedValue();
    await userEvent.click(screen.getByTestId("sign-in"));
    await userEvent.click(screen.getByTestId("other-way"));
    const submit = screen.getByTestId("submit-account");
    await userEvent.click(submit);
    expect(screen.getByRole("alert").textContent).toContain("Enter your user name");
    await userEvent.type(screen.getByLabelText("User name"), "a b");
    await userEvent.type(screen.getByLabelText("Password"), "short");
    await userEvent.click(submit);
    expect(screen.getByRole("alert").textContent).toContain("3 to 32 letters");
    await userEvent.clear(screen.getByLabelText("User name"));
    await userEvent.type(screen.getByLabelText("User name"), "ana");
    await userEvent.click(submit);
    expect(screen.getByRole("alert").textContent).toContain("at least 10");
    expect(register).not.toHaveBeenCalled();
    await userEvent.type(screen.getByLabelText("Password"), " and longer");
    await userEvent.click(submit);
    expect(register).toHaveBeenCalledExactlyOnceWith("ana", "short and longer", "ana");
  });

  it("shows who is signed in, changes their name and signs them out", async () => {
    show(true);
    vi.spyOn(api.person, "account").mockResolvedValue({ id: "p1", username: "ana", name: "Ana", about: "" });
    const change = vi.spyOn(api.person, "changeProfile").mockResolvedValue();
    const signOut = vi.spyOn(api.person, "signOut").mockResolvedValue();
    await userEvent.click(screen.getByTestId("account"));
    await userEvent.click(screen.getByTestId("open-profile"));
    await userEvent.type(await screen.findByLabelText("Name that others see"), " L.");
    await userEvent.click(screen.getByTestId("save-profile"));
    expect(change).toHaveBeenCalledExactlyOnceWith({ name: "Ana L.", about: "" });
    expect(screen.queryByTestId("profile-dialog")).toBeNull();
    await userEvent.click(screen.getByTestId("account"));
    await userEvent.click(screen.getByTestId("sign-out"));
    expect(signOut).toHaveBeenCalledExactlyOnceWith();
  });
});
