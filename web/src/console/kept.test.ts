// Lists that are renewed while somebody reads them: rows stay where they are.
import { describe, expect, it } from "vitest";
import { merge, type Row } from "./kept";

interface Item {
  id: string;
  word: string;
}

const item = (id: string, word = ""): Item => ({ id, word });
const page = (ids: string[], next: string | null = null) => ({
  items: ids.map((id) => item(id)),
  next,
});
const shown = (ids: string[]): Row<Item>[] => ids.map((id) => ({ row: item(id), left: false }));
const told = (rows: Row<Item>[]): string =>
  rows.map(({ row, left }) => (left ? `(${row.id})` : row.id)).join(" ");

describe("a list and its next answer", () => {
  it("begins with what comes first", () => {
    const { rows, newer } = merge([], page(["5", "4"]));
    expect([told(rows), newer]).toEqual(["5 4", 0]);
  });

  it("counts what came above, and does not put it in", () => {
    const { rows, newer } = merge(shown(["5", "4"]), page(["7", "6", "5", "4"]));
    expect([told(rows), newer]).toEqual(["5 4", 2]);
  });

  it("takes over what changed in its place", () => {
    const fresh = { items: [item("5", "new"), item("4")], next: null };
    expect(merge(shown(["5", "4"]), fresh).rows[0]?.row.word).toBe("new");
  });

  it("marks what no longer belongs, and not what was only pushed out", () => {
    const full = page(["7", "6", "4"], "more");
    expect(told(merge(shown(["6", "5", "4", "3"]), full).rows)).toBe("6 (5) 4 3");
    // Without a next page, what is not there is not pushed out but gone.
    expect(told(merge(shown(["6", "5", "4", "3"]), page(["7", "6", "4"])).rows)).toBe(
      "6 (5) 4 (3)",
    );
    expect(told(merge(shown(["6"]), page([])).rows)).toBe("(6)");
  });

  it("lets a row back in that belongs again", () => {
    const left = merge(shown(["6", "5"]), page(["6"])).rows;
    expect(told(left)).toBe("6 (5)");
    expect(told(merge(left, page(["6", "5"])).rows)).toBe("6 5");
  });

  it("fills up below", () => {
    expect(told(merge(shown(["6", "5"]), page(["6", "5", "4"])).rows)).toBe("6 5 4");
  });
});
