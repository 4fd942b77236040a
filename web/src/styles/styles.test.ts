// Whoever goes from view to view gathers the styles of all of them, and none may undo another's.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, it } from "vitest";

const VIEWS: Record<string, string> = {
  "map.css": "map and board",
  "over.css": "map and board",
  "board.css": "map and board",
};

/** Files of one view may add to each other. */
function viewOf(file: string): string {
  return VIEWS[file] ?? (file.startsWith("console") ? "console" : file);
}

/** Classes that a file gives a layout by their names alone. */
function ownClasses(file: string): string[] {
  const text = readFileSync(resolve(import.meta.dirname, file), "utf8");
  return [...text.matchAll(/^\.([a-z][\w-]*)(?=(,\n\.[\w-]+)* \{)/gm)].map(
    ([, name]) => name ?? "",
  );
}

it("a class is laid out by one view alone", () => {
  const files = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".css"));
  const owners = new Map<string, Set<string>>();
  for (const file of files) {
    for (const name of ownClasses(file)) {
      owners.set(name, (owners.get(name) ?? new Set()).add(viewOf(file)));
    }
  }
  expect(owners.size).toBeGreaterThan(200);
  const shared = [...owners].filter(([, views]) => views.size > 1);
  expect(shared.map(([name, views]) => `${name}: ${[...views].join(", ")}`)).toEqual([]);
});
