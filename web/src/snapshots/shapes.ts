// The shape of every answer that the page reads, field by field as in api/types.ts.
import type { Bucket, Fleet, History, NodeInfo, Suspects } from "../api/admin";
import type {
  Accepted,
  Attempt,
  Bbox,
  Cell,
  EventDetail,
  Evidence,
  ImageCheck,
  Pin,
  Reason,
  Replay,
  State,
  Stats,
  Submission,
  Totals,
} from "../api/types";
import { STEPS } from "../api/types";
import {
  anything,
  type Fields,
  leftOut,
  list,
  maybe,
  nullable,
  number,
  object,
  oneOf,
  optional,
  record,
  type Shape,
  text,
  time,
  tuple,
  yesNo,
} from "./shape";

const state = oneOf<State>("queued", "grading", "passed", "failed", "undetermined", "cancelled");
const step = oneOf(...STEPS);

export const eventDetail = object<EventDetail>({
  slug: text,
  title: text,
  opens: maybe(time),
  closes: maybe(time),
  closed_at: leftOut(time),
  open: yesNo,
  version: number,
  profile: oneOf("ordinary", "strict"),
  images: object({ min: number, max: number, aliases: list(text), registries: list(text) }),
  answers: list(
    object({
      name: text,
      label: maybe(text),
      one_of: nullable(list(text)),
      max_length: maybe(number),
    }),
  ),
  services: list(object({ alias: text, image: text })),
  checks: list(
    object({
      name: text,
      image: text,
      method: oneOf("GET", "POST", "HEAD"),
      path: text,
      status: number,
      rules: list(text),
    }),
  ),
  limits: object({
    memory_mib: number,
    cpus: number,
    pids: number,
    start_s: number,
    ready_s: number,
    request_s: number,
    body_kib: number,
    grading_s: number,
    image_mib: number,
  }),
});

const totals = object<Totals>({
  queued: number,
  grading: number,
  passed: number,
  failed: number,
  undetermined: number,
  cancelled: number,
  submissions: number,
});

export const stats = object<Stats>({
  event: text,
  totals,
  pins: number,
  places: number,
  participants: number,
  reasons: list(object({ code: text, count: number })),
  countries: list(object({ country: text, pins: number })),
  queue: object({ oldest_s: maybe(number), delayed: number, slots: number, workers: number }),
  per_hour: list(object({ hour: time, submitted: number, passed: number })),
  per_country: list(object({ country: text, passed: number })),
  steps: list(object({ step, p50_ms: number, p90_ms: number })),
  step_times: list(
    object({ step, measured: number, p50_ms: maybe(number), p90_ms: maybe(number) }),
  ),
  as_of: maybe(time),
});

const reason = object<Reason>({
  code: text,
  owner: oneOf("participant", "registry", "platform"),
  message: text,
  hint: maybe(text),
  limit: nullable(object({ name: text, value: number, unit: text })),
});

const evidence = object<Evidence>({
  checks: list(
    object({
      name: text,
      image: number,
      passed: yesNo,
      transcripts: list(
        object({
          request: text,
          address: text,
          status: maybe(number),
          headers: list(tuple(text, text)),
          body: text,
          body_bytes: number,
          truncated: yesNo,
          ms: number,
          error: maybe(text),
        }),
      ),
      failures: list(object({ path: text, expected: text, got: text, message: text })),
      skipped: maybe(text),
    }),
  ),
  containers: list(
    object({
      image: maybe(number),
      alias: text,
      exit_code: maybe(number),
      oom_killed: yesNo,
      log: text,
    }),
  ),
  reproduce: list(text),
});

const attempt = object<Attempt>({
  n: number,
  worker: text,
  node: maybe(text),
  generation: number,
  started_at: time,
  ended_at: maybe(time),
  steps: list(object({ step, at: time, ms: maybe(number) })),
  outcome: maybe(oneOf("passed", "failed", "released", "handed_back", "lost", "cancelled")),
  reason: nullable(reason),
  evidence: nullable(evidence),
});

export const delayed = object<NonNullable<Submission["delayed"]>>({
  reason: text,
  detail: text,
  next_try: time,
});

