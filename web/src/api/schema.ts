// Written by `npm run types` from openapi.json, the api's own document. Not to be edited.
// The page's names for these are in types.ts.

/**
 * The answer to a POST: the document, and what only the participant gets.
 */
export type AcceptedView = SubmissionView & {
  /**
   * Said where an earlier submission is shown instead.
   */
  note?: string | null;
  /**
   * With it the participant can cancel. It is shown once: a replayed answer has none.
   */
  secret?: string | null;
};
/**
 * How an attempt ended.
 */
export type AttemptOutcome =
  "passed" | "failed" | "released" | "handed_back" | "lost" | "cancelled";
/**
 * Who has to mend it.
 */
export type Owner = "participant" | "registry" | "platform";
/**
 * What a worker is busy with.
 */
export type Step = "resolving" | "pulling" | "starting" | "probing" | "judging" | "cleaning";
/**
 * Where a submission stands: waiting, with a worker, or with a verdict.
 */
export type State = "queued" | "grading" | "passed" | "failed" | "undetermined" | "cancelled";
/**
 * How a submission ended.
 */
export type Outcome = "passed" | "failed" | "undetermined" | "cancelled";
/**
 * A submission, whole, and what was done to it.
 */
export type AdminSubmissionView = WholeView & {
  /**
   * What organisers did to it, the newest first, at most a hundred.
   */
  audit: AuditView[];
};
/**
 * A submission, whole: what everybody sees, and what only organisers do.
 */
export type WholeView = SubmissionView & {
  /**
   * How the participant may be reached.
   */
  contact?: string | null;
  /**
   * The version of the rules that it is graded by.
   */
  event_version: number;
  /**
   * Counts its changes.
   */
  revision: number;
};
/**
 * What became of a file.
 */
export type RulesOutcome = "applied" | "unchanged" | "valid";
/**
 * What would change for a submission.
 */
export type ChangeWord = "waiting" | "unchanged" | "would_pass" | "would_fail" | "undetermined";
/**
 * How a check asks.
 */
export type Method = "GET" | "POST" | "HEAD";
/**
 * A text or a list of texts.
 */
export type OneOrMany = string | string[];
/**
 * The answer to `GET /competition/stats`.
 */
export type CompetitionStatsView = TotalsView & {
  /**
   * Who takes part.
   */
  participants: number;
  /**
   * Successes on the map.
   */
  pins: number;
  /**
   * Places on the map.
   */
  places: number;
};
/**
 * One submission of the JSON document.
 */
export type EntryView =
  | WholeView
  | {
      /**
       * Its id.
       */
      id: string;
      /**
       * `unreadable`
       */
      state: string;
    };
/**
 * An event with its rules.
 */
export type EventView = EventSummary & {
  /**
   * What it asks of participants.
   */
  answers: AnswerView[];
  /**
   * What must hold.
   */
  checks: CheckView[];
  images: ImagesView;
  limits: LimitsView;
  profile: Profile;
  /**
   * What runs beside the images.
   */
  services: ServiceView[];
  /**
   * The version of the rules.
   */
  version: number;
};
/**
 * How containers are confined.
 */
export type Profile = "ordinary" | "strict";
/**
 * What became of a submission of a re-grade.
 */
export type FateWord = "applied" | "left" | "conflict" | "undone";
/**
 * What stands there.
 */
export type Properties =
  | {
      /**
       * Where to zoom: the cell, or the one point that all of its pins share.
       */
      bbox: number[];
      /**
       * How many.
       */
      count: number;
      /**
       * For pins of one point: some of them, the newest first.
       */
      members?: Member[];
    }
  | {
      /**
       * When it passed.
       */
      at: string;
      /**
       * Always 1.
       */
      count: number;
      /**
       * The participant's handle.
       */
      handle?: string | null;
      /**
       * The participant's name.
       */
      name: string;
      /**
       * What the place is called.
       */
      place: string;
      /**
       * The submission that passed.
       */
      submission: string;
    };
/**
 * One field of what was sent, and what is wrong with it.
 */
export type FieldError = (Help | null) & {
  /**
   * The stable code.
   */
  code: string;
  /**
   * One plain sentence.
   */
  detail: string;
  /**
   * Where: a JSON pointer into the body; for a query, `/` and the parameter's name.
   */
  pointer: string;
};
/**
 * The answer to a new webhook.
 */
export type NewWebhookView = WebhookView & {
  /**
   * What its messages are signed with (Standard Webhooks, `v1`). It is shown this once.
   */
  secret: string;
};
/**
 * Where a re-grade stands.
 */
export type RegradeStateWord =
  "preparing" | "grading" | "ready" | "applying" | "applied" | "undoing" | "undone" | "discarded";
/**
 * A re-grade with what would change by it.
 */
export type RegradeView = RegradeHead & {
  counts: CountsView;
  /**
   * `after` for the next rows, if there are any.
   */
  next?: string | null;
  /**
   * What would change, for each.
   */
  rows: RowView[];
};

/**
 * The document. It holds nothing about a person that is not on the pin.
 */
