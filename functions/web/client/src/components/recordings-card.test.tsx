// @vitest-environment jsdom
import { act, cleanup, render, screen, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, describe, expect, it, vi } from "vitest";

import type { Recording, Recordings } from "../api/recordings.ts";
import { lengthOf, sizeOf } from "./recording-text.ts";
import { RecordingsCard } from "./recordings-card.tsx";

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

function recording(id: string, change: Partial<Recording> = {}): Recording {
  return {
    id,
    state: "ready",
    started_at: "2026-11-24T12:00:00Z",
    ended_at: "2026-11-24T12:01:05Z",
    end: "asked",
    duration_s: 65.2,
    bytes: 12_345_678,
    media_type: "video/webm",
    codecs: ["vp8", "opus"],
    ...change,
  };
}

/** A server with these recordings. */
class FakeRecordings implements Recordings {
  kept: readonly Recording[];
  readonly asked: string[] = [];
  refusal: Error | null = null;

  constructor(...kept: Recording[]) {
    this.kept = kept;
  }

  list(): Promise<readonly Recording[]> {
    return Promise.resolve(this.kept);
  }

  start(): Promise<Recording> {
    if (this.refusal !== null) return Promise.reject(this.refusal);
    const begun = recording("new", { state: "recording", end: "", ended_at: null, duration_s: 0, bytes: 0 });
    this.kept = [...this.kept, begun];
    return Promise.resolve(begun);
  }

  stop(): Promise<Recording> {
    this.kept = this.kept.map((known) => ({ ...known, state: "ready" as const }));
    return Promise.resolve(recording("new"));
  }

  remove(id: string): Promise<void> {
    if (this.refusal !== null) return Promise.reject(this.refusal);
    this.kept = this.kept.filter((known) => known.id !== id);
    return Promise.resolve();
  }

  link(id: string, download: boolean): Promise<string> {
    this.asked.push(`${id} ${download ? "download" : "play"}`);
    return this.refusal === null ? Promise.resolve(`/file/${id}`) : Promise.reject(this.refusal);
  }
}

const rows = (): Promise<HTMLElement[]> => screen.findAllByTestId("recording");
const stateTexts = (): (string | null)[] => screen.getAllByTestId("recording-state").map((state) => state.textContent);

