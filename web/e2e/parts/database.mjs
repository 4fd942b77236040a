// A million pins: passed submissions put straight into the tests' database, while no api looks.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { Double, MongoClient, UUID } from "mongodb";
import { given } from "./stack.mjs";

const GAZETTEER = new URL("../../../shared/data/places.tsv.gz", import.meta.url);
const BATCH = 5_000;
const AT_ONCE = 3;
/** So often it is said how far it is. */
const TELL_EVERY = 100_000;
/** How long the event went on. */
const HOURS = 30;
const FIRST = [
  "Ana",
  "Björn",
  "Chidi",
  "Dilnoza",
  "Esra",
  "Fatima",
  "Goran",
  "Hye-jin",
  "Ivo",
  "李伟",
];
const LAST = [
  "Novák",
  "Okafor",
  "Silva",
  "Tanaka",
  "Müller",
  "Haddad",
  "Smith",
  "Nguyen",
  "Roy",
  "Ek",
];

/** The same numbers in every run (mulberry32). */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The cities that the programs know, and a way to draw one: larger ones more often. */
function gazetteer() {
  const cities = [];
  let weight = 0;
  for (const line of gunzipSync(readFileSync(GAZETTEER)).toString().split("\n")) {
    const [kind, name, , country, lat, lng, population] = line.split("\t");
    if (kind !== "P") continue;
    weight += Number(population) ** 0.8;
    cities.push({
      label: `${name}, ${country}`,
      country,
      lat: Number(lat),
      lng: Number(lng),
      weight,
    });
  }
  assert.ok(cities.length > 30_000, "the gazetteer is read");
  return (share) => {
    let [low, high] = [0, cities.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cities[middle].weight < share * weight) low = middle + 1;
      else high = middle;
    }
    return cities[low];
  };
}

/** As the store rounds them, to 0.01°. */
const rounded = (degrees) => new Double(Math.round(degrees * 100) / 100);

/** A UUIDv7, like the ids of submissions. */
function newId(ms) {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(ms, 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return new UUID(bytes);
}

function* documents(template, count) {
  const draw = numbers(13);
  const city = gazetteer();
  const attempts = template.attempts.map((attempt) => ({ ...attempt, evidence: null }));
  const end = Date.now();
  for (let n = 0; n < count; n += 1) {
    const { label, country, lat, lng } = city(draw());
    // Some say where in town they are.
    const stray = draw() < 0.4 ? 0.3 : 0;
    const at = end - Math.floor((1 - draw() ** 0.6) * HOURS * 3_600_000);
    const name = `${FIRST[Math.floor(draw() * 10)]} ${LAST[Math.floor(draw() * 10)]}`;
    const created = new Date(at - 3_000);
    yield {
      ...template,
      _id: newId(at),
      participant: { ...template.participant, key: `handle:seed${n}`, name, handle: `@seed${n}` },
      place: {
        label,
        country,
        lat: rounded(Math.min(84, lat + (draw() - 0.5) * stray)),
        lng: rounded(Math.max(-180, Math.min(179.99, lng + (draw() - 0.5) * stray))),
      },
      created_at: created,
      order: created,
      updated_at: new Date(at),
      since: new Date(at),
      verdict: { ...template.verdict, at: new Date(at) },
      attempts,
    };
  }
}

/** Opens the database of the stack; the numbers of documents keep their types. */
export async function openDatabase() {
  const client = await new MongoClient(given("PORTCALL_MONGODB_URI"), {
    promoteValues: false,
  }).connect();
  const submissions = client.db(given("PORTCALL_MONGODB_DATABASE")).collection("submissions");
  return { submissions, close: () => client.close() };
}

/** Adds so many to an event, each shaped as the one of it that passed before, and tells how far it is. */
export async function seed({ submissions }, event, count, tell) {
  const template = await submissions.findOne({ event, state: "passed" });
  assert.ok(template, `nobody passed in ${event} yet`);
  delete template.idempotency;
  delete template.lane;
  let batch = [];
  const running = new Set();
  let sent = 0;
  let failure = null;
  const flush = async () => {
    sent += batch.length;
    if (sent % TELL_EVERY === 0 && sent < count) tell(sent);
    const write = submissions.insertMany(batch, {
      ordered: false,
      writeConcern: { w: 1, j: false },
    });
    const done = write
      .then(
        () => undefined,
        (error) => {
          failure ??= error;
        },
      )
      .finally(() => running.delete(done));
    running.add(done);
    batch = [];
    if (running.size >= AT_ONCE) await Promise.race(running);
    if (failure !== null) throw failure;
  };
  for (const document of documents(template, count)) {
    batch.push(document);
    if (batch.length === BATCH) await flush();
  }
  if (batch.length > 0) await flush();
  await Promise.all(running);
  if (failure !== null) throw failure;
}

export async function unseed({ submissions }, event) {
  await submissions.deleteMany({ event });
}
