// The running stack as the tests know it: where it is, what may be asked of it, and events of their own.
//
// PORTCALL_TEST_BASE_URL     where the page is (http://127.0.0.1:8080)
// PORTCALL_TEST_IMAGE        an image that answers with Gordon's name and a vote for Cats
// PORTCALL_TEST_TOKEN        a token of an operator
// PORTCALL_TEST_CTL          the command `portcall`, with the database in its environment
// PORTCALL_TEST_TELL_API     a command that is told kill, stop or start, and does that to the api
// PORTCALL_TEST_DOCKER_HOST  an engine that builds further images, and …_REGISTRY where they go
// PORTCALL_TEST_STATIC_BIN   the folder of the program `app` that they are made of
// PORTCALL_TEST_CHROMIUM     the browser (Debian's own)
// PORTCALL_TEST_PROFILE      full: with the tests that take long
// PORTCALL_TEST_BROWSER_PINS how many pins million.mjs puts on a map (20000, and a million with full)
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

export const BASE = (process.env.PORTCALL_TEST_BASE_URL || "http://127.0.0.1:8080").replace(
  /\/$/,
  "",
);
export const ORIGIN = new URL(BASE).origin;
export const FULL = process.env.PORTCALL_TEST_PROFILE === "full";
/** A submission is graded within this time, also when others are in front of it. */
export const GRADED_MS = 120_000;
/** What the page shows at once is there within this time, also on a busy machine. */
export const SHOWN_MS = 20_000;
const LOOK_EVERY_MS = 100;
/** A request that is not answered within this time is asked again, or has failed. */
const ANSWERED_MS = 60_000;
const TOLD_MS = 45_000;

export function given(name) {
  const value = process.env[name];
  assert.ok(value, `${name} has to be given; ./infra/test browser does`);
  return value;
}

export const short = () => randomUUID().slice(0, 8);
export const newHandle = () => `@e2e_${short()}`;

/** Asks the api; the answer's body is parsed if it is JSON. */
export async function ask(path, { method = "GET", body, token } = {}) {
  const headers = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token !== undefined) headers.authorization = `Bearer ${token}`;
  const response = await fetch(BASE + path, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWERED_MS),
  });
  const text = await response.text();
  const json = /json/.test(response.headers.get("content-type") ?? "");
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: json ? JSON.parse(text) : null,
  };
}

export async function getJson(path) {
  const { status, body, text } = await ask(path);
  assert.equal(status, 200, `${path}: ${text}`);
  return body;
}

/** Something that an organiser does; it has to succeed. */
export async function organise(path, body, method = body === undefined ? "GET" : "POST") {
  const answer = await ask(`/api/v1/admin${path}`, {
    method,
    body,
    token: given("PORTCALL_TEST_TOKEN"),
  });
  assert.ok(answer.status >= 200 && answer.status < 300, `${method} ${path}: ${answer.text}`);
  return answer.body;
}

/** Looks again and again until there is something to see, and gives that back. */
export async function until(what, look, ms = SHOWN_MS) {
  const end = Date.now() + ms;
  let last = "";
  for (;;) {
    try {
      const seen = await look();
      if (seen) return seen;
    } catch (error) {
      last = `: ${error}`;
    }
    if (Date.now() > end) throw new Error(`after ${ms} ms still not: ${what}${last}`);
    await pause(LOOK_EVERY_MS);
  }
}

export async function portcall(...words) {
  const { stdout } = await run(given("PORTCALL_TEST_CTL"), words);
  return stdout.trim();
}

/** Kills, stops or starts the api. */
export async function tellApi(word) {
  // Where nobody keeps the api any more, nobody listens.
  await run(given("PORTCALL_TEST_TELL_API"), [word], { timeout: TOLD_MS });
}

export async function apiAnswers(ms = 60_000) {
  await until("the api answers", async () => (await ask("/api/v1/events")).status === 200, ms);
}

