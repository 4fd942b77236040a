// Pictures of every view in every state, narrow and wide, light and dark, to be looked at by people. They lie
// in .shots/ afterwards. It makes the events that it shows on a running stack; `./infra/test browser` starts one
// and does this at its end, given PORTCALL_TEST_BROWSER_SHOTS=1. Which settings it takes is in
// e2e/parts/stack.mjs. Words choose views by parts of their names: node scripts/shots.mjs console status
//
// A view that does not settle, that logs an error or that scrolls sideways is told at the end, and then the exit
// code is 1. What it looked like is in …-wrong.png.
import { mkdir, readdir, rm } from "node:fs/promises";
import { openBrowser } from "../e2e/parts/page.mjs";
import { given, SHOWN_MS } from "../e2e/parts/stack.mjs";
import { makeStage } from "../e2e/parts/stage.mjs";
import { keepToken, openViewer, show, views } from "../e2e/parts/views.mjs";

const OUT = new URL("../.shots/", import.meta.url).pathname;
const SIZES = [
  { width: 390, height: 844 },
  { width: 768, height: 1024 },
  { width: 1440, height: 900 },
];
const SCHEMES = ["light", "dark"];
const LONGEST_MS = 60_000;

const words = process.argv.slice(2);
const chosen = (name) => words.length === 0 || words.some((word) => name.includes(word));
await mkdir(OUT, { recursive: true });
// Pictures of tests that failed are in a folder of their own, and stay.
for (const file of await readdir(OUT)) {
  if (file.endsWith(".png") && chosen(file)) await rm(OUT + file);
}

/** By how much one has to scroll sideways; nothing should stand where it cannot be seen. */
function sideways(page) {
  return page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}

async function within(ms, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it did not settle within ${ms} ms`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** One view in one window, light and dark; answers with what is wrong. */
async function take(page, view, width) {
  const { name } = view;
  const before = page.wrongs.length;
  const wrongs = [];
  try {
    await page.emulateMedia({ colorScheme: SCHEMES[0], reducedMotion: "reduce" });
    await within(LONGEST_MS, show(page, view));
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const file = `${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path: OUT + file, fullPage: !/^(home|map|board)/.test(name) });
      console.log(file);
    }
    const beyond = await sideways(page);
    if (beyond > 0) wrongs.push(`scrolls sideways by ${beyond} px`);
  } catch (error) {
    await page.screenshot({ path: `${OUT}${name}-${width}-wrong.png` }).catch(() => undefined);
    wrongs.push(String(error));
  }
  wrongs.push(...page.wrongs.slice(before));
  return wrongs.map((text) => `${name}, ${width} px: ${text}`);
}

/** All views of those who are signed in, or of those who are not, on one page. */
async function takeAll(browser, settings, some, token) {
  const { width } = settings.viewport;
  let page = null;
  const wrongs = [];
  for (const view of some) {
    if (page === null) {
      const context = await browser.newContext(settings);
      context.setDefaultTimeout(SHOWN_MS);
      if (token !== null) await keepToken(context, token);
      page = await openViewer(context);
    }
    const found = await take(page, view, width);
    wrongs.push(...found);
    // One that something went wrong on may be half-way anywhere.
    if (found.length > 0 || view.spends) {
      await page.context().close();
      page = null;
    }
  }
  await page?.context().close();
  return wrongs;
}

const stage = await makeStage();
const { browser, close } = await openBrowser();
const all = views(stage).filter(({ name }) => chosen(name));
const wrongs = [];
for (const viewport of SIZES) {
  const settings = { viewport, reducedMotion: "reduce", hasTouch: viewport.width < 1_000 };
  const open = all.filter(({ signedIn }) => !signedIn);
  const signedIn = all.filter((view) => view.signedIn);
  const both = await Promise.all([
    takeAll(browser, settings, open, null),
    takeAll(browser, settings, signedIn, given("PORTCALL_TEST_TOKEN")),
  ]);
  wrongs.push(...both.flat());
}
await close();
await stage.strike();
console.log(`${all.length} views; the pictures are in ${OUT}`);
if (all.length === 0) wrongs.push(`no view is called ${words.join(", ")}`);
for (const wrong of wrongs) console.error(`wrong: ${wrong}`);
process.exit(wrongs.length === 0 ? 0 : 1);