const submissionFields: Fields<Submission> = {
  id: text,
  event: text,
  event_title: text,
  state,
  step: maybe(step),
  created_at: time,
  updated_at: time,
  deadline: maybe(time),
  on_map: yesNo,
  hidden: yesNo,
  erased_at: maybe(time),
  regraded_at: maybe(time),
  queue: nullable(
    object<NonNullable<Submission["queue"]>>({
      position: number,
      at_least: leftOut(yesNo),
      eta: nullable(object({ p50_s: number, p90_s: number })),
    }),
  ),
  delayed: nullable(delayed),
  participant: object({ name: text, handle: maybe(text) }),
  place: object({ label: text, lat: maybe(number), lng: maybe(number), country: maybe(text) }),
  images: list(
    object({
      ref: text,
      digest: maybe(text),
      platform: maybe(text),
      size: maybe(number),
      alias: maybe(text),
    }),
  ),
  answers: record(text),
  verdict: nullable(
    object({
      outcome: oneOf("passed", "failed", "undetermined", "cancelled"),
      reason: nullable(reason),
      at: time,
      attempt: number,
      grading_ms: number,
    }),
  ),
  attempts: list(attempt),
  links: object({ self: text, live: text, page: text }),
  as_of: maybe(time),
};

export const submission = object<Submission>(submissionFields);
export const accepted = object<Accepted>({
  ...submissionFields,
  secret: maybe(text),
  note: leftOut(text),
});

const bbox: Shape<Bbox> = (value, path, { wrong }) => {
  const is =
    Array.isArray(value) && value.length === 4 && value.every((v) => typeof v === "number");
  if (!is) wrong.push(`${path} is not a box of four numbers`);
};

const point = object<Cell["geometry"]>({
  type: oneOf("Point"),
  coordinates: tuple(number, number),
});

export const cell = object<Cell>({
  type: oneOf("Feature"),
  id: text,
  geometry: point,
  properties: object<Cell["properties"]>({
    count: number,
    bbox,
    members: optional(list(object({ name: text, submission: text }))),
  }),
});

export const pin = object<Pin>({
  type: oneOf("Feature"),
  id: text,
  geometry: point,
  properties: object({
    count: oneOf(1),
    name: text,
    handle: maybe(text),
    place: text,
    submission: text,
    at: time,
  }),
});

/** The frame of the map's answer; its features are looked at one by one. */
export const pins = object({
  type: oneOf("FeatureCollection"),
  features: list(anything),
  total: number,
  revision: number,
  as_of: maybe(time),
});

/** The latest successes. */
export const recent = object<{ items: Pin[] }>({ items: list(pin) });

const triple: Shape<Replay["pins"][number]> = (value, path, { wrong }) => {
  const is =
    Array.isArray(value) && value.length === 3 && value.every((v) => Number.isInteger(v) && v >= 0);
  if (!is) wrong.push(`${path} is not a step, a place and a count`);
};

export const replay = object<Replay>({
  event: text,
  from: maybe(time),
  to: maybe(time),
  steps: number,
  total: number,
  places: list(tuple(number, number)),
  pins: list(triple),
});

export const imageCheck = object<ImageCheck>({
  ref: text,
  canonical: maybe(text),
  problem: nullable(object({ code: text, detail: text, hint: maybe(text) })),
});

const node = object<NodeInfo>({
  name: text,
  worker: text,
  state: text,
  duty: text,
  slots: maybe(number),
  busy: number,
  takes_work: yesNo,
  why: maybe(text),
  checked_at: maybe(time),
  canary: maybe(text),
});

export const fleet = object<Fleet>({
  slots: number,
  busy: number,
  workers: list(
    object({
      name: text,
      slots: number,
      busy: number,
      seen_at: time,
      draining: yesNo,
      version: maybe(text),
    }),
  ),
  nodes: list(node),
});

export const suspects = object<Suspects>({
  images: list(
    object({
      digest: text,
      standing: text,
      changed_at: time,
      counted: number,
      graded_alone_now: yesNo,
      losses: list(
        object({
          at: time,
          machine: text,
          worker: text,
          node: maybe(text),
          alone: yesNo,
          counts: yesNo,
          submission: maybe(text),
          with: number,
        }),
      ),
      orders: list(object({ standing: text, by: text, at: time, note: maybe(text) })),
    }),
  ),
  machines: list(object({ machine: text, images: number, cleared: number })),
});

const bucket = object<Bucket>({
  at: time,
  submitted: number,
  passed: number,
  failed: number,
  undetermined: number,
  cancelled: number,
  reasons: record(number),
});

export const history = object<History>({ event: text, step_s: number, buckets: list(bucket) });
