import type { ReactNode } from "react";

import type { CameraState, DeviceKind } from "../room/camera.ts";
import { presetCalled, PRESETS, type Preset } from "../room/presets.ts";
import type { PublisherState } from "../room/publisher.ts";
import type { RoomSession } from "../room/session.ts";
import { bitrateLabel } from "../room/wishes.ts";
import { Icon, type IconName } from "./icons.tsx";

interface StudioControlsProps {
  readonly session: RoomSession;
  readonly camera: CameraState;
  readonly publisher: PublisherState;
  /** An encoder is on air: going live from here would replace it. */
  readonly onAirElsewhere: boolean;
  readonly connected: boolean;
  readonly preset: Preset;
}

export function StudioControls(props: StudioControlsProps): ReactNode {
  const { session, camera } = props;
  const on = camera.kind === "on" ? camera : null;
  return (
    <div className="studio-controls">
      <DeviceControl
        kind="audio"
        label="Microphone"
        icon={on?.microphoneEnabled === false ? "microphoneOff" : "microphone"}
        enabled={on?.microphoneEnabled ?? null}
        devices={on?.devices.microphones ?? []}
        chosen={on?.microphoneId ?? null}
        session={session}
      />
      <DeviceControl
        kind="video"
        label="Camera"
        icon={on?.cameraEnabled === false ? "cameraOff" : "camera"}
        enabled={on?.cameraEnabled ?? null}
        devices={on?.devices.cameras ?? []}
        chosen={on?.cameraId ?? null}
        session={session}
      />
      <PresetControl {...props} />
      <AirControl {...props} />
    </div>
  );
}

interface DeviceControlProps {
  readonly kind: DeviceKind;
  readonly label: string;
  readonly icon: IconName;
  /** Null while there is no device to switch. */
  readonly enabled: boolean | null;
  readonly devices: readonly MediaDeviceInfo[];
  readonly chosen: string | null;
  readonly session: RoomSession;
}

function DeviceControl({ kind, label, icon, enabled, devices, chosen, session }: DeviceControlProps): ReactNode {
  return (
    <div className={enabled === false ? "device off" : "device"}>
      <button
        type="button"
        className="icon-button"
        aria-label={`${enabled === false ? "Turn on" : "Turn off"} ${label.toLowerCase()}`}
        disabled={enabled === null}
        onClick={() => {
          void session.camera.toggle(kind);
        }}
      >
        <Icon name={icon} />
      </button>
      <select
        aria-label={label}
        value={chosen ?? ""}
        disabled={enabled === null}
        onChange={(event) => {
          void session.camera.choose(kind, event.target.value);
        }}
      >
        {devices.length === 0 && <option value="">{label}</option>}
        {devices.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label === "" ? `${label} ${index + 1}` : device.label}
          </option>
        ))}
      </select>
    </div>
  );
}

/** What is sent. It cannot be changed on air: the layers are agreed on at the start. */
function PresetControl({ session, publisher, preset }: StudioControlsProps): ReactNode {
  return (
    <div className="device preset">
      <select
        aria-label="Quality"
        data-testid="preset"
        value={preset.name}
        disabled={publisher.kind !== "idle" && publisher.kind !== "failed"}
        onChange={(event) => {
          void session.choosePreset(presetCalled(event.target.value));
        }}
      >
        {PRESETS.map(({ name, framesPerSecond, bitrate }) => (
          <option key={name} value={name}>
            {`${name}, ${framesPerSecond} fps, ${bitrateLabel(bitrate / 1000)}`}
          </option>
        ))}
      </select>
    </div>
  );
}

function AirControl({ session, camera, publisher, onAirElsewhere, connected }: StudioControlsProps): ReactNode {
  if (publisher.kind === "live" || publisher.kind === "recovering" || publisher.kind === "starting") {
    return (
      <button
        type="button"
        className="button danger air"
        data-testid="end-stream"
        onClick={() => {
          session.endStream();
        }}
      >
        {publisher.kind === "starting" ? "Starting… Cancel" : "End stream"}
      </button>
    );
  }
  return (
    <button
      type="button"
      className="button primary air"
      data-testid="go-live"
      disabled={camera.kind !== "on" || !connected}
      onClick={() => {
        session.goLive();
      }}
    >
      <Icon name="broadcast" />
      {onAirElsewhere ? "Go live from here instead" : "Go live"}
    </button>
  );
}
