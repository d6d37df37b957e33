import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  // Every address is relative, so that a proxy can serve the page under a path of its own.
  base: "./",
  build: {
    target: "es2023",
    // The content security policy allows no data: script or style, and a wasm file must stay a file to be streamed.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    // No test waits for a time; this only ends one that hangs, on a busy machine too.
    testTimeout: 60_000,
  },
});
