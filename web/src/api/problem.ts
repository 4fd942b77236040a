// Problem answers (RFC 9457) as errors of the page, and where each of their pointers belongs in a form.

export interface FieldError {
  pointer: string;
  code: string;
  detail: string;
  /** What to try next. */
  hint?: string;
}

export interface Problem {
  title: string;
  status: number;
  code: string;
  detail: string | null;
  errors: FieldError[];
}

/** The server answered, and the answer was no. */
export class ProblemError extends Error {
  readonly problem: Problem;
  readonly retryAfterS: number | null;

  constructor(problem: Problem, retryAfterS: number | null = null) {
    super(problem.detail ?? problem.title);
    this.name = "ProblemError";
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

/** No answer came at all. */
export class OfflineError extends Error {
  constructor(cause: unknown) {
    super("The server cannot be reached right now.", { cause });
    this.name = "OfflineError";
  }
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

/** Reads a problem body of any quality: a proxy's HTML page becomes a problem too. */
export function problemFrom(status: number, body: unknown): Problem {
  const raw = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  const errors = Array.isArray(raw.errors) ? raw.errors : [];
  return {
    title: text(raw.title) ?? `The server answered ${status}`,
    status,
    code: text(raw.code) ?? `http_${status}`,
    detail: text(raw.detail),
    errors: errors.flatMap((entry: unknown) => {
      if (typeof entry !== "object" || entry === null) return [];
      const e = entry as Record<string, unknown>;
      const detail = text(e.detail) ?? text(e.code);
      if (detail === null) return [];
      const hint = text(e.hint);
      const error = { pointer: text(e.pointer) ?? "", code: text(e.code) ?? "invalid", detail };
      return [hint === null ? error : { ...error, hint }];
    }),
  };
}

/** `/images/0` → `images.0`: JSON pointers and the names of inputs differ in their dots only. */
export function fieldOf(pointer: string): string {
  return pointer
    .replace(/^#/, "")
    .split("/")
    .slice(1)
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .join(".");
}

/**
 * The errors that somebody can mend in a form. That there were too many requests names whose they were,
 * and no field is wrong for it.
 */
export function mendable({ status, errors }: Problem): FieldError[] {
  return status === 429 ? [] : errors.filter(({ pointer }) => pointer !== "");
}

/**
 * Puts each error beside the nearest input that exists: `/place/lat` belongs to `place.label`,
 * `/images` to `images.0`. What fits nowhere is left to the summary alone.
 */
export function errorsByField(errors: FieldError[], fields: string[]): Map<string, string> {
  const placed = new Map<string, string>();
  for (const error of errors) {
    const field = nearestField(fieldOf(error.pointer), fields);
    if (field === null) continue;
    const said = error.hint === undefined ? error.detail : `${error.detail} ${error.hint}`;
    const before = placed.get(field);
    placed.set(field, before === undefined ? said : `${before} ${said}`);
  }
  return placed;
}

export function nearestField(wanted: string, fields: string[]): string | null {
  if (fields.includes(wanted)) return wanted;
  const group = wanted.split(".")[0] ?? "";
  if (group === "") return null;
  return fields.find((field) => field.startsWith(`${group}.`)) ?? null;
}
