// What differs between two texts, line by line, with a little of what surrounds it.

export interface DiffLine {
  kind: "same" | "added" | "removed" | "gap";
  text: string;
}

/** Larger changes than this are shown as all old, then all new: the table would be too large. */
const MOST_CELLS = 4_000_000;

export function diff(before: string, after: string, around = 2): DiffLine[] {
  const [a, b] = [before.split("\n"), after.split("\n")];
  let top = 0;
  while (top < a.length && top < b.length && a[top] === b[top]) top += 1;
  let end = 0;
  while (
    end < a.length - top &&
    end < b.length - top &&
    a[a.length - 1 - end] === b[b.length - 1 - end]
  ) {
    end += 1;
  }
  const middle = changed(a.slice(top, a.length - end), b.slice(top, b.length - end));
  const same = (text: string): DiffLine => ({ kind: "same", text });
  const all = [...a.slice(0, top).map(same), ...middle, ...a.slice(a.length - end).map(same)];
  return shortened(all, around);
}

function changed(a: string[], b: string[]): DiffLine[] {
  const removed = (text: string): DiffLine => ({ kind: "removed", text });
  const added = (text: string): DiffLine => ({ kind: "added", text });
  if (a.length * b.length > MOST_CELLS) return [...a.map(removed), ...b.map(added)];
  const common = lengths(a, b);
  const at = (i: number, j: number): number => common[i * (b.length + 1) + j] ?? 0;
  const lines: DiffLine[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const [old, now] = [a[i] ?? "", b[j] ?? ""];
    if (old === now) {
      lines.push({ kind: "same", text: old });
      i += 1;
      j += 1;
    } else if (at(i + 1, j) >= at(i, j + 1)) {
      lines.push(removed(old));
      i += 1;
    } else {
      lines.push(added(now));
      j += 1;
    }
  }
  return [...lines, ...a.slice(i).map(removed), ...b.slice(j).map(added)];
}

/** How long the longest common sequence is of what follows each pair of lines. */
function lengths(a: string[], b: string[]): Uint32Array {
  const wide = b.length + 1;
  const table = new Uint32Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      const down = table[(i + 1) * wide + j] ?? 0;
      const right = table[i * wide + j + 1] ?? 0;
      const both = table[(i + 1) * wide + j + 1] ?? 0;
      table[i * wide + j] = a[i] === b[j] ? both + 1 : Math.max(down, right);
    }
  }
  return table;
}

function shortened(lines: DiffLine[], around: number): DiffLine[] {
  const near = lines.map(() => false);
  lines.forEach((line, n) => {
    if (line.kind === "same") return;
    for (let k = Math.max(0, n - around); k <= Math.min(lines.length - 1, n + around); k += 1) {
      near[k] = true;
    }
  });
  const kept: DiffLine[] = [];
  lines.forEach((line, n) => {
    if (near[n] === true) kept.push(line);
    else if (kept.at(-1)?.kind !== "gap") kept.push({ kind: "gap", text: "⋯" });
  });
  return kept.some((line) => line.kind !== "gap") ? kept : [];
}
