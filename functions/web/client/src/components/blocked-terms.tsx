import { useRef, useState, type KeyboardEvent, type ReactNode } from "react";

import { Icon } from "./icons.tsx";

export const MAX_TERMS = 100;
export const MAX_TERM_CHARACTERS = 64;

interface BlockedTermsProps {
  readonly terms: readonly string[];
  readonly disabled: boolean;
  readonly onChange: (terms: readonly string[]) => void;
}

/** Words and phrases that nobody's message may have; several at once where commas or lines part them. */
export function BlockedTerms({ terms, disabled, onChange }: BlockedTermsProps): ReactNode {
  const [typed, setTyped] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const field = useRef<HTMLInputElement>(null);

  const add = (): void => {
    const wished = withTerms(terms, typed);
    if (typeof wished === "string") {
      setProblem(wished);
      return;
    }
    setProblem(null);
    setTyped("");
    if (wished.length > terms.length) onChange(wished);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && !event.nativeEvent.isComposing) add();
  };

  return (
    <div className="field">
      <label className="field-label" htmlFor="setting-terms">
        Blocked words
      </label>
      <div className="term-row">
        <input
          ref={field}
          id="setting-terms"
          data-testid="setting-terms"
          type="text"
          placeholder="A word or a phrase"
          autoComplete="off"
          autoCapitalize="off"
          enterKeyHint="done"
          disabled={disabled}
          aria-describedby={problem === null ? "terms-hint" : "terms-problem"}
          aria-invalid={problem !== null}
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value);
            setProblem(null);
          }}
          onKeyDown={onKeyDown}
        />
        <button
          type="button"
          className="button"
          data-testid="add-term"
          disabled={disabled || typed.trim() === ""}
          onClick={add}
        >
          Add
        </button>
      </div>
      {problem === null ? (
        <p id="terms-hint" className="hint">
          Messages that have one are refused, in any case and width.
        </p>
      ) : (
        <p id="terms-problem" className="problem" role="alert">
          {problem}
        </p>
      )}
      {terms.length > 0 && (
        <ul className="terms" aria-label="Words that are blocked">
          {terms.map((term) => (
            <li key={term} data-testid="blocked-term">
              {term}
              <button
                type="button"
                aria-label={`Allow “${term}” again`}
                title="Allow again"
                disabled={disabled}
                onClick={() => {
                  onChange(terms.filter((other) => other !== term));
                  // The button goes with its word; the focus must go somewhere.
                  field.current?.focus();
                }}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** The terms and those typed, each once; or a sentence that says why that cannot be. */
function withTerms(terms: readonly string[], typed: string): readonly string[] | string {
  const all = [...terms];
  for (const part of typed.split(/[,\n]/)) {
    const term = part.trim().replace(/\s+/g, " ");
    if (term === "" || all.some((other) => other.toLowerCase() === term.toLowerCase())) continue;
    if (Array.from(term).length > MAX_TERM_CHARACTERS) return `At most ${MAX_TERM_CHARACTERS} characters each.`;
    all.push(term);
  }
  return all.length > MAX_TERMS ? `At most ${MAX_TERMS} words and phrases.` : all;
}
