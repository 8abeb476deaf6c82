import { useCallback, useEffect, useLayoutEffect, useRef, useState, type RefObject } from "react";

const NEAR_PX = 48;

export interface StickToEnd<T extends HTMLElement> {
  readonly ref: RefObject<T | null>;
  readonly onScroll: () => void;
  /** Something new has come while its reader was looking at what is older. */
  readonly unseen: boolean;
  readonly toEnd: () => void;
}

/** Keeps a list scrolled to its end while its reader is there, and leaves them in peace when they are not. */
export function useStickToEnd<T extends HTMLElement>(newest: string | undefined): StickToEnd<T> {
  const ref = useRef<T>(null);
  const atEnd = useRef(true);
  const [seen, setSeen] = useState<string | undefined>(undefined);
  const [away, setAway] = useState(false);

  const toEnd = useCallback((): void => {
    const element = ref.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
    atEnd.current = true;
    setAway(false);
  }, []);

  const onScroll = useCallback((): void => {
    const element = ref.current;
    if (element === null) return;
    const near = element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX;
    if (atEnd.current && !near) setSeen(newest);
    atEnd.current = near;
    setAway(!near);
  }, [newest]);

  useLayoutEffect(() => {
    const element = ref.current;
    if (element !== null && atEnd.current) element.scrollTop = element.scrollHeight;
  }, [newest]);

  // A banner or the keyboard makes the list shorter; its end must stay in sight.
  useEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => {
      if (atEnd.current) element.scrollTop = element.scrollHeight;
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
    };
  }, []);

  return { ref, onScroll, unseen: away && seen !== newest, toEnd };
}
