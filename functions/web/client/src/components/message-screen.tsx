import type { ReactNode } from "react";

import { navigate } from "../router.ts";
import { Logo } from "./icons.tsx";

interface MessageScreenProps {
  readonly title: string;
  readonly text: string;
  readonly onRetry?: () => void;
}

/** A whole page that says why there is no room to see. */
export function MessageScreen({ title, text, onRetry }: MessageScreenProps): ReactNode {
  return (
    <main className="message-screen">
      <Logo />
      <div className="card message-card" role="alert">
        <h1 data-testid="error-title">{title}</h1>
        <p>{text}</p>
        <div className="actions">
          {onRetry && (
            <button type="button" className="button primary" onClick={onRetry}>
              Try again
            </button>
          )}
          <button
            type="button"
            className="button"
            onClick={() => {
              navigate("/");
            }}
          >
            Back to start
          </button>
        </div>
      </div>
    </main>
  );
}
