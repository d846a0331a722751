// Says how large the Worker is and fails above the limit (docs/adr/0012). Cloudflare counts the gzipped size (3 MB on the free plan), but
// a cold start pays for every byte, and growth is easiest to stop on the day it happens.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 640;

const wasm = readFileSync(new URL('../build/index_bg.wasm', import.meta.url));
const kilobytes = (bytes) => (bytes / 1024).toFixed(1);
const gzipped = gzipSync(wasm, { level: 9 }).length;

console.log(`build/index_bg.wasm: ${kilobytes(wasm.length)} KB, gzipped ${kilobytes(gzipped)} KB of ${LIMIT_KB} KB`);
if (!process.argv.includes('--report') && gzipped > LIMIT_KB * 1024) {
  console.error(`the Worker is too large; see which dependency grew with \`cargo tree\` and \`twiggy top\``);
  process.exit(1);
}
