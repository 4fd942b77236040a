// The shapes of the HTTP API under the names that the page uses. They come from the api's own
// document (schema.ts); here stands only what the document cannot say.
import type * as Api from "./schema";

/**
 * As it is sent. The document says of a field without a value that it "may be null or be left out";
 * answers always have it, and then it is null. Those that are really left out are named below.
 */
export type Sent<T> = T extends readonly (infer Entry)[]
  ? Sent<Entry>[]
  : T extends object
    ? Flat<
        { [K in keyof T as null extends T[K] ? K : never]-?: Sent<Exclude<T[K], undefined>> } & {
          [K in keyof T as null extends T[K] ? never : K]: Sent<T[K]>;
        }
      >
    : T;
type Flat<T> = { [K in keyof T]: T[K] };
type But<T, Changes> = Flat<Omit<T, keyof Changes> & Changes>;

export type State = Api.State;

/** The steps of one attempt, in their order. */
export const STEPS = [
  "resolving",
  "pulling",
  "starting",
  "probing",
  "judging",
  "cleaning",
] as const satisfies readonly Api.Step[];
export type Step = Api.Step;

/** `closed_at` is there only while the organisers keep the event closed. */
export type EventSummary = But<Sent<Api.EventSummary>, { closed_at?: string }>;
export type EventDetail = But<Sent<Api.EventView>, { closed_at?: string }>;
export type AnswerField = Sent<Api.AnswerView>;
export type Limits = Api.LimitsView;

export type Totals = Api.TotalsView;
export type Stats = Sent<Api.StatsView>;
/** What the live stream of an event says of its numbers. */
export type LiveStats = Pick<Stats, "totals" | "pins" | "as_of">;

export type Reason = Sent<Api.Reason>;
export type Transcript = But<Sent<Api.Transcript>, { headers: [name: string, value: string][] }>;
/** What does not apply is empty: a failure without a path compares nothing. */
export type CheckFailure = Api.Failure;
export type Check = But<Sent<Api.CheckEvidence>, { transcripts: Transcript[] }>;
/** Of no image: a service that the event provides. */
export type ContainerEnd = Sent<Api.ContainerEvidence>;
export type Evidence = But<Sent<Api.Evidence>, { checks: Check[] }>;
export type StepTime = Sent<Api.StepView>;
export type Attempt = But<Sent<Api.AttemptView>, { evidence: Evidence | null }>;
/** `queue.at_least` is there if it may be further back than that. */
export type Submission = But<Sent<Api.SubmissionView>, { attempts: Attempt[] }>;

/** What a POST of a submission carries; what is left empty is left out. */
export type NewSubmission = Api.NewSubmission;

/**
 * The secret is told once: a repeated POST with the same key gets null. A note comes with an earlier
 * submission that is the same, in place of a new one.
 */
export type Accepted = Flat<Submission & { secret: string | null; note?: string }>;

export type Place = Api.FoundPlace;

export type Bbox = [west: number, south: number, east: number, north: number];

interface PointFeature<P> {
  type: "Feature";
  id: string;
  geometry: { type: "Point"; coordinates: [lng: number, lat: number] };
  properties: P;
}
type CellProperties = Extract<Api.Properties, { bbox: unknown }>;
type PinProperties = Extract<Api.Properties, { submission: unknown }>;

/** `members` are there where all share one point: some of them, the newest first. */
export type Cell = PointFeature<But<CellProperties, { bbox: Bbox }>>;
export type Pin = PointFeature<But<Sent<PinProperties>, { count: 1 }>>;

export type Pins = But<Api.PinsView, { type: "FeatureCollection"; features: (Cell | Pin)[] }>;

/** How the map of an event came to be: which pins appeared in which of its steps. */
export type Replay = But<
  Sent<Api.ReplayView>,
  {
    places: [lng: number, lat: number][];
    pins: [step: number, place: number, count: number][];
  }
>;

/** What the api makes of an image's name, before anything is sent. */
export type ImageCheck = Sent<Api.ImageNameView>;

export function isPin(feature: Cell | Pin): feature is Pin {
  return "submission" in feature.properties;
}

export function isFinal(state: State): boolean {
  return state !== "queued" && state !== "grading";
}
