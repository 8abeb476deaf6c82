import { useState, type ReactNode } from "react";

import type { ApiClient } from "../api/client.ts";
import { describeError } from "../api/problem.ts";
import { CopyField } from "./copy-field.tsx";
import { Icon } from "./icons.tsx";

interface EncoderCardProps {
  readonly api: ApiClient;
  readonly roomId: string;
}

const HIDDEN = "•".repeat(24);

/** How to stream from a program instead of this page. The token is a secret: fetched on demand, shown on demand. */
export function EncoderCard({ api, roomId }: EncoderCardProps): ReactNode {
  const [token, setToken] = useState<string | null>(null);
  const [revealed, setRevealed] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const url = new URL(`/v1/rooms/${roomId}/whip`, location.origin).href;

  const obtain = async (): Promise<string> => {
    if (token !== null) return token;
    try {
      const grant = await api.roomToken(roomId, "encoder");
      setToken(grant.token);
      setProblem(null);
      return grant.token;
    } catch (error) {
      setProblem(describeError(error));
      throw error;
    }
  };

  const toggle = async (): Promise<void> => {
    if (revealed) {
      setRevealed(false);
      return;
    }
    // A failure is on the page already.
    await obtain().then(
      () => {
        setRevealed(true);
      },
      () => undefined,
    );
  };

  return (
    <section className="card" aria-labelledby="encoder-title">
      <h2 id="encoder-title">Use OBS or FFmpeg</h2>
      <p>
        In OBS choose the service <strong>WHIP</strong>. With FFmpeg use <code>-f whip -authorization</code> and the
        token.
      </p>
      <CopyField label="Server" shown={url} testId="encoder-url" value={() => Promise.resolve(url)} />
      <CopyField
        label="Bearer token"
        shown={revealed && token !== null ? token : HIDDEN}
        testId="encoder-token"
        value={obtain}
      >
        <button
          type="button"
          className="button small"
          data-testid="encoder-reveal"
          aria-pressed={revealed}
          onClick={() => {
            void toggle();
          }}
        >
          <Icon name="eye" />
          {revealed ? "Hide" : "Reveal"}
        </button>
      </CopyField>
      <p className="hint">The token is valid for 12 hours and for this room alone. Keep it to yourself.</p>
      {problem !== null && (
        <p className="problem" role="alert">
          {problem}
        </p>
      )}
    </section>
  );
}
