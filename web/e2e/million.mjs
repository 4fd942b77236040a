// Many pins: 20,000 of them, and with --full a million (or PORTCALL_TEST_BROWSER_PINS). The first ones on screen,
// twenty moves of the map, and the api's own time for the same questions; and at every zoom what is shown sums up
// to all there are. Times are printed, not judged: how much is sent and drawn for a move is what has a limit.
//
// A million are in the store after two to eight minutes, and take the api a while to read. A run that is ended
// from outside meanwhile says by which signal (parts/run.mjs).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openDatabase, seed, unseed } from "./parts/database.mjs";
import { wholeWorld } from "./parts/mosaic.mjs";
import { closePage, mapReady, one, openBrowser, openPage } from "./parts/page.mjs";
import { apiAnswers, BASE, FULL, getJson, graded, makeEvent, tellApi } from "./parts/stack.mjs";

const COUNT = Number(process.env.PORTCALL_TEST_BROWSER_PINS || (FULL ? 1_000_000 : 20_000));
assert.ok(COUNT >= 1_000 && Number.isInteger(COUNT), "PORTCALL_TEST_BROWSER_PINS is a number");
const SEEDED_MS = 120_000 + 2 * COUNT;
const DEEPEST = 14;
/** However many pins there are, a view of the map costs no more than this: sent (compressed), and drawn. */
const MOST_BYTES = 150_000;
const MOST_MARKS = 1_000;
/** A move asks when it rests, and once more if it went on. */
const MOST_ASKED = 3;

let window;
let event;
let database;

const since = (start) => `${((performance.now() - start) / 1000).toFixed(1)} s`;
const ms = (value) => `${value.toFixed(0)} ms`;

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  return { median: at(0.5), p90: at(0.9), worst: sorted.at(-1) };
}

const told = ({ median, p90, worst }) => `median ${ms(median)}, p90 ${ms(p90)}, worst ${ms(worst)}`;

before(
  async () => {
    event = await makeEvent({ title: "Many" });
    await graded(event.slug);
    database = await openDatabase();
    await tellApi("stop");
    const start = performance.now();
    await seed(database, event.slug, COUNT, (done) =>
      console.log(`${done} pins are in the store after ${since(start)}`),
    );
    console.log(`${COUNT} pins are in the store after ${since(start)}`);
    const again = performance.now();
    await tellApi("start");
    await apiAnswers(SEEDED_MS);
    console.log(`the api has read them and answers after ${since(again)}`);
    window = await openBrowser({ viewport: { width: 1440, height: 900 }, reducedMotion: "reduce" });
    await window.context.addInitScript(watchDrawing);
  },
  { timeout: SEEDED_MS },
);

after(
  async () => {
    await window?.close();
    // Without a database nothing was put anywhere.
    if (database === undefined) return;
    try {
      await tellApi("stop");
      await unseed(database, event.slug);
      await database.close();
    } finally {
      await tellApi("start");
      await apiAnswers(SEEDED_MS);
    }
  },
  { timeout: SEEDED_MS },
);

/** In the page: when pins were first drawn, and when the answer to a move was. */
function watchDrawing() {
  performance.setResourceTimingBufferSize(5_000);
  globalThis.firstPins = null;
  let drawn = 0;
  const note = () => {
    if (document.querySelector('[data-testid="cell"], [data-testid="pin"]') === null) return;
    requestAnimationFrame(() => {
      drawn = performance.now();
      globalThis.firstPins ??= drawn;
    });
  };
  new MutationObserver(note).observe(document, {
    subtree: true,
    childList: true,
    attributes: true,
    attributeFilter: ["transform", "data-count"],
  });
  globalThis.answered = (start, quietFrames = 5) =>
    new Promise((done) => {
      let frames = 0;
      const look = () => {
        const answers = performance
          .getEntriesByType("resource")
          .filter(({ name, startTime, responseStatus, responseEnd }) => {
            const ofPins = name.includes("/pins?") && startTime >= start;
            return ofPins && responseStatus === 200 && responseEnd > 0;
          });
        const last = answers.at(-1);
        frames = last === undefined ? 0 : frames + 1;
        if (last !== undefined && (drawn > last.responseEnd || frames > quietFrames)) {
          done({
            url: last.name,
            took: last.responseEnd - last.startTime,
            whole: Math.max(drawn, last.responseEnd) - start,
            drawing: Math.max(0, drawn - last.responseEnd),
            bytes: last.encodedBodySize,
            asked: answers.length,
            marks: document.querySelectorAll('[data-testid="cell"], [data-testid="pin"]').length,
          });
        } else requestAnimationFrame(look);
      };
      look();
    });
}

/** The api's own time for a question: the quickest of three, over loopback, without a browser. */
async function ownTime(url) {
  const times = [];
  for (let n = 0; n < 3; n += 1) {
    const start = performance.now();
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
    await response.arrayBuffer();
    assert.equal(response.status, 200, `${url} after ${since(start)}`);
    times.push(performance.now() - start);
  }
  return Math.min(...times);
}

test("the sum of all cells is the number of pins at every zoom", {
  timeout: SEEDED_MS,
}, async () => {
  const path = `/api/v1/events/${event.slug}/pins`;
  const { total } = await getJson(`${path}?zoom=0`);
  assert.equal(total, COUNT + 1);
  for (let zoom = 0; zoom <= DEEPEST; zoom += 1) {
    const start = performance.now();
    const { sum, cells, asked } = await wholeWorld(
      (bbox, at) => getJson(`${path}?bbox=${bbox.join(",")}&zoom=${at}`),
      zoom,
    );
    console.log(
      `zoom ${zoom}: ${sum} in ${cells} cells and pins, ${asked} questions, ${since(start)}`,
    );
    assert.equal(sum, total, `zoom ${zoom}`);
  }
});

