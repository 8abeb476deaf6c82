/** Stand-ins for the browser's media objects, for unit tests alone: they negotiate and change state when told to. */

export class FakeMediaStream {
  readonly tracks: MediaStreamTrack[] = [];

  addTrack(track: MediaStreamTrack): void {
    this.tracks.push(track);
  }

  getTracks(): MediaStreamTrack[] {
    return this.tracks;
  }
}

export class FakePeer extends EventTarget {
  connectionState: RTCPeerConnectionState = "new";
  localDescription: { sdp: string } | null = null;
  remoteSdp: string | null = null;
  restarts = 0;
  rollbacks = 0;
  framesDecoded = 0;
  bytes = 0;
  checks = 0;

  encodings: readonly RTCRtpEncodingParameters[] = [];
  degradation: RTCDegradationPreference | undefined;

  addTransceiver(_track: unknown, init?: RTCRtpTransceiverInit): { sender: Pick<RTCRtpSender, "getParameters" | "setParameters"> } {
    if (init?.sendEncodings !== undefined) this.encodings = init.sendEncodings;
    return {
      sender: {
        getParameters: () => ({ codecs: [], encodings: [], headerExtensions: [], rtcp: {}, transactionId: "" }),
        setParameters: ({ degradationPreference }) => {
          this.degradation = degradationPreference;
          return Promise.resolve();
        },
      },
    };
  }

  get remoteDescription(): { sdp: string } | null {
    return this.remoteSdp === null ? null : { sdp: this.remoteSdp };
  }

  setLocalDescription(description?: { type: string }): Promise<void> {
    if (description?.type === "rollback") {
      this.rollbacks += 1;
      return Promise.resolve();
    }
    const sdp = this.remoteSdp === null ? "local offer" : "local answer";
    const restarted = `a=ice-ufrag:local${this.restarts}\r\na=ice-pwd:secret${this.restarts}\r\n`;
    this.localDescription = { sdp: this.restarts > 0 ? restarted : sdp };
    return Promise.resolve();
  }

  restartIce(): void {
    this.restarts += 1;
  }

  setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.remoteSdp = sdp;
    return Promise.resolve();
  }

  getStats(): Promise<Map<string, unknown>> {
    const report = { type: "inbound-rtp", kind: "video", framesDecoded: this.framesDecoded, bytesReceived: this.bytes };
    const pair = { type: "candidate-pair", bytesReceived: this.bytes, responsesReceived: this.checks };
    return Promise.resolve(
      new Map<string, unknown>([
        ["video", report],
        ["pair", pair],
      ]),
    );
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }

  close(): void {
    this.connectionState = "closed";
  }
}
