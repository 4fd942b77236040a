// Pictures of every view, narrow and wide, light and dark, to be looked at by people.
// Usage: node scripts/shots.mjs BASE_URL EVENT_SLUG [SUBMISSION_ID…]   (writes to .shots/)
import { mkdirSync, rmSync } from "node:fs";
import { startBrowser, watchPage } from "../e2e/browser.mjs";

const [base, slug, ...submissions] = process.argv.slice(2);
if (base === undefined || slug === undefined) {
  console.error("usage: node scripts/shots.mjs BASE_URL EVENT_SLUG [SUBMISSION_ID…]");
  process.exit(64);
}
const OUT = new URL("../.shots/", import.meta.url).pathname;
rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT, { recursive: true });

const WIDTHS = [
  [390, 844],
  [768, 1024],
  [1440, 900],
];

async function settled(page) {
  await page.waitForFunction(() => document.querySelector('[data-testid="loading"]') === null);
  await page.evaluate(() => document.fonts.ready);
}

async function mapReady(page) {
  await page.waitForSelector(".land");
  await page.waitForSelector('[data-testid="pin"], [data-testid="cell"], .panel-empty');
}

async function wrongForm(page) {
  await page.waitForSelector('[data-testid="submit-form"]');
  await page.fill('[name="participant.handle"]', "@gordon");
  await page.fill('[name="place.label"]', "San");
  await page.click('[data-testid="submit-button"]');
  await page.waitForSelector('[data-testid="error-summary"]');
}

async function suggestions(page) {
  await page.waitForSelector('[data-testid="submit-form"]');
  await page.fill('[name="place.label"]', "San Fr");
  await page.waitForSelector('[data-testid="place-option"]');
}

async function openPin(page) {
  await mapReady(page);
  const first = page.locator('[data-testid="pin-list"] .row').first();
  if ((await first.count()) === 0) return;
  await first.click();
  await page.waitForSelector('[data-testid="pin-card"]');
}

const views = [
  ["map", `/events/${slug}`, mapReady],
  ["map-pin", `/events/${slug}`, openPin],
  ["map-europe", `/events/${slug}#9,48,4.6`, mapReady],
  ["map-pacific", `/events/${slug}#178,-15,3.5`, mapReady],
  ["submit", `/events/${slug}/submit`, (page) => page.waitForSelector("form")],
  ["submit-places", `/events/${slug}/submit`, suggestions],
  ["submit-errors", `/events/${slug}/submit`, wrongForm],
  ["missing", "/submissions/00000000-0000-7000-8000-000000000000", settled],
  ...submissions.map((id, index) => [
    `submission-${index + 1}`,
    `/submissions/${id}`,
    (page) => page.waitForSelector('[data-testid="submission-state"]'),
  ]),
];

const browser = await startBrowser();
let wrong = 0;
for (const colorScheme of ["light", "dark"]) {
  for (const [width, height] of WIDTHS) {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme,
      reducedMotion: "reduce",
    });
    for (const [name, path, ready] of views) {
      const page = await context.newPage();
      const wrongs = watchPage(page, new URL(base).origin);
      await page.goto(base + path);
      await settled(page);
      await ready(page);
      // The fine coast and the pins of the last view may still be on their way.
      await page.waitForLoadState("networkidle", { timeout: 1_500 }).catch(() => undefined);
      const sideways = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      if (sideways > 0) wrongs.push(`scrolls sideways by ${sideways} px`);
      const file = `${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path: OUT + file, fullPage: !name.startsWith("map") });
      for (const text of wrongs) console.error(`${file}: ${text}`);
      wrong += wrongs.length;
      console.log(file);
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
process.exit(wrong === 0 ? 0 : 1);
