/**
 * One visit to a room: owns the connection and the media on both sides of it, and keeps the state that the page shows.
 */
import type { ApiClient, Grant } from "../api/client.ts";
import { Camera, type CameraState } from "./camera.ts";
import {
  RoomConnection,
  roomSocketUrl,
  type Admission,
  type ConnectionNotice,
  type Moderation,
  type Settings,
} from "./connection.ts";
import { pastSanctions } from "./past-sanctions.ts";
import { openPeer, type PeerFactory } from "./peer.ts";
import { loadPreset, savePreset, type Preset } from "./presets.ts";
import { Publisher, type PublisherState } from "./publisher.ts";
import { initialRoomState, reduceRoom, type RoomState } from "./state.ts";
import { NOT_WATCHING, Viewer, type ViewerState } from "./viewer.ts";
import type { Wish } from "./wishes.ts";

export interface SessionState {
  readonly room: RoomState;
  readonly camera: CameraState;
  readonly publisher: PublisherState;
  readonly viewer: ViewerState;
  /** What this page sends when it goes live. */
  readonly preset: Preset;
}

export class RoomSession {
  readonly #api: ApiClient;
  readonly #roomId: string;
  /** As the latest token came with them: TURN credentials expire. */
  #iceServers: readonly RTCIceServer[];
  readonly #connection: RoomConnection;
  readonly #camera: Camera;
  readonly #publisher: Publisher;
  readonly #viewer: Viewer;
  readonly #listeners = new Set<() => void>();
  #watchedSession: string | null = null;
  /** What this page published last: the log may call it live for a moment after it was ended here. */
  #ownSession: string | null = null;
  #joinedAt = 0;
  #pastKnown = false;
  #state: SessionState = {
    room: initialRoomState,
    camera: { kind: "off" },
    publisher: { kind: "idle" },
    viewer: NOT_WATCHING,
    preset: loadPreset(),
  };

  constructor(api: ApiClient, roomId: string, grant: Grant) {
    this.#api = api;
    this.#roomId = roomId;
    this.#iceServers = grant.ice_servers;
    const newPeer: PeerFactory = () => openPeer(this.#iceServers);
    const connection = new RoomConnection({
      url: roomSocketUrl(roomId),
      token: grant.token,
      refreshToken: async () => {
        const renewed = await api.roomToken(roomId, "participant");
        this.#iceServers = renewed.ice_servers;
        return renewed.token;
      },
      onNotice: (notice) => {
        this.#noticed(notice);
      },
    });
    this.#connection = connection;
    this.#camera = new Camera({
      preset: this.#state.preset,
      onState: (camera) => {
        this.#update({ camera });
      },
      onTrackReplaced: (track) => {
        void this.#publisher.replaceTrack(track);
      },
    });
    this.#publisher = new Publisher({
      signaling: connection,
      newPeer,
      onState: (publisher) => {
        if (publisher.kind === "live") this.#ownSession = publisher.session;
        this.#update({ publisher });
        this.#followStream();
      },
    });
    this.#viewer = new Viewer({
      signaling: connection,
      newPeer,
      onState: (viewer) => {
        this.#update({ viewer });
      },
    });
  }

  /** For useSyncExternalStore. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  };

  readonly snapshot = (): SessionState => this.#state;

  open(): void {
    this.#connection.open();
  }

  /** Leaves for good: media first, so that nothing tries to come back while the socket closes. */
  close(): void {
    this.#publisher.stop();
    this.#viewer.stop();
    this.#camera.close();
    this.#connection.close();
  }

  retryNow(): void {
    this.#connection.retryNow();
  }

  sendChat(text: string): void {
    this.#connection.sendChat(text);
  }

  sendGift(gift: string, quantity: number): void {
    this.#connection.sendGift(gift, quantity);
  }

  /** Sends a chat or a gift that failed again. */
  retry(messageId: number): void {
    this.#connection.retry(messageId);
  }

  react(reaction: string): void {
    this.#connection.react(reaction);
  }

  typing(): void {
    this.#connection.typing();
  }

  moderate(moderation: Moderation): Promise<void> {
    return this.#connection.moderate(moderation);
  }

  configure(settings: Settings): Promise<void> {
    return this.#connection.configure(settings);
  }

  admit(admission: Admission): Promise<void> {
    return this.#connection.admit(admission);
  }

  /** Asks who is here: `people` of the room's state. */
  askForPeople(): Promise<void> {
    return this.#connection.people();
  }

  /** Brings in what was decided about people before the part of the log that this page got; once. */
  async recallSanctions(): Promise<void> {
    if (this.#pastKnown) return;
    const past = await pastSanctions(this.#api, this.#roomId);
    this.#pastKnown = true;
    this.#update({ room: reduceRoom(this.#state.room, past, Date.now()) });
  }

  /** What to get of the stream that this page watches. */
  chooseQuality(wish: Wish): void {
    this.#viewer.choose(wish);
  }

  /** How tall the player of this page is, in pixels of the device. */
  fitPlayer(height: number): void {
    this.#viewer.fit(height);
  }

  /** The device is back online, or in another network. */
  networkChanged(): void {
    this.#connection.retryNow();
    this.#publisher.networkChanged();
    this.#viewer.networkChanged();
  }

  /** Takes the room back from the page that took this one's place. */
  takeOver(): void {
    this.#connection.takeOver();
  }

  get camera(): Camera {
    return this.#camera;
  }

  goLive(): void {
    const { stream } = this.#camera;
    if (stream !== null) this.#publisher.start(stream, this.#state.preset);
  }

  async choosePreset(preset: Preset): Promise<void> {
    savePreset(preset);
    this.#update({ preset });
    await this.#camera.fit(preset);
  }

  endStream(): void {
    this.#publisher.stop();
  }

  #noticed(notice: ConnectionNotice): void {
    this.#update({ room: reduceRoom(this.#state.room, notice, Date.now()) });
    switch (notice.type) {
      case "welcome":
        this.#joinedAt = notice.welcome.offset;
        this.#publisher.signalingRestored(notice.welcome.live);
        this.#viewer.signalingRestored();
        this.#followStream();
        break;
      case "events":
        for (const { event } of notice.events) {
          if (event.type === "stream_ended") this.#publisher.sessionEnded(event.session, event.reason);
        }
        this.#followStream(notice.events.at(-1)?.offset);
        break;
      case "refused":
        this.#publisher.stop();
        this.#watchedSession = null;
        this.#viewer.stop();
        // A page without a studio shows no preview: a camera that stays on would be a surprise.
        this.#camera.close();
        break;
      case "quality":
        this.#viewer.told(notice.quality);
        break;
      case "relocate":
        this.#publisher.relocate(notice.session);
        this.#viewer.relocate(notice.session);
        break;
      case "state":
      case "gap":
      case "viewers":
      case "outgoing":
      case "error":
      case "waiting":
      case "obstacle":
      case "knocks":
      case "people":
      case "reactions":
      case "typing":
        break;
    }
  }

  /** Watches exactly while the room is live by someone other than this page. */
  #followStream(newestOffset = 0): void {
    const { stream } = this.#state.room;
    const publishing = this.#state.publisher.kind !== "idle" && this.#state.publisher.kind !== "failed";
    const own = stream.kind === "live" && stream.session !== null && stream.session === this.#ownSession;
    if (stream.kind !== "live" || publishing || own) {
      this.#watchedSession = null;
      this.#viewer.stop();
      return;
    }
    // A subscription made at the welcome is to whatever was live then: learning its name from the history is no change.
    const named = this.#watchedSession === null && newestOffset <= this.#joinedAt;
    const other = stream.session !== this.#watchedSession && !named;
    // The worker goes on sending the same stream, wherever that comes from by now.
    if (other && this.#watchedSession !== null && stream.continues === this.#watchedSession) {
      this.#viewer.continues(stream.continues);
    } else {
      this.#viewer.watch(other);
    }
    this.#watchedSession = stream.session;
  }

  #update(change: Partial<SessionState>): void {
    this.#state = { ...this.#state, ...change };
    for (const listener of this.#listeners) listener();
  }
}
