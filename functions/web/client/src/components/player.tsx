import { useEffect, useRef, useState, type ReactNode } from "react";

import type { ViewerState } from "../room/viewer.ts";
import { tooSlowForVideo, withoutVideo, type Wish } from "../room/wishes.ts";
import { Icon } from "./icons.tsx";
import { QualityMenu } from "./quality-menu.tsx";
import { usePictureHeight } from "./use-picture-height.ts";

interface PlayerProps {
  readonly viewer: ViewerState;
  readonly onChoose: (wish: Wish) => void;
  /** How tall a picture this player can show, in pixels of the device. */
  readonly onHeight: (height: number) => void;
  /** What to show in place of a picture. */
  readonly children?: ReactNode;
}

/** Plays a stream with sound where the browser lets it, else muted with an offer to unmute. */
export function Player({ viewer, onChoose, onHeight, children }: PlayerProps): ReactNode {
  const { stream, trouble, wish, quality } = viewer;
  const stage = useRef<HTMLDivElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  const [muted, setMuted] = useState(false);
  const [soundRefused, setSoundRefused] = useState(false);
  const [volume, setVolume] = useState(1);

  usePictureHeight(stage, video, onHeight);
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
      {stream !== null && withoutVideo(wish, quality) && (
        <div className="stage-message over" role="status" data-testid="audio-only">
          <Icon name="volume" />
          <h2>{tooSlowForVideo(quality) ? "Audio only: your connection is slow" : "Audio only"}</h2>
          {tooSlowForVideo(quality) && <p>The picture comes back by itself when it can.</p>}
        </div>
      )}
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
          <QualityMenu wish={wish} quality={quality} onChoose={onChoose} />
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
