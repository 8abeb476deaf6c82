import { useEffect, useRef, useState, type ReactNode } from "react";

import type { ApiClient } from "../api/client.ts";
import { describeError } from "../api/problem.ts";
import { Icon } from "./icons.tsx";
import { colourOf } from "./name-colour.ts";
import { ProfileDialog } from "./profile-dialog.tsx";
import { SignInDialog } from "./sign-in-dialog.tsx";
import { usePerson } from "./use-person.ts";

type Open = "menu" | "profile" | "sign-in" | null;

/** In the header: a way to sign in, or who is signed in and what they can do about it. */
export function AccountMenu({ api }: { readonly api: ApiClient }): ReactNode {
  const identity = usePerson(api);
  const [open, setOpen] = useState<Open>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const place = useRef<HTMLDivElement>(null);
  const close = (): void => {
    setOpen(null);
  };

  useEffect(() => {
    if (open !== "menu") return;
    const onPress = (event: PointerEvent): void => {
      if (event.target instanceof Node && place.current?.contains(event.target) !== true) setOpen(null);
    };
    const onKey = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen(null);
    };
    document.addEventListener("pointerdown", onPress);
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("pointerdown", onPress);
      document.removeEventListener("keydown", onKey);
    };
  }, [open]);

  if (identity?.account !== true) {
    return (
      <div className="account">
        <button
          type="button"
          className="button small"
          data-testid="sign-in"
          onClick={() => {
            setOpen("sign-in");
          }}
        >
          <Icon name="user" />
          Sign in
        </button>
        {open === "sign-in" && <SignInDialog person={api.person} name={identity?.name ?? ""} onClose={close} />}
      </div>
    );
  }
  return (
    <div className="account" ref={place}>
      <button
        type="button"
        className="account-button"
        data-testid="account"
        aria-haspopup="menu"
        aria-expanded={open === "menu"}
        onClick={() => {
          setProblem(null);
          setOpen(open === "menu" ? null : "menu");
        }}
      >
        <span className={`initial colour-${colourOf(identity.id)}`} aria-hidden="true">
          {Array.from(identity.name)[0]?.toUpperCase()}
        </span>
        <span className="account-name">{identity.name}</span>
      </button>
      {open === "menu" && (
        <div className="account-menu" role="menu">
          <button
            type="button"
            role="menuitem"
            data-testid="open-profile"
            onClick={() => {
              setOpen("profile");
            }}
          >
            Profile
          </button>
          <button
            type="button"
            role="menuitem"
            data-testid="sign-out"
            onClick={() => {
              api.person.signOut().then(close, (error: unknown) => {
                setProblem(describeError(error));
              });
            }}
          >
            Sign out
          </button>
          {problem !== null && (
            <p className="problem" role="alert">
              {problem}
            </p>
          )}
        </div>
      )}
      {open === "profile" && <ProfileDialog person={api.person} onClose={close} />}
    </div>
  );
}
