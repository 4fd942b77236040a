// The base map in the detail that the zoom deserves; the coarse one stays until the fine one is there.
import { useEffect, useState } from "preact/hooks";
import { loadWorld, type World } from "./world";

const FINE_FROM_ZOOM = 3.6;

export function useWorld(zoom: number): World | null {
  const [coarse, setCoarse] = useState<World | null>(null);
  const [fine, setFine] = useState<World | null>(null);
  useEffect(() => {
    // Pins work without land, so a base map that does not arrive is no error to show.
    loadWorld("110m").then(setCoarse, () => undefined);
  }, []);
  const close = zoom >= FINE_FROM_ZOOM;
  useEffect(() => {
    if (close && fine === null) loadWorld("50m").then(setFine, () => undefined);
  }, [close, fine]);
  return close ? (fine ?? coarse) : coarse;
}