test("what a page shows of the whole world sums up to all pins", { timeout: 120_000 }, async () => {
  for (const zoom of [1, 2, 3, 4]) {
    const page = await openPage(window.context, `/events/${event.slug}#10,0,0.00`);
    await mapReady(page);
    const box = await squareMap(page, 256 * 2 ** zoom);
    // As far out as this window lets one go.
    await page.evaluate(() => {
      location.hash = "10,0,0.01";
    });
    const shown = await page.waitForFunction(
      ([wanted, cell, pin]) => {
        const counts = [...document.querySelectorAll(cell)].map((one) => Number(one.dataset.count));
        const pins = document.querySelectorAll(pin).length;
        const sum = counts.reduce((all, count) => all + count, pins);
        return sum === wanted ? { sum, marks: counts.length + pins } : null;
      },
      [COUNT + 1, one("cell"), one("pin")],
    );
    const { sum, marks } = await shown.jsonValue();
    const at = await page.getAttribute(one("map"), "data-zoom");
    console.log(
      `a map of ${box.width} by ${box.height} px at zoom ${at}: ${sum} in ${marks} marks`,
    );
    await page.close();
  }
});

/** Makes the map itself as high as it is wide, so that one world just fills it. */
async function squareMap(page, width) {
  let height = width;
  let box = null;
  for (let tries = 0; tries < 10; tries += 1) {
    await page.setViewportSize({ width, height });
    // Sizes are told in the next frame.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
    box = await page.locator(one("map")).boundingBox();
    if (Math.abs(box.height - width) <= 1.5) return box;
    height = Math.round(height + (width - box.height));
  }
  throw new Error(`the map is ${box.height} px high, not ${width}`);
}

test("the first pins, and twenty moves", { timeout: 240_000 }, async () => {
  for (let n = 0; n < 3; n += 1) {
    const page = await openPage(window.context, `/events/${event.slug}`);
    await page.waitForFunction(() => globalThis.firstPins !== null);
    const { first, url, took } = await page.evaluate(async () => {
      const { url, took } = await globalThis.answered(0);
      return { first: globalThis.firstPins, url, took };
    });
    const own = ms(await ownTime(url));
    console.log(
      `first pins on screen after ${ms(first)}; the api: ${own} alone, ${ms(took)} meanwhile`,
    );
    await page.close();
  }
  const moves = await tour();
  const own = [];
  for (const { name, url, took, whole, drawing, bytes, marks, asked } of moves) {
    own.push(await ownTime(url));
    const api = `the api ${ms(own.at(-1))} alone, ${ms(took)} meanwhile`;
    const size = `${(bytes / 1000).toFixed(0)} kB, ${marks} marks, asked ${asked} times`;
    console.log(
      `${name.padEnd(22)} ${ms(whole).padStart(8)}, drawing ${ms(drawing)}; ${api}; ${size}`,
    );
  }
  const whole = spread(moves.map((move) => move.whole));
  const drawing = spread(moves.map((move) => move.drawing));
  console.log(`${moves.length} moves until their pins are on screen: ${told(whole)}`);
  console.log(`  of which drawing after the answer: ${told(drawing)}`);
  console.log(`  the api's own time for the same: ${told(spread(own))}`);
  const most = (what) => Math.max(...moves.map((move) => move[what]));
  assert.equal(moves.length, 20);
  assert.ok(most("bytes") < MOST_BYTES, `an answer has ${most("bytes")} bytes`);
  assert.ok(most("marks") < MOST_MARKS, `${most("marks")} marks are drawn`);
  assert.ok(most("asked") <= MOST_ASKED, `a move asks ${most("asked")} times`);
});

test("the numbers, the latest and the replay of so many", { timeout: 240_000 }, async () => {
  for (const part of ["stats", "recent", "replay"]) {
    const took = await ownTime(`${BASE}/api/v1/events/${event.slug}/${part}`);
    console.log(`  /${part}: ${ms(took)}`);
  }
  const { totals, pins } = await getJson(`/api/v1/events/${event.slug}/stats`);
  assert.equal(pins, COUNT + 1);
  assert.equal(totals.passed, COUNT + 1);
  assert.equal(totals.submissions, COUNT + 1);
});

/** Jumps to five places, and at each of them pans, zooms in, pans and zooms out. */
async function tour() {
  const moves = [];
  const page = await openPage(window.context, `/events/${event.slug}`);
  await mapReady(page);
  const move = async (name, act) => {
    const start = await page.evaluate(() => performance.now());
    await act();
    moves.push({ name, ...(await page.evaluate((at) => globalThis.answered(at), start)) });
  };
  const drag = async (dx, dy) => {
    const { x, y, width, height } = await page.locator(one("map")).boundingBox();
    const [cx, cy] = [x + width / 2, y + height / 2];
    await page.mouse.move(cx - dx / 2, cy - dy / 2);
    await page.mouse.down();
    await page.mouse.move(cx + dx / 2, cy + dy / 2, { steps: 6 });
    await page.mouse.up();
  };
  for (const [place, hash] of [
    ["Europe", "9,48,5"],
    ["India", "78,22,6"],
    ["the Bay", "-122,37.6,8"],
    ["Tokyo", "139.7,35.7,10"],
  ]) {
    await move(`to ${place}`, () =>
      page.evaluate((to) => {
        location.hash = to;
      }, hash),
    );
    await move(`${place}: pan west`, () => drag(700, 0));
    await move(`${place}: zoom in`, () => page.click(one("zoom-in")));
    await move(`${place}: pan north`, () => drag(0, 500));
    await move(`${place}: zoom out`, () => page.click(one("zoom-out")));
  }
  await closePage(page);
  return moves;
}
