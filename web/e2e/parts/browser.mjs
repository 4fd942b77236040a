// Chromium for tests and screenshots: Debian's own, in a fresh profile, kept from the network.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** PORTCALL_TEST_CHROMIUM names another binary. */
export function startBrowser() {
  const executablePath =
    process.env.PORTCALL_TEST_CHROMIUM ?? PLACES.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error("no Chromium found: apt-get install chromium");
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/**
 * Collects what must never happen on a page: errors, reports of the content security policy, dialogs,
 * new windows, and requests to other hosts.
 */
export function watchPage(page, origin) {
  const wrongs = [];
  page.on("pageerror", (error) => wrongs.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // The browser itself reports each 404 and 422, and a stream that broke; those are answers, not
    // errors of the page.
    if (message.type() === "error" && !text.startsWith("Failed to load resource")) {
      wrongs.push(`console: ${text}`);
    }
  });
  page.on("dialog", (dialog) => {
    wrongs.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss().catch(() => undefined);
  });
  page.on("popup", (popup) => wrongs.push(`new window: ${popup.url()}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    const own = url.origin === origin || url.protocol === "data:" || url.protocol === "blob:";
    if (!own) wrongs.push(`request to another host: ${request.url()}`);
  });
  return wrongs;
}