export interface SubmissionView {
  /**
   * The answers to the event's questions.
   */
  answers: {
    [k: string]: string;
  };
  /**
   * There while the store is away: as of when this is.
   */
  as_of?: string | null;
  /**
   * Every try.
   */
  attempts: AttemptView[];
  /**
   * When it came.
   */
  created_at: string;
  /**
   * When something happens at the latest.
   */
  deadline?: string | null;
  delayed?: DelayedView | null;
  /**
   * When what is personal in it was erased.
   */
  erased_at?: string | null;
  /**
   * The event's slug.
   */
  event: string;
  /**
   * The event's name for people.
   */
  event_title: string;
  /**
   * Whether organisers keep it off the map.
   */
  hidden: boolean;
  /**
   * Its id.
   */
  id: string;
  /**
   * What is run.
   */
  images: ImageView[];
  links: LinksView;
  /**
   * Whether it has a pin; a later one of the same participant takes its place on the map.
   */
  on_map: boolean;
  participant: ParticipantView;
  place: PlaceView;
  queue?: QueueView | null;
  /**
   * When a re-grade was applied to it, or undone, last.
   */
  regraded_at?: string | null;
  state: State;
  step?: Step | null;
  /**
   * When anything about it changed last.
   */
  updated_at: string;
  verdict?: VerdictView | null;
}
/**
 * One try.
 */
export interface AttemptView {
  /**
   * Until when.
   */
  ended_at?: string | null;
  evidence?: Evidence | null;
  /**
   * The fencing number of the lease.
   */
  generation: number;
  /**
   * From 1.
   */
  n: number;
  /**
   * Where the containers ran.
   */
  node?: string | null;
  outcome?: AttemptOutcome | null;
  reason?: Reason | null;
  /**
   * From when.
   */
  started_at: string;
  /**
   * The steps with their times.
   */
  steps: StepView[];
  /**
   * Who graded.
   */
  worker: string;
}
/**
 * What one attempt saw.
 */
export interface Evidence {
  /**
   * Every check of the event, in its order.
   */
  checks: CheckEvidence[];
  /**
   * Every container that was started for it.
   */
  containers: ContainerEvidence[];
  /**
   * Shell lines that reproduce it on the participant's machine.
   */
  reproduce: string[];
}
/**
 * What one check saw at one image.
 */
export interface CheckEvidence {
  /**
   * What did not hold.
   */
  failures: Failure[];
  /**
   * The image that was asked, counted from 0.
   */
  image: number;
  /**
   * The check's name in the event.
   */
  name: string;
  /**
   * Whether it held there.
   */
  passed: boolean;
  /**
   * Why it was not asked at all.
   */
  skipped?: string | null;
  /**
   * Every question and its answer.
   */
  transcripts: Transcript[];
}
/**
 * A rule that did not hold.
 */
export interface Failure {
  /**
   * What the event wants there.
   */
  expected: string;
  /**
   * What was there.
   */
  got: string;
  /**
   * One sentence.
   */
  message: string;
  /**
   * The JSON path, or what else was looked at (`status`, `content-type`).
   */
  path: string;
}
/**
 * A question and its answer.
 */
export interface Transcript {
  /**
   * Whom it went to, by alias.
   */
  address: string;
  /**
   * The beginning of the body.
   */
  body: string;
  /**
   * How many bytes of body came.
   */
  body_bytes: number;
  /**
   * What went wrong instead of an answer.
   */
  error?: string | null;
  /**
   * The first header fields, each a name and a value.
   *
   * @maxItems 16
   */
  headers: string[][];
  /**
   * How long it took, in milliseconds.
   */
  ms: number;
  /**
   * The request line.
   */
  request: string;
  /**
   * The status, if one came.
   */
  status?: number | null;
  /**
   * Whether `body` is less than what came.
   */
  truncated: boolean;
}
/**
 * How a container ended, or that it still ran.
 */
export interface ContainerEvidence {
  /**
   * Its name in the slot's network.
   */
  alias: string;
  /**
   * Its exit code, if it ended.
   */
  exit_code?: number | null;
  /**
   * The image it ran, counted from 0; none for a service of the event.
   */
  image?: number | null;
  /**
   * The end of what it wrote to stdout and stderr.
   */
  log: string;
  /**
   * Whether it was ended for its memory.
   */
  oom_killed: boolean;
}
/**
 * Why a submission did not pass.
 */
export interface Reason {
  /**
   * The stable code; for a failed rule `rule_failed:<check>`.
   */
  code: string;
  /**
   * What to try next.
   */
  hint?: string | null;
  limit?: Limit | null;
  /**
   * One plain sentence.
   */
  message: string;
  owner: Owner;
}
/**
 * A limit that was hit, with its value.
 */
export interface Limit {
  /**
   * What is limited, such as `memory`.
   */
  name: string;
  /**
   * In what, such as `MiB`.
   */
  unit: string;
  /**
   * How much is allowed.
   */
  value: number;
}
/**
 * A step's time.
 */
export interface StepView {
  /**
   * When it began.
   */
  at: string;
  /**
   * How long it took.
   */
  ms?: number | null;
  step: Step;
}
/**
 * Why it is not tried before a time.
 */
export interface DelayedView {
  /**
   * One plain sentence.
   */
  detail: string;
  /**
   * Until when.
   */
  next_try: string;
  /**
   * The reason's code.
   */
  reason: string;
}
/**
 * One image.
 */