describe("RecordingsCard", () => {
  it("lists the newest first with state, length and size", async () => {
    const older = recording("a");
    const newer = recording("b", { state: "uploading", duration_s: 3_723, bytes: 999 });
    render(<RecordingsCard recordings={new FakeRecordings(older, newer)} live />);
    const [first, second] = await rows();
    expect(first?.textContent).toContain("Uploading · 1:02:03 · 999 B");
    expect(second?.textContent).toContain("Ready · 1:05 · 12.3 MB");
  });

  it("starts and stops, and offers a start only while there is a stream", async () => {
    const server = new FakeRecordings();
    const { rerender } = render(<RecordingsCard recordings={server} live={false} />);
    await screen.findByText(/Go live, then start a recording/);
    expect(screen.getByTestId<HTMLButtonElement>("record").disabled).toBe(true);
    rerender(<RecordingsCard recordings={server} live />);
    await userEvent.click(screen.getByRole("button", { name: "Start recording" }));
    expect(await screen.findByRole("timer")).toBeTruthy();
    expect(stateTexts()).toEqual(["Recording"]);
    expect(screen.getByTestId<HTMLButtonElement>("recording-delete").disabled).toBe(true);
    expect(screen.getByTestId<HTMLButtonElement>("recording-play").disabled).toBe(true);
    await userEvent.click(screen.getByRole("button", { name: "Stop recording" }));
    expect(await screen.findByRole("button", { name: "Start recording" })).toBeTruthy();
    expect(screen.queryByRole("timer")).toBeNull();
  });

  it("says why nothing is recorded, and goes on saying it when the list is looked at again", async () => {
    const server = new FakeRecordings();
    server.refusal = new Error("the room has 100 recordings: delete some");
    render(<RecordingsCard recordings={server} live />);
    await screen.findByText(/Nothing is recorded yet/);
    await userEvent.click(screen.getByTestId("record"));
    expect((await screen.findByRole("alert")).textContent).toContain("delete some");
  });

  it("plays one at a time, by an address that is asked for then", async () => {
    const server = new FakeRecordings(recording("a"), recording("b"));
    render(<RecordingsCard recordings={server} live />);
    const [first, second] = await rows();
    if (first === undefined || second === undefined) throw new Error("two rows");
    await userEvent.click(within(first).getByTestId("recording-play"));
    expect((await screen.findByTestId("recording-video")).getAttribute("src")).toBe("/file/b");
    await userEvent.click(within(second).getByTestId("recording-play"));
    expect((await within(second).findByTestId("recording-video")).getAttribute("src")).toBe("/file/a");
    expect(screen.getAllByTestId("recording-video")).toHaveLength(1);
    await userEvent.click(within(second).getByRole("button", { name: /^Close the recording/ }));
    expect(screen.queryByTestId("recording-video")).toBeNull();
    expect(server.asked).toEqual(["b play", "a play"]);
  });

  it("deletes after a second question only, and leaves the focus in the card", async () => {
    const server = new FakeRecordings(recording("a"));
    render(<RecordingsCard recordings={server} live />);
    await rows();
    const bin = screen.getByTestId("recording-delete");
    await userEvent.click(bin);
    expect(document.activeElement?.textContent).toBe("Keep it");
    await userEvent.keyboard("{Escape}");
    expect(screen.queryByTestId("recording-delete-confirm")).toBeNull();
    expect(document.activeElement).toBe(bin);
    await userEvent.click(bin);
    await userEvent.click(screen.getByTestId("recording-delete-confirm"));
    expect(await screen.findByText("Nothing is recorded yet.")).toBeTruthy();
    expect(document.activeElement).toBe(screen.getByRole("heading", { name: "Recordings" }));
  });

  it("keeps what could not be deleted and says why", async () => {
    const server = new FakeRecordings(recording("a"));
    render(<RecordingsCard recordings={server} live />);
    await rows();
    server.refusal = new Error("the object store cannot be used");
    await userEvent.click(screen.getByTestId("recording-delete"));
    await userEvent.click(screen.getByTestId("recording-delete-confirm"));
    expect((await screen.findByRole("alert")).textContent).toBe("the object store cannot be used");
    expect(await rows()).toHaveLength(1);
  });

  it("says what is wrong with a recording, and offers nothing that cannot be done", async () => {
    const lost = recording("a", { state: "lost" });
    const cut = recording("b", { end: "interrupted" });
    render(<RecordingsCard recordings={new FakeRecordings(lost, cut)} live />);
    const [first, second] = await rows();
    expect(first?.textContent).toContain("Cut off by a fault");
    expect(second?.textContent).toContain("The server that has it is away");
    if (second === undefined) throw new Error("two rows");
    expect(within(second).getByTestId<HTMLButtonElement>("recording-download").disabled).toBe(true);
    expect(within(second).getByTestId<HTMLButtonElement>("recording-delete").disabled).toBe(false);
  });

  it("downloads by an address that says so", async () => {
    const clicked = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => undefined);
    const server = new FakeRecordings(recording("a"));
    render(<RecordingsCard recordings={server} live />);
    await rows();
    await userEvent.click(screen.getByTestId("recording-download"));
    expect(server.asked).toEqual(["a download"]);
    expect(clicked).toHaveBeenCalledOnce();
  });

  it("looks again by itself while something goes on", async () => {
    vi.useFakeTimers();
    const server = new FakeRecordings(recording("a", { state: "uploading" }));
    render(<RecordingsCard recordings={server} live />);
    await act(() => vi.advanceTimersByTimeAsync(10));
    expect(stateTexts()).toEqual(["Uploading"]);
    server.kept = [recording("a")];
    await act(() => vi.advanceTimersByTimeAsync(2_100));
    expect(stateTexts()).toEqual(["Ready"]);
  });
});

describe("the words for a recording", () => {
  it("tells lengths and sizes as people read them", () => {
    expect([0, 59.9, 60, 3_600, 36_061].map(lengthOf)).toEqual(["0:00", "0:59", "1:00", "1:00:00", "10:01:01"]);
    expect([0, 999, 1_000, 99_949, 99_950, 999_600, 5e9].map(sizeOf)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "99.9 kB",
      "100 kB",
      "1.0 MB",
      "5.0 GB",
    ]);
  });
});
