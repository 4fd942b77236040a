// What the API says about a rules file: each mistake with the line that it is in.
import type { FieldError } from "../../api/problem";

export interface Mistake {
  /** Counts from 1; 0 where no line is named. */
  line: number;
  text: string;
}

export function mistakesOf(errors: FieldError[]): Mistake[] {
  const read = errors.map(({ detail }): Mistake => {
    const found = /^Line (\d{1,7}): ([\s\S]*)$/.exec(detail);
    if (found === null) return { line: 0, text: detail };
    return { line: Number(found[1]), text: found[2] ?? "" };
  });
  return read.sort((a, b) => a.line - b.line);
}

/** Where a line begins and ends in a text. */
export function rangeOf(text: string, line: number): [start: number, end: number] {
  let start = 0;
  for (let n = 1; n < line; n += 1) {
    const next = text.indexOf("\n", start);
    if (next === -1) return [text.length, text.length];
    start = next + 1;
  }
  const end = text.indexOf("\n", start);
  return [start, end === -1 ? text.length : end];
}

export function countLines(text: string): number {
  return text.split("\n").length;
}
