// A scene for whoever looks at every view: an event with all kinds of submissions, and events in every state.
import assert from "node:assert/strict";
import { pushImage } from "./images.mjs";
import {
  ask,
  graded,
  makeEvent,
  onMap,
  organise,
  reach,
  send,
  until,
  VOTE_CHECK,
} from "./stack.mjs";

const PEOPLE = [
  ["Gordon", "San Francisco, California, US", 37.7749, -122.4194],
  ["Amélie", "Paris, FR", 48.8534, 2.3488],
  ["Müge", "Istanbul, TR", 41.0138, 28.9497],
  ["さくら", "Tokyo, JP", 35.6895, 139.6917],
  ["Noah", "Paris, FR", 48.8534, 2.3488],
  ["Thandiwe Nkosi-Van der Merwe", "Cape Town, ZA", -33.9258, 18.4232],
  ["ليلى", "Cairo, EG", 30.0626, 31.2497],
  ["Beatriz", "São Paulo, BR", -23.5475, -46.6361],
];
/** Nobody listens there: its submissions wait for their registry. */
const SILENT_REGISTRY = "127.0.0.1:9";

/** As participants do; one that has ended meanwhile stays. */
async function takeBack(id, secret) {
  const path = `/api/v1/submissions/${id}?erase=false`;
  const { status, text } = await ask(path, { method: "DELETE", token: secret });
  assert.ok(status < 300 || status === 409, text);
}

async function regradeIs(id, state) {
  await until(`the re-grade is ${state}`, async () => {
    const now = await organise(`/regrades/${id}`);
    return now.state === state;
  });
}

/** A re-grade of these, graded but not applied. */
async function preview(slug, set) {
  const { id } = await organise(`/events/${slug}/regrades`, set);
  await regradeIs(id, "ready");
  return id;
}

/** Everything at once; answers with the addresses' parts, and with how to strike it. */
export async function makeStage() {
  const [slow, event, empty, closed, soon] = await Promise.all([
    // It keeps its grading going for longer than anybody looks.
    pushImage({ env: { APP_MODE: "late-listen", APP_DELAY_MS: "600000" } }),
    makeEvent({
      title: "Docker Birthday #13",
      checks: [VOTE_CHECK],
      limits: "ready_s = 120",
      registries: [SILENT_REGISTRY],
      answers: [
        { name: "vote", label: "Your vote", one_of: ["Cats", "Dogs"] },
        { name: "greeting", label: "A greeting to the others" },
      ],
    }),
    makeEvent({ title: "An event with nobody in it" }),
    makeEvent({ title: "An event of the past", times: "closes = 2026-01-02T00:00:00Z" }),
    makeEvent({ title: "An event to come", times: "opens = 2099-01-02T00:00:00Z" }),
  ]);
  const { slug } = event;
  const passing = PEOPLE.map(([name, label, lat, lng]) =>
    graded(slug, {
      participant: { name },
      place: { label, lat, lng },
      answers: { vote: "Cats", greeting: `Hello from ${label.split(",")[0]}!` },
    }),
  );
  const greeting = "Good morning";
  const failing = graded(slug, { answers: { vote: "Dogs", greeting } }, "failed");
  const passed = await Promise.all(passing);
  const failed = await failing;
  await onMap(slug, PEOPLE.length);
  const answers = { vote: "Cats", greeting };
  const waiting = await send(slug, { images: [`${SILENT_REGISTRY}/app:1`], answers });
  const cancelled = await send(slug, { images: [`${SILENT_REGISTRY}/app:2`], answers });
  await organise(`/submissions/${cancelled.id}/cancel`, { note: "Sent twice" });
  await reach(cancelled.id, "cancelled");
  await organise(`/submissions/${passed[7].id}/hide`, { note: "At their own wish" });
  await organise(`/submissions/${passed[6].id}/erase`, { note: "Asked for by letter" });
  const regrade = await preview(slug, {
    where: { states: ["failed"] },
    note: "The check was wrong",
  });
  const applied = await preview(slug, { submissions: [passed[5].id] });
  await organise(`/regrades/${applied}/apply`, undefined, "POST");
  await regradeIs(applied, "applied");
  const grading = await send(slug, { images: [slow], answers });
  await reach(grading.id, "grading");
  return {
    slug,
    event,
    empty: empty.slug,
    closed: closed.slug,
    soon: soon.slug,
    passed: passed[0].id,
    failed: failed.id,
    waiting: waiting.id,
    cancelled: cancelled.id,
    grading: grading.id,
    hidden: passed[7].id,
    erased: passed[6].id,
    regrade,
    applied,
    // What has not ended would keep the worker busy.
    strike: () => Promise.all([waiting, grading].map(({ id, secret }) => takeBack(id, secret))),
  };
}
