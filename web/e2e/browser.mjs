// Moved to parts/browser.mjs.
export * from "./parts/browser.mjs";
