// Writes src/api/schema.ts: the types of what the api says, from its own document (web/openapi.json).
// Usage: node scripts/types.mjs [--check]   (--check writes nothing and fails when the file is stale)
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { compile } from "json-schema-to-typescript";

const WEB = new URL("../", import.meta.url);
const DOCUMENT = new URL("openapi.json", WEB);
const SCHEMA = new URL("src/api/schema.ts", WEB);

const BANNER = `// Written by \`npm run types\` from openapi.json, the api's own document. Not to be edited.
// The page's names for these are in types.ts.
`;

/** Every named schema of an OpenAPI 3.1 document as an exported type. */
export async function typesOf(document) {
  const definitions = local(document.components.schemas);
  // Only what is reachable from a root gets a name, unless this is asked for.
  const written = await compile({ definitions, type: "object", title: "Unused" }, "Unused", {
    additionalProperties: false,
    bannerComment: BANNER,
    ignoreMinAndMaxItems: true,
    style: { printWidth: 100 },
    unreachableDefinitions: true,
  });
  return withoutRoot(withoutOrigins(written));
}

/**
 * References as plain JSON Schema has them. What stands beside one describes the place and not the
 * type; with it every place would get a type of its own.
 */
function local(value) {
  if (Array.isArray(value)) return value.map(local);
  if (typeof value !== "object" || value === null) return value;
  if (typeof value.$ref === "string") {
    return { $ref: value.$ref.replace("#/components/schemas/", "#/definitions/") };
  }
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, local(inner)]));
}

/** Takes the lines away that only say where in the document a type was found. */
function withoutOrigins(text) {
  return text
    .replace(/^ \*\n \* This interface was referenced by `Unused`'s.*\n \* via the .*\n/gm, "")
    .replace(
      /^\/\*\*\n \* This interface was referenced by `Unused`'s.*\n \* via the .*\n \*\/\n/gm,
      "",
    );
}

/** Takes the root away, which is nothing but a handle for the compiler. */
function withoutRoot(text) {
  return text.replace(/^export interface Unused \{\}\n/m, "");
}

async function main() {
  if (!existsSync(DOCUMENT)) {
    console.error("web/openapi.json is not there; a test of the api writes it");
    return 1;
  }
  const wanted = await typesOf(JSON.parse(readFileSync(DOCUMENT, "utf8")));
  const found = existsSync(SCHEMA) ? readFileSync(SCHEMA, "utf8") : "";
  if (wanted === found) return 0;
  if (argv.includes("--check")) {
    console.error("src/api/schema.ts is not what openapi.json says: npm run types");
    return 1;
  }
  writeFileSync(SCHEMA, wanted);
  console.log("src/api/schema.ts is written");
  return 0;
}

if (argv[1] === fileURLToPath(import.meta.url)) exit(await main());
