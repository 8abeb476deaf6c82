import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode } from "react";

import type { QualityNotice } from "../protocol/messages.ts";
import {
  AUDIO_ONLY,
  AUTO,
  bitrateLabel,
  layerLabel,
  presentLabel,
  whyNotMore,
  type Wish,
} from "../room/wishes.ts";
import { Icon } from "./icons.tsx";

interface QualityMenuProps {
  readonly wish: Wish;
  readonly quality: QualityNotice | null;
  readonly onChoose: (wish: Wish) => void;
}

interface Choice {
  readonly id: string;
  readonly wish: Wish;
  readonly label: string;
  readonly detail: string | null;
}

/** What to watch: by itself, a layer at most, or the sound alone. A menu button as WAI-ARIA describes it. */
export function QualityMenu({ wish, quality, onChoose }: QualityMenuProps): ReactNode {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();
  const present = presentLabel(quality);
  const choices = choicesOf(wish, quality);
  const checked = wish.kind === "layer" ? wish.layer : wish.kind;
  const why = whyNotMore(wish, quality);

  useEffect(() => {
    if (!open) return;
    menu.current?.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
    const onPress = (event: PointerEvent): void => {
      if (event.target instanceof Node && root.current?.contains(event.target) !== true) setOpen(false);
    };
    document.addEventListener("pointerdown", onPress);
    return () => {
      document.removeEventListener("pointerdown", onPress);
    };
  }, [open]);

  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const items = [...(menu.current?.querySelectorAll<HTMLElement>('[role="menuitemradio"]') ?? [])];
    const at = items.findIndex((item) => item === document.activeElement);
    const next = steps(event.key, at, items.length);
    if (event.key === "Tab") setOpen(false);
    if (event.key === "Escape") close();
    if (event.key === "Escape" || next !== null) event.preventDefault();
    if (next !== null) items[next]?.focus();
  };

  return (
    <div className="quality" ref={root}>
      <button
        ref={button}
        type="button"
        className="icon-button quality-toggle"
        data-testid="quality"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={`Quality: ${chosenLabel(wish, choices)}${present === null ? "" : `, now ${present}`}`}
        onClick={() => {
          setOpen(!open);
        }}
        onKeyDown={(event) => {
          if (open || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        <Icon name="sliders" />
        {present !== null && <span>{present === "audio only" ? "Audio" : present}</span>}
      </button>
      {open && (
        <div
          id={id}
          ref={menu}
          className="quality-menu"
          role="menu"
          aria-label="Quality"
          data-testid="quality-menu"
          onKeyDown={onKeyDown}
        >
          {choices.map((choice) => (
            <button
              key={choice.id}
              type="button"
              role="menuitemradio"
              aria-checked={choice.id === checked}
              tabIndex={-1}
              data-testid={`quality-${choice.id}`}
              onClick={() => {
                onChoose(choice.wish);
                close();
              }}
            >
              <span className="quality-check" aria-hidden="true">
                {choice.id === checked && <Icon name="check" />}
              </span>
              <span>{choice.label}</span>
              {choice.detail !== null && <small>{choice.detail}</small>}
            </button>
          ))}
          {why !== null && <p className="quality-why">{why}</p>}
        </div>
      )}
    </div>
  );
}

/** Which item a key leads to, or null. */
function steps(key: string, at: number, count: number): number | null {
  switch (key) {
    case "ArrowDown":
      return (at + 1) % count;
    case "ArrowUp":
      return (at - 1 + count) % count;
    case "Home":
      return 0;
    case "End":
      return count - 1;
    default:
      return null;
  }
}

/** By itself, the layers from the best one down where there are several, the sound. */
function choicesOf(wish: Wish, quality: QualityNotice | null): readonly Choice[] {
  const layers = quality?.layers ?? [];
  const present = wish.kind === "auto" ? presentLabel(quality) : null;
  const chosenIsGone = wish.kind === "layer" && layers.every(({ name }) => name !== wish.layer);
  return [
    { id: "auto", wish: AUTO, label: "Auto", detail: present },
    ...(layers.length > 1
      ? [...layers].reverse().map((layer) => ({
          id: layer.name,
          wish: { kind: "layer", layer: layer.name } as const,
          label: layerLabel(layer),
          detail: bitrateLabel(layer.bitrateKbps),
        }))
      : []),
    // A layer that the streamer does not send just now is still what was chosen.
    ...(chosenIsGone ? [{ id: wish.layer, wish, label: `Layer ${wish.layer}`, detail: "not sent now" }] : []),
    { id: "audioOnly", wish: AUDIO_ONLY, label: "Audio only", detail: null },
  ];
}

function chosenLabel(wish: Wish, choices: readonly Choice[]): string {
  const id = wish.kind === "layer" ? wish.layer : wish.kind;
  return choices.find((choice) => choice.id === id)?.label ?? "Auto";
}
