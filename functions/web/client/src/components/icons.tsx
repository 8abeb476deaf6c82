/** The interface's icons, drawn on one 24 × 24 grid with one stroke. Decorative: the control that holds one names itself. */
import type { ReactNode } from "react";

const PATHS = {
  camera: "M3 7.5A1.5 1.5 0 0 1 4.5 6h9A1.5 1.5 0 0 1 15 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16.5zM15 10.5l6-3.5v10l-6-3.5",
  cameraOff: "M3 3l18 18M15 13.5l6 3.5V7l-6 3.5M10 6h3.5A1.5 1.5 0 0 1 15 7.5V11M15 15v1.5a1.5 1.5 0 0 1-1.5 1.5h-9A1.5 1.5 0 0 1 3 16.5v-9A1.5 1.5 0 0 1 4.5 6H6",
  microphone: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  microphoneOff: "M3 3l18 18M9 9v2a3 3 0 0 0 4.7 2.5M15 11V6a3 3 0 0 0-5.8-1M5.5 11a6.5 6.5 0 0 0 10.5 5.1M18.5 11a6.5 6.5 0 0 1-.5 2.5M12 17.5V21",
  volume: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4 4 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11",
  volumeOff: "M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5",
  expand: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 9.2a2.8 2.8 0 1 1 0 5.6 2.8 2.8 0 0 1 0-5.6z",
  copy: "M9 9h10v11H9zM15 9V4H5v11h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  send: "M4 12l16-8-6 16-3-6.5z",
  down: "M12 5v14M6 13l6 6 6-6",
  warning: "M12 4l9.5 16h-19zM12 10v4.5M12 17.2v.1",
  more: "M5 12v.1M12 12v.1M19 12v.1",
  gift: "M4 11h16v9H4zM3 7.5h18V11H3zM12 7.5V20M12 7.5C9 7.5 7 6.6 7 5.2 7 3.9 8 3.5 8.8 3.5 10.6 3.5 12 5.5 12 7.5zM12 7.5c3 0 5-.9 5-2.3 0-1.3-1-1.7-1.8-1.7C13.4 3.5 12 5.5 12 7.5z",
  close: "M6 6l12 12M18 6L6 18",
  sliders: "M4 7.5h9M19 7.5h1M4 16.5h1M11 16.5h9M16 5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5zM8 14a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  refresh: "M19.5 12a7.5 7.5 0 1 1-2.2-5.3L20 9.4M20 4v5.4h-5.4",
  user: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5a7.5 7.5 0 0 1 15 0",
  users: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 20a6.5 6.5 0 0 1 13 0M16 4.8a3.5 3.5 0 0 1 0 6.4M18 14.5a6.5 6.5 0 0 1 3.5 5.5",
  broadcast: "M12 10.5a1.5 1.5 0 1 1 0 3 1.5 1.5 0 0 1 0-3zM8 8a5.7 5.7 0 0 0 0 8M16 8a5.7 5.7 0 0 1 0 8M5 5a9.9 9.9 0 0 0 0 14M19 5a9.9 9.9 0 0 1 0 14",
  play: "M7 4.5v15l12-7.5z",
  record: "M12 4.5a7.5 7.5 0 1 1 0 15 7.5 7.5 0 0 1 0-15zM12 9.5a2.5 2.5 0 1 1 0 5 2.5 2.5 0 0 1 0-5z",
  stop: "M5.5 5.5h13v13h-13z",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  bin: "M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 13h9l1-13M10.3 11v5.5M13.7 11v5.5",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): ReactNode {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo(): ReactNode {
  return (
    <span className="logo">
      <svg viewBox="0 0 32 32" aria-hidden="true" focusable="false">
        <path className="logo-upper" d="M3 12c4.3-5 8.7-5 13 0s8.7 5 13 0" />
        <path className="logo-lower" d="M3 21c4.3-5 8.7-5 13 0s8.7 5 13 0" />
      </svg>
      Headrace
    </span>
  );
}
