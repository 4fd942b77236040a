// @vitest-environment node
// The generator of the page's types: names kept, each type written once, and nothing else.
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { typesOf } from "./types.mjs";

const document = (schemas) => ({ openapi: "3.1.0", components: { schemas } });
const place = {
  type: "object",
  description: "Where.",
  required: ["label"],
  properties: { label: { type: "string" }, lat: { type: ["number", "null"] } },
};
const ref = (name, description) => ({ $ref: `#/components/schemas/${name}`, description });

describe("types of a document", () => {
  it("keep what must be there apart from what may be null or left out", async () => {
    const written = await typesOf(document({ Place: place }));
    expect(written).toContain("export interface Place {");
    expect(written).toMatch(/^ {2}label: string;$/m);
    expect(written).toMatch(/^ {2}lat\?: number \| null;$/m);
    expect(written).toContain(" * Where.");
  });

  it("are written once, however many places refer to them", async () => {
    const properties = { from: ref("Place", "Here."), to: ref("Place", "There.") };
    const both = { type: "object", required: ["from", "to"], properties };
    const written = await typesOf(document({ Place: place, Way: both }));
    expect(written.match(/Place\d? \{/g)).toEqual(["Place {"]);
    expect(written).toMatch(/^ {2}from: Place;$/m);
    expect(written).toMatch(/^ {2}to: Place;$/m);
  });

  it("are words, unions and whole documents with something added", async () => {
    const added = { type: "object", required: ["n"], properties: { n: { type: "integer" } } };
    const written = await typesOf(
      document({
        Place: place,
        Word: { type: "string", enum: ["queued", "passed"] },
        Or: { oneOf: [ref("Place"), { type: "null" }] },
        More: { allOf: [ref("Place"), added] },
      }),
    );
    expect(written).toContain('export type Word = "queued" | "passed";');
    expect(written).toContain("export type Or = Place | null;");
    expect(written).toContain("export type More = Place & {");
  });

  it("say nothing of how they were made", async () => {
    const written = await typesOf(document({ Bare: { type: "string" }, Place: place }));
    expect(written).not.toMatch(/Unused|referenced by/);
    expect(written).toContain("export type Bare = string;");
    expect(await typesOf(document({ Bare: { type: "string" }, Place: place }))).toBe(written);
  });
});

it("schema.ts is what the api's document says (npm run types)", async () => {
  const file = (path) => resolve(import.meta.dirname, "..", path);
  expect(existsSync(file("openapi.json")), "web/openapi.json").toBe(true);
  const read = (path) => readFileSync(file(path), "utf8");
  expect(read("src/api/schema.ts")).toBe(await typesOf(JSON.parse(read("openapi.json"))));
});
