// What the pages looked like when a test failed: a picture of each and a file of what it said, in
// web/.shots/failed, which is not committed.
import { mkdir, writeFile } from "node:fs/promises";
import { basename } from "node:path";

const OUT = new URL("../../.shots/failed/", import.meta.url).pathname;
const LONGEST_MS = 5_000;

const browsers = new Set();

/** Its pages are pictured when a test fails. */
export function alsoPictured(browser) {
  browsers.add(browser);
  browser.on("disconnected", () => browsers.delete(browser));
}

async function keep(page, path) {
  const title = await page.title();
  const text = await page.locator("body").innerText({ timeout: LONGEST_MS });
  const wrongs = page.wrongs ?? [];
  const asked = [...(page.asked ?? [])].map((request) => request.url());
  const said = [page.url(), title, "", "wrongs:", ...wrongs, "", "unanswered:", ...asked, "", text];
  await writeFile(`${path}.txt`, `${said.join("\n")}\n`);
  await page.screenshot({ path: `${path}.png`, timeout: LONGEST_MS, animations: "disabled" });
}

async function keepAll(test) {
  if (test.passed !== false) return;
  const pages = [...browsers].flatMap((browser) => browser.contexts().flatMap((c) => c.pages()));
  await mkdir(OUT, { recursive: true });
  const file = basename(process.argv[1], ".mjs");
  const name = `${file}-${test.name.replace(/[^\w]+/g, "-").slice(0, 60)}-${Date.now()}`;
  for (const [index, page] of pages.entries()) {
    const path = `${OUT}${name}-${index + 1}`;
    await keep(page, path).then(
      () => console.log(`what the page looked like: ${path}.png, and what it said: ${path}.txt`),
      (error) => console.log(`no picture of ${page.url()}: ${error}`),
    );
    // What is left of a test that failed is not in the way of the next.
    if (!page.shared) await page.close().catch(() => undefined);
  }
}

// Only where tests run: node:test begins to report as soon as it is there.
if (process.env.NODE_TEST_CONTEXT !== undefined) {
  const { afterEach } = await import("node:test");
  afterEach(keepAll);
}
