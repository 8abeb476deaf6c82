import { useCallback, useEffect, useId, useRef, useState, type ReactNode } from "react";

import { describeError } from "../api/problem.ts";
import type { Person } from "../protocol/messages.ts";
import type { Moderation } from "../room/connection.ts";
import { holds, standing, type Decision, type Sanctions } from "../room/sanctions.ts";
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

  const banned = (participant: string): boolean => sanctions.get(participant)?.kind === "ban";
  // Somebody just banned may still be on their way out.
  const here = people?.people.filter(({ participant }) => !banned(participant)) ?? [];
  const total = people === null ? 0 : people.total - (people.people.length - here.length);
  const held = standing(sanctions, now);
  const actions = (participant: string, name: string): ReactNode => (
    <PersonActions
      participant={participant}
      name={name}
      sanction={sanctions.get(participant)}
      at={now}
      testIds="person"
      onModerate={(moderation) => void moderate(moderation)}
    />
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
            People {people !== null && <span data-testid="people-total">{total.toLocaleString("en")}</span>}
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
            {here.map((person) => (
              <PersonRow
                key={person.participant}
                person={person}
                own={person.participant === self}
                timedOut={holds(sanctions.get(person.participant), now)}
              >
                {onModerate !== undefined && person.participant !== self && person.role !== "streamer"
                  ? actions(person.participant, person.name)
                  : null}
              </PersonRow>
            ))}
          </ul>
        )}
        {total > here.length && <p className="people-more">and {(total - here.length).toLocaleString("en")} more</p>}
        {onModerate !== undefined && (
          <section className="sanctions" aria-labelledby="sanctions-title">
            <h3 id="sanctions-title">Timed out and banned</h3>
            {held.length === 0 && <p className="people-more">Nobody is.</p>}
            <ul className="people-list">
              {held.map((sanction) => {
                const name = sanction.name ?? `Somebody (${sanction.participant.slice(-6)})`;
                return (
                  <li key={sanction.participant} data-testid="sanction">
                    <span className="person-name">
                      <span className="person-text">
                        {name}
                        <small>{untilWhen(sanction, now)}</small>
                      </span>
                    </span>
                    <span className="person-actions">{actions(sanction.participant, name)}</span>
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

interface PersonRowProps {
  readonly person: Person;
  readonly own: boolean;
  readonly timedOut: boolean;
  /** What can be done about them; null when that is nothing. */
  readonly children: ReactNode;
}

function PersonRow({ person, own, timedOut, children }: PersonRowProps): ReactNode {
  const [open, setOpen] = useState(false);
  const id = useId();
  const { participant, name, role } = person;
  return (
    <li data-testid="person">
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
            {timedOut && ", timed out"}
          </small>
        </span>
        {children !== null && (
          <button
            type="button"
            className="icon-button person-toggle"
            data-testid="person-menu"
            aria-label={`Moderate ${name}`}
            aria-expanded={open}
            aria-controls={id}
            onClick={() => {
              setOpen(!open);
            }}
          >
            <Icon name="more" />
          </button>
        )}
      </span>
      {children !== null && (
        <span id={id} className="person-actions" hidden={!open}>
          {children}
        </span>
      )}
    </li>
  );
}

function untilWhen({ kind, untilMs }: Decision, now: number): string {
  if (kind === "ban") return "Banned";
  return `May not write until ${(untilMs - now < DAY_MS ? TIME : DAY_AND_TIME).format(untilMs)}`;
}
