// Names of towns for a closer look, beside the hand-made list of cities; fetched when they are needed.
// The files are made by scripts/cities.mjs from the gazetteer (GeoNames, CC BY 4.0).
import { useEffect, useState } from "preact/hooks";
import { CITIES } from "./cities";
import { toUnit } from "./viewport";

export interface Town {
  name: string;
  /** In the unit square. */
  x: number;
  y: number;
  /** The zoom from which it is named. */
  from: number;
}

export interface Columns {
  names: string;
  lng: number[];
  lat: number[];
  from: number[];
}

const SETS = [
  { from: 4, load: () => import("./towns-large.json") },
  { from: 6.2, load: () => import("./towns-small.json") },
];

export const CITY_TOWNS: readonly Town[] = CITIES.map(([name, lng, lat, from]) => {
  const [x, y] = toUnit(lng, lat);
  return { name, x, y, from };
});

export function readTowns({ names, lng, lat, from }: Columns): Town[] {
  return names.split("\n").map((name, index) => {
    const [x, y] = toUnit((lng[index] ?? 0) / 100, (lat[index] ?? 0) / 100);
    return { name, x, y, from: (from[index] ?? 0) / 10 };
  });
}

const loaded: (Promise<Town[]> | undefined)[] = [];

function loadSet(index: number): Promise<Town[]> {
  const known = loaded[index];
  if (known !== undefined) return known;
  const set = SETS[index];
  if (set === undefined) return Promise.resolve([]);
  const towns = set.load().then((file) => readTowns(file.default));
  // A failed download may be tried again.
  towns.catch(() => {
    loaded[index] = undefined;
  });
  loaded[index] = towns;
  return towns;
}

/** The towns of this zoom and of those before it, the first named first. */
export function useTowns(zoom: number): readonly Town[] {
  const [towns, setTowns] = useState<readonly Town[]>([]);
  const wanted = SETS.filter(({ from }) => zoom >= from).length;
  useEffect(() => {
    let over = false;
    const sets = Array.from({ length: wanted }, (_, index) => loadSet(index));
    // Names are no more than a help, so those that do not arrive are no error to show.
    Promise.all(sets).then(
      (all) => {
        if (!over && all.length > 0) setTowns(all.flat());
      },
      () => undefined,
    );
    return () => {
      over = true;
    };
  }, [wanted]);
  return towns;
}
