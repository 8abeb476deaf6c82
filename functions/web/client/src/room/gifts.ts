/** The gifts that this client offers. The protocol allows any name of a–z, 0–9, `_` and `-`, so others may come in. */

export interface Gift {
  /** As the protocol has it. */
  readonly name: string;
  readonly label: string;
}

export const GIFTS = [
  { name: "rose", label: "Rose" },
  { name: "heart", label: "Heart" },
  { name: "coffee", label: "Coffee" },
  { name: "cake", label: "Cake" },
  { name: "star", label: "Star" },
  { name: "rocket", label: "Rocket" },
  { name: "diamond", label: "Diamond" },
  { name: "crown", label: "Crown" },
] as const satisfies readonly Gift[];

export const MAX_GIFT_QUANTITY = 1_000;

/** A gift by its name, also one that this client does not offer itself. */
export function giftCalled(name: string): Gift {
  const known = GIFTS.find((gift) => gift.name === name);
  if (known !== undefined) return known;
  const words = name.replace(/[_-]+/g, " ").trim();
  return { name, label: words === "" ? "Gift" : words.charAt(0).toUpperCase() + words.slice(1) };
}
