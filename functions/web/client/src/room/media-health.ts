/** Judges from receiver statistics whether video that should be moving has come to a halt. */

export interface MediaSample {
  readonly framesDecoded: number;
  readonly videoBytes: number;
  readonly audioBytes: number;
}

export interface InboundReport {
  readonly type: string;
  readonly kind?: string;
  readonly framesDecoded?: number;
  readonly bytesReceived?: number;
}

export function sampleOf(reports: Iterable<InboundReport>): MediaSample {
  let framesDecoded = 0;
  let videoBytes = 0;
  let audioBytes = 0;
  for (const report of reports) {
    if (report.type !== "inbound-rtp") continue;
    if (report.kind === "video") {
      framesDecoded += report.framesDecoded ?? 0;
      videoBytes += report.bytesReceived ?? 0;
    } else {
      audioBytes += report.bytesReceived ?? 0;
    }
  }
  return { framesDecoded, videoBytes, audioBytes };
}

const STALL_MS = 5_000;

export class StallDetector {
  #last: MediaSample | null = null;
  #lastMovedAt = 0;

  /** Takes a sample; returns whether playback has stood still for too long. */
  stalled(sample: MediaSample, nowMs: number): boolean {
    const last = this.#last;
    this.#last = sample;
    if (last === null || moved(last, sample)) {
      this.#lastMovedAt = nowMs;
      return false;
    }
    return nowMs - this.#lastMovedAt >= STALL_MS;
  }
}

function moved(before: MediaSample, after: MediaSample): boolean {
  if (after.framesDecoded > before.framesDecoded) return true;
  // Sound without a single byte of video: a stream of sound alone, or a camera that is off. Nothing to repair.
  return after.audioBytes > before.audioBytes && after.videoBytes === before.videoBytes;
}
