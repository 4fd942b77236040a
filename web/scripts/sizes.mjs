// Prints what a first visit downloads, compressed, and fails when it has become too much, or when it brings
// along what only the board or the console need. Usage: node scripts/sizes.mjs [FOLDER]
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const DIST = process.argv[2] ?? new URL("../dist/", import.meta.url).pathname;
const LIMIT_KB = {
  "without the map": 150,
  "with the map": 500,
  "of the board": 500,
  "of the console": 300,
};
/** Views that are loaded when they are first shown, and nothing of them earlier. */
const LATER = ["src/board/Board.tsx", "src/console/Console.tsx", "src/console/overview/chart.ts"];

const manifest = JSON.parse(readFileSync(join(DIST, ".manifest.json"), "utf8"));

/** An entry with everything that it imports at once, styles included. */
function filesOf(key, seen = new Set()) {
  const chunk = manifest[key];
  if (chunk === undefined || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const file of [...(chunk.css ?? []), ...(chunk.assets ?? [])]) seen.add(file);
  for (const name of chunk.imports ?? []) filesOf(name, seen);
  return seen;
}

const gzipped = (file) => gzipSync(readFileSync(join(DIST, file))).length;
const total = (files) => [...files].reduce((sum, file) => sum + gzipped(file), 0) / 1000;

const find = (part) => {
  const key = Object.keys(manifest).find((name) => name.endsWith(part));
  if (key === undefined) throw new Error(`the build has no ${part}`);
  return key;
};
const page = ["index.html", ...filesOf("index.html")];
const world = filesOf(find("countries-110m.json"));
const loads = {
  "without the map": new Set([
    ...page,
    ...filesOf(find("src/submit.tsx")),
    ...filesOf(find("src/status.tsx")),
  ]),
  "with the map": new Set([...page, ...filesOf(find("src/map.tsx")), ...world]),
  "of the board": new Set([...page, ...filesOf(find("src/board/Board.tsx")), ...world]),
  "of the console": new Set([
    ...page,
    ...filesOf(find("src/console/Console.tsx")),
    ...filesOf(find("src/console/overview/chart.ts")),
  ]),
};
const first = new Set([...loads["without the map"], ...loads["with the map"]]);

for (const file of readdirSync(join(DIST, "assets")).sort()) {
  console.log(`${(gzipped(join("assets", file)) / 1000).toFixed(1).padStart(8)} kB  ${file}`);
}
let tooMuch = 0;
for (const [name, files] of Object.entries(loads)) {
  const size = total(files);
  const limit = LIMIT_KB[name];
  if (size > limit) tooMuch += 1;
  console.log(`first load ${name}: ${size.toFixed(1)} kB gzip (limit ${limit} kB)`);
}
for (const source of LATER) {
  const own = manifest[find(source)];
  const early = [own.file, ...(own.css ?? [])].filter((file) => first.has(file));
  if (early.length > 0) {
    console.error(`${early.join(", ")} of ${source} is part of the first load`);
    tooMuch += 1;
  }
}
if (tooMuch > 0) {
  console.error("the first load is not what it should be");
  process.exit(1);
}
