// The board for the venue: totals, the latest, countries, all of it live; and the event replayed in a minute.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closePage, one, openBrowser, openPage, seeNumber } from "./parts/page.mjs";
import { getJson, graded, makeEvent, onMap } from "./parts/stack.mjs";

const PARIS = { label: "Paris, FR", lat: 48.8534, lng: 2.3488 };
const TOKYO = { label: "Tokyo, JP", lat: 35.6895, lng: 139.6917 };

let window;
let event;
let first;

before(
  async () => {
    event = await makeEvent({ title: "The board" });
    first = await graded(event.slug, { place: PARIS });
    await graded(event.slug, { place: PARIS });
    await onMap(event.slug, 2);
    window = await openBrowser({ viewport: { width: 1440, height: 900 } });
  },
  { timeout: 180_000 },
);

after(() => window?.close());

test("the board counts, and shows who passes as it happens", { timeout: 180_000 }, async () => {
  const page = await openPage(window.context, `/events/${event.slug}/board`);
  const rows = `${one("board-recent")} [data-submission]`;
  await page.waitForSelector(rows);
  await page.waitForSelector(`${one("board")}[data-live="open"]`);
  await page.locator("h1", { hasText: /^The board$/ }).waitFor();
  await seeNumber(page, "board-total", 2);
  await page.waitForFunction((all) => document.querySelectorAll(all).length === 2, rows);
  assert.equal(await page.locator(rows).last().getAttribute("data-submission"), first.id);

  const { id } = await graded(event.slug, { place: TOKYO });
  await page.waitForSelector(`${one("board-recent")} li:nth-child(1)[data-submission="${id}"]`);
  await seeNumber(page, "board-total", 3);
  await page.waitForSelector(`${one("board-countries")} [data-country="JP"]`);
  const countries = await page.$$eval(`${one("board-countries")} [data-country]`, (all) =>
    all.map((country) => `${country.dataset.country} ${country.textContent}`),
  );
  assert.match(countries[0], /^FR France.*2$/);
  assert.match(countries[1], /^JP Japan.*1$/);
  await closePage(page);
});

test("the replay runs the whole event, and the last picture has all pins", {
  timeout: 60_000,
}, async () => {
  const { total, pins } = await getJson(`/api/v1/events/${event.slug}/replay?steps=60`);
  assert.equal(
    pins.reduce((sum, [, , count]) => sum + count, 0),
    total,
  );
  const page = await openPage(window.context, `/events/${event.slug}/board`);
  await page.waitForSelector(one("board-recent"));
  await page.click(one("replay-button"));
  await page.waitForSelector(`${one("replay")}[data-running="true"]`);
  const share = () => page.getAttribute(one("replay"), "data-share").then(Number);
  const early = await share();
  await page.waitForFunction(
    ([replay, old]) => Number(document.querySelector(replay)?.dataset.share) > old + 0.01,
    [one("replay"), early],
  );
  await page.click(one("replay-pause"));
  await page.waitForSelector(`${one("replay")}[data-running="false"]`);
  const held = await share();
  await page.click(one("replay-pause"));
  await page.waitForFunction(
    ([replay, old]) => Number(document.querySelector(replay)?.dataset.share) > old,
    [one("replay"), held],
  );
  // The last seconds of the minute.
  await page.fill(`${one("replay")} input[type="range"]`, "58.5");
  await page.waitForSelector(`${one("replay")}[data-running="false"][data-share="1.000"]`);
  await seeNumber(page, "replay-passed", total);
  await page.keyboard.press("Escape");
  await page.waitForSelector(one("board-recent"));
  await closePage(page);

  const linked = await openPage(window.context, `/events/${event.slug}/board#replay`);
  await linked.waitForSelector(`${one("replay")}[data-running="true"]`);
  await closePage(linked);
});

test("the board fills the screen", async () => {
  const page = await openPage(window.context, `/events/${event.slug}/board`);
  await page.click(one("fullscreen-button"));
  await page.waitForFunction(() => document.fullscreenElement !== null);
  await page.waitForSelector(`${one("fullscreen-button")}[aria-pressed="true"]`);
  await page.click(one("fullscreen-button"));
  await page.waitForFunction(() => document.fullscreenElement === null);
  await closePage(page);
});
