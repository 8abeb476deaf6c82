import { useId, type ReactNode } from "react";

interface NameFieldProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
}

const MAX_NAME_LENGTH = 40;

export function NameField({ value, onChange }: NameFieldProps): ReactNode {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        Your name
      </label>
      <input
        id={id}
        data-testid="name-input"
        type="text"
        autoComplete="nickname"
        placeholder="How others see you"
        maxLength={MAX_NAME_LENGTH}
        required
        value={value}
        onChange={(event) => {
          onChange(event.target.value);
        }}
      />
    </div>
  );
}
