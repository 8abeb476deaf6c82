import { useEffect, useState, type ReactNode } from "react";

import type { ApiClient, ListedRoom } from "../api/client.ts";
import { roomPath } from "../room/code.ts";
import { navigate } from "../router.ts";
import { Icon } from "./icons.tsx";
import { useRoomList } from "./use-room-list.ts";
import { whenText } from "./when.ts";

/** What is offered to choose from; streamers may name others, which are found by words. */
export const CATEGORIES = ["Music", "Gaming", "Talk", "Learning", "Cooking", "Sports", "Art"] as const;

/** Everything that can be found: one's own rooms, what is live, and what is to come. */
export function RoomLists({ api }: { readonly api: ApiClient }): ReactNode {
  const [words, setWords] = useState("");
  const [category, setCategory] = useState("");
  const wanted = { words: words.trim(), category };
  const live = useRoomList(api, { state: "live", ...wanted });
  const scheduled = useRoomList(api, { state: "scheduled", ...wanted });
  const filtered = wanted.words !== "" || category !== "";

  return (
    <section className="browse" aria-label="Rooms">
      <OwnRooms api={api} />
      <div className="browse-head">
        <h2>Live now</h2>
        <label className="browse-search">
          <span className="visually-hidden">Search rooms</span>
          <input
            type="search"
            data-testid="room-search"
            placeholder="Search titles and streamers"
            maxLength={100}
            value={words}
            onChange={(event) => {
              setWords(event.target.value);
            }}
          />
        </label>
      </div>
      <div className="chips" role="group" aria-label="Category">
        {["", ...CATEGORIES].map((name) => (
          <button
            key={name}
            type="button"
            className="chip"
            aria-pressed={category === name}
            onClick={() => {
              setCategory(name);
            }}
          >
            {name === "" ? "All" : name}
          </button>
        ))}
      </div>
      {live.problem !== null && (
        <p className="problem" role="alert">
          {live.problem}
        </p>
      )}
      {live.rooms === null && live.problem === null && (
        <p className="browse-empty" role="status">
          <span className="spinner" aria-hidden="true" /> Looking for rooms…
        </p>
      )}
      {live.rooms?.length === 0 && (
        <p className="browse-empty">{filtered ? "Nothing live fits that." : "Nobody is live right now. Be the first."}</p>
      )}
      <RoomGrid rooms={live.rooms ?? []} testId="live-rooms" />
      {live.more && (
        <button type="button" className="button" onClick={live.loadMore}>
          Show more
        </button>
      )}
      {scheduled.rooms !== null && scheduled.rooms.length > 0 && (
        <>
          <h2>Coming up</h2>
          <RoomGrid rooms={scheduled.rooms} testId="scheduled-rooms" />
          {scheduled.more && (
            <button type="button" className="button" onClick={scheduled.loadMore}>
              Show more
            </button>
          )}
        </>
      )}
    </section>
  );
}

function OwnRooms({ api }: { readonly api: ApiClient }): ReactNode {
  const [rooms, setRooms] = useState<readonly ListedRoom[]>([]);
  useEffect(() => {
    let over = false;
    // Not to be had is none: an identity that has expired is replaced when something is done with it.
    api.ownRooms().then(
      (found) => {
        if (!over) setRooms(found.filter(({ state }) => state !== "ended").slice(0, 4));
      },
      () => undefined,
    );
    return () => {
      over = true;
    };
  }, [api]);
  if (rooms.length === 0) return null;
  return (
    <>
      <h2>Your rooms</h2>
      <RoomGrid rooms={rooms} testId="own-rooms" />
    </>
  );
}

function RoomGrid({ rooms, testId }: { readonly rooms: readonly ListedRoom[]; readonly testId: string }): ReactNode {
  if (rooms.length === 0) return null;
  return (
    <ul className="room-grid" data-testid={testId}>
      {rooms.map((room) => (
        <li key={room.id}>
          <RoomTile room={room} />
        </li>
      ))}
    </ul>
  );
}

function RoomTile({ room }: { readonly room: ListedRoom }): ReactNode {
  const path = roomPath(room.id);
  return (
    <a
      className="room-tile"
      href={path}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        navigate(path);
      }}
    >
      <span className="room-tile-top">
        {room.state === "live" ? (
          <>
            <span className="live-badge on">Live</span>
            <span className="room-tile-viewers">
              <Icon name="users" />
              {room.viewers.toLocaleString("en")}
              <span className="visually-hidden"> watching</span>
            </span>
          </>
        ) : (
          <span className="live-badge">{room.scheduled_at === null ? "Offline" : whenText(room.scheduled_at)}</span>
        )}
      </span>
      <strong className="room-tile-title">{room.title}</strong>
      <span className="room-tile-by">
        {room.owner.name}
        {room.category !== "" && ` · ${room.category}`}
      </span>
    </a>
  );
}
