// The shapes of the HTTP API, as the page reads them. The api owns them; this file only repeats them.

export type State = "queued" | "grading" | "passed" | "failed" | "undetermined" | "cancelled";

/** The steps of one attempt, in their order. */
export const STEPS = [
  "resolving",
  "pulling",
  "starting",
  "probing",
  "judging",
  "cleaning",
] as const;
export type Step = (typeof STEPS)[number];

export interface EventSummary {
  slug: string;
  title: string;
  opens: string | null;
  closes: string | null;
  open: boolean;
}

export interface AnswerField {
  name: string;
  label: string | null;
  one_of: string[] | null;
  max_length: number | null;
}

export interface EventDetail extends EventSummary {
  version: number;
  profile: string;
  images: { min: number; max: number; aliases: string[]; registries: string[] };
  answers: AnswerField[];
  services: { alias: string; image: string }[];
  checks: {
    name: string;
    image: string;
    method: string;
    path: string;
    status: number;
    rules: string[];
  }[];
  limits: Limits;
}

export type Limits = Record<
  | "memory_mib"
  | "cpus"
  | "pids"
  | "start_s"
  | "ready_s"
  | "request_s"
  | "body_kib"
  | "grading_s"
  | "image_mib",
  number
>;

export type Totals = Record<State | "submissions", number>;

export interface Stats {
  event: string;
  totals: Totals;
  pins: number;
  places: number;
  participants: number;
  reasons: { code: string; count: number }[];
}

export interface Reason {
  code: string;
  owner: "participant" | "registry" | "platform";
  message: string;
  hint: string | null;
  limit: { name: string; value: number | string; unit: string | null } | null;
}

export interface Transcript {
  request: string;
  address: string;
  status: number | null;
  headers: [string, string][];
  body: string;
  body_bytes: number;
  truncated: boolean;
  ms: number | null;
  error: string | null;
}

/** What does not apply is empty: a failure without a path compares nothing. */
export interface CheckFailure {
  path: string;
  expected: unknown;
  got: unknown;
  message: string;
}

export interface Check {
  name: string;
  image: number | null;
  passed: boolean;
  transcripts: Transcript[];
  failures: CheckFailure[];
  skipped: string | null;
}

export interface ContainerEnd {
  /** Null for a service that the event provides. */
  image: number | null;
  alias: string;
  exit_code: number | null;
  oom_killed: boolean;
  log: string;
}

export interface Evidence {
  checks?: Check[];
  containers?: ContainerEnd[];
  reproduce?: string[];
}

export interface StepTime {
  step: Step;
  at: string;
  ms: number | null;
}

export interface Attempt {
  n: number;
  worker: string;
  node: string | null;
  generation: number;
  started_at: string;
  ended_at: string | null;
  steps: StepTime[];
  outcome: string | null;
  reason: Reason | null;
  evidence: Evidence | null;
}

export interface Submission {
  id: string;
  event: string;
  event_title: string;
  state: State;
  step: Step | null;
  created_at: string;
  updated_at: string;
  deadline: string | null;
  queue: {
    position: number;
    /** There if it may be further back than that. */
    at_least?: boolean;
    eta: { p50_s: number; p90_s: number } | null;
  } | null;
  delayed: { reason: string; detail: string; next_try: string } | null;
  participant: { name: string; handle: string | null };
  place: { label: string; lat: number | null; lng: number | null; country: string | null };
  images: {
    ref: string;
    digest: string | null;
    platform: string | null;
    size: number | null;
    alias: string | null;
  }[];
  answers: Record<string, string>;
  verdict: {
    outcome: State;
    reason: Reason | null;
    at: string;
    attempt: number;
    grading_ms: number | null;
  } | null;
  attempts: Attempt[];
  links: { self: string; live: string; page: string };
}

/** What a POST of a submission carries. */
export interface NewSubmission {
  participant: { name: string; handle?: string };
  place: { label: string; lat?: number; lng?: number };
  images: string[];
  answers: Record<string, string>;
}

/** The secret is told once: a repeated POST with the same key gets null. */
export type Accepted = Submission & { secret: string | null };

export interface Place {
  label: string;
  lat: number;
  lng: number;
  country: string;
  population: number;
}

export type Bbox = [west: number, south: number, east: number, north: number];

interface PointFeature<P> {
  type: "Feature";
  id: string;
  geometry: { type: "Point"; coordinates: [number, number] };
  properties: P;
}

export type Cell = PointFeature<{
  count: number;
  bbox: Bbox;
  /** Where all share one point: some of them, the newest first. */
  members?: { name: string; submission: string }[];
}>;
export type Pin = PointFeature<{
  count: 1;
  name: string;
  handle: string | null;
  place: string;
  submission: string;
  at: string;
}>;

export interface Pins {
  type: "FeatureCollection";
  features: (Cell | Pin)[];
  total: number;
  revision: number;
}

export interface LiveStats {
  totals: Totals;
  pins: number;
}

export function isPin(feature: Cell | Pin): feature is Pin {
  return "submission" in feature.properties;
}

export function isFinal(state: State): boolean {
  return state !== "queued" && state !== "grading";
}