export interface ImageView {
  /**
   * What the others reach it by.
   */
  alias?: string | null;
  /**
   * What it stood for: what is run.
   */
  digest?: string | null;
  /**
   * Such as `linux/amd64`.
   */
  platform?: string | null;
  /**
   * As written.
   */
  ref: string;
  /**
   * Compressed, in bytes.
   */
  size?: number | null;
}
/**
 * Where to find it.
 */
export interface LinksView {
  /**
   * The same, live.
   */
  live: string;
  /**
   * The page for people.
   */
  page: string;
  /**
   * This document.
   */
  self: string;
}
/**
 * Who submitted.
 */
export interface ParticipantView {
  /**
   * The handle.
   */
  handle?: string | null;
  /**
   * The name.
   */
  name: string;
}
/**
 * Where on the map.
 */
export interface PlaceView {
  /**
   * The country's code.
   */
  country?: string | null;
  /**
   * What people call it.
   */
  label: string;
  /**
   * Degrees north.
   */
  lat?: number | null;
  /**
   * Degrees east.
   */
  lng?: number | null;
}
/**
 * A place in the queue.
 */
export interface QueueView {
  /**
   * There if it may be further back than that: so far nobody counts.
   */
  at_least?: boolean;
  eta?: EtaView | null;
  /**
   * From 1.
   */
  position: number;
}
/**
 * An estimate in whole seconds.
 */
export interface EtaView {
  /**
   * As likely sooner as later.
   */
  p50_s: number;
  /**
   * Later only one time in ten.
   */
  p90_s: number;
}
/**
 * How it ended.
 */
export interface VerdictView {
  /**
   * When.
   */
  at: string;
  /**
   * By which attempt; 0 if there was none.
   */
  attempt: number;
  /**
   * How long that took, in milliseconds.
   */
  grading_ms: number;
  outcome: Outcome;
  reason?: Reason | null;
}
/**
 * One act.
 */
export interface AuditView {
  /**
   * When.
   */
  at: string;
  /**
   * The name of the token that was used.
   */
  by: string;
  /**
   * What else there is to know.
   */
  detail?: {} | null;
  /**
   * Its id.
   */
  id: string;
  /**
   * Why, in their own words.
   */
  note?: string | null;
  /**
   * How it ended: `done`, `failed`, or `refused` where the token did not extend to it; none while
   * it is under way, or if the process died meanwhile.
   */
  outcome?: string | null;
  /**
   * The id of the request.
   */
  request?: string | null;
  /**
   * Its role: `organiser` or `operator`.
   */
  role: string;
  /**
   * To which submission.
   */
  submission?: string | null;
  /**
   * The id of that token.
   */
  token: string;
  /**
   * What was done, in a word such as `hide`.
   */
  what: string;
}
/**
 * A question to participants.
 */
export interface AnswerView {
  /**
   * What the form shows.
   */
  label?: string | null;
  /**
   * For free text: most characters.
   */
  max_length?: number | null;
  /**
   * Its key.
   */
  name: string;
  /**
   * The answers that are allowed.
   */
  one_of?: string[] | null;
}
/**
 * What became of a file.
 */
export interface AppliedView {
  /**
   * The event's slug.
   */
  event: string;
  outcome: RulesOutcome;
  /**
   * The version that holds now.
   */
  version: number;
}
/**
 * Lines, the newest first.
 */
export interface AuditPageView {
  /**
   * Those of this page.
   */
  items: AuditView[];
  /**
   * What to ask for as `before` to go on, if there is more.
   */
  next?: string | null;
}
/**
 * What happened in one step.
 */
export interface BucketView {
  /**
   * When it began.
   */
  at: string;
  /**
   * How many were taken back.
   */
  cancelled: number;
  /**
   * How many failed.
   */
  failed: number;
  /**
   * How many were judged in it and passed, whenever they came.
   */
  passed: number;
  /**
   * How many of those that were judged in it have which reason, by its code.
   */
  reasons: {
    [k: string]: number;
  };
  /**
   * How many submissions came in it.
   */
  submitted: number;
  /**
   * Of how many we could not find out.
   */
  undetermined: number;
}
/**
 * A check, as people read it.
 */
export interface CheckView {
  /**
   * `any`, `all`, or an index.
   */
  image: string;
  method: Method;
  /**
   * Stable, for `rule_failed:<name>`.
   */
  name: string;
  /**
   * What it asks for.
   */
  path: string;
  /**
   * What else must hold.
   */
  rules: string[];
  /**
   * The status that must come.
   */
  status: number;
}
/**
 * That an event is closed by its organisers.
 */
export interface ClosingView {
  /**
   * Since when.
   */
  at: string;
  /**
   * By whom: the name of a token.
   */
  by: string;
}
/**
 * The body of `POST /competition`. Other keys were never refused and still are not.
 */
export interface CompetitionBody {
  /**
   * The name of the place: 1 to 120 characters.
   */
  location: string;
  /**
   * Who submits: 1 to 64 characters.
   */
  name: string;
  repo: OneOrMany;
  /**
   * Their handle, at most 64 characters.
   */
  twitter?: string | null;
  vote?: OneOrMany | null;
}
/**
 * The answer to `POST /competition`.
 */
