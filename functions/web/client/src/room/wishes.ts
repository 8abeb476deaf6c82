/** What a viewer wishes to get of a stream, how that is said on the wire, and how what they get is told. */
import { QualityMode, QualityReason, type LayerQuality, type QualityNotice } from "../protocol/messages.ts";

export type Wish =
  | { readonly kind: "auto" }
  /** Nothing above this layer. */
  | { readonly kind: "layer"; readonly layer: string }
  | { readonly kind: "audioOnly" };

export const AUTO: Wish = { kind: "auto" };
export const AUDIO_ONLY: Wish = { kind: "audioOnly" };

export function onTheWire(wish: Wish): { readonly mode: number; readonly layer: string | null } {
  return { mode: QualityMode[wish.kind], layer: wish.kind === "layer" ? wish.layer : null };
}

/** Whether the session gets no video by somebody's decision: then a picture that stands still is as it should be. */
export function withoutVideo(wish: Wish, present: QualityNotice | null): boolean {
  return wish.kind === "audioOnly" || tooSlowForVideo(present);
}

/** Whether the connection does not even carry the smallest picture. */
export function tooSlowForVideo(present: QualityNotice | null): boolean {
  return present?.layer === null && present.why === QualityReason.network;
}

/** A layer as people call it. */
export function layerLabel({ name, height }: Pick<LayerQuality, "name" | "height">): string {
  return height > 0 ? `${height}p` : `Layer ${name}`;
}

export function bitrateLabel(kbps: number): string {
  return kbps < 995 ? `${Math.round(kbps / 10) * 10} kbit/s` : `${(kbps / 1000).toFixed(1)} Mbit/s`;
}

/** What is played now, or null before it has begun. */
export function presentLabel(present: QualityNotice | null): string | null {
  if (present === null) return null;
  if (present.layer !== null) return layerLabel({ name: present.layer, height: present.height });
  return present.why === QualityReason.best ? null : "audio only";
}

/** Why it is not more, where that is worth a sentence. */
export function whyNotMore(wish: Wish, present: QualityNotice | null): string | null {
  if (wish.kind === "audioOnly") return null;
  switch (present?.why) {
    case QualityReason.network:
      return "Your connection carries no more just now.";
    case QualityReason.viewport:
      return "Enough for the size of your player.";
    case QualityReason.tier:
      return "The most for your account.";
    case undefined:
    default:
      return null;
  }
}
