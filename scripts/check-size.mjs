// Says how large the Worker is and fails above a limit (docs/adr/0011). Cloudflare counts the gzipped size (3 MB on the free plan), but a
// cold start pays for every byte, and growth is easiest to stop on the day it happens.
//
// Single functions have a limit too: a future that inlined everything it awaits grew to 39 KB, and the engine compiled it in
// the background for 166 ms in every new isolate. If a function is too large, box its awaits.
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const LIMIT_KB = 640;
const FUNCTION_LIMIT_KB = 20;

const build = new URL('../build/', import.meta.url);
const wasm = readFileSync(new URL('index_bg.wasm', build));
const kilobytes = (bytes) => (bytes / 1024).toFixed(1);
const gzipped = gzipSync(wasm, { level: 9 }).length;
const largest = functions(wasm).sort((a, b) => b.bytes - a.bytes);
const names = functionNames();
const shown = ({ index, bytes }) => `${names.get(index) ?? `function ${index}`}, ${kilobytes(bytes)} KB`;

console.log(`build/index_bg.wasm: ${kilobytes(wasm.length)} KB, gzipped ${kilobytes(gzipped)} KB of ${LIMIT_KB} KB`);
console.log(`its largest function: ${shown(largest[0])} of ${FUNCTION_LIMIT_KB} KB`);
let failed = false;
for (const found of largest.filter(({ bytes }) => bytes > FUNCTION_LIMIT_KB * 1024)) {
  console.error(`a function is too large; box the awaits in it: ${shown(found)}`);
  failed = true;
}
if (!process.argv.includes('--report') && gzipped > LIMIT_KB * 1024) {
  console.error(`the Worker is too large; see which dependency grew with \`cargo tree\` and \`twiggy top\``);
  failed = true;
}
process.exit(failed ? 1 : 0);

/** Each function's index and the bytes of its body: WebAssembly's binary format, sections 2 (imports) and 10 (code). */
function functions(bytes) {
  let at = 8;
  const number = () => {
    let [value, shift, byte] = [0, 0, 0];
    do {
      byte = bytes[at++];
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
    } while (byte & 0x80);
    return value;
  };
  const skipText = () => {
    const length = number();
    at += length;
  };
  const skipLimits = () => {
    const flags = number();
    number();
    if (flags & 1) number();
  };
  let imported = 0;
  const found = [];
  while (at < bytes.length) {
    const section = number();
    const size = number();
    const end = at + size;
    if (section === 2) {
      for (let left = number(); left > 0; left -= 1) {
        skipText();
        skipText();
        const kind = bytes[at++];
        if (kind === 0) {
          imported += 1;
          number();
        } else if (kind === 1) {
          at += 1;
          skipLimits();
        } else if (kind === 2) skipLimits();
        else if (kind === 3) at += 2;
        else if (kind === 4) {
          at += 1;
          number();
        } else throw new Error(`an import of kind ${kind}`);
      }
    } else if (section === 10) {
      for (let left = number(), index = imported; left > 0; left -= 1, index += 1) {
        const length = number();
        found.push({ index, bytes: length });
        at += length;
      }
    }
    at = end;
  }
  return found;
}

/** Names by index, saved by the build before it strips them from the Worker. */
function functionNames() {
  const map = new URL('../target/functions.map', import.meta.url);
  if (!existsSync(map)) return new Map();
  const lines = readFileSync(map, 'utf8').split('\n').filter((line) => /^\d+:/.test(line));
  return new Map(lines.map((line) => [Number(line.split(':', 1)[0]), line.slice(line.indexOf(':') + 1)]));
}
