// Shapes of JSON values, tied to the types of the page: a field that either side lacks is an error,
// of the compiler where the shape lacks it, of the test where the answer does.

/** What was found wrong, and which values had nothing inside to look at. */
export interface Findings {
  wrong: string[];
  /** Paths of objects and lists that were null or empty. */
  hollow: Set<string>;
  /** Paths of objects and lists that were looked into. */
  seen: Set<string>;
}

/** Looks at the value of a path and notes what is wrong. */
export type Look = (value: unknown, path: string, found: Findings) => void;

export interface Shape<T> extends Look {
  /** Never set: it only ties the shape to one type. */
  readonly of?: (value: T) => T;
}

export function newFindings(): Findings {
  return { wrong: [], hollow: new Set(), seen: new Set() };
}

/** Values that are nowhere else seen full, so that nobody knows what is in them. */
export function unseen({ hollow, seen }: Findings): string[] {
  return [...hollow].filter((path) => !seen.has(path)).sort();
}

function kind(value: unknown): string {
  if (value === undefined) return "missing";
  if (value === null) return "null";
  return Array.isArray(value) ? "a list" : typeof value;
}

function simple<T>(what: string, is: (value: unknown) => boolean): Shape<T> {
  return (value, path, { wrong }) => {
    if (!is(value)) wrong.push(`${path} is ${kind(value)}, not ${what}`);
  };
}

export const text = simple<string>("string", (v) => typeof v === "string");
export const number = simple<number>("number", (v) => typeof v === "number");
export const yesNo = simple<boolean>("boolean", (v) => typeof v === "boolean");
export const time = simple<string>("a time", (v) => /^\d{4}-\d\d-\d\dT.*Z$/.test(String(v)));
export const anything = simple<unknown>("anything", (v) => v !== undefined);

export function oneOf<T extends string | number>(...values: T[]): Shape<T> {
  return simple<T>(values.join(" or "), (v) => values.includes(v as T));
}

/** A field that must be there, and may be null. */
export function nullable<T>(inner: Shape<T>): Shape<T | null> {
  return (value, path, found) => {
    if (value === null) found.hollow.add(path);
    else inner(value, path, found);
  };
}

/** A scalar's null hides nothing. */
export function maybe<T extends string | number | boolean>(inner: Shape<T>): Shape<T | null> {
  return (value, path, found) => {
    if (value !== null) inner(value, path, found);
  };
}

/** A scalar that may be left out: its absence hides nothing. */
export function leftOut<T extends string | number | boolean>(
  inner: Shape<T>,
): Shape<T | undefined> {
  return (value, path, found) => {
    if (value !== undefined) inner(value, path, found);
  };
}

/** A field that may be left out. */
export function optional<T>(inner: Shape<T>): Shape<T | undefined> {
  return (value, path, found) => {
    if (value === undefined) found.hollow.add(path);
    else inner(value, path, found);
  };
}

export function list<T>(inner: Shape<T>): Shape<T[]> {
  return (value, path, found) => {
    if (!Array.isArray(value)) {
      found.wrong.push(`${path} is ${kind(value)}, not a list`);
      return;
    }
    (value.length === 0 ? found.hollow : found.seen).add(path);
    for (const entry of value) inner(entry, `${path}[]`, found);
  };
}

export function tuple<A, B>(first: Shape<A>, second: Shape<B>): Shape<[A, B]> {
  return (value, path, found) => {
    if (!Array.isArray(value) || value.length !== 2) {
      found.wrong.push(`${path} is not a pair`);
      return;
    }
    first(value[0], `${path}.0`, found);
    second(value[1], `${path}.1`, found);
  };
}

export function record<T>(inner: Shape<T>): Shape<Record<string, T>> {
  return (value, path, found) => {
    if (!isObject(value, path, found)) return;
    for (const entry of Object.values(value)) inner(entry, `${path}.*`, found);
  };
}

export type Fields<T> = { [K in keyof T]-?: Shape<T[K]> };

/** Fields that the page does not read may be there too. */
export function object<T>(fields: Fields<T>): Shape<T> {
  return (value, path, found) => {
    if (!isObject(value, path, found)) return;
    found.seen.add(path);
    for (const [name, inner] of Object.entries(fields as Record<string, Look>)) {
      inner(value[name], `${path}.${name}`, found);
    }
  };
}

function isObject(
  value: unknown,
  path: string,
  { wrong }: Findings,
): value is Record<string, unknown> {
  const is = typeof value === "object" && value !== null && !Array.isArray(value);
  if (!is) wrong.push(`${path} is ${kind(value)}, not an object`);
  return is;
}
