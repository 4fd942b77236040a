// The api is killed while people watch: status, map and board say so, recover by themselves, miss nothing.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pushImage } from "./parts/images.mjs";
import { mapReady, one, openBrowser, openPage, seeState } from "./parts/page.mjs";
import {
  apiAnswers,
  GRADED_MS,
  graded,
  makeEvent,
  onMap,
  reach,
  send,
  tellApi,
} from "./parts/stack.mjs";

/** Long enough that the grading goes on while the api is away. */
const DELAY_MS = 6_000;

let window;
let event;
let slow;

before(
  async () => {
    event = await makeEvent({ title: "Restarts" });
    slow = await pushImage({
      env: {
        APP_MODE: "late-listen",
        APP_DELAY_MS: String(DELAY_MS),
        APP_NAME: "Gordon",
        APP_VOTE: "Cats",
      },
    });
    await graded(event.slug);
    await onMap(event.slug, 1);
    window = await openBrowser();
  },
  { timeout: 180_000 },
);

after(async () => {
  await tellApi("start");
  await apiAnswers();
  await window?.close();
});

/** What a page says while nobody answers is no fault of the page. */
function withoutOutage(wrongs) {
  return wrongs.filter((text) => !/ERR_(CONNECTION|EMPTY_RESPONSE|INCOMPLETE)/.test(text));
}

for (const how of ["kill", "stop"]) {
  test(`the api is told to ${how} and comes back`, { timeout: 2 * GRADED_MS }, async () => {
    const status = await openPage(window.context, `/events/${event.slug}`);
    const map = await openPage(window.context, `/events/${event.slug}`);
    const board = await openPage(window.context, `/events/${event.slug}/board`);
    await mapReady(map);
    await map.waitForSelector(`${one("map")}[data-live="open"]`);
    await board.waitForSelector(`${one("board-recent")} [data-submission]`);
    const before = await board.textContent(one("board-total"));

    const { id } = await send(event.slug, {
      images: [slow],
      place: { label: "Lisbon, PT", lat: 38.7167, lng: -9.1333 },
    });
    await status.goto(new URL(`/submissions/${id}`, status.url()).href);
    await status.evaluate(() => {
      globalThis.stayed = true;
    });
    await seeState(status, "grading");

    await tellApi(how);
    await map.waitForSelector(`${one("map")}:not([data-live="open"])`);
    // A page that tells nobody of its loss leaves people wondering.
    await Promise.all([map, status].map((page) => page.waitForSelector(one("offline"))));
    await tellApi("start");
    await apiAnswers();

    await reach(id, "passed");
    await Promise.all([
      seeState(status, "passed"),
      map.waitForSelector(`${one("pin-list")} [data-submission="${id}"]`, { timeout: GRADED_MS }),
      board.waitForSelector(`${one("board-recent")} [data-submission="${id}"]`, {
        timeout: GRADED_MS,
      }),
      board.waitForFunction(
        (old) => document.querySelector('[data-testid="board-total"]')?.textContent !== old,
        before,
        { timeout: GRADED_MS },
      ),
    ]);
    await map.waitForSelector(`${one("map")}[data-live="open"]`, { timeout: GRADED_MS });
    await Promise.all(
      [map, status].map((page) => page.waitForSelector(one("offline"), { state: "detached" })),
    );
    // And what happens from now on arrives live again.
    const next = await graded(event.slug, { place: { label: "Oslo, NO", lat: 59.91, lng: 10.75 } });
    await Promise.all(
      [
        [map, "pin-list"],
        [board, "board-recent"],
      ].map(([page, list]) => page.waitForSelector(`${one(list)} [data-submission="${next.id}"]`)),
    );
    for (const page of [status, map, board]) {
      assert.equal(await page.evaluate(() => globalThis.stayed), true, "the page was reloaded");
      assert.deepEqual(withoutOutage(page.wrongs), []);
      await page.close();
    }
  });
}