export interface CompetitionResponse {
  /**
   * The address of the page that shows the status.
   */
  response: string;
}
/**
 * Submissions by state.
 */
export interface TotalsView {
  /**
   * Taken back.
   */
  cancelled: number;
  /**
   * The participant has something to mend.
   */
  failed: number;
  /**
   * With a worker.
   */
  grading: number;
  /**
   * Every check held.
   */
  passed: number;
  /**
   * Waiting.
   */
  queued: number;
  /**
   * All of them.
   */
  submissions: number;
  /**
   * We could not find out.
   */
  undetermined: number;
}
/**
 * The answer to `GET /competition/{id}`.
 */
export interface CompetitionView {
  id: string;
  location: string;
  /**
   * Why it did not pass, in a sentence.
   */
  message?: string | null;
  name: string;
  repo: string[];
  /**
   * The address of the page that shows the status.
   */
  response: string;
  status: State;
  twitter?: string | null;
  vote?: string | null;
}
/**
 * One country.
 */
export interface CountryCount {
  /**
   * ISO 3166-1 alpha-2.
   */
  country: string;
  /**
   * Its pins.
   */
  pins: number;
}
/**
 * What would change, for how many submissions.
 */
export interface CountsView {
  /**
   * The same state.
   */
  unchanged: number;
  /**
   * Nobody could find out: stays what it is.
   */
  undetermined: number;
  /**
   * Not graded anew yet.
   */
  waiting: number;
  /**
   * Did not fail, and would.
   */
  would_fail: number;
  /**
   * Did not pass, and would.
   */
  would_pass: number;
}
/**
 * A page of deliveries.
 */
export interface DeliveriesView {
  /**
   * The newest first.
   */
  deliveries: DeliveryView[];
  /**
   * With this as `before` the next page comes; none on the last.
   */
  next?: string | null;
}
/**
 * Something that was told to a webhook, or will be.
 */
export interface DeliveryView {
  /**
   * When it was found that there is something to tell.
   */
  created_at: string;
  /**
   * Its id, which the message has as its `webhook-id`.
   */
  id: string;
  last?: TriedView | null;
  /**
   * When it is sent next, if it is.
   */
  next_try?: string | null;
  /**
   * `pending`, `delivered`, `failed` (given up) or `dropped` (not wanted any more).
   */
  state: string;
  /**
   * The submission that it is about.
   */
  submission?: string | null;
  /**
   * How often it was sent.
   */
  tries: number;
  /**
   * The type of the message.
   */
  type: string;
}
/**
 * How a try went.
 */
export interface TriedView {
  /**
   * The status that it was answered with; none if there was no answer.
   */
  code?: number | null;
  /**
   * Why there was no answer, or why it is not sent any more.
   */
  detail?: string | null;
  /**
   * The beginning of the answer.
   */
  excerpt: string;
  /**
   * How long it took.
   */
  ms: number;
}
/**
 * Whether an event takes submissions, and why not.
 */
export interface DoorView {
  closed?: ClosingView | null;
  /**
   * Until when it takes submissions by its rules.
   */
  closes?: string | null;
  /**
   * The event's slug.
   */
  event: string;
  /**
   * Whether it takes submissions now.
   */
  open: boolean;
  /**
   * From when it takes submissions by its rules.
   */
  opens?: string | null;
  /**
   * The version of its rules.
   */
  version: number;
}
/**
 * An event, in short.
 */
export interface EventSummary {
  /**
   * Since when its organisers keep it closed, whatever its rules say about when it is open.
   */
  closed_at?: string | null;
  /**
   * Until when it takes submissions.
   */
  closes?: string | null;
  /**
   * Whether it takes submissions now.
   */
  open: boolean;
  /**
   * From when it takes submissions.
   */
  opens?: string | null;
  /**
   * Its name in addresses.
   */
  slug: string;
  /**
   * Its name for people.
   */
  title: string;
}
/**
 * What images an event takes.
 */
export interface ImagesView {
  /**
   * What they are called in their network.
   */
  aliases: string[];
  /**
   * At most so many.
   */
  max: number;
  /**
   * At least so many.
   */
  min: number;
  /**
   * Where they may be kept.
   */
  registries: string[];
}
/**
 * How much a submission may use.
 */
export interface LimitsView {
  /**
   * Of an answer's body.
   */
  body_kib: number;
  /**
   * Processors of each container.
   */
  cpus: number;
  /**
   * For the whole grading.
   */
  grading_s: number;
  /**
   * Compressed size of each image.
   */
  image_mib: number;
  /**
   * Memory of each container.
   */
  memory_mib: number;
  /**
   * Processes and threads of each container.
   */
  pids: number;
  /**
   * From start until port 80 accepts a connection.
   */
  ready_s: number;
  /**
   * For one request.
   */
  request_s: number;
  /**
   * For starting all containers.
   */
  start_s: number;
}
/**
 * A container that the event gives.
 */
export interface ServiceView {
  /**
   * What it is called in the network.
   */
  alias: string;
  /**
   * What it runs.
   */
  image: string;
}
/**
 * Every event, in short.
 */
export interface EventsView {
  /**
   * Open ones first, then by when they open, the newest first.
   */
  events: EventSummary[];
}
/**
 * The JSON document. It is written piece by piece: [`json_head`], entries, [`json_tail`].
 */
