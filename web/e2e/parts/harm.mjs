// Strings that mean harm, and how one sees that none of them did any.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { openPage } from "./page.mjs";

/** Sixty of them; `refused` is the code with which text fields refuse one. */
export const PAYLOADS = JSON.parse(
  readFileSync(new URL("./payloads.json", import.meta.url), "utf8"),
);
/** Those that text fields take. */
export const TAKEN = PAYLOADS.filter(({ refused }) => refused === undefined).map(
  ({ text }) => text,
);
export const REFUSED = PAYLOADS.filter(({ refused }) => refused !== undefined);

/** As many texts in one as fit, so that all of them come by in few steps. */
export function packed(texts, limit) {
  const packs = [];
  for (const text of texts) {
    const last = packs.at(-1);
    if (last !== undefined && `${last} ${text}`.length <= limit)
      packs[packs.length - 1] += ` ${text}`;
    else packs.push(text);
  }
  return packs;
}

/** Every page of this context keeps the reports of its content security policy. */
export async function keepReports(context) {
  await context.addInitScript(() => {
    globalThis.reports = [];
    document.addEventListener("securitypolicyviolation", (event) => {
      globalThis.reports.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`);
    });
  });
}

/** In the page: what is there that only markup from a stranger could have made. */
function findHarm() {
  const found = [];
  if ("pwned" in globalThis || "pwned" in {}) found.push("a script ran");
  for (const report of globalThis.reports ?? ["nobody keeps reports"]) found.push(report);
  const never =
    "iframe, frame, object, embed, base, style, marquee, video, audio, math, template, noscript, " +
    "img, meta[http-equiv], [srcdoc], [formaction], svg script, svg animate, svg set, svg use, foreignObject";
  for (const element of document.body.querySelectorAll(`${never}, script, link`)) {
    const ours = element.matches(
      "script[src^='/assets/'], link[href^='/assets/'], body > noscript",
    );
    if (!ours) found.push(`<${element.localName}>: ${element.outerHTML.slice(0, 120)}`);
  }
  for (const element of document.querySelectorAll("*")) {
    for (const { name, value } of element.attributes) {
      const runs = name.startsWith("on") || /^\s*(javascript|data|vbscript):/i.test(value);
      const address = /^(href|src|action|formaction|xlink:href)$/.test(name);
      const target =
        address && URL.canParse(value, location.href) ? new URL(value, location.href) : null;
      const away = target !== null && target.origin !== location.origin;
      // The icon, and those whom the data of the map come from.
      const ours = element.matches("link[rel='icon'], [data-testid='credits'] a[href^='https://']");
      if ((name.startsWith("on") || (address && runs) || away) && !ours) {
        found.push(`${element.localName} ${name}=${value.slice(0, 120)}`);
      }
    }
  }
  return found;
}

/** That nothing on the page is, or was, more than text. */
export async function harmless(page, what) {
  const found = await page.evaluate(findHarm);
  assert.deepEqual([...found, ...page.wrongs], [], what);
}

export async function findings(page) {
  return [...(await page.evaluate(findHarm)), ...page.wrongs];
}

/** That a page shows these texts, word for word, to whoever looks or listens. */
export async function shows(page, texts, what) {
  const text = await page.evaluate(() => {
    const inputs = [...document.querySelectorAll("input, textarea, select")];
    return [document.body.textContent, ...inputs.map((input) => input.value)].join("\n");
  });
  const missing = texts.filter((wanted) => !text.includes(wanted));
  assert.deepEqual(missing, [], `${what}: not shown as text`);
}

/** Opens a page, waits, and looks. */
export async function lookAt(context, path, ready, texts = []) {
  const page = await openPage(context, path);
  await ready(page);
  await harmless(page, path);
  await shows(page, texts, path);
  return page;
}