/** TOML's basic strings are those of JSON, but for DEL. */
const quoted = (text) => JSON.stringify(text).replaceAll("\u007f", "\\u007f");

export const VOTE = { name: "vote", label: "Your vote", one_of: ["Cats", "Dogs"] };
/** Passes whoever votes as the image does. */
export const VOTE_CHECK = `name = "config"\nimage = "any"\nget = "/getconfig"\nstatus = 200
json = [{ path = "$.vote", equals = "{answers.vote}" }]`;
/** Passes whoever has the image's name and votes as it does. */
export const NAME_CHECK = `name = "config"\nimage = "any"\nget = "/getconfig"\nstatus = 200
json = [{ path = "$.name", equals = "{participant.name}" }, { path = "$.vote", equals = "{answers.vote}" }]`;

/** An event's file. `checks` are the insides of its [[checks]]. */
export function eventFile({
  slug,
  title,
  answers = [VOTE],
  checks = [NAME_CHECK],
  images = [1, 4],
  times = "",
  limits = "",
  registries = [],
}) {
  const hosts = ["docker.io", given("PORTCALL_TEST_REGISTRY"), ...registries];
  const asked = answers.map(({ name, label, one_of }) =>
    [
      "[[answers]]",
      `name = ${quoted(name)}`,
      ...(label === undefined ? [] : [`label = ${quoted(label)}`]),
      ...(one_of === undefined ? [] : [`one_of = [${one_of.map(quoted).join(", ")}]`]),
    ].join("\n"),
  );
  return [
    `slug = ${quoted(slug)}\ntitle = ${quoted(title)}\n${times}`,
    `[images]\nmin = ${images[0]}\nmax = ${images[1]}\naliases = ${JSON.stringify(["vote", "result"].slice(0, images[1]))}`,
    `registries = [${hosts.map(quoted).join(", ")}]`,
    ...asked,
    ...checks.map((check) => `[[checks]]\n${check}`),
    `[limits]\n${limits}`,
  ].join("\n\n");
}

/** Opens an event of one's own and answers with what the page is told of it. */
export async function makeEvent(wishes = {}) {
  const slug = wishes.slug ?? `e2e-${short()}`;
  const source = eventFile({ slug, title: "A test of the page", ...wishes });
  const folder = await mkdtemp(join(tmpdir(), "portcall-e2e-"));
  try {
    await writeFile(join(folder, "event.toml"), source);
    await portcall("event", "apply", join(folder, "event.toml"));
  } finally {
    await rm(folder, { recursive: true });
  }
  return { ...(await getJson(`/api/v1/events/${slug}`)), source };
}

/** What is POSTed for somebody who passes, unless `changes` see to that. */
export function submission(changes = {}) {
  return {
    participant: { name: "Gordon", handle: newHandle(), ...changes.participant },
    place: changes.place ?? { label: "Oakland, California, US", lat: 37.8044, lng: -122.2712 },
    images: changes.images ?? [given("PORTCALL_TEST_IMAGE")],
    answers: changes.answers ?? { vote: "Cats" },
  };
}

/** Sends a submission and answers with its id and secret. */
export async function send(slug, changes = {}) {
  const path = `/api/v1/events/${slug}/submissions?again=true`;
  const { status, text, body } = await ask(path, { method: "POST", body: submission(changes) });
  assert.equal(status, 202, text);
  return body;
}

export async function reach(id, state, ms = GRADED_MS) {
  return until(
    `${id} is ${state}`,
    async () => {
      const now = await getJson(`/api/v1/submissions/${id}`);
      return now.state === state ? now : null;
    },
    ms,
  );
}

/** Sends a submission and waits for its end. */
export async function graded(slug, changes = {}, state = "passed") {
  const { id } = await send(slug, changes);
  return reach(id, state);
}

export async function onMap(slug, count) {
  return until(`${count} pins are on the map`, async () => {
    const { total } = await getJson(`/api/v1/events/${slug}/pins?zoom=0`);
    return total >= count;
  });
}
