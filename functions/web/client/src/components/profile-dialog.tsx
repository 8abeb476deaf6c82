import { useEffect, useState, type ReactNode, type SyntheticEvent } from "react";

import type { Account, Person } from "../api/person.ts";
import { describeError } from "../api/problem.ts";
import { Modal } from "./modal.tsx";
import { MAX_NAME_LENGTH, MAX_PASSWORD_LENGTH } from "./sign-in-dialog.tsx";
import { TextField } from "./text-field.tsx";

const MAX_ABOUT_LENGTH = 300;

interface ProfileDialogProps {
  readonly person: Pick<Person, "account" | "changeProfile" | "changePassword" | "signOut">;
  readonly onClose: () => void;
}

/** One's account: the name that others see, the password, and a way out of every browser. */
export function ProfileDialog({ person, onClose }: ProfileDialogProps): ReactNode {
  const [account, setAccount] = useState<Account | null>(null);
  const [problem, setProblem] = useState<string | null>(null);

  useEffect(() => {
    let gone = false;
    person.account().then(
      (found) => {
        if (!gone) setAccount(found);
      },
      (error: unknown) => {
        if (!gone) setProblem(describeError(error));
      },
    );
    return () => {
      gone = true;
    };
  }, [person]);

  return (
    <Modal title="Your profile" testId="profile-dialog" onClose={onClose}>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
      {account === null && problem === null && <span className="spinner" role="status" aria-label="Loading" />}
      {account !== null && (
        <>
          <ProfileForm account={account} person={person} onClose={onClose} />
          <PasswordForm person={person} />
          <button
            type="button"
            className="button small"
            data-testid="sign-out-everywhere"
            onClick={() => {
              person.signOut(true).then(onClose, (error: unknown) => {
                setProblem(describeError(error));
              });
            }}
          >
            Sign out in every browser
          </button>
        </>
      )}
    </Modal>
  );
}

interface ProfileFormProps {
  readonly account: Account;
  readonly person: Pick<Person, "changeProfile">;
  readonly onClose: () => void;
}

function ProfileForm({ account, person, onClose }: ProfileFormProps): ReactNode {
  const [name, setName] = useState(account.name);
  const [about, setAbout] = useState(account.about);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const save = async (): Promise<void> => {
    setBusy(true);
    try {
      await person.changeProfile({ name: name.trim(), about: about.trim() });
      onClose();
    } catch (error) {
      setProblem(describeError(error));
      setBusy(false);
    }
  };

  return (
    <form
      className="modal-form"
      onSubmit={(event: SyntheticEvent) => {
        event.preventDefault();
        void save();
      }}
    >
      <p className="modal-note">
        You sign in as <strong data-testid="profile-username">{account.username}</strong>.
      </p>
      <TextField
        label="Name that others see"
        testId="profile-name"
        autoComplete="nickname"
        maxLength={MAX_NAME_LENGTH}
        value={name}
        onChange={setName}
      />
      <TextField
        label="About you"
        testId="profile-about"
        maxLength={MAX_ABOUT_LENGTH}
        hint="Everybody may read it."
        value={about}
        onChange={setAbout}
      />
      <Problem text={problem} />
      <button
        type="submit"
        className="button primary"
        data-testid="save-profile"
        disabled={busy || name.trim() === "" || (name === account.name && about === account.about)}
      >
        Save
      </button>
    </form>
  );
}

function PasswordForm({ person }: { readonly person: Pick<Person, "changePassword"> }): ReactNode {
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [said, setSaid] = useState<{ readonly done: boolean; readonly text: string } | null>(null);

  const change = async (): Promise<void> => {
    try {
      await person.changePassword(current, next);
      setCurrent("");
      setNext("");
      setSaid({ done: true, text: "Your password is changed. Your other browsers are signed out." });
    } catch (error) {
      setSaid({ done: false, text: describeError(error) });
    }
  };

  return (
    <details className="modal-more">
      <summary>Change your password</summary>
      <form
        className="modal-form"
        onSubmit={(event: SyntheticEvent) => {
          event.preventDefault();
          void change();
        }}
      >
        <TextField
          label="Present password"
          testId="current-password"
          type="password"
          autoComplete="current-password"
          maxLength={MAX_PASSWORD_LENGTH}
          value={current}
          onChange={setCurrent}
        />
        <TextField
          label="New password"
          testId="new-password"
          type="password"
          autoComplete="new-password"
          maxLength={MAX_PASSWORD_LENGTH}
          value={next}
          onChange={setNext}
        />
        <Problem text={said?.done === false ? said.text : null} />
        {said?.done === true && (
          <p className="modal-note" role="status">
            {said.text}
          </p>
        )}
        <button type="submit" className="button" disabled={current === "" || next === ""}>
          Change password
        </button>
      </form>
    </details>
  );
}

function Problem({ text }: { readonly text: string | null }): ReactNode {
  if (text === null) return null;
  return (
    <p className="problem" role="alert">
      {text}
    </p>
  );
}
