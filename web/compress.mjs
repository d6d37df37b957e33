// Beside each file of the built page its gzipped form, which the server sends to whoever takes it.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { gzipSync } from "node:zlib";

const dist = path.join(import.meta.dirname, "dist");

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = path.join(entry.parentPath, entry.name);
  const whole = readFileSync(file);
  // Less memory means shorter blocks, which suit some files better.
  const forms = [7, 8, 9].map((memLevel) => gzipSync(whole, { level: 9, memLevel }));
  const small = forms.reduce((least, form) => (form.length < least.length ? form : least));
  if (small.length < whole.length) writeFileSync(`${file}.gz`, small);
}