export interface ExportView {
  /**
   * `true`; it stands there only if all of them were written.
   */
  complete: boolean;
  /**
   * How many.
   */
  count: number;
  /**
   * The event's slug.
   */
  event: string;
  /**
   * When it was begun.
   */
  exported_at: string;
  /**
   * All of them, in the order of time.
   */
  submissions: EntryView[];
}
/**
 * One thing on the map.
 */
export interface Feature {
  geometry: Geometry;
  /**
   * A cell's `zoom/x/y`, or the submission of a pin.
   */
  id: string;
  properties: Properties;
  type: string;
}
export interface Geometry {
  /**
   * Longitude and latitude, in this order.
   */
  coordinates: number[];
  type: string;
}
/**
 * One of the pins of a point.
 */
export interface Member {
  /**
   * The participant's name.
   */
  name: string;
  /**
   * The submission that passed.
   */
  submission: string;
}
/**
 * What helps to mend a field.
 */
export interface Help {
  /**
   * What to try next.
   */
  hint?: string | null;
  limit?: Limit | null;
}
/**
 * Who grades, on which machines.
 */
export interface FleetView {
  /**
   * How many are being graded, by workers on the list.
   */
  busy: number;
  /**
   * What each of them says of each of its machines.
   */
  nodes: NodeView[];
  /**
   * How many submissions can be graded at once, by workers that live.
   */
  slots: number;
  /**
   * Every worker on the list, by name.
   */
  workers: WorkerView[];
}
/**
 * A machine that strangers' containers run on, as one of its workers sees it.
 */
export interface NodeView {
  /**
   * How many submissions it grades there now.
   */
  busy: number;
  /**
   * How that ended: `passed` or `failed`; none if it never was.
   */
  canary?: string | null;
  /**
   * When it was last examined.
   */
  checked_at?: string | null;
  /**
   * What is done with it: `serving`, `draining`, `drained` or `down`; `other` is a newer version's
   * word.
   */
  duty: string;
  /**
   * The machine's name.
   */
  name: string;
  /**
   * How many slots the worker keeps there.
   */
  slots?: number | null;
  /**
   * What it is good for: `fit`, `unfit`, `unchecked` or `full`; `other` is a newer version's word.
   */
  state: string;
  /**
   * Whether it takes work.
   */
  takes_work: boolean;
  /**
   * Why it takes none.
   */
  why?: string | null;
  /**
   * Whose word this is: two workers may share a machine.
   */
  worker: string;
}
/**
 * A worker.
 */
export interface WorkerView {
  /**
   * How many it grades now.
   */
  busy: number;
  /**
   * Whether all of its machines are drained or being drained, so that it takes no more work.
   */
  draining: boolean;
  /**
   * Its name.
   */
  name: string;
  /**
   * When it was last heard of. One that is silent for long is taken off the list.
   */
  seen_at: string;
  /**
   * How many submissions it can grade at once.
   */
  slots: number;
  /**
   * Its build; none of one that does not say.
   */
  version?: string | null;
}
/**
 * Submissions in short, the newest first.
 */
export interface FoundPageView {
  /**
   * Those of this page.
   */
  items: FoundView[];
  /**
   * What to ask for as `after` to go on, if there is more.
   */
  next?: string | null;
}
/**
 * A submission in short.
 */
export interface FoundView {
  /**
   * When it came.
   */
  created_at: string;
  /**
   * When the participant had what is personal in it erased.
   */
  erased_at?: string | null;
  /**
   * The version of the rules that it is graded by.
   */
  event_version: number;
  /**
   * Whether an organiser took its pin off the map.
   */
  hidden: boolean;
  /**
   * Its id.
   */
  id: string;
  /**
   * What is run, as written.
   */
  images: string[];
  participant: ParticipantView;
  place: PlaceView;
  /**
   * The code of the reason why it did not pass.
   */
  reason?: string | null;
  state: State;
  /**
   * When anything about it changed last.
   */
  updated_at: string;
}
/**
 * A place.
 */
export interface FoundPlace {
  /**
   * The country's code.
   */
  country: string;
  /**
   * What it is called.
   */
  label: string;
  /**
   * Degrees north.
   */
  lat: number;
  /**
   * Degrees east.
   */
  lng: number;
  /**
   * How many people live there.
   */
  population: number;
}
/**
 * An event along the time, in steps of equal length.
 */
export interface HistoryView {
  /**
   * The steps, the oldest first, also those in which nothing happened. The last one is under way.
   *
   * @maxItems 200
   */
  buckets: BucketView[];
  /**
   * The event's slug.
   */
  event: string;
  /**
   * How long each step is, in seconds.
   */
  step_s: number;
}
/**
 * One hour.
 */
export interface HourView {
  /**
   * When it began.
   */
  hour: string;
  /**
   * How many of these passed.
   */
  passed: number;
  /**
   * How many were submitted in it.
   */
  submitted: number;
}
/**
 * What an image's name stands for, and what of it an event does not take.
 */
export interface ImageNameView {
  /**
   * Written out as engines understand it; none where it is no name.
   */
  canonical?: string | null;
  problem?: ImageProblemView | null;
  /**
   * As it was asked for.
   */
  ref: string;
}
/**
 * What is wrong with an image's name.
 */
