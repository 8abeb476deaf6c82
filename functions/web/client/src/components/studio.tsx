import { useEffect, useRef, type ReactNode } from "react";

import type { CameraState } from "../room/camera.ts";
import type { RoomSession, SessionState } from "../room/session.ts";
import type { Wish } from "../room/wishes.ts";
import { Icon } from "./icons.tsx";
import { Player } from "./player.tsx";
import { StudioControls } from "./studio-controls.tsx";

interface StudioProps {
  readonly session: RoomSession;
  readonly state: SessionState;
  readonly onChoose: (wish: Wish) => void;
  readonly onHeight: (height: number) => void;
}

/** The streamer's stage: own camera, or what an encoder sends in its place. */
export function Studio({ session, state, onChoose, onHeight }: StudioProps): ReactNode {
  const { camera, publisher, room, viewer } = state;
  const publishing = publisher.kind === "live" || publisher.kind === "starting" || publisher.kind === "recovering";
  const live = room.stream.kind === "live";
  const fromEncoder = live && !publishing && viewer.stream !== null;

  useEffect(() => {
    void session.camera.open();
  }, [session]);

  return (
    <div className="studio">
      {fromEncoder ? (
        <Player viewer={viewer} onChoose={onChoose} onHeight={onHeight} />
      ) : (
        <div className="stage">
          <Preview camera={camera} onRetry={() => void session.camera.open()} />
          {publisher.kind === "recovering" && (
            <p className="stage-trouble" role="status">
              {publisher.reason} Going back on air…
            </p>
          )}
          {publisher.kind === "failed" && (
            <p className="stage-trouble" role="alert">
              {publisher.reason}
            </p>
          )}
        </div>
      )}
      <StudioControls
        session={session}
        camera={camera}
        publisher={publisher}
        onAirElsewhere={fromEncoder}
        connected={room.connection === "connected"}
        preset={state.preset}
      />
    </div>
  );
}

function Preview({ camera, onRetry }: { readonly camera: CameraState; readonly onRetry: () => void }): ReactNode {
  switch (camera.kind) {
    case "off":
    case "asking":
      return (
        <div className="stage-message" role="status">
          <span className="spinner" aria-hidden="true" />
          <p>Allow camera and microphone to see your preview.</p>
        </div>
      );
    case "refused":
      return (
        <div className="stage-message" role="alert">
          <Icon name="cameraOff" />
          <h2 data-testid="error-title">{camera.title}</h2>
          <p>{camera.advice}</p>
          <button type="button" className="button" onClick={onRetry}>
            Try again
          </button>
        </div>
      );
    case "on":
      return <CameraPicture stream={camera.stream} enabled={camera.cameraEnabled} />;
  }
}

function CameraPicture({
  stream,
  enabled,
}: {
  readonly stream: MediaStream;
  readonly enabled: boolean;
}): ReactNode {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current !== null) video.current.srcObject = stream;
  }, [stream]);
  return (
    <>
      <video
        ref={video}
        className="mirrored"
        data-testid="local-video"
        aria-label="Your camera"
        playsInline
        autoPlay
        muted
      />
      {!enabled && (
        <div className="stage-message over">
          <Icon name="cameraOff" />
          <p>Your camera is off.</p>
        </div>
      )}
    </>
  );
}
