import { useEffect, type RefObject } from "react";

/** Until the first picture: most of them are as wide. */
const WIDE = 9 / 16;

/** Tells how tall the picture can be in that element, in pixels of the device, whenever that changes. */
export function usePictureHeight(
  stage: RefObject<HTMLElement | null>,
  video: RefObject<HTMLVideoElement | null>,
  onHeight: (height: number) => void,
): void {
  useEffect(() => {
    const box = stage.current;
    const picture = video.current;
    if (box === null || picture === null) return;
    const measure = (): void => {
      const { videoWidth, videoHeight } = picture;
      const shape = videoWidth > 0 ? videoHeight / videoWidth : WIDE;
      const height = Math.min(box.clientHeight, box.clientWidth * shape);
      if (height > 0) onHeight(Math.round(height * devicePixelRatio));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    picture.addEventListener("resize", measure);
    return () => {
      observer.disconnect();
      picture.removeEventListener("resize", measure);
    };
  }, [stage, video, onHeight]);
}