export interface ImageProblemView {
  /**
   * The stable code, as a submission with it is answered.
   */
  code: string;
  /**
   * One plain sentence.
   */
  detail: string;
  /**
   * What to try next.
   */
  hint?: string | null;
}
/**
 * A machine that went down under images.
 */
export interface LosingMachineView {
  /**
   * How many of these were cleared since: they were graded well elsewhere, or later.
   */
  cleared: number;
  /**
   * Under how many images.
   */
  images: number;
  /**
   * What went down: `worker NAME` or `node NAME`.
   */
  machine: string;
}
/**
 * An attempt under which a machine went down.
 */
export interface LossView {
  /**
   * Whether nothing else was graded beside it.
   */
  alone: boolean;
  /**
   * When that was found.
   */
  at: string;
  /**
   * Whether it counts.
   */
  counts: boolean;
  /**
   * What went down: `worker NAME` or `node NAME`.
   */
  machine: string;
  /**
   * The node, as far as it is known.
   */
  node?: string | null;
  /**
   * The submission; operators alone see it.
   */
  submission?: string | null;
  /**
   * How many other images the submission had.
   */
  with: number;
  /**
   * The worker.
   */
  worker: string;
}
/**
 * Whose a token is and what it allows.
 */
export interface MeView {
  /**
   * When it was made.
   */
  created_at: string;
  /**
   * The organiser's event.
   */
  event?: string | null;
  /**
   * From when it is no longer good.
   */
  expires_at?: string | null;
  /**
   * The token's id, which is not secret: the audit log names it.
   */
  id: string;
  /**
   * Whose it is, for people.
   */
  name: string;
  /**
   * `organiser`, of one event, or `operator`, of all.
   */
  role: string;
}
/**
 * Who submits.
 */
export interface NewParticipant {
  /**
   * For the organiser only: 1 to 200 characters. No answer shows it.
   */
  contact?: string | null;
  /**
   * As shown on the map: 1 to 64 characters.
   */
  handle?: string | null;
  /**
   * As shown on the map: 1 to 64 characters as people count them (grapheme clusters).
   */
  name: string;
}
/**
 * Where on the map.
 */
export interface NewPlace {
  /**
   * What people call it: 1 to 120 characters.
   */
  label: string;
  /**
   * Degrees north; with `lng`, or not at all.
   */
  lat?: number | null;
  /**
   * Degrees east; with `lat`, or not at all.
   */
  lng?: number | null;
}
/**
 * The body of `POST /api/v1/events/{event}/submissions`.
 */
export interface NewSubmission {
  /**
   * The answers to the event's questions, by their names; each 1 to 200 characters.
   */
  answers?: {
    [k: string]: string;
  };
  /**
   * What to run: names of images, as many as the event takes.
   *
   * @maxItems 16
   */
  images: string[];
  participant: NewParticipant;
  place: NewPlace;
}
/**
 * A new webhook.
 */
export interface NewWebhookBody {
  /**
   * What it is told of: `verdict` (passed, failed, undetermined), `cancelled`, `regrade`. All of
   * them without this.
   */
  on?: string[] | null;
  /**
   * Where messages are posted to: an address that begins with `https://`.
   */
  url: string;
}
/**
 * A webhook. Its secret is not in it.
 */
export interface WebhookView {
  /**
   * When it was made.
   */
  created_at: string;
  /**
   * The name of the token that it was made with.
   */
  created_by: string;
  /**
   * Since when nothing is sent to it, because it answered that it is gone (410).
   */
  disabled_at?: string | null;
  /**
   * The event's slug.
   */
  event: string;
  /**
   * Its id.
   */
  id: string;
  /**
   * What it is told of.
   */
  on: string[];
  /**
   * Where messages are posted to.
   */
  url: string;
}
/**
 * The body of an act; it may also be left out.
 */
export interface NoteBody {
  /**
   * Why, for the audit log; at most 500 characters as people count them (grapheme clusters).
   */
  note?: string | null;
}
/**
 * How many passed in a country.
 */
export interface PassedCount {
  /**
   * ISO 3166-1 alpha-2.
   */
  country: string;
  /**
   * How many submissions passed.
   */
  passed: number;
}
/**
 * A message that is on its way.
 */
export interface PingView {
  /**
   * The delivery's id, which the message has as its `webhook-id`.
   */
  delivery: string;
}
/**
 * What a viewport shows.
 */
export interface PinsView {
  /**
   * There while the store is away: as of when this is.
   */
  as_of?: string | null;
  /**
   * Cells and pins.
   */
  features: Feature[];
  /**
   * Counts the changes of the event's map.
   */
  revision: number;
  /**
   * All pins of the event, inside the viewport or not.
   */
  total: number;
  type: string;
}
/**
 * Places that may be meant.
 */
export interface PlacesView {
  /**
   * The likeliest first.
   *
   * @maxItems 8
   */
  places: FoundPlace[];
}
/**
 * Why a request is not done (RFC 9457).
 */
