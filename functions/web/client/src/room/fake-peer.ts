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
  framesDecoded = 0;

  addTransceiver(): { sender: Pick<RTCRtpSender, "getParameters" | "setParameters"> } {
    return {
      sender: {
        getParameters: () => ({ codecs: [], encodings: [], headerExtensions: [], rtcp: {}, transactionId: "" }),
        setParameters: () => Promise.resolve(),
      },
    };
  }

  setLocalDescription(): Promise<void> {
    this.localDescription = { sdp: this.remoteSdp === null ? "local offer" : "local answer" };
    return Promise.resolve();
  }

  setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    this.remoteSdp = sdp;
    return Promise.resolve();
  }

  getStats(): Promise<Map<string, unknown>> {
    const report = { type: "inbound-rtp", kind: "video", framesDecoded: this.framesDecoded, bytesReceived: 0 };
    return Promise.resolve(new Map([["video", report]]));
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }

  close(): void {
    this.connectionState = "closed";
  }
}
