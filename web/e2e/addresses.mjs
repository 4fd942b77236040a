// Every view has an address: it can be reloaded, shared, and left with the browser's back.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { watchPage } from "./parts/browser.mjs";
import { closePage, mapReady, one, openBrowser, openPage, seeState } from "./parts/page.mjs";
import {
  BASE,
  GRADED_MS,
  given,
  graded,
  makeEvent,
  ORIGIN,
  onMap,
  organise,
} from "./parts/stack.mjs";
import { keepToken } from "./parts/views.mjs";

let window;
let event;
let passed;

before(
  async () => {
    event = await makeEvent({ title: "Addresses" });
    passed = (await graded(event.slug)).id;
    await onMap(event.slug, 1);
    await organise(`/submissions/${passed}/unhide`, { note: "So that the log has a line" });
    window = await openBrowser();
    await keepToken(window.context, given("PORTCALL_TEST_TOKEN"));
  },
  { timeout: 180_000 },
);

after(() => window?.close());

test("reload shows the same view again, and back leads through all of them", {
  timeout: 120_000,
}, async () => {
  const { slug } = event;
  const desk = `/console/${slug}`;
  const stops = [
    [`/events/${slug}`, mapReady, /^Addresses/],
    [`/events/${slug}/submit`, (page) => page.waitForSelector(one("submit-form")), /Submit/],
    [`/events/${slug}/board`, (page) => page.waitForSelector(one("board-total")), /Addresses/],
    [`/submissions/${passed}`, (page) => seeState(page, "passed"), /^Passed/],
    ["/console", (page) => page.waitForSelector(one("console-event")), /Console/],
    [desk, (page) => page.waitForSelector(one("console-overview")), /Overview/],
    [
      `${desk}/submissions?q=gordon`,
      (page) => page.waitForSelector(one("console-results")),
      /Submissions/,
    ],
    [
      `${desk}/submissions/${passed}`,
      (page) => page.waitForSelector(one("act-hide")),
      /Gordon|ubmission/,
    ],
    [`${desk}/regrades`, (page) => page.waitForSelector("main h1"), /Re-grades/],
    [`${desk}/rules`, (page) => page.waitForSelector(one("rules-editor")), /Rules/],
    [`${desk}/suspects`, (page) => page.waitForSelector(one("console-suspects")), /Suspects/],
    [`${desk}/audit`, (page) => page.waitForSelector(one("audit-list")), /Audit/],
    [`${desk}/webhooks`, (page) => page.waitForSelector("main h1, main h2"), /Webhooks/],
  ];
  const page = await window.context.newPage();
  const wrongs = watchPage(page, ORIGIN);
  // As far as the view is concerned: the map writes its own view into the hash.
  const there = async ([path, ready, title]) => {
    await ready(page);
    await page.waitForFunction((there) => location.pathname + location.search === there, path);
    await page.waitForFunction((s) => new RegExp(s, "i").test(document.title), title.source);
  };
  for (const stop of stops) {
    await page.goto(BASE + stop[0]);
    await there(stop);
    await page.reload();
    await there(stop);
  }
  for (const stop of stops.toReversed().slice(1)) {
    await page.goBack();
    await there(stop);
  }
  for (const stop of stops.slice(1)) {
    await page.goForward();
    await there(stop);
  }
  assert.deepEqual(wrongs, []);
  await page.close();
});

test("links stay in the page, and back leads to where one was", async () => {
  const page = await openPage(window.context, `/events/${event.slug}#-122.27,37.80,6.00`);
  await mapReady(page);
  await page.click(`${one("pin-list")} button`);
  await page.waitForSelector(one("pin-card"));
  await page.click(`${one("pin-card")} a[href="/submissions/${passed}"]`);
  await seeState(page, "passed");
  await page.goBack();
  await mapReady(page);
  const hash = await page.evaluate(() => location.hash);
  assert.match(hash, /^#-122\.\d+,37\.\d+,/);
  await page.goForward();
  await seeState(page, "passed");
  await closePage(page);
});

test("a link keeps the view of the map", async () => {
  const page = await openPage(window.context, `/events/${event.slug}#2.35,48.85,7.00`);
  await page.waitForSelector(`${one("map")}[data-zoom="7.00"]`);
  await page.click(one("zoom-in"));
  // The address is written once the map rests.
  await page.waitForFunction((map) => {
    const zoom = Number(location.hash.split(",")[2]);
    return zoom > 7.9 && zoom === Number(document.querySelector(map)?.dataset.zoom);
  }, one("map"));
  const link = page.url();
  const zoom = await page.getAttribute(one("map"), "data-zoom");
  await closePage(page);
  const other = await openPage(window.context, new URL(link).pathname + new URL(link).hash);
  await other.waitForSelector(`${one("map")}[data-zoom="${zoom}"]`);
  await closePage(other);
});

test("the first view has the whole world beside the list, and links show what they say", {
  timeout: 2 * GRADED_MS,
}, async () => {
  const world = await makeEvent({ title: "The whole world" });
  const places = [
    { label: "Tokyo, JP", lat: 35.69, lng: 139.69 },
    { label: "Sydney, AU", lat: -33.87, lng: 151.21 },
    { label: "Suva, FJ", lat: -18.14, lng: 178.44 },
    { label: "Honolulu, US", lat: 21.31, lng: -157.86 },
  ];
  await Promise.all(places.map((place) => graded(world.slug, { place })));
  await onMap(world.slug, places.length);
  const page = await openPage(window.context, `/events/${world.slug}`);
  const marks = `${one("pin")}, ${one("cell")}`;
  for (const [width, height] of [
    [1440, 900],
    [1920, 1080],
    [1280, 800],
  ]) {
    await page.setViewportSize({ width, height });
    await mapReady(page);
    await page.waitForSelector(`${one("pin-list")} [data-submission]`);
    const list = await page.locator(".panel").boundingBox();
    await page.waitForFunction(
      ([selector, right]) => {
        const boxes = [...document.querySelectorAll(selector)].map((mark) =>
          mark.getBoundingClientRect(),
        );
        return boxes.length >= 2 && boxes.every((box) => box.right <= right && box.left >= -20);
      },
      [marks, list.x],
    );
    assert.equal(await page.evaluate(() => location.hash), "");
  }
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.evaluate(() => {
    location.hash = "46.00,30.00,1.00";
  });
  // As far out as one world covers the window.
  await page.waitForSelector(`${one("map")}[data-zoom="${Math.log2(1440 / 256).toFixed(2)}"]`);
  await page.click(one("zoom-out"));
  await page.waitForFunction(() => location.hash === "");
  await closePage(page);
});

test("what a browser asks for by itself is there", async () => {
  for (const path of ["/favicon.ico", "/"]) {
    const response = await fetch(BASE + path);
    assert.equal(response.status, 200, path);
    await response.arrayBuffer();
  }
  const page = await openPage(window.context, `/events/${event.slug}`);
  await page.waitForSelector(one("credits"));
  assert.match(await page.textContent(one("credits")), /GeoNames.*CC BY 4.0.*Natural Earth/);
  for (const href of await page.$$eval('link[rel="icon"]', (links) => links.map((l) => l.href))) {
    const response = await fetch(href);
    assert.equal(response.status, 200, href);
    assert.match(response.headers.get("content-type"), /^image\//);
  }
  await closePage(page);
});

test("an address that leads nowhere says so", async () => {
  for (const path of [
    "/submissions/00000000-0000-7000-8000-000000000000",
    "/events/there-is-none",
  ]) {
    const page = await openPage(window.context, path);
    await page.waitForSelector(`${one("notice")} h1`);
    await closePage(page);
  }
});
