// No view has a fault that axe finds: in any state, light or dark, on a phone or on a desk.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { openBrowser } from "./parts/page.mjs";
import { FULL, given } from "./parts/stack.mjs";
import { makeStage } from "./parts/stage.mjs";
import { keepToken, openViewer, show, views } from "./parts/views.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const DESK = { width: 1440, height: 900 };
const PHONE = { width: 390, height: 844 };
/** Both sizes and both schemes; with --full all four pairs of them. */
const LOOKS = [
  [DESK, "light"],
  [PHONE, "dark"],
  ...(FULL
    ? [
        [DESK, "dark"],
        [PHONE, "light"],
      ]
    : []),
];

let axe;
let stage;
let window;

before(
  async () => {
    axe = await readFile(AXE, "utf8");
    stage = await makeStage();
    // Nothing moves, so that no colour is looked at half-way.
    window = await openBrowser({ reducedMotion: "reduce", viewport: DESK });
  },
  { timeout: 180_000 },
);

after(async () => {
  await window?.close();
  await stage?.strike();
});

/** What is wrong, in a line each. */
function told(violations) {
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, failureSummary }) => {
      const why = failureSummary.split("\n").slice(1).join("; ").trim();
      return `${id} (${help}): ${target.join(" ")}: ${why}`;
    }),
  );
}

async function setLook(page, size, colorScheme) {
  await page.setViewportSize(size);
  await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
  // Two frames, so that what depends on the size has been drawn.
  await page.evaluate(
    () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
  );
}

async function look(page, size, colorScheme) {
  await setLook(page, size, colorScheme);
  const violations = await page.evaluate(
    async () => (await globalThis.axe.run(document, { resultTypes: ["violations"] })).violations,
  );
  return told(violations).map((fault) => `${size.width} px, ${colorScheme}: ${fault}`);
}

test("axe finds a fault where there is one", async () => {
  const page = await window.context.newPage();
  await page.setContent('<html lang="en"><title>x</title><main><img src="data:,"></main></html>');
  await page.evaluate(axe);
  const faults = await look(page, DESK, "light");
  assert.ok(
    faults.some((fault) => fault.includes("image-alt")),
    faults.join("\n"),
  );
  await page.close();
});

/** One after the other on one page, as somebody goes through them. */
class Walk {
  #page = null;
  #signedIn;

  constructor(signedIn) {
    this.#signedIn = signedIn;
  }

  async #fresh() {
    const context = await window.stranger();
    if (this.#signedIn) await keepToken(context, given("PORTCALL_TEST_TOKEN"));
    const page = await openViewer(context);
    await page.evaluate(axe);
    return page;
  }

  async look(name) {
    const view = views(stage).find((one) => one.name === name);
    this.#page ??= await this.#fresh();
    const page = this.#page;
    // A page that something failed on is left as it is, for its picture, and another takes its place.
    this.#page = null;
    await setLook(page, ...LOOKS[0]);
    await show(page, view);
    const faults = [];
    for (const [size, scheme] of LOOKS) faults.push(...(await look(page, size, scheme)));
    assert.deepEqual(faults, []);
    assert.deepEqual(page.wrongs, []);
    if (view.spends) await page.close();
    else this.#page = page;
  }
}

describe("axe finds nothing on any view", { concurrency: 2 }, () => {
  for (const [who, signedIn] of [
    ["of anybody", false],
    ["of an operator", true],
  ]) {
    describe(who, () => {
      const walk = new Walk(signedIn);
      for (const { name, ...view } of views({})) {
        if ((view.signedIn ?? false) !== signedIn) continue;
        test(name, { timeout: 60_000 }, () => walk.look(name));
      }
    });
  }
});
