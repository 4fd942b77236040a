// How the page is built: one entry, hashed files under /assets, nothing inlined (the CSP forbids it).
import { defineConfig } from "vitest/config";

// While developing, the api runs beside Vite's own server.
const api = process.env.PORTCALL_TEST_API ?? "http://127.0.0.1:8080";

export default defineConfig({
  json: { stringify: true },
  build: {
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    manifest: ".manifest.json",
  },
  server: { proxy: { "/api": { target: api, changeOrigin: false } } },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}", "scripts/**/*.test.mjs"],
    // For a machine that is busy with other things.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