export interface Problem {
  /**
   * The stable code; programs decide by it. Of a request with one kind of fault in its fields it is that fault's. One of `already_final`, `body_incomplete`, `body_too_large`, `body_too_slow`, `event_closed`, `event_not_open`, `head_too_large`, `https_required`, `idempotency_key_invalid`, `idempotency_key_reused`, `internal`, `invalid_request`, `malformed_request`, `media_type_unsupported`, `method_not_allowed`, `not_found`, `not_http`, `not_undetermined`, `not_yours`, `path_too_long`, `regrade_state`, `seal_key_missing`, `secret_needed`, `secret_wrong`, `token_in_query`, `token_needed`, `too_many_pending`, `too_many_regrades`, `too_many_requests`, `too_many_streams`, `too_many_streams_here`, `too_many_versions`, `too_many_webhooks`, `unavailable`, `webhook_disabled`; of a field also one of those of a reason (`image_name_invalid`, `image_host_denied`, `image_not_found`, `image_private`, `image_too_large`, `image_too_many_layers`, `image_manifest_invalid`, `image_bomb`, `image_foreign_layer`, `image_wrong_platform`, `image_config_refused`, `start_failed`, `exited`, `oom_killed`, `disk_limit`, `not_listening`, `answer_timeout`, `answer_too_large`, `answer_headers_too_large`, `answer_not_http`, `answer_status`, `answer_redirect`, `answer_encoding`, `answer_truncated`, `json_invalid`, `json_too_deep`, `json_duplicate_key`, `rule_failed`, `unstable_answer`) or of what is wrong with a value (`required`, `empty`, `too_long`, `wrong_type`, …).
   */
  code: string;
  /**
   * What happened and what to do, in a sentence for people.
   */
  detail: string;
  /**
   * Every field that has to be mended.
   */
  errors: FieldError[];
  /**
   * The id of the request, as in `X-Request-Id`; the log has it too.
   */
  request_id?: string | null;
  /**
   * The HTTP status.
   */
  status: number;
  /**
   * The status in words.
   */
  title: string;
  /**
   * The code as a URI.
   */
  type: string;
}
/**
 * What the machinery is at.
 */
export interface QueueStats {
  /**
   * How many of those that wait are delayed: they wait for a time, and not for their turn.
   */
  delayed: number;
  /**
   * For how long the oldest one waits.
   */
  oldest_s?: number | null;
  /**
   * How many can be graded at once.
   */
  slots: number;
  /**
   * By how many workers.
   */
  workers: number;
}
/**
 * How often a reason came.
 */
export interface ReasonCount {
  /**
   * The code.
   */
  code: string;
  /**
   * How often.
   */
  count: number;
}
/**
 * The newest pins.
 */
export interface RecentView {
  /**
   * The newest first.
   *
   * @maxItems 50
   */
  items: Feature[];
}
/**
 * Which submissions to grade anew.
 */
export interface RegradeBody {
  /**
   * Why, for those who look at it later; at most 500 characters as people count them (grapheme clusters).
   */
  note?: string | null;
  /**
   * These: the ids.
   *
   * @minItems 1
   * @maxItems 400
   */
  submissions?: string[] | null;
  where?: WhereBody | null;
}
/**
 * How submissions ended; all of it must hold.
 */
export interface WhereBody {
  /**
   * With one of these codes of reasons, such as `not_listening` or `rule_failed:config`.
   *
   * @maxItems 50
   */
  reasons?: string[];
  /**
   * In one of these states: `passed`, `failed`, `undetermined`. Any of them, if none is given.
   *
   * @maxItems 3
   */
  states?: string[];
}
/**
 * A re-grade, without its submissions.
 */
export interface RegradeHead {
  /**
   * Of how many which came of applying it: `applied`, `left`, `conflict`.
   */
  applied: {
    [k: string]: number;
  };
  /**
   * The name of the token that made it.
   */
  by: string;
  /**
   * When it was made.
   */
  created_at: string;
  /**
   * The event.
   */
  event: string;
  /**
   * Its id.
   */
  id: string;
  /**
   * This document, with the preview.
   */
  link: string;
  /**
   * Why.
   */
  note?: string | null;
  state: RegradeStateWord;
  /**
   * How many submissions it grades.
   */
  submissions: number;
  /**
   * Of how many which came of undoing it: `undone`, `conflict`.
   */
  undone: {
    [k: string]: number;
  };
  /**
   * When it changed last.
   */
  updated_at: string;
  /**
   * The version of the rules that it grades by.
   */
  version: number;
}
/**
 * One submission.
 */
export interface RowView {
  after?: SideView | null;
  applied?: FateWord | null;
  before: SideView;
  change: ChangeWord;
  /**
   * Its id.
   */
  submission: string;
  undone?: FateWord | null;
}
/**
 * A verdict in short.
 */
export interface SideView {
  /**
   * The code of the reason.
   */
  reason?: string | null;
  state: State;
}
/**
 * Re-grades of an event.
 */
export interface RegradesView {
  /**
   * `before` for the next ones, if there may be any.
   */
  next?: string | null;
  /**
   * The newest first.
   */
  regrades: RegradeHead[];
}
/**
 * How an event's pins came along the time.
 */
