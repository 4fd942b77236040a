// Writes the names of towns that the map shows when one looks closer: `node scripts/cities.mjs`.
// Source: shared/data/places.tsv.gz (GeoNames, CC BY 4.0). The same input gives the same bytes.
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";

/** The hand-made list, whose names come first: this Node reads no TypeScript, so its lines are read. */
const CITIES = [
  ...readFileSync(new URL("../src/map/cities.ts", import.meta.url), "utf8").matchAll(
    /^ {2}\["(.+)", (-?[\d.]+), (-?[\d.]+), [\d.]+\],$/gm,
  ),
].map(([, name, lng, lat]) => [name, Number(lng), Number(lat)]);
if (CITIES.length < 100) throw new Error("cities.ts is not as it was");

const SOURCE = new URL("../../shared/data/places.tsv.gz", import.meta.url);
/** Two files: the larger towns come first, the smaller only when one looks closer still. */
const FILES = [
  { name: "towns-large.json", least: 150_000, deepest: 6.5 },
  { name: "towns-small.json", least: 40_000, deepest: 13 },
];
/** A town is named from the zoom on at which no larger one is nearer than this. */
const APART_PX = 84;
const FIRST_ZOOM = 4.2;

const unit = (lng, lat) => {
  const sin = Math.sin((lat * Math.PI) / 180);
  return [(lng + 180) / 360, 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI)];
};

/** Known ones are found by a square of the map, so that neighbours need not be looked for among all. */
const SQUARES = 64;
const known = new Map();
const squareOf = (x, y) => [Math.floor(x * SQUARES), Math.floor(y * SQUARES)];
function remember(x, y) {
  const [column, row] = squareOf(x, y);
  const key = `${column} ${row}`;
  known.set(key, [...(known.get(key) ?? []), [x, y]]);
}
function nearest(x, y) {
  const [column, row] = squareOf(x, y);
  let best = 2 / SQUARES;
  for (let dx = -2; dx <= 2; dx += 1) {
    for (let dy = -2; dy <= 2; dy += 1) {
      const key = `${(column + dx + SQUARES) % SQUARES} ${row + dy}`;
      for (const [ox, oy] of known.get(key) ?? [])
        best = Math.min(best, Math.hypot(ox - x, oy - y));
    }
  }
  return best;
}

/** Names of the hand-made list are not said twice. */
const SAME_DEGREES = 0.35;
const NEAR_DEGREES = 0.12;
const isKnown = (lng, lat) =>
  CITIES.some(
    ([, x, y]) => Math.hypot((x - lng) * Math.cos((lat * Math.PI) / 180), y - lat) < NEAR_DEGREES,
  );
const isSame = (name, lng, lat) =>
  CITIES.some(([other, x, y]) => other === name && Math.hypot(x - lng, y - lat) < SAME_DEGREES);

const towns = gunzipSync(readFileSync(SOURCE))
  .toString("utf8")
  .split("\n")
  .filter((line) => line.startsWith("P\t"))
  .map((line) => {
    const [, name, , country, lat, lng, population] = line.split("\t");
    return { name, country, lat: Number(lat), lng: Number(lng), population: Number(population) };
  })
  .filter(({ population }) => population >= FILES.at(-1).least)
  .sort((a, b) => b.population - a.population || (a.name < b.name ? -1 : 1));

for (const [, lng, lat] of CITIES) remember(...unit(lng, lat));
for (const town of towns) {
  const [x, y] = unit(town.lng, town.lat);
  if (isKnown(town.lng, town.lat) || isSame(town.name, town.lng, town.lat)) continue;
  town.from = Math.max(FIRST_ZOOM, Math.log2(APART_PX / 256 / nearest(x, y)));
  remember(x, y);
}

const left = new Set(towns.filter(({ from }) => from !== undefined));
for (const { name, least, deepest } of FILES) {
  const kept = [...left].filter(({ from, population }) => population >= least && from <= deepest);
  for (const town of kept) left.delete(town);
  kept.sort((a, b) => a.from - b.from || b.population - a.population);
  const columns = {
    names: kept.map((town) => town.name).join("\n"),
    // Hundredths of a degree, and tenths of a zoom.
    lng: kept.map((town) => Math.round(town.lng * 100)),
    lat: kept.map((town) => Math.round(town.lat * 100)),
    from: kept.map((town) => Math.ceil(town.from * 10)),
  };
  const text = `${JSON.stringify(columns)}\n`;
  writeFileSync(new URL(`../src/map/${name}`, import.meta.url), text);
  console.log(`${name}: ${kept.length} towns, ${gzipSync(text).length} bytes gzip`);
}
