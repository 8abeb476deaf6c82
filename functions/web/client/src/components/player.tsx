import { useEffect, useRef, useState, type ReactNode } from "react";

import { Icon } from "./icons.tsx";

interface PlayerProps {
  readonly stream: MediaStream | null;
  /** Something to know while the last picture stands still. */
  readonly trouble: string | null;
  /** What to show in place of a picture. */
  readonly children?: ReactNode;
}

/** Plays a stream with sound where the browser lets it, else muted with an offer to unmute. */
export function Player({ stream, trouble, children }: PlayerProps): ReactNode {
  const stage = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [muted, setMuted] = useState(false);
  const [soundRefused, setSoundRefused] = useState(false);
  const [volume, setVolume] = useState(1);

  useEffect(() => {
    const element = video.current;
    if (element === null) return;
    element.srcObject = stream;
    if (stream === null) return;
    void playWithSoundIfAllowed(element).then((refused) => {
      if (!refused) return;
      setMuted(true);
      setSoundRefused(true);
    });
  }, [stream]);

  const applyMuted = (next: boolean): void => {
    if (video.current) video.current.muted = next;
    setMuted(next);
    setSoundRefused(false);
  };

  const applyVolume = (next: number): void => {
    if (video.current) video.current.volume = next;
    setVolume(next);
    applyMuted(next === 0);
  };

  const toggleFullscreen = (): void => {
    if (document.fullscreenElement === null) void stage.current?.requestFullscreen();
    else void document.exitFullscreen();
  };

  return (
    <div className="stage" ref={stage}>
      <video ref={video} data-testid="remote-video" playsInline autoPlay hidden={stream === null} />
      {stream === null && <div className="stage-message">{children}</div>}
      {stream !== null && trouble !== null && (
        <p className="stage-trouble" role="status">
          {trouble} Trying again…
        </p>
      )}
      {stream !== null && soundRefused && (
        <button
          type="button"
          className="button unmute"
          data-testid="unmute"
          onClick={() => {
            applyMuted(false);
          }}
        >
          <Icon name="volumeOff" /> Unmute
        </button>
      )}
      {stream !== null && (
        <div className="player-controls">
          <button
            type="button"
            className="icon-button"
            aria-label={muted ? "Unmute" : "Mute"}
            aria-pressed={muted}
            onClick={() => {
              applyMuted(!muted);
            }}
          >
            <Icon name={muted ? "volumeOff" : "volume"} />
          </button>
          <input
            type="range"
            aria-label="Volume"
            min={0}
            max={1}
            step={0.05}
            value={muted ? 0 : volume}
            onChange={(event) => {
              applyVolume(event.target.valueAsNumber);
            }}
          />
          <span className="spacer" />
          <button type="button" className="icon-button" aria-label="Full screen" onClick={toggleFullscreen}>
            <Icon name="expand" />
          </button>
        </div>
      )}
    </div>
  );
}

/** Starts playback; returns whether sound had to be given up for it. */
async function playWithSoundIfAllowed(element: HTMLVideoElement): Promise<boolean> {
  try {
    await element.play();
    return false;
  } catch (error) {
    // Anything else is a newer stream having taken this one's place.
    if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return false;
    element.muted = true;
    await element.play().catch(() => undefined);
    return true;
  }
}
