// Pictures of every view in every state, narrow and wide, light and dark, to be looked at by people. They lie
// in .shots/ afterwards. It makes the events that it shows on a running stack; `./infra/test browser` starts one
// and does this at its end, given PORTCALL_TEST_BROWSER_SHOTS=1. Which settings it takes is in
// e2e/parts/stack.mjs. Words choose views by parts of their names: node scripts/shots.mjs console status
import { mkdir, rm } from "node:fs/promises";
import { openBrowser, openPage } from "../e2e/parts/page.mjs";
import { given } from "../e2e/parts/stack.mjs";
import { makeStage } from "../e2e/parts/stage.mjs";
import { keepToken, views } from "../e2e/parts/views.mjs";

const OUT = new URL("../.shots/", import.meta.url).pathname;
const SIZES = [
  { width: 390, height: 844 },
  { width: 768, height: 1024 },
  { width: 1440, height: 900 },
];
const SCHEMES = ["light", "dark"];
const LONGEST_WAIT_MS = 1_500;

const words = process.argv.slice(2);
await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });

/** Nothing stands where it cannot be seen. */
async function sideways(page) {
  return page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
}

/** One view in one window, light and dark. */
async function take({ name, path, ready, signedIn }, settings) {
  const { width } = settings.viewport;
  const wrongs = [];
  // Whoever was here before has left nothing.
  const context = await browser.newContext(settings);
  if (signedIn) await keepToken(context, given("PORTCALL_TEST_TOKEN"));
  const page = await openPage(context, path);
  try {
    await ready(page);
    // The fine coast and the pins of the last view may still be on their way.
    await page.waitForLoadState("networkidle", { timeout: LONGEST_WAIT_MS }).catch(() => undefined);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const file = `${name}-${width}-${colorScheme}.png`;
      await page.screenshot({ path: OUT + file, fullPage: !/^(map|board)/.test(name) });
      console.log(file);
    }
    const beyond = await sideways(page);
    if (beyond > 0) wrongs.push(`scrolls sideways by ${beyond} px`);
  } catch (error) {
    await page.screenshot({ path: `${OUT}${name}-${width}-wrong.png` });
    wrongs.push(String(error));
  }
  wrongs.push(...page.wrongs);
  await context.close();
  return wrongs.map((text) => `${name}, ${width} px: ${text}`);
}

const stage = await makeStage();
const { browser, close } = await openBrowser();
const wrongs = [];
for (const viewport of SIZES) {
  const settings = { viewport, reducedMotion: "reduce", hasTouch: viewport.width < 1_000 };
  for (const view of views(stage)) {
    if (view.served === false) continue;
    if (words.length > 0 && !words.some((word) => view.name.includes(word))) continue;
    wrongs.push(...(await take(view, settings)));
  }
}
await close();
await stage.strike();
for (const wrong of wrongs) console.error(wrong);
console.log(`The pictures are in ${OUT}`);
process.exit(wrongs.length === 0 ? 0 : 1);