export interface ReplayView {
  /**
   * The event's slug.
   */
  event: string;
  /**
   * When the first pin came; none of no pins.
   */
  from?: string | null;
  /**
   * What came when and where: the step, counted from 0; the place, as an index into `places`; and how
   * many pins. By step, then by place. The sum of the numbers is `total`. Where this would be too long,
   * a place's pins come in bunches, each in the step of its last one.
   *
   * @maxItems 100000
   */
  pins: number[][];
  /**
   * Squares of the map, each as the middle of its pins: longitude and latitude, in this order.
   *
   * @maxItems 5000
   */
  places: number[][];
  /**
   * Into how many parts of equal length the time between them is cut.
   */
  steps: number;
  /**
   * When the last came.
   */
  to?: string | null;
  /**
   * All pins.
   */
  total: number;
}
/**
 * A file that is to be the rules of an event.
 */
export interface RulesBody {
  /**
   * The file (TOML).
   */
  source: string;
}
/**
 * The rules of an event at one version.
 */
export interface RulesView {
  /**
   * When it was applied.
   */
  applied_at: string;
  /**
   * The event's slug.
   */
  event: string;
  /**
   * The file (TOML).
   */
  source: string;
  /**
   * The version.
   */
  version: number;
}
/**
 * The numbers of an event.
 */
export interface StatsView {
  /**
   * There while the store is away: as of when this is.
   */
  as_of?: string | null;
  /**
   * Countries by pins, the most first.
   */
  countries: CountryCount[];
  /**
   * The event's slug.
   */
  event: string;
  /**
   * Participants.
   */
  participants: number;
  /**
   * Countries by submissions that passed, the most first; also of those that have no pin any more.
   */
  per_country: PassedCount[];
  /**
   * Hours, the oldest first.
   */
  per_hour: HourView[];
  /**
   * Pins on the map.
   */
  pins: number;
  /**
   * Places on the map.
   */
  places: number;
  queue: QueueStats;
  /**
   * How submissions ended that did not pass, the most frequent first.
   */
  reasons: ReasonCount[];
  /**
   * How long every step took in this event's last gradings.
   */
  step_times: StepTimesView[];
  /**
   * How long steps took lately, whatever the event.
   */
  steps: StepStats[];
  totals: TotalsView;
}
/**
 * How long a step took in an event.
 */
export interface StepTimesView {
  /**
   * How many times were measured, of at most the last 500 submissions.
   */
  measured: number;
  /**
   * The median; none of no times.
   */
  p50_ms?: number | null;
  /**
   * The 90th percentile.
   */
  p90_ms?: number | null;
  step: Step;
}
/**
 * How long a step took.
 */
export interface StepStats {
  /**
   * The median.
   */
  p50_ms: number;
  /**
   * The 90th percentile.
   */
  p90_ms: number;
  step: Step;
}
/**
 * One event of a stream, as an `EventSource` reads it.
 */
export interface StreamEvent {
  /**
   * JSON: what is told of it.
   */
  data?: string | null;
  /**
   * What happened.
   */
  event?: string | null;
  /**
   * What to send as `Last-Event-ID` to go on after it.
   */
  id?: string | null;
  /**
   * In how many milliseconds to come back after the stream has ended.
   */
  retry?: number | null;
}
/**
 * What an operator says of an image.
 */
export interface SuspectOrderBody {
  /**
   * The event in whose audit log this is noted.
   */
  event: string;
  /**
   * Why, for the audit log; at most 500 characters as people count them (grapheme clusters).
   */
  note?: string | null;
  /**
   * `cleared`, `quarantined` or `poison`.
   */
  standing: string;
}
/**
 * What an operator said of an image.
 */
export interface SuspectOrderView {
  /**
   * When.
   */
  at: string;
  /**
   * Who said so.
   */
  by: string;
  /**
   * Why.
   */
  note?: string | null;
  /**
   * What it is to be.
   */
  standing: string;
}
/**
 * An image that machines went down under.
 */
export interface SuspectView {
  /**
   * When anything of this changed last.
   */
  changed_at: string;
  /**
   * How many of the losses count.
   */
  counted: number;
  /**
   * Its digest.
   */
  digest: string;
  /**
   * Whether it is being graded alone now.
   */
  graded_alone_now: boolean;
  /**
   * What was lost under it, the newest last.
   */
  losses: LossView[];
  /**
   * What operators said of it, the newest last.
   */
  orders: SuspectOrderView[];
  /**
   * What is done with it: `suspected` and `cleared` are graded like any other, `quarantined` is
   * graded once more, alone, `poison` is not graded.
   */
  standing: string;
}
/**
 * Every image of which something is known, and the machines.
 */
export interface SuspectsView {
  /**
   * The images, what changed last first; at most 500.
   */
  images: SuspectView[];
  /**
   * The machines that went down under them, by name. One that lost several images is perhaps at
   * fault itself.
   */
  machines: LosingMachineView[];
}
/**
 * One version, in short.
 */
export interface VersionView {
  /**
   * When it was applied.
   */
  applied_at: string;
  /**
   * The event's name for people, as it was then.
   */
  title: string;
  /**
   * The version.
   */
  version: number;
}
/**
 * Every version of an event's rules.
 */
export interface VersionsView {
  /**
   * The event's slug.
   */
  event: string;
  /**
   * The current one first.
   */
  items: VersionView[];
}
/**
 * The webhooks of an event.
 */
export interface WebhooksView {
  /**
   * The oldest first.
   */
  webhooks: WebhookView[];
}
