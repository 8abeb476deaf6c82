import { useEffect, useId, useRef, useState, type KeyboardEvent, type ReactNode, type SyntheticEvent } from "react";

import { giftCalled, GIFTS, MAX_GIFT_QUANTITY } from "../room/gifts.ts";
import { GiftPicture } from "./gift-picture.tsx";

interface GiftPickerProps {
  readonly id: string;
  readonly onGive: (gift: string, quantity: number) => void;
  readonly onClose: () => void;
}

/** Which gift and how many: opened above the message field, so that what people say stays in sight. */
export function GiftPicker({ id, onGive, onClose }: GiftPickerProps): ReactNode {
  const [chosen, setChosen] = useState<string>(GIFTS[0].name);
  const [typed, setTyped] = useState("1");
  const first = useRef<HTMLInputElement>(null);
  const quantityId = useId();
  const quantity = /^\d+$/.test(typed.trim()) ? Number(typed) : 0;
  const valid = quantity >= 1 && quantity <= MAX_GIFT_QUANTITY;

  useEffect(() => {
    first.current?.focus();
  }, []);

  const step = (by: number): void => {
    setTyped(String(Math.min(Math.max(quantity + by, 1), MAX_GIFT_QUANTITY)));
  };
  const onSubmit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (valid) onGive(chosen, quantity);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    onClose();
  };

  return (
    <form
      id={id}
      className="gift-picker"
      aria-label="Give a gift"
      data-testid="gift-picker"
      onSubmit={onSubmit}
      onKeyDown={onKeyDown}
    >
      <fieldset className="gifts">
        <legend className="visually-hidden">Gift</legend>
        {GIFTS.map(({ name, label }, index) => (
          <label key={name} className="gift-choice" data-testid={`gift-${name}`}>
            <input
              ref={index === 0 ? first : null}
              className="visually-hidden"
              type="radio"
              name={`${id}-gift`}
              value={name}
              checked={chosen === name}
              onChange={() => {
                setChosen(name);
              }}
            />
            <GiftPicture gift={name} />
            {label}
          </label>
        ))}
      </fieldset>
      <div className="gift-order">
        <label className="visually-hidden" htmlFor={quantityId}>
          How many, 1 to {MAX_GIFT_QUANTITY}
        </label>
        <span className="stepper">
          <button
            type="button"
            aria-label="One less"
            disabled={quantity <= 1}
            onClick={() => {
              step(-1);
            }}
          >
            −
          </button>
          <input
            id={quantityId}
            data-testid="gift-quantity"
            type="text"
            inputMode="numeric"
            autoComplete="off"
            maxLength={4}
            aria-invalid={!valid}
            value={typed}
            onChange={(event) => {
              setTyped(event.target.value);
            }}
          />
          <button
            type="button"
            aria-label="One more"
            disabled={quantity >= MAX_GIFT_QUANTITY}
            onClick={() => {
              step(1);
            }}
          >
            +
          </button>
        </span>
        <button type="submit" className="button primary give" data-testid="gift-give" disabled={!valid}>
          {valid ? `Give ${quantity === 1 ? "" : `${quantity} × `}${giftCalled(chosen).label}` : "1 to 1,000"}
        </button>
      </div>
    </form>
  );
}
