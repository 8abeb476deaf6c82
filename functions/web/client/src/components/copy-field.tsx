import { useEffect, useState, type ReactNode } from "react";

import { Icon } from "./icons.tsx";

interface CopyFieldProps {
  readonly label: string;
  /** What is shown, which for a secret is not what is copied. */
  readonly shown: string;
  readonly testId: string;
  /** The text to copy; may have to be fetched first. */
  readonly value: () => Promise<string>;
  readonly children?: ReactNode;
}

const CONFIRM_MS = 2_000;

/** A labelled value with a button that copies it. */
export function CopyField({ label, shown, testId, value, children }: CopyFieldProps): ReactNode {
  const [outcome, setOutcome] = useState<"copied" | "failed" | null>(null);

  useEffect(() => {
    if (outcome === null) return undefined;
    const timer = setTimeout(() => {
      setOutcome(null);
    }, CONFIRM_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [outcome]);

  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(await value());
      setOutcome("copied");
    } catch {
      // The clipboard is closed to insecure pages; the value can still be selected by hand.
      setOutcome("failed");
    }
  };

  return (
    <div className="copy-field">
      <span className="field-label">{label}</span>
      <div className="copy-row">
        <code data-testid={testId}>{shown}</code>
        {children}
        <button
          type="button"
          className="button small"
          onClick={() => {
            void copy();
          }}
          aria-label={`Copy ${label.toLowerCase()}`}
        >
          <Icon name={outcome === "copied" ? "check" : "copy"} />
          <span aria-live="polite">
            {outcome === "copied" ? "Copied" : outcome === "failed" ? "Select it" : "Copy"}
          </span>
        </button>
      </div>
    </div>
  );
}
