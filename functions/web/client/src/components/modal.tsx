import { useEffect, useId, useRef, type ReactNode } from "react";

import { Icon } from "./icons.tsx";

interface ModalProps {
  readonly title: string;
  readonly testId: string;
  readonly children: ReactNode;
  readonly onClose: () => void;
}

/** A dialog in the middle of the page; Escape, its cross and a click beside it close it. */
export function Modal({ title, testId, children, onClose }: ModalProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();

  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  return (
    <dialog
      ref={dialog}
      className="modal"
      aria-labelledby={titleId}
      data-testid={testId}
      onClose={onClose}
      onMouseDown={(event) => {
        // Where a press begins counts: one that selects text may end beside the dialog.
        if (event.target === event.currentTarget) event.currentTarget.close();
      }}
    >
      <div className="modal-body">
        <div className="modal-head">
          <h2 id={titleId}>{title}</h2>
          <button
            type="button"
            className="icon-button"
            aria-label="Close"
            onClick={() => {
              dialog.current?.close();
            }}
          >
            <Icon name="close" />
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
