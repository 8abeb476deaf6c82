import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** `npm run dev` sends everything that is not the page itself to a running stack. */
const stack = process.env["HEADRACE_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [
    react(),
    {
      // In production the web function answers every /r/{code} with index.html; so does the dev server.
      name: "room-pages",
      configureServer(server): void {
        server.middlewares.use((request, _response, next) => {
          if (request.url?.startsWith("/r/") === true) request.url = "/index.html";
          next();
        });
      },
    },
  ],
  build: {
    // Nothing may be inlined as a data: script or font: the page's CSP allows data: for images alone.
    assetsInlineLimit: 0,
    // The browsable API page carries all of Swagger UI; the product's own bundle is a tenth of this.
    chunkSizeWarningLimit: 2000,
    rolldownOptions: { input: { app: at("index.html"), docs: at("docs/index.html") } },
  },
  server: {
    // The SDP dictionary is one file for all codecs of the protocol.
    fs: { allow: [at("."), at("../../../shared/protocol")] },
    proxy: {
      "/v1": { target: stack, ws: true },
      "/openapi.json": { target: stack },
    },
  },
  test: {
    environment: "node",
    include: ["src/**/*.test.{ts,tsx}"],
    restoreMocks: true,
  },
});
