/** The gifts' pictures, drawn like the icons and in their own colours: a machine need not have a font for them. */
import type { ReactNode } from "react";

interface Picture {
  readonly colour: string;
  readonly path: string;
}

const WRAPPED: Picture = {
  colour: "gold",
  path: "M4 11h16v9H4zM3 7.5h18V11H3zM12 7.5V20M12 7.5C9 7.5 7 6.6 7 5.2 7 3.9 8 3.5 8.8 3.5 10.6 3.5 12 5.5 12 7.5zM12 7.5c3 0 5-.9 5-2.3 0-1.3-1-1.7-1.8-1.7C13.4 3.5 12 5.5 12 7.5z",
};

const PICTURES: ReadonlyMap<string, Picture> = new Map([
  [
    "rose",
    {
      colour: "red",
      path: "M12 13.5c-3 0-5-2-5-5V4.5c2 0 3 .8 3.4 1.6C10.8 4.5 12 3 12 3s1.2 1.5 1.6 3.1C14 5.3 15 4.5 17 4.5v4c0 3-2 5-5 5zM12 13.5V21M12 19c0-2 1.5-3.5 4.5-3.5 0 2.5-1.5 3.5-4.5 3.5z",
    },
  ],
  ["heart", { colour: "pink", path: "M12 20S3.5 15 3.5 9.2A4.5 4.5 0 0 1 12 7a4.5 4.5 0 0 1 8.5 2.2C20.5 15 12 20 12 20z" }],
  ["coffee", { colour: "brown", path: "M4 10h12v5a5 5 0 0 1-5 5H9a5 5 0 0 1-5-5zM16 11.5h1.5a2.5 2.5 0 0 1 0 5H16M8 3.5c-1 1.2 1 2.3 0 3.5M12 3.5c-1 1.2 1 2.3 0 3.5" }],
  ["cake", { colour: "pink", path: "M4 20v-7h16v7zM4 16.2c1.3 1.3 2.700 1.3 4 0 1.3 1.3 2.700 1.3 4 0 1.3 1.3 2.700 1.3 4 0 1.3 1.3 2.700 1.3 4 0M8 13V9.5M12 13V9.5M16 13V9.5M8 6.2v.1M12 6.2v.1M16 6.2v.1" }],
  ["star", { colour: "gold", path: "M12 3.5l2.6 5.400 5.900.8-4.3 4.1 1 5.900L12 16.900l-5.2 2.800 1-5.900L3.5 9.700l5.900-.8z" }],
  ["rocket", { colour: "blue", path: "M9 15c0-6 2-10 7.5-12 1.5 0 2.5 0 3.5.5.5 1 .5 2 .5 3.5-2 5.5-6 7.5-11.5 8zM9.3 9.5H6L3.5 13l5.5.5M14.5 14.700V18L11 20.5l-.5-5.5M15.5 8.5v.1M6.5 17.5L4 20" }],
  ["diamond", { colour: "ice", path: "M7 4h10l4 5.5L12 20.5 3 9.5zM3 9.5h18M12 4L8.5 9.5 12 20.5 15.5 9.5z" }],
  ["crown", { colour: "gold", path: "M4 18.5h16M4 15.5L3 7l5 3.5L12 4.5l4 6L21 7l-1 8.5z" }],
]);

export function GiftPicture({ gift }: { readonly gift: string }): ReactNode {
  const { colour, path } = PICTURES.get(gift) ?? WRAPPED;
  return (
    <svg className={`icon gift-picture ${colour}`} viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={path} />
    </svg>
  );
}
