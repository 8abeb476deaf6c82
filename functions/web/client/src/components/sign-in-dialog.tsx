import { useState, type ReactNode, type SyntheticEvent } from "react";

import type { Person } from "../api/person.ts";
import { describeError } from "../api/problem.ts";
import { Modal } from "./modal.tsx";
import { TextField } from "./text-field.tsx";

export const MIN_PASSWORD_LENGTH = 10;
export const MAX_PASSWORD_LENGTH = 256;
export const MAX_NAME_LENGTH = 40;
const USERNAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$/;

type Way = "sign-in" | "register";

interface SignInDialogProps {
  readonly person: Pick<Person, "signIn" | "register">;
  /** The name of the guest who opens it, if they have one. */
  readonly name: string;
  readonly onClose: () => void;
}

/** Signing in, or making an account. */
export function SignInDialog({ person, name, onClose }: SignInDialogProps): ReactNode {
  const [way, setWay] = useState<Way>("sign-in");
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const [shown, setShown] = useState(name);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const registers = way === "register";

  const missing = (): string | null => {
    if (username.trim() === "" || password === "") return "Enter your user name and password.";
    if (!registers) return null;
    if (!USERNAME.test(username.trim())) {
      return "A user name has 3 to 32 letters, digits, dots, hyphens or underscores, and begins with a letter or digit.";
    }
    if (Array.from(password).length < MIN_PASSWORD_LENGTH) {
      return `A password has at least ${MIN_PASSWORD_LENGTH} characters.`;
    }
    return null;
  };

  const submit = async (): Promise<void> => {
    const lacking = missing();
    setProblem(lacking);
    if (lacking !== null) return;
    setBusy(true);
    try {
      const user = username.trim();
      if (registers) await person.register(user, password, shown.trim() === "" ? user : shown.trim());
      else await person.signIn(user, password);
      onClose();
    } catch (error) {
      setProblem(describeError(error));
      setBusy(false);
    }
  };

  const choose = (chosen: Way): void => {
    setWay(chosen);
    setProblem(null);
  };

  return (
    <Modal title={registers ? "Create an account" : "Sign in"} testId="sign-in-dialog" onClose={onClose}>
      <form
        className="modal-form"
        noValidate
        onSubmit={(event: SyntheticEvent) => {
          event.preventDefault();
          void submit();
        }}
      >
        <TextField
          label="User name"
          testId="username-input"
          autoComplete="username"
          maxLength={32}
          value={username}
          onChange={setUsername}
        />
        <TextField
          label="Password"
          testId="password-input"
          type="password"
          autoComplete={registers ? "new-password" : "current-password"}
          maxLength={MAX_PASSWORD_LENGTH}
          value={password}
          onChange={setPassword}
          {...(registers && { hint: `At least ${MIN_PASSWORD_LENGTH} characters. A few words are easy to keep.` })}
        />
        {registers && (
          <TextField
            label="Name that others see"
            testId="display-name-input"
            autoComplete="nickname"
            maxLength={MAX_NAME_LENGTH}
            value={shown}
            onChange={setShown}
          />
        )}
        {problem !== null && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="button primary wide" data-testid="submit-account" disabled={busy}>
          {registers ? (busy ? "Creating…" : "Create account") : busy ? "Signing in…" : "Sign in"}
        </button>
        <p className="modal-other">
          {registers ? "You have an account?" : "New here?"}{" "}
          <button
            type="button"
            className="link"
            data-testid="other-way"
            onClick={() => {
              choose(registers ? "sign-in" : "register");
            }}
          >
            {registers ? "Sign in" : "Create an account"}
          </button>
        </p>
      </form>
    </Modal>
  );
}
