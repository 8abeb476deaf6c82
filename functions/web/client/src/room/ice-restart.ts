/**
 * ICE restart (RFC 8445, section 9) within a peer connection whose other side is an SFU: new credentials on both sides,
 * another network path, and the same session, keys and media.
 *
 * The SFU answers with its credentials alone, since nothing else changes: its description is made from its former one.
 */

export interface IceCredentials {
  readonly ufrag: string;
  readonly password: string;
}

/** Gives the other side our new credentials and brings back its own. */
export type ExchangeCredentials = (ours: IceCredentials) => Promise<IceCredentials>;

export async function restartIce(peer: RTCPeerConnection, exchange: ExchangeCredentials): Promise<void> {
  const former = { remote: peer.remoteDescription, local: peer.localDescription };
  if (former.remote === null || former.local === null) throw new Error("There is no ICE session to restart.");
  peer.restartIce();
  await peer.setLocalDescription();
  try {
    const offered = credentialsIn(peer.localDescription?.sdp ?? "");
    if (offered === null) throw new Error("The browser’s description has no ICE credentials.");
    const theirs = await exchange(offered);
    await peer.setRemoteDescription({
      type: "answer",
      sdp: asAnswer(former.remote, former.local, theirs),
    });
  } catch (error) {
    // So that the next attempt begins where this one did; a connection that was closed meanwhile has nothing to undo.
    await peer.setLocalDescription({ type: "rollback" }).catch(() => undefined);
    throw error;
  }
}

/** The first credentials of a description: with BUNDLE they stand for all of it. */
export function credentialsIn(sdp: string): IceCredentials | null {
  const ufrag = /^a=ice-ufrag:(\S+)/m.exec(sdp)?.[1];
  const password = /^a=ice-pwd:(\S+)/m.exec(sdp)?.[1];
  return ufrag === undefined || password === undefined ? null : { ufrag, password };
}

/** The other side's description again, with new credentials, as the answer to our offer. */
export function asAnswer(
  remote: Pick<RTCSessionDescription, "sdp">,
  local: Pick<RTCSessionDescription, "sdp">,
  theirs: IceCredentials,
): string {
  return remote.sdp
    .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${theirs.ufrag}`)
    .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${theirs.password}`)
    .replace(/^a=setup:actpass$/gm, `a=setup:${local.sdp.includes("a=setup:passive") ? "active" : "passive"}`);
}
