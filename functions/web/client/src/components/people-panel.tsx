import { useCallback, useEffect, useRef, useState, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { Person } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import { holds, type Sanctions, type StandingSanction } from "../room/sanctions.ts";
import type { RoomState } from "../room/state.ts";
import { Icon } from "./icons.tsx";
import { colourOf } from "./name-colour.ts";
import { PersonActions } from "./person-actions.tsx";

/** While it is open: people come and go, and time-outs end. */
const REFRESH_MS = 10_000;

const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const DAY_MS = 24 * 3600 * 1000;

interface PeoplePanelProps {
  /** As last answered; null before the first answer. */
  readonly people: RoomState["people"];
  readonly sanctions: Sanctions;
  /** This page's own person. */
  readonly self: string | null;
  readonly onAsk: () => Promise<void>;
  /** Given to those who may. */
  readonly onModerate?: ((moderation: Moderation) => Promise<void>) | undefined;
  readonly onClose: () => void;
}

/** Who is in the room, and for moderators who may not be or not speak: beside the room, on a phone over its lower part. */
export function PeoplePanel({ people, sanctions, self, onAsk, onModerate, onClose }: PeoplePanelProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [now, setNow] = useState(() => Date.now());

  const ask = useCallback(async (): Promise<void> => {
    try {
      await onAsk();
      setProblem(null);
    } catch (error) {
      setProblem(describeError(error));
    }
    setNow(Date.now());
  }, [onAsk]);

  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  useEffect(() => {
    const first = setTimeout(() => void ask());
    const again = setInterval(() => void ask(), REFRESH_MS);
    return () => {
      clearTimeout(first);
      clearInterval(again);
    };
  }, [ask]);

  const moderate = async (moderation: Moderation): Promise<void> => {
    if (onModerate === undefined) return;
    try {
      await onModerate(moderation);
    } catch (error) {
      setProblem(describeError(error));
      return;
    }
    await ask();
  };

  const standing = [...sanctions.values()].filter((sanction) => holds(sanction, now)).toReversed();
  const actions = (participant: string, name: string, sanction: StandingSanction | undefined): ReactNode =>
    onModerate !== undefined && (
      <span className="person-actions">
        <PersonActions
          participant={participant}
          name={name}
          sanction={sanction}
          at={now}
          testIds="person"
          onModerate={(moderation) => void moderate(moderation)}
        />
      </span>
    );

  return (
    <dialog
      ref={dialog}
      className="people"
      aria-labelledby="people-title"
      data-testid="people-panel"
      onClose={onClose}
      onClick={(event) => {
        // What is around it belongs to the dialog itself, what is in it does not.
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
    >
      <div className="people-body">
        <div className="people-head">
          <h2 id="people-title">
            People {people !== null && <span data-testid="people-total">{people.total.toLocaleString("en")}</span>}
          </h2>
          <button
            type="button"
            className="icon-button"
            aria-label="Refresh"
            title="Refresh"
            onClick={() => void ask()}
          >
            <Icon name="refresh" />
          </button>
          <button
            type="button"
            className="icon-button"
            data-testid="people-close"
            aria-label="Close"
            title="Close"
            onClick={() => {
              dialog.current?.close();
            }}
          >
            <Icon name="close" />
          </button>
        </div>
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        {people === null && problem === null && (
          <p className="people-busy" role="status">
            <span className="spinner" aria-hidden="true" /> Asking who is here…
          </p>
        )}
        {people !== null && (
          <ul className="people-list" aria-label="In the room">
            {people.people.map((person) => (
              <li key={person.participant} data-testid="person">
                <PersonName person={person} own={person.participant === self} />
                {person.participant !== self &&
                  person.role !== "streamer" &&
                  actions(person.participant, person.name, sanctions.get(person.participant))}
              </li>
            ))}
          </ul>
        )}
        {people !== null && people.total > people.people.length && (
          <p className="people-more">and {(people.total - people.people.length).toLocaleString("en")} more</p>
        )}
        {onModerate !== undefined && (
          <section className="sanctions" aria-labelledby="sanctions-title">
            <h3 id="sanctions-title">Timed out and banned</h3>
            {standing.length === 0 && <p className="people-more">Nobody is.</p>}
            <ul className="people-list">
              {standing.map((sanction) => {
                const name = sanction.name ?? `Somebody (${sanction.participant.slice(-6)})`;
                return (
                  <li key={sanction.participant} data-testid="sanction">
                    <span className="person-name">
                      <span className="person-text">
                        {name}
                        <small>{untilWhen(sanction, now)}</small>
                      </span>
                    </span>
                    {actions(sanction.participant, name, sanction)}
                  </li>
                );
              })}
            </ul>
          </section>
        )}
      </div>
    </dialog>
  );
}

function PersonName({ person, own }: { readonly person: Person; readonly own: boolean }): ReactNode {
  const { participant, name, role } = person;
  return (
    <span className="person-name">
      <span className={`initial colour-${colourOf(participant)}`} aria-hidden="true">
        {Array.from(name)[0]?.toUpperCase()}
      </span>
      <span className="person-text">
        <span>
          {name} {own && <span className="you">you</span>}
        </span>
        <small className={role === "streamer" ? "role streamer" : "role"}>
          {role === "streamer" ? "Streamer" : "Viewer"}
        </small>
      </span>
    </span>
  );
}

function untilWhen({ kind, untilMs }: StandingSanction, now: number): string {
  if (kind === "ban") return "Banned";
  return `May not write until ${(untilMs - now < DAY_MS ? TIME : DAY_AND_TIME).format(untilMs)}`;
}
