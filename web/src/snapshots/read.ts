// What tests read: the api's own snapshots of its answers, and the page's own source files.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";

const API = resolve(import.meta.dirname, "../../../api");

/** A snapshot of a whole answer, by its name in the api's tests. */
export function viewSnapshot(name: string): unknown {
  return readSnapshot(`tests/views/snapshots/views__${name}.snap`);
}

export interface SentProblem {
  body: { status: number };
  retry_after: string | null;
}

/** Every problem that the api knows to send. */
export function sentProblems(): SentProblem[] {
  const file = "src/snapshots/portcall_api__problem__tests__every_problem_as_it_is_sent.snap";
  return readSnapshot(file) as SentProblem[];
}

/** The page's own source files, without its tests. */
export function ownSources(): { path: string; text: string }[] {
  const root = resolve(import.meta.dirname, "..");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" });
  const sources = files.filter((path) => /\.tsx?$/.test(path) && !/\.test\.tsx?$/.test(path));
  return sources.map((path) => ({ path, text: readFileSync(resolve(root, path), "utf8") }));
}

/** A snapshot file is a header between two lines of dashes, then the value. */
function readSnapshot(file: string): unknown {
  const text = readFileSync(resolve(API, file), "utf8");
  const found = /^---\n[\s\S]*?\n---\n([\s\S]*)$/.exec(text);
  if (found?.[1] === undefined) throw new Error(`${file} is not a snapshot`);
  return JSON.parse(found[1]);
}
